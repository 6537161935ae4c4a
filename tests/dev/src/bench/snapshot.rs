//! A table read whole: our snapshot into Kafka against `COPY … TO STDOUT` to /dev/null.

use super::flags::Flags;
use super::meter::{busiest_thread, ended_children, machine, now_ms, usage};
use super::plain::{Line, middle, ratio};
use super::servers::{DATABASE, Servers, Setup, alive};
use super::shape::Shape;
use crate::say;
use stack::error::Doing;
use stack::folder::Folder;
use stack::process::Signal;
use stack::{Error, Result};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

pub const KNOWN: [&str; 3] = ["--rows", "--rounds", "--workers"];
/// So many that the start, and what the broker still learns, are little of it.
const ROWS: u64 = 4_000_000;
/// Measured rounds, COPY and ours in turn.
const ROUNDS: u64 = 3;
const WORKERS: &str = "1,2,4";

pub fn run(flags: &Flags) -> Result<()> {
    let (rows, rounds) = (flags.number("--rows", ROWS)?, flags.number("--rounds", ROUNDS)?);
    let program = crate::release::connector()?;
    let servers = Servers::start(Default::default())?;
    servers.psql(&Shape::Rows.create())?;
    say(&format!("writing {rows} rows …"));
    servers.psql(&Shape::Rows.load(rows))?;
    servers.psql("VACUUM ANALYZE")?;
    servers.warm_broker()?;
    copy(&servers, rows)?;
    for workers in flags.numbers("--workers", WORKERS)? {
        // The first one makes the topic and warms the broker.
        snapshot(&servers, &program, rows, workers, "warm")?;
        let (mut copied, mut read) = (Vec::new(), Vec::new());
        for round in 0..rounds {
            copied.push(copy(&servers, rows)?);
            read.push(snapshot(&servers, &program, rows, workers, &format!("read_{round}"))?);
        }
        tell(workers, copied, read);
    }
    Ok(())
}

/// What the machine does meanwhile for others changes from minute to minute, so each round is compared in itself.
fn tell(workers: u64, copied: Vec<Line>, read: Vec<Read>) {
    let rounds = || copied.iter().zip(&read);
    let ratios: Vec<f64> =
        rounds().map(|(copy, read)| read.line.rows_per_second / copy.rows_per_second).collect();
    say(&format!("rows/s against COPY, round by round: {ratios:.2?}"));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let others = middle(read.iter().map(|read| read.machine_us - read.line.cpu_us_per_row).collect());
    let busiest_us = middle(read.iter().map(|read| read.busiest_us).collect());
    let alone = middle(rounds().map(|(copy, read)| 1e6 / read.busiest_us / copy.rows_per_second).collect());
    Line::median(copied).print();
    Line::median(read.into_iter().map(|read| read.line).collect()).print();
    ratio(&format!("rows/s against COPY to /dev/null, {workers} at once"), middle(ratios), 0.5, true);
    say(&format!(
        "PostgreSQL, the broker and all else work {others:.2} µs on a row: {cores} cores bear {:.0} rows/s of these \
         alone",
        cores as f64 * 1e6 / others
    ));
    say(&format!(
        "its busiest thread works {busiest_us:.2} µs on a row: with a core of its own it bears {:.0} rows/s, \
         {alone:.2} of COPY",
        1e6 / busiest_us
    ));
}

/// The server's own client, to nowhere.
fn copy(servers: &Servers, rows: u64) -> Result<Line> {
    let postgres = &servers.postgres;
    let mut client = Command::new(postgres.programs().join("psql"));
    client.env("PGPASSWORD", stack::postgres::PASSWORD).stdout(Stdio::null());
    client.args(["-U", stack::postgres::USER, "-d", DATABASE, "-h", stack::HOST]);
    client.args(["-p", &postgres.port().to_string(), "-c", "COPY orders TO STDOUT"]);
    let (cpu_before, start) = (ended_children()?, Instant::now());
    let done = client.status().doing(|| "run psql".to_owned())?;
    if !done.success() {
        return Err(Error::new("psql could not copy the table"));
    }
    let (seconds, cpu_seconds) = (start.elapsed().as_secs_f64(), ended_children()? - cpu_before);
    Ok(Line::of("psql COPY to /dev/null", rows, seconds, cpu_seconds, 0.0))
}

/// A snapshot's line, and what all cores and its busiest thread did for a row meanwhile.
struct Read {
    line: Line,
    machine_us: f64,
    busiest_us: f64,
}

/// From the start of the process to the last record's arrival at the broker.
fn snapshot(servers: &Servers, program: &Path, rows: u64, workers: u64, name: &str) -> Result<Read> {
    let prefix = format!("{name}_{workers}");
    let more = format!("[snapshot]\nmode = \"initial\"\nmax_threads = {workers}\n");
    let setup = Setup { prefix: &prefix, more: &more, ..Setup::stream(&prefix) };
    let folder = Folder::new("bench-snapshot")?;
    let (started_ms, busy) = (now_ms(), machine()?);
    let mut process = servers.connector(program, &setup, &folder)?;
    let id = process.id();
    let topics = Shape::Rows.topics(&prefix);
    servers.wait_records(&topics, rows, || alive(&mut process))?;
    let (used, busy, busiest) = (usage(id)?, machine()? - busy, busiest_thread(id)?);
    let (_, last_ms) = servers.times(&topics.concat())?;
    process.stop(Signal::Term, Duration::from_secs(15))?;
    servers.drop_slot(&prefix)?;
    let seconds = (last_ms - started_ms) as f64 / 1e3;
    let what = format!("tidegate-connector, {workers} at once");
    let line = Line::of(&what, rows, seconds, used.cpu_seconds, used.peak_mib);
    let per_row = |seconds: f64| seconds * 1e6 / rows as f64;
    Ok(Read { line, machine_us: per_row(busy), busiest_us: per_row(busiest) })
}
