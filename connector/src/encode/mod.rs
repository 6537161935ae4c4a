//! Record → bytes: what Kafka Connect's converters do, each for keys and for values.
//!
//! Avro is what this connector is for: its schemas are registered and its plans compiled once, and a
//! record then costs no allocation. The others write what their converters write, plainly.

mod avro;
mod dead_letter;
mod header;
mod json;
mod plain;

#[cfg(any(test, fuzzing))]
pub use avro::fuzz;

use crate::config::Config;
use crate::config::avro::AvroConfig;
use crate::config::encode::{Format, SideConfig};
use crate::model::encoded::{Encoded, Headers};
use crate::model::record::{Datum, HeaderValue, Record};
use crate::model::value::Value;
pub use dead_letter::DeadLetters;

use avro::{Scratch, Side, Subjects};
use json::Json;
use shared::error::{Error, Kind, Result};
use shared::registry::Registry;
use tokio::runtime::Handle;

/// Makes bytes out of records; knows the schemas that it has seen.
#[derive(Debug)]
pub struct Encoder {
    config: AvroConfig,
    subjects: Subjects,
    key: Converter,
    value: Converter,
    printed: Vec<u8>,
    ends: Vec<Option<usize>>,
    scratch: Scratch,
}

/// One of Connect's converters, with its own buffer.
#[derive(Debug)]
enum Converter {
    Avro(Box<Side>),
    Json(Json),
    Plain { side: &'static str, text: bool, buffer: Vec<u8> },
}

impl Encoder {
    /// `runtime` runs the calls to the registry; [`Encoder::encode`] waits for them, so it must not
    /// be called from a task of that runtime.
    pub fn new(config: &Config, registry: Option<Registry>, runtime: Handle) -> Result<Encoder> {
        let naming = [config.avro.key_subject, config.avro.value_subject];
        let one = |side: &'static str, given: &SideConfig, naming| match given.format {
            Format::Avro => Converter::Avro(Box::new(Side::new(side, naming))),
            Format::Json => Converter::Json(Json::new(side, given)),
            Format::Text => Converter::Plain { side, text: true, buffer: Vec::new() },
            Format::Bytes => Converter::Plain { side, text: false, buffer: Vec::new() },
        };
        let [key, value] = naming;
        Ok(Encoder {
            config: config.avro.clone(),
            subjects: Subjects::new(registry, runtime, &config.avro, &config.event.topic_prefix),
            key: one("key", &config.encode.key, key),
            value: one("value", &config.encode.value, value),
            printed: Vec::new(),
            ends: Vec::new(),
            scratch: Scratch::default(),
        })
    }

    /// The record's bytes, in buffers that the next call overwrites. The first record of a schema in
    /// a topic compiles its plan and registers it, the key's before the value's; `asks` is told the topic before
    /// the registry is asked.
    ///
    /// # Errors
    /// `Data` for a value or name that cannot be written, with topic and field; the registry's
    /// errors, of which `Unreachable` may be tried again with the same record.
    pub fn encode<'a>(&'a mut self, record: &Record<'a>, asks: &mut dyn FnMut(&str)) -> Result<Encoded<'a>> {
        let Encoder { config, subjects, key, value, printed, ends, scratch } = self;
        scratch.shrink();
        let mut one = |converter: &'a mut Converter, datum: Option<Datum<'_>>| {
            let Some(datum) = datum else { return Ok(None) };
            match converter {
                // No value is no bytes, whatever the schema.
                Converter::Avro(_) | Converter::Plain { .. } if datum.value == Value::Null => Ok(None),
                Converter::Avro(side) => {
                    side.encode(record.topic, datum, config, subjects, scratch, asks).map(Some)
                }
                Converter::Json(json) => json.encode(record.topic, datum).map(Some),
                Converter::Plain { side, text, buffer } => {
                    plain::write(buffer, record.topic, side, datum, *text)?;
                    Ok(Some(buffer.as_slice()))
                }
            }
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

fn print_headers(record: &Record<'_>, printed: &mut Vec<u8>, ends: &mut Vec<Option<usize>>) -> Result<()> {
    printed.clear();
    ends.clear();
    for given in record.headers {
        if let HeaderValue::Datum(Datum { value: Value::Null, .. }) = given.value {
            ends.push(None);
        } else if let HeaderValue::Datum(datum) = given.value {
            header::print(printed, datum.schema, &datum.value).map_err(|fault| {
                Error::new(Kind::Data, fault.text())
                    .doing(format!("write header {} in topic {}", given.name, record.topic))
            })?;
            ends.push(Some(printed.len()));
        }
    }
    Ok(())
}
