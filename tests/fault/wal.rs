//! Kafka away while the database is written to: the log that the slot keeps is watched, and given up if
//! the operator said so.

use crate::peers::{Agent, LIMIT, connector, database, says};
use stack::{Kafka, Postgres};
use std::collections::BTreeSet;
use support::{Launch, Program, eventually, topics};

/// More than the connector's queue holds, so that the pipeline stands still while the guard acts.
const ROWS: &str = "INSERT INTO t SELECT g, repeat(md5(g::text), 30) FROM generate_series(11, 20000) g";
const SLOTS: &str = "SELECT count(*) FROM pg_replication_slots";

/// A connector whose Kafka has just gone, and what is written meanwhile.
struct Stuck {
    postgres: Postgres,
    kafka: Kafka,
    /// Only its registry is used.
    _agent: Agent,
    launch: Launch,
    running: Program,
}

fn stuck(settings: &[(&str, &str)]) -> Stuck {
    let postgres = database();
    let mut kafka = Kafka::start(Default::default()).expect("Kafka");
    let agent = Agent::start(&[]);
    let mut launch = connector(&postgres, &kafka.bootstrap(), &agent.registry());
    launch.set("sink.queue_bytes", 1_048_576).set("source.wal_guard.interval_ms", 100);
    for (key, value) in settings {
        launch.set(key, value);
    }
    launch.allow(&["librdkafka", "kafka_lost", "wal_growth"]);
    let mut running = launch.start().expect("it starts");
    running.wait_ready(LIMIT).expect("ready");
    eventually(LIMIT, "the snapshot is written, and known to be", || {
        (running.metric("tidegate_connector_source_lag_seconds").ok()? >= 0.0).then_some(())
    });
    kafka.kill().expect("kill -9");
    postgres.psql("postgres", ROWS).expect("rows");
    Stuck { postgres, kafka, _agent: agent, launch, running }
}

#[test]
fn growth_is_said_and_shown_and_loses_nothing() {
    let mut it = stuck(&[("source.wal_guard.warn_bytes", "4000000")]);
    let line = it.running.wait_event("wal_growth", LIMIT).expect("it warns");
    assert!(line.field("remedy").contains("max_slot_wal_keep_size"), "{}", line.text());
    assert_eq!(line.field("wal_status"), "reserved");
    let metric = |name: &str| it.running.metric(name).expect("a metric");
    assert!(metric("tidegate_connector_source_slot_retained_bytes") > 4e6);
    assert!(metric("tidegate_connector_source_lag_bytes") > 4e6);
    eventually(LIMIT, "the lag grows", || {
        (metric("tidegate_connector_source_lag_seconds") > 2.0).then_some(())
    });
    std::thread::sleep(std::time::Duration::from_secs(1));
    let warned = it.running.log().iter().filter(|line| line.event() == "wal_growth").count();
    assert_eq!(warned, 1, "it says so once");
    it.kafka.start_again().expect("Kafka comes back");
    it.running.wait_event("wal_growth_over", LIMIT).expect("it says that it is over");
    assert_eq!(it.postgres.psql("postgres", SLOTS).expect("slots"), "1");
    assert_eq!(ids(&it.kafka, 20_000), (1..=20_000).collect());
    assert_eq!(it.running.stop().expect("it stops"), 0);
}

#[test]
fn the_slot_is_given_up_and_a_person_is_asked() {
    let bounds = [
        ("source.wal_guard.warn_bytes", "1000000"),
        ("source.wal_guard.act_bytes", "8000000"),
        ("source.wal_guard.act", "drop_slot"),
    ];
    let mut it = stuck(&bounds);
    // The stream may notice that its connection was ended before the guard has said why.
    it.launch.allow(&["slot_given_up", "stopped", "stop_incomplete", "connection_lost"]);
    assert_eq!(it.running.exit_code(LIMIT).expect("it ends"), 3);
    assert_eq!(it.postgres.psql("postgres", SLOTS).expect("slots"), "0");
    let last = it.running.log().pop().expect("it says why");
    let said = (last.field("error").to_owned(), last.field("remedy").to_owned());
    says(&said, &["slot fault was dropped", "act_bytes = 8000000", "snapshot", "when_needed"]);
    // A restart does not skip what was lost.
    it.kafka.start_again().expect("Kafka comes back");
    says(&crate::peers::refused(&mut it.launch, 3), &["slot fault is gone", "snapshot"]);
}

#[test]
fn the_slot_is_given_up_and_a_new_snapshot_follows() {
    let bounds = [
        ("source.wal_guard.warn_bytes", "1000000"),
        ("source.wal_guard.act_bytes", "8000000"),
        ("source.wal_guard.act", "drop_slot"),
        ("snapshot.mode", "when_needed"),
    ];
    let mut it = stuck(&bounds);
    it.launch.allow(&["slot_given_up", "connection_lost", "position_lost"]);
    it.running.wait_event("slot_given_up", LIMIT).expect("the slot goes");
    // Two seconds in which nothing holds the server's log.
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert_eq!(it.postgres.psql("postgres", SLOTS).expect("slots"), "0");
    it.postgres.psql("postgres", "INSERT INTO t VALUES (20001, 'in between')").expect("a row");
    it.kafka.start_again().expect("Kafka comes back");
    let tables = || it.running.log().iter().filter(|line| line.event() == "snapshot_finished").count();
    eventually(LIMIT, "a second snapshot", || (tables() == 2).then_some(()));
    it.postgres.psql("postgres", "INSERT INTO t VALUES (20002, 'streamed')").expect("a row");
    assert_eq!(ids(&it.kafka, 20_002), (1..=20_002).collect());
    assert_eq!(it.running.stop().expect("it stops"), 0);
}

/// The ids of all rows in the table's topic, once there are so many.
fn ids(kafka: &Kafka, wanted: usize) -> BTreeSet<i64> {
    eventually(LIMIT, "every row is in the topic", || {
        let records = topics::read(&kafka.bootstrap(), "fault.public.t");
        let ids: BTreeSet<i64> =
            records.values().flatten().filter_map(|record| id(record.key.as_deref()?)).collect();
        (ids.len() >= wanted).then_some(ids)
    })
}

/// A key of one Avro int.
fn id(key: &[u8]) -> Option<i64> {
    let (_, body) = shared::avro::wire::split(key)?;
    let number =
        body.iter().rev().try_fold(0_i64, |number, byte| Some(number << 7 | i64::from(byte & 0x7f)))?;
    Some((number >> 1) ^ -(number & 1))
}
