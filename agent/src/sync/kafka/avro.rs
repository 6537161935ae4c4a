//! A view as Avro: the schemas of its key and value, and a row's bytes by them. Pure.
//!
//! Every feature may be null. One whose type the definition leaves open gets a union of all that a feature
//! can be; moments are then microseconds since 1970. `type = "…"` in the definition makes it one type.

use super::super::{Row, View};
use crate::model::feature::{EntityType, FeatureType};
use crate::model::value::Value;
use serde_json::{Value as Json, json};
use shared::avro::wire::put_long;
use shared::error::{Error, Kind, Result};
use std::collections::HashSet;

const NAMESPACE: &str = "tidegate.features";
/// The field of the row's time.
const TIME: &str = "event_timestamp";

/// What one view's rows are written by.
#[derive(Debug)]
pub struct Plan {
    key: String,
    value: String,
}

impl Plan {
    /// # Errors
    /// `Config`, if two names are the same one in Avro.
    pub fn of(view: &View) -> Result<Plan> {
        let (shape, record) = (&view.shape, name(&view.shape.name));
        let keys = shape.entity.iter().map(|(key, kind)| field(key, key_type(*kind), false)).collect();
        let mut fields: Vec<Json> = shape
            .features
            .iter()
            .zip(&view.types)
            .map(|(feature, kind)| field(feature, value_type(*kind), true))
            .collect();
        fields.push(field(TIME, moment(), false));
        Ok(Plan { key: schema(&format!("{record}_key"), keys)?, value: schema(&record, fields)? })
    }

    pub fn key_schema(&self) -> &str {
        &self.key
    }

    pub fn value_schema(&self) -> &str {
        &self.value
    }

    /// # Errors
    /// Why the entity does not fit.
    pub fn key(&self, row: &Row, out: &mut Vec<u8>) -> std::result::Result<(), String> {
        for ((name, kind), value) in row.view.entity().iter().zip(&row.keys) {
            put_key(*kind, value, out).map_err(|what| misfit(name, what, value))?;
        }
        Ok(())
    }

    /// # Errors
    /// Why the row does not fit.
    pub fn value(&self, row: &Row, out: &mut Vec<u8>) -> std::result::Result<(), String> {
        for ((name, value), kind) in row.named_values().zip(&row.view.types) {
            put_value(*kind, value, out).map_err(|what| misfit(name, what, value))?;
        }
        put_long(out, row.as_of.0.div_euclid(1_000));
        Ok(())
    }
}

fn misfit(name: &str, wanted: &str, value: &Value) -> String {
    format!("{name} is {}, where the schema says {wanted}", value.kind())
}

fn schema(record: &str, fields: Vec<Json>) -> Result<String> {
    let mut known = HashSet::new();
    for field in &fields {
        let name = field["name"].as_str().unwrap_or_default();
        if !known.insert(name) {
            return Err(Error::new(Kind::Config, format!("two columns are both {name} in Avro"))
                .remedy("rename one of them: Avro's names have letters, digits and _ only"));
        }
    }
    Ok(json!({"type": "record", "name": record, "namespace": NAMESPACE, "fields": fields}).to_string())
}

/// The name with what Avro does not allow made to `_`.
fn name(text: &str) -> String {
    let mut out: String =
        text.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect();
    if out.starts_with(|c: char| c.is_ascii_digit()) {
        out.insert(0, '_');
    }
    out
}

fn field(text: &str, kind: Json, optional: bool) -> Json {
    match optional {
        true => json!({"name": name(text), "type": kind, "default": null}),
        false => json!({"name": name(text), "type": kind}),
    }
}

fn moment() -> Json {
    json!({"type": "long", "logicalType": "timestamp-micros"})
}

fn key_type(kind: EntityType) -> Json {
    match kind {
        EntityType::Int32 => json!("int"),
        EntityType::Int64 => json!("long"),
        EntityType::Text => json!("string"),
        EntityType::Natural => json!(["long", "string", "bytes", "boolean", "double"]),
    }
}

