//! `[db]`: the one SQLite file under everything.

use serde::Deserialize;
use shared::{Error, Kind, Result};
use std::path::PathBuf;
use std::time::Duration;

/// Where the package keeps state.
const DEFAULT_PATH: &str = "/var/lib/tidegate/agent.db";
/// Small commits write whole pages twice (log and file); large ones want few pages. 8 KiB is between.
const DEFAULT_PAGE_BYTES: u32 = 8 * 1024;
/// Interior pages of a large log fit; everything else is read once.
const DEFAULT_CACHE_BYTES: u64 = 8 * 1024 * 1024;
/// Larger checkpoints brought no gain in measurements.
const DEFAULT_CHECKPOINT_BYTES: u64 = 16 * 1024 * 1024;

/// Small tables are read whole in this time on a slow card; the log's batches have checksums of their own.
const DEFAULT_CHECK_LIMIT: Duration = Duration::from_secs(5);
/// Free room inside the file is the fastest room there is; more than this is better given back.
const DEFAULT_KEEP_FREE_BYTES: u64 = 64 * 1024 * 1024;
/// 8 GiB in two and a half hours, once a day: no card feels it.
const DEFAULT_SCRUB_BYTES_PER_SECOND: u64 = 1024 * 1024;

/// When a commit counts as durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Synchronous {
    /// Every commit is synced to the disk: survives a power cut.
    Full,
    /// Synced at checkpoints only: survives a crash of the program, not of the machine.
    Normal,
}

/// What is done about a file, or a single batch, that is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDamage {
    /// Stop with exit code 3 and the remedy; readers of a damaged batch are told and wait there.
    Stop,
    /// Move it aside, bring over what is sound, say what was lost, and go on.
    SetAside,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DbConfig {
    pub path: PathBuf,
    pub synchronous: Synchronous,
    /// A power of two from 512 to 65536; only taken when the file is created.
    pub page_bytes: u32,
    /// Page cache of the writer; each reader takes an eighth.
    pub cache_bytes: u64,
    /// How far the write-ahead log grows before it is brought into the file.
    pub checkpoint_bytes: u64,
    /// The file may not grow beyond this; 0 leaves it to the disk. The write-ahead log comes on top.
    pub max_file_bytes: u64,
    /// Waits this long for more before each commit, to spare flash; 0 commits what is there.
    pub max_commit_delay_ms: u64,
    pub on_damage: OnDamage,
    /// After a stop that was not clean the file's structure is checked for at most this long before
    /// anything begins; "0s" does not check.
    #[serde(deserialize_with = "shared::time::duration::deserialize")]
    pub check_limit: Duration,
    /// Free room in the file beyond this is given back to the disk, a little at a time.
    pub keep_free_bytes: u64,
    /// How fast the log's checksums are gone through while running, once a day; 0 does not.
    pub scrub_bytes_per_second: u64,
}

impl Default for DbConfig {
    fn default() -> Self {
        DbConfig {
            path: DEFAULT_PATH.into(),
            synchronous: Synchronous::Full,
            page_bytes: DEFAULT_PAGE_BYTES,
            cache_bytes: DEFAULT_CACHE_BYTES,
            checkpoint_bytes: DEFAULT_CHECKPOINT_BYTES,
            max_file_bytes: 0,
            max_commit_delay_ms: 0,
            on_damage: OnDamage::Stop,
            check_limit: DEFAULT_CHECK_LIMIT,
            keep_free_bytes: DEFAULT_KEEP_FREE_BYTES,
            scrub_bytes_per_second: DEFAULT_SCRUB_BYTES_PER_SECOND,
        }
    }
}

impl DbConfig {
    pub fn check(&self) -> Result<()> {
        if !self.page_bytes.is_power_of_two() || !(512..=65_536).contains(&self.page_bytes) {
            return Err(Error::new(Kind::Config, "db.page_bytes must be a power of two from 512 to 65536"));
        }
        if self.checkpoint_bytes < u64::from(self.page_bytes) {
            return Err(Error::new(Kind::Config, "db.checkpoint_bytes must be at least one page"));
        }
        if self.path.as_os_str().is_empty() {
            return Err(Error::new(Kind::Config, "db.path is empty"));
        }
        if self.max_commit_delay_ms > 1_000 {
            return Err(Error::new(Kind::Config, "db.max_commit_delay_ms must be at most 1000"));
        }
        Ok(())
    }
}
