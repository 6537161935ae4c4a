//! PostgreSQL → connector → real Kafka and registry → agent → Redis → Feast, with the agent killed on the
//! way and the brokers away for a while: each record is in the agent's log exactly once.

use crate::edge_to_redis::{LIMIT, Ports, agent, caught_up, connector, equal_soon, restart};
use crate::feast::Reader;
use crate::shop;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};
use stack::{Kafka, Postgres, Redis, Registry};
use std::path::Path;
use std::time::Duration;
use support::topics::{self, Record};
use support::{Launch, eventually};

const CHANGES: u64 = 6_000;
const TOPIC: &str = "shop.public.payments";
const USERS: &str = "shop.public.users";

/// Beside the view of all these tests: what a payment's user is called now.
const NAMED: &str = r#"
[[feature_view]]
name = "named_spend"
topic = "shop.public.payments"
entity = ["user_id"]
time = "created_at"
feature = [
  { name = "names_10m", aggregate = "count_distinct", of = "users.name", window = "10m" },
  { name = "last_name_10m", aggregate = "last", of = "users.name", window = "10m" },
  { name = "sum_10m", aggregate = "sum", of = "amount", window = "10m" },
]
[[feature_view.lookup]]
name = "users"
topic = "shop.public.users"
on = { id = "user_id" }
"#;

#[test]
fn central_records_arrive_exactly_once_in_spite_of_kills() {
    let postgres = Postgres::start(Default::default()).expect("PostgreSQL");
    let redis = Redis::start().expect("Redis");
    let mut kafka = Kafka::start(Default::default()).expect("Kafka");
    let registry = Registry::start().expect("the registry");
    shop::open(&postgres);
    let mut reader = Reader::start(&redis);
    let ports = Ports::free();
    let mut agent_launch = consumer(&redis, &ports, &kafka, &registry);
    agent_launch.set("consume.topics", format!("[\"{TOPIC}\", \"{USERS}\"]"));
    let file = agent_launch.folder().join("config.toml");
    let config = std::fs::read_to_string(&file).expect("its configuration");
    std::fs::write(&file, config + NAMED).expect("written");
    let mut connector_launch = connector(&postgres, &ports);
    connector_launch
        .set("sink.kafka.brokers", kafka.bootstrap())
        .set("avro.registry.url", format!("[\"{}\"]", registry.url()));
    let mut agent = agent_launch.start().expect("the agent starts");
    agent.wait_ready(LIMIT).expect("it serves though its topic is not there");
    let mut connector = connector_launch.start().expect("the connector starts");
    connector.wait_ready(LIMIT).expect("the connector is ready");

    std::thread::scope(|scope| {
        let load = scope.spawn(|| shop::load(&postgres, CHANGES, 11));
        for _ in 0..4 {
            std::thread::sleep(Duration::from_millis(fastrand::u64(200..1_200)));
            agent = restart(&mut agent, &agent_launch);
        }
        load.join().expect("the load ends");
    });
    agent.wait_ready(LIMIT).expect("the agent is ready");
    caught_up(&postgres, &connector);
    all_arrived(&kafka, &ports, TOPIC);
    all_arrived(&kafka, &ports, USERS);
    equal_soon(&postgres, &mut reader);

    // Away and back: said once, and it goes on by itself.
    kafka.stop().expect("Kafka stops");
    agent.wait_event("consume_waits", LIMIT).expect("it says that it waits");
    kafka.start_again().expect("Kafka starts again");
    postgres.psql("shop", "UPDATE payments SET amount = amount + 1 WHERE id % 7 = 0").expect("changes");
    caught_up(&postgres, &connector);
    all_arrived(&kafka, &ports, TOPIC);
    agent.wait_event("consume_works", LIMIT).expect("it says that it works");
    let outages = agent.log().iter().filter(|line| line.event() == "consume_waits").count();
    assert_eq!(outages, 1, "one warning an episode");
    equal_soon(&postgres, &mut reader);
    let status = agent.status().expect("its status");
    assert_eq!(status["consume"]["connected"], true, "{status}");
    trained_alike(&agent_launch, &postgres);
    assert_eq!(connector.stop().expect("the connector stops"), 0);
    assert_eq!(agent.stop().expect("the agent stops"), 0);
}

