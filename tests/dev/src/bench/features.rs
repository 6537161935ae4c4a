//! Rows through gates and features into a durable file, without sockets; and the features at every row
//! against DuckDB's window SQL.

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
const ROWS: u64 = 2_000_000;
const DUCKDB: &str = "duckdb";

pub fn run(flags: &Flags) -> Result<()> {
    let compared = flags.number("--compare", 0)?;
    if compared > 0 {
        return compare(compared, flags.number("--step-ms", 10)?);
    }
    let (rows, step_ms) = (flags.number("--rows", ROWS)?, flags.number("--step-ms", 1)?);
    let (users, batch) = (flags.number("--users", 10_000)?, flags.number("--batch", 5_000)?);
    let numbers = [("--rows", rows), ("--users", users), ("--step-ms", step_ms), ("--batch", batch)];
    let words: Vec<String> =
        numbers.iter().flat_map(|(name, n)| [(*name).to_owned(), n.to_string()]).collect();
    let found = program(&words)?;
    let of = |name: &str| found.get(name).and_then(Value::as_f64).unwrap_or(f64::NAN);
    let per_million = of("cpu_seconds_per_million");
    let seconds = rows as f64 / of("rows_per_second");
    let line = format!("{users} users, {step_ms} ms a row");
    Line::of(&line, rows, seconds, per_million * rows as f64 / 1e6, of("peak_mib")).print();
    say(&format!("the file is {:.0} MiB; {} results stored", of("file_mib"), of("stored")));
    ratio("rows a CPU second, in thousands", of("rows_per_cpu_second") / 1e3, 200.0, true);
    ratio("CPU seconds per million rows", per_million, 5.0, false);
    ratio("memory, MiB", of("peak_mib"), 100.0, false);
    Ok(())
}

/// Runs the agent's own bench; its last line is its answer.
fn program(words: &[String]) -> Result<Value> {
    let mut cargo = crate::cargo();
    cargo.args(["bench", "--quiet", "-p", "tidegate-agent", "--bench", "features", "--"]).args(words);
    let output = cargo.stderr(Stdio::inherit()).output().doing(|| "run the bench".to_owned())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    match (output.status.success(), text.lines().last().map(serde_json::from_str)) {
        (true, Some(Ok(found))) => Ok(found),
        _ => Err(Error::new(format!("the bench failed: {text}"))),
    }
}

fn compare(rows: u64, step_ms: u64) -> Result<()> {
    let folder = Folder::new("bench-features")?;
    let (csv, script) = (folder.path().join("rows.csv"), folder.path().join("features.py"));
    std::fs::write(&script, include_str!("features.py")).doing(|| "write the script".to_owned())?;
    let csv_text = csv.display().to_string();
    let words = ["--rows", &rows.to_string(), "--step-ms", &step_ms.to_string(), "--every-row", &csv_text];
    program(&words.map(str::to_owned))?;
    let environment = python::environment(DUCKDB, &[DUCKDB])?;
    let mut command = environment.command();
    say(stack::process::run("hold the features against DuckDB", command.arg(&script).arg(&csv))?.trim());
    Ok(())
}
