//! Which half of a record a transform of Kafka's is for: `$Key` or `$Value`.

use crate::model::record::{Datum, Record};
use crate::model::schema::Schema;
use crate::model::value::Value;
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Key,
    Value,
}

impl Side {
    pub fn of<'a>(self, record: &Record<'a>) -> Option<Datum<'a>> {
        match self {
            Side::Key => record.key,
            Side::Value => record.value,
        }
    }

    /// Its fields, if it has any. A tombstone has none, nor has the key of a table without one:
    /// transforms pass such a record on as it is, where some of Kafka's would end the task.
    pub fn structure<'a>(self, record: &Record<'a>) -> Option<(&'a Arc<Schema>, &'a [Value<'a>])> {
        match self.of(record)? {
            Datum { schema, value: Value::Struct(values) } => Some((schema, values)),
            _ => None,
        }
    }

    pub fn with<'a>(self, record: &Record<'a>, datum: Option<Datum<'a>>) -> Record<'a> {
        match self {
            Side::Key => Record { key: datum, ..*record },
            Side::Value => Record { value: datum, ..*record },
        }
    }
}
