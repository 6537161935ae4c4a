//! Every metric of the connector: name, help, labels.

use prometheus::{IntCounter, IntGauge};
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
