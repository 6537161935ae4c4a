//! Every metric of the agent: name, help, labels. Constants here, counting where it happens.

use prometheus::{
    GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
};
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

pub static DB_FILE_BYTES: LazyLock<IntGauge> = LazyLock::new(|| {
    gauge("tidegate_agent_db_file_bytes", "Size of the database file, free room in it included")
});

pub static DB_FREE_BYTES: LazyLock<IntGauge> = LazyLock::new(|| {
    gauge("tidegate_agent_db_free_bytes", "Room in the database file that is filled before it grows")
});

pub static DB_LOG_BYTES: LazyLock<IntGauge> =
    LazyLock::new(|| gauge("tidegate_agent_db_log_bytes", "Size of the write-ahead log"));

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

/// The labels of [`BUFFER_REFUSED`].
pub const REFUSAL_REASONS: [&str; 7] =
    ["full", "sequence", "epoch", "transaction", "topic", "unsound", "storage"];

pub static BUFFER_REFUSED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Batches refused, by reason: full, sequence, epoch, transaction, topic, unsound, storage";
    register(IntCounterVec::new(Opts::new("tidegate_agent_buffer_refused_batches_total", help), &["reason"]))
});

pub static BUFFER_TRANSACTIONS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Transactions ended, by outcome: committed, aborted";
    register(IntCounterVec::new(Opts::new("tidegate_agent_buffer_transactions_total", help), &["outcome"]))
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

pub static BUFFER_TRIMMED_EARLY_BYTES: LazyLock<IntCounter> = LazyLock::new(|| {
    let help = "Bytes of processed batches removed before buffer.keep was over, for want of room";
    counter("tidegate_agent_buffer_trimmed_early_bytes_total", help)
});

pub static BUFFER_DROPPED_RECORDS: LazyLock<IntCounter> = LazyLock::new(|| {
    let help = "Records dropped unprocessed: for want of room, from topics whose when_full says so, or with their topic";
    counter("tidegate_agent_buffer_dropped_records_total", help)
});

pub static BUFFER_DELETED_TOPICS: LazyLock<IntCounter> = LazyLock::new(|| {
    counter("tidegate_agent_buffer_deleted_topics_total", "Topics deleted because a client asked for it")
});

pub static BUFFER_DAMAGED: LazyLock<IntGauge> = LazyLock::new(|| {
    gauge("tidegate_agent_buffer_damaged_batches", "Batches in the log whose bytes are not what was stored")
});

pub static BUFFER_SET_ASIDE: LazyLock<IntCounter> = LazyLock::new(|| {
    counter("tidegate_agent_buffer_set_aside_batches_total", "Damaged batches that were moved aside")
});

