//! What every bench with servers needs: PostgreSQL, Kafka, a registry, and how to
//! read from the broker when what came.

use super::meter::number;
use serde_json::{Value, json};
use stack::error::Doing;
use stack::folder::Folder;
use stack::process::{Process, Signal, command};
use stack::{Error, Kafka, Postgres, Registry, Result};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

pub const DATABASE: &str = "postgres";
/// The end is the broker's time, so we may look seldom; looking costs CPU that the drain wants.
const LOOK: Duration = Duration::from_secs(1);
pub const LIMIT: Duration = Duration::from_secs(1_200);
const WARM_RECORDS: usize = 400_000;

/// Real servers. Kafka stamps records as they arrive, so the times of a topic's records are its own.
pub struct Servers {
    pub postgres: Postgres,
    pub kafka: Kafka,
    pub registry: Registry,
}

/// A connector of ours: where it reads and writes, and further lines of its configuration.
pub struct Setup<'a> {
    /// Of the slot.
    pub slot: &'a str,
    pub publication: &'a str,
    /// Of the topics.
    pub prefix: &'a str,
    /// Folder of the server's Unix socket; none means TCP.
    pub socket: Option<PathBuf>,
    /// Tables and keys in TOML.
    pub more: &'a str,
    /// Settings that win over the file, `table.key=value`.
    pub sets: &'a [&'a str],
}

impl Setup<'_> {
    /// Streams from a slot that is there, over TCP, into topics of the same name.
    pub fn stream(name: &str) -> Setup<'_> {
        let more = "[snapshot]\nmode = \"no_data\"\n";
        Setup { slot: name, publication: "bench", prefix: name, socket: None, more, sets: &[] }
    }
}

impl Servers {
    pub fn start(postgres: stack::postgres::Options) -> Result<Servers> {
        let postgres = Postgres::start(postgres)?;
        let stamp = ("log.message.timestamp.type".to_owned(), "LogAppendTime".to_owned());
        let kafka = Kafka::start(stack::kafka::Options { settings: vec![stamp], ..Default::default() })?;
        Ok(Servers { postgres, kafka, registry: Registry::start()? })
    }

    pub fn psql(&self, sql: &str) -> Result<String> {
        self.postgres.psql(DATABASE, sql)
    }

    pub fn create_slot(&self, slot: &str) -> Result<()> {
        self.psql(&format!("SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')")).map(drop)
    }

    /// Another slot at the same place.
    pub fn copy_slot(&self, from: &str, slot: &str) -> Result<()> {
        self.psql(&format!("SELECT pg_copy_logical_replication_slot('{from}', '{slot}')")).map(drop)
    }

    pub fn drop_slot(&self, slot: &str) -> Result<()> {
        self.psql(&format!("SELECT pg_drop_replication_slot('{slot}')")).map(drop)
    }

    /// Starts our connector; its files are in `folder`.
    pub fn connector(&self, program: &Path, setup: &Setup<'_>, folder: &Folder) -> Result<Process> {
        let config = folder.write("connector.toml", &self.configuration(setup, folder.path()))?;
        let mut run = command(program, Signal::Kill, None);
        run.arg("run").arg("-c").arg(config);
        run.args(setup.sets.iter().flat_map(|set| ["--set", set]));
        Process::spawn("tidegate-connector", run, &folder.path().join("connector.log"))
    }

    fn configuration(&self, setup: &Setup<'_>, folder: &Path) -> String {
        let socket = setup.socket.as_ref().map(|folder| format!("socket_dir = \"{}\"\n", folder.display()));
        format!(
            "[source]\nport = {port}\n{socket}database = \"{DATABASE}\"\nuser = \"{user}\"\npassword = \"{password}\"\n\
             slot = \"{slot}\"\npublication = \"{publication}\"\npublication_autocreate = \"disabled\"\n\
             [event]\ntopic_prefix = \"{prefix}\"\n\
             [avro.registry]\nurl = [\"{registry}\"]\n[sink.kafka]\nbrokers = \"{brokers}\"\n\
             [offset]\nkind = \"file\"\npath = \"{folder}/offsets.json\"\ninterval_ms = 200\n\
             [admin]\nlisten = \"127.0.0.1:0\"\n{more}",
            port = self.postgres.port(),
            socket = socket.unwrap_or_default(),
            user = stack::postgres::USER,
            password = stack::postgres::PASSWORD,
            slot = setup.slot,
            publication = setup.publication,
            prefix = setup.prefix,
            registry = self.registry.url(),
            brokers = self.kafka.bootstrap(),
            folder = folder.display(),
            more = setup.more,
        )
    }

