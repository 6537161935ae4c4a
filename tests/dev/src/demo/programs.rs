//! The two programs as a user runs them: release builds with the sample files, told only where things are.

use super::features::{Features, Reader};
use super::shop::{DATABASE, Shop};
use crate::bench::meter::usage;
use stack::error::Doing;
use stack::folder::Folder;
use stack::process::{Process, Signal, command};
use stack::{Error, HOST, Kafka, Redis, Registry, Result, http, port};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

const SLOT: &str = "demo";
const LIMIT: Duration = Duration::from_secs(60);

/// Both programs in release, as packages ship them.
pub fn build() -> Result<()> {
    crate::say("building both programs (release)");
    let mut cargo = crate::cargo();
    cargo.args(["build", "--release", "-p", "tidegate-connector", "-p", "tidegate-agent"]);
    let built = cargo.status().doing(|| "build the programs".to_owned())?;
    if built.success() { Ok(()) } else { Err(Error::new("the programs do not build")) }
}

/// Real servers that stand between the programs and after them.
struct Centre {
    kafka: Kafka,
    registry: Registry,
}

/// The running programs and what they need beside the database.
pub struct Programs {
    // In this order they are dropped: producers before what they write to.
    connector: Process,
    agent: Process,
    ports: Ports,
    redis: Option<Redis>,
    _centre: Option<Centre>,
    _folder: Folder,
}

/// Free ports instead of the samples', so that a demo disturbs nobody.
struct Ports {
    connector: u16,
    agent: u16,
    door: u16,
    registry: u16,
    features: u16,
}

impl Ports {
    fn free() -> Result<Ports> {
        Ok(Ports {
            connector: port::free()?,
            agent: port::free()?,
            door: port::free()?,
            registry: port::free()?,
            features: port::free()?,
        })
    }
}

impl Programs {
    pub fn start(shop: &Shop, kafka: bool) -> Result<Programs> {
        let (folder, ports) = (Folder::new("demo")?, Ports::free()?);
        let redis = if kafka { Some(Redis::start()?) } else { None };
        let centre = if kafka { Some(centre()?) } else { None };
        let settings = agent_settings(&folder, &ports, redis.as_ref(), centre.as_ref());
        let mut agent = start(&folder, "tidegate-agent", "agent.toml", &settings)?;
        wait_ready(&mut agent, ports.agent)?;
        let settings = connector_settings(&folder, &ports, shop, centre.as_ref());
        let mut connector = start(&folder, "tidegate-connector", "connector-postgres.toml", &settings)?;
        wait_ready(&mut connector, ports.connector)?;
        Ok(Programs { connector, agent, ports, redis, _centre: centre, _folder: folder })
    }

    /// Where to ask for features.
    pub fn features(&self) -> Result<Features> {
        match &self.redis {
            Some(redis) => Ok(Features::Feast(Box::new(Reader::start(redis)?))),
            None => Ok(Features::Agent(format!("http://{HOST}:{}/get-online-features", self.ports.features))),
        }
    }

    /// An error, with the end of its log, if one has ended by itself.
    pub fn check(&mut self) -> Result<()> {
        for (name, process) in
            [("tidegate-connector", &mut self.connector), ("tidegate-agent", &mut self.agent)]
        {
            if let Some(status) = process.ended() {
                return Err(Error::new(format!("{name} ended ({status}):\n{}", process.last_lines())));
            }
        }
        Ok(())
    }

    /// Records that the connector has made; 0 if it does not say.
    pub fn records(&self) -> u64 {
        let status =
            http::get(&format!("http://{HOST}:{}/status", self.ports.connector)).and_then(http::Answer::json);
        status.ok().and_then(|status| status.get("records")?.as_u64()).unwrap_or(0)
    }

    /// Resident memory of connector and agent.
    pub fn memory_mib(&self) -> (f64, f64) {
        let resident = |process: &Process| usage(process.id()).map(|usage| usage.resident_mib).unwrap_or(0.0);
        (resident(&self.connector), resident(&self.agent))
    }

