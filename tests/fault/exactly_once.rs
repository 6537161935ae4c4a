//! Exactly once, refused: with positions that are not in Kafka, by brokers that allow none so long, and by
//! another process that took over.

use crate::peers::{Agent, LIMIT, connector, database, refused, says};
use stack::{Kafka, Postgres};
use std::time::{Duration, Instant};
use support::{Launch, Program, eventually};

/// What follows a snapshot is committed well within it.
const QUIET: Duration = Duration::from_secs(2);

fn exactly_once(postgres: &Postgres, brokers: &str) -> Launch {
    let mut launch = connector(postgres, brokers, "http://127.0.0.1:1");
    launch.set("encode.key.format", "json").set("encode.value.format", "json");
    launch.set("sink.delivery", "exactly_once").set("offset.kind", "kafka").set("offset.topic_partitions", 1);
    launch
}

fn saves(program: &Program) -> Option<f64> {
    program.metric("tidegate_connector_offset_saves_total").ok()
}

/// Waits until it commits nothing any more: Kafka 4 answers a commit that it is just fencing with "unknown",
/// which heals.
fn idle(program: &Program) {
    let mut last = (saves(program), Instant::now());
    eventually(LIMIT, "no commit for a while", || {
        let now = saves(program).filter(|saves| *saves > 0.0);
        if now != last.0 {
            last = (now, Instant::now());
        }
        last.0.filter(|_| last.1.elapsed() >= QUIET)
    });
}

#[test]
fn a_position_beside_kafka_is_refused() {
    let postgres = database();
    let agent = Agent::start(&[]);
    let mut file = exactly_once(&postgres, &agent.brokers());
    says(&refused(file.set("offset.kind", "file"), 2), &["exactly_once", "offset.kind"]);
}

#[test]
fn the_later_of_two_processes_ends_the_earlier_one() {
    let postgres = database();
    let kafka = Kafka::start(Default::default()).expect("Kafka");
    let mut long = exactly_once(&postgres, &kafka.bootstrap());
    let said = refused(long.set("sink.transaction_timeout_ms", 1_000_000), 2);
    says(&said, &["transaction_timeout_ms", "transaction.max.timeout.ms"]);

    // The later one may find a position that the earlier one stored, and needs the log from there on.
    let slot = "SELECT pg_create_logical_replication_slot('later', 'pgoutput')";
    postgres.psql("postgres", slot).expect("a slot");
    let mut earlier = exactly_once(&postgres, &kafka.bootstrap());
    earlier.allow(&["stopped", "librdkafka"]);
    let mut first = earlier.start().expect("it starts");
    first.wait_ready(LIMIT).expect("ready");
    first.wait_event("stream_started", LIMIT).expect("it streams");
    idle(&first);
    // Under the same name, but with a slot of its own, so that the slot does not part them.
    let mut later = exactly_once(&postgres, &kafka.bootstrap());
    later.set("source.slot", "later").allow(&["librdkafka"]);
    let mut second = later.start().expect("it starts");
    second.wait_ready(LIMIT).expect("ready");
    postgres.psql("postgres", "INSERT INTO t VALUES (11, 'v')").expect("a change");
    assert_eq!(first.exit_code(LIMIT).expect("the earlier one ends"), 3);
    let last = first.log().pop().expect("it says why").text().to_owned();
    assert!(last.contains("another process runs as this connector"), "{last}");

    eventually(LIMIT, "the later one goes on", || saves(&second).filter(|saves| *saves > 1.0));
    assert_eq!(second.stop().expect("it stops"), 0);
}