pub static BUFFER_SCRUBBED_BYTES: LazyLock<IntCounter> = LazyLock::new(|| {
    let help = "Bytes of record batches whose checksums were gone through";
    counter("tidegate_agent_buffer_scrubbed_bytes_total", help)
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

pub static DOOR_DENIED_LOGINS: LazyLock<IntCounter> = LazyLock::new(|| {
    let help = "Logins at the Kafka door with a wrong user or password";
    counter("tidegate_agent_ingest_door_denied_logins_total", help)
});

pub static DOOR_THROTTLED: LazyLock<IntCounter> = LazyLock::new(|| {
    let help = "Requests after which a client was not read from for a while, for its bytes per second";
    counter("tidegate_agent_ingest_door_throttled_requests_total", help)
});

// ingest (central Kafka)

pub static CONSUMED_RECORDS: LazyLock<IntCounter> = LazyLock::new(|| {
    let help = "Records of central Kafka made durable in the log";
    counter("tidegate_agent_ingest_consumed_records_total", help)
});

pub static CONSUMED_BYTES: LazyLock<IntCounter> = LazyLock::new(|| {
    let help = "Bytes of keys, values and headers of the records read from central Kafka";
    counter("tidegate_agent_ingest_consumed_bytes_total", help)
});

pub static CONSUME_SCHEMAS: LazyLock<IntCounter> = LazyLock::new(|| {
    let help = "Schemas fetched from the central registry and paired with a local id";
    counter("tidegate_agent_ingest_consumed_schemas_total", help)
});

pub static CONSUME_STOPPED: LazyLock<IntGauge> = LazyLock::new(|| {
    let help = "Partitions of central Kafka that are not read because of an error";
    gauge("tidegate_agent_ingest_consume_stopped_partitions", help)
});

pub static CONSUME_CONNECTED: LazyLock<IntGauge> =
    LazyLock::new(|| gauge("tidegate_agent_ingest_consume_connected", "1 while central Kafka answers"));

// forward

pub static FORWARDED_RECORDS: LazyLock<IntCounter> = LazyLock::new(|| {
    let help = "Records durable at central Kafka";
    counter("tidegate_agent_forward_records_total", help)
});

pub static FORWARDED_BYTES: LazyLock<IntCounter> = LazyLock::new(|| {
    let help = "Bytes of keys and values of the records durable at central Kafka";
    counter("tidegate_agent_forward_bytes_total", help)
});

pub static FORWARD_TO_GO: LazyLock<IntGauge> = LazyLock::new(|| {
    gauge("tidegate_agent_forward_waiting_records", "Records in the log that central Kafka does not have yet")
});

pub static FORWARD_SCHEMAS: LazyLock<IntCounter> = LazyLock::new(|| {
    let help = "Schemas registered at the central registry and paired with a local id";
    counter("tidegate_agent_forward_schemas_total", help)
});

pub static FORWARD_PLAIN: LazyLock<IntCounter> = LazyLock::new(|| {
    let help = "Keys and values brought as they are, for they have no schema id in front";
    counter("tidegate_agent_forward_plain_messages_total", help)
});

pub static FORWARD_SKIPPED: LazyLock<IntCounter> = LazyLock::new(|| {
    let help = "Records that were removed from the log before they were brought to the centre";
    counter("tidegate_agent_forward_skipped_records_total", help)
});

pub static FORWARD_TRANSACTIONS: LazyLock<IntCounter> = LazyLock::new(|| {
    counter("tidegate_agent_forward_transactions_total", "Transactions committed at central Kafka")
});

pub static FORWARD_STOPPED: LazyLock<IntGauge> = LazyLock::new(|| {
    let help = "Partitions that are not brought to the centre because of an error";
    gauge("tidegate_agent_forward_stopped_partitions", help)
});

pub static FORWARD_CONNECTED: LazyLock<IntGauge> =
    LazyLock::new(|| gauge("tidegate_agent_forward_connected", "1 while central Kafka takes records"));

// ingest (push)

pub static PUSH_RECORDS: LazyLock<IntCounter> = LazyLock::new(|| {
    counter(
        "tidegate_agent_ingest_pushed_records_total",
        "Records that came over HTTP and are durable in the log",
    )
});

pub static PUSH_REFUSED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Requests over HTTP of which nothing was stored, by reason: busy, full, invalid, failed";
    let name = "tidegate_agent_ingest_push_refused_requests_total";
    register(IntCounterVec::new(Opts::new(name, help), &["reason"]))
});

// ingest (files)

pub static FILE_ROWS: LazyLock<IntCounter> = LazyLock::new(|| {
    counter("tidegate_agent_ingest_file_rows_total", "Rows of files made durable in the log")
});

pub static FILE_BYTES: LazyLock<IntCounter> = LazyLock::new(|| {
    counter("tidegate_agent_ingest_file_bytes_total", "Bytes of keys and values of the rows of files")
});

pub static FILE_BAD_ROWS: LazyLock<IntCounter> = LazyLock::new(|| {
    counter("tidegate_agent_ingest_file_bad_rows_total", "Rows of files that do not fit, passed over or not")
});

// decode

pub static DECODE_RECORDS: LazyLock<IntCounter> = LazyLock::new(|| {
    counter("tidegate_agent_decode_records_total", "Records read, tombstones and refused ones included")
});

// gate

pub static GATE_PASSED: LazyLock<IntCounter> =
    LazyLock::new(|| counter("tidegate_agent_gate_passed_rows_total", "Rows that passed all rules"));

pub static GATE_QUARANTINED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Records put aside, by reason: a rule's name, or why they could not be used";
    register(IntCounterVec::new(
        Opts::new("tidegate_agent_gate_quarantined_records_total", help),
        &["reason"],
    ))
});

