//! Durable append at the agent's Kafka door: one librdkafka producer (kcat) sends 300-byte records; each
//! is acknowledged after its commit is synced. Beside it SQLite itself stores the same batches in the
//! same groups. Then single sends at an even pace, and memory.

mod agent;
mod single;

use super::flags::Flags;
use super::meter::usage;
use super::plain::{Line, middle, ratio};
use crate::say;
use agent::Agent;
use stack::error::Doing;
use stack::folder::Folder;
use stack::{Error, Result};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

pub const KNOWN: [&str; 3] = ["--records", "--rounds", "--seconds"];
const RECORDS: u64 = 2_000_000;
const ROUNDS: u64 = 3;
const SECONDS: u64 = 20;
/// Bytes of a record's value, half of them random: as little compressible as ordinary rows.
const RECORD_BYTES: usize = 300;

/// What the producer is told beside its defaults.
const SETTINGS: [(&str, &[&str]); 4] = [
    ("defaults, none", &["compression.codec=none"]),
    ("defaults, lz4", &["compression.codec=lz4"]),
    ("large batches, none", &["compression.codec=none", "linger.ms=20", "batch.num.messages=100000"]),
    ("large batches, lz4", &["compression.codec=lz4", "linger.ms=20", "batch.num.messages=100000"]),
];

pub fn run(flags: &Flags) -> Result<()> {
    let (records, rounds) = (flags.number("--records", RECORDS)?, flags.number("--rounds", ROUNDS)?);
    let seconds = flags.number("--seconds", SECONDS)?;
    let program = crate::release::agent()?;
    let kcat = stack::kafka::kcat()?;
    let input = Folder::new("bench-append-input")?;
    let file = write_records(input.path(), records)?;
    let (mut best, mut dearest, mut peak_mib, mut of_sqlite) = (0.0, 0.0, 0.0, f64::INFINITY);
    for (what, settings) in SETTINGS {
        let (mut lines, mut shares) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let (line, share) = bulk(&program, &kcat, &file, records, what, settings)?;
            lines.push(line);
            shares.push(share);
        }
        let share = middle(shares);
        let line = Line::median(lines);
        line.print();
        say(&format!("{:<34} {share:>9.3} of SQLite's own rate for these batches", ""));
        best = f64::max(best, line.rows_per_second);
        dearest = f64::max(dearest, line.cpu_us_per_row);
        peak_mib = f64::max(peak_mib, line.peak_mib);
        of_sqlite = of_sqlite.min(share);
    }
    ratio("durable append, records/s (best setting)", best, 500_000.0, true);
    ratio("agent's CPU, µs a record (dearest setting)", dearest, 1.0, false);
    ratio("agent's peak memory, MiB", peak_mib, 40.0, false);
    memory(&program, &kcat, &file, records)?;
    let p99 = single::run(&program, 100, seconds)?;
    ratio("p99 of single sends at 100/s, ms", p99, 10.0, false);
    single::run(&program, 1_000, seconds).map(drop)
}

/// Lines of random text; kcat makes a record of each.
fn write_records(folder: &Path, records: u64) -> Result<PathBuf> {
    let path = folder.join("records");
    let file = std::fs::File::create(&path).doing(|| "make the records".to_owned())?;
    let mut out = std::io::BufWriter::with_capacity(1 << 20, file);
    let mut line = vec![b'x'; RECORD_BYTES];
    line.push(b'\n');
    for _ in 0..records {
        for byte in line.iter_mut().take(RECORD_BYTES / 2) {
            *byte = fastrand::alphanumeric() as u8;
        }
        out.write_all(&line).doing(|| "write the records".to_owned())?;
    }
    out.flush().doing(|| "write the records".to_owned())?;
    Ok(path)
}

/// One run on a new file: the agent's line, and its rate as a share of SQLite's own.
fn bulk(
    program: &Path,
    kcat: &Path,
    file: &Path,
    records: u64,
    what: &str,
    settings: &[&str],
) -> Result<(Line, f64)> {
    let agent = Agent::start(program)?;
    let before = usage(agent.process.id())?;
    let began = Instant::now();
    produce(kcat, file, &agent, settings)?;
    let seconds = began.elapsed().as_secs_f64();
    let after = usage(agent.process.id())?;
    let stored = agent.metric("tidegate_agent_buffer_appended_records_total")?;
    if stored != records as f64 {
        return Err(Error::new(format!("{what}: {stored} of {records} records are stored")));
    }
    let commits = agent.metric("tidegate_agent_db_commit_seconds_count")?;
    let folder = agent.stop()?;
    let alone = sqlite_alone(&folder.path().join("agent.db"), commits)?;
    let line = Line::of(what, records, seconds, after.cpu_seconds - before.cpu_seconds, after.peak_mib);
    Ok((line, alone / seconds))
}

fn produce(kcat: &Path, file: &Path, agent: &Agent, settings: &[&str]) -> Result<()> {
    let mut command = Command::new(kcat);
    command.args(["-P", "-q", "-b", &agent.brokers(), "-t", "bench", "-l"]).arg(file);
    for setting in settings {
        command.args(["-X", setting]);
    }
    let status = command.stdout(Stdio::null()).status().doing(|| "run kcat".to_owned())?;
    if status.success() { Ok(()) } else { Err(Error::new("kcat could not produce")) }
}

/// Seconds that SQLite takes for the batches of this file, in as many groups.
fn sqlite_alone(file: &Path, commits: f64) -> Result<f64> {
    let mut cargo = crate::cargo();
    cargo.args([
        "test",
        "--quiet",
        "--release",
        "-p",
        "tidegate-agent",
        "--lib",
        "cost::",
        "--",
        "--nocapture",
    ]);
    cargo.env("TIDEGATE_APPEND_FILE", file).env("TIDEGATE_APPEND_COMMITS", format!("{commits:.0}"));
    let out = cargo.output().doing(|| "measure SQLite".to_owned())?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let found = text.split("seconds=").nth(1).and_then(|rest| rest.split_whitespace().next());
    found.and_then(|seconds| seconds.parse().ok()).ok_or_else(|| {
        Error::new(format!(
            "the measurement of SQLite failed: {text}{}",
            String::from_utf8_lossy(&out.stderr)
        ))
    })
}

/// Idle, and with a backlog that nobody has taken.
fn memory(program: &Path, kcat: &Path, file: &Path, records: u64) -> Result<()> {
    let mut agent = Agent::start(program)?;
    std::thread::sleep(Duration::from_secs(3));
    let idle = usage(agent.process.id())?.resident_mib;
    produce(kcat, file, &agent, &["compression.codec=lz4"])?;
    agent = Agent::start_in(program, agent.stop()?)?;
    std::thread::sleep(Duration::from_secs(3));
    let buffered = usage(agent.process.id())?.resident_mib;
    agent.stop()?;
    say(&format!(
        "resident when idle {idle:.1} MiB; started over {records} buffered records {buffered:.1} MiB"
    ));
    ratio("idle memory, MiB", idle, 25.0, false);
    ratio("memory that buffered records add, MiB", buffered - idle, 2.0, false);
    Ok(())
}
