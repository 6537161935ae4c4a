//! What a sender is told: where its records lie, or why they were not taken and what to do.

use crate::buffer::{CannotCreate, Outcome};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use shared::error::Error;

const REPEATED: HeaderName = HeaderName::from_static("idempotent-replayed");
const BUSY_SECONDS: &str = "1";
const FULL_SECONDS: &str = "10";

/// A record's place: partition, and offset (within its batch, until the batch has one).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    pub partition: usize,
    pub offset: i64,
}

/// A request that is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stored {
    pub topic: String,
    pub placed: Vec<Placed>,
    /// Partitions that got a batch, in the order of the batches.
    pub partitions: Vec<usize>,
    pub key_schema: Option<u32>,
    pub value_schema: Option<u32>,
    /// Answered before: this is what was said then.
    #[serde(skip)]
    pub repeated: bool,
}

impl Stored {
    pub fn records(&self) -> usize {
        if self.repeated { 0 } else { self.placed.len() }
    }

    /// The batches have their offsets.
    pub fn place(&mut self, outcomes: &[Outcome]) {
        for (partition, outcome) in self.partitions.iter().zip(outcomes) {
            let Outcome::Stored { base_offset } = outcome else { continue };
            for placed in self.placed.iter_mut().filter(|placed| placed.partition == *partition) {
                placed.offset = placed.offset.saturating_add(*base_offset);
            }
        }
    }

    /// As Confluent's REST proxy, or in a few words.
    pub fn response(&self, lists_offsets: bool) -> Response {
        let one = |placed: &Placed| json!({"partition": placed.partition, "offset": placed.offset, "error_code": null, "error": null});
        let body = match lists_offsets {
            true => json!({
                "offsets": self.placed.iter().map(one).collect::<Vec<_>>(),
                "key_schema_id": self.key_schema, "value_schema_id": self.value_schema
            }),
            false => json!({
                "topic": self.topic, "records": self.placed.len(), "value_schema_id": self.value_schema
            }),
        };
        let kind = if lists_offsets { "application/vnd.kafka.v2+json" } else { "application/json" };
        let mut response = (StatusCode::OK, [(header::CONTENT_TYPE, kind)], body.to_string()).into_response();
        if self.repeated {
            response.headers_mut().insert(REPEATED, HeaderValue::from_static("true"));
        }
        response
    }
}

/// Why nothing of a request is stored.
#[derive(Debug)]
pub enum No {
    /// The requests under way use all memory.
    Busy,
    Full,
    /// The content type or encoding is none that is known.
    Media(String),
    TooLarge(String),
    Topic(String, CannotCreate),
    Partition(usize, usize),
    /// The body is not what its type says.
    Malformed(String),
    /// A record does not fit, by its place in the request.
    Record(usize, String),
    /// There is no schema to write it by.
    Unschemed(String),
    Schema(String),
    /// The name under which a request was stored is used for another one.
    KeyUsed,
    /// The same request is under way.
    KeyBusy,
    KeyTooLong,
    /// Feast's words for what it does not know.
    Feast(u16, String),
    Failed(Error),
}

impl From<Error> for No {
    fn from(error: Error) -> Self {
        No::Failed(error)
    }
}

impl No {
    pub fn feast_unknown(kind: &str, name: &str) -> No {
        let (status, class, what) = match kind {
            "push_source_name" => (422, "PushSourceNotFoundException", "Unable to find push source"),
            _ => (404, "FeatureViewNotFoundException", "Feature view does not exist:"),
        };
        let detail = json!({"module": "feast.errors", "class": class, "message": format!("{what} {name:?}; name it in [push.feast]")});
        No::Feast(status, Json::String(detail.to_string()).to_string())
    }

