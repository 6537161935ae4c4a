//! `[forward]`: central Kafka, which the log is brought to. No table, nothing is brought.

use super::wrong;
use serde::{Deserialize, Deserializer};
use shared::error::Result;
use shared::kafka::{Compression, KafkaConfig};
use shared::registry::RegistryConfig;
use std::collections::BTreeMap;
use std::time::Duration;

/// What one request to one partition may hold: large batches compress well and cost few requests.
const DEFAULT_BATCH_BYTES: u32 = 1_000_000;
/// Sent and not yet acknowledged: enough for a fast link, and the agent stays small.
const DEFAULT_QUEUE_BYTES: u32 = 8 << 20;
/// The Java producer's limit, which is also what brokers take by default.
const DEFAULT_MESSAGE_MAX_BYTES: u32 = 1_048_576;
/// What one batch of the log may unpack to, as for the features.
const DEFAULT_UNPACKED_BYTES: usize = 64 << 20;
/// Each commit costs some round trips in which nothing is sent: this keeps them rare enough.
const DEFAULT_COMMIT_INTERVAL: Duration = Duration::from_secs(1);
/// How long the brokers keep a transaction of ours open when the link goes: central readers of what is
/// committed wait for that long, so it is shorter than the brokers' own fifteen minutes.
const DEFAULT_TRANSACTION_TIMEOUT: Duration = Duration::from_secs(60);
/// New records wait this long for others to share a transaction with.
const DEFAULT_LINGER: Duration = Duration::from_millis(20);
/// Longest wait between two tries while brokers or registry are away.
const DEFAULT_RETRY_CEILING: Duration = Duration::from_secs(30);

/// Properties of librdkafka that are not the operator's: each record arrives once and in order.
const GUARDED: [&str; 9] = [
    "acks",
    "request.required.acks",
    "enable.idempotence",
    "max.in.flight",
    "max.in.flight.requests.per.connection",
    "transactional.id",
    "transaction.timeout.ms",
    "partitioner",
    "group.id",
];

/// `[forward]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForwardConfig {
    pub kafka: KafkaConfig,
    /// Where the schemas of what is brought there are registered.
    pub registry: RegistryConfig,
    /// Regular expressions on whole names; what `[consume]` brings and names that begin with `__` stay here.
    #[serde(default = "default_topics")]
    pub topics: Vec<String>,
    #[serde(default)]
    pub exclude: Vec<String>,
    /// Regular expressions, the most important first; topics that none fits come last.
    #[serde(default)]
    pub priority: Vec<String>,
    /// Topics whose keys and values have no schema id in front, whatever their first byte is.
    #[serde(default)]
    pub plain: Vec<String>,
    /// As `plain`, for keys alone.
    #[serde(default)]
    pub plain_keys: Vec<String>,
    #[serde(default)]
    pub delivery: Delivery,
    #[serde(default)]
    pub partition: Partitioning,
    #[serde(default)]
    pub compression: Compression,
    /// How topics are made; the first rule that fits counts. Where none does, the brokers make them.
    #[serde(default)]
    pub topic: Vec<TopicRule>,
    /// Bytes a second on the link, `"2 Mbit/s"` or `"250 kB/s"`; absent: what the link takes.
    #[serde(default, deserialize_with = "bandwidth")]
    pub bandwidth: Option<u64>,
    /// When to send: `"mon-fri 22:00-06:00"`, `"sat,sun"`, `"12:30-13:00"`; none: always.
    #[serde(default)]
    pub schedule: Vec<String>,
    /// `local`, `UTC`, or a name such as `Europe/Berlin`.
    #[serde(default = "default_time_zone")]
    pub time_zone: String,
    #[serde(default = "default_batch_bytes")]
    pub batch_bytes: u32,
    /// Keys and values sent and not yet acknowledged.
    #[serde(default = "default_queue_bytes")]
    pub queue_bytes: u32,
    #[serde(default = "default_message_max_bytes")]
    pub message_max_bytes: u32,
    /// What one batch of the log may unpack to.
    #[serde(default = "default_unpacked_bytes")]
    pub unpacked_bytes: usize,
    /// Exactly once: how often records become visible while they flow without a pause.
    #[serde(default = "default_commit_interval", with = "shared::time::duration")]
    pub commit_interval: Duration,
    /// Exactly once: the brokers end a transaction that takes longer.
    #[serde(default = "default_transaction_timeout", with = "shared::time::duration")]
    pub transaction_timeout: Duration,
    #[serde(default = "default_linger", with = "shared::time::duration")]
    pub linger: Duration,
    #[serde(default = "default_retry_ceiling", with = "shared::time::duration")]
    pub retry_ceiling: Duration,
}

/// How often a record may be seen if something fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// By Kafka's transactions, for consumers that read what is committed only.
    #[default]
    #[serde(alias = "exactly-once")]
    ExactlyOnce,
    /// For clusters without transactions.
    #[serde(alias = "at-least-once")]
    AtLeastOnce,
}

/// Which central partition a record goes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Partitioning {
    /// Where the Java client would put the key that arrives; without a key, the local number if it exists.
    #[default]
    Key,
    /// The local number: the exact order of a local partition.
    Same,
}

/// How a topic is made at the centre.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TopicRule {
    /// Regular expressions on whole names; none means all.
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