fn value_type(kind: FeatureType) -> Json {
    match kind {
        FeatureType::Int64 => json!(["null", "long"]),
        FeatureType::Double => json!(["null", "double"]),
        FeatureType::Text => json!(["null", "string"]),
        FeatureType::Bool => json!(["null", "boolean"]),
        FeatureType::Timestamp => json!(["null", moment()]),
        FeatureType::Vector => json!(["null", {"type": "array", "items": "double"}]),
        FeatureType::Natural => {
            let plain = ["long", "string", "bytes", "boolean", "double"];
            json!(["null", "long", "string", "bytes", "boolean", "double", {"type": "array", "items": plain}])
        }
    }
}

fn put_key(kind: EntityType, value: &Value, out: &mut Vec<u8>) -> std::result::Result<(), &'static str> {
    match (kind, value) {
        (EntityType::Int32, Value::Int(n)) if i32::try_from(*n).is_ok() => put_long(out, *n),
        (EntityType::Int32, _) => return Err("int"),
        (EntityType::Int64, Value::Int(n)) => put_long(out, *n),
        (EntityType::Int64, _) => return Err("long"),
        (EntityType::Text, Value::Text(text)) => put_bytes(text.as_bytes(), out),
        (EntityType::Text, _) => return Err("string"),
        (EntityType::Natural, value) => put_plain(0, value, out)?,
    }
    Ok(())
}

fn put_value(kind: FeatureType, value: &Value, out: &mut Vec<u8>) -> std::result::Result<(), &'static str> {
    if matches!(value, Value::Null | Value::Opaque | Value::Unchanged | Value::Absent) {
        put_long(out, 0);
        return Ok(());
    }
    if kind == FeatureType::Natural {
        let Value::List(values) = value else { return put_plain(1, value, out) };
        put_long(out, 6);
        return put_array(values, out, |value, out| put_plain(0, value, out));
    }
    put_long(out, 1);
    match (kind, value) {
        (FeatureType::Int64, Value::Int(n)) | (FeatureType::Timestamp, Value::Timestamp(n)) => {
            put_long(out, *n);
        }
        (FeatureType::Double, value) => put_double(value, out)?,
        (FeatureType::Text, Value::Text(text)) => put_bytes(text.as_bytes(), out),
        (FeatureType::Bool, Value::Bool(truth)) => out.push(u8::from(*truth)),
        (FeatureType::Vector, Value::List(values)) => put_array(values, out, put_double)?,
        (FeatureType::Int64, _) => return Err("long"),
        (FeatureType::Timestamp, _) => return Err("timestamp"),
        (FeatureType::Text, _) => return Err("string"),
        (FeatureType::Bool, _) => return Err("boolean"),
        (FeatureType::Vector, _) => return Err("array of double"),
        (FeatureType::Natural, _) => return Err("another type"),
    }
    Ok(())
}

/// The branch of a union that begins, at `first`, with long, string, bytes, boolean, double.
fn put_plain(first: i64, value: &Value, out: &mut Vec<u8>) -> std::result::Result<(), &'static str> {
    match value {
        Value::Int(n) | Value::Timestamp(n) => {
            put_long(out, first);
            put_long(out, *n);
        }
        Value::Text(text) => {
            put_long(out, first + 1);
            put_bytes(text.as_bytes(), out);
        }
        Value::Bytes(bytes) => {
            put_long(out, first + 2);
            put_bytes(bytes, out);
        }
        Value::Bool(truth) => {
            put_long(out, first + 3);
            out.push(u8::from(*truth));
        }
        number @ (Value::Float(_) | Value::Decimal(_)) => {
            put_long(out, first + 4);
            put_double(number, out)?;
        }
        _ => return Err("one plain value"),
    }
    Ok(())
}

fn put_array(
    values: &[Value],
    out: &mut Vec<u8>,
    put: impl Fn(&Value, &mut Vec<u8>) -> std::result::Result<(), &'static str>,
) -> std::result::Result<(), &'static str> {
    if !values.is_empty() {
        put_long(out, values.len() as i64);
        values.iter().try_for_each(|value| put(value, out))?;
    }
    put_long(out, 0);
    Ok(())
}

fn put_double(value: &Value, out: &mut Vec<u8>) -> std::result::Result<(), &'static str> {
    out.extend_from_slice(&value.to_f64().ok_or("double")?.to_le_bytes());
    Ok(())
}

fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_long(out, bytes.len() as i64);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
#[path = "avro_tests.rs"]
mod tests;