/// A training set from central Kafka is, byte for byte, that from the agent's log; looked-up columns too.
fn trained_alike(launch: &Launch, postgres: &Postgres) {
    let ask = |sql: &str| postgres.psql("shop", sql).expect("the shop answers").trim().to_owned();
    let at = ask("SELECT now()");
    let rows = ask(&format!(
        "SELECT string_agg(format('%s,%s', id, to_char(('{at}'::timestamptz - back * interval '1 second')
                AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')), E'\\n' ORDER BY back, id)
         FROM generate_series(1, 50) id, unnest(ARRAY[0, 2, 5, 9]) back"
    ));
    let spine = format!("user_id,event_timestamp\n{rows}\n");
    let file = |name: &str| launch.folder().join(name);
    std::fs::write(file("spine.csv"), spine).expect("written");
    let made = |out: &str, more: &[&str]| {
        let words = [&["--spine", "spine.csv", "--out", out], more].concat();
        let (code, said) = launch.command("training", &words).expect("it runs");
        assert_eq!(code, 0, "{said}");
        std::fs::read(file(out)).expect("a training set")
    };
    let (log, kafka) = (made("log.parquet", &[]), made("kafka.parquet", &["--from-kafka"]));
    assert!(log == kafka, "{} and {} bytes", log.len(), kafka.len());
    assert!(!file("kafka.parquet.rows").exists(), "what was read is gone");
    // The users have not changed since: whoever paid in the window has the name that he has now.
    let wanted = ask(&format!(
        "SELECT id, CASE WHEN EXISTS (SELECT FROM payments p WHERE p.user_id = u.id
           AND p.created_at > '{at}'::timestamptz - interval '10 minutes') THEN name END FROM users u ORDER BY id"
    ));
    assert_eq!(names(&file("kafka.parquet")).join("\n"), wanted);
    // One topic's rows are not enough for a view with a look-up.
    let words =
        ["--spine", "spine.csv", "--out", "files.parquet", "--from", "spine.csv", "--view", "named_spend"];
    assert_eq!(launch.command("training", &words).expect("it runs").0, 2);
    assert!(!file("files.parquet").exists());
}

/// User and name at the latest time, which stands first.
fn names(file: &Path) -> Vec<String> {
    let reader = SerializedFileReader::new(std::fs::File::open(file).expect("the file")).expect("Parquet");
    let rows = reader.get_row_iter(None).expect("rows");
    let name = |row: parquet::errors::Result<Row>| {
        let row = row.expect("a row");
        let cell = |wanted: &str| match row.get_column_iter().find(|(name, _)| *name == wanted) {
            Some((_, Field::Str(text))) => text.clone(),
            Some((_, Field::Null)) => String::new(),
            Some((_, other)) => other.to_string(),
            None => panic!("no column {wanted}"),
        };
        format!("{}|{}", cell("user_id"), cell("named_spend__last_name_10m"))
    };
    rows.take(shop::USERS as usize).map(name).collect()
}

/// A schema id that nobody knows stops its partition and no other; with the record gone by, others flow.
#[test]
fn an_unknown_schema_stops_its_partition_alone() {
    let redis = Redis::start().expect("Redis");
    let kafka = Kafka::start(Default::default()).expect("Kafka");
    let registry = Registry::start().expect("the registry");
    topics::create(&kafka.bootstrap(), TOPIC, 2);
    let send = |partition: i32, value: &[u8]| {
        use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
        let producer: BaseProducer = rdkafka::ClientConfig::new()
            .set("bootstrap.servers", kafka.bootstrap())
            .create()
            .expect("a producer");
        let record = BaseRecord::<[u8], [u8]>::to(TOPIC).payload(value).key(b"k").partition(partition);
        producer.send(record).map_err(|(error, _)| error).expect("queued");
        producer.flush(LIMIT).expect("delivered");
    };
    send(0, b"plain");
    send(0, &[0, 0, 0, 0x30, 0x39, 1]);
    send(0, b"behind");
    send(1, b"other");
    let ports = Ports::free();
    let mut launch = consumer(&redis, &ports, &kafka, &registry);
    launch.allow(&["consume_partition_stopped"]);
    let mut agent = launch.start().expect("the agent starts");
    agent.wait_event("consume_partition_stopped", LIMIT).expect("it stops");
    let door = format!("127.0.0.1:{}", ports.door);
    eventually(LIMIT, "what stands before it, and the other partition, are there", || {
        (topics::total(&door, TOPIC) == 2).then_some(())
    });
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(topics::total(&door, TOPIC), 2, "nothing is passed over");
    send(1, b"more");
    eventually(LIMIT, "the other partition goes on", || (topics::total(&door, TOPIC) == 3).then_some(()));
    let stops = agent.log().iter().filter(|line| line.event() == "consume_partition_stopped").count();
    assert_eq!(stops, 1, "one warning an episode");
    let read = topics::read(&door, TOPIC).remove(TOPIC).expect("the local topic");
    let values: Vec<_> = read.iter().map(|record| (record.partition, record.value.clone())).collect();
    let value = |text: &[u8]| Some(text.to_vec());
    assert_eq!(values, [(0, value(b"plain")), (1, value(b"other")), (1, value(b"more"))]);
    assert_eq!(agent.stop().expect("the agent stops"), 0);
}

