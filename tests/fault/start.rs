//! Faults that a start must meet, and faults of the peers while it runs.

use crate::peers::{Agent, LIMIT, connector, database, records, refused, says};
use stack::{HOST, Kafka, Postgres, Registry};
use support::{Binary, Launch, Program, eventually, topics};

#[test]
fn what_the_database_refuses() {
    let postgres = database();
    let agent = Agent::start(&[]);
    let start = || connector(&postgres, &agent.brokers(), &agent.registry());

    says(&refused(start().set("source.password", "wrong"), 3), &["password", "postgres"]);

    postgres.psql("postgres", "CREATE ROLE app LOGIN PASSWORD 'app'").expect("a role");
    let said = refused(start().set("source.user", "app").set("source.password", "app"), 3);
    says(&said, &["app", "REPLICATION"]);

    let said = refused(start().set("source.tables", "[\"public\\\\.no_such_table\"]"), 2);
    says(&said, &["no_such_table"]);

    let said = refused(start().set("source.port", stack::port::free().expect("a port")), 1);
    says(&said, &["127.0.0.1", "refused"]);

    // A slot that somebody else reads.
    let mut first = start();
    let mut running = first.start().expect("it starts");
    running.wait_ready(LIMIT).expect("ready");
    let slot = "SELECT active FROM pg_replication_slots WHERE slot_name = 'fault'";
    eventually(LIMIT, "the slot is read", || (postgres.psql("postgres", slot).ok()? == "t").then_some(()));
    says(&refused(&mut start(), 1), &["fault", "active for process"]);

    // The slot goes while it is stopped: what was written meanwhile is lost to it, and it says so.
    assert_eq!(running.stop().expect("it stops"), 0);
    postgres.psql("postgres", "SELECT pg_drop_replication_slot('fault')").expect("drop the slot");
    says(&refused(&mut first, 3), &["fault", "gone", "snapshot"]);
}

#[test]
fn wal_level_is_not_logical() {
    let options = stack::postgres::Options { wal_level: "replica", ..Default::default() };
    let postgres = Postgres::start(options).expect("PostgreSQL");
    postgres.psql("postgres", "CREATE TABLE t (id int PRIMARY KEY)").expect("a table");
    let agent = Agent::start(&[]);
    let said = refused(&mut connector(&postgres, &agent.brokers(), &agent.registry()), 3);
    says(&said, &["wal_level", "logical", "replica"]);
}

#[test]
fn peers_that_are_down_at_the_start() {
    let postgres = database();
    let agent = Agent::start(&[]);
    let nobody = format!("{HOST}:{}", stack::port::free().expect("a port"));
    let said = refused(&mut connector(&postgres, &nobody, &agent.registry()), 1);
    says(&said, &[&nobody]);
    let said = refused(&mut connector(&postgres, &agent.brokers(), &format!("http://{nobody}")), 1);
    says(&said, &["registry", &nobody]);
    // Neither left a slot behind that would hold the database's log.
    let slots = postgres.psql("postgres", "SELECT count(*) FROM pg_replication_slots").expect("slots");
    assert_eq!(slots, "0");
}

#[test]
fn an_unknown_key_names_the_nearest() {
    let mut launch = Launch::new(Binary::Connector, "[source]\ndatbase = \"x\"\n").expect("a launch");
    says(&refused(&mut launch, 2), &["datbase", "`database`"]);
    let mut launch = Launch::new(Binary::Agent, "[bufer]\n").expect("a launch");
    says(&refused(&mut launch, 2), &["bufer", "`buffer`"]);
}

#[test]
fn a_refused_schema_stops_with_the_registrys_words_and_loses_nothing() {
    let postgres = database();
    let agent = Agent::start(&[]);
    let registry = Registry::start().expect("the registry");
    let mut launch = connector(&postgres, &agent.brokers(), &registry.url());
    launch.allow(&["stopped"]);
    let mut running = snapshotted(&launch, &agent);
    // int to text is no change that BACKWARD allows.
    let change = "ALTER TABLE t ALTER v TYPE int USING 0; INSERT INTO t VALUES (11, 1)";
    postgres.psql("postgres", change).expect("a retyped column");
    assert_eq!(running.exit_code(LIMIT).expect("it ends"), 3);
    let said = running.log().pop().expect("it says why").text().to_owned();
    assert!(said.contains("409") && said.contains("fault.public.t-value"), "{said}");
    // A person allows it, and nothing is missing.
    let level = serde_json::json!({ "compatibility": "NONE" });
    stack::http::put(&format!("{}/config", registry.url()), &level).expect("the level is set");
    let mut running = launch.start().expect("it starts again");
    running.wait_ready(LIMIT).expect("ready");
    eventually(LIMIT, "the row comes after all", || (records(&agent) == 11).then_some(()));
    assert_eq!(running.stop().expect("it stops"), 0);
}

#[test]
fn kafka_away_during_the_run_loses_nothing() {
    let postgres = database();
    let mut kafka = Kafka::start(Default::default()).expect("Kafka");
    let agent = Agent::start(&[]);
    let mut launch = connector(&postgres, &kafka.bootstrap(), &agent.registry());
    launch.allow(&["librdkafka", "kafka_lost", "connection_lost"]);
    let mut running = launch.start().expect("it starts");
    running.wait_ready(LIMIT).expect("ready");
    let count = |kafka: &Kafka| topics::total(&kafka.bootstrap(), "fault.");
    eventually(LIMIT, "the snapshot is written", || (count(&kafka) == 10).then_some(()));
    kafka.kill().expect("kill -9");
    postgres.psql("postgres", "INSERT INTO t SELECT g, 'w' FROM generate_series(11, 2000) g").expect("rows");
    std::thread::sleep(std::time::Duration::from_secs(3));
    kafka.start_again().expect("Kafka comes back");
    eventually(LIMIT, "all rows are there", || (count(&kafka) >= 2_000).then_some(()));
    assert_eq!(running.stop().expect("it stops"), 0);
}

