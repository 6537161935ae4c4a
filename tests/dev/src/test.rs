//! `cargo dev test`: installs what is missing, builds everything once, and runs the suites in turn.
//!
//! A suite is an integration test of any crate, found by `cargo metadata` and called as its file or folder;
//! beside them stand `lint` and `unit` (the tests inside the crates).

use crate::{cargo, say};
use serde_json::Value;
use stack::error::Doing;
use stack::{Error, Name, Result};
use std::io::{BufRead, BufReader};
use std::process::Stdio;

/// Servers are heavy, and two cores are what CI has.
const SERVER_TEST_THREADS: &str = "--test-threads=2";

/// Needs no server, so it runs on any machine.
const WITHOUT_SERVERS: &[&str] = &["lint", "simulate", "tidy", "unit"];

/// What a suite's own lines said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    passed: u64,
    failed: u64,
    skipped: u64,
}

impl Count {
    fn add(&mut self, other: Count) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

/// A program of tests: one target of one package, or `lint`, or `unit`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Suite {
    name: String,
    package: String,
}

/// Runs one suite (further words go to its test program, e.g. a test's name), or all.
pub fn run(words: &[&str]) -> Result<()> {
    let known = suites()?;
    let (wanted, further) = match words {
        [] => (known, [].as_slice()),
        [name, further @ ..] => (vec![one(known, name)?], further),
    };
    let servers = wanted.iter().any(|suite| needs_servers(&suite.name));
    let missing = if servers { install() } else { None };
    if let (Some(error), true) = (&missing, on_ci()) {
        return Err(Error::new(format!("CI must have every server: {error}")));
    }
    build(&wanted)?;
    let mut total = Count::default();
    for suite in &wanted {
        if missing.is_some() && needs_servers(&suite.name) {
            eprintln!("SKIPPED: {}, as servers are missing (see above)", suite.name);
            total.skipped += 1;
            continue;
        }
        eprintln!("=== {}", suite.name);
        total.add(run_suite(suite, further)?);
    }
    conclude(total)
}

fn conclude(total: Count) -> Result<()> {
    let skipped = if total.skipped > 0 { format!(", {} skipped", total.skipped) } else { String::new() };
    say(&format!("{} passed, {} failed{skipped}", total.passed, total.failed));
    if total.failed > 0 {
        return Err(Error::new("some tests failed"));
    }
    if total.passed == 0 {
        return Err(Error::new("no test was run").remedy("check the test's name"));
    }
    Ok(())
}

fn needs_servers(suite: &str) -> bool {
    !WITHOUT_SERVERS.contains(&suite)
}

fn on_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| value == "true" || value == "1")
}

fn one(known: Vec<Suite>, name: &str) -> Result<Suite> {
    let names: Vec<String> = known.iter().map(|suite| suite.name.clone()).collect();
    let found = known.into_iter().find(|suite| suite.name == name);
    found.ok_or_else(|| {
        Error::new(format!("no suite is called {name}")).remedy(format!("one of: {}", names.join(" ")))
    })
}

/// Quick ones first.
fn suites() -> Result<Vec<Suite>> {
    let output = stack::process::run(
        "read the workspace by cargo metadata",
        cargo().args(["metadata", "--no-deps", "--format-version", "1"]),
    )?;
    let metadata =
        serde_json::from_str(&output).map_err(|error| Error::new(format!("read cargo metadata: {error}")))?;
    let mut suites: Vec<Suite> =
        ["lint", "unit"].map(|name| Suite { name: name.to_owned(), package: String::new() }).into();
    suites.extend(targets(&metadata));
    suites.sort_by_key(|suite| needs_servers(&suite.name));
    Ok(suites)
}

/// The integration tests of all packages.
fn targets(metadata: &Value) -> Vec<Suite> {
    let list =
        |value: &Value, key: &str| value.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let text =
        |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut found = Vec::new();
    for package in list(metadata, "packages") {
        for target in list(&package, "targets") {
            if list(&target, "kind").iter().any(|kind| kind == "test") {
                found.push(Suite { name: text(&target, "name"), package: text(&package, "name") });
            }
        }
    }
    found
}

/// Installs every server; the first that cannot be had is the answer.
fn install() -> Option<Error> {
    let error = Name::ALL.into_iter().find_map(|name| name.install().err())?;
    eprintln!("SERVERS ARE MISSING: {error}");
    Some(error)
}

/// One build for all, so that every suite finds our programs beside it.
fn build(wanted: &[Suite]) -> Result<()> {
    if wanted.iter().all(|suite| suite.name == "lint") {
        return Ok(());
    }
    let status = cargo()
        .args(["build", "--workspace", "--all-targets"])
        .status()
        .doing(|| "run cargo build".to_owned())?;
    if status.success() { Ok(()) } else { Err(Error::new("the workspace does not build")) }
}

fn run_suite(suite: &Suite, further: &[&str]) -> Result<Count> {
    let mut count = Count::default();
    match suite.name.as_str() {
        "lint" => return lint(),
        "unit" => {
            count.add(watch(&["--workspace", "--lib", "--bins"], further)?);
            count.add(watch(&["--workspace", "--doc"], further)?);
        }
        name => {
            let threads = if needs_servers(name) { Some(SERVER_TEST_THREADS) } else { None };
            let further: Vec<&str> = further.iter().copied().chain(threads).collect();
            count.add(watch(&["--package", &suite.package, "--test", name], &further)?);
        }
    }
    Ok(count)
}

/// Formatting and clippy, each counted as one test.
fn lint() -> Result<Count> {
    let mut count = Count::default();
    let checks: [&[&str]; 2] = [
        &["fmt", "--all", "--check"],
        &["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"],
    ];
    for check in checks {
        let status = cargo().args(check).status().doing(|| format!("run cargo {}", check.join(" ")))?;
        if status.success() {
            count.passed += 1;
        } else {
            eprintln!("FAILED: cargo {}", check.join(" "));
            count.failed += 1;
        }
    }
    Ok(count)
}

/// Runs cargo test, passing its output on, and adds up its `test result` lines.
fn watch(arguments: &[&str], further: &[&str]) -> Result<Count> {
    let what = || "run cargo test".to_owned();
    let mut command = cargo();
    command.args(["test", "--no-fail-fast"]).args(arguments).arg("--").args(further);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().doing(what)?;
    let mut count = Count::default();
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).lines() {
            let line = line.doing(what)?;
            count.add(result(&line).unwrap_or_default());
            say(&line);
        }
    }
    let status = child.wait().doing(what)?;
    if !status.success() && count.failed == 0 {
        // It did not build, or a test program died of a signal.
        count.failed = 1;
    }
    Ok(count)
}

/// `test result: ok. 3 passed; 0 failed; 1 ignored; …`
fn result(line: &str) -> Option<Count> {
    let (_, rest) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let number = |what: &str| {
        let part = rest.split("; ").find_map(|part| part.strip_suffix(what));
        part.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
    };
    Some(Count { passed: number("passed"), failed: number("failed"), skipped: number("ignored") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_lines_are_added_up() {
        let cases = [
            (
                "test result: FAILED. 12 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.08s",
                Some(Count { passed: 12, failed: 2, skipped: 1 }),
            ),
            ("test texts::nothing ... ok", None),
        ];
        for (line, expected) in cases {
            assert_eq!(result(line), expected, "{line}");
        }
    }
}
