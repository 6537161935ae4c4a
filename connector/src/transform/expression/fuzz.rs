//! What holds of any expression.

use super::{Expression, Method, Operator, Root, Scalar, parse};
use crate::model::record::Record;
use shared::Kind;

/// An expression that is read prints to the same; on any of the records it gives a value or says why not.
pub fn expression(input: &[u8], records: &[Record<'_>]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let expression = match parse(text) {
        Ok(expression) => expression,
        Err(error) => return assert_eq!(error.kind(), Kind::Config, "{error}"),
    };
    for record in records {
        match expression.evaluate(record) {
            Ok(value) => assert!(size(&value) <= 3 * (text.len() + 64) * 64),
            Err(error) => assert_eq!(error.kind(), Kind::Data, "{error}"),
        }
    }
    if has_printed_form(&expression) {
        let mut printed = String::new();
        print(&mut printed, &expression, 0);
        match parse(&printed) {
            Ok(again) => assert_eq!(again, expression, "{printed}"),
            // `a.equals(b).length()` is `(a == b).length()`: deeper than what was read.
            Err(error) => assert!(error.to_string().contains("than are read"), "{error}"),
        }
    }
}

fn size(value: &Scalar<'_>) -> usize {
    match value {
        Scalar::Text(text) => text.len(),
        Scalar::List(items) => items.iter().map(|item| 1 + size(item)).sum(),
        _ => 8,
    }
}

/// A number of so many digits that it is infinite has no digits that say so.
fn has_printed_form(expression: &Expression) -> bool {
    match expression {
        Expression::Literal(Scalar::Number(number)) => number.is_finite(),
        Expression::Literal(_) | Expression::Path(..) => true,
        Expression::List(items) => items.iter().all(has_printed_form),
        Expression::Not(inner) | Expression::Negate(inner) => has_printed_form(inner),
        Expression::Binary(_, left, right) => has_printed_form(left) && has_printed_form(right),
        Expression::Choice(parts) => parts.iter().all(has_printed_form),
        Expression::Call(of, _, arguments) => has_printed_form(of) && arguments.iter().all(has_printed_form),
    }
}

/// Binding power of what is no operator, of `!` and `-`, and of the weakest.
const PRIMARY: u8 = 8;
const UNARY: u8 = 7;

fn print(out: &mut String, expression: &Expression, least: u8) {
    let brackets = power(expression) < least;
    if brackets {
        out.push('(');
    }
    match expression {
        Expression::Literal(scalar) => literal(out, scalar),
        Expression::List(items) => list(out, "[", items, "]"),
        Expression::Path(root, fields) => path(out, *root, fields),
        Expression::Not(inner) | Expression::Negate(inner) => {
            out.push(if matches!(expression, Expression::Not(_)) { '!' } else { '-' });
            print(out, inner, UNARY);
        }
        Expression::Binary(operator, left, right) => {
            let (word, power) = word(*operator);
            print(out, left, power);
            out.push_str(&format!(" {word} "));
            print(out, right, power + 1);
        }
        Expression::Choice(parts) => {
            let [condition, yes, no] = &**parts;
            print(out, condition, 1);
            out.push_str(" ? ");
            print(out, yes, 0);
            out.push_str(" : ");
            print(out, no, 0);
        }
        Expression::Call(of, method, arguments) => {
            print(out, of, PRIMARY);
            list(out, &format!(".{}(", name(*method)), arguments, ")");
        }
    }
    if brackets {
        out.push(')');
    }
}

fn power(expression: &Expression) -> u8 {
    match expression {
        Expression::Choice(_) => 0,
        Expression::Binary(operator, ..) => word(*operator).1,
        Expression::Not(_) | Expression::Negate(_) => UNARY,
        _ => PRIMARY,
    }
}

fn list(out: &mut String, front: &str, items: &[Expression], back: &str) {
    out.push_str(front);
    for (nth, item) in items.iter().enumerate() {
        if nth > 0 {
            out.push_str(", ");
        }
        print(out, item, 0);
    }
    out.push_str(back);
}

fn path(out: &mut String, root: Root, fields: &[String]) {
    out.push_str(match root {
        Root::Topic => "topic",
        Root::Key => "key",
        Root::Value => "value",
        Root::Header => "header",
    });
    for field in fields {
        out.push('[');
        quoted(out, field);
        out.push(']');
    }
}

fn literal(out: &mut String, scalar: &Scalar<'_>) {
    match scalar {
        Scalar::Bool(flag) => out.push_str(&flag.to_string()),
        Scalar::Whole(number) => out.push_str(&number.to_string()),
        Scalar::Number(number) => {
            let digits = number.to_string();
            out.push_str(&digits);
            if digits.parse::<i64>().is_ok() {
                out.push_str(".0");
            }
        }
        Scalar::Text(text) => quoted(out, text),
        Scalar::Null | Scalar::List(_) | Scalar::Present => out.push_str("null"),
    }
}

fn quoted(out: &mut String, text: &str) {
    out.push('\'');
    for character in text.chars() {
        if matches!(character, '\'' | '\\') {
            out.push('\\');
        }
        out.push(character);
    }
    out.push('\'');
}

fn word(operator: Operator) -> (&'static str, u8) {
    match operator {
        Operator::Or => ("||", 1),
        Operator::And => ("&&", 2),
        Operator::Equal => ("==", 3),
        Operator::NotEqual => ("!=", 3),
        Operator::Less => ("<", 4),
        Operator::LessOrEqual => ("<=", 4),
        Operator::Greater => (">", 4),
        Operator::GreaterOrEqual => (">=", 4),
        Operator::In => ("in", 4),
        Operator::Add => ("+", 5),
        Operator::Subtract => ("-", 5),
        Operator::Multiply => ("*", 6),
        Operator::Divide => ("/", 6),
        Operator::Remainder => ("%", 6),
    }
}

fn name(method: Method) -> &'static str {
    match method {
        Method::Contains => "contains",
        Method::StartsWith => "startsWith",
        Method::EndsWith => "endsWith",
        Method::Matches => "matches",
        Method::ToLowerCase => "toLowerCase",
        Method::ToUpperCase => "toUpperCase",
        Method::Length => "length",
        Method::IsEmpty => "isEmpty",
    }
}
