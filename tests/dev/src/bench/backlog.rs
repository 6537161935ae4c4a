//! A backlog of committed rows, drained three times from one database: by `pg_recvlogical` to
//! /dev/null, by our connector to Kafka, by real Debezium to the same Kafka.
//!
//! Each has a slot that was made before the rows were written. Kafka stamps records as they arrive
//! (`LogAppendTime`), so the end of a drain is the broker's time of the last record.

use super::meter::{self, Usage, ended_children, now_ms, number, usage};
use super::plain::{Line, ratio};
use super::shape::Shape;
use crate::say;
use serde_json::json;
use stack::error::Doing;
use stack::folder::Folder;
use stack::process::{Process, Signal, command};
use stack::{Connect, Error, Kafka, Postgres, Registry, Result};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const DATABASE: &str = "postgres";
/// Measured rounds, ours and the reference in turn.
const ROUNDS: usize = 3;
/// The end is the broker's time, so we may look seldom; looking costs CPU that the drain wants.
const LOOK: Duration = Duration::from_millis(300);
const LIMIT: Duration = Duration::from_secs(600);

/// Rate against `pg_recvlogical`, CPU of a row in µs, peak memory in MiB; the broker's own work is in
/// the latter two if it is the one within the process.
const BARS: [f64; 3] = [1.0, 3.0, 48.0];
const MOCK_BARS: [f64; 3] = [1.2, 5.0, 96.0];

pub struct Options {
    shape: Shape,
    rows: u64,
    tcp: bool,
    debezium: bool,
    /// librdkafka's broker within the process in place of Kafka: what we can do if Kafka costs nothing.
    mock: bool,
}

impl Options {
    pub fn parse(words: &[&str]) -> Result<Options> {
        let shape = Shape::Rows;
        let mut options = Options { shape, rows: shape.rows(), tcp: true, debezium: true, mock: false };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match *word {
                "--shape" => {
                    options.shape = Shape::parse(words.next().unwrap_or(&""))?;
                    options.rows = options.shape.rows();
                }
                "--rows" => options.rows = number("--rows", words.next().unwrap_or(&""))?.unsigned_abs(),
                "--unix" => options.tcp = false,
                "--without-debezium" => options.debezium = false,
                "--mock" => (options.mock, options.debezium) = (true, false),
                other => return Err(Error::new(format!("{other} is not known")).remedy(super::USAGE)),
            }
        }
        Ok(options)
    }
}

struct World {
    postgres: Postgres,
    kafka: Kafka,
    registry: Registry,
    shape: Shape,
    rows: u64,
    end_lsn: String,
    tcp: bool,
    mock: bool,
}

pub fn run(options: &Options) -> Result<()> {
    let program = build()?;
    let world = World::new(options)?;
    say("a first drain warms the broker and the page cache, and is not counted");
    let cold = world.connector(&program, "warm")?;
    if options.shape == Shape::Many {
        Line { what: "its first drain, which makes the topics".to_owned(), ..cold.drain }.print();
    }
    let (mut received, mut ours) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        received.push(world.pg_recvlogical(&format!("received_{round}"))?);
        ours.push(world.connector(&program, &format!("ours_{round}"))?);
    }
    let first_record_ms = ours.iter().map(|run| run.first_record_ms).min().unwrap_or_default();
    let received = median(received);
    let ours = median(ours.into_iter().map(|run| run.drain).collect());
    received.print();
    ours.print();
    let theirs = if options.debezium { Some(world.debezium("theirs")?) } else { None };
    if let Some(line) = &theirs {
        line.print();
    }
    let (idle_mib, socket) = (world.idle(&program)?, if options.tcp { "TCP" } else { "Unix" });
    say(&format!("socket {socket}, medians of {ROUNDS} rounds"));
    say(&format!("start to first record {first_record_ms} ms, idle memory {idle_mib:.1} MiB"));
    // The bars are for everyday's rows; what another row may cost depends on the row.
    let judged = options.shape == Shape::Rows;
    let ratio = |what: &str, value: f64, bar: f64, at_least: bool| match judged {
        true => ratio(what, value, bar, at_least),
        false => say(&format!("{what:<52} {value:>9.3}")),
    };
    let [rate, cpu, memory] = if options.mock { MOCK_BARS } else { BARS };
    ratio("rows/s against pg_recvlogical", ours.rows_per_second / received.rows_per_second, rate, true);
    ratio("CPU µs a row", ours.cpu_us_per_row, cpu, false);
    ratio("peak memory, MiB", ours.peak_mib, memory, false);
    if let Some(theirs) = theirs {
        ratio("rows/s against Debezium", ours.rows_per_second / theirs.rows_per_second, 4.0, true);
        ratio("CPU against Debezium, 1/x", theirs.cpu_us_per_row / ours.cpu_us_per_row, 20.0, true);
        ratio("memory against Debezium's worker, 1/x", theirs.peak_mib / ours.peak_mib, 15.0, true);
    }
    Ok(())
}

