//! `[registry]`: the local schema registry's listener.

use super::web::{AuthConfig, ServerTlsConfig};
use serde::Deserialize;
use shared::Result;
use std::net::SocketAddr;

/// Confluent's own port, 8081, is taken by many things. Loopback: nobody has set a password yet.
const DEFAULT_LISTEN: &str = "127.0.0.1:8181";

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RegistryConfig {
    pub listen: SocketAddr,
    pub auth: AuthConfig,
    pub tls: Option<ServerTlsConfig>,
}

impl Default for RegistryConfig {
    fn default() -> Self {
        RegistryConfig {
            listen: DEFAULT_LISTEN.parse().expect("the default address is valid"),
            auth: AuthConfig::default(),
            tls: None,
        }
    }
}

impl RegistryConfig {
    /// Every address is legal; a port in use is found when it is bound.
    pub fn check(&self) -> Result<()> {
        self.auth.check("registry")?;
        self.tls.as_ref().map_or(Ok(()), |tls| tls.check("registry"))
    }
}
