//! Records over HTTP: JSON, NDJSON, framed Avro, and Feast's `/push`.
//!
//! ```text
//! request ─> memory, or 429 ─> body, unpacked ─> records ─> Avro by schema ─┐ one transaction
//!                                                            └─ registry    ├────────────────> log
//!            answer, after the commit <─── Idempotency-Key, so a retry ─────┘
//!                                          is told what the first was told
//! ```
//! What people know from Confluent's REST proxy (`POST /topics/NAME`) works as there; a request is
//! stored whole or not at all.

mod answer;
pub(crate) mod body;
pub(crate) mod feast;
mod once;
pub(crate) mod request;
mod schema;
#[cfg(test)]
mod tests;

use crate::buffer::{Append, Log, Outcome, Partition, Refusal, Topic, With};
use crate::config::push::{PushConfig, PushTopic, SchemaRule};
use crate::db::Db;
use crate::ingest::batch::{self, Incoming, Message, Writer};
use crate::metrics;
use crate::registry::Registry;
use crate::web;
use answer::{No, Placed, Stored};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use once::Once;
use request::{Form, Request};
use schema::{Encoded, Schemas};
use shared::error::{Error, Kind};
use shared::kafka::partitioner::partition_of;
use shared::shutdown::Shutdown;
use shared::time::Clock;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What one permit of memory stands for.
const MEMORY_UNIT_BYTES: usize = 1_024;
/// Spread records without key over partitions, a request each.
static NEXT_PARTITION: AtomicUsize = AtomicUsize::new(0);

type Shared = State<Arc<Push>>;
/// A batch for each partition that gets records.
type Batches = Vec<(Arc<Partition>, Vec<u8>)>;
type Parameters = Query<HashMap<String, String>>;

/// A feature view as Feast's clients push to it: name, topic, key columns.
#[derive(Clone, Debug)]
pub struct View {
    pub name: String,
    pub topic: String,
    pub key: Vec<String>,
}

/// What the door works with.
pub struct Push {
    config: PushConfig,
    log: Arc<Log>,
    schemas: Schemas,
    once: Once,
    views: Vec<View>,
    memory: Arc<Semaphore>,
    clock: Clock,
}

impl Push {
    pub fn new(
        config: &PushConfig,
        db: &Db,
        log: Arc<Log>,
        registry: Arc<Registry>,
        views: Vec<View>,
        clock: Clock,
    ) -> Arc<Push> {
        Arc::new(Push {
            config: config.clone(),
            log,
            schemas: Schemas::new(registry),
            once: Once::new(db, config),
            views,
            memory: Arc::new(Semaphore::new(config.memory_bytes.div_ceil(MEMORY_UNIT_BYTES))),
            clock,
        })
    }
}

/// Serves until the program stops; returns the address it listens on.
pub async fn serve(push: Arc<Push>, shutdown: Shutdown) -> shared::Result<SocketAddr> {
    let config = &push.config;
    let door =
        web::Door { name: "push door", listen: config.listen, auth: &config.auth, tls: config.tls.as_ref() };
    let router = topic_routes(Arc::clone(&push)).merge(feast_routes(Arc::clone(&push)));
    let address = web::serve(door, router, shutdown).await?;
    tracing::info!(event = "push_listening", %address, "records can be pushed");
    Ok(address)
}

fn topic_routes(push: Arc<Push>) -> Router {
    Router::new().route("/topics", get(topics)).route("/topics/{topic}", post(to_topic)).with_state(push)
}

/// Feast's two, for the port that its clients know, behind what guards this door.
pub fn guarded_feast_routes(push: Arc<Push>) -> Router {
    let auth = push.config.auth.clone();
    web::guard(feast_routes(push), &auth)
}

fn feast_routes(push: Arc<Push>) -> Router {
    Router::new()
        .route("/push", post(feast_push))
        .route("/write-to-online-store", post(feast_write))
        .with_state(push)
}

async fn topics(State(push): Shared) -> Response {
    let names: Vec<String> = push.log.topics().iter().map(|topic| topic.name.to_string()).collect();
    axum::Json(names).into_response()
}

