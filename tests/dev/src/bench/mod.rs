//! `cargo dev bench NAME`: measures, and prints ratios against a reference of the same run.
//!
//! A bench is never a test: this machine's speed decides no verdict.

mod backlog;
pub mod meter;
mod plain;

use stack::{Error, Result};

const USAGE: &str = "cargo dev bench backlog [--rows N] [--unix] [--without-debezium]";

pub fn run(words: &[&str]) -> Result<()> {
    match words {
        ["backlog", rest @ ..] => backlog::run(&backlog::Options::parse(rest)?),
        _ => Err(Error::new("which bench?").remedy(USAGE)),
    }
}
