//! The status document and readiness.

use crate::buffer::Log;
use crate::db::Readers;
use crate::feature::Engine;
use crate::gate::quarantine;
use crate::ingest::consume;
use crate::model::batch::PartitionId;
use crate::pipeline::Agent;
use crate::pipeline::progress::{Progress, State};
use crate::{store, sync};
use serde_json::{Value as Json, json};
use shared::admin::Status;
use shared::error::Result;
use shared::shutdown::Shutdown;
use std::net::SocketAddr;
use std::sync::Arc;

/// What the status document is made from.
pub struct Page {
    log: Arc<Log>,
    engine: Arc<Engine>,
    readers: Readers,
    topics: Vec<String>,
    progress: Progress,
    sync: Option<(String, sync::Watch)>,
    consume: Option<(String, consume::progress::Watch)>,
}

/// Serves the page until the program stops; returns the address it listens on.
pub async fn serve(listen: SocketAddr, agent: &Agent, shutdown: Shutdown) -> Result<SocketAddr> {
    let page = Page {
        log: agent.log(),
        engine: agent.engine(),
        readers: agent.readers(),
        topics: agent.topics(),
        progress: agent.progress(),
        sync: agent.sync(),
        consume: agent.consume(),
    };
    shared::admin::serve(listen, Arc::new(page), axum::Router::new(), shutdown).await
}

impl Status for Page {
    fn ready(&self) -> std::result::Result<(), String> {
        let state = self.progress.get();
        if !state.hydrating.is_empty() {
            return Err(format!("hydrating {}", state.hydrating.join(", ")));
        }
        if !state.caught_up {
            return Err("catching up with the log".to_owned());
        }
        if let Some((view, _)) = state.short.iter().min() {
            return Err(format!("view {view} lacks rows: the log no longer reaches back far enough"));
        }
        match state.waiting {
            Some(why) => Err(format!("processing waits: {why}")),
            None => Ok(()),
        }
    }

    fn status(&self) -> Json {
        // The counts read the file.
        tokio::task::block_in_place(|| {
            self.document()
                .unwrap_or_else(|error| json!({"error": error.to_string(), "remedy": error.hint()}))
        })
    }
}

impl Page {
    fn document(&self) -> Result<Json> {
        let state = self.progress.get();
        let topics: Vec<Json> = self.topics.iter().map(|name| self.topic(name, &state)).collect();
        let (views, quarantined, waiting) = self.readers.run_now(|connection| {
            let mut views = Vec::new();
            for (shape, (name, rows)) in self.engine.shapes().iter().zip(self.engine.sizes(connection)?) {
                let stored = store::size(connection, shape.id)?;
                let hydrating = state.hydrating.contains(&name);
                views.push(json!({
                    "name": name, "rows": rows, "entities": stored,
                    "hydrating": hydrating, "lacks_rows_until_ms": lacks_rows(&state, &name)
                }));
            }
            let quarantined: serde_json::Map<String, Json> =
                quarantine::sizes(connection)?.into_iter().map(|(reason, n)| (reason, json!(n))).collect();
            Ok((views, quarantined, sync::outbox::size(connection)?))
        })?;
        let sync = self.sync.as_ref().map(|(target, watch)| {
            let now = watch.get();
            json!({
                "target": target, "connected": now.connected, "sent": now.sent, "outbox": waiting,
                "error": now.error
            })
        });
        Ok(json!({
            "version": env!("CARGO_PKG_VERSION"),
            "ready": self.ready().is_ok(),
            "waiting": state.waiting,
            "buffer": {"used_bytes": self.log.used_bytes(), "full": self.log.is_full()},
            "consume": self.consume.as_ref().map(|(brokers, watch)| central(brokers, &watch.get())),
            "topics": topics,
            "feature_views": views,
            "quarantined": quarantined,
            "sync": sync
        }))
    }

    fn topic(&self, name: &str, state: &State) -> Json {
        let partition = |id: PartitionId| {
            let end = self.log.end_offset(id);
            let next = state.cursors.get(&id).copied().unwrap_or_else(|| self.log.log_start(id));
            json!({"start": self.log.log_start(id), "next": next, "end": end, "lag": end.saturating_sub(next)})
        };
        let partitions: Vec<Json> = self.log.partitions(name).into_iter().map(partition).collect();
        json!({"name": name, "partitions": partitions})
    }
}

/// What the page says of central Kafka.
fn central(brokers: &str, now: &consume::progress::State) -> Json {
    let partition = |place: &consume::progress::Partition| {
        json!({
            "topic": place.topic, "partition": place.partition, "next": place.next_offset,
            "error": place.error
        })
    };
    let partitions: Vec<Json> = now.partitions.iter().map(partition).collect();
    json!({
        "brokers": brokers, "connected": now.connected, "records": now.records, "error": now.error,
        "missing_topics": now.missing, "partitions": partitions
    })
}

/// When a view has all its rows: absent if it has, "never" if waiting does not help.
fn lacks_rows(state: &State, view: &str) -> Option<Json> {
    state.short.get(view).map(|until_us| match until_us {
        &i64::MAX => json!("never"),
        until_us => json!(until_us / 1_000),
    })
}
