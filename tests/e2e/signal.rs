//! A running connector is told to read tables again, by each of the ways there are, and tells how that comes on.

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::Value;
use stack::{Kafka, Postgres};
use std::time::Duration;
use support::{Binary, Launch, Program, eventually, topics};

const LIMIT: Duration = Duration::from_secs(60);

const TABLES: &str = "
    CREATE TABLE small (id int PRIMARY KEY, v text);
    INSERT INTO small SELECT g, 'v' FROM generate_series(1, 5) g;
    CREATE TABLE large (id int PRIMARY KEY, v text);
    INSERT INTO large SELECT g, 'v' FROM generate_series(1, 20000) g;
    CREATE TABLE signals (id varchar(42) PRIMARY KEY, type varchar(32), data varchar(2048))";

const CONNECTOR: &str = "
[source]
database = 'postgres'
user = 'postgres'
password = 'postgres'
[snapshot]
mode = 'no_data'
[signal]
table = 'public.signals'
channels = ['source', 'kafka', 'file']
poll_interval_ms = 100
file = 'signals.txt'
chunk_rows = 500
[event]
topic_prefix = 'shop'
notifications = ['topic', 'log']
notification_topic = 'shop-notices'
[encode.key]
format = 'json'
schemas = false
[encode.value]
format = 'json'
schemas = false
[sink.kafka]
brokers = ''
[offset]
kind = 'file'
path = 'offsets.json'
";

struct Shop {
    postgres: Postgres,
    kafka: Kafka,
    launch: Launch,
    program: Program,
}

impl Shop {
    fn open() -> Shop {
        let postgres = Postgres::start(Default::default()).expect("PostgreSQL");
        postgres.psql("postgres", TABLES).expect("tables");
        let kafka = Kafka::start(Default::default()).expect("Kafka");
        let mut launch = Launch::new(Binary::Connector, CONNECTOR).expect("a launch");
        launch.set("source.port", postgres.port()).set("sink.kafka.brokers", kafka.bootstrap());
        let mut program = launch.start().expect("it starts");
        program.wait_ready(LIMIT).expect("it is ready");
        Shop { postgres, kafka, launch, program }
    }

    fn values(&self, topic: &str) -> Vec<Value> {
        let topics = topics::read(&self.kafka.bootstrap(), topic);
        let records = topics.get(topic).into_iter().flatten();
        records
            .map(|record| serde_json::from_slice(record.value.as_deref().unwrap_or(b"null")).expect("JSON"))
            .collect()
    }

    /// Markers of the rows that were read of a table.
    fn reads(&self, table: &str) -> Vec<String> {
        let values = self.values(&format!("shop.public.{table}"));
        let reads = values.iter().filter(|value| value["op"] == "r");
        reads.map(|value| value["source"]["snapshot"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// What notices said under this id.
    fn notices(&self, id: &str) -> Vec<String> {
        let of = |value: &Value| value["id"] == id || id.is_empty();
        let values = self.values("shop-notices");
        let told = values.iter().filter(|value| of(value));
        told.map(|value| value["type"].as_str().unwrap_or_default().to_owned()).collect()
    }

    fn told(&self, id: &str, what: &str) {
        eventually(LIMIT, &format!("{what} of {id}"), || {
            self.notices(id).iter().any(|told| told == what).then_some(())
        });
    }

    fn table(&self, id: &str, kind: &str, data: &str) {
        let row = format!("INSERT INTO signals VALUES ('{id}', '{kind}', '{data}')");
        self.postgres.psql("postgres", &row).expect("a signal");
    }
}

#[test]
fn signals_come_by_table_topic_file_and_command() {
    let mut shop = Shop::open();
    let one = r#"{"data-collections": ["public.small"]}"#;
    // By the table.
    shop.table("by-table", "execute-snapshot", one);
    shop.told("by-table", "COMPLETED");
    assert_eq!(shop.reads("small"), ["incremental"; 5]);
    // By the topic: other connectors' signals and nonsense are passed over.
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", shop.kafka.bootstrap()).create().expect("a producer");
    let signal = format!(r#"{{"id": "by-topic", "type": "execute-snapshot", "data": {one}}}"#);
    for key in ["other", "shop"] {
        let record = BaseRecord::to("shop-signal").partition(0).key(key).payload(&signal);
        producer.send(record).map_err(|(error, _)| error).expect("sent");
    }
    producer.flush(LIMIT).expect("sent");
    shop.told("by-topic", "COMPLETED");
    assert_eq!(shop.reads("small").len(), 10);
    // By the file.
    let line = signal.replace("by-topic", "by-file");
    std::fs::write(shop.launch.folder().join("signals.new"), line).expect("written");
    std::fs::rename(shop.launch.folder().join("signals.new"), shop.launch.folder().join("signals.txt"))
        .expect("named");
    shop.told("by-file", "COMPLETED");
    // By the command, which asks the admin server; and while the stream waits.
    let blocking = r#"{"type": "blocking", "data-collections": ["public.small"], "additional-conditions": [{"data-collection": "public.small", "filter": "SELECT * FROM small WHERE id > 2"}]}"#;
    let (code, said) = shop.launch.command("signal", &["execute-snapshot", blocking]).expect("it runs");
    assert_eq!((code, said.as_str()), (0, "taken\n"));
    eventually(LIMIT, "the blocking snapshot", || (shop.reads("small").len() == 18).then_some(()));
    assert_eq!(shop.reads("small")[15..], ["first", "true", "last"]);
    let (code, _) = shop.launch.command("signal", &["execute-snapshot", "{}"]).expect("it runs");
    assert_eq!(code, 2, "what is not understood is refused before it is sent");
    assert_eq!(shop.program.stop().expect("it stops"), 0);
}

#[test]
fn a_running_one_is_paused_goes_on_and_is_stopped() {
    let mut shop = Shop::open();
    shop.table("all", "execute-snapshot", r#"{"data-collections": ["public.large", "public.small"]}"#);
    shop.table("p", "pause-snapshot", r#"{"type": "incremental"}"#);
    shop.told("all", "PAUSED");
    let so_far = shop.reads("large").len();
    assert!(so_far < 20_000);
    std::thread::sleep(Duration::from_millis(500));
    assert!(shop.reads("large").len() <= so_far + 500, "one chunk may have been on its way");
    // A restart forgets the pause, as with Debezium, and nothing else.
    shop.table("r", "resume-snapshot", r#"{"type": "incremental"}"#);
    shop.told("all", "RESUMED");
    shop.table("s", "stop-snapshot", r#"{"type": "incremental", "data-collections": ["public.large"]}"#);
    shop.told("all", "COMPLETED");
    assert_eq!(shop.reads("small").len(), 5, "the other table is read");
    assert_eq!(shop.program.stop().expect("it stops"), 0);
}
