//! `transforms` and `predicates`: Kafka Connect's two lists of names and their properties.

use super::Target;
use super::properties::{self, Properties};
use shared::error::{Error, Kind, Result};
use toml::{Table, Value};

pub fn apply(connector: &Properties, target: &mut Target) -> Result<()> {
    for name in super::list(connector.get("transforms").map_or("", String::as_str)) {
        let mut settings = settings(connector, "transforms", &name)?;
        let mut item = Table::new();
        item.insert("name".to_owned(), Value::from(name.as_str()));
        for (theirs, ours) in [("type", "type"), ("predicate", "predicate")] {
            item.extend(settings.remove(theirs).map(|value| (ours.to_owned(), value)));
        }
        if let Some(Value::String(negate)) = settings.remove("negate") {
            item.insert("negate".to_owned(), Value::from(negate.trim() == "true"));
        }
        item.insert("properties".to_owned(), Value::Table(settings));
        target.append(&["transform"], item);
    }
    for name in super::list(connector.get("predicates").map_or("", String::as_str)) {
        let mut settings = settings(connector, "predicates", &name)?;
        let mut item = Table::new();
        item.extend(settings.remove("type").map(|value| ("type".to_owned(), value)));
        item.insert("properties".to_owned(), Value::Table(settings));
        target.set(&format!("predicate.{name}"), Value::Table(item));
    }
    Ok(())
}

/// The properties of one name, without `transforms.NAME.`; its type must be among them.
fn settings(connector: &Properties, kind: &str, name: &str) -> Result<Table> {
    let front = format!("{kind}.{name}.");
    let mut settings = Table::new();
    for (property, value) in connector {
        if let Some(rest) = property.strip_prefix(&front) {
            settings.insert(rest.to_owned(), Value::from(properties::resolve(value)?));
        }
    }
    if settings.contains_key("type") {
        Ok(settings)
    } else {
        Err(Error::new(Kind::Config, format!("{kind} names {name}, but {front}type is not set")))
    }
}
