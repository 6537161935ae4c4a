//! `[sink]`: the Kafka cluster (or the agent, which speaks its protocol) and how to send.

use serde::Deserialize;
use shared::error::{Error, Kind, Result};
use shared::kafka::{Compression, KafkaConfig};
use std::collections::BTreeMap;

/// What one request to one partition may hold: large batches compress well and cost few requests.
const DEFAULT_BATCH_BYTES: u32 = 1_000_000;
/// Keeps the whole process under 48 MiB, and under 64 with one transaction of 2 GB; more is no faster.
const DEFAULT_QUEUE_BYTES: u32 = 8 * 1024 * 1024;
/// The Java producer's limit, which is also what brokers take by default.
const DEFAULT_MESSAGE_MAX_BYTES: u32 = 1_048_576;
const DEFAULT_START_TIMEOUT_MS: u32 = 10_000;
/// Each commit costs some round trips in which nothing is sent: this keeps them rare enough.
const DEFAULT_COMMIT_INTERVAL_MS: u32 = 500;
/// What brokers allow at most by default: a transaction is as long as the database's largest.
const DEFAULT_TRANSACTION_TIMEOUT_MS: u32 = 900_000;
/// Under this a slow broker would end transactions.
const MIN_TRANSACTION_TIMEOUT_MS: u32 = 10_000;
const MAX_MESSAGE_BYTES: u32 = 1_000_000_000;
/// Under this the queue holds less than a batch, and nothing flows.
const MIN_QUEUE_BYTES: u32 = 1024 * 1024;

/// Properties of librdkafka that are not the operator's: nothing is confirmed before all in-sync
/// replicas have it, once and in order.
const GUARDED: [&str; 7] = [
    "acks",
    "request.required.acks",
    "enable.idempotence",
    "max.in.flight",
    "max.in.flight.requests.per.connection",
    "transactional.id",
    "transaction.timeout.ms",
];

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SinkConfig {
    pub kafka: KafkaConfig,
    #[serde(default)]
    pub delivery: Delivery,
    /// Exactly once: how often records become visible while they flow without a pause.
    #[serde(default = "default_commit_interval_ms")]
    pub commit_interval_ms: u32,
    /// Exactly once: the brokers end a transaction that takes longer.
    #[serde(default = "default_transaction_timeout_ms")]
    pub transaction_timeout_ms: u32,
    #[serde(default)]
    pub compression: Compression,
    /// How long a message may wait for others to share a request with; by default that depends on how many
    /// there are.
    #[serde(default)]
    pub linger_ms: Option<u32>,
    #[serde(default = "default_batch_bytes")]
    pub batch_bytes: u32,
    /// As told; [`SinkConfig::queue_bytes`] counts.
    #[serde(default = "default_queue_bytes")]
    pub queue_bytes: u32,
    #[serde(default = "default_message_max_bytes")]
    pub message_max_bytes: u32,
    /// How topics are made; the first rule that fits counts. Where none does, the brokers make them.
    #[serde(default)]
    pub topic: Vec<TopicRule>,
    /// What cannot be converted goes to this topic; without one it stops the connector.
    #[serde(default)]
    pub dead_letter_topic: Option<String>,
    /// How long to wait for the cluster's first answer at start.
    #[serde(default = "default_start_timeout_ms")]
    pub start_timeout_ms: u32,
}

/// How often a record may be seen if something fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    #[default]
    AtLeastOnce,
    /// By Kafka's transactions, for consumers that read what is committed only.
    ExactlyOnce,
}

/// How a topic is made.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TopicRule {
    /// Regular expressions on topics' names; none means all.
    pub include: Vec<String>,
    pub exclude: Vec<String>,
    /// -1 takes what the brokers take by default.
    pub partitions: i32,
    pub replicas: i32,
    /// Settings of the topic, as Kafka names them.
    pub settings: BTreeMap<String, String>,
}

impl Default for TopicRule {
    fn default() -> Self {
        let (include, exclude, settings) = (Vec::new(), Vec::new(), BTreeMap::new());
        TopicRule { include, exclude, partitions: -1, replicas: -1, settings }
    }
}

impl SinkConfig {
    /// Messages not yet acknowledged may take this much memory; then reading stops. The largest one always fits.
    pub fn queue_bytes(&self) -> u32 {
        self.queue_bytes.max(self.message_max_bytes)
    }

    pub fn exactly_once(&self) -> bool {
        self.delivery == Delivery::ExactlyOnce
    }

    pub fn check(&self) -> Result<()> {
        if self.kafka.brokers.trim().is_empty() {
            return Err(Error::new(Kind::Config, "sink.kafka.brokers is empty").remedy("write host:port"));
        }
        if let Some(name) = GUARDED.iter().find(|name| self.kafka.properties.contains_key(**name)) {
            let what =
                format!("sink.kafka.properties.{name} would allow records to be lost, repeated or reordered");
            return Err(Error::new(Kind::Config, what)
                .remedy("remove it; transactions are sink.delivery and sink.transaction_timeout_ms"));
        }
        if self.queue_bytes < MIN_QUEUE_BYTES {
            let what = format!("sink.queue_bytes = {} is under {MIN_QUEUE_BYTES}", self.queue_bytes);
            return Err(Error::new(Kind::Config, what));
        }
        if self.transaction_timeout_ms < MIN_TRANSACTION_TIMEOUT_MS {
            let what = format!(
                "sink.transaction_timeout_ms = {} is under {MIN_TRANSACTION_TIMEOUT_MS}",
                self.transaction_timeout_ms
            );
            return Err(Error::new(Kind::Config, what));
        }
        for rule in &self.topic {
            if [rule.partitions, rule.replicas].iter().any(|number| *number < -1 || *number == 0) {
                return Err(Error::new(Kind::Config, "sink.topic: partitions and replicas are 1 or more")
                    .remedy("leave one out to take what the brokers take by default"));
            }
        }
        if self.dead_letter_topic.as_ref().is_some_and(|topic| !is_topic(topic)) {
            let what = format!("sink.dead_letter_topic = {:?} is no name of a topic", self.dead_letter_topic);
            return Err(Error::new(Kind::Config, what)
                .remedy("Kafka takes letters, digits, '.', '_' and '-', at most 249 of them"));
        }
        if self.message_max_bytes > MAX_MESSAGE_BYTES {
            let what = format!(
                "sink.message_max_bytes is above {MAX_MESSAGE_BYTES}, the most that librdkafka takes"
            );
            return Err(Error::new(Kind::Config, what));
        }
        Ok(())
    }
}

fn is_topic(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=249).contains(&name.len()) && name.chars().all(plain)
}

fn default_commit_interval_ms() -> u32 {
    DEFAULT_COMMIT_INTERVAL_MS
}
fn default_transaction_timeout_ms() -> u32 {
    DEFAULT_TRANSACTION_TIMEOUT_MS
}
fn default_batch_bytes() -> u32 {
    DEFAULT_BATCH_BYTES
}
fn default_queue_bytes() -> u32 {
    DEFAULT_QUEUE_BYTES
}
fn default_message_max_bytes() -> u32 {
    DEFAULT_MESSAGE_MAX_BYTES
}
fn default_start_timeout_ms() -> u32 {
    DEFAULT_START_TIMEOUT_MS
}