    /// Waits until the connector has told PostgreSQL that every change so far is safe at the other end.
    pub fn wait_confirmed(&mut self, shop: &Shop) -> Result<()> {
        let end = shop.postgres.psql(DATABASE, "SELECT pg_current_wal_lsn()")?;
        let confirmed = format!(
            "SELECT confirmed_flush_lsn >= '{end}' FROM pg_replication_slots WHERE slot_name = '{SLOT}'"
        );
        let start = Instant::now();
        while shop.postgres.psql(DATABASE, &confirmed)? != "t" {
            self.check()?;
            if start.elapsed() > LIMIT {
                let log = self.connector.last_lines();
                return Err(Error::new(format!(
                    "{end} is not confirmed after {LIMIT:?}; connector's log:\n{log}"
                )));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// Both end as asked, the producer first.
    pub fn stop(&mut self) -> Result<()> {
        for (name, process) in
            [("tidegate-connector", &mut self.connector), ("tidegate-agent", &mut self.agent)]
        {
            let status = process.stop(Signal::Term, LIMIT)?;
            if !status.success() {
                return Err(Error::new(format!("{name} ended with {status}:\n{}", process.last_lines())));
            }
        }
        Ok(())
    }
}

fn centre() -> Result<Centre> {
    Ok(Centre { kafka: Kafka::start(stack::kafka::Options::default())?, registry: Registry::start()? })
}

fn local(port: u16) -> String {
    format!("{HOST}:{port}")
}

type Settings = Vec<(&'static str, String)>;

fn connector_settings(folder: &Folder, ports: &Ports, shop: &Shop, centre: Option<&Centre>) -> Settings {
    let (brokers, registry) = match centre {
        Some(centre) => (centre.kafka.bootstrap(), centre.registry.url()),
        None => (local(ports.door), format!("http://{}", local(ports.registry))),
    };
    vec![
        ("source.host", HOST.to_owned()),
        ("source.port", shop.postgres.port().to_string()),
        ("source.socket_dir", shop.postgres.socket_dir().display().to_string()),
        ("source.database", DATABASE.to_owned()),
        ("source.user", stack::postgres::USER.to_owned()),
        ("source.password", stack::postgres::PASSWORD.to_owned()),
        ("source.slot", SLOT.to_owned()),
        ("source.publication", SLOT.to_owned()),
        ("event.topic_prefix", "shop".to_owned()),
        ("sink.brokers", brokers),
        ("avro.registry.url", format!("[\"{registry}\"]")),
        ("offset.path", folder.path().join("offsets.json").display().to_string()),
        ("admin.listen", local(ports.connector)),
    ]
}

fn agent_settings(
    folder: &Folder,
    ports: &Ports,
    redis: Option<&Redis>,
    centre: Option<&Centre>,
) -> Settings {
    let mut settings = vec![
        ("db.path", folder.path().join("agent.db").display().to_string()),
        ("door.listen", local(ports.door)),
        ("registry.listen", local(ports.registry)),
        ("features.listen", local(ports.features)),
        ("admin.listen", local(ports.agent)),
    ];
    settings.extend(redis.map(|redis| ("sync.url", redis.url())));
    settings.extend(redis.map(|_| ("sync.project", "tidegate".to_owned())));
    if let Some(centre) = centre {
        settings.push(("consume.brokers", centre.kafka.bootstrap()));
        settings.push(("consume.registry.url", format!("[\"{}\"]", centre.registry.url())));
    }
    settings
}

fn start(folder: &Folder, name: &str, sample: &str, settings: &Settings) -> Result<Process> {
    let program: PathBuf = crate::target().join("release").join(name);
    let mut run: Command = command(program, Signal::Kill, None);
    run.arg("run").arg("-c").arg(crate::root().join("config").join(sample)).current_dir(folder.path());
    for (key, value) in settings {
        run.args(["--set", &format!("{key}={value}")]);
    }
    Process::spawn(name, run, &folder.path().join(format!("{name}.log")))
}

fn wait_ready(process: &mut Process, admin: u16) -> Result<()> {
    let url = format!("http://{}/readyz", local(admin));
    process.wait_ready(LIMIT, || http::answers(&url))
}