/// The round in the middle by rate, with the highest memory of all.
fn median(mut lines: Vec<Line>) -> Line {
    lines.sort_by(|a, b| a.rows_per_second.total_cmp(&b.rows_per_second));
    let peak_mib = lines.iter().map(|line| line.peak_mib).fold(0.0, f64::max);
    let middle = lines.swap_remove(lines.len() / 2);
    Line { peak_mib, ..middle }
}

fn build() -> Result<PathBuf> {
    let mut cargo = crate::cargo();
    cargo.args(["build", "--release", "-p", "tidegate-connector"]);
    let built = cargo.status().doing(|| "build the connector".to_owned())?;
    if !built.success() {
        return Err(Error::new("the connector does not build"));
    }
    Ok(crate::target().join("release/tidegate-connector"))
}

struct Ours {
    drain: Line,
    first_record_ms: i64,
}

impl World {
    fn new(options: &Options) -> Result<World> {
        let postgres = Postgres::start(stack::postgres::Options::default())?;
        let stamp = ("log.message.timestamp.type".to_owned(), "LogAppendTime".to_owned());
        let kafka = Kafka::start(stack::kafka::Options { settings: vec![stamp], ..Default::default() })?;
        let registry = Registry::start()?;
        postgres.psql(DATABASE, &options.shape.create())?;
        let slot = "SELECT pg_create_logical_replication_slot('base', 'pgoutput')";
        postgres.psql(DATABASE, slot)?;
        say(&format!("writing {} rows of shape {} …", options.rows, options.shape.name()));
        postgres.psql(DATABASE, &options.shape.load(options.rows))?;
        postgres.psql(DATABASE, "CHECKPOINT")?;
        let end_lsn = postgres.psql(DATABASE, "SELECT pg_current_wal_lsn()")?;
        Ok(World {
            postgres,
            kafka,
            registry,
            shape: options.shape,
            rows: options.rows,
            end_lsn,
            tcp: options.tcp,
            mock: options.mock,
        })
    }

    fn host(&self) -> String {
        if self.tcp { stack::HOST.to_owned() } else { self.postgres.socket_dir().display().to_string() }
    }

    /// The server's own client, to nowhere: what the walsender can give.
    fn pg_recvlogical(&self, slot: &str) -> Result<Line> {
        self.copy_slot(slot)?;
        let port = self.postgres.port().to_string();
        let mut client = Command::new(self.postgres.programs().join("pg_recvlogical"));
        client.env("PGPASSWORD", stack::postgres::PASSWORD);
        client.args(["-U", stack::postgres::USER, "-d", DATABASE, "-h", &self.host(), "-p", &port]);
        client.args(["--slot", slot, "--start", "-o", "proto_version=1", "-o", "publication_names=bench"]);
        client.args(["-f", "/dev/null", "--no-loop", "--endpos", self.end_lsn.trim()]);
        let (cpu_before, start) = (ended_children()?, Instant::now());
        let done = client.output().doing(|| "run pg_recvlogical".to_owned())?;
        let seconds = start.elapsed().as_secs_f64();
        if !done.status.success() {
            return Err(Error::new(format!("pg_recvlogical: {}", String::from_utf8_lossy(&done.stderr))));
        }
        let cpu_seconds = ended_children()? - cpu_before;
        self.drop_slot(slot)?;
        Ok(self.line("pg_recvlogical to /dev/null", seconds, cpu_seconds, 0.0))
    }

    /// A slot of its own for each reader, all at the same place.
    fn copy_slot(&self, slot: &str) -> Result<()> {
        self.postgres
            .psql(DATABASE, &format!("SELECT pg_copy_logical_replication_slot('base', '{slot}')"))
            .map(drop)
    }

