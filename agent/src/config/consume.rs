//! `[consume]`: central Kafka as a source. No table, no consumer.

use super::wrong;
use serde::Deserialize;
use shared::error::Result;
use shared::kafka::KafkaConfig;
use shared::registry::RegistryConfig;
use std::time::Duration;

/// Keys and values of one transaction: large enough to share the cost of its commit.
const DEFAULT_BATCH_BYTES: usize = 1 << 20;
/// Read ahead while a transaction is written; several batches' worth.
const DEFAULT_QUEUE_BYTES: usize = 8 << 20;
/// Longest wait between two tries while brokers or registry are away.
const DEFAULT_RETRY_CEILING: Duration = Duration::from_secs(10);

/// `[consume]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsumeConfig {
    pub kafka: KafkaConfig,
    /// Where the schema ids in the records come from.
    pub registry: RegistryConfig,
    /// Names, or the beginning of names followed by `*`; they keep them here.
    pub topics: Vec<String>,
    /// Where a partition begins that was never read.
    #[serde(default)]
    pub start: Start,
    /// Bytes of keys and values in one transaction (a single larger record is still taken whole).
    #[serde(default = "default_batch_bytes")]
    pub batch_bytes: usize,
    /// Bytes read ahead, over all topics.
    #[serde(default = "default_queue_bytes")]
    pub queue_bytes: usize,
    #[serde(default)]
    pub lost: Lost,
    #[serde(default = "default_retry_ceiling", with = "shared::time::duration")]
    pub retry_ceiling: Duration,
}

/// What to do when the brokers no longer have the place where we were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lost {
    /// That partition waits for a person.
    #[default]
    Stop,
    /// Go on with what is left; the records between are never seen here.
    Earliest,
}

/// Where reading begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Start {
    #[default]
    Earliest,
    /// What is written from now on.
    Latest,
    /// The first record at or after this time, milliseconds since 1970.
    At(i64),
}

impl<'de> Deserialize<'de> for Start {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Start, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "earliest" => Ok(Start::Earliest),
            "latest" => Ok(Start::Latest),
            moment => {
                moment.parse().map(|at: jiff::Timestamp| Start::At(at.as_millisecond())).map_err(|_| {
                    serde::de::Error::custom(
                        "start must be earliest, latest, or a time such as 2026-01-02T03:04:05Z",
                    )
                })
            }
        }
    }
}

fn default_batch_bytes() -> usize {
    DEFAULT_BATCH_BYTES
}

fn default_queue_bytes() -> usize {
    DEFAULT_QUEUE_BYTES
}

fn default_retry_ceiling() -> Duration {
    DEFAULT_RETRY_CEILING
}

/// Whether an entry of `consume.topics` means a topic: its name, or the beginning of it before a `*`.
pub fn means(entry: &str, topic: &str) -> bool {
    match entry.strip_suffix('*') {
        Some(beginning) => topic.starts_with(beginning),
        None => topic == entry,
    }
}

impl ConsumeConfig {
    /// All of some topics, with the settings that are usual.
    pub fn of(kafka: KafkaConfig, registry: RegistryConfig, topics: Vec<String>) -> ConsumeConfig {
        ConsumeConfig {
            kafka,
            registry,
            topics,
            start: Start::Earliest,
            batch_bytes: DEFAULT_BATCH_BYTES,
            queue_bytes: DEFAULT_QUEUE_BYTES,
            lost: Lost::Stop,
            retry_ceiling: DEFAULT_RETRY_CEILING,
        }
    }

    pub fn check(&self) -> Result<()> {
        if self.kafka.brokers.trim().is_empty() {
            return Err(wrong("consume.kafka.brokers must name a broker, as host:port"));
        }
        if self.registry.url.is_empty() {
            return Err(wrong("consume.registry.url must name the central schema registry"));
        }
        if self.topics.is_empty() || self.topics.iter().any(String::is_empty) {
            return Err(wrong("consume.topics must name the topics to read, as \"orders\" or \"shop.*\""));
        }
        if !(4_096..=8 << 20).contains(&self.batch_bytes) {
            return Err(wrong("consume.batch_bytes must be from 4096 to 8388608"));
        }
        if !(self.batch_bytes..=1 << 30).contains(&self.queue_bytes) {
            return Err(wrong("consume.queue_bytes must be from consume.batch_bytes to 1 GiB (1073741824)"));
        }
        Ok(())
    }
}
