//! `[sync.NAME]`: the central stores that features are brought to, each under a name of the operator's.
//! No table, no sync. What all kinds share is read here, what one kind has of its own in `sync/`.

mod feast_push;
mod kafka;
mod postgres;
mod redis;
mod vector;

pub use feast_push::FeastPushConfig;
pub use kafka::KafkaTopicConfig;
pub use postgres::PostgresConfig;
pub use redis::RedisConfig;
pub use vector::VectorConfig;

use super::wrong;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use shared::error::{Context, Result};
use std::collections::BTreeMap;
use std::time::Duration;

/// Rows of one round trip.
const DEFAULT_BATCH_ROWS: usize = 1_000;
/// Packed values of one round trip: what a batch costs in memory.
const DEFAULT_BATCH_BYTES: usize = 1 << 20;
/// A batch that is not full waits so long for others; much less than anybody notices.
const DEFAULT_LINGER: Duration = Duration::from_millis(5);
/// Longest wait between two tries while the store is away.
const DEFAULT_RETRY_CEILING: Duration = Duration::from_secs(10);
/// The keys that every kind has; all others belong to the kind.
const COMMON: [&str; 6] = ["kind", "views", "batch_rows", "batch_bytes", "linger", "retry_ceiling"];
const KINDS: [&str; 6] = ["redis", "postgres", "pgvector", "feast_push", "kafka", "vector"];

/// All targets by name.
pub type Targets = BTreeMap<String, SyncConfig>;

/// One `[sync.NAME]`.
#[derive(Clone, Debug)]
pub struct SyncConfig {
    pub common: Common,
    pub target: Target,
}

/// What every kind has.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Common {
    pub kind: String,
    /// The feature views to bring; empty: all.
    #[serde(default)]
    pub views: Vec<String>,
    #[serde(default = "default_batch_rows")]
    pub batch_rows: usize,
    #[serde(default = "default_batch_bytes")]
    pub batch_bytes: usize,
    #[serde(default = "default_linger", with = "shared::time::duration")]
    pub linger: Duration,
    #[serde(default = "default_retry_ceiling", with = "shared::time::duration")]
    pub retry_ceiling: Duration,
}

/// Where features go.
#[derive(Clone, Debug)]
pub enum Target {
    /// Redis in Feast's own layout.
    Redis(RedisConfig),
    /// PostgreSQL in Feast's own layout, `pgvector` with a column that can be searched.
    Postgres(PostgresConfig),
    /// The `/push` of a Feast feature server.
    FeastPush(FeastPushConfig),
    /// A topic per view, in Avro.
    Kafka(Box<KafkaTopicConfig>),
    /// A vector index that is spoken to as Pinecone's.
    Vector(VectorConfig),
}

const fn default_batch_rows() -> usize {
    DEFAULT_BATCH_ROWS
}

const fn default_batch_bytes() -> usize {
    DEFAULT_BATCH_BYTES
}

const fn default_linger() -> Duration {
    DEFAULT_LINGER
}

const fn default_retry_ceiling() -> Duration {
    DEFAULT_RETRY_CEILING
}

/// Reads `[sync]` as tables by name; the form with one target without a name is named with its remedy.
pub fn targets<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Targets, D::Error> {
    let tables = BTreeMap::<String, toml::Value>::deserialize(deserializer)?;
    let read = |(name, value): (String, toml::Value)| match value {
        toml::Value::Table(table) => {
            let config = split(table).map_err(|words| D::Error::custom(with_name(&name, &words)))?;
            Ok((name, config))
        }
        _ => Err(D::Error::custom(format!(
            "sync.{name} stands without a target's name: each target is a table of its own now, \
             [sync.NAME] with kind = \"redis\" (or {}) and the settings below it",
            KINDS.join(", ")
        ))),
    };
    tables.into_iter().map(read).collect()
}

