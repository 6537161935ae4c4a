//! A record's key out of its own columns: a small record of them, as Debezium makes it. Pure.

use super::derive;
use serde_json::{Map, Value as Json, json};

/// The schema of a key of these columns, with the types that the value's schema gives them. A key's
/// column is never null.
///
/// # Errors
/// Names a column that the value does not have.
pub fn schema(topic: &str, value_schema: &str, columns: &[String]) -> Result<String, String> {
    let value: Json = serde_json::from_str(value_schema).map_err(|error| error.to_string())?;
    let fields = value.get("fields").and_then(Json::as_array).ok_or("the value's schema is no record")?;
    let field = |name: &String| {
        let found = fields.iter().find(|field| field.get("name").and_then(Json::as_str) == Some(name));
        let kind = found
            .and_then(|field| field.get("type"))
            .ok_or_else(|| format!("there is no column {name:?} for the key"))?;
        Ok(json!({"name": name, "type": not_null(kind)}))
    };
    let fields: Vec<Json> = columns.iter().map(field).collect::<Result<_, String>>()?;
    Ok(json!({"type": "record", "name": "Key", "namespace": derive::namespace(topic), "fields": fields})
        .to_string())
}

/// The one branch of a union with null.
fn not_null(kind: &Json) -> Json {
    match kind.as_array() {
        Some(branches) => {
            let mut others = branches.iter().filter(|branch| *branch != "null");
            match (others.next(), others.next()) {
                (Some(one), None) => one.clone(),
                _ => kind.clone(),
            }
        }
        None => kind.clone(),
    }
}

/// The key's part of a row.
pub fn of(row: &Json, columns: &[String]) -> Json {
    let value = |name: &String| (name.clone(), row.get(name).cloned().unwrap_or(Json::Null));
    Json::Object(columns.iter().map(value).collect::<Map<_, _>>())
}
