//! Kafka's InsertField: the topic, the partition, the record's time or a fixed text as a further field.

use super::derived::{Derived, read};
use super::properties::Settings;
use super::side::Side;
use super::{Next, Transform};
use crate::model::record::{Datum, Record};
use crate::model::schema::{Field, Schema};
use crate::model::value::{RowBuffer, Value};
use shared::Result;
use shared::error::{Error, Kind};
use std::sync::Arc;

/// Connect's logical type of milliseconds.
const TIMESTAMP: &str = "org.apache.kafka.connect.data.Timestamp";

struct Insert {
    side: Side,
    added: Vec<Added>,
    replace_null: bool,
    derived: Derived<Arc<Schema>>,
    row: RowBuffer,
}

struct Added {
    name: String,
    content: Content,
    optional: bool,
}

enum Content {
    Topic,
    Partition,
    Timestamp,
    Text(String),
}

pub fn make_key(settings: &mut Settings<'_>) -> Result<Box<dyn Transform>> {
    make(settings, Side::Key)
}

pub fn make_value(settings: &mut Settings<'_>) -> Result<Box<dyn Transform>> {
    make(settings, Side::Value)
}

fn make(settings: &mut Settings<'_>, side: Side) -> Result<Box<dyn Transform>> {
    if settings.text("offset.field").is_some() {
        return Err(Error::new(Kind::Config, "offset.field is for sinks only")
            .remedy("remove it: a record has no offset before it is written"));
    }
    let fixed = settings.text("static.value");
    let mut added = Vec::new();
    for (property, content) in [
        ("topic.field", Some(Content::Topic)),
        ("partition.field", Some(Content::Partition)),
        ("timestamp.field", Some(Content::Timestamp)),
        ("static.field", fixed.map(|text| Content::Text(text.to_owned()))),
    ] {
        let Some(given) = settings.text(property) else { continue };
        let content = content.ok_or_else(|| {
            Error::new(Kind::Config, "static.field is set without static.value").remedy("set static.value")
        })?;
        let name = given.strip_suffix(['?', '!']).unwrap_or(given).to_owned();
        added.push(Added { name, content, optional: !given.ends_with('!') });
    }
    if added.is_empty() {
        return Err(Error::new(Kind::Config, "no field to insert")
            .remedy("set topic.field, partition.field, timestamp.field, or static.field and static.value"));
    }
    let replace_null = settings.flag("replace.null.with.default", true)?;
    Ok(Box::new(Insert { side, added, replace_null, derived: Derived::default(), row: RowBuffer::default() }))
}

impl Added {
    fn field(&self) -> Field {
        let schema = match self.content {
            Content::Topic | Content::Text(_) => Schema::string(),
            Content::Partition => Schema::int32(),
            Content::Timestamp => Schema::int64().semantic(TIMESTAMP),
        };
        Field::new(self.name.as_str(), Schema { optional: self.optional, ..schema })
    }

    fn value<'a>(&'a self, record: &Record<'a>) -> Value<'a> {
        match &self.content {
            Content::Topic => Value::Text(record.topic),
            Content::Partition => record.partition.map_or(Value::Null, |number| Value::Int(number.into())),
            Content::Timestamp => record.timestamp_ms.map_or(Value::Null, Value::Int),
            Content::Text(text) => Value::Text(text),
        }
    }
}

impl Transform for Insert {
    fn apply(&mut self, record: &Record<'_>, next: Next<'_>) -> Result<()> {
        let Some((origin, values)) = self.side.structure(record) else { return next(record) };
        let Insert { side, added, replace_null, derived, row } = self;
        let make = || {
            let fields = origin.fields().iter().cloned().chain(added.iter().map(Added::field));
            Arc::new(origin.with_fields(fields.collect()))
        };
        let schema = derived.of(origin, make).clone();
        let mut out = row.take();
        let fields = origin.fields().iter().zip(values);
        out.extend(fields.map(|(field, value)| read(&field.schema, *value, *replace_null)));
        out.extend(added.iter().map(|added| added.value(record)));
        let datum = Datum { schema: &schema, value: Value::Struct(&out) };
        let done = next(&side.with(record, Some(datum)));
        row.give_back(out);
        done
    }
}
