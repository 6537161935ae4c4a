//! Our metrics under Debezium's names against those of real Debezium, read as most people read
//! them: through `jmx_exporter`, with the rules of Debezium's own example.

use crate::{LIMIT, take_over};
use serde_json::{Value, json};
use stack::{Connect, HOST, Kafka, Postgres, Registry, http};
use std::collections::BTreeMap;
use support::{eventually, topics};

/// What both have read: a table with whole old rows, one without, and one that is not captured.
const TABLES: &str = "
    CREATE TABLE a (id int PRIMARY KEY, v text);
    ALTER TABLE a REPLICA IDENTITY FULL;
    CREATE TABLE b (id int PRIMARY KEY);
    CREATE TABLE c (id int PRIMARY KEY);
    INSERT INTO a SELECT g, 'v' FROM generate_series(1, 10) g;
    INSERT INTO b SELECT g FROM generate_series(1, 5) g;";

/// Each statement is a transaction: changed, unchanged, deleted, not captured, with a new key,
/// truncated, and messages in and outside a transaction.
const CHANGES: [&str; 10] = [
    "INSERT INTO a VALUES (11, 'x'), (12, 'x')",
    "UPDATE a SET v = 'y' WHERE id < 4",
    "UPDATE a SET v = v WHERE id = 1",
    "DELETE FROM a WHERE id = 1",
    "INSERT INTO c VALUES (1), (2)",
    "UPDATE a SET id = 50 WHERE id = 2",
    "TRUNCATE b",
    "SELECT pg_logical_emit_message(true, 'p', 'x')",
    "SELECT pg_logical_emit_message(false, 'p', 'x')",
    "INSERT INTO b VALUES (100)",
];

/// Equal by meaning, but not in the same moment or of the same queue.
const OWN_VALUE: [&str; 4] = [
    "MilliSecondsSinceLastEvent",
    "SnapshotDurationInSeconds",
    "QueueTotalCapacity",
    "QueueRemainingCapacity",
];

/// What our queue's bound in bytes is; Debezium has none by default.
const BOUNDED: &str = "MaxQueueSizeInBytes";

/// The delay and its statistics: these have each their own value, too, and appear with the first change.
const DELAY: &str = "MilliSecondsBehindSource";

type Metrics = BTreeMap<String, f64>;

#[test]
fn attributes_equal_debeziums() {
    let postgres = Postgres::start(Default::default()).expect("PostgreSQL");
    postgres.psql("postgres", TABLES).expect("tables");
    let brokers = [(); 2].map(|()| Kafka::start(Default::default()).expect("Kafka"));
    let registry = Registry::start().expect("the registry");
    let connect = Connect::start_with_metrics(&brokers[0], &registry).expect("Debezium");
    connect.run("metrics", &configuration(&postgres, "theirs")).expect("Debezium runs");
    let configured = configuration(&postgres, "ours");
    let (launch, _files) = take_over(&configured, &brokers[1], &registry).expect("a launch");
    let mut ours = launch.start().expect("it starts");
    ours.wait_ready(LIMIT).expect("ready");
    let both = || [read(&connect.metrics_url()), read(&ours.url("/metrics"))];
    let streamed = "streaming,TotalNumberOfEventsSeen";
    eventually(LIMIT, "both stream", || both().iter().all(connected).then_some(()));
    for sql in CHANGES {
        postgres.psql("postgres", sql).expect(sql);
    }
    let records = || brokers.each_ref().map(|kafka| topics::total(&kafka.bootstrap(), "m."));
    eventually(LIMIT, "both saw all", || {
        let [theirs, ours] = both();
        let seen = theirs.get(streamed) == Some(&11.0) && ours.get(streamed) == theirs.get(streamed);
        (seen && records()[0] == records()[1]).then_some(())
    });
    // Acknowledgements and commits of offsets come a little later.
    let same = || {
        let [theirs, ours] = both();
        let differing = differences(&theirs, &ours);
        if differing.is_empty() { Ok(()) } else { Err(differing) }
    };
    let until = std::time::Instant::now() + LIMIT / 6;
    while same().is_err() && std::time::Instant::now() < until {
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    let found = same().err().unwrap_or_default();
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert!(both().iter().all(|m| m.len() > 35), "too few metrics to be right");
    assert_eq!(ours.stop().expect("it stops"), 0);
}

fn connected(metrics: &Metrics) -> bool {
    metrics.get("streaming,Connected") == Some(&1.0)
}

fn configuration(postgres: &Postgres, slot: &str) -> Value {
    json!({
        "name": "metrics",
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "plugin.name": "pgoutput",
        "database.hostname": HOST,
        "database.port": postgres.port().to_string(),
        "database.user": stack::postgres::USER,
        "database.password": stack::postgres::PASSWORD,
        "database.dbname": "postgres",
        "topic.prefix": "m",
        "table.exclude.list": "public.c",
        "skip.messages.without.change": "true",
        "slot.name": slot,
    })
}

/// Debezium's attributes by `context,attribute[,table]`, and Kafka Connect's two counts.
fn read(url: &str) -> Metrics {
    let body = http::get(url).map(|answer| answer.body).unwrap_or_default();
    body.lines().filter_map(line).collect()
}

fn line(line: &str) -> Option<(String, f64)> {
    let (series, value) = line.rsplit_once(' ')?;
    let (name, labels) = series.split_once('{')?;
    let label = |wanted: &str| {
        let found =
            labels.trim_end_matches('}').split(',').find_map(|l| l.strip_prefix(&format!("{wanted}=\"")));
        found.map(|value| value.trim_end_matches('"'))
    };
    let value = value.parse().ok()?;
    if let Some(attribute) = name.strip_prefix("debezium_metrics_") {
        assert_eq!((label("plugin"), label("name")), (Some("postgres"), Some("m")), "{line}");
        let table = label("table").map(|table| format!(",{table}")).unwrap_or_default();
        return Some((format!("{},{attribute}{table}", label("context")?), value));
    }
    // The exporter's present version leaves `_total` out, earlier ones did not.
    let count = name.strip_prefix("kafka_connect_source_task_metrics_source_record_")?;
    let count = count.trim_end_matches("_total");
    assert_eq!((label("connector"), label("task")), (Some("metrics"), Some("0")), "{line}");
    matches!(count, "poll" | "write").then(|| (count.to_owned(), value))
}

fn differences(theirs: &Metrics, ours: &Metrics) -> Vec<String> {
    let attribute = |name: &str| name.split(',').nth(1).unwrap_or(name).to_owned();
    let missing = theirs.keys().filter(|name| !ours.contains_key(*name));
    let mut found: Vec<String> = missing.map(|name| format!("{name} is missing")).collect();
    for (name, value) in ours {
        let attribute = attribute(name);
        match theirs.get(name) {
            None => found.push(format!("{name} is ours alone")),
            Some(other) if OWN_VALUE.contains(&attribute.as_str()) || attribute.starts_with(DELAY) => {
                // -1 is: none so far.
                if (*other < 0.0) != (*value < 0.0) {
                    found.push(format!("{name}: {other} there, {value} here"));
                }
            }
            Some(_) if attribute == BOUNDED => assert!(*value > 0.0, "our queue is bounded"),
            Some(other) if other != value => found.push(format!("{name}: {other} there, {value} here")),
            Some(_) => {}
        }
    }
    found
}
