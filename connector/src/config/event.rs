//! `[event]`: the shape of records.

use serde::Deserialize;
use shared::error::{Error, Kind, Result};

/// What `source.version` says by default: ours, since a consumer may ask who wrote a record.
const DEFAULT_SOURCE_VERSION: &str = concat!("tidegate ", env!("CARGO_PKG_VERSION"));

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventConfig {
    /// First part of every topic's name; also `source.name`.
    pub topic_prefix: String,
    /// A record without a value after each delete, so that compaction drops the key.
    #[serde(default = "default_true")]
    pub tombstones: bool,
    /// `source.version`; set it to Debezium's if a consumer looks at it.
    #[serde(default = "default_source_version")]
    pub source_version: String,
    /// The headers `__debezium.context.*` on every record.
    #[serde(default = "default_true")]
    pub headers: bool,
}

impl EventConfig {
    pub fn check(&self) -> Result<()> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if self.topic_prefix.is_empty() || !self.topic_prefix.chars().all(allowed) {
            let what = format!("event.topic_prefix = {:?} is no part of a topic's name", self.topic_prefix);
            return Err(Error::new(Kind::Config, what)
                .remedy("use letters, digits, dots, dashes and underscores; at least one"));
        }
        Ok(())
    }
}

fn default_true() -> bool {
    true
}

fn default_source_version() -> String {
    DEFAULT_SOURCE_VERSION.to_owned()
}
