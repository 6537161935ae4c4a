//! What networks and servers do to a running connector: each fault ends with the topic's content equal to
//! the table, whatever was written meanwhile.

use crate::peers::{Agent, LIMIT, connector, database, refused, same_content, says};
use stack::proxy::{Network, Proxy};
use stack::{HOST, Kafka, Postgres, Registry, port};
use std::time::Duration;
use support::{Launch, Program, eventually};

/// What a lost or restarted peer makes us say.
const WARNINGS: [&str; 3] = ["librdkafka", "kafka_lost", "connection_lost"];
/// How long a fault lasts.
const FAULT: Duration = Duration::from_secs(3);

/// What networks do, in the order in which it is done to one connection.
const FAULTS: [(&str, Network); 4] = [
    ("slow", Network::Slow(Duration::from_millis(40))),
    ("narrow", Network::Narrow(60_000)),
    ("silent", Network::Silent),
    ("down", Network::Down),
];

/// New, changed and removed rows, several transactions, some of them larger than one packet.
fn work(postgres: &Postgres, round: u32) {
    let first = 1_000 * (round + 1);
    let last = first + 699;
    let sql = format!(
        "INSERT INTO t SELECT g, repeat('v' || g, 20) FROM generate_series({first}, {last}) g;
         UPDATE t SET v = 'changed {round}' WHERE id % 7 = {round} % 7;
         DELETE FROM t WHERE id % 31 = {round} % 31;
         BEGIN; UPDATE t SET v = v || '!' WHERE id % 5 = 0; ROLLBACK;"
    );
    postgres.psql("postgres", &sql).expect("work");
}

/// Does all of [`FAULTS`], and resets, to the connections through the proxy, while rows are written.
fn torment(proxy: &Proxy, postgres: &Postgres, running: &mut Program) {
    for (round, (name, network)) in (1..).zip(FAULTS) {
        work(postgres, round * 2);
        proxy.set(network);
        work(postgres, round * 2 + 1);
        std::thread::sleep(FAULT);
        proxy.set(Network::Well);
        assert!(!running.ended(), "it ended while the network was {name}");
    }
    for round in 20..25 {
        work(postgres, round);
        proxy.reset();
        std::thread::sleep(Duration::from_millis(300));
    }
    work(postgres, 30);
    assert!(!running.ended(), "it ended by a reset");
}

fn started(launch: &mut Launch) -> Program {
    let mut running = launch.allow(&WARNINGS).start().expect("it starts");
    running.wait_ready(LIMIT).expect("ready");
    running
}

#[test]
fn the_network_to_the_database() {
    let postgres = database();
    let agent = Agent::start(&[]);
    let proxy = Proxy::start(postgres.port()).expect("a proxy");
    let mut launch = connector(&postgres, &agent.brokers(), &agent.registry());
    launch.set("source.port", proxy.port());
    let mut running = started(&mut launch);
    torment(&proxy, &postgres, &mut running);
    same_content(&postgres, &agent.brokers(), &agent.registry());
    assert_eq!(running.stop().expect("it stops"), 0);
}

#[test]
fn the_network_to_kafka_and_its_restart() {
    let postgres = database();
    let proxy = Proxy::start(port::free().expect("a port")).expect("a proxy");
    let mut kafka = Kafka::behind(&proxy, Default::default()).expect("Kafka");
    let agent = Agent::start(&[]);
    let mut launch = connector(&postgres, &proxy.address(), &agent.registry());
    let mut running = started(&mut launch);
    torment(&proxy, &postgres, &mut running);
    same_content(&postgres, &kafka.bootstrap(), &agent.registry());
    kafka.stop().expect("Kafka stops");
    work(&postgres, 40);
    kafka.start_again().expect("Kafka comes back");
    work(&postgres, 41);
    same_content(&postgres, &kafka.bootstrap(), &agent.registry());
    assert_eq!(running.stop().expect("it stops"), 0);
}

