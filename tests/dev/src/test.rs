//! `cargo dev test`: installs what is missing, builds everything once, and runs the suites in turn.
//!
//! A suite is a `[[test]]` of the tests crate, found in its manifest; beside them stand `lint`, `unit` (the
//! tests inside the crates) and `stack` (the servers themselves).

use crate::say;
use serde_json::Value;
use stack::error::Doing;
use stack::{Error, Name, Result};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

/// Servers are heavy, and two cores are what CI has.
const SERVER_TEST_THREADS: &str = "--test-threads=2";

/// Needs no server, so it runs on any machine.
const WITHOUT_SERVERS: &[&str] = &["lint", "tidy", "unit"];

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

/// Runs one suite (further words go to its test program, e.g. a test's name), or all.
pub fn run(words: &[&str]) -> Result<()> {
    let known = suites()?;
    let (wanted, further) = match words {
        [] => (known.clone(), [].as_slice()),
        [suite, further @ ..] => (vec![known_suite(&known, suite)?], further),
    };
    let servers = wanted.iter().any(|suite| needs_servers(suite));
    let missing = if servers { install() } else { None };
    if let (Some(error), true) = (&missing, on_ci()) {
        return Err(Error::new(format!("CI must have every server: {error}")));
    }
    build(&wanted)?;
    let mut total = Count::default();
    for suite in &wanted {
        if missing.is_some() && needs_servers(suite) {
            eprintln!("SKIPPED: {suite}, as servers are missing (see above)");
            total.skipped += 1;
            continue;
        }
        eprintln!("=== {suite}");
        total.add(run_suite(suite, further)?);
    }
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

fn known_suite(known: &[String], suite: &str) -> Result<String> {
    if known.iter().any(|name| name == suite) {
        return Ok(suite.to_owned());
    }
    Err(Error::new(format!("no suite is called {suite}")).remedy(format!("one of: {}", known.join(" "))))
}

/// Quick ones first.
fn suites() -> Result<Vec<String>> {
    let mut names: Vec<String> = ["lint", "tidy", "unit", "stack"].map(str::to_owned).into();
    let output = stack::process::run(
        "read the workspace by cargo metadata",
        cargo().args(["metadata", "--no-deps", "--format-version", "1"]),
    )?;
    let metadata: Value =
        serde_json::from_str(&output).map_err(|error| Error::new(format!("read cargo metadata: {error}")))?;
    let list =
        |value: &Value, key: &str| value.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let text =
        |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    for package in list(&metadata, "packages") {
        if text(&package, "name") != "tidegate-tests" {
            continue;
        }
        let tests =
            list(&package, "targets").into_iter().filter(|t| list(t, "kind").iter().any(|k| k == "test"));
        for name in tests.map(|target| text(&target, "name")).filter(|name| name != "tidy") {
            names.push(name);
        }
    }
    Ok(names)
}

/// Installs every server; the first that cannot be had is the answer.
fn install() -> Option<Error> {
    let error = Name::ALL.into_iter().find_map(|name| name.install().err())?;
    eprintln!("SERVERS ARE MISSING: {error}");
    Some(error)
}

/// One build for all, so that every suite finds our programs beside it.
fn build(wanted: &[String]) -> Result<()> {
    if wanted.iter().all(|suite| suite == "lint") {
        return Ok(());
    }
    let status = cargo()
        .args(["build", "--workspace", "--all-targets"])
        .status()
        .doing(|| "run cargo build".to_owned())?;
    if status.success() { Ok(()) } else { Err(Error::new("the workspace does not build")) }
}

fn run_suite(suite: &str, further: &[&str]) -> Result<Count> {
    let runs: &[&[&str]] = match suite {
        "lint" => return lint(),
        "tidy" => &[&["--package", "tidegate-tests", "--test", "tidy"]],
        "unit" => &[&["--workspace", "--lib", "--bins"], &["--workspace", "--doc"]],
        "stack" => &[&["--package", "tidegate-stack", "--test", "servers"]],
        other => &[&["--package", "tidegate-tests", "--test", other]],
    };
    let mut count = Count::default();
    for arguments in runs {
        let mut command = cargo();
        command.args(["test", "--no-fail-fast"]).args(*arguments).arg("--").args(further);
        if needs_servers(suite) {
            command.arg(SERVER_TEST_THREADS);
        }
        count.add(watch(command)?);
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

/// Runs cargo, passing its output on, and adds up its `test result` lines.
fn watch(mut command: Command) -> Result<Count> {
    let what = || "run cargo test".to_owned();
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

/// The cargo that runs us, at the workspace's root.
fn cargo() -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.current_dir(crate::workspace());
    // Set by the `cargo run` around us; for the cargo that we run it means another package.
    for name in ["CARGO_MANIFEST_DIR", "CARGO_PKG_NAME", "CARGO_PKG_VERSION"] {
        command.env_remove(name);
    }
    command
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
