//! `kind = "feast_push"`: the `/push` of a Feast feature server (`feast serve`).

use super::check_url;
use crate::config::wrong;
use serde::Deserialize;
use shared::error::Result;
use shared::secret::Secret;
use shared::tls::TlsConfig;
use std::collections::BTreeMap;
use std::time::Duration;

/// Python converts a batch of a thousand rows in well under a second, but its server may be busy.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeastPushConfig {
    /// The server's address, e.g. `http://feast:6566`.
    pub url: String,
    /// The push source of each view; a view that is not named has one of its own name.
    #[serde(default)]
    pub source: BTreeMap<String, String>,
    /// Where Feast puts the rows.
    #[serde(default = "default_to")]
    pub to: String,
    /// The column of the event time.
    #[serde(default = "default_time_column")]
    pub time_column: String,
    /// A column for the time of writing, if the source's batch source has one.
    #[serde(default)]
    pub created_column: Option<String>,
    #[serde(default)]
    pub token: Secret,
    #[serde(default = "default_timeout", with = "shared::time::duration")]
    pub timeout: Duration,
    #[serde(default)]
    pub tls: TlsConfig,
}

fn default_to() -> String {
    "online".to_owned()
}

fn default_time_column() -> String {
    "event_timestamp".to_owned()
}

const fn default_timeout() -> Duration {
    DEFAULT_TIMEOUT
}

impl FeastPushConfig {
    pub(super) fn check(&self) -> Result<()> {
        check_url("url", &self.url, &["http://", "https://"])?;
        match self.to.as_str() {
            "online" | "offline" | "online_and_offline" => Ok(()),
            other => Err(wrong(format!("to = {other:?}: write online, offline or online_and_offline"))),
        }
    }
}
