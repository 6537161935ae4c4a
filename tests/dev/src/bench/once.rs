//! What exactly once costs: the same backlog with Kafka's transactions and without.

use super::flags::Flags;
use super::meter::{now_ms, usage};
use super::plain::{Line, ratio};
use super::servers::{Servers, Setup};
use super::shape::Shape;
use crate::say;
use stack::Result;
use stack::folder::Folder;
use stack::process::Signal;
use std::path::Path;
use std::time::Duration;

pub const KNOWN: [&str; 1] = ["--rows"];
const ROWS: u64 = 500_000;
/// Measured rounds, both in turn.
const ROUNDS: usize = 3;

/// Progress in Kafka for both, as exactly once needs it.
const AT_LEAST: [&str; 2] = ["offset.kind=\"kafka\"", "offset.connector=\"at_least\""];
const EXACTLY: [&str; 3] =
    ["offset.kind=\"kafka\"", "offset.connector=\"exactly\"", "sink.delivery=\"exactly_once\""];

pub fn run(flags: &Flags) -> Result<()> {
    let rows = flags.number("--rows", ROWS)?;
    let program = crate::release::connector()?;
    let servers = Servers::start(Default::default())?;
    servers.psql(&Shape::Rows.create())?;
    servers.create_slot("base")?;
    say(&format!("writing {rows} rows …"));
    servers.psql(&Shape::Rows.load(rows))?;
    let end_lsn = servers.psql("SELECT pg_current_wal_lsn()")?.trim().to_owned();
    drain(&servers, &program, rows, &end_lsn, "warm", &AT_LEAST)?;
    let (mut at_least, mut exactly) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        at_least.push(drain(&servers, &program, rows, &end_lsn, &format!("least_{round}"), &AT_LEAST)?);
        exactly.push(drain(&servers, &program, rows, &end_lsn, &format!("exactly_{round}"), &EXACTLY)?);
    }
    let (at_least, exactly) = (Line::median(at_least), Line::median(exactly));
    at_least.print();
    exactly.print();
    ratio(
        "rows/s, exactly once of at least once",
        exactly.rows_per_second / at_least.rows_per_second,
        0.85,
        true,
    );
    Ok(())
}

/// From the start of the process until the slot is confirmed to the backlog's end.
fn drain(
    servers: &Servers,
    program: &Path,
    rows: u64,
    end_lsn: &str,
    name: &str,
    sets: &[&str],
) -> Result<Line> {
    servers.copy_slot("base", name)?;
    // Progress is kept by name and topic prefix: each drain has its own.
    let setup = Setup { sets, ..Setup::stream(name) };
    let folder = Folder::new("bench-once")?;
    let started_ms = now_ms();
    let mut process = servers.connector(program, &setup, &folder)?;
    servers.wait_confirmed(name, end_lsn, &mut process)?;
    let seconds = (now_ms() - started_ms) as f64 / 1e3;
    let used = usage(process.id())?;
    process.stop(Signal::Term, Duration::from_secs(30))?;
    servers.drop_slot(name)?;
    let what = if sets.len() > AT_LEAST.len() { "exactly once" } else { "at least once" };
    Ok(Line::of(what, rows, seconds, used.cpu_seconds, used.peak_mib))
}
