//! `[offset]`: where progress is kept, under which name, and how often.

use serde::Deserialize;
use shared::error::{Error, Kind, Result};
use std::path::PathBuf;

/// A crash repeats at most about this much; the database keeps its log as long.
const DEFAULT_INTERVAL_MS: u32 = 1_000;
/// Kafka Connect's own default.
const DEFAULT_TOPIC_PARTITIONS: u32 = 25;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OffsetConfig {
    pub kind: OffsetKind,
    /// The connector's name: progress is stored under it, as Kafka Connect does.
    pub connector: String,
    /// `kind = "file"`: the file.
    pub path: PathBuf,
    /// `kind = "kafka"`: the compacted topic, made if missing.
    pub topic: String,
    /// Partitions of the topic if it is made.
    pub topic_partitions: u32,
    /// Replicas of the topic if it is made; -1 leaves it to the brokers.
    pub topic_replicas: i32,
    /// How often progress is stored and the database told; also at the end.
    pub interval_ms: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OffsetKind {
    #[default]
    File,
    Kafka,
}

impl Default for OffsetConfig {
    fn default() -> Self {
        OffsetConfig {
            kind: OffsetKind::File,
            connector: "tidegate".to_owned(),
            path: "/var/lib/tidegate/connector-offsets.json".into(),
            topic: "connect-offsets".to_owned(),
            topic_partitions: DEFAULT_TOPIC_PARTITIONS,
            topic_replicas: -1,
            interval_ms: DEFAULT_INTERVAL_MS,
        }
    }
}

impl OffsetConfig {
    pub fn check(&self) -> Result<()> {
        if self.connector.is_empty() {
            return Err(Error::new(Kind::Config, "offset.connector is empty"));
        }
        if self.kind == OffsetKind::Kafka && self.topic.is_empty() {
            return Err(Error::new(Kind::Config, "offset.topic is empty"));
        }
        if self.topic_partitions == 0 || i32::try_from(self.topic_partitions).is_err() {
            return Err(Error::new(Kind::Config, "offset.topic_partitions must be at least 1"));
        }
        Ok(())
    }
}
