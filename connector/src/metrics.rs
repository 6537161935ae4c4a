//! Every metric of the connector: name, help, labels.

use prometheus::{IntCounter, IntCounterVec, IntGauge, opts};
use shared::metrics::register;
use std::sync::LazyLock;

fn counter(name: &str, help: &str) -> IntCounter {
    register(IntCounter::new(name, help))
}

fn gauge(name: &str, help: &str) -> IntGauge {
    register(IntGauge::new(name, help))
}

pub static EVENT_CHANGES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let options = opts!("tidegate_connector_event_changes_total", "Changes made into records, by operation");
    register(IntCounterVec::new(options, &["op"]))
});

pub static AVRO_SCHEMAS: LazyLock<IntCounter> = LazyLock::new(|| {
    counter("tidegate_connector_avro_schemas_total", "Schemas registered or looked up at the registry")
});

pub static AVRO_PLANS: LazyLock<IntCounter> =
    LazyLock::new(|| counter("tidegate_connector_avro_plans_total", "Table versions compiled to a plan"));

pub static SINK_RECORDS: LazyLock<IntCounter> =
    LazyLock::new(|| counter("tidegate_connector_sink_records_total", "Records handed to the producer"));

pub static SINK_BYTES: LazyLock<IntCounter> = LazyLock::new(|| {
    counter("tidegate_connector_sink_bytes_total", "Bytes of keys, values and headers handed to the producer")
});

pub static SINK_ACKNOWLEDGED: LazyLock<IntCounter> = LazyLock::new(|| {
    counter("tidegate_connector_sink_acknowledged_total", "Records that the brokers acknowledged")
});

pub static SINK_FAILED: LazyLock<IntCounter> =
    LazyLock::new(|| counter("tidegate_connector_sink_failed_total", "Records that could not be delivered"));

pub static SINK_QUEUE_FULL: LazyLock<IntCounter> = LazyLock::new(|| {
    counter("tidegate_connector_sink_queue_full_total", "Times that reading waited for the producer's queue")
});

pub static SINK_OUTSTANDING: LazyLock<IntGauge> =
    LazyLock::new(|| gauge("tidegate_connector_sink_outstanding_records", "Records not yet acknowledged"));

pub static OFFSET_SAVES: LazyLock<IntCounter> =
    LazyLock::new(|| counter("tidegate_connector_offset_saves_total", "Times that progress was stored"));
