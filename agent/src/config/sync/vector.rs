//! `kind = "vector"`: a vector index over HTTP as Pinecone describes it.

use super::check_url;
use crate::config::wrong;
use serde::Deserialize;
use shared::error::Result;
use shared::secret::Secret;
use shared::tls::TlsConfig;
use std::collections::BTreeMap;
use std::time::Duration;

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VectorConfig {
    /// The index's own address, e.g. `https://name-1234.svc.region.pinecone.io`.
    pub url: String,
    pub api_key: Secret,
    /// `X-Pinecone-API-Version`.
    #[serde(default = "default_api_version")]
    pub api_version: String,
    /// All views' namespace; absent: each view's name.
    #[serde(default)]
    pub namespace: Option<String>,
    /// The feature that is the vector, by view; absent: the view's only one made by `vector`.
    #[serde(default)]
    pub feature: BTreeMap<String, String>,
    /// Look at the stored event time before writing: other agents may have written newer ones.
    #[serde(default = "default_check_newer")]
    pub check_newer: bool,
    #[serde(default = "default_timeout", with = "shared::time::duration")]
    pub timeout: Duration,
    #[serde(default)]
    pub tls: TlsConfig,
}

fn default_api_version() -> String {
    "2026-07".to_owned()
}

const fn default_check_newer() -> bool {
    true
}

const fn default_timeout() -> Duration {
    DEFAULT_TIMEOUT
}

impl VectorConfig {
    pub(super) fn check(&self) -> Result<()> {
        check_url("url", &self.url, &["http://", "https://"])?;
        if self.api_key.is_empty() || self.api_version.is_empty() {
            return Err(wrong("api_key and api_version must not be empty"));
        }
        Ok(())
    }
}
