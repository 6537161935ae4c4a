//! `[source.wal_guard]`: what the slot may make the server keep.

use serde::Deserialize;
use shared::error::{Error, Kind, Result};

/// Often enough to see a disk fill, seldom enough to cost nothing.
const DEFAULT_INTERVAL_MS: u64 = 10_000;
/// More than a healthy connector leaves unconfirmed, less than most disks have to spare.
const DEFAULT_WARN_BYTES: u64 = 1024 * 1024 * 1024;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WalGuardConfig {
    /// How often the server is asked; 0 never.
    pub interval_ms: u64,
    /// The log warns while the slot makes the server keep more.
    pub warn_bytes: u64,
    pub act: Act,
    /// `act = "drop_slot"`: above this, if nothing was confirmed since the last look.
    pub act_bytes: u64,
}

/// What is done about it beside a warning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    #[default]
    Warn,
    /// The slot goes, so that the server's disk does not fill: a new snapshot is then needed.
    DropSlot,
}

impl Default for WalGuardConfig {
    fn default() -> Self {
        WalGuardConfig {
            interval_ms: DEFAULT_INTERVAL_MS,
            warn_bytes: DEFAULT_WARN_BYTES,
            act: Act::default(),
            act_bytes: 0,
        }
    }
}

impl WalGuardConfig {
    pub fn check(&self) -> Result<()> {
        if self.act == Act::DropSlot && (self.interval_ms == 0 || self.act_bytes <= self.warn_bytes) {
            let what =
                "source.wal_guard.act = \"drop_slot\" without a bound above warn_bytes that is looked at";
            return Err(Error::new(Kind::Config, what)
                .remedy("set source.wal_guard.act_bytes above warn_bytes, and interval_ms above 0"));
        }
        Ok(())
    }
}