/// A broker that restarts, however it ended, keeps only the last batch of each producer in mind. One before it whose
/// answer was lost is there, and refused when it comes again: nobody can tell it from a gap. A new producer goes on.
#[test]
fn a_broker_that_forgot_what_it_has_gets_it_again_from_a_new_producer() {
    let postgres = database();
    let proxy = Proxy::start(port::free().expect("a port")).expect("a proxy");
    let mut kafka = Kafka::behind(&proxy, Default::default()).expect("Kafka");
    let agent = Agent::start(&[]);
    let mut launch = connector(&postgres, &proxy.address(), &agent.registry());
    launch.set("sink.batch_bytes", 20_000);
    let mut running = started(&mut launch);
    for (round, end) in [(1, Kafka::stop as fn(&mut Kafka) -> _), (2, Kafka::kill)] {
        let acknowledged = "tidegate_connector_sink_acknowledged_total";
        let before = running.metric(acknowledged).expect("told");
        let many = format!(
            "INSERT INTO t SELECT g, repeat('v', 50) FROM generate_series({round}00000, {round}80000) g;
            UPDATE t SET v = 'changed {round}' WHERE id % 3 = 0"
        );
        postgres.psql("postgres", &many).expect("much to do");
        eventually(LIMIT, "the producer for many writes", || {
            (running.metric(acknowledged).ok()? > before + 10_000.0).then_some(())
        });
        proxy.set(Network::Unanswered);
        std::thread::sleep(Duration::from_secs(1));
        end(&mut kafka).expect("Kafka ends");
        kafka.start_again().expect("Kafka comes back");
        proxy.set(Network::Well);
        proxy.reset();
        eventually(LIMIT, "the new broker refuses", || {
            let refused =
                |line: &str| line.contains("connection_lost") && line.contains("OutOfOrderSequenceNumber");
            let count = running.log().iter().filter(|line| refused(line.text())).count();
            (count >= round).then_some(())
        });
        same_content(&postgres, &kafka.bootstrap(), &agent.registry());
    }
    assert_eq!(running.stop().expect("it stops"), 0);
}

#[test]
fn the_network_to_the_registry_and_its_restart() {
    let postgres = database();
    let agent = Agent::start(&[]);
    let mut registry = Registry::start().expect("the registry");
    let proxy = Proxy::start(registry.port()).expect("a proxy");
    let url = registry.url().replace(&format!("{HOST}:{}", registry.port()), &proxy.address());
    let mut launch = connector(&postgres, &agent.brokers(), &url);
    // A request that nobody answers is asked again soon.
    launch.set("avro.registry.timeout_ms", 1_000);
    let mut running = started(&mut launch);
    // Each new column makes a schema that has to be registered through the fault.
    let column = |number: u32| {
        let sql = format!("ALTER TABLE t ADD c{number} int DEFAULT {number}");
        postgres.psql("postgres", &sql).expect("a column");
        work(&postgres, number);
    };
    for (number, (name, network)) in (1..).zip(FAULTS) {
        proxy.set(network);
        column(number);
        std::thread::sleep(FAULT);
        proxy.set(Network::Well);
        proxy.reset();
        assert!(!running.ended(), "it ended while the network was {name}");
    }
    registry.stop().expect("the registry stops");
    column(10);
    registry.start_again().expect("the registry comes back");
    same_content(&postgres, &agent.brokers(), &registry.url());
    assert_eq!(running.stop().expect("it stops"), 0);
}

#[test]
fn the_database_restarted_in_good_order() {
    let mut postgres = database();
    let agent = Agent::start(&[]);
    let mut launch = connector(&postgres, &agent.brokers(), &agent.registry());
    let mut running = started(&mut launch);
    for round in 1..4 {
        work(&postgres, round * 2);
        postgres.stop().expect("PostgreSQL stops");
        postgres.start_again().expect("PostgreSQL comes back");
        work(&postgres, round * 2 + 1);
    }
    same_content(&postgres, &agent.brokers(), &agent.registry());
    assert_eq!(running.stop().expect("it stops"), 0);
}

/// Somebody ends the reader and drops the slot.
const DROP: &str =
    "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = 'fault';
    SELECT pg_sleep(0.05); SELECT pg_drop_replication_slot('fault')";

#[test]
fn the_slot_dropped_while_it_runs_is_said() {
    let postgres = database();
    let agent = Agent::start(&[]);
    let mut launch = connector(&postgres, &agent.brokers(), &agent.registry());
    launch.allow(&["stopped"]);
    let mut running = started(&mut launch);
    work(&postgres, 1);
    drop_slot(&postgres);
    assert_eq!(running.exit_code(LIMIT).expect("it ends"), 3);
    says(&refused(&mut launch, 3), &["slot fault is gone", "snapshot"]);
}

#[test]
fn the_slot_dropped_while_it_runs_is_met_by_a_snapshot_if_so_configured() {
    let postgres = database();
    let agent = Agent::start(&[]);
    let mut launch = connector(&postgres, &agent.brokers(), &agent.registry());
    launch.set("snapshot.mode", "when_needed").allow(&["position_lost"]);
    let mut running = started(&mut launch);
    running.wait_event("stream_started", LIMIT).expect("it streams");
    work(&postgres, 1);
    drop_slot(&postgres);
    let snapshots = || running.log().iter().filter(|line| line.event() == "snapshot_finished").count();
    eventually(LIMIT, "a second snapshot", || (snapshots() == 2).then_some(()));
    work(&postgres, 2);
    // Rows that were removed while no slot was there have no record of their end; here there are none.
    same_content(&postgres, &agent.brokers(), &agent.registry());
    assert_eq!(running.stop().expect("it stops"), 0);
}

/// The connector may be quicker than we are, and read the slot again.
fn drop_slot(postgres: &Postgres) {
    let gone = || postgres.psql("postgres", DROP).is_ok();
    eventually(LIMIT, "the slot is dropped", || gone().then_some(()));
}
