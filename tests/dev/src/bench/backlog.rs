//! A backlog of committed rows, drained three times from one database: by `pg_recvlogical` to
//! /dev/null, by our connector to Kafka, by real Debezium to the same Kafka.
//!
//! Each has a slot that was made before the rows were written. Kafka stamps records as they arrive
//! (`LogAppendTime`), so the end of a drain is the broker's time of the last record.

use super::meter::{self, Usage, ended_children, now_ms, number, usage};
use super::plain::{Line, ratio};
use super::servers::{DATABASE, LIMIT, Servers, Setup, alive};
use super::shape::Shape;
use crate::say;
use serde_json::json;
use stack::error::Doing;
use stack::folder::Folder;
use stack::process::{Process, Signal};
use stack::{Connect, Error, Result};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Measured rounds, ours and the reference in turn.
const ROUNDS: usize = 3;
/// librdkafka's broker within the process.
const MOCK: &str =
    "[snapshot]\nmode = \"no_data\"\n[sink.kafka.properties]\n\"test.mock.num.brokers\" = \"1\"\n";

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
    servers: Servers,
    shape: Shape,
    rows: u64,
    end_lsn: String,
    tcp: bool,
    mock: bool,
}

pub fn run(options: &Options) -> Result<()> {
    let program = crate::release::connector()?;
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
    let received = Line::median(received);
    let ours = Line::median(ours.into_iter().map(|run| run.drain).collect());
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

struct Ours {
    drain: Line,
    first_record_ms: i64,
}

impl World {
    fn new(options: &Options) -> Result<World> {
        let servers = Servers::start(stack::postgres::Options::default())?;
        servers.psql(&options.shape.create())?;
        servers.create_slot("base")?;
        say(&format!("writing {} rows of shape {} …", options.rows, options.shape.name()));
        servers.psql(&options.shape.load(options.rows))?;
        servers.psql("CHECKPOINT")?;
        let end_lsn = servers.psql("SELECT pg_current_wal_lsn()")?.trim().to_owned();
        let Options { shape, rows, tcp, mock, .. } = *options;
        Ok(World { servers, shape, rows, end_lsn, tcp, mock })
    }

    fn host(&self) -> String {
        if self.tcp {
            stack::HOST.to_owned()
        } else {
            self.servers.postgres.socket_dir().display().to_string()
        }
    }

    /// The server's own client, to nowhere: what the walsender can give.
    fn pg_recvlogical(&self, slot: &str) -> Result<Line> {
        self.servers.copy_slot("base", slot)?;
        let postgres = &self.servers.postgres;
        let mut client = Command::new(postgres.programs().join("pg_recvlogical"));
        client.env("PGPASSWORD", stack::postgres::PASSWORD);
        let port = postgres.port().to_string();
        client.args(["-U", stack::postgres::USER, "-d", DATABASE, "-h", &self.host(), "-p", &port]);
        client.args(["--slot", slot, "--start", "-o", "proto_version=1", "-o", "publication_names=bench"]);
        client.args(["-f", "/dev/null", "--no-loop", "--endpos", &self.end_lsn]);
        let (cpu_before, start) = (ended_children()?, Instant::now());
        let done = client.output().doing(|| "run pg_recvlogical".to_owned())?;
        let seconds = start.elapsed().as_secs_f64();
        if !done.status.success() {
            return Err(Error::new(format!("pg_recvlogical: {}", String::from_utf8_lossy(&done.stderr))));
        }
        let cpu_seconds = ended_children()? - cpu_before;
        self.servers.drop_slot(slot)?;
        Ok(self.line("pg_recvlogical to /dev/null", seconds, cpu_seconds, 0.0))
    }

    fn start(&self, program: &Path, name: &str, folder: &Folder) -> Result<Process> {
        let setup = Setup {
            // Where topics and schemas are many, making them is the brokers' and the registry's work.
            prefix: if self.shape == Shape::Many { "many" } else { name },
            socket: (!self.tcp).then(|| self.servers.postgres.socket_dir()),
            more: if self.mock { MOCK } else { Setup::stream(name).more },
            ..Setup::stream(name)
        };
        self.servers.connector(program, &setup, folder)
    }

    /// Memory of a connector that streams and has nothing to do.
    fn idle(&self, program: &Path) -> Result<f64> {
        let folder = Folder::new("bench-idle")?;
        self.servers.create_slot("idle")?;
        let mut process = self.start(program, "idle", &folder)?;
        std::thread::sleep(Duration::from_secs(3));
        let used = usage(process.id())?;
        process.stop(Signal::Term, Duration::from_secs(15))?;
        Ok(used.resident_mib)
    }

    /// Our connector, with a slot and topics of this name.
    fn connector(&self, program: &Path, name: &str) -> Result<Ours> {
        self.servers.copy_slot("base", name)?;
        let folder = Folder::new("bench-connector")?;
        let started_ms = now_ms();
        let mut process = self.start(program, name, &folder)?;
        let id = process.id();
        let (used, first_ms, last_ms) = if self.shape == Shape::Rows && !self.mock {
            let used = self.wait_drained(name, || alive(&mut process), id)?;
            let (first_ms, last_ms) = self.times(name)?;
            (used, first_ms, last_ms)
        } else {
            self.servers.wait_confirmed(name, &self.end_lsn, &mut process)?;
            (usage(id)?, started_ms, now_ms())
        };
        process.stop(Signal::Term, Duration::from_secs(15))?;
        let seconds = (last_ms - started_ms) as f64 / 1e3;
        let drain = self.line("tidegate-connector to Kafka", seconds, used.cpu_seconds, used.peak_mib);
        self.servers.drop_slot(name)?;
        Ok(Ours { drain, first_record_ms: first_ms - started_ms })
    }

    /// Real Debezium with large batches and lz4, the tuning that its users do. Its start is not counted.
    fn debezium(&self, name: &str) -> Result<Line> {
        self.servers.copy_slot("base", name)?;
        let mut connect = Connect::start(&self.servers.kafka, &self.servers.registry)?;
        let id = connect
            .process()
            .map(|process| process.id())
            .ok_or_else(|| Error::new("the worker does not run"))?;
        let before = usage(id)?;
        let tuning = json!({
            "max.batch.size": "20480", "max.queue.size": "81920", "poll.interval.ms": "50",
            "producer.override.compression.type": "lz4", "producer.override.linger.ms": "5",
            "producer.override.batch.size": "1000000",
        });
        connect.run("bench", &self.servers.debezium(name, &tuning))?;
        let started_ms = now_ms();
        let used = self.wait_drained(name, || connect.wait_running("bench", LIMIT), id)?;
        let (first_ms, last_ms) =
            if self.shape == Shape::Rows { self.times(name)? } else { (started_ms, now_ms()) };
        connect.delete("bench")?;
        let cpu = used.cpu_seconds - before.cpu_seconds;
        Ok(self.line("Debezium 3.6.3 to Kafka", (last_ms - first_ms) as f64 / 1e3, cpu, used.peak_mib))
    }

    /// Waits until the topics hold every row, and reads what the process used by then.
    fn wait_drained(&self, prefix: &str, alive: impl FnMut() -> Result<()>, id: u32) -> Result<Usage> {
        self.servers.wait_records(&self.shape.topics(prefix), self.rows, alive)?;
        meter::usage(id)
    }

    /// The broker's times of the first and the last record.
    fn times(&self, prefix: &str) -> Result<(i64, i64)> {
        self.servers.times(&self.shape.topics(prefix).swap_remove(0))
    }

    fn line(&self, what: &str, seconds: f64, cpu_seconds: f64, peak_mib: f64) -> Line {
        Line::of(what, self.rows, seconds, cpu_seconds, peak_mib)
    }
}
