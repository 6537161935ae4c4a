//! Every metric of the connector: name, labels, help.
//!
//! Nothing is counted here per row: rooms count in plain numbers and tell them once per read.

pub mod debezium;
pub mod delay;

use prometheus::{
    Counter, Gauge, GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, PullingGauge, opts,
};
use shared::metrics::register;
use shared::time::Clock;
use std::collections::HashSet;
use std::sync::{LazyLock, Mutex, PoisonError};

macro_rules! made {
    ($kind:ident, $name:literal, $help:literal) => {
        $kind::new($name, $help)
    };
    ($kind:ident, $name:literal, $help:literal, $($label:literal)+) => {
        $kind::new(opts!($name, $help), &[$($label),+])
    };
}

macro_rules! metrics {
    ($($kind:ident $constant:ident $name:literal $([$($label:literal)+])? $help:literal;)+) => {
        $(pub static $constant: LazyLock<$kind> =
            LazyLock::new(|| register(made!($kind, $name, $help $(, $($label)+)?)));)+

        /// The names of all of them, for whoever holds a dashboard against the code.
        pub const NAMES: &[&str] = &[LAG_SECONDS, LAG_BYTES, $($name),+];

        fn register_all() {
            $(LazyLock::force(&$constant);)+
        }
    };
}

metrics! {
    IntCounter SOURCE_CHANGES "tidegate_connector_source_changes_total" "Rows read from the stream";
    IntCounterVec SOURCE_FILTERED "tidegate_connector_source_filtered_total" ["op"]
        "Rows of the stream whose table is not captured";
    IntCounter SOURCE_TRANSACTIONS "tidegate_connector_source_transactions_total"
        "Transactions read from the stream";
    IntCounter SOURCE_RECEIVED_BYTES "tidegate_connector_source_received_bytes_total"
        "Bytes read from the stream and the snapshot";
    IntCounter SOURCE_SNAPSHOT_ROWS "tidegate_connector_source_snapshot_rows_total" "Rows read by snapshots";
    IntGauge SOURCE_STREAMING "tidegate_connector_source_streaming" "1 while the database streams to us";
    IntGauge SOURCE_RECEIVED_LSN "tidegate_connector_source_received_lsn" "LSN of the last message read";
    IntGauge SOURCE_CONFIRMED_LSN "tidegate_connector_source_confirmed_lsn"
        "LSN that the server was told is durable";
    IntGauge SOURCE_SERVER_LSN "tidegate_connector_source_server_lsn"
        "Where the server's log ended when it last said so";
    IntGauge SOURCE_SLOT_RETAINED_BYTES "tidegate_connector_source_slot_retained_bytes"
        "Log that the server keeps for the slot";
    IntGauge SOURCE_SLOT_SAFE_BYTES "tidegate_connector_source_slot_safe_bytes"
        "What may still be written before the server gives the slot up; -1 it never does";
    IntGaugeVec SOURCE_SLOT_STATUS "tidegate_connector_source_slot_status" ["status"]
        "1 for what the server calls the slot's wal_status";
    Gauge SOURCE_UP_TO_DATE "tidegate_connector_source_up_to_date_timestamp_seconds"
        "Everything committed before this time is in Kafka, seconds since 1970; 0 not known yet";

    IntGauge SNAPSHOT_RUNNING "tidegate_connector_snapshot_running" "1 while tables are read";
    IntGauge SNAPSHOT_COMPLETED "tidegate_connector_snapshot_completed"
        "1 once all tables were read by this process";
    IntGauge SNAPSHOT_SKIPPED "tidegate_connector_snapshot_skipped" "1 if this start needed no snapshot";
    IntGauge SNAPSHOT_ABORTED "tidegate_connector_snapshot_aborted" "1 if the snapshot broke off";
    IntGauge SNAPSHOT_TABLES "tidegate_connector_snapshot_tables" "Tables that the snapshot reads";
    IntGauge SNAPSHOT_TABLES_REMAINING "tidegate_connector_snapshot_tables_remaining"
        "Tables that the snapshot has still to read, the present one included";
    Gauge SNAPSHOT_SECONDS "tidegate_connector_snapshot_duration_seconds"
        "How long the snapshot has taken so far, or took";

    IntCounterVec EVENT_CHANGES "tidegate_connector_event_changes_total" ["table" "op"]
        "Records made of changes, tombstones not counted; tables beyond the first 200 are counted as other";
    IntCounter EVENT_RECORDS "tidegate_connector_event_records_total"
        "Records made, before transforms, of all kinds";
    IntCounter EVENT_TRANSACTIONS "tidegate_connector_event_transactions_total"
        "Transactions of which records were made";
    IntCounterVec EVENT_REFUSED "tidegate_connector_event_refused_total" ["phase"]
        "Changes that could not be converted and went to the dead-letter topic, by phase (snapshot, stream)";
    IntCounter EVENT_UNCHANGED "tidegate_connector_event_unchanged_total"
        "Updates left out because no captured column changed";
    GaugeVec EVENT_LAST "tidegate_connector_event_last_timestamp_seconds" ["phase"]
        "When the last change was seen, by phase (snapshot, stream), seconds since 1970";
    Gauge EVENT_DELAY "tidegate_connector_event_delay_seconds"
        "From its commit until the last streamed change was made into a record";

    IntCounter AVRO_SCHEMAS "tidegate_connector_avro_schemas_total"
        "Schemas registered or looked up at the registry";
    IntCounter AVRO_PLANS "tidegate_connector_avro_plans_total" "Table versions compiled to a plan";

    IntCounter SINK_RECORDS "tidegate_connector_sink_records_total" "Records handed to the producer";
    IntCounter SINK_BYTES "tidegate_connector_sink_bytes_total"
        "Bytes of keys, values and headers handed to the producer";
    IntCounter SINK_ACKNOWLEDGED "tidegate_connector_sink_acknowledged_total"
        "Records that the brokers acknowledged";
    IntCounter SINK_FAILED "tidegate_connector_sink_failed_total" "Records that could not be delivered";
    IntCounter SINK_QUEUE_FULL "tidegate_connector_sink_queue_full_total"
        "Times that reading waited for the producer's queue";
    IntGauge SINK_OUTSTANDING "tidegate_connector_sink_outstanding_records" "Records not yet acknowledged";
    IntGauge SINK_OUTSTANDING_BYTES "tidegate_connector_sink_outstanding_bytes"
        "Bytes of keys and values not yet acknowledged";
    IntGaugeVec SINK_LIMIT "tidegate_connector_sink_queue_limit" ["unit"]
        "What the producer's queue may hold, by unit (records, bytes)";

    IntCounter SINK_COMMITS "tidegate_connector_sink_commits_total" "Transactions committed (exactly once)";
    Counter SINK_COMMIT_SECONDS "tidegate_connector_sink_commit_seconds_total"
        "Time that commits took, in which nothing is read";

    IntCounter OFFSET_SAVES "tidegate_connector_offset_saves_total" "Times that progress was stored";
}

