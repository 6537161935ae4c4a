//! `[snapshot]`: whether and how the tables' present content is read first.

use serde::Deserialize;
use shared::error::{Error, Kind, Result};
use std::collections::BTreeMap;

/// A crash repeats at most about so much of a table's reading.
const DEFAULT_CHUNK_BYTES: u64 = 64 * 1024 * 1024;
/// Under this a chunk costs more to ask for than to read.
const MIN_CHUNK_BYTES: u64 = 64 * 1024;
/// More connections than this help no server.
const MAX_THREADS: u32 = 64;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SnapshotConfig {
    pub mode: SnapshotMode,
    /// `mode = "configuration_based"`: what is done.
    pub configuration_based: ConfigurationBased,
    /// Regular expressions on `schema.table`: read these only; empty means all that are captured.
    pub tables: Vec<String>,
    /// `schema.table` → the SELECT that gives its rows instead of all.
    pub select: BTreeMap<String, String>,
    /// Connections that read at once, all at the same point in time.
    pub max_threads: u32,
    /// Tables are read, and after a crash read on, in pieces of about this size on the server's disk.
    pub chunk_bytes: u64,
    pub order: TableOrder,
    /// How long a table that is being altered is waited for.
    pub lock_timeout_ms: u32,
    /// Waits before the snapshot; between it and the stream.
    pub delay_ms: u64,
    pub streaming_delay_ms: u64,
}

/// Debezium's `snapshot.mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SnapshotMode {
    #[default]
    Initial,
    InitialOnly,
    NoData,
    Always,
    WhenNeeded,
    ConfigurationBased,
}

/// Debezium's `snapshot.mode.configuration.based.*`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConfigurationBased {
    /// Read the tables, at every start.
    pub data: bool,
    /// Stream changes.
    pub stream: bool,
    /// Read the tables when the stored position can not be resumed.
    pub on_data_error: bool,
}

/// Debezium's `snapshot.tables.order.by.row.count`, by the server's estimate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TableOrder {
    #[default]
    Disabled,
    Ascending,
    Descending,
}

impl Default for SnapshotConfig {
    fn default() -> Self {
        SnapshotConfig {
            mode: SnapshotMode::Initial,
            configuration_based: ConfigurationBased::default(),
            tables: Vec::new(),
            select: BTreeMap::new(),
            max_threads: 1,
            chunk_bytes: DEFAULT_CHUNK_BYTES,
            order: TableOrder::Disabled,
            lock_timeout_ms: 10_000,
            delay_ms: 0,
            streaming_delay_ms: 0,
        }
    }
}

impl SnapshotConfig {
    pub fn check(&self) -> Result<()> {
        if !(1..=MAX_THREADS).contains(&self.max_threads) {
            let what = format!("snapshot.max_threads = {} is not 1 to {MAX_THREADS}", self.max_threads);
            return Err(Error::new(Kind::Config, what));
        }
        if self.chunk_bytes < MIN_CHUNK_BYTES {
            let what = format!("snapshot.chunk_bytes = {} is under {MIN_CHUNK_BYTES}", self.chunk_bytes);
            return Err(Error::new(Kind::Config, what));
        }
        if let Some((table, _)) = self.select.iter().find(|(_, select)| select.trim().is_empty()) {
            return Err(Error::new(Kind::Config, format!("snapshot.select.{table:?} is empty"))
                .remedy("write the SELECT that gives the table's rows"));
        }
        Ok(())
    }
}
