//! A body → records, not yet looked into: JSON stays text until its schema is known. Pure, fuzzed.

use super::answer::No;
use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// What a body is, by its content type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One JSON object, or a list of them.
    Json,
    /// One JSON value a line.
    Lines,
    /// One message as it is: Confluent's frame, or bytes for a topic without schemas.
    Raw,
    /// Confluent's REST proxy: records with key, value and partition.
    Records,
    /// The same, key and value in base64.
    Binary,
}

const FORMS: &[(&str, Form)] = &[
    ("application/json", Form::Json),
    ("application/x-ndjson", Form::Lines),
    ("application/ndjson", Form::Lines),
    ("application/jsonl", Form::Lines),
    ("application/octet-stream", Form::Raw),
    ("application/vnd.confluent.avro", Form::Raw),
    ("avro/binary", Form::Raw),
    ("application/vnd.kafka.json.v2+json", Form::Records),
    ("application/vnd.kafka.avro.v2+json", Form::Records),
    ("application/vnd.kafka.binary.v2+json", Form::Binary),
    ("application/vnd.kafka.v2+json", Form::Binary),
];

impl Form {
    pub fn of(headers: &HeaderMap) -> Result<Form, No> {
        let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
        let bare = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let found = FORMS.iter().find(|(name, _)| *name == bare).map(|(_, form)| *form);
        found.ok_or_else(|| {
            let known: Vec<&str> = FORMS.iter().map(|(name, _)| *name).collect();
            No::Media(format!("Content-Type {bare:?} is none of {}", known.join(", ")))
        })
    }

    /// Confluent's clients read a line for each record.
    pub fn lists_offsets(self) -> bool {
        matches!(self, Form::Records | Form::Binary)
    }
}

/// A key or value as it was sent.
#[derive(Debug)]
pub enum Part<'a> {
    Json(Cow<'a, str>),
    Bytes(Cow<'a, [u8]>),
}

#[derive(Debug)]
pub struct Record<'a> {
    pub key: Option<Part<'a>>,
    pub value: Option<Part<'a>>,
    pub partition: Option<i32>,
    pub time_ms: Option<i64>,
}

/// The schema that a request brings or names.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Named {
    pub text: Option<String>,
    pub id: Option<u32>,
}

#[derive(Debug, Default)]
pub struct Request<'a> {
    pub records: Vec<Record<'a>>,
    pub key_schema: Named,
    pub value_schema: Named,
}

/// Reads a body; `key` is that of every record which has none.
///
/// # Errors
/// What is wrong with the body, and too many records.
pub fn read(form: Form, body: &[u8], max_records: usize, key: Option<Vec<u8>>) -> Result<Request<'_>, No> {
    let mut request = match form {
        Form::Json => json(body)?,
        Form::Lines => lines(body, max_records)?,
        Form::Raw => Request { records: vec![value(Part::Bytes(body.into()))], ..Request::default() },
        Form::Records => records(body)?,
        Form::Binary => binary(body)?,
    };
    if request.records.is_empty() {
        return Err(No::Malformed("the body holds no record".to_owned()));
    }
    if request.records.len() > max_records {
        return Err(too_many(max_records));
    }
    if let Some(key) = key {
        for record in request.records.iter_mut().filter(|record| record.key.is_none()) {
            record.key = Some(Part::Bytes(key.clone().into()));
        }
    }
    Ok(request)
}

fn too_many(max: usize) -> No {
    No::TooLarge(format!("the body holds more than {max} records (push.max_records)"))
}

fn value(part: Part<'_>) -> Record<'_> {
    Record { key: None, value: Some(part), partition: None, time_ms: None }
}

fn raw(text: &RawValue) -> Part<'_> {
    Part::Json(text.get().into())
}

fn json(body: &[u8]) -> Result<Request<'_>, No> {
    let is_list = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
    let list: Vec<&RawValue> = match is_list {
        true => serde_json::from_slice(body).map_err(no_json)?,
        false => vec![serde_json::from_slice(body).map_err(no_json)?],
    };
    let records = list.into_iter().map(|text| value(raw(text))).collect();
    Ok(Request { records, ..Request::default() })
}

fn lines(body: &[u8], max: usize) -> Result<Request<'_>, No> {
    let mut records = Vec::new();
    for (at, line) in body.split(|byte| *byte == b'\n').enumerate() {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        if records.len() == max {
            return Err(too_many(max));
        }
        let text: &RawValue = serde_json::from_slice(line)
            .map_err(|error| No::Malformed(format!("line {}: {error}", at + 1)))?;
        records.push(value(raw(text)));
    }
    Ok(Request { records, ..Request::default() })
}

fn no_json(error: serde_json::Error) -> No {
    No::Malformed(format!("the body is not the JSON that is asked for: {error}"))
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(default)]
    key_schema: Option<String>,
    #[serde(default)]
    key_schema_id: Option<u32>,
    #[serde(default)]
    value_schema: Option<String>,
    #[serde(default)]
    value_schema_id: Option<u32>,
    #[serde(borrow)]
    records: Vec<Sent<'a>>,
}

#[derive(Deserialize)]
struct Sent<'a> {
    #[serde(borrow, default)]
    key: Option<&'a RawValue>,
    #[serde(borrow, default)]
    value: Option<&'a RawValue>,
    #[serde(default)]
    partition: Option<i32>,
    /// Milliseconds since 1970.
    #[serde(default)]
    timestamp: Option<i64>,
}

fn envelope(body: &[u8]) -> Result<Envelope<'_>, No> {
    serde_json::from_slice(body).map_err(no_json)
}

fn records(body: &[u8]) -> Result<Request<'_>, No> {
    let envelope = envelope(body)?;
    let present = |text: &&RawValue| text.get() != "null";
    let one = |sent: Sent<'_>| Record {
        key: sent.key.filter(present).map(|text| Part::Json(text.get().to_owned().into())),
        value: sent.value.filter(present).map(|text| Part::Json(text.get().to_owned().into())),
        partition: sent.partition,
        time_ms: sent.timestamp,
    };
    Ok(Request {
        records: envelope.records.into_iter().map(one).collect(),
        key_schema: Named { text: envelope.key_schema, id: envelope.key_schema_id },
        value_schema: Named { text: envelope.value_schema, id: envelope.value_schema_id },
    })
}

fn binary(body: &[u8]) -> Result<Request<'_>, No> {
    let mut records = Vec::new();
    for (at, sent) in envelope(body)?.records.into_iter().enumerate() {
        let part = |text: Option<&RawValue>| -> Result<Option<Part<'_>>, No> {
            let Some(text) = text else { return Ok(None) };
            let wrong = || No::Record(at, "key and value must be texts in base64, or null".to_owned());
            let text: Option<String> = serde_json::from_str(text.get()).map_err(|_| wrong())?;
            let bytes = text.map(|text| STANDARD.decode(text)).transpose().map_err(|_| wrong())?;
            Ok(bytes.map(|bytes| Part::Bytes(bytes.into())))
        };
        let (key, value) = (part(sent.key)?, part(sent.value)?);
        records.push(Record { key, value, partition: sent.partition, time_ms: sent.timestamp });
    }
    Ok(Request { records, ..Request::default() })
}
