//! The status document and readiness.

mod refused;

use crate::buffer::{self, Damaged, Log, Partition, disk_free_bytes};
use crate::config::Config;
use crate::db::{AtRest, Db, Ended, Readers};
use crate::feature::Engine;
use crate::gate::quarantine;
use crate::ingest::consume;
use crate::pipeline::progress::{Progress, State};
use crate::pipeline::{Agent, cursor, upkeep};
use crate::slo::Slos;
use crate::{forward, metrics, store, sync};
use rusqlite::Connection;
use serde_json::{Value as Json, json};
use shared::admin::Status;
use shared::error::Result;
use shared::shutdown::Shutdown;
use shared::time::Clock;
use std::net::SocketAddr;
use std::sync::Arc;

/// What the status document is made from.
pub struct Page {
    log: Arc<Log>,
    engine: Arc<Engine>,
    readers: Readers,
    topics: Vec<String>,
    db: Db,
    reserve_free_bytes: u64,
    upkeep: upkeep::Watch,
    progress: Progress,
    sync: sync::Hand,
    consume: Option<(String, consume::progress::Watch)>,
    forward: Option<(String, forward::progress::Watch)>,
    slos: Arc<Slos>,
}

/// Serves the page until the program stops; returns the address it listens on.
pub async fn serve(listen: SocketAddr, agent: &Agent, shutdown: Shutdown) -> Result<SocketAddr> {
    let page = Page {
        log: agent.log(),
        engine: agent.engine(),
        readers: agent.readers(),
        topics: agent.topics(),
        db: agent.db(),
        reserve_free_bytes: agent.reserve_free_bytes(),
        upkeep: agent.upkeep_watch(),
        progress: agent.progress(),
        sync: agent.sync(),
        consume: agent.consume(),
        forward: agent.forward(),
        slos: agent.slos(),
    };
    let more = refused::routes(agent.sync(), agent.readers(), agent.engine());
    shared::admin::serve(listen, Arc::new(page), more, shutdown).await
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
        let (topics, views, quarantined, sync) = self.readers.run_now(|connection| {
            let topics = self.log_topics(connection, &state)?;
            let mut views = Vec::new();
            for (shape, (name, rows)) in self.engine.shapes().iter().zip(self.engine.sizes(connection)?) {
                let stored = store::size(connection, shape.id)?;
                let hydrating = state.hydrating.contains(&name);
                let served_version = state.former.get(&name).copied().unwrap_or(shape.version);
                let looked_up: serde_json::Map<String, Json> = self
                    .engine
                    .looked_up(connection, shape.id)?
                    .into_iter()
                    .map(|(n, rows)| (n, json!(rows)))
                    .collect();
                views.push(json!({
                    "name": name, "version": shape.version, "served_version": served_version,
                    "rows": rows, "looked_up_rows": looked_up, "entities": stored,
                    "hydrating": hydrating, "lacks_rows_until_ms": lacks_rows(&state, &name)
                }));
            }
            let quarantined: serde_json::Map<String, Json> =
                quarantine::sizes(connection)?.into_iter().map(|(reason, n)| (reason, json!(n))).collect();
            Ok((topics, views, quarantined, self.targets(connection)?))
        })?;
        Ok(json!({
            "version": env!("CARGO_PKG_VERSION"),
            "slo": self.slos.page(shared::time::Clock::System.now().micros()),
            "ready": self.ready().is_ok(),
            "waiting": state.waiting,
            "buffer": self.buffer(&topics),
            "file": self.file(),
            "refused_batches": refused(),
            "consume": self.consume.as_ref().map(|(brokers, watch)| central(brokers, &watch.get())),
            "forward": self.forward.as_ref().map(|(brokers, watch)| forwarded(brokers, &watch.get())),
            "topics": topics,
            "feature_views": views,
            "quarantined": quarantined,
            "sync": sync
        }))
    }

    /// Topics that a view or gate reads first, then those that are only kept.
    fn log_topics(&self, reader: &Connection, state: &State) -> Result<Vec<Json>> {
        let others = self.log.topics();
        let others =
            others.iter().map(|topic| &*topic.name).filter(|name| !self.topics.iter().any(|t| t == name));
        let mut topics = Vec::new();
        for name in self.topics.iter().map(String::as_str).chain(others) {
            let processed = self.topics.iter().any(|topic| topic == name);
            let mut partitions = Vec::new();
            for partition in self.log.topic(name).iter().flat_map(|topic| &topic.partitions) {
                let next = state.cursors.get(&partition.id).copied().unwrap_or_else(|| partition.start());
                let mut one = at_rest_partition(partition, processed.then_some(next));
                let oldest_ms = self.log.oldest_age_ms(reader, partition.id)?;
                one["oldest_age_s"] = json!(oldest_ms.map(|ms| ms / 1_000));
                one["error"] = json!(state.damaged.get(&partition.id));
                partitions.push(one);
            }
            topics.push(json!({"name": name, "processed": processed, "partitions": partitions}));
        }
        Ok(topics)
    }

    /// What the page says of the central stores.
    fn targets(&self, connection: &Connection) -> Result<Vec<Json>> {
        let now_ns = Clock::System.now().nanos();
        let target = |shown: &sync::Shown| {
            let now = shown.watch.get();
            let (waiting, oldest) = sync::outbox::size(connection, &shown.name)?;
            let lag_ms = oldest.map_or(0, |as_of| now_ns.saturating_sub(as_of.0).max(0) / 1_000_000);
            Ok(json!({
                "name": shown.name, "kind": shown.kind, "address": shown.address,
                "connected": now.connected, "sent": now.sent, "waiting": waiting, "lag_ms": lag_ms,
                "refused": sync::refused::count(connection, &shown.name)?, "error": now.error
            }))
        };
        self.sync.shown().iter().map(target).collect()
    }

    fn buffer(&self, topics: &[Json]) -> Json {
        let (used, max) = (self.log.used_bytes(), self.log.max_bytes());
        let growth = self.upkeep.get().growth_bytes_per_s;
        let disk = disk_free_bytes(&self.db.folder());
        let room =
            disk.map(|free| (free + self.db.space().free_bytes()).saturating_sub(self.reserve_free_bytes));
        let left = max.saturating_sub(used).min(room.unwrap_or(u64::MAX)) as f64;
        // Below a kilobyte a second it is noise.
        let hours = (growth > 1_024.0).then(|| (left / growth / 3_600.0 * 10.0).round() / 10.0);
        let partitions = || topics.iter().filter_map(|topic| topic["partitions"].as_array()).flatten();
        let oldest = partitions().filter_map(|partition| partition["oldest_age_s"].as_i64()).max();
        let records: i64 = partitions().filter_map(|partition| partition["records"].as_i64()).sum();
        json!({
            "used_bytes": used, "max_bytes": max, "full": self.log.is_full(), "records": records,
            "oldest_age_s": oldest, "growth_bytes_per_s": growth.round(), "hours_until_full": hours
        })
    }

    fn file(&self) -> Json {
        let (space, upkeep) = (self.db.space(), self.upkeep.get());
        let damaged = |one: &Damaged| json!({"topic": &*one.topic, "partition": one.index, "offset": one.offset, "why": one.why});
        json!({
            "bytes": space.file_bytes(), "free_bytes": space.free_bytes(), "log_bytes": space.log_bytes(),
            "disk_free_bytes": disk_free_bytes(&self.db.folder()), "clean_start": upkeep.clean_start,
            "scrubbed_ms": upkeep.scrubbed_ms, "scrubbing_bytes": upkeep.scrubbing_bytes,
            "damaged": self.log.damaged().iter().map(damaged).collect::<Vec<_>>()
        })
    }
}

