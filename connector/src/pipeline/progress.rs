//! Where the pipeline stands, for other threads to read: the status document and readiness.

use crate::model::position::Position;
use crate::source::{SnapshotProgress, Source};
use serde_json::{Value, json};
use shared::Error;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Written by the pipeline's thread once per read, never per row.
#[derive(Debug, Default)]
pub struct Progress {
    started: AtomicBool,
    streaming: AtomicBool,
    records: AtomicU64,
    received_lsn: AtomicU64,
    server_lsn: AtomicU64,
    confirmed_lsn: AtomicU64,
    /// What is being waited for, if anything.
    trouble: Mutex<Option<String>>,
    snapshot: Mutex<Option<SnapshotProgress>>,
}

impl Progress {
    pub(super) fn started(&self, stored: Option<&Position>) {
        if let Some(position) = stored {
            self.confirmed_lsn.store(position.lsn().0, Ordering::Relaxed);
        }
        self.started.store(true, Ordering::Release);
    }

    pub(super) fn pulled(&self, source: &dyn Source, records: u64) {
        self.streaming.store(source.streaming(), Ordering::Relaxed);
        self.records.fetch_add(records, Ordering::Relaxed);
        let at = source.progress();
        self.received_lsn.store(at.received.0, Ordering::Relaxed);
        self.server_lsn.store(at.server_end.0, Ordering::Relaxed);
        *self.snapshot.lock().unwrap_or_else(PoisonError::into_inner) = at.snapshot;
    }

    /// How far a snapshot is, while one is being read.
    pub fn snapshot(&self) -> Option<SnapshotProgress> {
        *self.snapshot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn confirmed(&self, position: &Position) {
        self.confirmed_lsn.store(position.lsn().0, Ordering::Relaxed);
    }

    /// Records wait while the sink cannot be reached; readiness says so.
    pub(super) fn sink(&self, health: shared::Result<()>) {
        self.note(health.err().map(|error| error.to_string()));
    }

    pub(super) fn failed(&self, error: &Error) {
        self.note(Some(error.to_string()));
    }

    pub(super) fn recovered(&self) {
        self.note(None);
    }

    fn note(&self, trouble: Option<String>) {
        // A poisoned lock only means that a reader panicked; the text is still ours to set.
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl shared::admin::Status for Progress {
    fn ready(&self) -> Result<(), String> {
        if let Some(trouble) = self.trouble() {
            return Err(trouble);
        }
        if self.started.load(Ordering::Acquire) { Ok(()) } else { Err("starting".to_owned()) }
    }

    fn status(&self) -> Value {
        let lsn = |n: &AtomicU64| crate::model::position::Lsn(n.load(Ordering::Relaxed)).to_string();
        let phase = match (self.started.load(Ordering::Acquire), self.streaming.load(Ordering::Relaxed)) {
            (false, _) => "starting",
            (true, false) => "snapshot",
            (true, true) => "streaming",
        };
        json!({
            "phase": phase,
            "records": self.records.load(Ordering::Relaxed),
            "received_lsn": lsn(&self.received_lsn),
            "server_lsn": lsn(&self.server_lsn),
            "confirmed_lsn": lsn(&self.confirmed_lsn),
            "lag_bytes": self.server_lsn.load(Ordering::Relaxed)
                .saturating_sub(self.confirmed_lsn.load(Ordering::Relaxed)),
            "lag_seconds": crate::metrics::lag_seconds(),
            "waiting_for": self.trouble(),
            "snapshot": self.snapshot().map(|at| json!({
                "tables": at.tables, "tables_done": at.tables_done, "rows": at.rows, "percent": at.permille / 10,
            })),
        })
    }
}
