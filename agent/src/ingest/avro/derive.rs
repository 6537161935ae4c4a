//! A schema for rows that came without one: every column nullable, types as the values show them. Pure.

use super::text;
use serde_json::{Map, Value as Json, json};

/// What a column holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// Nothing but nulls so far; a text, if it stays so.
    Unknown,
    Boolean,
    Long,
    Double,
    /// ISO date with time.
    Moment,
    Text,
    List(Box<Kind>),
    Object(Vec<(String, Kind)>),
    /// As its maker says: an Avro type.
    Given(Json),
}

impl Kind {
    /// What one JSON value shows.
    pub fn of(value: &Json) -> Kind {
        match value {
            Json::Null => Kind::Unknown,
            Json::Bool(_) => Kind::Boolean,
            Json::Number(number) if number.is_i64() => Kind::Long,
            Json::Number(_) => Kind::Double,
            Json::String(text) if text::moment_nanos(text).is_some() => Kind::Moment,
            Json::String(_) => Kind::Text,
            Json::Array(list) => {
                let items = list.iter().fold(Kind::Unknown, |known, item| known.and(Kind::of(item)));
                Kind::List(Box::new(items))
            }
            Json::Object(object) => Kind::Object(columns_of(object)),
        }
    }

    /// What holds both; texts hold everything that is not a list or an object.
    pub fn and(self, other: Kind) -> Kind {
        match (self, other) {
            (Kind::Unknown, kind) | (kind, Kind::Unknown) => kind,
            (Kind::Long, Kind::Double) | (Kind::Double, Kind::Long) => Kind::Double,
            (Kind::Text, Kind::Boolean | Kind::Long | Kind::Double | Kind::Moment)
            | (Kind::Boolean | Kind::Long | Kind::Double | Kind::Moment, Kind::Text) => Kind::Text,
            (Kind::List(one), Kind::List(two)) => Kind::List(Box::new(one.and(*two))),
            (Kind::Object(one), Kind::Object(two)) => Kind::Object(merge(one, two)),
            // A later value that is of another kind is refused as a bad row.
            (one, _) => one,
        }
    }

    fn avro(&self, name: &str) -> Json {
        match self {
            Kind::Unknown | Kind::Text => "string".into(),
            Kind::Boolean => "boolean".into(),
            Kind::Long => "long".into(),
            Kind::Double => "double".into(),
            Kind::Moment => json!({"type": "long", "logicalType": "timestamp-micros"}),
            Kind::List(items) => json!({"type": "array", "items": ["null", items.avro(name)]}),
            Kind::Object(columns) => record(name, None, columns),
            Kind::Given(kind) => kind.clone(),
        }
    }
}

/// The columns of an object, in its order.
pub fn columns_of(object: &Map<String, Json>) -> Vec<(String, Kind)> {
    object.iter().map(|(name, value)| (name.clone(), Kind::of(value))).collect()
}

/// Columns of both, those of the first in front.
pub fn merge(mut one: Vec<(String, Kind)>, two: Vec<(String, Kind)>) -> Vec<(String, Kind)> {
    for (name, kind) in two {
        match one.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = std::mem::replace(known, Kind::Unknown).and(kind),
            None => one.push((name, kind)),
        }
    }
    one
}

/// The schema of a topic's values.
///
/// # Errors
/// Names a column that cannot be called so in Avro.
pub fn schema(topic: &str, columns: &[(String, Kind)]) -> Result<String, String> {
    check_names(columns)?;
    Ok(record("Value", Some(&namespace(topic)), columns).to_string())
}

/// The schema that a topic has, with the columns that it lacks; integers become doubles where they must.
///
/// # Errors
/// Names what cannot be added.
pub fn widened(existing: &str, columns: &[(String, Kind)]) -> Result<String, String> {
    check_names(columns)?;
    let mut schema: Json = serde_json::from_str(existing).map_err(|error| error.to_string())?;
    let fields = schema.get_mut("fields").and_then(Json::as_array_mut);
    let fields = fields.ok_or("the topic's schema is no record")?;
    for (name, kind) in columns {
        let known = fields.iter_mut().find(|field| field.get("name").and_then(Json::as_str) == Some(name));
        match (known.and_then(|field| field.get_mut("type")), kind) {
            (None, kind) => fields.push(field(name, kind)),
            (Some(known), Kind::Double) if *known == json!(["null", "long"]) => {
                *known = json!(["null", "double"]);
            }
            _ => {}
        }
    }
    Ok(schema.to_string())
}

fn record(name: &str, namespace: Option<&str>, columns: &[(String, Kind)]) -> Json {
    let mut out = Map::new();
    out.insert("type".to_owned(), "record".into());
    out.insert("name".to_owned(), name.into());
    if let Some(namespace) = namespace {
        out.insert("namespace".to_owned(), namespace.into());
    }
    out.insert("fields".to_owned(), columns.iter().map(|(name, kind)| field(name, kind)).collect());
    Json::Object(out)
}

fn field(name: &str, kind: &Kind) -> Json {
    // Two columns may hold objects of other shapes: each has a type of its own name.
    json!({"name": name, "type": ["null", kind.avro(&format!("{name}_value"))], "default": null})
}

fn check_names(columns: &[(String, Kind)]) -> Result<(), String> {
    for (name, kind) in columns {
        if !is_name(name) {
            return Err(format!("column {name:?} cannot be a field of Avro: letters, digits and _ only"));
        }
        if let Kind::Object(columns) = kind {
            check_names(columns)?;
        }
    }
    Ok(())
}

fn is_name(name: &str) -> bool {
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    starts && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A column's name as it can stand in Avro: what cannot becomes `_`.
pub fn field_name(name: &str) -> String {
    let legal = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let name: String = name.trim().chars().map(legal).collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) || name.is_empty() { format!("_{name}") } else { name }
}

/// Debezium's way: the topic's name, with what Avro does not take replaced.
pub fn namespace(topic: &str) -> String {
    topic.split('.').map(field_name).collect::<Vec<_>>().join(".")
}
