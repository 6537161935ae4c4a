//! Expression and record → value. Pure.

use super::{Expression, Method, Operator, Root};
use crate::connect;
use crate::model::record::{Datum, HeaderValue, Record};
use crate::model::schema::Form;
use crate::model::value::Value;
use regex::Regex;
use shared::error::{Error, Kind, OrKind, Result};
use std::borrow::Cow;

/// A value of an expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar<'a> {
    Null,
    Bool(bool),
    Number(f64),
    /// A whole number, exact.
    Whole(i64),
    Text(Cow<'a, str>),
    List(Vec<Scalar<'a>>),
    /// A struct: only that it is there is known.
    Present,
}

impl Expression {
    /// # Errors
    /// `Data`, when an operator or method meets values that it is not for.
    pub fn evaluate<'a>(&'a self, record: &Record<'a>) -> Result<Scalar<'a>> {
        Ok(match self {
            Expression::Literal(scalar) => scalar.clone(),
            Expression::List(items) => {
                Scalar::List(items.iter().map(|item| item.evaluate(record)).collect::<Result<_>>()?)
            }
            Expression::Path(root, fields) => path(*root, fields, record)?,
            Expression::Not(inner) => Scalar::Bool(!truth(&inner.evaluate(record)?)?),
            Expression::Negate(inner) => match inner.evaluate(record)? {
                Scalar::Whole(number) => Scalar::Whole(number.wrapping_neg()),
                other => Scalar::Number(-number(&other)?),
            },
            Expression::Binary(operator, left, right) => binary(*operator, left, right, record)?,
            Expression::Choice(parts) => {
                let [condition, yes, no] = &**parts;
                if truth(&condition.evaluate(record)?)? {
                    yes.evaluate(record)?
                } else {
                    no.evaluate(record)?
                }
            }
            Expression::Call(of, method, arguments) => {
                let argument = arguments.first().map(|argument| argument.evaluate(record)).transpose()?;
                call(of.evaluate(record)?, *method, argument)?
            }
        })
    }
}

fn path<'a>(root: Root, fields: &'a [String], record: &Record<'a>) -> Result<Scalar<'a>> {
    let mut datum = match root {
        Root::Topic => return Ok(Scalar::Text(record.topic.into())),
        Root::Header => return header(fields, record),
        Root::Key => record.key,
        Root::Value => record.value,
    };
    for name in fields {
        datum = datum.and_then(|datum| {
            let Value::Struct(values) = datum.value else { return None };
            let (at, schema) = datum.schema.field(name)?;
            Some(Datum { schema, value: *values.get(at)? })
        });
    }
    datum.map_or(Ok(Scalar::Null), scalar)
}

fn header<'a>(fields: &[String], record: &Record<'a>) -> Result<Scalar<'a>> {
    let name = fields.first().map(String::as_str).unwrap_or_default();
    match record.headers.iter().rev().find(|header| header.name == name).map(|header| header.value) {
        None => Ok(Scalar::Null),
        Some(HeaderValue::Text(text)) => Ok(Scalar::Text(text.into())),
        Some(HeaderValue::Datum(datum)) => scalar(datum),
    }
}

/// The value as Connect's schema shows it.
fn scalar(datum: Datum<'_>) -> Result<Scalar<'_>> {
    let unreadable = |fault: connect::Fault| Error::new(Kind::Data, fault.text());
    Ok(match (datum.value, datum.schema.form) {
        (Value::Null, _) => match &datum.schema.default {
            Some(default) => return scalar(Datum { value: default.value(), ..datum }),
            None => Scalar::Null,
        },
        (Value::Unavailable, _) => match &datum.schema.unavailable {
            Some(mark) => return scalar(Datum { value: mark.value(), ..datum }),
            None => Scalar::Null,
        },
        (Value::Bool(flag), _) => Scalar::Bool(flag),
        (Value::Int(number), _) => Scalar::Whole(number),
        (Value::Float64(number), _) => Scalar::Number(number),
        (Value::Float32(number), _) => Scalar::Number(number.into()),
        (Value::Decimal(digits), form) if form != Form::DecimalText => {
            Scalar::Number(digits.parse().map_err(|_| unreadable(connect::Fault::NoNumber))?)
        }
        (Value::Text(text), _) => Scalar::Text(text.into()),
        (
            Value::Struct(_) | Value::Map(_) | Value::List(_) | Value::Bytes(_) | Value::Bits(_),
            Form::Plain | Form::Bits,
        ) => Scalar::Present,
        (value, form) => match connect::whole(form, &value) {
            Ok(number) => Scalar::Whole(number),
            Err(_) => {
                let mut text = String::new();
                connect::print(&mut text, datum.schema, &value).map_err(unreadable)?;
                Scalar::Text(text.into())
            }
        },
    })
}

fn truth(scalar: &Scalar<'_>) -> Result<bool> {
    match scalar {
        Scalar::Bool(flag) => Ok(*flag),
        Scalar::Null => Ok(false),
        _ => Err(Error::new(Kind::Data, "a condition is neither true nor false")),
    }
}

fn number(scalar: &Scalar<'_>) -> Result<f64> {
    match scalar {
        Scalar::Number(number) => Ok(*number),
        Scalar::Whole(number) => Ok(*number as f64),
        _ => Err(Error::new(Kind::Data, "arithmetic on something that is no number")),
    }
}

fn binary<'a>(
    operator: Operator,
    left: &'a Expression,
    right: &'a Expression,
    record: &Record<'a>,
) -> Result<Scalar<'a>> {
    let first = left.evaluate(record)?;
    match operator {
        Operator::And if !truth(&first)? => return Ok(Scalar::Bool(false)),
        Operator::Or if truth(&first)? => return Ok(Scalar::Bool(true)),
        _ => {}
    }
    let second = right.evaluate(record)?;
    Ok(match operator {
        Operator::And | Operator::Or => Scalar::Bool(truth(&second)?),
        Operator::Equal => Scalar::Bool(equal(&first, &second)),
        Operator::NotEqual => Scalar::Bool(!equal(&first, &second)),
        Operator::In => call(second, Method::Contains, Some(first))?,
        Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual => {
            Scalar::Bool(ordered(operator, &first, &second)?)
        }
        Operator::Add if matches!(first, Scalar::Text(_)) || matches!(second, Scalar::Text(_)) => {
            Scalar::Text((shown(&first)? + &shown(&second)?).into())
        }
        _ => arithmetic(operator, &first, &second)?,
    })
}

