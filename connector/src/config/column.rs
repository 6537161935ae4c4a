//! `[[event.mask]]`, `[[event.hash]]`, `[[event.truncate]]`: what is done to texts of some columns.
//! Columns are named by regular expressions on `schema.table.column`, whole name, letter case ignored.

use serde::Deserialize;
use shared::secret::Secret;

/// As many stars, whatever the value.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mask {
    pub columns: Vec<String>,
    pub length: usize,
}

/// A digest of salt and value, in hexadecimal.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hash {
    pub columns: Vec<String>,
    /// Java's name: `SHA-256`.
    pub algorithm: String,
    pub salt: Secret,
    /// 1 hashes Java's serialised form as Debezium's older property does; 2 the text itself.
    #[serde(default = "default_version")]
    pub version: u8,
}

/// The first characters.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Truncation {
    pub columns: Vec<String>,
    pub length: usize,
}

fn default_version() -> u8 {
    2
}
