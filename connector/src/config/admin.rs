//! `[admin]`: the HTTP server with status and metrics.

use serde::Deserialize;
use shared::error::{Error, Kind, Result};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

const DEFAULT_PORT: u16 = 9470;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdminConfig {
    pub listen: SocketAddr,
    /// The server has no login: say so here to let other machines in.
    pub allow_remote: bool,
}

impl Default for AdminConfig {
    fn default() -> Self {
        let listen = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), DEFAULT_PORT);
        AdminConfig { listen, allow_remote: false }
    }
}

impl AdminConfig {
    pub fn check(&self) -> Result<()> {
        if !self.listen.ip().is_loopback() && !self.allow_remote {
            let what = format!("admin.listen = {} lets other machines in without a login", self.listen);
            return Err(Error::new(Kind::Config, what)
                .remedy("listen on 127.0.0.1, or set admin.allow_remote = true behind a firewall"));
        }
        Ok(())
    }
}
