//! Our topics against real Debezium's: the same database, the same configuration, side by side.
//!
//! Each reads through a slot of its own and writes to a broker of its own; the schema registry is one,
//! so that equal schemas must get equal ids and no new version.

#![expect(clippy::print_stdout, reason = "cargo shows a test's output when it fails")]

mod compare;

use compare::Schemas;
use serde_json::{Value, json};
use stack::folder::Folder;
use stack::{Connect, HOST, Kafka, Postgres, Registry, http};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use support::{Binary, Launch, Program, eventually, topics};

const LIMIT: Duration = Duration::from_secs(60);
/// Both must hold still for this long before they are compared.
const STILL: Duration = Duration::from_millis(1_500);
const DEBEZIUM: &str = "3.6.3.Final";

struct World {
    postgres: Postgres,
    /// Debezium's broker, and ours.
    brokers: [Kafka; 2],
    registry: Registry,
    connect: Connect,
}

impl World {
    fn new() -> stack::Result<World> {
        let postgres = Postgres::start(stack::postgres::Options::default())?;
        let brokers = [Kafka::start(Default::default())?, Kafka::start(Default::default())?];
        let registry = Registry::start()?;
        let connect = Connect::start(&brokers[0], &registry)?;
        Ok(World { postgres, brokers, registry, connect })
    }
}

#[test]
fn every_scenario_equals_debezium() {
    let world = World::new().expect("the servers start");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("parity/scenario");
    let mut names: Vec<PathBuf> = std::fs::read_dir(&folder)
        .expect("the scenarios are there")
        .map(|entry| entry.expect("a scenario").path())
        .filter(|path| path.is_dir())
        .collect();
    names.sort();
    assert!(names.len() >= 5, "scenarios are missing: {names:?}");
    let wanted = std::env::var("SCENARIO").ok();
    let mut differences = Vec::new();
    for path in names {
        let name = path.file_name().and_then(|n| n.to_str()).expect("a scenario's name is plain").to_owned();
        if wanted.as_ref().is_some_and(|wanted| *wanted != name) {
            continue;
        }
        let found = Scenario { world: &world, path, name: name.clone() }.run().expect(&name);
        println!("{name}: {} differences", found.len());
        differences.extend(found);
    }
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
}

struct Scenario<'w> {
    world: &'w World,
    path: PathBuf,
    name: String,
}

