//! PostgreSQL as a source: a snapshot of the tables, then the slot's stream.

use crate::config::snapshot::SnapshotConfig;
use crate::config::source::SourceConfig;
use crate::model::change::Event;
use crate::model::finding::Finding;
use crate::model::position::{Lsn, Position};
use shared::{Error, Kind, Result};
use std::time::Duration;
use tokio::runtime::Handle;

/// Where the source stands, for status and metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// LSN of the last message read.
    pub received: Lsn,
    /// End of the server's log as it last told us.
    pub server_end: Lsn,
    /// What the server was told is durable.
    pub confirmed: Lsn,
    /// Commit time of the last transaction read, microseconds since 1970; 0 before the first.
    pub commit_time_us: i64,
}

/// A PostgreSQL database as a source of changes.
pub struct Postgres {
    progress: Progress,
}

impl Postgres {
    /// Connects and checks version, settings and privileges.
    ///
    /// # Errors
    /// Each names the thing and its remedy, with SQL to copy where there is some.
    pub fn open(_config: &SourceConfig, _snapshot: &SnapshotConfig, _runtime: Handle) -> Result<Postgres> {
        Err(Error::new(Kind::Bug, "the PostgreSQL source is being built"))
    }

    /// Decides from the stored position and the server's state what to do, and prepares
    /// publication, slot and snapshot; then [`Postgres::poll`] delivers.
    pub fn start(&mut self, _stored: Option<&Position>) -> Result<()> {
        Ok(())
    }

    /// Waits at most `wait` for something to read and hands every complete message to `take`, in
    /// order. True if anything was handed over.
    pub fn poll(&mut self, _wait: Duration, _take: &mut dyn FnMut(Event<'_>) -> Result<()>) -> Result<bool> {
        Ok(false)
    }

    /// Everything at or below `position` is durable: the server may forget it.
    pub fn confirm(&mut self, _position: &Position) -> Result<()> {
        Ok(())
    }

    /// Whether the snapshot is done and the server streams.
    pub fn streaming(&self) -> bool {
        false
    }

    /// Whether there is nothing left to do (`snapshot.mode = "initial_only"`).
    pub fn finished(&self) -> bool {
        false
    }

    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// Ends the stream, and drops the slot if so configured.
    pub fn stop(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Everything that starting would trip over, with remedies.
pub fn check(_config: &SourceConfig, _runtime: &Handle) -> Vec<Finding> {
    Vec::new()
}
