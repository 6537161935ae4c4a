//! Taking over from real Debezium and handing back to it, under load: one database, one broker, one registry,
//! one slot, the same JSON and the same worker file.

mod file;
mod incremental;
mod load;
mod snapshot;
mod stream;

use serde_json::{Value, json};
use stack::folder::Folder;
use stack::postgres::Options;
use stack::{Connect, HOST, Kafka, Postgres, Registry, http};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::Duration;
use support::{Binary, Launch, avro, eventually, topics};

const LIMIT: Duration = Duration::from_secs(90);
/// The connector's name, its topics' prefix, its slot and its publication.
const NAME: &str = "takeover";

struct World {
    postgres: Postgres,
    kafka: Kafka,
    registry: Registry,
    /// The worker's file.
    worker: PathBuf,
    folder: Folder,
}

impl World {
    /// The worker apart from the rest, as it is stopped and started.
    fn new(start: fn(&Kafka, &Registry) -> stack::Result<Connect>) -> (World, Connect) {
        let postgres = Postgres::start(Options::default()).expect("PostgreSQL");
        let kafka = Kafka::start(Default::default()).expect("Kafka");
        let registry = Registry::start().expect("the registry");
        let connect = start(&kafka, &registry).expect("a worker");
        let (worker, folder) = (connect.worker_properties().to_owned(), Folder::new("takeover"));
        (World { postgres, kafka, registry, worker, folder: folder.expect("a folder") }, connect)
    }

    fn sql(&self, sql: &str) -> String {
        self.postgres.psql("postgres", sql).expect(sql)
    }

    /// The flat JSON, with `more` beside what is always so.
    fn configuration(&self, more: &Value) -> Value {
        let mut configuration = json!({
            "name": NAME,
            "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
            "plugin.name": "pgoutput",
            "database.hostname": HOST,
            "database.port": self.postgres.port().to_string(),
            "database.user": stack::postgres::USER,
            "database.password": stack::postgres::PASSWORD,
            "database.dbname": "postgres",
            "topic.prefix": NAME,
            "slot.name": NAME,
            "publication.name": NAME,
        });
        let more = more.as_object().expect("an object").clone();
        configuration.as_object_mut().expect("an object").extend(more);
        configuration
    }

    /// Ours, with the same JSON and the same worker file.
    fn launch(&self, configuration: &Value) -> Launch {
        let connector = self.folder.write("connector.json", &configuration.to_string()).expect("a file");
        let worker = self.worker.display().to_string();
        let arguments = ["--debezium", &connector.display().to_string(), "--worker", &worker];
        let mut launch = Launch::with_arguments(Binary::Connector, &arguments).expect("a launch");
        launch.allow(&["librdkafka"]);
        launch
    }

    /// `offset …` of ours on those files.
    fn offset(&self, words: &[&str]) -> String {
        let connector = self.folder.path().join("connector.json").display().to_string();
        let worker = self.worker.display().to_string();
        let mut arguments = vec!["offset"];
        arguments.extend(words);
        arguments.extend([
            "--debezium",
            &connector,
            "--worker",
            &worker,
            "--set",
            "admin.listen=127.0.0.1:1",
        ]);
        let output = Binary::Connector.output(&arguments).expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn wait_streaming(&self) {
        let sql = format!(
            "SELECT count(*) FROM pg_stat_replication r JOIN pg_replication_slots s ON s.active_pid = r.pid \
             WHERE s.slot_name = '{NAME}' AND r.state = 'streaming'"
        );
        eventually(LIMIT, "the slot streams", || {
            (self.postgres.psql("postgres", &sql).ok()? == "1").then_some(())
        });
    }

    fn wait_slot_free(&self) {
        let sql = format!("SELECT active FROM pg_replication_slots WHERE slot_name = '{NAME}'");
        eventually(LIMIT, "the slot is free", || (self.sql(&sql) == "f").then_some(()));
    }

    fn records(&self, table: &str) -> i64 {
        topics::total(&self.kafka.bootstrap(), &format!("{NAME}.public.{table}"))
    }

    /// `op`, and two columns of the row after the change, of every record that has one.
    fn changes(&self, table: &str, columns: [&str; 2]) -> Vec<(String, i64, i64)> {
        let topic = format!("{NAME}.public.{table}");
        let mut schemas = HashMap::new();
        let records = topics::read(&self.kafka.bootstrap(), &topic).remove(&topic).expect("the topic");
        let change = |value: &[u8]| {
            let (id, body) = shared::avro::wire::split(value).expect("a schema id");
            let schema = schemas.entry(id.0).or_insert_with(|| self.schema(id.0));
            let value = avro::decode(schema, body).expect("it decodes");
            let after = avro::field(&value, "after")?;
            let [first, second] = columns.map(|column| avro::long(after, column));
            Some((avro::text(&value, "op")?.to_owned(), first?, second?))
        };
        records
            .iter()
            .filter_map(|record| record.value.as_deref())
            .filter_map({
                let mut change = change;
                move |value| change(value)
            })
            .collect()
    }

    fn schema(&self, id: u32) -> apache_avro::Schema {
        let url = format!("{}/schemas/ids/{id}", self.registry.url());
        let answer = http::get(&url).and_then(|answer| answer.json()).expect("the registry knows the id");
        apache_avro::Schema::parse_str(answer["schema"].as_str().expect("a text")).expect("a valid schema")
    }

    /// How many versions each subject has.
    fn versions(&self) -> BTreeMap<String, usize> {
        let get = |path: &str| {
            let url = format!("{}/{path}", self.registry.url());
            http::get(&url).and_then(|answer| answer.json()).expect("the registry answers")
        };
        let subjects = get("subjects");
        let names = subjects.as_array().expect("a list").iter().filter_map(Value::as_str);
        let count = |name: &str| get(&format!("subjects/{name}/versions")).as_array().map_or(0, Vec::len);
        names.map(|name| (name.to_owned(), count(name))).collect()
    }

    /// What the worker has stored for the connector, the oldest first.
    fn stored(&self) -> Vec<Value> {
        let topic = stack::connect::OFFSETS_TOPIC;
        let records = topics::read(&self.kafka.bootstrap(), topic).remove(topic).unwrap_or_default();
        let ours = |record: &topics::Record| {
            record.key.as_deref().is_some_and(|key| String::from_utf8_lossy(key).contains(NAME))
        };
        let values = records.into_iter().filter(ours).filter_map(|record| record.value);
        values.filter_map(|value| serde_json::from_slice(&value).ok()).collect()
    }
}

/// Writes a file of ours that holds this position, for `offset` commands.
fn as_our_file(path: &Path, offset: &Value) {
    let document = json!({ "key": [NAME, { "server": NAME }], "value": offset });
    std::fs::write(path, document.to_string()).expect("a file");
}
