//! `[door]`: the Kafka listener: its limits, its certificate, and who may come in.

mod user;

pub use user::{Hash, Scram, UserConfig};

use super::web::ServerTlsConfig;
use serde::Deserialize;
use shared::{Error, Kind, Result};
use std::net::SocketAddr;
use std::time::Duration;

/// Loopback: without `[door.tls]` and `[[door.user]]` everybody who reaches the door may come in.
const DEFAULT_LISTEN: &str = "127.0.0.1:9192";
/// Sixteen times a broker's usual 1 MiB: a Java producer may be set to large requests.
const DEFAULT_MAX_FRAME_BYTES: u32 = 16 * 1024 * 1024;
/// Four of the largest frames, or hundreds of ordinary ones.
const DEFAULT_MEMORY_BYTES: u32 = 64 * 1024 * 1024;
/// An answer at the edge; consumers ask again.
const DEFAULT_MAX_FETCH_BYTES: u32 = 4 * 1024 * 1024;
/// About 8 KiB each when idle.
const DEFAULT_MAX_CONNECTIONS: u32 = 256;
/// Half of them: one machine cannot shut out all others.
const DEFAULT_MAX_CONNECTIONS_PER_ADDRESS: u32 = 128;
/// Readers of an edge machine; a program that invents a name at each start must not fill the file.
const DEFAULT_MAX_GROUPS: u32 = 100;
/// One for each partition that anybody here would make.
const DEFAULT_MAX_GROUP_MEMBERS: u32 = 100;
/// As Kafka's own `offsets.retention.minutes`.
const DEFAULT_GROUP_RETENTION: Duration = Duration::from_secs(7 * 86_400);
/// Long enough for a full frame over a slow uplink, short enough not to hold memory for the dead.
const DEFAULT_FRAME_TIMEOUT: Duration = Duration::from_secs(30);
/// As Kafka's `connections.max.idle.ms`.
const DEFAULT_IDLE_TIMEOUT: Duration = Duration::from_secs(600);

/// All that are known. PLAIN shows the password to whoever listens in, so it wants TLS.
pub const MECHANISMS: [&str; 3] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];

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
    /// Connections from one address.
    pub max_connections_per_address: u32,
    /// What each user (or address, where there are no users) may send and fetch; 0: no limit. Who is
    /// above it is read from later.
    pub bytes_per_second: u64,
    /// Groups of consumers, with members or with offsets that are kept.
    pub max_groups: u32,
    pub max_group_members: u32,
    /// How long the offsets of a group that commits nothing are kept.
    #[serde(deserialize_with = "shared::time::duration::deserialize")]
    pub group_retention: Duration,
    /// A request begun must be whole, an answer must be taken, within this time.
    #[serde(deserialize_with = "shared::time::duration::deserialize")]
    pub frame_timeout: Duration,
    /// A connection without requests is closed after this time.
    #[serde(deserialize_with = "shared::time::duration::deserialize")]
    pub idle_timeout: Duration,
    /// The ways to log in that are offered when there are users.
    pub sasl_mechanisms: Vec<String>,
    pub tls: Option<ServerTlsConfig>,
    /// Who may come in; without any, everybody.
    pub user: Vec<UserConfig>,
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
            max_connections_per_address: DEFAULT_MAX_CONNECTIONS_PER_ADDRESS,
            bytes_per_second: 0,
            max_groups: DEFAULT_MAX_GROUPS,
            max_group_members: DEFAULT_MAX_GROUP_MEMBERS,
            group_retention: DEFAULT_GROUP_RETENTION,
            frame_timeout: DEFAULT_FRAME_TIMEOUT,
            idle_timeout: DEFAULT_IDLE_TIMEOUT,
            sasl_mechanisms: MECHANISMS.map(str::to_owned).into(),
            tls: None,
            user: Vec::new(),
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
        if self.max_connections == 0 || self.max_connections_per_address == 0 {
            return wrong("door.max_connections and door.max_connections_per_address must be at least 1");
        }
        if self.bytes_per_second != 0 && self.bytes_per_second < 1_024 {
            return wrong("door.bytes_per_second must be 0 (no limit) or at least 1024");
        }
        if self.max_groups == 0 || self.max_group_members == 0 {
            return wrong("door.max_groups and door.max_group_members must be at least 1");
        }
        self.check_users()?;
        if self.frame_timeout.is_zero() || self.idle_timeout.is_zero() {
            return wrong("door.frame_timeout and door.idle_timeout must be above zero");
        }
        if self.listen.ip().is_unspecified() && self.advertised_host.is_none() {
            return Err(Error::new(Kind::Config, "door.listen names every address of this machine")
                .remedy("say in door.advertised_host which name clients can reach"));
        }
        Ok(())
    }

    fn check_users(&self) -> Result<()> {
        if let Some(unknown) = self.sasl_mechanisms.iter().find(|name| !MECHANISMS.contains(&name.as_str())) {
            return Err(Error::new(Kind::Config, format!("door.sasl_mechanisms names {unknown:?}"))
                .remedy(format!("there are {}", MECHANISMS.join(", "))));
        }
        if !self.user.is_empty() && self.sasl_mechanisms.is_empty() {
            return Err(Error::new(Kind::Config, "door.sasl_mechanisms is empty, so no user could log in"));
        }
        if let Some(tls) = &self.tls {
            tls.check("door")?;
        }
        for (at, user) in self.user.iter().enumerate() {
            user.check()?;
            if self.user.iter().take(at).any(|other| other.name == user.name) {
                return Err(Error::new(Kind::Config, format!("there are two [[door.user]] {:?}", user.name)));
            }
        }
        Ok(())
    }

    /// Whether anybody in the network may write and read, unasked.
    pub fn is_open_to_all(&self) -> bool {
        let asks_for_certificate = self.tls.as_ref().is_some_and(|tls| tls.client_ca_file.is_some());
        !self.listen.ip().is_loopback() && self.user.is_empty() && !asks_for_certificate
    }

    /// Whether passwords may be read on their way.
    pub fn shows_passwords(&self) -> bool {
        let plain = self.sasl_mechanisms.iter().any(|name| name == "PLAIN");
        !self.listen.ip().is_loopback() && !self.user.is_empty() && self.tls.is_none() && plain
    }
}