fn equal(left: &Scalar<'_>, right: &Scalar<'_>) -> bool {
    match (left, right) {
        (Scalar::Whole(left), Scalar::Number(right)) | (Scalar::Number(right), Scalar::Whole(left)) => {
            *left as f64 == *right
        }
        (left, right) => left == right,
    }
}

/// Nothing is before, after, or level with null.
fn ordered(operator: Operator, left: &Scalar<'_>, right: &Scalar<'_>) -> Result<bool> {
    let ordering = match (left, right) {
        (Scalar::Null, _) | (_, Scalar::Null) => None,
        (Scalar::Text(left), Scalar::Text(right)) => Some(left.cmp(right)),
        (Scalar::Whole(left), Scalar::Whole(right)) => Some(left.cmp(right)),
        (left, right) => number(left)?.partial_cmp(&number(right)?),
    };
    Ok(ordering.is_some_and(|ordering| match operator {
        Operator::Less => ordering.is_lt(),
        Operator::LessOrEqual => ordering.is_le(),
        Operator::Greater => ordering.is_gt(),
        _ => ordering.is_ge(),
    }))
}

fn arithmetic<'a>(operator: Operator, left: &Scalar<'_>, right: &Scalar<'_>) -> Result<Scalar<'a>> {
    if let (Scalar::Whole(left), Scalar::Whole(right)) = (left, right) {
        let exact = match operator {
            Operator::Add => left.checked_add(*right),
            Operator::Subtract => left.checked_sub(*right),
            Operator::Multiply => left.checked_mul(*right),
            Operator::Remainder => left.checked_rem(*right),
            _ => None,
        };
        if let Some(exact) = exact {
            return Ok(Scalar::Whole(exact));
        }
    }
    let (left, right) = (number(left)?, number(right)?);
    Ok(Scalar::Number(match operator {
        Operator::Add => left + right,
        Operator::Subtract => left - right,
        Operator::Multiply => left * right,
        Operator::Divide => left / right,
        _ => left % right,
    }))
}

fn shown(scalar: &Scalar<'_>) -> Result<String> {
    Ok(match scalar {
        Scalar::Null => "null".to_owned(),
        Scalar::Bool(flag) => flag.to_string(),
        Scalar::Whole(number) => number.to_string(),
        Scalar::Number(number) => number.to_string(),
        Scalar::Text(text) => text.to_string(),
        Scalar::List(_) | Scalar::Present => {
            return Err(Error::new(Kind::Data, "a struct or a list is no text"));
        }
    })
}

fn call<'a>(of: Scalar<'a>, method: Method, argument: Option<Scalar<'a>>) -> Result<Scalar<'a>> {
    let wrong = || Error::new(Kind::Data, format!("{method:?} is called on something that does not have it"));
    let text_argument = || match &argument {
        Some(Scalar::Text(text)) => Ok(text.clone()),
        _ => Err(wrong()),
    };
    Ok(match (of, method) {
        // As with Groovy's safe navigation: nothing has nothing.
        (Scalar::Null, Method::Contains | Method::StartsWith | Method::EndsWith | Method::Matches) => {
            Scalar::Bool(false)
        }
        (Scalar::Null, _) => Scalar::Null,
        (Scalar::List(items), Method::Contains) => {
            Scalar::Bool(argument.is_some_and(|wanted| items.iter().any(|item| equal(item, &wanted))))
        }
        (Scalar::List(items), Method::Length) => Scalar::Whole(items.len() as i64),
        (Scalar::List(items), Method::IsEmpty) => Scalar::Bool(items.is_empty()),
        (Scalar::Text(text), method) => match method {
            Method::Contains => Scalar::Bool(text.contains(&*text_argument()?)),
            Method::StartsWith => Scalar::Bool(text.starts_with(&*text_argument()?)),
            Method::EndsWith => Scalar::Bool(text.ends_with(&*text_argument()?)),
            Method::Matches => {
                let pattern = format!("^(?:{})$", text_argument()?);
                Scalar::Bool(Regex::new(&pattern).or_kind(Kind::Data)?.is_match(&text))
            }
            Method::ToLowerCase => Scalar::Text(text.to_lowercase().into()),
            Method::ToUpperCase => Scalar::Text(text.to_uppercase().into()),
            Method::Length => Scalar::Whole(text.encode_utf16().count() as i64),
            Method::IsEmpty => Scalar::Bool(text.is_empty()),
        },
        _ => return Err(wrong()),
    })
}
