//! `kind = "redis"`: Redis, alone or as a cluster, in the layout of Feast's online store.

use super::check_url;
use crate::config::wrong;
use serde::Deserialize;
use shared::error::Result;
use shared::secret::Secret;
use shared::tls::TlsConfig;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedisConfig {
    /// `redis://host:6379/0`, or `rediss://…` for TLS; of a cluster some of its nodes.
    pub url: Urls,
    /// The nodes are a cluster, whose others they name.
    #[serde(default)]
    pub cluster: bool,
    #[serde(default)]
    pub user: Option<String>,
    #[serde(default)]
    pub password: Secret,
    /// Feast's project: the end of every key.
    pub project: String,
    /// `EXPIRE` of an entity's hash, renewed by every write; absent: keys stay.
    #[serde(default)]
    pub key_ttl: Option<String>,
    #[serde(default)]
    pub tls: TlsConfig,
}

/// One address or several.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Urls {
    One(String),
    Many(Vec<String>),
}

impl Urls {
    pub fn all(&self) -> Vec<&str> {
        match self {
            Urls::One(url) => vec![url.as_str()],
            Urls::Many(urls) => urls.iter().map(String::as_str).collect(),
        }
    }
}

impl RedisConfig {
    pub(super) fn check(&self) -> Result<()> {
        let urls = self.url.all();
        if urls.is_empty() || urls.len() > 1 && !self.cluster {
            return Err(wrong("url must be one address, or some of a cluster's with cluster = true"));
        }
        urls.iter().try_for_each(|url| check_url("url", url, &["redis://", "rediss://"]))?;
        if urls.iter().any(|url| url.starts_with("rediss://") != self.is_tls()) {
            return Err(wrong("url must be redis:// or rediss:// for all nodes alike"));
        }
        if self.project.is_empty() {
            return Err(wrong("project must name the Feast project"));
        }
        self.key_ttl_seconds().map(drop)
    }

    pub fn is_tls(&self) -> bool {
        self.url.all().first().is_some_and(|url| url.starts_with("rediss://"))
    }

    /// Zero: keys stay.
    pub fn key_ttl_seconds(&self) -> Result<u64> {
        let Some(text) = &self.key_ttl else { return Ok(0) };
        match shared::time::parse_duration(text).map(|d| d.as_secs()) {
            Some(seconds) if seconds > 0 => Ok(seconds),
            _ => Err(wrong(format!("key_ttl = {text:?}: write whole seconds as 60s, 10m, 2h or 7d"))),
        }
    }
}