/// Words about an unknown key stay in front: they are made into a question for the nearest known one.
fn with_name(name: &str, words: &str) -> String {
    match words.starts_with("unknown field") {
        true => words.to_owned(),
        false => format!("sync.{name}: {words}"),
    }
}

fn split(table: toml::Table) -> std::result::Result<SyncConfig, String> {
    let (common, own): (toml::Table, toml::Table) =
        table.into_iter().partition(|(key, _)| COMMON.contains(&key.as_str()));
    let common: Common = read(common)?;
    let target = match common.kind.as_str() {
        "redis" => Target::Redis(read(own)?),
        "postgres" => Target::Postgres(read(own)?),
        "pgvector" => Target::Postgres(PostgresConfig { vector: true, ..read(own)? }),
        "feast_push" | "feast-push" => Target::FeastPush(read(own)?),
        "kafka" => Target::Kafka(Box::new(read(own)?)),
        "vector" => Target::Vector(read(own)?),
        other => return Err(format!("unknown kind `{other}`, expected one of {}", KINDS.join(", "))),
    };
    Ok(SyncConfig { common, target })
}

fn read<T: DeserializeOwned>(table: toml::Table) -> std::result::Result<T, String> {
    toml::Value::Table(table).try_into().map_err(|error: toml::de::Error| {
        let words = error.message().to_owned();
        match words.starts_with("unknown field") {
            // The keys of all kinds are known too.
            true => COMMON.iter().fold(words, |words, key| format!("{words}, `{key}`")),
            false => words,
        }
    })
}

impl SyncConfig {
    pub fn check(&self, name: &str) -> Result<()> {
        self.checked().doing(|| format!("[sync.{name}]"))
    }

    fn checked(&self) -> Result<()> {
        let common = &self.common;
        if !(1..=100_000).contains(&common.batch_rows) {
            return Err(wrong("batch_rows must be between 1 and 100000"));
        }
        if !(1_024..=256 << 20).contains(&common.batch_bytes) {
            return Err(wrong("batch_bytes must be between 1024 and 268435456"));
        }
        if common.linger > Duration::from_secs(60) {
            return Err(wrong("linger must be at most 60s"));
        }
        match &self.target {
            Target::Redis(config) => config.check(),
            Target::Postgres(config) => config.check(),
            Target::FeastPush(config) => config.check(),
            Target::Kafka(config) => config.check(),
            Target::Vector(config) => config.check(),
        }
    }

    /// The store without user or password, for logs and the status page.
    pub fn address(&self) -> String {
        match &self.target {
            Target::Redis(config) => config.url.all().join(","),
            Target::Postgres(config) => config.url.clone(),
            Target::FeastPush(config) => config.url.clone(),
            Target::Kafka(config) => config.kafka.brokers.clone(),
            Target::Vector(config) => config.url.clone(),
        }
    }

    /// What makes the store another one, which needs everything: kind, address, place in it, views.
    pub fn identity(&self) -> String {
        let place = match &self.target {
            Target::Redis(config) => config.project.clone(),
            Target::Postgres(config) => format!("{} {}", config.schema, config.project),
            Target::FeastPush(config) => format!("{:?}", config.source),
            Target::Kafka(config) => config.topic.clone(),
            Target::Vector(config) => format!("{:?} {:?}", config.namespace, config.feature),
        };
        format!("{} {} {place} {}", self.common.kind, self.address(), self.common.views.join(","))
    }
}

/// An address with a secret in it would be shown.
fn check_url(key: &str, url: &str, schemes: &[&str]) -> Result<()> {
    if !schemes.iter().any(|scheme| url.starts_with(scheme)) {
        return Err(wrong(format!("{key} must begin with {}", schemes.join(" or "))));
    }
    if url.contains('@') {
        return Err(wrong(format!("{key} must not hold a user or password"))
            .remedy("set user and password beside it, e.g. password = \"${file:/path}\""));
    }
    Ok(())
}
