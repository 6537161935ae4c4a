//! Rows through gates and features into a durable file, without sockets; how that grows with the number
//! of entities; and the features at every row against DuckDB's window SQL, which says what it cost.
//!
//! Flink is not run here: its table of the same job (`OVER`, one task) took 160 CPU seconds per million
//! rows when it was measured by hand, of which the bar is a thirtieth.

use super::flags::Flags;
use super::plain::{Line, ratio};
use crate::say;
use serde_json::Value;
use stack::error::Doing;
use stack::folder::Folder;
use stack::install::python;
use stack::{Error, Result};
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
/// Rows that are held against DuckDB's one by one; at this step rows leave both windows.
const COMPARED: u64 = 100_000;
const COMPARED_STEP_MS: u64 = 50;
const DUCKDB: &str = "duckdb";
const FLINK_CPU_SECONDS_PER_MILLION: f64 = 160.0;

pub fn run(flags: &Flags) -> Result<()> {
    let (rows, batch) = (flags.number("--rows", ROWS)?, flags.number("--batch", BATCH)?);
    let users = flags.numbers("--users", USERS)?;
    let Some((first, more)) = users.split_first() else { return Ok(()) };
    let mut worst: f64 = 0.0;
    for step_ms in flags.numbers("--step-ms", STEPS_MS)? {
        worst = worst.max(measure(rows, *first, step_ms, batch)?);
    }
    ratio("Flink's CPU seconds of another day, over ours", FLINK_CPU_SECONDS_PER_MILLION / worst, 30.0, true);
    if !more.is_empty() {
        growth(rows, &users, batch)?;
    }
    match flags.number("--compare", COMPARED)? {
        0 => Ok(()),
        rows => compare(rows, COMPARED_STEP_MS, worst),
    }
}

/// One run with its bars; gives its CPU seconds per million rows.
fn measure(rows: u64, users: u64, step_ms: u64, batch: u64) -> Result<f64> {
    let found = program(&words(rows, users, step_ms, batch))?;
    let of = |name: &str| found.get(name).and_then(Value::as_f64).unwrap_or(f64::NAN);
    let per_million = line(&found, rows, &format!("{users} users, {step_ms} ms a row"));
    say(&format!("the file is {:.0} MiB; {} results stored", of("file_mib"), of("stored")));
    ratio("rows a CPU second, in thousands", of("rows_per_cpu_second") / 1e3, 200.0, true);
    ratio("CPU seconds per million rows", per_million, 5.0, false);
    ratio("memory, MiB", of("peak_mib"), 100.0, false);
    Ok(per_million)
}

/// The same rows over more and more entities.
fn growth(rows: u64, users: &[u64], batch: u64) -> Result<()> {
    let mut costs = Vec::new();
    for users in users {
        let found = program(&words(rows, *users, GROWTH_STEP_MS, batch))?;
        costs.push(line(&found, rows, &format!("{users} users")));
    }
    if let (Some(first), Some(last)) = (costs.first(), costs.last()) {
        ratio("CPU of a row, most users over fewest", last / first, 2.0, false);
    }
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

/// Every row's features against DuckDB's, and what DuckDB's one batch of the same job cost.
fn compare(rows: u64, step_ms: u64, ours: f64) -> Result<()> {
    let folder = Folder::new("bench-features")?;
    let (csv, script) = (folder.path().join("rows.csv"), folder.path().join("features.py"));
    std::fs::write(&script, include_str!("features.py")).doing(|| "write the script".to_owned())?;
    let csv_text = csv.display().to_string();
    let words = ["--rows", &rows.to_string(), "--step-ms", &step_ms.to_string(), "--every-row", &csv_text];
    program(&words.map(str::to_owned))?;
    let environment = python::environment(DUCKDB, &[DUCKDB])?;
    let mut command = environment.command();
    let text = stack::process::run("hold the features against DuckDB", command.arg(&script).arg(&csv))?;
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
    match of("differ") as u64 {
        0 => Ok(()),
        wrong => Err(Error::new(format!("{wrong} rows differ from DuckDB's"))),
    }
}
