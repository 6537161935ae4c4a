//! Texts as Connect's StringConverter writes them (Java's `toString`), and bytes as they are, as
//! ByteArrayConverter and Debezium's BinaryDataConverter pass them on.

use super::avro::form::{self, Leaf};
use crate::connect::{self, Fault};
use crate::model::record::Datum;
use crate::model::schema::{Kind, Schema};
use crate::model::value::Value;
use shared::error::{Error, Kind as ErrorKind, Result};

/// Writes a value that is there.
///
/// # Errors
/// `Data` for a value that is no text or no bytes.
pub fn write(out: &mut Vec<u8>, topic: &str, side: &str, datum: Datum<'_>, text: bool) -> Result<()> {
    out.clear();
    let refused = |fault: Fault| {
        let error =
            Error::new(ErrorKind::Data, fault.text()).doing(format!("write a {side} of topic {topic}"));
        error.remedy("choose another encode format, or a transform that leaves one column")
    };
    if !text {
        let leaf = Leaf::of(datum.schema).filter(|leaf| matches!(leaf, Leaf::Bytes | Leaf::Bits));
        let content = leaf.and_then(|leaf| form::content(leaf, &datum.value));
        out.extend(content.ok_or(Fault::WrongType).map_err(refused)?);
        return Ok(());
    }
    let mut printed = String::new();
    print(&mut printed, datum.schema, &datum.value).map_err(refused)?;
    out.extend_from_slice(printed.as_bytes());
    Ok(())
}

/// `Struct{id=1,name=x}`, without fields that are NULL.
fn print(out: &mut String, schema: &Schema, value: &Value<'_>) -> std::result::Result<(), Fault> {
    match (&schema.kind, value) {
        (Kind::Struct(fields), Value::Struct(values)) => {
            out.push_str("Struct{");
            let present = fields.iter().zip(*values).filter(|(_, value)| **value != Value::Null);
            for (at, (field, value)) in present.enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                out.push_str(&field.name);
                out.push('=');
                print(out, &field.schema, value)?;
            }
            out.push('}');
            Ok(())
        }
        (Kind::Array(items), Value::List(values)) => {
            out.push('[');
            for (at, value) in values.iter().enumerate() {
                out.push_str(if at > 0 { ", " } else { "" });
                match value {
                    Value::Null => out.push_str("null"),
                    value => print(out, items, value)?,
                }
            }
            out.push(']');
            Ok(())
        }
        (_, Value::Unavailable) => match &schema.unavailable {
            Some(placeholder) => print(out, schema, &placeholder.value()),
            None => Err(Fault::Unavailable),
        },
        _ => connect::print(out, schema, value),
    }
}