fn default_topics() -> Vec<String> {
    vec![".*".to_owned()]
}

fn default_time_zone() -> String {
    "local".to_owned()
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

fn default_unpacked_bytes() -> usize {
    DEFAULT_UNPACKED_BYTES
}

fn default_commit_interval() -> Duration {
    DEFAULT_COMMIT_INTERVAL
}

fn default_transaction_timeout() -> Duration {
    DEFAULT_TRANSACTION_TIMEOUT
}

fn default_linger() -> Duration {
    DEFAULT_LINGER
}

fn default_retry_ceiling() -> Duration {
    DEFAULT_RETRY_CEILING
}

fn bandwidth<'de, D: Deserializer<'de>>(d: D) -> std::result::Result<Option<u64>, D::Error> {
    let text = String::deserialize(d)?;
    parse_bandwidth(&text).map(Some).ok_or_else(|| {
        serde::de::Error::custom(format!("{text:?} is no bandwidth: write \"2 Mbit/s\" or \"250 kB/s\""))
    })
}

/// Bytes a second.
fn parse_bandwidth(text: &str) -> Option<u64> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at_checked(split)?;
    let bits = match unit.trim() {
        "bit/s" => 1.0,
        "kbit/s" => 1e3,
        "Mbit/s" => 1e6,
        "Gbit/s" => 1e9,
        "B/s" => 8.0,
        "kB/s" => 8e3,
        "MB/s" => 8e6,
        "KiB/s" => 8.0 * 1024.0,
        "MiB/s" => 8.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    let bytes = number.parse::<f64>().ok()? * bits / 8.0;
    (1.0..1e12).contains(&bytes).then_some(bytes as u64)
}

impl ForwardConfig {
    pub fn check(&self) -> Result<()> {
        if self.kafka.brokers.trim().is_empty() {
            return Err(wrong("forward.kafka.brokers must name a broker, as host:port"));
        }
        if self.registry.url.is_empty() {
            return Err(wrong("forward.registry.url must name the central schema registry"));
        }
        if let Some(name) = GUARDED.iter().find(|name| self.kafka.properties.contains_key(**name)) {
            let what =
                format!("forward.kafka.properties.{name} would let records be lost, repeated or reordered");
            return Err(wrong(what).remedy("remove it; see forward.delivery and forward.partition"));
        }
        let size = |name: &str, value: u64, from: u64, to: u64| match (from..=to).contains(&value) {
            true => Ok(()),
            false => Err(wrong(format!("forward.{name} = {value} must be from {from} to {to}"))),
        };
        size("batch_bytes", self.batch_bytes.into(), 4_096, 100_000_000)?;
        size("queue_bytes", self.queue_bytes.into(), 1 << 20, 1 << 30)?;
        size("message_max_bytes", self.message_max_bytes.into(), 1_000, 1_000_000_000)?;
        size("unpacked_bytes", self.unpacked_bytes as u64, 1 << 20, 1 << 30)?;
        let time = |name: &str, value: Duration, from: Duration, to: Duration| {
            size(name, value.as_millis() as u64, from.as_millis() as u64, to.as_millis() as u64)
                .map_err(|error| error.remedy("in milliseconds"))
        };
        let (ms, s) = (Duration::from_millis, Duration::from_secs);
        time("transaction_timeout", self.transaction_timeout, s(10), s(3_600))?;
        time("commit_interval", self.commit_interval, ms(10), self.transaction_timeout / 2)?;
        time("linger", self.linger, ms(0), s(60))?;
        time("retry_ceiling", self.retry_ceiling, ms(100), s(3_600))
    }

    pub fn exactly_once(&self) -> bool {
        self.delivery == Delivery::ExactlyOnce
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bandwidths() {
        for (text, want) in [
            ("2 Mbit/s", Some(250_000)),
            ("2Mbit/s", Some(250_000)),
            ("0.5 Mbit/s", Some(62_500)),
            ("250 kB/s", Some(250_000)),
            ("1 MiB/s", Some(1_048_576)),
            ("64 kbit/s", Some(8_000)),
            ("2", None),
            ("2 Mb", None),
            ("Mbit/s", None),
            ("0 bit/s", None),
            ("-1 kB/s", None),
        ] {
            assert_eq!(parse_bandwidth(text), want, "{text}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        let base = "kafka.brokers = 'b:1'\nregistry.url = ['http://r']\n";
        let overrides = shared::config::Overrides { env_prefix: "NONE", set: &[] };
        for (more, says) in [
            ("", ""),
            ("delivery = 'at-least-once'", ""),
            ("queue_bytes = 1", "forward.queue_bytes"),
            ("commit_interval = '40s'", "forward.commit_interval"),
            ("kafka.properties.acks = '1'", "forward.kafka.properties.acks"),
            ("bandwidth = '2'", "no bandwidth"),
        ] {
            let parsed: Result<ForwardConfig> = shared::config::parse(&format!("{base}{more}"), &overrides);
            match parsed.and_then(|config| config.check()) {
                Ok(()) => assert_eq!(says, "", "{more} passes"),
                Err(error) => {
                    assert!(!says.is_empty() && error.to_string().contains(says), "{more}: {error}")
                }
            }
        }
    }
}