#[test]
fn a_missing_topic_is_named_when_the_broker_makes_none_and_made_if_a_rule_says_how() {
    let postgres = database();
    let options = stack::kafka::Options { auto_create_topics: false, ..Default::default() };
    let kafka = Kafka::start(options).expect("Kafka");
    let agent = Agent::start(&[]);
    let mut launch = connector(&postgres, &kafka.bootstrap(), &agent.registry());
    launch.allow(&["librdkafka", "kafka_lost"]);
    says(&refused(&mut launch, 3), &["fault.public.t", "auto"]);
    launch.set("sink.topic", "[{replicas=5}]");
    says(&refused(&mut launch, 3), &["fault.public.t", "InvalidReplicationFactor", "sink.topic"]);
    launch.set("sink.topic", r#"[{exclude=["fault.*"], partitions=7}, {partitions=3}]"#);
    let mut running = launch.allow(&["stopped"]).start().expect("it starts again");
    running.wait_ready(LIMIT).expect("ready");
    let count = || topics::total(&kafka.bootstrap(), "fault.");
    eventually(LIMIT, "the snapshot is written", || (count() >= 10).then_some(()));
    assert_eq!(topics::partitions(&kafka.bootstrap(), "fault.public.t"), 3);
    assert_eq!(running.stop().expect("it stops"), 0);
}

#[test]
fn the_database_restarting_loses_nothing() {
    let mut postgres = database();
    let agent = Agent::start(&[]);
    let mut launch = connector(&postgres, &agent.brokers(), &agent.registry());
    launch.allow(&["connection_lost"]);
    let mut running = snapshotted(&launch, &agent);
    postgres.kill().expect("kill -9");
    std::thread::sleep(std::time::Duration::from_millis(700));
    postgres.start_again().expect("PostgreSQL comes back");
    postgres.psql("postgres", "INSERT INTO t SELECT g, 'w' FROM generate_series(11, 500) g").expect("rows");
    eventually(LIMIT, "all rows are there", || (records(&agent) >= 500).then_some(()));
    assert_eq!(running.stop().expect("it stops"), 0);
}

#[test]
fn a_restart_registers_no_schema_that_the_registry_has() {
    let postgres = database();
    let agent = Agent::start(&[]);
    let launch = connector(&postgres, &agent.brokers(), &agent.registry());
    let mut running = snapshotted(&launch, &agent);
    assert_eq!(running.stop().expect("it stops"), 0);
    let mut running = launch.start().expect("it starts again");
    let seen =
        |program: &Program, event: &str| program.log().iter().filter(|line| line.event() == event).count();
    // The log goes on: of both starts.
    eventually(LIMIT, "schemas are fetched", || (seen(&running, "schemas_fetched") == 2).then_some(()));
    postgres.psql("postgres", "INSERT INTO t VALUES (11, 'x')").expect("a row");
    eventually(LIMIT, "the row is written", || (records(&agent) == 11).then_some(()));
    assert_eq!(seen(&running, "schema_registered"), 2, "key and value, at the first start");
    assert_eq!(running.stop().expect("it stops"), 0);
}

/// Story: after its last commit an idle slot moved on with the log; the restart took the commit for the
/// place to resume from, which the slot no longer had.
#[test]
fn an_idle_database_moves_the_slot_and_a_restart_goes_on() {
    let postgres = database();
    let agent = Agent::start(&[]);
    let launch = connector(&postgres, &agent.brokers(), &agent.registry());
    let mut running = snapshotted(&launch, &agent);
    postgres.psql("postgres", "INSERT INTO t VALUES (11, 'x')").expect("a row");
    eventually(LIMIT, "the row is written", || (records(&agent) == 11).then_some(()));
    postgres.psql("postgres", "CREATE DATABASE other").expect("log that no table of ours is in");
    let end = postgres.psql("postgres", "SELECT pg_current_wal_lsn()").expect("an LSN");
    eventually(LIMIT, "the slot follows the log", || {
        let sql = format!(
            "SELECT confirmed_flush_lsn >= '{end}' FROM pg_replication_slots WHERE slot_name = 'fault'"
        );
        (postgres.psql("postgres", &sql).ok()? == "t").then_some(())
    });
    assert_eq!(running.stop().expect("it stops"), 0);
    postgres.psql("postgres", "INSERT INTO t VALUES (12, 'x')").expect("a row while it is stopped");
    let mut running = launch.start().expect("it starts again");
    running.wait_ready(LIMIT).expect("ready");
    eventually(LIMIT, "that row comes too", || (records(&agent) == 12).then_some(()));
    assert_eq!(running.stop().expect("it stops"), 0);
}

/// Started, and the ten rows of [`database`] are written.
fn snapshotted(launch: &Launch, agent: &Agent) -> Program {
    let mut running = launch.start().expect("it starts");
    running.wait_ready(LIMIT).expect("ready");
    eventually(LIMIT, "the snapshot is written", || (records(agent) == 10).then_some(()));
    running
}