impl Scenario<'_> {
    fn run(&self) -> stack::Result<Vec<String>> {
        let postgres = &self.world.postgres;
        postgres.psql("postgres", &format!("CREATE DATABASE {}", self.name))?;
        self.prepare_topics();
        postgres.psql(&self.name, &self.sql("source.sql"))?;
        self.world.connect.run(&self.name, &self.configuration("debezium"))?;
        self.wait_streaming("debezium");
        let versions = self.versions();
        let (launch, _files) = self.launch()?;
        let mut ours = launch.start()?;
        ours.wait_ready(LIMIT)?;
        self.wait_streaming("ours");
        self.settle();
        for step in 1.. {
            let file = format!("stream.{step}.sql");
            if !self.path.join(&file).exists() {
                break;
            }
            postgres.psql(&self.name, &self.sql(&file))?;
            self.settle();
        }
        let found = self.compare(&versions);
        self.end(&mut ours)?;
        Ok(found)
    }

    fn sql(&self, file: &str) -> String {
        std::fs::read_to_string(self.path.join(file)).expect(file)
    }

    /// Topics that the scenario wants with several partitions (`topics.json`); the others make themselves.
    fn prepare_topics(&self) {
        let Ok(text) = std::fs::read_to_string(self.path.join("topics.json")) else { return };
        let wanted: serde_json::Map<String, Value> = serde_json::from_str(&text).expect("topics.json");
        for broker in &self.world.brokers {
            for (topic, partitions) in &wanted {
                let partitions = partitions.as_i64().and_then(|n| i32::try_from(n).ok()).expect("a number");
                topics::create(&broker.bootstrap(), topic, partitions);
            }
        }
    }

    fn configuration(&self, slot: &str) -> Value {
        let mut configuration = json!({
            "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
            "plugin.name": "pgoutput",
            "database.hostname": HOST,
            "database.port": self.world.postgres.port().to_string(),
            "database.user": stack::postgres::USER,
            "database.password": stack::postgres::PASSWORD,
            "database.dbname": self.name,
            "topic.prefix": self.name,
            "slot.name": format!("{slot}_{}", self.name),
        });
        let more: serde_json::Map<String, Value> =
            serde_json::from_str(&self.sql("connector.json")).expect("connector.json");
        configuration.as_object_mut().expect("an object").extend(more);
        configuration
    }

    fn launch(&self) -> stack::Result<(Launch, Folder)> {
        let folder = Folder::new("parity")?;
        let mut configuration = self.configuration("ours");
        configuration["name"] = json!(self.name);
        let connector = folder.write("connector.json", &configuration.to_string())?;
        let worker = format!(
            "bootstrap.servers={}\nkey.converter=io.confluent.connect.avro.AvroConverter\n\
             key.converter.schema.registry.url={url}\nvalue.converter=io.confluent.connect.avro.AvroConverter\n\
             value.converter.schema.registry.url={url}\noffset.storage.topic=_offsets\n\
             offset.storage.replication.factor=1\noffset.storage.partitions=1\n",
            self.world.brokers[1].bootstrap(),
            url = self.world.registry.url(),
        );
        let worker = folder.write("worker.properties", &worker)?;
        let (connector, worker) = (connector.display().to_string(), worker.display().to_string());
        let arguments = ["--debezium", &connector, "--worker", &worker];
        let mut launch = Launch::with_arguments(Binary::Connector, &arguments)?;
        launch.set("event.source_version", DEBEZIUM).allow(&["librdkafka"]);
        Ok((launch, folder))
    }

    fn wait_streaming(&self, slot: &str) {
        let sql = format!(
            "SELECT count(*) FROM pg_stat_replication r JOIN pg_replication_slots s ON s.active_pid = r.pid \
             WHERE s.slot_name = '{slot}_{}' AND r.state = 'streaming'",
            self.name
        );
        eventually(LIMIT, &format!("{slot} streams {}", self.name), || {
            (self.world.postgres.psql("postgres", &sql).ok()? == "1").then_some(())
        });
    }

    /// Waits until both brokers hold equally much and nothing comes any more (or they never agree).
    fn settle(&self) {
        let prefix = format!("{}.", self.name);
        let counts = || self.world.brokers.each_ref().map(|b| topics::total(&b.bootstrap(), &prefix));
        let (start, mut since, mut last) = (Instant::now(), Instant::now(), counts());
        while start.elapsed() < LIMIT / 3 {
            std::thread::sleep(Duration::from_millis(150));
            let now = counts();
            if now != last {
                (since, last) = (Instant::now(), now);
            }
            if now[0] == now[1] && since.elapsed() >= STILL {
                return;
            }
        }
    }

    fn compare(&self, versions_before: &[(String, usize)]) -> Vec<String> {
        let prefix = format!("{}.", self.name);
        let [theirs, ours] = self.world.brokers.each_ref().map(|b| topics::read(&b.bootstrap(), &prefix));
        assert!(topics::count(&theirs) > 0, "Debezium wrote nothing to {prefix}*");
        let schemas = self.schemas(theirs.values().flatten());
        let mut found = Vec::new();
        for name in theirs.keys().chain(ours.keys().filter(|name| !theirs.contains_key(*name))) {
            let none = Vec::new();
            let (a, b) = (theirs.get(name).unwrap_or(&none), ours.get(name).unwrap_or(&none));
            found.extend(compare::topic(name, a, b, &schemas));
        }
        found.extend(self.unused_versions(versions_before, &schemas));
        found
    }

    /// Every schema that a record of Debezium names.
    fn schemas<'r>(&self, records: impl Iterator<Item = &'r topics::Record>) -> Schemas {
        let mut schemas = Schemas::new();
        let messages = records.flat_map(|r| [r.key.as_deref(), r.value.as_deref()]).flatten();
        for (id, _) in messages.filter_map(shared::avro::wire::split) {
            schemas.entry(id.0).or_insert_with(|| {
                let url = format!("{}/schemas/ids/{id}", self.world.registry.url());
                let answer = http::get(&url).and_then(|a| a.json()).expect("the registry knows the id");
                let text = answer["schema"].as_str().expect("a schema's text");
                apache_avro::Schema::parse_str(text).expect("a valid schema")
            });
        }
        schemas
    }

    /// Subjects of this scenario with their number of versions.
    fn versions(&self) -> Vec<(String, usize)> {
        let base = self.world.registry.url();
        let get = |path: &str| {
            http::get(&format!("{base}/{path}")).and_then(|a| a.json()).expect("the registry answers")
        };
        let subjects = get("subjects");
        let names = subjects.as_array().expect("a list").iter().filter_map(Value::as_str);
        let mine = names.filter(|subject| subject.starts_with(&format!("{}.", self.name)));
        mine.map(|s| (s.to_owned(), get(&format!("subjects/{s}/versions")).as_array().map_or(0, Vec::len)))
            .collect()
    }

    /// Versions beyond those that Debezium's records use were registered by us alone.
    fn unused_versions(&self, before: &[(String, usize)], schemas: &Schemas) -> Option<String> {
        let now = self.versions();
        let total: usize = now.iter().map(|(_, versions)| versions).sum();
        // A table without rows may have a version that no record uses yet, if Debezium registered it before us.
        let idle: usize = before.iter().map(|(_, versions)| versions).sum();
        (total > schemas.len().max(idle))
            .then(|| format!("{}: {total} versions, {} in use: {now:?}", self.name, schemas.len()))
    }

    fn end(&self, ours: &mut Program) -> stack::Result<()> {
        assert_eq!(ours.stop()?, 0, "SIGTERM ends it with 0");
        self.world.connect.delete(&self.name)?;
        let slots = format!("slot_name IN ('ours_{0}', 'debezium_{0}')", self.name);
        eventually(LIMIT, "the slots are free", || {
            let sql =
                format!("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE {slots}");
            self.world.postgres.psql("postgres", &sql).ok()
        });
        Ok(())
    }
}
