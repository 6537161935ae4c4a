//! What holds of whatever bytes the parsers meet: one body per fuzz target, in plain functions.
//!
//! ```text
//!  tests/fuzz: libFuzzer ──────────────┐
//!                                      v
//!  tests/fuzz/corpus/TARGET ──> run(TARGET, bytes) ── a panic is a finding
//! ```
//!
//! The bodies stand beside what they test (`source/postgres/fuzz`, `offset/fuzz.rs`, …); here they are
//! gathered, and what a source gives is made into records. `cargo dev fuzz TARGET` looks for new inputs on
//! a nightly compiler; the unit tests replay the inputs that were kept.

mod records;

#[cfg(test)]
mod tests;

use crate::config::debezium::fuzz::debezium;
use crate::offset::fuzz::{java_object, offset};
use crate::source::postgres::fuzz as postgres;
use crate::transform;

/// What a target does with an input.
type Body = fn(&[u8]);

pub const TARGETS: [(&str, Body); 11] = [
    ("frame", postgres::frame),
    ("pgoutput", postgres::pgoutput),
    ("stream", records::stream),
    ("value", records::value),
    ("copy", postgres::copy),
    ("default", records::default),
    ("debezium", |input| {
        if let Some(config) = debezium(input) {
            records::transformed(&config);
        }
    }),
    ("expression", |input| records::with_samples(|samples| transform::fuzz::expression(input, samples))),
    ("offset", offset),
    ("java", java_object),
    ("signal", crate::signal::fuzz::signal),
];

/// # Panics
/// When something does not hold of the input, and for a target that is not there.
pub fn run(target: &str, input: &[u8]) {
    let (_, body) = TARGETS.iter().find(|(name, _)| *name == target).expect("a target of the list");
    body(input);
}
