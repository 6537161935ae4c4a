//! `[signal]`: how a running connector is told to read tables again, and how it does that.

use serde::Deserialize;
use shared::error::{Error, Kind, Result};
use std::path::PathBuf;

/// Debezium's default.
const DEFAULT_CHUNK_ROWS: u32 = 1_024;
/// A chunk is held in memory.
const MAX_CHUNK_ROWS: u32 = 100_000;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SignalConfig {
    /// `schema.table` with columns id, type, data. Also where chunks' marks are written, unless `read_only`.
    pub table: Option<String>,
    pub channels: Vec<Channel>,
    pub poll_interval_ms: u64,
    /// `kafka`: the topic; default `<topic prefix>-signal`. Keys are the topic prefix.
    pub topic: Option<String>,
    pub group: String,
    /// `file`: a line of JSON per signal; the file is removed when it is read.
    pub file: PathBuf,
    /// Write nothing to the database.
    pub read_only: bool,
    /// Rows of a chunk of an incremental snapshot.
    pub chunk_rows: u32,
    pub watermarking: Watermarking,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// Rows inserted into the table.
    Source,
    Kafka,
    File,
}

/// Debezium's `incremental.snapshot.watermarking.strategy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Watermarking {
    #[default]
    InsertInsert,
    InsertDelete,
}

impl Default for SignalConfig {
    fn default() -> Self {
        SignalConfig {
            table: None,
            channels: vec![Channel::Source],
            poll_interval_ms: 5_000,
            topic: None,
            group: "kafka-signal".to_owned(),
            file: "file-signals.txt".into(),
            read_only: false,
            chunk_rows: DEFAULT_CHUNK_ROWS,
            watermarking: Watermarking::InsertInsert,
        }
    }
}

impl SignalConfig {
    pub fn check(&self) -> Result<()> {
        if !(1..=MAX_CHUNK_ROWS).contains(&self.chunk_rows) {
            let what = format!("signal.chunk_rows = {} is not 1 to {MAX_CHUNK_ROWS}", self.chunk_rows);
            return Err(Error::new(Kind::Config, what));
        }
        if let Some(table) = self.table.as_deref().filter(|table| !table.contains('.')) {
            return Err(Error::new(Kind::Config, format!("signal.table = {table:?} names no schema"))
                .remedy("write schema.table"));
        }
        if self.poll_interval_ms == 0 {
            return Err(Error::new(Kind::Config, "signal.poll_interval_ms is 0"));
        }
        Ok(())
    }

    pub fn uses(&self, channel: Channel) -> bool {
        self.channels.contains(&channel)
    }
}
