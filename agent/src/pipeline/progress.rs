//! Where processing stands, for the status page and readiness.

use crate::model::batch::PartitionId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Shared with the admin server; only the processing thread writes.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Mutex<State>>);

#[derive(Clone, Debug, Default)]
pub struct State {
    /// The next offset to process.
    pub cursors: HashMap<PartitionId, i64>,
    /// Views that are being built from the log.
    pub hydrating: Vec<String>,
    /// Views of which a former version is served while the new one is built, with that version.
    pub former: HashMap<String, i64>,
    /// Views that lack rows because the log was trimmed, and when that ends (µs; the greatest: never).
    pub short: HashMap<String, i64>,
    /// Whether everything that was there at the start has been processed.
    pub caught_up: bool,
    /// Partitions that wait at a damaged batch, and what is wrong.
    pub damaged: HashMap<PartitionId, String>,
    /// Why processing waits, if it does.
    pub waiting: Option<String>,
}

impl Progress {
    pub fn get(&self) -> State {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether this partition waits at a damaged batch.
    pub(super) fn get_damaged(&self, partition: PartitionId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).damaged.contains_key(&partition)
    }

    pub(super) fn update<T>(&self, change: impl FnOnce(&mut State) -> T) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
