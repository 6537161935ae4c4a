//! Record → bytes in Confluent's wire format.
//!
//! ```text
//!  Schema ── schema ──> text ── subject ──> id ┐
//!    └──────── form ──> steps ─────────────────┴─ plan ── put(value) ──> bytes
//! ```
//!
//! The left side runs once per schema and topic, the last arrow once per record.

mod bytes;
mod decimal;
mod form;
mod header;
mod plan;
mod schema;
mod side;
mod subject;

#[cfg(any(test, fuzzing))]
pub mod fuzz;

use crate::config::Config;
use crate::config::avro::AvroConfig;
use crate::connect::Fault;
use crate::model::encoded::{Encoded, Headers};
use crate::model::record::{Datum, HeaderValue, Record};
use crate::model::value::Value;
use form::Scratch;
use plan::Path;
use shared::error::{Error, Kind, Result};
use shared::registry::Registry;
use side::Side;
use subject::Subjects;
use tokio::runtime::Handle;

/// A buffer that one huge row has made larger than this is given back.
const KEPT_BYTES: usize = 1024 * 1024;

/// Makes bytes out of records; knows the schemas that it has seen.
#[derive(Debug)]
pub struct Encoder {
    config: AvroConfig,
    subjects: Subjects,
    key: Side,
    value: Side,
    printed: Vec<u8>,
    ends: Vec<usize>,
    scratch: Scratch,
}

impl Encoder {
    /// `runtime` runs the calls to the registry; [`Encoder::encode`] waits for them, so it must not
    /// be called from a task of that runtime.
    pub fn new(config: &Config, registry: Registry, runtime: Handle) -> Result<Encoder> {
        let config = &config.avro;
        Ok(Encoder {
            config: config.clone(),
            subjects: Subjects::new(registry, runtime, config),
            key: Side::new("key", config.key_subject),
            value: Side::new("value", config.value_subject),
            printed: Vec::new(),
            ends: Vec::new(),
            scratch: Scratch::default(),
        })
    }

    /// The record's bytes, in buffers that the next call overwrites. The first record of a schema in
    /// a topic compiles its plan and registers it, the key's before the value's.
    ///
    /// # Errors
    /// `Data` for a value or name that cannot be written, with topic and field; the registry's
    /// errors, of which `Unreachable` may be tried again with the same record.
    pub fn encode<'a>(&'a mut self, record: &Record<'a>) -> Result<Encoded<'a>> {
        let Encoder { config, subjects, key, value, printed, ends, scratch } = self;
        scratch.shrink();
        let mut one = |side: &'a mut Side, datum: Option<Datum<'_>>| -> Result<Option<&'a [u8]>> {
            // As AvroConverter: no value is no bytes, whatever the schema.
            let Some(datum) = datum.filter(|datum| datum.value != Value::Null) else { return Ok(None) };
            side.encode(record.topic, datum, config, subjects, scratch).map(Some)
        };
        let key = one(key, record.key)?;
        let value = one(value, record.value)?;
        print_headers(record, printed, ends)?;
        Ok(Encoded {
            topic: record.topic,
            partition: record.partition,
            key,
            value,
            headers: Headers::new(record.headers, printed, ends),
            timestamp_ms: record.timestamp_ms,
        })
    }
}

fn print_headers(record: &Record<'_>, printed: &mut Vec<u8>, ends: &mut Vec<usize>) -> Result<()> {
    printed.clear();
    ends.clear();
    for given in record.headers {
        if let HeaderValue::Datum(datum) = given.value {
            header::print(printed, datum.schema, &datum.value).map_err(|fault| {
                Error::new(Kind::Data, fault.text())
                    .doing(format!("write header {} in topic {}", given.name, record.topic))
            })?;
            ends.push(printed.len());
        }
    }
    Ok(())
}

/// `path` names the field, the innermost first.
fn refused(topic: &str, datum: Datum<'_>, path: &Path, fault: Fault) -> Error {
    let mut schema = datum.schema;
    let mut names = Vec::new();
    for at in path.iter().rev() {
        let Some(field) = schema.fields().get(*at) else { break };
        names.push(field.name.as_str());
        schema = &field.schema;
    }
    let error = Error::new(Kind::Data, fault.text());
    let error = error.doing(format!("write column {} in topic {topic}", names.join(".")));
    match fault {
        Fault::Unavailable => error.remedy("ALTER TABLE … REPLICA IDENTITY FULL sends such values"),
        _ => error,
    }
}
