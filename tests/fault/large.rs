//! One large transaction, killed in its middle: memory does not grow with it, nothing is lost, each key's
//! changes come in order, and exactly once nothing of it is seen twice.
//!
//! `LARGE_MB=2048 cargo dev test fault large` makes it so large; 50 MB are the default.

use serde_json::Value;
use stack::{Kafka, Postgres};
use std::collections::BTreeMap;
use std::time::Duration;
use support::{Binary, Launch, Program, eventually, topics};

const LIMIT: Duration = Duration::from_secs(900);
const MOST_MIB: u64 = 64;
/// Of a row in the log.
const ROW_BYTES: u64 = 1_000;
/// So often each row is changed, its insert included.
const CHANGES: u64 = 4;

const CONNECTOR: &str = "
[source]
database = 'postgres'
user = 'postgres'
password = 'postgres'
slot = 'large'
publication = 'large'
[event]
topic_prefix = 'large'
[snapshot]
mode = 'no_data'
[encode.key]
format = 'json'
schemas = false
[encode.value]
format = 'json'
schemas = false
[sink.kafka]
brokers = ''
[offset]
kind = 'kafka'
topic_partitions = 1
";

fn rows() -> u64 {
    let megabytes = std::env::var("LARGE_MB").ok().and_then(|text| text.parse().ok()).unwrap_or(50);
    megabytes * 1_000_000 / ROW_BYTES / CHANGES
}

/// Inserts and updates of every row, in one transaction.
fn transaction(rows: u64) -> String {
    let pad = format!("repeat(md5(random()::text), {})", ROW_BYTES / 32);
    let insert = format!("INSERT INTO t SELECT g, 0, {pad} FROM generate_series(1, {rows}) g;");
    let update = format!("UPDATE t SET v = v + 1, pad = {pad};");
    format!("BEGIN; {insert} {} COMMIT;", update.repeat(usize::try_from(CHANGES - 1).expect("few")))
}

/// Waits for the slot to pass what is in the log now.
fn read_to_the_end(postgres: &Postgres) {
    let end = postgres.psql("postgres", "SELECT pg_current_wal_lsn()").expect("the end of the log");
    let read =
        format!("SELECT confirmed_flush_lsn >= '{end}' FROM pg_replication_slots WHERE slot_name = 'large'");
    eventually(LIMIT, "all is confirmed", || {
        postgres.psql("postgres", "SELECT pg_logical_emit_message(false, 'x', 'x')").ok()?;
        (postgres.psql("postgres", &read).ok()? == "t").then_some(())
    });
}

fn small(program: &Program) {
    let peak = program.peak_memory_bytes().expect("it runs") >> 20;
    eprintln!("peak memory {peak} MiB");
    assert!(peak <= MOST_MIB, "{peak} MiB of memory");
}

fn large(delivery: &str) {
    let postgres = Postgres::start(Default::default()).expect("PostgreSQL");
    let kafka = Kafka::start(Default::default()).expect("Kafka");
    postgres.psql("postgres", "CREATE TABLE t (id int PRIMARY KEY, v int, pad text)").expect("a table");
    let mut launch = Launch::new(Binary::Connector, CONNECTOR).expect("a launch");
    launch.set("source.port", postgres.port()).set("sink.kafka.brokers", kafka.bootstrap());
    launch.set("sink.delivery", delivery);
    let mut program = launch.start().expect("it starts");
    program.wait_ready(LIMIT).expect("ready");

    let rows = rows();
    postgres.psql("postgres", &transaction(rows)).expect("a transaction");
    // In the middle, as far as the first start's counter tells.
    eventually(LIMIT, "half of it is sent", || {
        let sent = program.metric("tidegate_connector_sink_acknowledged_total").ok()?;
        (sent >= (rows * CHANGES / 2) as f64).then_some(())
    });
    small(&program);
    program.kill().expect("killed");
    let mut program = launch.start().expect("it starts again");
    program.wait_ready(LIMIT).expect("ready");
    read_to_the_end(&postgres);
    small(&program);
    assert_eq!(program.stop().expect("it stops"), 0);
    check(&kafka, rows, delivery == "exactly_once");
}

/// Each row counts up from 0; at least once, it may begin again.
fn check(kafka: &Kafka, rows: u64, exactly_once: bool) {
    let mut last: BTreeMap<i64, i64> = BTreeMap::new();
    let mut again = 0;
    topics::each(&kafka.bootstrap(), "large.public.t", |_, record| {
        let Some(value) = record.and_then(|record| record.value) else { return };
        let value: Value = serde_json::from_slice(&value).expect("JSON");
        let (id, v) = (value["after"]["id"].as_i64().expect("a key"), value["after"]["v"].as_i64());
        let v = v.expect("a count");
        let before = last.insert(id, v);
        let next = before.map_or(0, |before| before + 1);
        again += u64::from(before.is_some() && v == 0);
        assert!(v == next || v == 0 && !exactly_once, "row {id} goes from {before:?} to {v}");
    });
    assert_eq!(last.len() as u64, rows, "rows");
    assert!(last.values().all(|v| *v == CHANGES as i64 - 1), "each row comes to its end");
    eprintln!("{rows} rows, {again} of them twice");
}

#[test]
fn large_at_least_once() {
    large("at_least_once");
}

#[test]
fn large_exactly_once() {
    large("exactly_once");
}
