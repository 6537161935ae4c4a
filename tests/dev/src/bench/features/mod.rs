//! Rows through gates and features into a durable file, without sockets; how that grows with the number
//! of entities; and the features at every row against DuckDB's and Flink's window SQL, which say what it cost.

mod flink;

use super::flags::Flags;
use super::plain::{Line, middle, ratio};
use crate::say;
use serde_json::Value;
use stack::error::Doing;
use stack::folder::Folder;
use stack::install::python;
use stack::{Error, Result};
use std::path::Path;
use std::process::Stdio;

pub const KNOWN: [&str; 5] = ["--rows", "--users", "--step-ms", "--batch", "--compare"];
const ROWS: u64 = 1_000_000;
/// What a transaction of the agent takes, 1 MiB of the log, at 250 bytes a record.
const BATCH: u64 = 4_000;
/// Event time between rows: windows that only fill, and windows that rows leave as fast as they come.
const STEPS_MS: &str = "1,10";
/// The last against the first is the growth.
const USERS: &str = "10000,100000,1000000,10000000";
const GROWTH_STEP_MS: u64 = 10;
const GROWTH_TURNS: usize = 3;
/// Rows that are held against the others one by one; at this step rows leave both windows.
const COMPARED: u64 = 100_000;
const COMPARED_STEP_MS: u64 = 50;
/// As the agent's bench has it.
const DEFAULT_USERS: u64 = 10_000;
const DUCKDB: &str = "duckdb";

pub fn run(flags: &Flags) -> Result<()> {
    let (rows, batch) = (flags.number("--rows", ROWS)?, flags.number("--batch", BATCH)?);
    let users = flags.numbers("--users", USERS)?;
    let Some((first, more)) = users.split_first() else { return Ok(()) };
    for step_ms in flags.numbers("--step-ms", STEPS_MS)? {
        measure(rows, *first, step_ms, batch)?;
    }
    if !more.is_empty() {
        growth(rows, &users, batch)?;
    }
    match flags.number("--compare", COMPARED)? {
        0 => Ok(()),
        rows => compare(rows, batch),
    }
}

/// One run with its bars.
fn measure(rows: u64, users: u64, step_ms: u64, batch: u64) -> Result<()> {
    let found = program(&words(rows, users, step_ms, batch))?;
    let of = |name: &str| found.get(name).and_then(Value::as_f64).unwrap_or(f64::NAN);
    let per_million = line(&found, rows, &format!("{users} users, {step_ms} ms a row"));
    say(&format!("the file is {:.0} MiB; {} results stored", of("file_mib"), of("stored")));
    ratio("rows a CPU second, in thousands", of("rows_per_cpu_second") / 1e3, 200.0, true);
    ratio("CPU seconds per million rows", per_million, 5.0, false);
    ratio("memory, MiB", of("peak_mib"), 100.0, false);
    Ok(())
}

/// The same rows over more and more entities, in turns: what else the machine does weighs on one run more than on
/// another.
fn growth(rows: u64, users: &[u64], batch: u64) -> Result<()> {
    let mut growths = Vec::new();
    for _ in 0..GROWTH_TURNS {
        let mut costs = Vec::new();
        for users in users {
            let found = program(&words(rows, *users, GROWTH_STEP_MS, batch))?;
            costs.push(line(&found, rows, &format!("{users} users")));
        }
        growths.extend(costs.last().zip(costs.first()).map(|(last, first)| last / first));
    }
    ratio("CPU of a row, most users over fewest", middle(growths), 2.0, false);
    Ok(())
}

fn line(found: &Value, rows: u64, what: &str) -> f64 {
    let of = |name: &str| found.get(name).and_then(Value::as_f64).unwrap_or(f64::NAN);
    let per_million = of("cpu_seconds_per_million");
    let seconds = rows as f64 / of("rows_per_second");
    Line::of(what, rows, seconds, per_million * rows as f64 / 1e6, of("peak_mib")).print();
    per_million
}