/// Batches that producers were refused since the start, by reason.
fn refused() -> Json {
    let count = |reason: &&str| {
        ((*reason).to_owned(), json!(metrics::BUFFER_REFUSED.with_label_values(&[reason]).get()))
    };
    metrics::REFUSAL_REASONS.iter().map(count).collect::<serde_json::Map<_, _>>().into()
}

fn at_rest_partition(partition: &Partition, next: Option<i64>) -> Json {
    let (start, end) = (partition.start(), partition.end());
    json!({
        "start": start, "next": next, "end": end, "lag": next.map(|next| end.saturating_sub(next)),
        "records": end.saturating_sub(start), "bytes": partition.bytes()
    })
}

/// The document of a file that no agent has open: what can be told without one.
pub fn at_rest(config: &Config, file: &AtRest) -> Result<Json> {
    let mut document = json!({
        "version": env!("CARGO_PKG_VERSION"), "running": false, "ready": false,
        "file": {
            "bytes": file.bytes()?, "clean_stop": file.ended == Ended::Cleanly,
            "disk_free_bytes": config.db.path.parent().and_then(disk_free_bytes)
        }
    });
    let Ok(reader) = file.reader() else { return Ok(document) };
    let cursors = cursor::load(&reader)?;
    let mut used = 0;
    let mut topics = Vec::new();
    for topic in buffer::at_rest(&reader)? {
        let partition = |partition: &Arc<Partition>| {
            used += partition.bytes();
            at_rest_partition(partition, cursors.get(&partition.id).copied())
        };
        let partitions: Vec<Json> = topic.partitions.iter().map(partition).collect();
        topics.push(json!({"name": &*topic.name, "partitions": partitions}));
    }
    document["buffer"] = json!({"used_bytes": used, "max_bytes": config.buffer.max_bytes});
    document["topics"] = json!(topics);
    Ok(document)
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

/// What the page says of the way to central Kafka.
fn forwarded(brokers: &str, now: &forward::progress::State) -> Json {
    let partition = |place: &forward::progress::Partition| {
        json!({
            "topic": *place.local.topic, "partition": place.local.index, "next": place.next_offset,
            "end": place.local.end(), "error": place.error
        })
    };
    let partitions: Vec<Json> = now.partitions.iter().map(partition).collect();
    let to_go = now.records_to_go();
    json!({
        "brokers": brokers, "connected": now.connected, "open": now.open, "ended": now.ended,
        "records": now.records, "bytes": now.bytes, "records_per_second": now.rate.round(),
        "records_to_go": to_go, "bytes_to_go": (to_go as f64 * now.bytes_per_record) as u64,
        "seconds_to_go": now.seconds_to_go, "error": now.error, "remedy": now.remedy, "partitions": partitions
    })
}

/// When a view has all its rows: absent if it has, "never" if waiting does not help.
fn lacks_rows(state: &State, view: &str) -> Option<Json> {
    state.short.get(view).map(|until_us| match until_us {
        &i64::MAX => json!("never"),
        until_us => json!(until_us / 1_000),
    })
}
