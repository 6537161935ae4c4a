//! Every metric of the agent: name, help, labels. Constants here, counting where it happens.

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts};
use shared::metrics::register;
use std::sync::LazyLock;

fn counter(name: &str, help: &str) -> IntCounter {
    register(IntCounter::new(name, help))
}

fn gauge(name: &str, help: &str) -> IntGauge {
    register(IntGauge::new(name, help))
}

// db

pub static DB_COMMIT_SECONDS: LazyLock<Histogram> = LazyLock::new(|| {
    let buckets = vec![0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0];
    let help = "Time from the first statement of a group to its durable commit";
    register(Histogram::with_opts(
        HistogramOpts::new("tidegate_agent_db_commit_seconds", help).buckets(buckets),
    ))
});

pub static DB_ROLLBACKS: LazyLock<IntCounter> = LazyLock::new(|| {
    counter("tidegate_agent_db_rollbacks_total", "Groups that could not be committed and were undone")
});

// buffer

pub static BUFFER_BATCHES: LazyLock<IntCounter> = LazyLock::new(|| {
    counter("tidegate_agent_buffer_appended_batches_total", "Record batches made durable in the log")
});

pub static BUFFER_RECORDS: LazyLock<IntCounter> = LazyLock::new(|| {
    counter("tidegate_agent_buffer_appended_records_total", "Records made durable in the log")
});

pub static BUFFER_APPENDED_BYTES: LazyLock<IntCounter> = LazyLock::new(|| {
    counter("tidegate_agent_buffer_appended_bytes_total", "Bytes of record batches made durable in the log")
});

pub static BUFFER_DUPLICATES: LazyLock<IntCounter> = LazyLock::new(|| {
    counter("tidegate_agent_buffer_duplicate_batches_total", "Batches sent again and recognised as stored")
});

pub static BUFFER_REFUSED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Batches refused, by reason: full, sequence, epoch, unsound, storage";
    register(IntCounterVec::new(Opts::new("tidegate_agent_buffer_refused_batches_total", help), &["reason"]))
});

pub static BUFFER_LOG_BYTES: LazyLock<IntGauge> =
    LazyLock::new(|| gauge("tidegate_agent_buffer_log_bytes", "Bytes of record batches in the log"));

pub static BUFFER_LIMIT_BYTES: LazyLock<IntGauge> = LazyLock::new(|| {
    gauge("tidegate_agent_buffer_limit_bytes", "Bytes of record batches that the log may hold")
});

pub static BUFFER_FULL: LazyLock<IntGauge> = LazyLock::new(|| {
    gauge("tidegate_agent_buffer_full", "1 while producers are refused because budget or disk is full")
});

pub static BUFFER_TRIMMED_BYTES: LazyLock<IntCounter> = LazyLock::new(|| {
    counter("tidegate_agent_buffer_trimmed_bytes_total", "Bytes of record batches removed from the log")
});

// registry

pub static REGISTRY_SCHEMAS: LazyLock<IntCounter> = LazyLock::new(|| {
    counter("tidegate_agent_registry_registered_schemas_total", "Schema versions registered since start")
});

// ingest (the Kafka door)

pub static DOOR_CONNECTIONS: LazyLock<IntGauge> =
    LazyLock::new(|| gauge("tidegate_agent_ingest_door_connections", "Open connections at the Kafka door"));

pub static DOOR_REQUESTS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    register(IntCounterVec::new(
        Opts::new("tidegate_agent_ingest_door_requests_total", "Requests answered at the Kafka door"),
        &["api"],
    ))
});

pub static DOOR_REFUSED_REQUESTS: LazyLock<IntCounter> = LazyLock::new(|| {
    let help = "Connections closed for a request that is malformed, unknown or too large";
    counter("tidegate_agent_ingest_door_refused_requests_total", help)
});