fn words(rows: u64, users: u64, step_ms: u64, batch: u64) -> Vec<String> {
    let numbers = [("--rows", rows), ("--users", users), ("--step-ms", step_ms), ("--batch", batch)];
    numbers.iter().flat_map(|(name, n)| [(*name).to_owned(), n.to_string()]).collect()
}

/// Runs the agent's own bench; its last line is its answer.
fn program(words: &[String]) -> Result<Value> {
    let mut cargo = crate::cargo();
    cargo.args(["bench", "--quiet", "-p", "tidegate-agent", "--bench", "features", "--"]).args(words);
    let output = cargo.stderr(Stdio::inherit()).output().doing(|| "run the bench".to_owned())?;
    answer(&String::from_utf8_lossy(&output.stdout), output.status.success())
}

fn answer(text: &str, success: bool) -> Result<Value> {
    match (success, text.trim().lines().last().map(serde_json::from_str)) {
        (true, Some(Ok(found))) => Ok(found),
        _ => Err(Error::new(format!("the bench failed: {text}"))),
    }
}

/// Every row's features against DuckDB's and Flink's.
fn compare(rows: u64, batch: u64) -> Result<()> {
    let folder = Folder::new("bench-features")?;
    let csv = folder.path().join("rows.csv");
    let (count, step_ms, file) = (rows.to_string(), COMPARED_STEP_MS.to_string(), csv.display().to_string());
    program(&["--rows", &count, "--step-ms", &step_ms, "--every-row", &file].map(str::to_owned))?;
    let found = program(&words(rows, DEFAULT_USERS, COMPARED_STEP_MS, batch))?;
    let ours = line(&found, rows, &format!("{DEFAULT_USERS} users, {COMPARED_STEP_MS} ms a row"));
    let duckdb = against_duckdb(&folder, &csv, ours);
    against_flink(&csv, ours).and(duckdb)
}

/// ... and what Flink's job cost for the same rows.
fn against_flink(csv: &Path, ours: f64) -> Result<()> {
    let found = flink::run(csv)?;
    let theirs = found.cpu_seconds * 1e6 / found.rows as f64;
    say(&format!(
        "{} rows held against Flink: {} differ; {theirs:.0} CPU seconds per million rows, nothing durable, and {:.0} \
         before the first",
        found.rows, found.differ, found.cpu_seconds_before
    ));
    ratio("Flink's CPU for these rows, over ours", theirs / ours, 30.0, true);
    none_differs(found.differ, "Flink")
}

/// ... and what DuckDB's one batch of the same job cost.
fn against_duckdb(folder: &Folder, csv: &Path, ours: f64) -> Result<()> {
    let script = folder.write("hold.py", include_str!("duckdb.py"))?;
    let environment = python::environment(DUCKDB, &[DUCKDB])?;
    let mut command = environment.command();
    let text = stack::process::run("hold the features against DuckDB", command.arg(&script).arg(csv))?;
    let found = answer(&text, true)?;
    let of = |name: &str| found.get(name).and_then(Value::as_f64).unwrap_or(f64::NAN);
    say(&format!(
        "{} rows held against DuckDB {}: {} differ (up to {} rows and {} merchants in a window)",
        of("rows"),
        found.get("version").and_then(Value::as_str).unwrap_or_default(),
        of("differ"),
        of("rows_in_window"),
        of("merchants_in_window")
    ));
    let theirs = of("cpu_seconds_per_million");
    say(&format!(
        "DuckDB's batch of the same windows, nothing stored: {theirs:.2} CPU seconds per million rows"
    ));
    ratio("our CPU, rows and results durable, over DuckDB's batch", ours / theirs, 2.0, false);
    none_differs(of("differ") as u64, "DuckDB")
}

fn none_differs(wrong: u64, from: &str) -> Result<()> {
    match wrong {
        0 => Ok(()),
        wrong => Err(Error::new(format!("{wrong} rows differ from {from}'s"))),
    }
}
