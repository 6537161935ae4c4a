//! Other producers in front of the agent: kcat, and real Debezium with its Java producer.

use crate::edge_to_redis::{Ports, agent};
use crate::shop;
use serde_json::json;
use stack::{Connect, HOST, Kafka, Postgres, Redis, Registry, http};
use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;
use support::{eventually, topics};

const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn kcat_reads_back_what_kcat_wrote() {
    let (redis, ports) = (Redis::start().expect("Redis"), Ports::free());
    let launch = agent(&redis, &ports);
    let mut agent = launch.start().expect("the agent starts");
    agent.wait_ready(LIMIT).expect("the agent is ready");
    let lines: Vec<String> =
        (0..5_000).map(|n| format!("key {n}\tvalue {n} {}", "x".repeat(n % 300))).collect();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let topic = format!("kcat.{codec}");
        kcat(
            &ports,
            &["-P", "-t", &topic, "-K", "\t", "-z", codec, "-X", "enable.idempotence=true"],
            &lines.join("\n"),
        );
        let read = kcat(&ports, &["-C", "-q", "-e", "-t", &topic, "-o", "beginning", "-f", "%k\t%s\n"], "");
        assert_eq!(read.lines().collect::<Vec<_>>(), lines, "{codec}");
    }
    agent.kill().expect("kill -9");
    let mut agent = launch.start().expect("it starts again");
    agent.wait_ready(LIMIT).expect("the agent is ready");
    let read = kcat(&ports, &["-C", "-q", "-e", "-t", "kcat.lz4", "-o", "beginning", "-f", "%k\t%s\n"], "");
    assert_eq!(read.lines().collect::<Vec<_>>(), lines, "after kill -9");
    assert_eq!(agent.stop().expect("the agent stops"), 0);
}

#[test]
fn real_debezium_writes_into_the_door() {
    let postgres = Postgres::start(Default::default()).expect("PostgreSQL");
    let redis = Redis::start().expect("Redis");
    // The worker keeps its own affairs in a real cluster; the connector's producer and converters go to the agent.
    let kafka = Kafka::start(Default::default()).expect("Kafka");
    let registry = Registry::start().expect("the registry");
    let connect = Connect::start(&kafka, &registry).expect("Connect");
    shop::open(&postgres);
    let ports = Ports::free();
    let launch = agent(&redis, &ports);
    let mut agent = launch.start().expect("the agent starts");
    agent.wait_ready(LIMIT).expect("the agent is ready");
    connect.run("shop", &debezium(&postgres, &ports)).expect("Debezium runs");
    shop::load(&postgres, 1_000, 7);

    let wanted = rows(&postgres);
    let door = format!("127.0.0.1:{}", ports.door);
    eventually(LIMIT, "the topic's last records add up to the table", || {
        let records = topics::read(&door, "shop.public.payments").remove("shop.public.payments")?;
        (latest(&records, &ports) == wanted).then_some(())
    });
    connect.delete("shop").expect("Debezium ends");
    assert_eq!(agent.stop().expect("the agent stops"), 0);
}

fn debezium(postgres: &Postgres, ports: &Ports) -> serde_json::Value {
    let registry = format!("http://127.0.0.1:{}", ports.registry);
    json!({
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector", "plugin.name": "pgoutput",
        "database.hostname": HOST, "database.port": postgres.port().to_string(), "database.dbname": "shop",
        "database.user": stack::postgres::USER, "database.password": stack::postgres::PASSWORD,
        "topic.prefix": "shop", "slot.name": "debezium", "poll.interval.ms": "20",
        "key.converter": "io.confluent.connect.avro.AvroConverter", "key.converter.schema.registry.url": registry,
        "value.converter": "io.confluent.connect.avro.AvroConverter", "value.converter.schema.registry.url": registry,
        "producer.override.bootstrap.servers": format!("127.0.0.1:{}", ports.door),
    })
}

/// The table: id → amount.
fn rows(postgres: &Postgres) -> BTreeMap<i64, Option<String>> {
    let text = postgres.psql("shop", "SELECT id, amount FROM payments").expect("the table");
    let parse = |line: &str| {
        let (id, amount) = line.split_once('|').expect("two columns");
        (id.parse().expect("an id"), (!amount.is_empty()).then(|| amount.to_owned()))
    };
    text.lines().map(parse).collect()
}

/// The same from the topic: the last record of each key, tombstones taking keys away.
fn latest(records: &[topics::Record], ports: &Ports) -> BTreeMap<i64, Option<String>> {
    let mut schemas = BTreeMap::new();
    let mut decode = |message: &[u8]| {
        let (id, body) = shared::avro::wire::split(message).expect("a schema id");
        let schema = schemas.entry(id).or_insert_with(|| schema(ports, id));
        support::avro::decode(schema, body).expect("a value of its schema")
    };
    let mut table = BTreeMap::new();
    for record in records {
        let key = number(&decode(record.key.as_deref().expect("a key")), "id");
        match &record.value {
            None => drop(table.remove(&key)),
            Some(value) => {
                let value = decode(value);
                match support::avro::field(&value, "after") {
                    Some(row @ apache_avro::types::Value::Record(_)) => {
                        table.insert(key, support::avro::decimal(row, "amount", 2));
                    }
                    _ => drop(table.remove(&key)),
                }
            }
        }
    }
    table
}

fn number(value: &apache_avro::types::Value, name: &str) -> i64 {
    support::avro::long(value, name).expect(name)
}

fn schema(ports: &Ports, id: shared::avro::wire::SchemaId) -> apache_avro::Schema {
    let answer = http::get(&format!("http://127.0.0.1:{}/schemas/ids/{id}", ports.registry));
    let answer = answer.and_then(|a| a.json()).expect("the agent's registry knows the id");
    apache_avro::Schema::parse_str(answer["schema"].as_str().expect("a text")).expect("a schema")
}

fn kcat(ports: &Ports, arguments: &[&str], input: &str) -> String {
    let mut command = Command::new(stack::kafka::kcat().expect("kcat is there"));
    command.args(["-b", &format!("127.0.0.1:{}", ports.door)]).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("kcat starts");
    child.stdin.take().expect("its input").write_all(input.as_bytes()).expect("kcat reads");
    let done = child.wait_with_output().expect("kcat ends");
    assert!(done.status.success(), "kcat {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).expect("text")
}
