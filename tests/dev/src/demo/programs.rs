//! The two programs as a user runs them: release builds with the sample files, told only where things are.
//!
//! The agent takes from the connector directly. With `--kafka` a real Kafka and a real registry stand between
//! the two, and features are read from Redis by the Feast SDK.

use super::features::{Features, Reader};
use super::shop::{DATABASE, Shop};
use crate::bench::meter::usage;
use stack::folder::Folder;
use stack::process::{Process, Signal, command};
use stack::{Error, HOST, Kafka, Redis, Registry, Result, http, port};
use std::process::Command;
use std::time::{Duration, Instant};

const PREFIX: &str = "shop";
const LIMIT: Duration = Duration::from_secs(60);

/// One of the programs with its admin server.
struct Program {
    name: String,
    process: Process,
    admin: u16,
}

type Settings = Vec<(&'static str, String)>;

impl Program {
    /// Starts a release build with a sample file and these settings, and waits until it is ready.
    fn start(
        folder: &Folder,
        binary: &str,
        label: &str,
        sample: &str,
        settings: Settings,
    ) -> Result<Program> {
        let admin = port::free()?;
        let mut run: Command = command(crate::target().join("release").join(binary), Signal::Kill, None);
        run.arg("run").arg("-c").arg(crate::root().join("config").join(sample)).current_dir(folder.path());
        for (key, value) in settings.into_iter().chain([("admin.listen", local(admin))]) {
            run.args(["--set", &format!("{key}={value}")]);
        }
        let process = Process::spawn(label, run, &folder.path().join(format!("{label}.log")))?;
        let mut program = Program { name: label.to_owned(), process, admin };
        let ready = format!("http://{}/readyz", local(admin));
        program.process.wait_ready(LIMIT, || http::answers(&ready))?;
        Ok(program)
    }

    fn check(&mut self) -> Result<()> {
        match self.process.ended() {
            Some(status) => {
                Err(Error::new(format!("{} ended ({status}):\n{}", self.name, self.process.last_lines())))
            }
            None => Ok(()),
        }
    }

    fn stop(&mut self) -> Result<()> {
        let status = self.process.stop(Signal::Term, LIMIT)?;
        if status.success() {
            return Ok(());
        }
        Err(Error::new(format!("{} ended with {status}:\n{}", self.name, self.process.last_lines())))
    }

    /// Records made so far, as a connector's status says; 0 if it does not answer.
    fn records(&self) -> u64 {
        let status = http::get(&format!("http://{}/status", local(self.admin))).and_then(http::Answer::json);
        status.ok().and_then(|status| status.get("records")?.as_u64()).unwrap_or(0)
    }

    fn resident_mib(&self) -> f64 {
        usage(self.process.id()).map(|usage| usage.resident_mib).unwrap_or(0.0)
    }
}

/// What stands between the two programs, and where features go.
struct Centre {
    kafka: Kafka,
    registry: Registry,
    redis: Redis,
}

/// The running programs and what they need beside the database.
pub struct Programs {
    // In this order they are dropped: producers before what they write to.
    connector: Program,
    agent: Program,
    centre: Option<Centre>,
    features_port: u16,
    _folder: Folder,
}

impl Programs {
    pub fn start(shop: &Shop, kafka: bool) -> Result<Programs> {
        let folder = Folder::new("demo")?;
        let (door, registry, features_port) = (port::free()?, port::free()?, port::free()?);
        let centre = if kafka { Some(Centre::start()?) } else { None };
        let mut settings: Settings = vec![
            ("db.path", folder.path().join("agent.db").display().to_string()),
            ("door.listen", local(door)),
            ("registry.listen", local(registry)),
            ("features.listen", local(features_port)),
        ];
        let (mut brokers, mut schemas) = (local(door), format!("http://{}", local(registry)));
        if let Some(centre) = &centre {
            (brokers, schemas) = (centre.kafka.bootstrap(), centre.registry.url());
            settings.extend(centre.settings());
        }
        let agent = Program::start(&folder, "tidegate-agent", "agent", "agent.toml", settings)?;
        let connector = connector(&folder, shop, "connector", &brokers, &schemas)?;
        Ok(Programs { connector, agent, centre, features_port, _folder: folder })
    }

    /// Where to ask for features.
    pub fn features(&self) -> Result<Features> {
        match &self.centre {
            Some(centre) => Ok(Features::Feast(Box::new(Reader::start(&centre.redis)?))),
            None => Ok(Features::Agent(format!("http://{}/get-online-features", local(self.features_port)))),
        }
    }

    /// An error, with the end of its log, if one has ended by itself.
    pub fn check(&mut self) -> Result<()> {
        self.agent.check()?;
        self.connector.check()
    }

    /// Records that the connector made.
    pub fn records(&self) -> u64 {
        self.connector.records()
    }

    /// Records in Kafka's topics, and those that the connector says it made.
    pub fn central_records(&self) -> Result<Option<(u64, u64)>> {
        let Some(centre) = &self.centre else { return Ok(None) };
        Ok(Some((centre.stored()?, self.connector.records())))
    }

    /// Resident memory of connector and agent.
    pub fn memory_mib(&self) -> (f64, f64) {
        (self.connector.resident_mib(), self.agent.resident_mib())
    }

    /// Waits until the connector has told PostgreSQL that every change so far is safe at the other end.
    pub fn wait_confirmed(&mut self, shop: &Shop) -> Result<()> {
        let end = shop.postgres.psql(DATABASE, "SELECT pg_current_wal_lsn()")?;
        let left = format!("SELECT count(*) FROM pg_replication_slots WHERE confirmed_flush_lsn < '{end}'");
        let start = Instant::now();
        while shop.postgres.psql(DATABASE, &left)? != "0" {
            self.check()?;
            if start.elapsed() > LIMIT {
                let log = self.connector.process.last_lines();
                let what = format!("{end} is not confirmed after {} s", LIMIT.as_secs());
                return Err(Error::new(format!("{what}; the end of the connector's log:\n{log}")));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// All end as asked, producers first.
    pub fn stop(&mut self) -> Result<()> {
        self.connector.stop()?;
        self.agent.stop()
    }
}

impl Centre {
    fn start() -> Result<Centre> {
        let kafka = Kafka::start(stack::kafka::Options::default())?;
        Ok(Centre { kafka, registry: Registry::start()?, redis: Redis::start()? })
    }

    /// What the agent must know: what to read, and where features go.
    fn settings(&self) -> Settings {
        vec![
            ("consume.kafka.brokers", self.kafka.bootstrap()),
            ("consume.registry.url", format!("[\"{}\"]", self.registry.url())),
            ("consume.topics", format!("[\"{PREFIX}.public.payments\"]")),
            ("sync.central.kind", "redis".to_owned()),
            ("sync.central.url", self.redis.url()),
            ("sync.central.project", "tidegate".to_owned()),
        ]
    }

    /// Ends of the topics' partitions, as kcat prints them: `shop.public.users [0] offset 12`.
    fn stored(&self) -> Result<u64> {
        let mut query = Command::new(self.kafka.kcat()?);
        query.args(["-Q", "-b", &self.kafka.bootstrap()]);
        for table in ["users", "merchants", "payments"] {
            query.args(["-t", &format!("{PREFIX}.public.{table}:0:-1")]);
        }
        let answer = stack::process::run("ask Kafka for the ends of its topics", &mut query)?;
        let ends = answer.lines().filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok());
        Ok(ends.sum())
    }
}

fn local(port: u16) -> String {
    format!("{HOST}:{port}")
}

/// A connector with a slot and a publication called as itself.
fn connector(folder: &Folder, shop: &Shop, label: &str, brokers: &str, registry: &str) -> Result<Program> {
    let settings: Settings = vec![
        ("source.host", HOST.to_owned()),
        ("source.port", shop.postgres.port().to_string()),
        ("source.socket_dir", shop.postgres.socket_dir().display().to_string()),
        ("source.database", DATABASE.to_owned()),
        ("source.user", stack::postgres::USER.to_owned()),
        ("source.password", stack::postgres::PASSWORD.to_owned()),
        ("source.slot", label.to_owned()),
        ("source.publication", label.to_owned()),
        ("event.topic_prefix", PREFIX.to_owned()),
        ("sink.kafka.brokers", brokers.to_owned()),
        ("avro.registry.url", format!("[\"{registry}\"]")),
        ("offset.path", folder.path().join(format!("{label}-offsets.json")).display().to_string()),
    ];
    Program::start(folder, "tidegate-connector", label, "connector-postgres.toml", settings)
}
