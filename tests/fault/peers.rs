//! What most faults need: a database with a table, and an agent for the connector to write to.

use apache_avro::Schema;
use serde_json::Value;
use stack::{Postgres, http};
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};
pub use support::edge::Agent;
use support::{Binary, Launch, avro, topics};

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

/// Rows by id.
type Rows = BTreeMap<i64, String>;

/// Waits until the topic, its records put one upon the other, holds what the table `t` holds.
#[track_caller]
pub fn same_content(postgres: &Postgres, brokers: &str, registry: &str) {
    let sql = "SELECT id || '=' || v FROM t";
    let table = postgres.psql("postgres", sql).expect("the table");
    let row = |line: &str| line.split_once('=').and_then(|(id, v)| Some((id.parse().ok()?, v.to_owned())));
    let table: Rows = table.lines().filter_map(row).collect();
    assert!(table.len() >= 5, "the table is there");
    let (until, mut schemas) = (Instant::now() + LIMIT, HashMap::new());
    loop {
        let topic = folded(brokers, registry, &mut schemas);
        if topic == table {
            return;
        }
        if Instant::now() > until {
            let differs = |(id, v): &(&i64, &String)| topic.get(id) != Some(v);
            let missing: Vec<_> = table.iter().filter(differs).map(|(id, _)| id).take(10).collect();
            let beyond: Vec<_> = topic.keys().filter(|id| !table.contains_key(id)).take(10).collect();
            panic!(
                "{} rows in the table, {} in the topic; not (so) there: {missing:?}; not gone: {beyond:?}",
                table.len(),
                topic.len()
            );
        }
        std::thread::sleep(Duration::from_millis(300));
    }
}

fn folded(brokers: &str, registry: &str, schemas: &mut HashMap<u32, Schema>) -> Rows {
    let mut rows = Rows::new();
    let topics = topics::read(brokers, "fault.public.t");
    for value in topics.values().flatten().filter_map(|record| record.value.as_deref()) {
        let (id, body) = shared::avro::wire::split(value).expect("an Avro record");
        let schema = schemas.entry(id.0).or_insert_with(|| {
            let answer = http::get(&format!("{registry}/schemas/ids/{id}")).and_then(http::Answer::json);
            let text =
                answer.expect("the registry knows it")["schema"].as_str().unwrap_or_default().to_owned();
            Schema::parse_str(&text).expect("a schema")
        });
        let envelope = avro::decode(schema, body).expect("a record");
        let gone = avro::text(&envelope, "op") == Some("d");
        let row = avro::field(&envelope, if gone { "before" } else { "after" }).expect("a row");
        let id = avro::long(row, "id").expect("an id");
        match gone {
            true => rows.remove(&id),
            false => rows.insert(id, avro::text(row, "v").unwrap_or_default().to_owned()),
        };
    }
    rows
}