async fn to_topic(
    State(push): Shared,
    Path(topic): Path<String>,
    Query(parameters): Parameters,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let key = parameters.get("key").map(|key| key.as_bytes().to_vec());
    let (outcome, lists) = match Form::of(&headers) {
        Ok(form) => (push.take(&topic, form, key, &headers, body).await, form.lists_offsets()),
        Err(no) => (Err(no), false),
    };
    count(&outcome);
    match outcome {
        Ok(stored) => stored.response(lists),
        Err(no) => no.response(),
    }
}

async fn feast_push(State(push): Shared, headers: HeaderMap, body: Body) -> Response {
    push.feast(&headers, body, "push_source_name").await
}

async fn feast_write(State(push): Shared, headers: HeaderMap, body: Body) -> Response {
    push.feast(&headers, body, "feature_view_name").await
}

fn count(outcome: &Result<Stored, No>) {
    match outcome {
        Ok(stored) => metrics::PUSH_RECORDS.inc_by(stored.records() as u64),
        Err(no) => metrics::PUSH_REFUSED.with_label_values(&[no.reason()]).inc(),
    }
}

impl Push {
    async fn feast(&self, headers: &HeaderMap, body: Body, name: &'static str) -> Response {
        let outcome = async {
            let body = self.unpacked(headers, body).await?;
            let named = feast::target(&body.0, name)?;
            let (topic, view) = self.feast_topic(&named).ok_or_else(|| No::feast_unknown(name, &named))?;
            let rule = PushTopic {
                name: topic.clone(),
                schema: SchemaRule::Derive,
                key: view.map(|view| view.key.clone()).unwrap_or_default(),
            };
            self.take_unpacked(&topic, Some(rule), headers, body, feast::rows).await
        };
        let outcome = outcome.await;
        count(&outcome);
        match outcome {
            // As Feast answers: nothing to say, or null.
            Ok(_) if name == "push_source_name" => ().into_response(),
            Ok(_) => axum::Json(()).into_response(),
            Err(no) => no.response(),
        }
    }

    fn feast_topic(&self, name: &str) -> Option<(String, Option<&View>)> {
        let view = self.views.iter().find(|view| view.name == name);
        if let Some(topic) = self.config.feast.get(name) {
            let view = view.or_else(|| self.views.iter().find(|view| view.topic == *topic));
            return Some((topic.clone(), view));
        }
        view.map(|view| (view.topic.clone(), Some(view)))
    }

    async fn take(
        &self,
        topic: &str,
        form: Form,
        key: Option<Vec<u8>>,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Stored, No> {
        let body = self.unpacked(headers, body).await?;
        self.take_unpacked(topic, None, headers, body, |body, max| request::read(form, body, max, key)).await
    }

    /// The body as it was before it was packed, read when there is memory for it.
    async fn unpacked(&self, headers: &HeaderMap, body: Body) -> Result<(Bytes, OwnedSemaphorePermit), No> {
        let packing = body::Packing::of(headers)?;
        let limit = self.config.max_body_bytes;
        let announced = body::length(headers).unwrap_or(limit);
        let too_large =
            || No::TooLarge(format!("the body is larger than {limit} bytes (push.max_body_bytes)"));
        if announced > limit {
            return Err(too_large());
        }
        let bytes = if packing == body::Packing::Plain { announced } else { self.config.unpacked_bytes };
        let units = u32::try_from(bytes.div_ceil(MEMORY_UNIT_BYTES)).unwrap_or(u32::MAX);
        let memory = Arc::clone(&self.memory).try_acquire_many_owned(units).map_err(|_| No::Busy)?;
        let body = axum::body::to_bytes(body, announced).await.map_err(|_| too_large())?;
        Ok((body::unpack(packing, body, self.config.unpacked_bytes)?, memory))
    }

    async fn take_unpacked(
        &self,
        topic: &str,
        rule: Option<PushTopic>,
        headers: &HeaderMap,
        (body, memory): (Bytes, OwnedSemaphorePermit),
        read: impl for<'b> FnOnce(&'b [u8], usize) -> Result<Request<'b>, No>,
    ) -> Result<Stored, No> {
        let turn = self.once.turn(headers, topic, &body)?;
        if let Some(turn) = &turn
            && let Some(answer) = turn.answered().await?
        {
            return Ok(answer);
        }
        if self.log.is_full() {
            return Err(No::Full);
        }
        let topic = self.topic(topic).await?;
        let declared = self.config.topic.iter().find(|rule| rule.fits(&topic.name)).cloned();
        let rule = declared.or(rule);
        // Reads the registry's tables, and takes its time over a large body.
        let encoded = tokio::task::block_in_place(|| {
            let request = read(&body, self.config.max_records)?;
            self.schemas.encode(&topic.name, rule.as_ref(), request)
        })?;
        drop(body);
        self.store(&topic, encoded, turn, memory).await
    }