    fn drop_slot(&self, slot: &str) -> Result<()> {
        self.postgres.psql(DATABASE, &format!("SELECT pg_drop_replication_slot('{slot}')")).map(drop)
    }

    fn start(&self, program: &Path, name: &str, folder: &Folder) -> Result<Process> {
        let config = folder.write("connector.toml", &self.connector_config(name, folder.path()))?;
        let mut run = command(program, Signal::Kill, None);
        run.arg("run").arg("-c").arg(config);
        Process::spawn("tidegate-connector", run, &folder.path().join("connector.log"))
    }

    /// Memory of a connector that streams and has nothing to do.
    fn idle(&self, program: &Path) -> Result<f64> {
        let folder = Folder::new("bench-idle")?;
        let create = "SELECT pg_create_logical_replication_slot('idle', 'pgoutput')";
        self.postgres.psql(DATABASE, create)?;
        let mut process = self.start(program, "idle", &folder)?;
        std::thread::sleep(Duration::from_secs(3));
        let used = usage(process.id())?;
        process.stop(Signal::Term, Duration::from_secs(15))?;
        Ok(used.resident_mib)
    }

    /// Our connector, with a slot and topics of this name.
    fn connector(&self, program: &Path, name: &str) -> Result<Ours> {
        self.copy_slot(name)?;
        let folder = Folder::new("bench-connector")?;
        let started_ms = now_ms();
        let mut process = self.start(program, name, &folder)?;
        let id = process.id();
        let (used, first_ms, last_ms) = if self.shape == Shape::Rows && !self.mock {
            let alive = || match process.ended() {
                Some(_) => Err(Error::new(format!("the connector ended:\n{}", process.last_lines()))),
                None => Ok(()),
            };
            let used = self.wait_drained(name, alive, id)?;
            let (first_ms, last_ms) = self.times(name)?;
            (used, first_ms, last_ms)
        } else {
            self.wait_confirmed(name)?;
            (usage(id)?, started_ms, now_ms())
        };
        process.stop(Signal::Term, Duration::from_secs(15))?;
        let seconds = (last_ms - started_ms) as f64 / 1e3;
        let drain = self.line("tidegate-connector to Kafka", seconds, used.cpu_seconds, used.peak_mib);
        self.drop_slot(name)?;
        Ok(Ours { drain, first_record_ms: first_ms - started_ms })
    }

    fn connector_config(&self, name: &str, folder: &Path) -> String {
        let socket = if self.tcp { String::new() } else { format!("socket_dir = \"{}\"\n", self.host()) };
        format!(
            "[source]\nport = {port}\n{socket}database = \"{DATABASE}\"\nuser = \"{user}\"\npassword = \"{password}\"\n\
             slot = \"{name}\"\npublication = \"bench\"\npublication_autocreate = \"disabled\"\n\
             [snapshot]\nmode = \"no_data\"\n[event]\ntopic_prefix = \"{prefix}\"\n\
             [avro.registry]\nurl = [\"{registry}\"]\n[sink.kafka]\nbrokers = \"{brokers}\"\n\
             {mock}[offset]\nkind = \"file\"\npath = \"{folder}/offsets.json\"\ninterval_ms = 200\n[admin]\nlisten = \"127.0.0.1:0\"\n",
            // Where topics and schemas are many, making them is the brokers' and the registry's work.
            prefix = if self.shape == Shape::Many { "many" } else { name },
            port = self.postgres.port(),
            user = stack::postgres::USER,
            password = stack::postgres::PASSWORD,
            registry = self.registry.url(),
            brokers = self.kafka.bootstrap(),
            folder = folder.display(),
            mock =
                if self.mock { "[sink.kafka.properties]\n\"test.mock.num.brokers\" = \"1\"\n" } else { "" },
        )
    }

