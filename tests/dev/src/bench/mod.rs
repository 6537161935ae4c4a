//! `cargo dev bench NAME`: measures, and prints ratios against a reference of the same run.
//!
//! A bench is never a test: this machine's speed decides no verdict.

mod backlog;
pub mod meter;
mod plain;
mod shape;

use stack::error::Doing;
use stack::{Error, Result};

const USAGE: &str = "cargo dev bench backlog [--shape rows|wide|large|many] [--rows N] [--unix] [--mock] [--without-debezium], or cargo dev bench row";

/// So many times more rows than the test itself takes.
const ROW_COST: &str = "400";

pub fn run(words: &[&str]) -> Result<()> {
    match words {
        ["backlog", rest @ ..] => backlog::run(&backlog::Options::parse(rest)?),
        ["row"] => row(),
        _ => Err(Error::new("which bench?").remedy(USAGE)),
    }
}

/// What a row costs in each stage, without a server or a socket.
fn row() -> Result<()> {
    let mut cargo = crate::cargo();
    cargo.args(["test", "--quiet", "--release", "-p", "tidegate-connector", "--lib", "cost::"]);
    let done = cargo.args(["--", "--nocapture"]).env("TIDEGATE_ROW_COST", ROW_COST).status();
    match done.doing(|| "run the measurement".to_owned())?.success() {
        true => Ok(()),
        false => Err(Error::new("the measurement failed")),
    }
}