    /// The label of the metric.
    pub fn reason(&self) -> &'static str {
        match self {
            No::Busy | No::KeyBusy => "busy",
            No::Full => "full",
            No::Failed(_) => "failed",
            _ => "invalid",
        }
    }

    fn explain(&self) -> (StatusCode, u32, String) {
        use StatusCode as Http;
        match self {
            No::Busy => (
                Http::TOO_MANY_REQUESTS,
                429,
                "too much is under way; try again (push.memory_bytes)".to_owned(),
            ),
            No::Full => (
                Http::SERVICE_UNAVAILABLE,
                50301,
                "the log is full (buffer.max_bytes, or the disk); try again later".to_owned(),
            ),
            No::Media(what) => (Http::UNSUPPORTED_MEDIA_TYPE, 415, what.clone()),
            No::TooLarge(what) => (Http::PAYLOAD_TOO_LARGE, 413, what.clone()),
            No::Topic(name, CannotCreate::NotAllowed) => (
                Http::NOT_FOUND,
                40401,
                format!("there is no topic {name:?}, and buffer.auto_create_topics is false"),
            ),
            No::Topic(name, CannotCreate::Name) => {
                (Http::UNPROCESSABLE_ENTITY, 42208, format!("{name:?} cannot be a topic's name"))
            }
            No::Topic(_, CannotCreate::TooMany) => (
                Http::UNPROCESSABLE_ENTITY,
                42208,
                "there are too many topics (buffer.max_topics)".to_owned(),
            ),
            No::Partition(at, count) => {
                (Http::NOT_FOUND, 40402, format!("there is no partition {at}: the topic has {count}"))
            }
            No::Malformed(what) => (Http::BAD_REQUEST, 400, what.clone()),
            No::Record(at, what) => (Http::UNPROCESSABLE_ENTITY, 42203, format!("record {at}: {what}")),
            No::Unschemed(topic) => (
                Http::UNPROCESSABLE_ENTITY,
                42201,
                format!(
                    "topic {topic:?} has no schema: register one under {topic}-value, or name the topic in [[push.topic]] with schema = \"derive\" or \"none\""
                ),
            ),
            No::Schema(what) => (Http::UNPROCESSABLE_ENTITY, 42205, what.clone()),
            No::KeyUsed => (
                Http::UNPROCESSABLE_ENTITY,
                42209,
                "this Idempotency-Key stands for another request".to_owned(),
            ),
            No::KeyBusy => (
                Http::CONFLICT,
                409,
                "a request with this Idempotency-Key is under way; try again".to_owned(),
            ),
            No::KeyTooLong => {
                (Http::BAD_REQUEST, 400, "Idempotency-Key must have from 1 to 255 visible letters".to_owned())
            }
            No::Feast(status, what) => {
                (Http::from_u16(*status).unwrap_or(Http::BAD_REQUEST), 0, what.clone())
            }
            No::Failed(error) if error.retryable() => {
                (Http::SERVICE_UNAVAILABLE, 50302, "the records could not be stored; try again".to_owned())
            }
            No::Failed(_) => (
                Http::INTERNAL_SERVER_ERROR,
                50002,
                "the records could not be stored; see the agent's log".to_owned(),
            ),
        }
    }

    pub fn response(self) -> Response {
        if let No::Failed(error) = &self
            && !error.retryable()
        {
            tracing::error!(event = "push_failed", %error, remedy = error.hint(), "could not store a pushed request");
        }
        let (status, code, message) = self.explain();
        let body = match &self {
            No::Feast(_, body) => body.clone(),
            _ => json!({"error_code": code, "message": message}).to_string(),
        };
        let mut response = (status, [(header::CONTENT_TYPE, "application/json")], body).into_response();
        let pause = match self {
            No::Busy | No::KeyBusy => Some(BUSY_SECONDS),
            No::Full | No::Failed(_) if status == StatusCode::SERVICE_UNAVAILABLE => Some(FULL_SECONDS),
            _ => None,
        };
        if let Some(pause) = pause {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(pause));
        }
        response
    }
}