    /// Real Debezium with large batches and lz4, the tuning that its users do. Its start is not counted.
    fn debezium(&self, name: &str) -> Result<Line> {
        self.copy_slot(name)?;
        let mut connect = Connect::start(&self.kafka, &self.registry)?;
        let id = connect
            .process()
            .map(|process| process.id())
            .ok_or_else(|| Error::new("the worker does not run"))?;
        let before = usage(id)?;
        let port = self.postgres.port().to_string();
        connect.run("bench", &json!({
            "connector.class": "io.debezium.connector.postgresql.PostgresConnector", "plugin.name": "pgoutput",
            "database.hostname": stack::HOST, "database.port": port, "database.dbname": DATABASE,
            "database.user": stack::postgres::USER, "database.password": stack::postgres::PASSWORD,
            "slot.name": name, "publication.name": "bench", "publication.autocreate.mode": "disabled",
            "topic.prefix": name, "snapshot.mode": "no_data", "max.batch.size": "20480", "max.queue.size": "81920",
            "poll.interval.ms": "50", "producer.override.compression.type": "lz4", "producer.override.linger.ms": "5",
            "producer.override.batch.size": "1000000",
        }))?;
        let started_ms = now_ms();
        let used = self.wait_drained(name, || connect.wait_running("bench", LIMIT), id)?;
        let (first_ms, last_ms) =
            if self.shape == Shape::Rows { self.times(name)? } else { (started_ms, now_ms()) };
        connect.delete("bench")?;
        let cpu = used.cpu_seconds - before.cpu_seconds;
        Ok(self.line("Debezium 3.6.3 to Kafka", (last_ms - first_ms) as f64 / 1e3, cpu, used.peak_mib))
    }

    /// Waits, within the server, until the slot is confirmed to the end of the backlog.
    fn wait_confirmed(&self, slot: &str) -> Result<()> {
        let limit = LIMIT.as_secs();
        let end = self.end_lsn.trim();
        let sql = format!(
            "DO $$ BEGIN FOR i IN 1 .. {limit} * 100 LOOP
               EXIT WHEN (SELECT confirmed_flush_lsn >= '{end}' FROM pg_replication_slots WHERE slot_name = '{slot}');
               PERFORM pg_sleep(0.01);
             END LOOP; END $$"
        );
        self.postgres.psql(DATABASE, &sql).map(drop)
    }

    /// Waits until the topic holds every row, and reads what the process used by then.
    fn wait_drained(&self, prefix: &str, mut alive: impl FnMut() -> Result<()>, id: u32) -> Result<Usage> {
        let start = Instant::now();
        while self.end_offset(prefix)? < self.rows as i64 {
            alive()?;
            if start.elapsed() > LIMIT {
                return Err(Error::new(format!(
                    "{} of {} rows after {LIMIT:?}",
                    self.end_offset(prefix)?,
                    self.rows
                )));
            }
            std::thread::sleep(LOOK);
        }
        meter::usage(id)
    }

    /// Records in all topics of this prefix.
    fn end_offset(&self, prefix: &str) -> Result<i64> {
        let ends = self.shape.topics(prefix).into_iter().map(|topic| format!("{topic}:0:-1"));
        let words: Vec<String> = ends.flat_map(|end| ["-t".to_owned(), end]).collect();
        let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
        words.insert(0, "-Q");
        // Until the first record there is no topic.
        let offset = |line: &str| line.rsplit_once(' ').and_then(|(_, offset)| offset.parse::<i64>().ok());
        Ok(self.kcat(&words)?.lines().filter_map(offset).sum())
    }

    /// The broker's times of the first and the last record.
    fn times(&self, prefix: &str) -> Result<(i64, i64)> {
        let topic = self.shape.topics(prefix).swap_remove(0);
        let stamp = |offset: &str| {
            let text =
                self.kcat(&["-C", "-q", "-e", "-t", &topic, "-p", "0", "-o", offset, "-c", "1", "-f", "%T"])?;
            number("the time of a record", &text)
        };
        Ok((stamp("beginning")?, stamp("-1")?))
    }

    fn kcat(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(self.kafka.kcat()?);
        command.args(["-b", &self.kafka.bootstrap()]).args(arguments);
        let done = command.output().doing(|| "run kcat".to_owned())?;
        Ok(String::from_utf8_lossy(&done.stdout).into_owned())
    }

    fn line(&self, what: &str, seconds: f64, cpu_seconds: f64, peak_mib: f64) -> Line {
        let rows = self.rows as f64;
        Line {
            what: what.to_owned(),
            rows_per_second: rows / seconds,
            cpu_us_per_row: cpu_seconds * 1e6 / rows,
            peak_mib,
        }
    }
}
