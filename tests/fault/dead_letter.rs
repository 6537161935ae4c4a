//! Rows that cannot be converted: without a dead-letter topic they stop the connector, with one they go
//! there, whole and explained, and everything else flows.

use crate::peers::{Agent, LIMIT, connector, refused, says};
use serde_json::{Value, json};
use stack::Postgres;
use support::topics::Record;
use support::{eventually, topics};

/// A column that allows no NULL has no place for NaN in Avro; and a type that calls itself `vector`
/// prints texts that are none.
const TABLES: &str = "
    CREATE TABLE amounts (id int PRIMARY KEY, v numeric(10, 2) NOT NULL);
    INSERT INTO amounts VALUES (1, 1.5), (2, 'NaN'), (3, 2.5);
    CREATE TYPE vector;
    CREATE FUNCTION vector_in(cstring) RETURNS vector LANGUAGE internal STRICT IMMUTABLE AS 'textin';
    CREATE FUNCTION vector_out(vector) RETURNS cstring LANGUAGE internal STRICT IMMUTABLE AS 'textout';
    CREATE TYPE vector (INPUT = vector_in, OUTPUT = vector_out, INTERNALLENGTH = VARIABLE, STORAGE = extended);
    CREATE TABLE embeddings (id int PRIMARY KEY, e vector, note text);
    INSERT INTO embeddings VALUES (1, '[1,2]', 'fine'), (2, 'secret one', 'broken');";

const CHANGES: &str = "
    INSERT INTO amounts VALUES (4, 'NaN'), (5, 9.5);
    INSERT INTO embeddings VALUES (3, 'secret two', 'broken'), (4, '[3,4]', 'fine');
    UPDATE amounts SET v = 'NaN' WHERE id = 5;
    DELETE FROM embeddings WHERE id = 3;";

#[test]
fn what_cannot_be_converted_goes_to_its_topic() {
    let postgres = Postgres::start(Default::default()).expect("PostgreSQL");
    postgres.psql("postgres", TABLES).expect("tables");
    let agent = Agent::start(&[]);
    let mut stopped = connector(&postgres, &agent.brokers(), &agent.registry());
    stopped.set("source.slot", "stopped").set("event.topic_prefix", "stopped");
    says(&refused(&mut stopped, 3), &["stopped.public.amounts", "NaN", "dead_letter_topic"]);
    let mut launch = connector(&postgres, &agent.brokers(), &agent.registry());
    launch.set("sink.dead_letter_topic", "\"letters\"").allow(&["record_refused"]);
    let mut running = launch.start().expect("it starts");
    running.wait_ready(LIMIT).expect("ready");
    let letters = || topics::read(&agent.brokers(), "letters").remove("letters").unwrap_or_default();
    eventually(LIMIT, "the snapshot's letters", || (letters().len() >= 2).then_some(()));
    postgres.psql("postgres", CHANGES).expect("changes");
    eventually(LIMIT, "the stream's letters", || (letters().len() >= 5).then_some(()));
    let letters = letters();
    let found: Vec<Value> = letters.iter().map(document).collect();
    check(&found, &letters);
    // Everything else came; the delete of a row that never came has a record all the same.
    let good = |topic: &str| topics::read(&agent.brokers(), topic).values().map(Vec::len).sum::<usize>();
    eventually(LIMIT, "the good rows", || (good("fault.public.amounts") >= 3).then_some(()));
    assert_eq!((good("fault.public.amounts"), good("fault.public.embeddings")), (3, 2 + 2));
    let metric = |name: &str| running.metric(name).expect("a metric");
    assert_eq!(metric("tidegate_connector_event_refused_total"), 5.0);
    assert_eq!(metric("debezium_metrics_NumberOfErroneousEvents"), 5.0);
    assert_eq!(running.stop().expect("it stops"), 0);
    let log = std::fs::read_to_string(launch.log()).expect("the log");
    assert!(log.contains("record_refused") && !log.contains("secret"), "the log shows no value");
    // The position moved on: nothing comes twice.
    let mut running = launch.start().expect("it starts again");
    running.wait_ready(LIMIT).expect("ready");
    postgres.psql("postgres", "INSERT INTO amounts VALUES (6, 'NaN')").expect("a row");
    let again = || topics::read(&agent.brokers(), "letters").values().map(Vec::len).sum::<usize>();
    eventually(LIMIT, "one more", || (again() >= 6).then_some(()));
    assert_eq!(again(), 6);
    assert_eq!(running.stop().expect("it stops"), 0);
}

fn document(record: &Record) -> Value {
    serde_json::from_slice(record.value.as_deref().expect("a letter has content")).expect("JSON")
}

/// In the order of what happened: a NaN and a vector of the snapshot, then of the stream.
fn check(found: &[Value], letters: &[Record]) {
    let of = |table: &str, op: &str| {
        let fits = |letter: &&Value| letter["table"] == json!(table) && letter["operation"] == json!(op);
        found.iter().find(fits).unwrap_or_else(|| panic!("no letter of {table} {op}: {found:?}"))
    };
    let amount = of("public.amounts", "c");
    assert_eq!(amount["value"]["after"], json!({ "id": 4, "v": "NaN" }));
    assert_eq!(amount["key"], json!({ "id": 4 }));
    assert_eq!(amount["topic"], json!("fault.public.amounts"));
    assert!(amount["transaction"].as_i64().is_some_and(|number| number > 0), "{amount}");
    assert!(amount["ts_ms"].as_i64().is_some_and(|time| time > 1_700_000_000_000), "{amount}");
    assert!(amount["position"].as_str().is_some_and(|lsn| lsn.contains('/')), "{amount}");
    assert!(amount["error"]["words"].as_str().is_some_and(|words| words.contains("NaN")), "{amount}");
    assert_eq!(of("public.amounts", "r")["value"]["after"], json!({ "id": 2, "v": "NaN" }));
    assert_eq!(of("public.amounts", "u")["value"]["after"]["v"], json!("NaN"));
    let unread = of("public.embeddings", "c");
    assert_eq!(unread["after"], json!({ "id": "3", "e": "secret two", "note": "broken" }));
    assert_eq!((&unread["before"], &unread["topic"]), (&Value::Null, &Value::Null));
    assert_eq!(of("public.embeddings", "r")["after"]["id"], json!("2"));
    let header = |name: &str| {
        let headers = &letters[0].headers;
        let found = headers.iter().find(|(known, _)| known == name).and_then(|(_, value)| value.clone());
        String::from_utf8(found.unwrap_or_else(|| panic!("no header {name}"))).expect("a text")
    };
    assert_eq!(header("__connect.errors.exception.message"), found[0]["error"]["words"]);
    assert_eq!(header("__connect.errors.connector.name"), "tidegate");
    assert_eq!(letters[0].key.as_deref(), found[0]["table"].as_str().map(str::as_bytes));
}
