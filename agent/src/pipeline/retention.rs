//! Removes from the log what is processed and old, and earlier when room gets short.
//!
//! ```text
//! topic that a view or gate reads   below its cursor, and older than keep
//!                                   … or of any age, oldest first, while the log is pressed
//! topic that nobody here reads      older than keep: others may still want to read it back
//! topic that goes to the centre     … in each case only below what is there; and then it is read here
//! ```
//! What is not processed is never removed. Slices are small, for producers' batches wait behind each.
//! While views are built from the log, nothing that they may read is removed.

use super::progress::{Progress, State};
use crate::buffer::{Log, Oldest};
use crate::forward::progress::Kept;
use crate::metrics;
use crate::model::batch::PartitionId;
use rusqlite::Connection;
use shared::error::{Error, Result};
use shared::shutdown::Shutdown;
use shared::time::Clock;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::Instant;

/// How often ages are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// With room getting short, processing may have gone on though nothing was appended.
const LOOK_PRESSED_EVERY: Duration = Duration::from_millis(50);

/// The thread's parts.
pub struct Retention {
    pub log: Arc<Log>,
    pub reader: Connection,
    /// Topics that a view or gate reads.
    pub processed: Vec<String>,
    /// What goes to the centre, and how far it is there.
    pub forwarded: Option<Kept>,
    pub progress: Progress,
    pub keep: Duration,
    pub clock: Clock,
    pub shutdown: Shutdown,
}

/// What was said already, so that it is said once.
#[derive(Default)]
struct Said {
    early: bool,
    failed: bool,
}

impl Retention {
    /// Works until the program stops.
    pub fn run(self, runtime: &Handle) {
        let mut news = self.log.news();
        let mut said = Said::default();
        let mut next_look = Instant::now();
        while !self.shutdown.requested() {
            let done = match Instant::now() >= next_look {
                true => {
                    next_look = Instant::now() + LOOK_EVERY;
                    self.by_age()
                }
                false => Ok(()),
            };
            self.tell(done.and_then(|()| self.by_pressure(&mut said)), &mut said);
            let pause = if self.log.wants_room() { LOOK_PRESSED_EVERY } else { LOOK_EVERY };
            runtime.block_on(async {
                tokio::select! {
                    () = self.shutdown.wait() => {}
                    () = tokio::time::sleep(pause) => {}
                    changed = news.changed(), if !self.log.wants_room() => {
                        // Without senders there are no news any more, and the stop is near.
                        if changed.is_err() { tokio::time::sleep(pause).await }
                    }
                }
            });
        }
    }

    fn tell(&self, done: Result<()>, said: &mut Said) {
        match done {
            Err(error) if !said.failed => {
                said.failed = true;
                warn(&error);
            }
            Ok(()) if said.failed => {
                said.failed = false;
                tracing::info!(event = "retention_works", "the log is trimmed again");
            }
            _ => {}
        }
    }

    fn by_age(&self) -> Result<()> {
        let keep_ms = i64::try_from(self.keep.as_millis()).unwrap_or(i64::MAX);
        // With `keep = "0s"` also what arrived in this very millisecond.
        let before_ms = self.clock.now().millis().saturating_add(1).saturating_sub(keep_ms);
        for (partition, below) in self.candidates(true) {
            while !self.shutdown.requested()
                && let Some(oldest) = self.log.oldest(&self.reader, partition, below, before_ms)?
            {
                self.log.trim(partition, oldest.up_to)?;
            }
        }
        Ok(())
    }

    fn by_pressure(&self, said: &mut Said) -> Result<()> {
        while self.log.wants_room() && !self.shutdown.requested() {
            let Some((partition, oldest)) = self.oldest_processed()? else { return Ok(()) };
            let bytes = self.log.trim(partition, oldest.up_to)?;
            metrics::BUFFER_TRIMMED_EARLY_BYTES.inc_by(bytes);
            if !std::mem::replace(&mut said.early, true) {
                tracing::info!(
                    event = "buffer_trimmed_early",
                    used_bytes = self.log.used_bytes(),
                    remedy = "raise buffer.max_bytes to keep processed batches for buffer.keep",
                    "room gets short: processed batches go before their time"
                );
            }
        }
        // Well below the mark, so that an episode is not ended by each slice.
        said.early &= self.log.used_bytes() >= self.log.max_bytes() / 2;
        Ok(())
    }

    fn oldest_processed(&self) -> Result<Option<(PartitionId, Oldest)>> {
        let mut found: Option<(PartitionId, Oldest)> = None;
        for (partition, below) in self.candidates(false) {
            if let Some(oldest) = self.log.oldest(&self.reader, partition, below, i64::MAX)?
                && found.is_none_or(|(_, other)| oldest.arrived_ms < other.arrived_ms)
            {
                found = Some((partition, oldest));
            }
        }
        Ok(found)
    }

    /// Partitions with something that may go, and up to where.
    fn candidates(&self, with_unread: bool) -> Vec<(PartitionId, i64)> {
        let state = self.progress.get();
        let mut found = Vec::new();
        for topic in self.log.topics() {
            let processed = self.processed.iter().any(|name| **name == *topic.name);
            for partition in &topic.partitions {
                let processed = processed.then(|| processed_below(&state, partition.id));
                let kept = self.forwarded.as_ref();
                let forwarded = kept.and_then(|kept| kept.below(&topic.name, partition.id));
                let below = match processed.into_iter().chain(forwarded).min() {
                    Some(below) => below,
                    None if with_unread => partition.end(),
                    None => 0,
                };
                if below > partition.start() {
                    found.push((partition.id, below));
                }
            }
        }
        found
    }
}

/// Everything below is processed, durably, and no view that is being built reads it any more.
fn processed_below(state: &State, partition: PartitionId) -> i64 {
    match state.hydrating.is_empty() {
        true => state.cursors.get(&partition).copied().unwrap_or(0),
        false => 0,
    }
}

fn warn(error: &Error) {
    tracing::warn!(event = "retention_waits", %error, remedy = error.hint(), "could not trim the log, tries again");
}
