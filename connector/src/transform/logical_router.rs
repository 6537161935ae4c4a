//! Debezium's ByLogicalTableRouter: tables that are parts of one go to one topic, with a field in
//! the key that tells them apart.

use super::derived::{Derived, is_envelope, renamed};
use super::properties::{Settings, replacement, whole};
use super::{Next, Transform};
use crate::model::record::{Datum, Record};
use crate::model::schema::{Field, Kind, Schema};
use crate::model::value::{RowBuffer, Value};
use regex::Regex;
use shared::Result;
use std::sync::Arc;

struct Router {
    topic: Regex,
    replacement: String,
    /// Name of the further field in keys; `None` leaves keys as they are.
    field: Option<String>,
    /// How the field's value follows from the topic.
    field_value: Option<(Regex, String)>,
    keys: Derived<Arc<Schema>>,
    values: Derived<Arc<Schema>>,
    row: RowBuffer,
}

pub fn make(settings: &mut Settings<'_>) -> Result<Box<dyn Transform>> {
    let topic = whole("topic.regex", settings.required("topic.regex")?)?;
    let replaced = replacement(settings.required("topic.replacement")?);
    let unique = settings.flag("key.enforce.uniqueness", true)?;
    let field = settings.text_or("key.field.name", "__dbz__physicalTableIdentifier");
    let pattern = settings.text("key.field.regex").filter(|pattern| !pattern.is_empty());
    let value = settings.text_or("key.field.replacement", "");
    for name in ["logical.table.cache.size", "schema.name.adjustment.mode"] {
        settings.text(name);
    }
    let field_value = pattern.map(|pattern| Ok((whole("key.field.regex", pattern)?, replacement(&value))));
    Ok(Box::new(Router {
        topic,
        replacement: replaced,
        field: unique.then_some(field),
        field_value: field_value.transpose()?,
        keys: Derived::default(),
        values: Derived::default(),
        row: RowBuffer::default(),
    }))
}

impl Transform for Router {
    fn apply(&mut self, record: &Record<'_>, next: Next<'_>) -> Result<()> {
        if !self.topic.is_match(record.topic) || record.value.is_some_and(|datum| !is_envelope(datum.schema))
        {
            return next(record);
        }
        let topic = self.topic.replace(record.topic, &self.replacement);
        if topic.is_empty() {
            return next(record);
        }
        let identifier = match &self.field_value {
            Some((pattern, replacement)) => pattern.replace(record.topic, replacement),
            None => record.topic.into(),
        };
        let value = record.value.map(|datum| {
            (self.values.of(datum.schema, || Arc::new(envelope(datum.schema, &topic))).clone(), datum.value)
        });
        let mut row = self.row.take();
        let key = record.key.map(|datum| {
            let field = self.field.as_deref();
            let schema = self.keys.of(datum.schema, || Arc::new(key(datum.schema, &topic, field))).clone();
            if let Value::Struct(values) = datum.value {
                row.extend_from_slice(values);
            }
            row.extend(field.map(|_| Value::Text(&identifier)));
            schema
        });
        let done = next(&Record {
            topic: &topic,
            key: key.as_ref().map(|schema| Datum { schema, value: Value::Struct(&row) }),
            value: value.as_ref().map(|(schema, value)| Datum { schema, value: *value }),
            ..*record
        });
        self.row.give_back(row);
        done
    }
}

fn key(schema: &Schema, topic: &str, field: Option<&str>) -> Schema {
    let mut fields = schema.fields().to_vec();
    fields.extend(field.map(|name| Field::new(name, Schema::string())));
    Schema { kind: Kind::Struct(fields), ..renamed(schema, format!("{topic}.Key")) }
}

/// The envelope under the topic's name, and so its rows.
fn envelope(schema: &Schema, topic: &str) -> Schema {
    let row = schema.field("before").map(|(_, row)| Arc::new(renamed(row, format!("{topic}.Value"))));
    let one = |field: &Field| match (&row, field.name.as_str()) {
        (Some(row), "before" | "after") => Field { name: field.name.clone(), schema: row.clone() },
        _ => field.clone(),
    };
    let fields = schema.fields().iter().map(one).collect();
    Schema { kind: Kind::Struct(fields), ..renamed(schema, format!("{topic}.Envelope")) }
}