/// Topics by the beginning of their names, the one that comes later too; from a time on, not from the
/// beginning, and after a restart from where it was.
#[test]
fn a_pattern_is_followed_from_a_time_on() {
    const START_MS: i64 = 1_767_323_045_000;
    let redis = Redis::start().expect("Redis");
    let kafka = Kafka::start(Default::default()).expect("Kafka");
    let registry = Registry::start().expect("the registry");
    let send = |topic: &str, value: &str, time_ms: i64| {
        use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
        let producer: BaseProducer = rdkafka::ClientConfig::new()
            .set("bootstrap.servers", kafka.bootstrap())
            .create()
            .expect("a producer");
        let record = BaseRecord::<[u8], str>::to(topic).payload(value).partition(0).timestamp(time_ms);
        producer.send(record).map_err(|(error, _)| error).expect("queued");
        producer.flush(LIMIT).expect("delivered");
    };
    for topic in ["wide.a", "wide.b", "other"] {
        topics::create(&kafka.bootstrap(), topic, 1);
        send(topic, "before", START_MS - 1_000);
        send(topic, "after", START_MS + 1_000);
    }
    // Nothing of it is young enough.
    topics::create(&kafka.bootstrap(), "wide.old", 1);
    send("wide.old", "before", START_MS - 1_000);
    let ports = Ports::free();
    let mut launch = consumer(&redis, &ports, &kafka, &registry);
    launch.set("consume.topics", "[\"wide.*\", \"wide.a\"]").set("consume.start", "2026-01-02T03:04:05Z");
    let mut agent = launch.start().expect("the agent starts");
    let door = format!("127.0.0.1:{}", ports.door);
    let values = || {
        let topics = topics::read(&door, "");
        let all = topics.iter().filter(|(topic, _)| topic.starts_with("wide") || *topic == "other");
        let text =
            |record: &Record| String::from_utf8_lossy(record.value.as_deref().unwrap_or(b"")).into_owned();
        all.flat_map(|(topic, records)| records.iter().map(move |one| format!("{topic} {}", text(one))))
            .collect::<Vec<_>>()
    };
    let arrived = |count: i64| {
        eventually(LIMIT, "the records are there", || (topics::total(&door, "wide") >= count).then_some(()));
    };
    arrived(2);
    assert_eq!(values(), ["wide.a after", "wide.b after"]);
    // What comes while it is away is not skipped, though it is older than the start.
    agent.kill().expect("kill -9");
    send("wide.old", "late", START_MS - 500);
    topics::create(&kafka.bootstrap(), "wide.new", 1);
    send("wide.new", "new", START_MS + 2_000);
    let mut agent = launch.start().expect("it starts again");
    arrived(4);
    assert_eq!(values(), ["wide.a after", "wide.b after", "wide.new new", "wide.old late"]);
    assert_eq!(agent.stop().expect("the agent stops"), 0);
}

fn consumer(redis: &Redis, ports: &Ports, kafka: &Kafka, registry: &Registry) -> Launch {
    let mut launch = agent(redis, ports);
    launch
        .set("consume.kafka.brokers", kafka.bootstrap())
        .set("consume.registry.url", format!("[\"{}\"]", registry.url()))
        .set("consume.topics", format!("[\"{TOPIC}\"]"))
        .set("consume.retry_ceiling", "1s")
        // Its peer comes later, and goes away on purpose; and the test's own reader names a group.
        .allow(&["consume_topic_missing", "consume_waits"]);
    launch
}

/// The local topic is the central one, record by record; only schema ids may differ.
fn all_arrived(kafka: &Kafka, ports: &Ports, topic: &str) {
    let door = format!("127.0.0.1:{}", ports.door);
    eventually(LIMIT, "every central record is in the log", || {
        (topics::total(&door, topic) >= topics::total(&kafka.bootstrap(), topic)).then_some(())
    });
    let records = |bootstrap: &str| topics::read(bootstrap, topic).remove(topic).expect("the topic");
    let (central, local) = (records(&kafka.bootstrap()), records(&door));
    assert_eq!(local.len(), central.len(), "each exactly once");
    let same = central.iter().zip(&local).all(|(central, local)| bare(central) == bare(local));
    assert!(same, "keys, values and headers are the same, in the same order");
}

/// Partition, and key and value without their schema ids.
fn bare(record: &Record) -> impl PartialEq + '_ {
    fn without_id(bytes: &Option<Vec<u8>>) -> Option<&[u8]> {
        bytes.as_deref().map(|bytes| shared::avro::wire::split(bytes).map_or(bytes, |(_, rest)| rest))
    }
    (record.partition, without_id(&record.key), without_id(&record.value), &record.headers)
}
