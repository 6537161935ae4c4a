//! Every metric of the connector: name, help, labels.

use prometheus::{IntCounter, IntCounterVec, IntGauge, opts};
use shared::metrics::register;
use std::sync::LazyLock;

macro_rules! metric {
    ($kind:ident, $constant:ident, $name:literal, $help:literal) => {
        pub static $constant: LazyLock<$kind> = LazyLock::new(|| register($kind::new($name, $help)));
    };
}

metric!(IntCounter, SOURCE_CHANGES, "tidegate_connector_source_changes_total", "Rows read from the stream");
metric!(
    IntCounter,
    SOURCE_TRANSACTIONS,
    "tidegate_connector_source_transactions_total",
    "Transactions read from the stream"
);
metric!(
    IntCounter,
    SOURCE_RECEIVED_BYTES,
    "tidegate_connector_source_received_bytes_total",
    "Bytes read from the stream and the snapshot"
);
metric!(
    IntCounter,
    SOURCE_SNAPSHOT_ROWS,
    "tidegate_connector_source_snapshot_rows_total",
    "Rows read by snapshots"
);
metric!(
    IntGauge,
    SOURCE_RECEIVED_LSN,
    "tidegate_connector_source_received_lsn",
    "LSN of the last message read"
);
metric!(
    IntGauge,
    SOURCE_CONFIRMED_LSN,
    "tidegate_connector_source_confirmed_lsn",
    "LSN that the server was told is durable"
);
metric!(
    IntGauge,
    SOURCE_LAG_BYTES,
    "tidegate_connector_source_lag_bytes",
    "Log that the server reports and that is not confirmed"
);

pub static EVENT_CHANGES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let options = opts!("tidegate_connector_event_changes_total", "Changes made into records, by operation");
    register(IntCounterVec::new(options, &["op"]))
});

metric!(
    IntCounter,
    AVRO_SCHEMAS,
    "tidegate_connector_avro_schemas_total",
    "Schemas registered or looked up at the registry"
);
metric!(IntCounter, AVRO_PLANS, "tidegate_connector_avro_plans_total", "Table versions compiled to a plan");
metric!(IntCounter, SINK_RECORDS, "tidegate_connector_sink_records_total", "Records handed to the producer");
metric!(
    IntCounter,
    SINK_BYTES,
    "tidegate_connector_sink_bytes_total",
    "Bytes of keys, values and headers handed to the producer"
);
metric!(
    IntCounter,
    SINK_ACKNOWLEDGED,
    "tidegate_connector_sink_acknowledged_total",
    "Records that the brokers acknowledged"
);
metric!(
    IntCounter,
    SINK_FAILED,
    "tidegate_connector_sink_failed_total",
    "Records that could not be delivered"
);
metric!(
    IntCounter,
    SINK_QUEUE_FULL,
    "tidegate_connector_sink_queue_full_total",
    "Times that reading waited for the producer's queue"
);
metric!(
    IntGauge,
    SINK_OUTSTANDING,
    "tidegate_connector_sink_outstanding_records",
    "Records not yet acknowledged"
);
metric!(IntCounter, OFFSET_SAVES, "tidegate_connector_offset_saves_total", "Times that progress was stored");