    async fn topic(&self, name: &str) -> Result<Arc<Topic>, No> {
        self.log.topic_or_new(name).await?.map_err(|why| No::Topic(name.to_owned(), why))
    }

    async fn store(
        &self,
        topic: &Topic,
        encoded: Encoded,
        turn: Option<once::Turn>,
        memory: OwnedSemaphorePermit,
    ) -> Result<Stored, No> {
        let (batches, mut stored) = self.batches(topic, encoded)?;
        let (frame, appends): (_, Vec<Append>) = batch::frame(&batches)?;
        drop(batches);
        let note = turn.as_ref().map(|turn| turn.note(self.clock.now().millis()));
        let mut template = stored.clone();
        let with: With = Box::new(move |tx, outcomes| {
            // A part of a request would be stored twice by its retry.
            let taken = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Stored { .. })).count();
            if taken != outcomes.len() && taken > 0 {
                return Err(Error::new(Kind::Full, "a pushed request fits only in part"));
            }
            match note {
                Some(note) if taken > 0 => {
                    template.place(outcomes);
                    note.write(tx, &template)
                }
                _ => Ok(()),
            }
        });
        let answer = self.log.append_with(frame, appends, memory, Some(with)).await?;
        let outcomes =
            answer.await.unwrap_or_else(|_| Err(Error::new(Kind::Bug, "the log did not answer")))?;
        let come_back = [Refusal::Full, Refusal::TopicGone].map(Outcome::Refused);
        if outcomes.iter().any(|outcome| come_back.contains(outcome)) {
            return Err(No::Full);
        }
        stored.place(&outcomes);
        Ok(stored)
    }

    /// The records as batches, one for each partition that gets any.
    fn batches(&self, topic: &Topic, encoded: Encoded) -> Result<(Batches, Stored), No> {
        let count = topic.partitions.len().max(1);
        let spread = NEXT_PARTITION.fetch_add(1, Ordering::Relaxed) % count;
        let now_ms = self.clock.now().millis();
        let mut writers: Vec<Writer> = Vec::new();
        writers.resize_with(count, Writer::default);
        let mut placed = Vec::with_capacity(encoded.records.len());
        for record in &encoded.records {
            let at = match (record.partition, &record.key) {
                (Some(at), _) => usize::try_from(at).unwrap_or(usize::MAX),
                (None, Some(key)) => partition_of(key, count),
                (None, None) => spread,
            };
            let Some(writer) = writers.get_mut(at) else { return Err(No::Partition(at, count)) };
            placed.push(Placed { partition: at, offset: i64::from(writer.count()) });
            writer.push(&Incoming {
                time_ms: record.time_ms.unwrap_or(now_ms),
                key: record.key.as_deref().map(Message::plain),
                value: record.value.as_deref().map(Message::plain),
                headers: Vec::new(),
            });
        }
        let filled =
            writers.iter_mut().zip(&topic.partitions).enumerate().filter(|(_, (w, _))| w.count() > 0);
        let (partitions, batches) =
            filled.map(|(at, (writer, partition))| (at, (Arc::clone(partition), writer.finish()))).unzip();
        let Encoded { key_schema, value_schema, .. } = encoded;
        let topic = topic.name.to_string();
        Ok((batches, Stored { topic, placed, partitions, key_schema, value_schema, repeated: false }))
    }
}
