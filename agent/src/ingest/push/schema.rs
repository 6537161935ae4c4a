//! Records → bytes by the schema that holds for their topic.

use super::answer::No;
use super::request::{Named, Part, Record, Request};
use crate::config::push::{PushTopic, SchemaRule};
use crate::ingest::avro::{Encoder, derive, key};
use crate::registry::{Problem, Registry};
use serde_json::Value as Json;
use shared::avro::wire::{self, SchemaId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Compiled schemas kept; above it they are compiled again.
const MAX_ENCODERS: usize = 256;

/// A record ready for the log.
pub struct Ready {
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub partition: Option<i32>,
    pub time_ms: Option<i64>,
}

pub struct Encoded {
    pub records: Vec<Ready>,
    pub key_schema: Option<u32>,
    pub value_schema: Option<u32>,
}

/// A schema to write by.
#[derive(Clone)]
struct Chosen {
    id: SchemaId,
    text: Arc<str>,
    encoder: Arc<Encoder>,
}

pub struct Schemas {
    registry: Arc<Registry>,
    encoders: Mutex<HashMap<SchemaId, Chosen>>,
}

impl Schemas {
    pub fn new(registry: Arc<Registry>) -> Schemas {
        Schemas { registry, encoders: Mutex::default() }
    }

    /// Blocks for a moment.
    pub fn encode(&self, topic: &str, rule: Option<&PushTopic>, request: Request<'_>) -> Result<Encoded, No> {
        let schema = rule.map_or(SchemaRule::Registered, |rule| rule.schema);
        let key_columns = rule.map_or(&[][..], |rule| &rule.key);
        let has_json = request.records.iter().any(|record| matches!(record.value, Some(Part::Json(_))));
        let value = match schema {
            _ if !has_json => None,
            SchemaRule::None if request.value_schema == Named::default() => None,
            SchemaRule::Registered | SchemaRule::None => {
                let found = self.named(topic, "value", &request.value_schema)?;
                Some(found.ok_or_else(|| No::Unschemed(topic.to_owned()))?)
            }
            SchemaRule::Derive => {
                let found = self.named(topic, "value", &request.value_schema)?;
                Some(self.derived(topic, found, &request.records)?)
            }
        };
        let key = match (&value, key_columns.is_empty()) {
            (Some(value), false) => {
                let text = key::schema(topic, &value.text, key_columns).map_err(No::Schema)?;
                Some(self.registered(&format!("{topic}-key"), &text)?)
            }
            _ if schema == SchemaRule::None => None,
            _ => self.named(topic, "key", &request.key_schema)?,
        };
        let made = Made { schemas: self, key: key.as_ref(), value: value.as_ref(), key_columns, schema };
        let records = request.records.into_iter().enumerate();
        Ok(Encoded {
            records: records.map(|(at, record)| made.record(at, record)).collect::<Result<_, _>>()?,
            key_schema: key.map(|key| key.id.0),
            value_schema: value.map(|value| value.id.0),
        })
    }

    /// What the request brings or names, or else the newest of the subject.
    fn named(&self, topic: &str, part: &str, named: &Named) -> Result<Option<Chosen>, No> {
        let subject = format!("{topic}-{part}");
        match (&named.text, named.id) {
            (Some(text), _) => self.registered(&subject, text).map(Some),
            (None, Some(id)) => {
                let found = self.chosen(SchemaId(id))?;
                found.map(Some).ok_or_else(|| No::Schema(format!("there is no schema {id}")))
            }
            (None, None) => match self.registry.latest(&subject)? {
                Some(version) => self.chosen(version.id),
                None => Ok(None),
            },
        }
    }

    fn registered(&self, subject: &str, text: &str) -> Result<Chosen, No> {
        let id = self.registry.register(subject, text).map_err(|problem| match problem {
            Problem::Failed(error) => No::Failed(error),
            Problem::InvalidSchema(why) => No::Schema(format!("the schema is invalid: {why}")),
            Problem::Incompatible { reasons, .. } => {
                No::Schema(format!("the schema does not go with those of {subject}: {}", reasons.join("; ")))
            }
            other => No::Schema(format!("the schema cannot be registered under {subject}: {other:?}")),
        })?;
        self.chosen(id)?.ok_or_else(|| No::Schema("the schema cannot be read".to_owned()))
    }

    fn chosen(&self, id: SchemaId) -> Result<Option<Chosen>, No> {
        if let Some(known) = self.encoders.lock().unwrap_or_else(PoisonError::into_inner).get(&id) {
            return Ok(Some(known.clone()));
        }
        let Some(text) = self.registry.whole_schema(id)? else { return Ok(None) };
        let encoder = Encoder::new(&text).map_err(|why| No::Schema(format!("schema {id}: {why}")))?;
        let chosen = Chosen { id, text, encoder: Arc::new(encoder) };
        let mut encoders = self.encoders.lock().unwrap_or_else(PoisonError::into_inner);
        if encoders.len() >= MAX_ENCODERS {
            encoders.clear();
        }
        encoders.insert(id, chosen.clone());
        Ok(Some(chosen))
    }

    /// The topic's schema if the records fit into it; else it with what they need in addition.
    fn derived(&self, topic: &str, known: Option<Chosen>, records: &[Record<'_>]) -> Result<Chosen, No> {
        let mut columns = Vec::new();
        let mut fits = known.is_some();
        let mut out = Vec::new();
        for (at, record) in records.iter().enumerate() {
            let Some(Part::Json(text)) = &record.value else { continue };
            let value = parsed(at, text)?;
            let object = value.as_object();
            let object = object.ok_or_else(|| No::Record(at, "a row must be an object".to_owned()))?;
            columns = derive::merge(columns, derive::columns_of(object));
            out.clear();
            fits = fits && known.as_ref().is_some_and(|known| known.encoder.encode(&value, &mut out).is_ok());
        }
        let text = match known {
            Some(known) if fits => return Ok(known),
            Some(known) => derive::widened(&known.text, &columns).map_err(No::Schema)?,
            None => derive::schema(topic, &columns).map_err(No::Schema)?,
        };
        self.registered(&format!("{topic}-value"), &text)
    }
}

fn parsed(at: usize, text: &str) -> Result<Json, No> {
    serde_json::from_str(text).map_err(|error| No::Record(at, format!("no JSON: {error}")))
}

/// What every record of a request is made with.
struct Made<'a> {
    schemas: &'a Schemas,
    key: Option<&'a Chosen>,
    value: Option<&'a Chosen>,
    key_columns: &'a [String],
    schema: SchemaRule,
}

impl Made<'_> {
    fn record(&self, at: usize, record: Record<'_>) -> Result<Ready, No> {
        let Record { key, value, partition, time_ms } = record;
        let row = match (&value, self.value.is_some() || !self.key_columns.is_empty()) {
            (Some(Part::Json(text)), true) => Some(parsed(at, text)?),
            _ => None,
        };
        let value = match (value, self.value, &row) {
            (None, _, _) => None,
            (Some(Part::Json(_)), Some(schema), Some(row)) => Some(framed(at, "value", schema, row)?),
            (Some(Part::Json(text)), _, _) => Some(text.into_owned().into_bytes()),
            (Some(Part::Bytes(bytes)), _, _) => {
                self.known_frame(at, &bytes)?;
                Some(bytes.into_owned())
            }
        };
        let key = match (key, &row) {
            (Some(Part::Json(text)), _) => Some(self.json_key(at, &text)?),
            (Some(Part::Bytes(bytes)), _) => Some(bytes.into_owned()),
            (None, Some(row)) if !self.key_columns.is_empty() => match self.key {
                Some(schema) => Some(framed(at, "key", schema, &key::of(row, self.key_columns))?),
                None => Some(key::of(row, self.key_columns).to_string().into_bytes()),
            },
            (None, _) => None,
        };
        Ok(Ready { key, value, partition, time_ms })
    }

    /// A text is a key as it is; anything else as its JSON, unless there is a schema.
    fn json_key(&self, at: usize, text: &str) -> Result<Vec<u8>, No> {
        let value = parsed(at, text)?;
        match (self.key, value) {
            (Some(schema), value) => framed(at, "key", schema, &value),
            (None, Json::String(text)) => Ok(text.into_bytes()),
            (None, _) => Ok(text.as_bytes().to_vec()),
        }
    }

    /// Bytes must be framed with an id that is known here, unless the topic has no schemas.
    fn known_frame(&self, at: usize, bytes: &[u8]) -> Result<(), No> {
        if self.schema == SchemaRule::None {
            return Ok(());
        }
        let Some((id, _)) = wire::split(bytes) else {
            let what = "the bytes do not begin with a zero byte and a schema id; a topic of other bytes is named in [[push.topic]] with schema = \"none\"";
            return Err(No::Record(at, what.to_owned()));
        };
        match self.schemas.registry.schema(id)? {
            Some(_) => Ok(()),
            None => Err(No::Record(at, format!("schema {id} is not registered here"))),
        }
    }
}

fn framed(at: usize, part: &str, schema: &Chosen, value: &Json) -> Result<Vec<u8>, No> {
    let mut out = wire::prefix(schema.id).to_vec();
    schema.encoder.encode(value, &mut out).map_err(|misfit| No::Record(at, format!("{part}: {misfit}")))?;
    Ok(out)
}
