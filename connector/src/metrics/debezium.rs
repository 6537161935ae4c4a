//! Our figures under Debezium's names, as the boards that people have read them: what
//! `jmx_exporter` makes of Debezium's beans with the rules of Debezium's own example.
//!
//! A view over our own metrics, made when it is asked for. Texts (`LastEvent`, `LastTransactionId` …)
//! are left out, as the exporter leaves them out. As there, the delay's statistics appear with the first change.

use super::delay::{self, Statistics};
use super::{
    EVENT_CHANGES, EVENT_DELAY, EVENT_LAST, EVENT_RECORDS, EVENT_REFUSED, EVENT_TRANSACTIONS,
    EVENT_UNCHANGED, SINK_ACKNOWLEDGED, SINK_LIMIT, SINK_OUTSTANDING, SINK_OUTSTANDING_BYTES,
    SNAPSHOT_ABORTED, SNAPSHOT_COMPLETED, SNAPSHOT_RUNNING, SNAPSHOT_SECONDS, SNAPSHOT_SKIPPED,
    SNAPSHOT_TABLES, SNAPSHOT_TABLES_REMAINING, SOURCE_FILTERED, SOURCE_STREAMING, now_seconds,
};
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, IntCounterVec, Opts};
use std::collections::{BTreeMap, HashMap};

/// What an attribute is made of.
type Read = fn() -> f64;
type ReadDelays = fn(&Statistics) -> f64;

/// The connector's type in Debezium's beans.
const PLUGIN: &str = "postgres";
const ROWS_SCANNED: &str = "RowsScanned";
const SNAPSHOT: &str = "snapshot";
const STREAMING: &str = "streaming";
/// Kafka Connect's own, which the same boards show.
const CONNECT: [(&str, Read); 2] = [
    ("kafka_connect_source_task_metrics_source_record_poll_total", || EVENT_RECORDS.get() as f64),
    ("kafka_connect_source_task_metrics_source_record_write_total", || SINK_ACKNOWLEDGED.get() as f64),
];

/// Attributes that both contexts have, of the same value.
const BOTH: [(&str, Read); 4] = [
    ("QueueTotalCapacity", || limit("records")),
    ("QueueRemainingCapacity", || (limit("records") - SINK_OUTSTANDING.get() as f64).max(0.0)),
    ("MaxQueueSizeInBytes", || limit("bytes")),
    ("CurrentQueueSizeInBytes", || SINK_OUTSTANDING_BYTES.get() as f64),
];

const OF_SNAPSHOT: [(&str, Read); 16] = [
    ("TotalNumberOfEventsSeen", || changes("r")),
    ("TotalNumberOfCreateEventsSeen", || 0.0),
    ("TotalNumberOfUpdateEventsSeen", || 0.0),
    ("TotalNumberOfDeleteEventsSeen", || 0.0),
    ("NumberOfEventsFiltered", || 0.0),
    ("NumberOfErroneousEvents", || sum(&EVENT_REFUSED, "phase", Some(SNAPSHOT))),
    ("MilliSecondsSinceLastEvent", || since_last(SNAPSHOT)),
    ("TotalTableCount", || SNAPSHOT_TABLES.get() as f64),
    ("RemainingTableCount", || SNAPSHOT_TABLES_REMAINING.get() as f64),
    ("SnapshotRunning", || SNAPSHOT_RUNNING.get() as f64),
    ("SnapshotCompleted", || SNAPSHOT_COMPLETED.get() as f64),
    ("SnapshotSkipped", || SNAPSHOT_SKIPPED.get() as f64),
    ("SnapshotAborted", || SNAPSHOT_ABORTED.get() as f64),
    ("SnapshotPaused", || 0.0),
    ("SnapshotPausedDurationInSeconds", || 0.0),
    ("SnapshotDurationInSeconds", || SNAPSHOT_SECONDS.get().floor()),
];

const OF_STREAM: [(&str, Read); 11] = [
    ("Connected", || SOURCE_STREAMING.get() as f64),
    ("MilliSecondsBehindSource", behind),
    ("MilliSecondsSinceLastEvent", || since_last("stream")),
    ("TotalNumberOfEventsSeen", || ["c", "u", "d", "t"].into_iter().map(seen).sum()),
    ("TotalNumberOfCreateEventsSeen", || seen("c")),
    ("TotalNumberOfUpdateEventsSeen", || seen("u")),
    ("TotalNumberOfDeleteEventsSeen", || seen("d")),
    ("NumberOfEventsFiltered", || sum(&SOURCE_FILTERED, "op", None)),
    ("NumberOfErroneousEvents", || sum(&EVENT_REFUSED, "phase", Some("stream"))),
    ("NumberOfUnchangedEventsSkipped", || EVENT_UNCHANGED.get() as f64),
    ("NumberOfCommittedTransactions", || EVENT_TRANSACTIONS.get() as f64),
];

/// Of all streamed changes since the start, in milliseconds.
const OF_DELAYS: [(&str, ReadDelays); 6] = [
    ("MilliSecondsBehindSourceMinValue", |delays| delays.minimum),
    ("MilliSecondsBehindSourceMaxValue", |delays| delays.maximum),
    ("MilliSecondsBehindSourceAverageValue", |delays| delays.average),
    ("MilliSecondsBehindSourceP50", |delays| delays.p50),
    ("MilliSecondsBehindSourceP95", |delays| delays.p95),
    ("MilliSecondsBehindSourceP99", |delays| delays.p99),
];

