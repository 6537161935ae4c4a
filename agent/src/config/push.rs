//! `[push]`: records over HTTP. No table, no door.

use super::web::{AuthConfig, ServerTlsConfig};
use super::wrong;
use serde::Deserialize;
use shared::error::Result;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// Where Confluent's REST proxy listens. Loopback: nobody has set a token yet.
const DEFAULT_LISTEN: &str = "127.0.0.1:8082";
/// Tens of thousands of ordinary records.
const DEFAULT_MAX_BODY_BYTES: usize = 8 << 20;
/// What a packed body may become; JSON packs about ten to one.
const DEFAULT_UNPACKED_BYTES: usize = 32 << 20;
/// Two of the largest requests at a time, and hundreds of ordinary ones.
const DEFAULT_MEMORY_BYTES: usize = 64 << 20;
/// Each has a line in the answer.
const DEFAULT_MAX_RECORDS: usize = 100_000;
/// Longer than anybody retries a request.
const DEFAULT_RETRY_MEMORY: Duration = Duration::from_secs(86_400);
/// About 200 bytes each.
const DEFAULT_MAX_RETRY_KEYS: u32 = 100_000;

/// `[push]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PushConfig {
    pub listen: SocketAddr,
    pub auth: AuthConfig,
    pub tls: Option<ServerTlsConfig>,
    /// Bytes of one request as it is sent.
    pub max_body_bytes: usize,
    /// Bytes that a packed body may become.
    pub unpacked_bytes: usize,
    /// Bytes of all requests under way; who comes when they are used is told to come back.
    pub memory_bytes: usize,
    /// Records of one request.
    pub max_records: usize,
    /// How long an `Idempotency-Key` is remembered.
    #[serde(deserialize_with = "shared::time::duration::deserialize")]
    pub retry_memory: Duration,
    /// How many are remembered; the oldest go first.
    pub max_retry_keys: u32,
    /// Rules for topics, in order; the first whose name fits holds.
    pub topic: Vec<PushTopic>,
    /// Feast's push sources and feature views → the topics that their rows go to. One that is not
    /// named goes to the topic of the feature view of its name.
    pub feast: BTreeMap<String, String>,
}

/// `[[push.topic]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PushTopic {
    /// A name, or the beginning of names followed by `*`.
    pub name: String,
    #[serde(default)]
    pub schema: SchemaRule,
    /// Columns that become the record's key, when the request gives none.
    #[serde(default)]
    pub key: Vec<String>,
}

/// Where the schema of a topic's JSON comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SchemaRule {
    /// The newest under `NAME-value`; without one the records are refused.
    #[default]
    Registered,
    /// As registered; what is missing there is derived from the records and registered.
    Derive,
    /// None: the records stay as they are. Gates and features do not read them.
    None,
}

impl PushTopic {
    pub fn fits(&self, topic: &str) -> bool {
        match self.name.strip_suffix('*') {
            Some(beginning) => topic.starts_with(beginning),
            None => self.name == topic,
        }
    }
}

impl Default for PushConfig {
    fn default() -> Self {
        PushConfig {
            listen: DEFAULT_LISTEN.parse().expect("the default address is valid"),
            auth: AuthConfig::default(),
            tls: None,
            max_body_bytes: DEFAULT_MAX_BODY_BYTES,
            unpacked_bytes: DEFAULT_UNPACKED_BYTES,
            memory_bytes: DEFAULT_MEMORY_BYTES,
            max_records: DEFAULT_MAX_RECORDS,
            retry_memory: DEFAULT_RETRY_MEMORY,
            max_retry_keys: DEFAULT_MAX_RETRY_KEYS,
            topic: Vec::new(),
            feast: BTreeMap::new(),
        }
    }
}

impl PushConfig {
    pub fn check(&self) -> Result<()> {
        self.auth.check("push")?;
        self.tls.as_ref().map_or(Ok(()), |tls| tls.check("push"))?;
        if !(1_024..=256 << 20).contains(&self.max_body_bytes) {
            return Err(wrong("push.max_body_bytes must be from 1024 to 268435456"));
        }
        if !(self.max_body_bytes..=1 << 30).contains(&self.unpacked_bytes) {
            return Err(wrong("push.unpacked_bytes must be from push.max_body_bytes to 1 GiB (1073741824)"));
        }
        if !(self.unpacked_bytes..=1 << 30).contains(&self.memory_bytes) {
            return Err(wrong("push.memory_bytes must be from push.unpacked_bytes to 1 GiB (1073741824)"));
        }
        if !(1..=1_000_000).contains(&self.max_records) {
            return Err(wrong("push.max_records must be from 1 to 1000000"));
        }
        if self.retry_memory.is_zero() || self.max_retry_keys == 0 {
            return Err(wrong("push.retry_memory and push.max_retry_keys must be above zero"));
        }
        if self.topic.iter().any(|topic| topic.name.is_empty()) {
            return Err(wrong("push.topic.name must name topics, as \"clicks\" or \"clicks.*\""));
        }
        Ok(())
    }
}
