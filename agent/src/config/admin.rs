//! `[admin]`: status, readiness and metrics over HTTP.

use serde::Deserialize;
use std::net::SocketAddr;

/// Loopback only: the status page names tables and topics.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:9471";

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdminConfig {
    pub listen: SocketAddr,
}

impl Default for AdminConfig {
    fn default() -> Self {
        AdminConfig { listen: SocketAddr::from(([127, 0, 0, 1], 9471)) }
    }
}
