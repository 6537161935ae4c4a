//! A row as one vector: id, values, metadata. Pure.

use super::super::Row;
use crate::model::value::Value;
use serde_json::{Map, Value as Json, json};

/// The time in the metadata: microseconds since 1970, as a number.
pub const TIME: &str = "event_timestamp_us";
/// The vendor's limits.
const MAX_ID: usize = 512;
const MAX_METADATA: usize = 40_960;
const MAX_VALUES: usize = 20_000;

/// A vector on its way; without a text it is taken out of the index.
#[derive(Debug)]
pub struct Record {
    pub id: String,
    pub text: String,
    pub micros: i64,
}

/// # Errors
/// Why an index cannot hold the row.
pub fn of(row: &Row, vector: usize) -> Result<Record, String> {
    let (id, micros) = (id(row)?, row.as_of.0.div_euclid(1_000));
    let values = match row.values.get(vector) {
        None | Some(Value::Null) => return Ok(Record { id, text: String::new(), micros }),
        Some(Value::List(values)) => values,
        Some(other) => return Err(format!("its vector is {}", other.kind())),
    };
    let numbers: Option<Vec<f64>> = values.iter().map(Value::to_f64).collect();
    // An element that is not known yet makes no vector.
    let Some(numbers) = numbers else { return Ok(Record { id, text: String::new(), micros }) };
    if !(1..=MAX_VALUES).contains(&numbers.len()) {
        return Err(format!("its vector has not 1 to {MAX_VALUES} numbers"));
    }
    if numbers.iter().any(|n| !(*n as f32).is_finite()) {
        return Err("its vector has a number that 32 bits do not hold".to_owned());
    }
    let metadata = metadata(row, vector, micros);
    if metadata.to_string().len() > MAX_METADATA {
        return Err(format!("its metadata has more than {MAX_METADATA} bytes"));
    }
    let text = json!({"id": id, "values": numbers, "metadata": metadata}).to_string();
    Ok(Record { id, text, micros })
}

/// The entity's values, joined by colons; what is not plain ASCII is written as %XX.
fn id(row: &Row) -> Result<String, String> {
    let mut id = String::new();
    for (at, key) in row.keys.iter().enumerate() {
        if at > 0 {
            id.push(':');
        }
        match key {
            Value::Int(n) => id.push_str(&n.to_string()),
            Value::Bool(truth) => id.push_str(&truth.to_string()),
            Value::Text(text) => escape(text.as_bytes(), &mut id),
            Value::Bytes(bytes) => escape(bytes, &mut id),
            Value::Timestamp(micros) => id.push_str(&micros.to_string()),
            other => return Err(format!("its entity has a key that is {}", other.kind())),
        }
    }
    match id.len() {
        0 => Err("its entity is empty".to_owned()),
        1..=MAX_ID => Ok(id),
        _ => Err(format!("its entity has more than {MAX_ID} bytes as an id")),
    }
}

fn escape(bytes: &[u8], out: &mut String) {
    use std::fmt::Write;
    for byte in bytes {
        match byte {
            b'%' | b':' | 0..=0x20 | 0x7f.. => {
                // Writing into a string does not fail.
                let _ = write!(out, "%{byte:02X}");
            }
            plain => out.push(char::from(*plain)),
        }
    }
}

/// Strings, numbers, booleans and lists of strings, which is what an index filters by; null is left out.
fn metadata(row: &Row, vector: usize, micros: i64) -> Json {
    let mut out = Map::new();
    let others = row.named_values().enumerate().filter(|(at, _)| *at != vector).map(|(_, one)| one);
    for (name, value) in row.named_keys().chain(others) {
        let value = match value {
            Value::Bool(truth) => json!(truth),
            Value::Int(n) => json!(n),
            Value::Timestamp(micros) => json!(micros.div_euclid(1_000_000)),
            Value::Float(n) if n.is_finite() => json!(n),
            Value::Decimal(n) => json!(n.to_f64()),
            Value::Text(text) => json!(text),
            Value::List(values) => {
                let texts: Option<Vec<&str>> = values
                    .iter()
                    .map(|v| if let Value::Text(t) = v { Some(t.as_str()) } else { None })
                    .collect();
                match texts {
                    Some(texts) if !texts.is_empty() => json!(texts),
                    _ => continue,
                }
            }
            _ => continue,
        };
        out.insert(name.to_owned(), value);
    }
    out.insert(TIME.to_owned(), json!(micros));
    Json::Object(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::feature::{AsOf, EntityType, FeatureType, ViewId, ViewShape};
    use crate::sync::View;
    use std::sync::Arc;

    fn row(keys: Vec<Value>, values: Vec<Value>) -> Row {
        let shape = ViewShape {
            id: ViewId(1),
            version: 1,
            name: "v".to_owned(),
            entity: (0..keys.len()).map(|n| (format!("k{n}"), EntityType::Natural)).collect(),
            features: (0..values.len()).map(|n| format!("f{n}")).collect(),
            ttl_us: None,
        };
        let types = vec![FeatureType::Natural; values.len()];
        Row { view: Arc::new(View { shape, types }), keys, as_of: AsOf(5_000_999), values }
    }

    #[test]
    fn rows_become_vectors_or_say_why_not() {
        let list = Value::List(vec![Value::Float(0.5), Value::Int(2)]);
        let text = |t: &str| Value::Text(t.to_owned());
        let one =
            row(vec![text("a:b ü"), Value::Int(-7)], vec![list.clone(), Value::Null, Value::Bool(true)]);
        let record = of(&one, 0).expect("fits");
        let json: Json = serde_json::from_str(&record.text).expect("JSON");
        let wanted = json!({
            "id": "a%3Ab%20%C3%BC:-7", "values": [0.5, 2.0],
            "metadata": {"k0": "a:b ü", "k1": -7, "f2": true, "event_timestamp_us": 5_000}
        });
        assert_eq!((json, record.micros), (wanted, 5_000));
        for (values, empty) in [
            (vec![Value::Null], true),
            (vec![Value::List(vec![Value::Null])], true),
            (vec![list.clone()], false),
        ] {
            assert_eq!(of(&row(vec![Value::Int(1)], values), 0).expect("fits").text.is_empty(), empty);
        }
        for (keys, values, says) in [
            (vec![Value::Int(1)], vec![text("x")], "its vector is text"),
            (vec![text("")], vec![list.clone()], "its entity is empty"),
            (vec![text(&"x".repeat(600))], vec![list.clone()], "more than 512 bytes"),
            (vec![Value::Int(1)], vec![Value::List(vec![Value::Float(1e300)])], "32 bits"),
            (vec![Value::Int(1)], vec![list.clone(), text(&"x".repeat(50_000))], "metadata"),
        ] {
            let why = of(&row(keys, values), 0).expect_err(says);
            assert!(why.contains(says), "{why}");
        }
    }
}
