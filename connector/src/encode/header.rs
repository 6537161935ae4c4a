//! A header's value as text: what Connect's SimpleHeaderConverter prints.
//!
//! Only changed keys and transforms come here, so this may allocate. Pure.

use super::avro::decimal;
use super::avro::form::{self, Leaf};
use crate::connect::Fault;
use crate::connect::java;
use crate::model::schema::{Kind, Schema};
use crate::model::value::Value;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Appends the value: a text as it is, a struct as `{"id":1,"name":"x"}`, NULL as nothing.
///
/// # Errors
/// What is wrong with a value.
pub fn print(out: &mut Vec<u8>, schema: &Schema, value: &Value<'_>) -> Result<(), Fault> {
    match (Leaf::of(schema), value) {
        (_, Value::Null) => {}
        (Some(leaf @ (Leaf::Text | Leaf::Written(_))), value) => {
            out.extend(form::content(leaf, value).ok_or(Fault::WrongType)?);
        }
        _ => out.extend_from_slice(inner(schema, value)?.as_bytes()),
    }
    Ok(())
}

/// A value inside of a struct, a list or a map.
fn inner(schema: &Schema, value: &Value<'_>) -> Result<String, Fault> {
    let constant = match value {
        Value::Null => match (form::default(schema), schema.optional) {
            (Some(default), _) => return present(schema, &default),
            (None, true) => return Ok("null".to_owned()),
            (None, false) => &schema.fallback,
        },
        Value::Unavailable => &schema.unavailable,
        value => return present(schema, value),
    };
    present(schema, &constant.as_ref().ok_or(Fault::NoNull)?.value())
}

fn present(schema: &Schema, value: &Value<'_>) -> Result<String, Fault> {
    if let Some(leaf) = Leaf::of(schema) {
        return written(leaf, value);
    }
    match (&schema.kind, value) {
        (Kind::Struct(fields), Value::Struct(values)) if fields.len() == values.len() => {
            let one = |(field, value): (&crate::model::schema::Field, &Value<'_>)| {
                Ok(format!("{}:{}", quoted(&field.name), inner(&field.schema, value)?))
            };
            let all: Vec<String> = fields.iter().zip(*values).map(one).collect::<Result<_, Fault>>()?;
            Ok(format!("{{{}}}", all.join(",")))
        }
        (Kind::Array(items), Value::List(values)) => {
            let all: Vec<String> = values.iter().map(|v| inner(items, v)).collect::<Result<_, Fault>>()?;
            Ok(format!("[{}]", all.join(",")))
        }
        (Kind::Map(keys, content), Value::Map(entries)) => {
            let one = |(key, value): &(Value<'_>, Value<'_>)| {
                Ok(format!("{}:{}", inner(keys, key)?, inner(content, value)?))
            };
            let all: Vec<String> = entries.iter().map(one).collect::<Result<_, Fault>>()?;
            Ok(format!("{{{}}}", all.join(",")))
        }
        _ => Err(Fault::WrongType),
    }
}

fn written(leaf: Leaf, value: &Value<'_>) -> Result<String, Fault> {
    let content = || form::content(leaf, value).ok_or(Fault::WrongType);
    Ok(match (leaf, value) {
        (Leaf::Bool, Value::Bool(flag)) => flag.to_string(),
        (_, Value::Int(number)) => number.to_string(),
        (Leaf::Float, Value::Float32(float)) => java::float(*float),
        (Leaf::Double, Value::Float64(float)) => java::double(*float),
        (Leaf::Text | Leaf::Written(_), _) => quoted(&String::from_utf8_lossy(&content()?)),
        (Leaf::Decimal { scale }, Value::Decimal(text)) => {
            content()?;
            let (negative, digits) = digits(text, scale as usize);
            java::big_decimal(negative, &digits, i64::from(scale))
        }
        (Leaf::VariableDecimal, Value::Decimal(text)) => {
            let (scale, unscaled) = decimal::variable(text)?;
            format!(r#"{{"scale":{scale},"value":"{}"}}"#, STANDARD.encode(unscaled))
        }
        (Leaf::Whole { form, .. }, value) => crate::connect::whole(form, value)?.to_string(),
        (Leaf::Bytes | Leaf::Bits, _) => quoted(&STANDARD.encode(content()?)),
        _ => return Err(Fault::WrongType),
    })
}

/// The unscaled number's digits, without leading zeros.
fn digits(text: &str, scale: usize) -> (bool, String) {
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let padded = format!("{whole}{fraction:0<scale$}");
    let digits = padded.trim_start_matches(['0', '+']);
    if digits.is_empty() { (false, "0".to_owned()) } else { (negative, digits.to_owned()) }
}

/// Connect escapes the backslash and the quote, nothing else.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::schema::{Field, Form};
    use crate::model::value::{Constant, UNIX_EPOCH};

    #[test]
    fn each_type_as_connect_prints_it() {
        let decimal = || Schema::new(Kind::Bytes).form(Form::Decimal { scale: 2 });
        let zoned = || Schema::string().form(Form::Zoned { digits: Some(6) });
        let fallback = |schema: Schema, constant| Schema { fallback: Some(constant), ..schema };
        for (schema, value, want) in [
            (Schema::int32(), Value::Int(9), "9"),
            (fallback(Schema::int32(), Constant::Plain(Value::Int(0))), Value::Null, "0"),
            (Schema::string().optional(), Value::Null, "null"),
            (Schema::string(), Value::Text("a\"\\\n"), "\"a\\\"\\\\\n\""),
            (Schema::new(Kind::Boolean), Value::Bool(true), "true"),
            (decimal(), Value::Decimal("-1.5"), "-1.50"),
            (decimal(), Value::Decimal("-0.00"), "0.00"),
            (
                Schema::structure("v", vec![]).form(Form::VariableDecimal),
                Value::Decimal("1.5"),
                r#"{"scale":1,"value":"Dw=="}"#,
            ),
            (Schema::new(Kind::Bytes), Value::Hex(b"00ff"), "\"AP8=\""),
            (Schema::int32().form(Form::Date), Value::Date(3), "3"),
            (zoned(), Value::TimestampTz(UNIX_EPOCH), "\"1970-01-01T00:00:00.000000Z\""),
            (Schema::new(Kind::Float64), Value::Float64(1e10), "1.0E10"),
        ] {
            let shown = format!("{schema:?}");
            let key = Schema::structure("Key", vec![Field::new("k", schema)]);
            let mut out = Vec::new();
            assert_eq!(print(&mut out, &key, &Value::Struct(&[value])), Ok(()), "{shown}");
            assert_eq!(String::from_utf8_lossy(&out), format!("{{\"k\":{want}}}"), "{shown}");
        }
    }
}
