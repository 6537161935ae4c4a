//! The rules of the house, as tests: sizes, arrows between rooms, names, texts.
//!
//! A rule that makes a room harder to live in is changed here and in the contributor's guide, with its reason;
//! it is not worked around. Every list of exceptions is in this folder and says why.

mod arrows;
mod dashboards;
mod logs;
mod names;
mod samples;
mod sizes;
mod texts;
mod tree;

/// Fails with one line per finding.
#[track_caller]
fn assert_clean(rule: &str, findings: &[String]) {
    assert!(findings.is_empty(), "{rule}:\n  {}\n", findings.join("\n  "));
}
