//! `[door]`: the Kafka listener.

use serde::Deserialize;
use shared::{Error, Kind, Result};
use std::net::SocketAddr;
use std::time::Duration;

/// Loopback: the door knows no passwords yet.
const DEFAULT_LISTEN: &str = "127.0.0.1:9192";
/// Sixteen times a broker's usual 1 MiB: a Java producer may be set to large requests.
const DEFAULT_MAX_FRAME_BYTES: u32 = 16 * 1024 * 1024;
/// Four of the largest frames, or hundreds of ordinary ones.
const DEFAULT_MEMORY_BYTES: u32 = 64 * 1024 * 1024;
/// An answer at the edge; consumers ask again.
const DEFAULT_MAX_FETCH_BYTES: u32 = 4 * 1024 * 1024;
/// About 8 KiB each when idle.
const DEFAULT_MAX_CONNECTIONS: u32 = 256;
/// Long enough for a full frame over a slow uplink, short enough not to hold memory for the dead.
const DEFAULT_FRAME_TIMEOUT: Duration = Duration::from_secs(30);
/// As Kafka's `connections.max.idle.ms`.
const DEFAULT_IDLE_TIMEOUT: Duration = Duration::from_secs(600);

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DoorConfig {
    pub listen: SocketAddr,
    /// The name clients are told to connect to; default: the listener's address.
    pub advertised_host: Option<String>,
    /// The port clients are told to connect to; default: the listener's port.
    pub advertised_port: Option<u16>,
    /// The largest request.
    pub max_frame_bytes: u32,
    /// All requests received and not yet answered, over all connections; and, counted apart, all
    /// answers of fetches not yet written.
    pub memory_bytes: u32,
    /// The most that one fetch brings (a single larger batch is still brought whole).
    pub max_fetch_bytes: u32,
    pub max_connections: u32,
    /// A request begun must be whole, an answer must be taken, within this time.
    #[serde(deserialize_with = "shared::time::duration::deserialize")]
    pub frame_timeout: Duration,
    /// A connection without requests is closed after this time.
    #[serde(deserialize_with = "shared::time::duration::deserialize")]
    pub idle_timeout: Duration,
}

impl Default for DoorConfig {
    fn default() -> Self {
        DoorConfig {
            listen: DEFAULT_LISTEN.parse().expect("the default address is valid"),
            advertised_host: None,
            advertised_port: None,
            max_frame_bytes: DEFAULT_MAX_FRAME_BYTES,
            memory_bytes: DEFAULT_MEMORY_BYTES,
            max_fetch_bytes: DEFAULT_MAX_FETCH_BYTES,
            max_connections: DEFAULT_MAX_CONNECTIONS,
            frame_timeout: DEFAULT_FRAME_TIMEOUT,
            idle_timeout: DEFAULT_IDLE_TIMEOUT,
        }
    }
}

impl DoorConfig {
    pub fn check(&self) -> Result<()> {
        let wrong = |what: &'static str| Err(Error::new(Kind::Config, what));
        if self.max_frame_bytes < 4_096 {
            return wrong("door.max_frame_bytes must be at least 4096");
        }
        // A frame larger than the whole budget would wait for ever.
        if self.max_frame_bytes > self.memory_bytes / 4 {
            return wrong("door.memory_bytes must be at least four times door.max_frame_bytes");
        }
        if self.memory_bytes > 1 << 30 {
            return wrong("door.memory_bytes must be at most 1 GiB (1073741824)");
        }
        if self.max_fetch_bytes < 1_024 || self.max_fetch_bytes > self.max_frame_bytes {
            return wrong("door.max_fetch_bytes must be from 1024 to door.max_frame_bytes");
        }
        if self.max_connections == 0 {
            return wrong("door.max_connections must be at least 1");
        }
        if self.frame_timeout.is_zero() || self.idle_timeout.is_zero() {
            return wrong("door.frame_timeout and door.idle_timeout must be above zero");
        }
        if self.listen.ip().is_unspecified() && self.advertised_host.is_none() {
            return Err(Error::new(Kind::Config, "door.listen names every address of this machine")
                .remedy("say in door.advertised_host which name clients can reach"));
        }
        Ok(())
    }
}
