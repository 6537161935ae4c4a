//! What most faults need: a database with a table, and an agent for the connector to write to.

use serde_json::Value;
use stack::Postgres;
use std::time::Duration;
pub use support::edge::Agent;
use support::{Binary, Launch};

pub const LIMIT: Duration = Duration::from_secs(40);

pub fn database() -> Postgres {
    let postgres = Postgres::start(Default::default()).expect("PostgreSQL");
    let table = "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT g, 'v' FROM generate_series(1, 10) g";
    postgres.psql("postgres", table).expect("a table");
    postgres
}

/// What the test's connector has written.
pub fn records(agent: &Agent) -> i64 {
    agent.records("fault.")
}

pub fn connector(postgres: &Postgres, brokers: &str, registry: &str) -> Launch {
    let mut launch = Launch::new(Binary::Connector, CONNECTOR).expect("a launch");
    launch
        .set("source.port", postgres.port())
        .set("avro.registry.url", format!("[\"{registry}\"]"))
        .set("sink.kafka.brokers", brokers);
    launch
}

pub const CONNECTOR: &str = "
[source]
database = \"postgres\"
user = \"postgres\"
password = \"postgres\"
slot = \"fault\"
publication = \"fault\"
[event]
topic_prefix = \"fault\"
[avro.registry]
url = []
[sink.kafka]
brokers = \"\"
[offset]
kind = \"file\"
path = \"offsets.json\"
";

/// Starts, expects the end with `code`, and gives the error and the remedy that were said.
pub fn refused(launch: &mut Launch, code: i32) -> (String, String) {
    launch.allow(&["stopped"]);
    let mut program = launch.start().expect("it starts");
    let ended = program.exit_code(LIMIT).expect("it ends by itself");
    let log: Vec<String> = program.log().iter().map(|line| line.text().to_owned()).collect();
    assert_eq!(ended, code, "exit code; its log:\n{}", log.join("\n"));
    let last = program.log().pop().expect("it says why");
    let json: Value = serde_json::from_str(last.text()).unwrap_or(Value::Null);
    let text = |name: &str| json[name].as_str().unwrap_or(last.text()).to_owned();
    (text("error"), text("remedy"))
}

#[track_caller]
pub fn says(said: &(String, String), words: &[&str]) {
    let all = format!("{} | {}", said.0, said.1);
    for word in words {
        assert!(all.contains(word), "{word:?} is missing in: {all}");
    }
}
