//! `[sync]`: the central online store that features are brought to. No table, no sync.

use super::wrong;
use serde::Deserialize;
use shared::error::Result;
use shared::secret::Secret;
use shared::tls::TlsConfig;
use std::time::Duration;

/// Rows of one round trip.
const DEFAULT_BATCH_ROWS: usize = 1_000;
/// Longest wait between two tries while the store is away.
const DEFAULT_RETRY_CEILING: Duration = Duration::from_secs(10);

/// `[sync]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SyncConfig {
    #[serde(default)]
    pub target: Target,
    /// `redis://host:6379/0`, or `rediss://…` for TLS.
    pub url: String,
    #[serde(default)]
    pub user: Option<String>,
    #[serde(default)]
    pub password: Secret,
    /// Feast's project: the end of every key.
    pub project: String,
    /// `EXPIRE` of an entity's hash, renewed by every write; absent: keys stay.
    #[serde(default)]
    pub key_ttl: Option<String>,
    #[serde(default = "default_batch_rows")]
    pub batch_rows: usize,
    #[serde(default = "default_retry_ceiling", with = "shared::time::duration")]
    pub retry_ceiling: Duration,
    #[serde(default)]
    pub tls: TlsConfig,
}

/// Where features go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Redis in Feast's own layout.
    #[default]
    Redis,
}

fn default_batch_rows() -> usize {
    DEFAULT_BATCH_ROWS
}

fn default_retry_ceiling() -> Duration {
    DEFAULT_RETRY_CEILING
}

impl SyncConfig {
    pub fn check(&self) -> Result<()> {
        if !self.url.starts_with("redis://") && !self.url.starts_with("rediss://") {
            return Err(wrong("sync.url must begin with redis:// or rediss://"));
        }
        if self.url.contains('@') {
            return Err(wrong("sync.url must not hold a password")
                .remedy("set sync.user and sync.password, e.g. password = \"${file:/path}\""));
        }
        if self.project.is_empty() {
            return Err(wrong("sync.project must name the Feast project"));
        }
        if !(1..=100_000).contains(&self.batch_rows) {
            return Err(wrong("sync.batch_rows must be between 1 and 100000"));
        }
        self.key_ttl_seconds().map(drop)
    }

    /// Zero: keys stay.
    pub fn key_ttl_seconds(&self) -> Result<u64> {
        let Some(text) = &self.key_ttl else { return Ok(0) };
        match shared::time::parse_duration(text).map(|d| d.as_secs()) {
            Some(seconds) if seconds > 0 => Ok(seconds),
            _ => Err(wrong(format!("sync.key_ttl = {text:?}: write whole seconds as 60s, 10m, 2h or 7d"))),
        }
    }

    /// The server without user or password, for logs and the status page.
    pub fn address(&self) -> &str {
        &self.url
    }
}
