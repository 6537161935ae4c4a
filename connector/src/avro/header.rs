//! A key as the text of a header: what Connect's SimpleHeaderConverter prints for its struct.
//!
//! Only changed keys come here, so this may allocate. Pure.

use super::fault::Fault;
use super::form::{self, Form};
use super::java;
use crate::model::table::{Column, Table};
use crate::model::value::{Row, Value};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// `{"id":1,"name":"x"}`.
///
/// # Errors
/// The column and what is wrong with its value.
pub fn key_text(table: &Table, row: Row<'_>) -> Result<String, (usize, Fault)> {
    let mut out = String::from("{");
    for (nth, &at) in table.key.iter().enumerate() {
        let missing = (at, Fault::Missing);
        let (column, value) = table.columns.get(at).zip(row.get(at)).ok_or(missing)?;
        if nth > 0 {
            out.push(',');
        }
        out.push_str(&quoted(&column.name));
        out.push(':');
        out.push_str(&text(column, value).map_err(|fault| (at, fault))?);
    }
    out.push('}');
    Ok(out)
}

fn text(column: &Column, value: &Value<'_>) -> Result<String, Fault> {
    let form = Form::of(&column.kind);
    match value {
        Value::Null => match (form::default(column), column.optional) {
            (Some(default), _) => written(form, &default),
            (None, true) => Ok("null".to_owned()),
            (None, false) => {
                let (form, value) = Form::stand_in(&column.kind);
                written(form, &value)
            }
        },
        Value::Unavailable => written(form, &form.placeholder().ok_or(Fault::Unavailable)?),
        value => written(form, value),
    }
}

fn written(form: Form, value: &Value<'_>) -> Result<String, Fault> {
    let content = || form::content(form, value).ok_or(Fault::WrongType);
    Ok(match (form, value) {
        (Form::Bool, Value::Bool(flag)) => flag.to_string(),
        (Form::Int { .. } | Form::Long, Value::Int(number)) => number.to_string(),
        (Form::Float, Value::Float32(float)) => java::float(*float),
        (Form::Double, Value::Float64(float)) => java::double(*float),
        (Form::Text, Value::Text(text)) => quoted(text),
        (Form::Bytes, _) => quoted(&STANDARD.encode(content()?)),
        (Form::Zoned { .. }, _) => quoted(&String::from_utf8_lossy(&content()?)),
        (Form::Decimal { scale }, Value::Decimal(text)) => {
            content()?;
            let (negative, digits) = digits(text, scale as usize);
            java::big_decimal(negative, &digits, i64::from(scale))
        }
        (Form::VariableDecimal, Value::Decimal(text)) => {
            let mut out = Vec::new();
            super::decimal::put_variable(&mut out, text, &mut Vec::new())?;
            let mut rest = out.as_slice();
            let scale = shared::avro::wire::take_long(&mut rest).ok_or(Fault::NoNumber)?;
            shared::avro::wire::take_long(&mut rest).ok_or(Fault::NoNumber)?;
            format!(r#"{{"scale":{scale},"value":"{}"}}"#, STANDARD.encode(rest))
        }
        _ => form::whole(form, value)?.to_string(),
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
    use crate::model::table::{ColumnType, TableId};

    #[test]
    fn each_type_as_connect_prints_it() {
        for (kind, value, want) in [
            (ColumnType::Int32, Value::Int(9), "9"),
            (ColumnType::Int32, Value::Null, "0"),
            (ColumnType::Text, Value::Text("a\"\\\n"), "\"a\\\"\\\\\n\""),
            (ColumnType::Bool, Value::Bool(true), "true"),
            (ColumnType::Decimal { precision: 5, scale: 2 }, Value::Decimal("-1.5"), "-1.50"),
            (ColumnType::Decimal { precision: 5, scale: 2 }, Value::Decimal("-0.00"), "0.00"),
            (ColumnType::VariableDecimal, Value::Decimal("1.5"), r#"{"scale":1,"value":"Dw=="}"#),
            (ColumnType::Bytes, Value::Hex(b"00ff"), "\"AP8=\""),
            (ColumnType::Date, Value::Date(3), "3"),
            (
                ColumnType::TimestampTz { precision: None },
                Value::TimestampTz(0),
                "\"1970-01-01T00:00:00.000000Z\"",
            ),
            (ColumnType::TimestampTz { precision: None }, Value::Null, "\"1970-01-01T00:00:00Z\""),
            (ColumnType::Float64, Value::Float64(1e10), "1.0E10"),
        ] {
            let column = Column { name: "k".to_owned(), kind: kind.clone(), optional: false, default: None };
            let id = TableId { schema: "s".to_owned(), name: "t".to_owned() };
            let table = Table::new(id, vec![column], vec![0]);
            assert_eq!(key_text(&table, &[value]), Ok(format!("{{\"k\":{want}}}")), "{kind:?}");
        }
    }
}