/// Names of everything that [`show`] makes visible.
pub fn names() -> Vec<String> {
    let attributes = BOTH.iter().chain(&OF_SNAPSHOT).chain(&OF_STREAM);
    let mut names: Vec<String> = attributes.map(|(name, _)| full(name)).collect();
    names.extend(OF_DELAYS.iter().map(|(name, _)| full(name)));
    names.push(full(ROWS_SCANNED));
    names.extend(CONNECT.iter().map(|(name, _)| (*name).to_owned()));
    names.sort();
    names.dedup();
    names
}

/// Shows them, for a connector of this topic prefix and name.
pub(super) fn show(topic_prefix: &str, connector: &str) {
    let labels = [("plugin", PLUGIN), ("name", topic_prefix)];
    let owned = |labels: &[(&str, &str)]| {
        labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let view = View { debezium: owned(&labels), connect: owned(&[("connector", connector), ("task", "0")]) };
    shared::metrics::register_collector(Box::new(view));
}

/// Reads our metrics whenever it is asked.
struct View {
    debezium: HashMap<String, String>,
    connect: HashMap<String, String>,
}

impl View {
    fn of_debezium(&self) -> Vec<MetricFamily> {
        let mut families = BTreeMap::new();
        let contexts: [(&str, &[(&str, Read)]); 4] =
            [(SNAPSHOT, &BOTH), (STREAMING, &BOTH), (SNAPSHOT, &OF_SNAPSHOT), (STREAMING, &OF_STREAM)];
        for (context, attributes) in contexts {
            for (name, read) in attributes {
                let family = families.entry(*name).or_insert_with(|| self.family(name, &["context"]));
                family.iter().for_each(|family| family.with_label_values(&[context]).set(read()));
            }
        }
        if let Some(delays) = delay::statistics() {
            for (name, read) in OF_DELAYS {
                let family = families.entry(name).or_insert_with(|| self.family(name, &["context"]));
                family.iter().for_each(|family| family.with_label_values(&[STREAMING]).set(read(&delays)));
            }
        }
        let rows = self.family(ROWS_SCANNED, &["context", "table"]);
        for (table, count) in scanned() {
            rows.iter().for_each(|rows| rows.with_label_values(&[SNAPSHOT, &table]).set(count));
        }
        families.into_values().flatten().chain(rows).flat_map(|family| family.collect()).collect()
    }

    fn family(&self, attribute: &str, labels: &[&str]) -> Option<GaugeVec> {
        let options = Opts::new(full(attribute), "As Debezium's attribute of that name");
        GaugeVec::new(options.const_labels(self.debezium.clone()), labels).ok()
    }

    fn of_connect(&self) -> impl Iterator<Item = MetricFamily> + '_ {
        CONNECT.iter().flat_map(|(name, read)| {
            let options = Opts::new(*name, "As Kafka Connect's").const_labels(self.connect.clone());
            let gauge = prometheus::Gauge::with_opts(options).ok();
            gauge.into_iter().flat_map(|gauge| {
                gauge.set(read());
                gauge.collect()
            })
        })
    }
}

impl Collector for View {
    /// None: what has no description is not held against what else is registered, and nothing else
    /// has these names.
    fn desc(&self) -> Vec<&Desc> {
        Vec::new()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.of_debezium().into_iter().chain(self.of_connect()).collect()
    }
}

fn full(attribute: &str) -> String {
    format!("debezium_metrics_{attribute}")
}

fn limit(unit: &str) -> f64 {
    SINK_LIMIT.with_label_values(&[unit]).get() as f64
}

fn changes(op: &str) -> f64 {
    sum(&EVENT_CHANGES, "op", Some(op))
}

/// Debezium counts what it filters among what it has seen.
fn seen(op: &str) -> f64 {
    changes(op) + sum(&SOURCE_FILTERED, "op", Some(op))
}

/// The sum over all series, or over those whose `label` has this value.
fn sum(of: &IntCounterVec, label: &str, value: Option<&str>) -> f64 {
    let families = of.collect();
    let series = families.iter().flat_map(MetricFamily::get_metric);
    let fits = |metric: &&prometheus::proto::Metric| {
        value.is_none_or(|value| metric.get_label().iter().any(|l| l.name() == label && l.value() == value))
    };
    series.filter(fits).map(|metric| metric.get_counter().get_value()).sum()
}

/// Tables and the rows that snapshots read of them.
fn scanned() -> BTreeMap<String, f64> {
    let families = EVENT_CHANGES.collect();
    let mut tables = BTreeMap::new();
    for metric in families.iter().flat_map(MetricFamily::get_metric) {
        let label = |name: &str| metric.get_label().iter().find(|l| l.name() == name).map(|l| l.value());
        let count = metric.get_counter().get_value();
        if let (Some(table), Some("r"), true) = (label("table"), label("op"), count > 0.0) {
            tables.insert(table.to_owned(), count);
        }
    }
    tables
}

/// -1 before the first.
fn since_last(phase: &str) -> f64 {
    let last = EVENT_LAST.with_label_values(&[phase]).get();
    if last > 0.0 { ((now_seconds() - last) * 1e3).max(0.0).floor() } else { -1.0 }
}

/// -1 before the first.
fn behind() -> f64 {
    let none = changes("c") + changes("u") + changes("d") + changes("t") == 0.0;
    if none { -1.0 } else { (EVENT_DELAY.get() * 1e3).max(0.0).floor() }
}
