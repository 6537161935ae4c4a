//! What a gate says of a row, and why a record was refused. Reasons never hold a row's values.

use std::borrow::Cow;

/// Why a record was put aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// A stable word: the label of the metric and what an operator filters by.
    pub label: &'static str,
    /// What exactly, with the names of column, rule, or schema.
    pub detail: Cow<'static, str>,
}

impl Reason {
    pub fn new(label: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Reason { label, detail: detail.into() }
    }
}

/// Every row gets exactly one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Pass,
    Quarantine(Reason),
}
