//! `cargo dev bench NAME`: measures, and prints ratios against a reference of the same run.
//!
//! A bench is never a test: this machine's speed decides no verdict.

mod append;
mod backlog;
mod features;
mod flags;
mod forward;
mod fresh;
mod large;
mod latency;
pub mod meter;
mod once;
mod plain;
mod serve;
mod servers;
mod shape;
mod snapshot;
mod start;

use flags::Flags;
use stack::error::Doing;
use stack::{Error, Result};

const USAGE: &str = "\
cargo dev bench backlog [--shape rows|wide|large|many] [--rows N] [--unix] [--mock] [--without-debezium]
cargo dev bench snapshot [--rows N] [--rounds N] [--workers 1,2,4]
cargo dev bench latency [--rate N] [--debezium-rate N] [--seconds N]
cargo dev bench large [--megabytes N]
cargo dev bench append [--records N] [--rounds N] [--seconds N]
cargo dev bench start [--rounds N]
cargo dev bench once [--rows N]
cargo dev bench forward [--records N] [--bytes N]
cargo dev bench features [--rows N] [--users N,N,…] [--step-ms N,N] [--batch N] [--compare ROWS]
cargo dev bench serve [--rate N] [--rows N] [--feast-rate N] [--seconds N] [--program PATH]
cargo dev bench fresh [--rate N] [--seconds N] [--users N]
cargo dev bench row";

/// So many times more rows than the test itself takes.
const ROW_COST: &str = "400";

pub fn run(words: &[&str]) -> Result<()> {
    match words {
        ["backlog", rest @ ..] => backlog::run(&backlog::Options::parse(rest)?),
        ["snapshot", rest @ ..] => snapshot::run(&Flags::parse(rest, &snapshot::KNOWN)?),
        ["latency", rest @ ..] => latency::run(&Flags::parse(rest, &latency::KNOWN)?),
        ["features", rest @ ..] => features::run(&Flags::parse(rest, &features::KNOWN)?),
        ["large", rest @ ..] => large::run(&Flags::parse(rest, &large::KNOWN)?),
        ["append", rest @ ..] => append::run(&Flags::parse(rest, &append::KNOWN)?),
        ["once", rest @ ..] => once::run(&Flags::parse(rest, &once::KNOWN)?),
        ["forward", rest @ ..] => forward::run(&Flags::parse(rest, &forward::KNOWN)?),
        ["start", rest @ ..] => start::run(&Flags::parse(rest, &start::KNOWN)?),
        ["serve", rest @ ..] => serve::run(&Flags::parse(rest, &serve::KNOWN)?),
        ["fresh", rest @ ..] => fresh::run(&Flags::parse(rest, &fresh::KNOWN)?),
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
