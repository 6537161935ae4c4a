//! `[[gate]]`: rules per topic; `[quarantine]`: how much of what was refused is kept.

use super::wrong;
use serde::Deserialize;
use shared::error::Result;

/// Refused records kept; older ones are dropped, counted and said.
const DEFAULT_QUARANTINE_RECORDS: u64 = 100_000;

/// One rule on one column of one topic.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateConfig {
    pub topic: String,
    pub column: String,
    pub rule: Rule,
    #[serde(default)]
    pub action: Action,
    /// File and line, for messages.
    #[serde(skip)]
    pub place: String,
}

/// What is demanded of the column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    NotNull,
}

impl Rule {
    pub fn name(self) -> &'static str {
        match self {
            Rule::NotNull => "not_null",
        }
    }
}

/// What happens to a row that breaks the rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// The row is kept aside and does not reach the features.
    #[default]
    Quarantine,
    /// The row is counted and goes on.
    Warn,
}

impl GateConfig {
    pub fn check(&self) -> Result<()> {
        match (self.topic.is_empty(), self.column.is_empty()) {
            (false, false) => Ok(()),
            _ => Err(wrong("a gate names a topic and a column")),
        }
    }
}

/// `[quarantine]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QuarantineConfig {
    /// Refused records kept at most.
    pub max_records: u64,
}

impl Default for QuarantineConfig {
    fn default() -> Self {
        QuarantineConfig { max_records: DEFAULT_QUARANTINE_RECORDS }
    }
}