pub static GATE_WARNED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Rows that broke a rule which only warns";
    register(IntCounterVec::new(Opts::new("tidegate_agent_gate_warned_rows_total", help), &["rule"]))
});

pub static GATE_DROPPED: LazyLock<IntCounter> = LazyLock::new(|| {
    let help = "Records removed from the quarantine because it holds no more";
    counter("tidegate_agent_gate_dropped_records_total", help)
});

// feature

pub static FEATURE_WRITTEN: LazyLock<IntCounter> = LazyLock::new(|| {
    counter("tidegate_agent_feature_written_values_total", "Sets of values (view, entity) that changed")
});

pub static FEATURE_FRESHNESS_SECONDS: LazyLock<Histogram> = LazyLock::new(|| {
    let buckets = vec![0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 600.0];
    let help = "From the source's commit to the row's being part of readable features";
    register(Histogram::with_opts(
        HistogramOpts::new("tidegate_agent_feature_freshness_seconds", help).buckets(buckets),
    ))
});

// store

pub static STORE_READ_SECONDS: LazyLock<Histogram> = LazyLock::new(|| {
    let buckets = vec![0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0];
    let help = "Time to answer /get-online-features";
    register(Histogram::with_opts(
        HistogramOpts::new("tidegate_agent_store_read_seconds", help).buckets(buckets),
    ))
});

// sync

pub static SYNC_QUEUED: LazyLock<IntCounter> =
    LazyLock::new(|| counter("tidegate_agent_sync_queued_rows_total", "Sets of values put into the outbox"));

fn by_target(name: &str, help: &str) -> IntCounterVec {
    register(IntCounterVec::new(Opts::new(name, help), &["target"]))
}

pub static SYNC_SENT: LazyLock<IntCounterVec> = LazyLock::new(|| {
    by_target("tidegate_agent_sync_sent_rows_total", "Sets of values that a central store has confirmed")
});

pub static SYNC_STALE: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Sets of values that a central store had newer, and so left alone";
    by_target("tidegate_agent_sync_stale_rows_total", help)
});

pub static SYNC_FAILED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    by_target("tidegate_agent_sync_failed_tries_total", "Tries that failed, and are made again")
});

pub static SYNC_REFUSED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Single sets of values that a central store refused; they are kept aside";
    by_target("tidegate_agent_sync_refused_rows_total", help)
});

pub static SYNC_WAITING: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    let help = "Sets of values that wait for a central store; counted every few seconds while they are many";
    register(IntGaugeVec::new(Opts::new("tidegate_agent_sync_waiting_rows", help), &["target"]))
});

pub static SYNC_LAG: LazyLock<GaugeVec> = LazyLock::new(|| {
    let help = "Age of the oldest set of values that waits for a central store, when it was last looked at";
    register(GaugeVec::new(Opts::new("tidegate_agent_sync_lag_seconds", help), &["target"]))
});

// slo

pub static SLO_CHANGES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Changes that a contract on freshness speaks of, by verdict: in_time, late";
    register(IntCounterVec::new(Opts::new("tidegate_agent_slo_changes_total", help), &["slo", "verdict"]))
});

pub static SLO_FRESHNESS_SECONDS: LazyLock<HistogramVec> = LazyLock::new(|| {
    let buckets = vec![0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 60.0, 600.0, 3600.0];
    let help = "Time from a change's commit at the source until it is readable where its contract says";
    let options = HistogramOpts::new("tidegate_agent_slo_freshness_seconds", help).buckets(buckets);
    register(HistogramVec::new(options, &["slo"]))
});

pub static SLO_BURN_RATE: LazyLock<GaugeVec> = LazyLock::new(|| {
    let help = "How many times faster than allowed the budget of late changes is used up, over 5m and 1h";
    register(GaugeVec::new(Opts::new("tidegate_agent_slo_burn_rate", help), &["slo", "window"]))
});

pub static SLO_OBJECTIVE: LazyLock<GaugeVec> = LazyLock::new(|| {
    let help = "The part of the changes that must be in time";
    register(GaugeVec::new(Opts::new("tidegate_agent_slo_objective", help), &["slo"]))
});