/// Computed when it is asked for: it grows while nothing moves.
const LAG_SECONDS: &str = "tidegate_connector_source_lag_seconds";
/// Computed too: both its ends are told by whoever hears of them.
const LAG_BYTES: &str = "tidegate_connector_source_lag_bytes";

/// Makes every metric visible from the start, ours and those under Debezium's names. Once per process.
pub fn show(topic_prefix: &str, connector: &str) {
    register_all();
    let help = "Age of the oldest moment of which not everything committed is in Kafka; -1 not known yet";
    register(PullingGauge::new(LAG_SECONDS, help, Box::new(lag_seconds)));
    let help = "Log that the server reports and that is not confirmed";
    register(PullingGauge::new(LAG_BYTES, help, Box::new(lag_bytes)));
    debezium::show(topic_prefix, connector);
}

/// How far Kafka is behind the database, in seconds; -1 before the first word of the database.
pub fn lag_seconds() -> f64 {
    let up_to = SOURCE_UP_TO_DATE.get();
    if up_to > 0.0 { (now_seconds() - up_to).max(0.0) } else { -1.0 }
}

fn lag_bytes() -> f64 {
    (SOURCE_SERVER_LSN.get() - SOURCE_CONFIRMED_LSN.get()).max(0) as f64
}

/// Notes how far the server's log goes; an older word than the last changes nothing.
pub fn server_log_ends(lsn: i64) {
    SOURCE_SERVER_LSN.set(SOURCE_SERVER_LSN.get().max(lsn));
}

/// Notes that changes were seen now.
pub fn seen(phase: &str) {
    EVENT_LAST.with_label_values(&[phase]).set(now_seconds());
}

/// Seconds since 1970.
pub fn now_seconds() -> f64 {
    Clock::System.now().micros() as f64 / 1e6
}

/// Each table costs five series; a monitoring server should bear a database with thousands of tables.
const LABELLED_TABLES: usize = 200;

/// A table's value of the label `table`: its name, or `other` once there are too many.
pub fn table_label(table: &str) -> &str {
    static KNOWN: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Mutex::default);
    // A poisoned lock only means that a panic happened elsewhere; the set is whole.
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if known.contains(table) {
        return table;
    }
    if known.len() >= LABELLED_TABLES {
        return "other";
    }
    known.insert(table.to_owned());
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_bounded() {
        for table in 0..LABELLED_TABLES {
            let name = format!("bounded.t{table}");
            table_label(&name);
        }
        assert_eq!(table_label("bounded.too_many"), "other");
        assert_eq!(table_label("bounded.t0"), "bounded.t0");
    }

    #[test]
    fn names_tell_the_room_and_are_not_given_twice() {
        let unique: HashSet<&&str> = NAMES.iter().collect();
        assert_eq!(unique.len(), NAMES.len());
        for name in NAMES {
            assert!(name.starts_with("tidegate_connector_"), "{name}");
        }
    }
}
