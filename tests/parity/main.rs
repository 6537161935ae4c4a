//! Our topics against real Debezium's: the same database, the same configuration, side by side.
//!
//! Each reads through a slot of its own and writes to a broker of its own; the schema registry is one,
//! so that equal schemas must get equal ids and no new version.

#![expect(clippy::print_stdout, reason = "cargo shows a test's output when it fails")]

mod compare;
mod metrics;

use compare::Schemas;
use serde_json::{Value, json};
use stack::folder::Folder;
use stack::postgres::Options;
use stack::{Connect, HOST, Kafka, Postgres, Registry, http};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use support::{Binary, Launch, Program, eventually, topics};

const LIMIT: Duration = Duration::from_secs(60);
/// Both must hold still for this long before they are compared.
const STILL: Duration = Duration::from_millis(1_500);
const DEBEZIUM: &str = "3.6.3.Final";

struct World {
    postgres: Postgres,
    /// A server with pgvector, once a scenario asks for it.
    vector: OnceLock<Postgres>,
    /// Debezium's broker, and ours.
    brokers: [Kafka; 2],
    registry: Registry,
    connect: Connect,
}

impl World {
    fn new() -> stack::Result<World> {
        stack::postgres::install_postgis()?;
        let postgres = Postgres::start(Options::default())?;
        let brokers = [Kafka::start(Default::default())?, Kafka::start(Default::default())?];
        let registry = Registry::start()?;
        let connect = Connect::start(&brokers[0], &registry)?;
        Ok(World { postgres, vector: OnceLock::new(), brokers, registry, connect })
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
        if wanted.as_ref().is_some_and(|wanted| !wanted.split(',').any(|wanted| wanted == name)) {
            continue;
        }
        let scenario = Scenario { world: &world, path, name: name.clone() };
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| scenario.run().expect(&name)));
        let found = done.unwrap_or_else(|_| vec![format!("{name} broke off:\n{}", scenario.words())]);
        println!("{name}: {} differences {}", found.len(), found.join("\n"));
        differences.extend(found);
    }
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
}

/// Our connector with a Debezium connector's configuration, and the folder with the files that it reads.
fn take_over(configuration: &Value, kafka: &Kafka, registry: &Registry) -> stack::Result<(Launch, Folder)> {
    let folder = Folder::new("parity")?;
    let connector = folder.write("connector.json", &configuration.to_string())?;
    let worker = format!(
        "bootstrap.servers={}\nkey.converter=io.confluent.connect.avro.AvroConverter\n\
         key.converter.schema.registry.url={url}\nvalue.converter=io.confluent.connect.avro.AvroConverter\n\
         value.converter.schema.registry.url={url}\noffset.storage.topic=_offsets\n\
         offset.storage.replication.factor=1\noffset.storage.partitions=1\n",
        kafka.bootstrap(),
        url = registry.urls(),
    );
    let worker = folder.write("worker.properties", &worker)?;
    let (connector, worker) = (connector.display().to_string(), worker.display().to_string());
    let arguments = ["--debezium", &connector, "--worker", &worker];
    let mut launch = Launch::with_arguments(Binary::Connector, &arguments)?;
    launch.allow(&["librdkafka"]);
    Ok((launch, folder))
}

struct Scenario<'w> {
    world: &'w World,
    path: PathBuf,
    name: String,
}