    /// A configuration of real Debezium that streams from a slot that is there, into topics of the same name.
    pub fn debezium(&self, name: &str, more: &Value) -> Value {
        let mut configuration = json!({
            "connector.class": "io.debezium.connector.postgresql.PostgresConnector", "plugin.name": "pgoutput",
            "database.hostname": stack::HOST, "database.port": self.postgres.port().to_string(),
            "database.dbname": DATABASE,
            "database.user": stack::postgres::USER, "database.password": stack::postgres::PASSWORD,
            "slot.name": name, "publication.name": "bench", "publication.autocreate.mode": "disabled",
            "topic.prefix": name, "snapshot.mode": "no_data",
        });
        if let (Some(all), Some(more)) = (configuration.as_object_mut(), more.as_object()) {
            all.extend(more.clone());
        }
        configuration
    }

    /// Waits, for the most part within the server, until the slot is confirmed to `end_lsn`.
    pub fn wait_confirmed(&self, slot: &str, end_lsn: &str, process: &mut Process) -> Result<()> {
        let done = format!(
            "SELECT confirmed_flush_lsn >= '{end_lsn}' FROM pg_replication_slots WHERE slot_name = '{slot}'"
        );
        let sql = format!(
            "DO $$ BEGIN FOR i IN 1 .. 200 LOOP EXIT WHEN ({done}); PERFORM pg_sleep(0.01); END LOOP; END $$;
             {done}"
        );
        let start = Instant::now();
        while self.psql(&sql)?.trim() != "t" {
            alive(process)?;
            if start.elapsed() > LIMIT {
                return Err(Error::new(format!("slot {slot} is not confirmed to {end_lsn} after {LIMIT:?}")));
            }
        }
        Ok(())
    }

    /// Waits until the topics hold so many records.
    pub fn wait_records(
        &self,
        topics: &[String],
        records: u64,
        mut alive: impl FnMut() -> Result<()>,
    ) -> Result<()> {
        let start = Instant::now();
        loop {
            let found = self.records(topics)?;
            if found >= i64::try_from(records).unwrap_or(i64::MAX) {
                return Ok(());
            }
            alive()?;
            if start.elapsed() > LIMIT {
                return Err(Error::new(format!("{found} of {records} records after {LIMIT:?}")));
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Records in all these topics.
    pub fn records(&self, topics: &[String]) -> Result<i64> {
        let ends = topics.iter().flat_map(|topic| ["-t".to_owned(), format!("{topic}:0:-1")]);
        let words: Vec<String> = std::iter::once("-Q".to_owned()).chain(ends).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        // Until the first record there is no topic.
        let offset = |line: &str| line.rsplit_once(' ').and_then(|(_, offset)| offset.parse::<i64>().ok());
        Ok(self.kcat(&words)?.lines().filter_map(offset).sum())
    }

    /// The broker's times of a topic's first and last record, milliseconds since 1970.
    pub fn times(&self, topic: &str) -> Result<(i64, i64)> {
        let stamp = |offset: &str| {
            let text =
                self.kcat(&["-C", "-q", "-e", "-t", topic, "-p", "0", "-o", offset, "-c", "1", "-f", "%T"])?;
            number("the time of a record", &text)
        };
        Ok((stamp("beginning")?, stamp("-1")?))
    }

    /// Lets the broker take many small batches: its compiler else takes a core during the first minutes of a load,
    /// and no broker that has run for a day is like that.
    pub fn warm_broker(&self) -> Result<()> {
        let folder = Folder::new("bench-warm")?;
        let lines =
            folder.write("lines", &"a record of some length, as good as any other\n".repeat(WARM_RECORDS))?;
        let file = lines.display().to_string();
        let few = ["-X", "batch.num.messages=10", "-X", "enable.idempotence=true", "-z", "lz4"];
        self.kcat(&[&["-P", "-t", "warm", "-l", &file], &few[..]].concat()).map(drop)
    }

    fn kcat(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(self.kafka.kcat()?);
        command.args(["-b", &self.kafka.bootstrap()]).args(arguments);
        let done = command.output().doing(|| "run kcat".to_owned())?;
        Ok(String::from_utf8_lossy(&done.stdout).into_owned())
    }
}

/// An error with its last words, if the process has ended.
pub fn alive(process: &mut Process) -> Result<()> {
    match process.ended() {
        Some(_) => Err(Error::new(format!("the connector ended:\n{}", process.last_lines()))),
        None => Ok(()),
    }
}
