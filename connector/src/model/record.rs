//! A record before it is encoded: what Kafka Connect calls a source record.

use super::schema::Schema;
use super::value::Value;
use std::sync::Arc;

/// A value and what it looks like.
#[derive(Clone, Copy, Debug)]
pub struct Datum<'a> {
    pub schema: &'a Arc<Schema>,
    pub value: Value<'a>,
}

impl<'a> Datum<'a> {
    /// A struct's field, as it is.
    pub fn field(self, name: &str) -> Option<Datum<'a>> {
        let Value::Struct(values) = self.value else { return None };
        let schema: &'a Schema = self.schema;
        let (at, schema) = schema.field(name)?;
        Some(Datum { schema, value: *values.get(at)? })
    }

    /// As Connect reads it: a default stands in for NULL.
    #[must_use]
    pub fn or_default(self) -> Datum<'a> {
        let schema: &'a Schema = self.schema;
        Datum { value: schema.or_default(self.value), ..self }
    }
}

/// What goes to one topic as one message.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    pub topic: &'a str,
    /// `None` leaves it to the producer's partitioner.
    pub partition: Option<i32>,
    /// `None` when the table has no key.
    pub key: Option<Datum<'a>>,
    /// `None` is a tombstone.
    pub value: Option<Datum<'a>>,
    /// In the order in which they are sent.
    pub headers: &'a [Header<'a>],
    /// When the source says that it happened: Kafka's timestamp if a transform asks for it.
    pub timestamp_ms: Option<i64>,
}

/// A header of a record.
#[derive(Clone, Copy, Debug)]
pub struct Header<'a> {
    pub name: &'a str,
    pub value: HeaderValue<'a>,
}

/// What Connect's `SimpleHeaderConverter` is given.
#[derive(Clone, Copy, Debug)]
pub enum HeaderValue<'a> {
    /// Sent as it is.
    Text(&'a str),
    /// Sent as Connect prints it: a struct as JSON.
    Datum(Datum<'a>),
}