impl Scenario<'_> {
    fn run(&self) -> stack::Result<Vec<String>> {
        let postgres = self.postgres();
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
            if let Some(sql) = self.file(&format!("stream.{step}.sql")) {
                postgres.psql(&self.name, &sql)?;
            } else if let Some(sql) = self.file(&format!("stopped.{step}.sql")) {
                ours = self.stopped(ours, &launch, &sql)?;
            } else {
                break;
            }
            self.settle();
        }
        let mut found = self.compare(&versions);
        if !found.is_empty() {
            found.push(format!("{}: Debezium says {}", self.name, self.words()));
        }
        self.end(&mut ours)?;
        Ok(found)
    }

    /// The server that the scenario wants (`server`), or the usual one.
    fn postgres(&self) -> &Postgres {
        match self.file("server") {
            Some(server) => {
                assert_eq!(server.trim(), "vector", "there is no other server");
                let options = Options { vector: true, ..Options::default() };
                self.world.vector.get_or_init(|| Postgres::start(options).expect("a server with pgvector"))
            }
            None => &self.world.postgres,
        }
    }

    /// What Debezium says of itself: records that it lacks may have a failed task behind them, with its trace.
    fn words(&self) -> String {
        let url = format!("{}/connectors/{}/status", self.world.connect.url(), self.name);
        let status = http::get(&url).and_then(|answer| answer.json());
        status.map_or_else(|error| error.to_string(), |status| status.to_string().replace("\\n", "\n"))
    }

    /// Both stop, something happens, and both start again.
    fn stopped(&self, mut ours: Program, launch: &Launch, sql: &str) -> stack::Result<Program> {
        assert_eq!(ours.stop()?, 0, "SIGTERM ends it with 0");
        self.world.connect.delete(&self.name)?;
        self.postgres().psql(&self.name, sql)?;
        self.world.connect.run(&self.name, &self.configuration("debezium"))?;
        self.wait_streaming("debezium");
        let mut ours = launch.start()?;
        ours.wait_ready(LIMIT)?;
        self.wait_streaming("ours");
        Ok(ours)
    }

    /// A file of the scenario, or of the one that it is a variant of.
    fn file(&self, file: &str) -> Option<String> {
        let own = std::fs::read_to_string(self.path.join(file)).ok();
        own.or_else(|| {
            let like = std::fs::read_to_string(self.path.join("like")).ok()?;
            std::fs::read_to_string(self.path.with_file_name(like.trim()).join(file)).ok()
        })
    }

    fn sql(&self, file: &str) -> String {
        self.file(file).unwrap_or_else(|| panic!("{} has no {file}", self.name))
    }

    /// Topics that the scenario wants with several partitions (`topics.json`); the others make themselves.
    fn prepare_topics(&self) {
        let Some(text) = self.file("topics.json") else { return };
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
            "database.port": self.postgres().port().to_string(),
            "database.user": stack::postgres::USER,
            "database.password": stack::postgres::PASSWORD,
            "database.dbname": self.name,
            "topic.prefix": self.name,
            "slot.name": format!("{slot}_{}", self.name),
        });
        let more = self.sql("connector.json").replace("REGISTRY", &self.world.registry.url());
        let more: serde_json::Map<String, Value> = serde_json::from_str(&more).expect("connector.json");
        configuration.as_object_mut().expect("an object").extend(more);
        configuration
    }

    fn launch(&self) -> stack::Result<(Launch, Folder)> {
        let mut configuration = self.configuration("ours");
        configuration["name"] = json!(self.name);
        let (mut launch, folder) = take_over(&configuration, &self.world.brokers[1], &self.world.registry)?;
        launch.set("event.source_version", DEBEZIUM);
        let warnings = self.file("warnings").unwrap_or_default();
        launch.allow(&warnings.split_whitespace().collect::<Vec<_>>());
        Ok((launch, folder))
    }

    fn wait_streaming(&self, slot: &str) {
        let sql = format!(
            "SELECT count(*) FROM pg_stat_replication r JOIN pg_replication_slots s ON s.active_pid = r.pid \
             WHERE s.slot_name = '{slot}_{}' AND r.state = 'streaming'",
            self.name
        );
        eventually(LIMIT, &format!("{slot} streams {}", self.name), || {
            (self.postgres().psql("postgres", &sql).ok()? == "1").then_some(())
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

    fn compare(&self, versions_before: &BTreeSet<i64>) -> Vec<String> {
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

    /// Ids of all schemas under this scenario's subjects.
    fn versions(&self) -> BTreeSet<i64> {
        let base = self.world.registry.url();
        let get = |path: &str| {
            http::get(&format!("{base}/{path}")).and_then(|a| a.json()).expect("the registry answers")
        };
        let subjects = get("subjects");
        let names = subjects.as_array().expect("a list").iter().filter_map(Value::as_str);
        let mine = names.filter(|subject| subject.starts_with(&format!("{}.", self.name)));
        let versions = |subject: &str| {
            let versions = get(&format!("subjects/{subject}/versions"));
            let numbers = versions.as_array().expect("a list").iter().filter_map(Value::as_i64);
            let id = |number| get(&format!("subjects/{subject}/versions/{number}"))["id"].as_i64();
            numbers.filter_map(id).collect::<Vec<_>>()
        };
        mine.flat_map(versions).collect()
    }

    /// Schemas beyond those that Debezium's records use were registered by us alone. A table without
    /// rows may have one that no record uses yet, if Debezium registered it before us.
    fn unused_versions(&self, before: &BTreeSet<i64>, schemas: &Schemas) -> Option<String> {
        let now = self.versions();
        let own = now.iter().filter(|id| {
            !before.contains(id) && u32::try_from(**id).is_ok_and(|id| !schemas.contains_key(&id))
        });
        let own: Vec<&i64> = own.collect();
        (!own.is_empty()).then(|| format!("{}: schemas {own:?} are ours alone", self.name))
    }

    fn end(&self, ours: &mut Program) -> stack::Result<()> {
        assert_eq!(ours.stop()?, 0, "SIGTERM ends it with 0");
        self.world.connect.delete(&self.name)?;
        let slots = format!("slot_name IN ('ours_{0}', 'debezium_{0}')", self.name);
        eventually(LIMIT, "the slots are free", || {
            let sql =
                format!("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE {slots}");
            self.postgres().psql("postgres", &sql).ok()
        });
        Ok(())
    }
}
