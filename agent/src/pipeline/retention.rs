//! Removes from the log what is processed and old, and earlier when room gets short.
//!
//! ```text
//! topic that a view or gate reads   below its cursor, and older than keep or beyond max_bytes
//!                                   … or of any age, oldest first, while the log is pressed
//! topic that nobody here reads      older than keep or beyond max_bytes: others may want to read it back
//! topic that goes to the centre     … in each case only below what is there; and then it is read here
//! topic that was made compacted     what has a newer record of the same key, under the same conditions
//! topic with when_full = drop_oldest   anything, oldest first, once producers are being refused
//! ```
//! What is not processed is never removed but by that last line, and then it is counted. Slices are
//! small, for producers' batches wait behind each. While views are built from the log, nothing that
//! they may read is removed. Ages are in the log's own time, which a wrong clock does not touch.

use super::compact::Compaction;
use super::needed;
use super::progress::{Progress, State};
use crate::buffer::{Log, Oldest, Partition};
use crate::config::buffer::{BufferConfig, WhenFull};
use crate::config::topic::TopicConfig;
use crate::forward::progress::Kept;
use crate::metrics;
use crate::model::batch::PartitionId;
use rusqlite::Connection;
use shared::error::{Error, Result};
use shared::shutdown::Shutdown;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::Instant;

/// How often ages are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// With room getting short, processing may have gone on though nothing was appended.
const LOOK_PRESSED_EVERY: Duration = Duration::from_millis(50);
/// How often compacted topics are looked at.
const COMPACT_EVERY: Duration = Duration::from_secs(10);

/// The thread's parts.
pub struct Retention {
    pub log: Arc<Log>,
    pub reader: Connection,
    /// Topics that a view or gate reads.
    pub processed: Vec<String>,
    /// What goes to the centre, and how far it is there.
    pub forwarded: Option<Kept>,
    pub progress: Progress,
    pub buffer: BufferConfig,
    pub topics: Vec<TopicConfig>,
    /// What one record batch may unpack to.
    pub unpacked_bytes: usize,
    pub shutdown: Shutdown,
}

/// What was said already, so that it is said once.
#[derive(Default)]
struct Said {
    early: bool,
    dropping: bool,
    failed: bool,
}

/// What of a partition may go.
struct Candidate {
    topic: Arc<str>,
    partition: Arc<Partition>,
    below: i64,
}

/// Why something goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Because {
    Old,
    Pressed,
    /// Refusing producers, and the topic is of little worth.
    Full,
}

impl Retention {
    /// Works until the program stops.
    pub fn run(self, runtime: &Handle) {
        let mut news = self.log.news();
        let mut said = Said::default();
        let mut next_look = Instant::now();
        let (mut compaction, mut next_compaction) = (Compaction::default(), Instant::now() + COMPACT_EVERY);
        while !self.shutdown.requested() {
            let done = match Instant::now() >= next_look {
                true => {
                    next_look = Instant::now() + LOOK_EVERY;
                    self.by_age()
                }
                false => Ok(()),
            };
            let done = done.and_then(|()| self.by_pressure(&mut said));
            let done = match Instant::now() >= next_compaction {
                true => {
                    next_compaction = Instant::now() + COMPACT_EVERY;
                    done.and_then(|()| self.by_key(&mut compaction))
                }
                false => done,
            };
            self.tell(done, &mut said);
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
        while !self.shutdown.requested() && self.log.purge(&self.reader)? {}
        for Candidate { topic, partition, below } in self.candidates(Because::Old) {
            let own = self.own(&topic);
            let keep = own.and_then(|own| own.keep).unwrap_or(self.buffer.keep);
            let keep_ms = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
            // With `keep = "0s"` also what arrived in this very millisecond.
            let before_ms = self.log.now_ms().saturating_add(1).saturating_sub(keep_ms);
            let max_bytes = own.and_then(|own| own.max_bytes).unwrap_or(u64::MAX);
            while !self.shutdown.requested() {
                let (log, reader, id) = (&self.log, &self.reader, partition.id);
                let oldest = match log.oldest(reader, id, below, before_ms)? {
                    None => log.oldest_beyond(reader, id, below, max_bytes)?,
                    oldest => oldest,
                };
                let Some(oldest) = oldest else { break };
                self.log.trim(partition.id, oldest.up_to)?;
            }
        }
        Ok(())
    }

    fn by_key(&self, compaction: &mut Compaction) -> Result<()> {
        let state = self.progress.get();
        for topic in self.log.topics().into_iter().filter(|topic| topic.compact) {
            for partition in &topic.partitions {
                let below = self.done(&state, &topic.name, partition.id).unwrap_or(partition.end());
                let (log, reader) = (&self.log, &self.reader);
                compaction.look(log, reader, partition, below, self.unpacked_bytes, &self.shutdown)?;
            }
        }
        Ok(())
    }

    fn by_pressure(&self, said: &mut Said) -> Result<()> {
        while self.log.wants_room() && !self.shutdown.requested() {
            // What nobody can read any more goes before anything else.
            if self.log.purge(&self.reader)? {
                continue;
            }
            if let Some((candidate, oldest)) = self.oldest(Because::Pressed)? {
                let bytes = self.log.trim(candidate.partition.id, oldest.up_to)?;
                metrics::BUFFER_TRIMMED_EARLY_BYTES.inc_by(bytes);
                self.tell_early(said);
            } else if self.log.must_drop()
                && let Some((candidate, oldest)) = self.oldest(Because::Full)?
            {
                self.drop_unprocessed(&candidate, oldest, said)?;
            } else {
                break;
            }
        }
        // Well below the mark, so that an episode is not ended by each slice.
        let pressed = self.log.is_full() || self.log.used_bytes() >= self.log.max_bytes() / 2;
        said.early &= pressed;
        said.dropping &= pressed;
        Ok(())
    }

    fn tell_early(&self, said: &mut Said) {
        if !std::mem::replace(&mut said.early, true) {
            tracing::info!(
                event = "buffer_trimmed_early",
                used_bytes = self.log.used_bytes(),
                remedy = "raise buffer.max_bytes to keep processed batches for buffer.keep",
                "room gets short: processed batches go before their time"
            );
        }
    }

    fn drop_unprocessed(&self, candidate: &Candidate, oldest: Oldest, said: &mut Said) -> Result<()> {
        let partition = &candidate.partition;
        let before = partition.start();
        self.log.trim(partition.id, oldest.up_to)?;
        let done = self.done(&self.progress.get(), &candidate.topic, partition.id).unwrap_or(0);
        let dropped = partition.start().saturating_sub(before.max(done));
        metrics::BUFFER_DROPPED_RECORDS.inc_by(u64::try_from(dropped).unwrap_or(0));
        if !std::mem::replace(&mut said.dropping, true) {
            tracing::warn!(
                event = "buffer_dropping",
                topic = &*candidate.topic,
                used_bytes = self.log.used_bytes(),
                remedy = "raise buffer.max_bytes; records dropped are counted until there is room again",
                "the log is full: records are dropped unprocessed from topics with when_full = \"drop_oldest\""
            );
        }
        Ok(())
    }

    fn oldest(&self, why: Because) -> Result<Option<(Candidate, Oldest)>> {
        let mut found: Option<(Candidate, Oldest)> = None;
        for candidate in self.candidates(why) {
            if let Some(oldest) =
                self.log.oldest(&self.reader, candidate.partition.id, candidate.below, i64::MAX)?
                && found.as_ref().is_none_or(|(_, other)| oldest.arrived_ms < other.arrived_ms)
            {
                found = Some((candidate, oldest));
            }
        }
        Ok(found)
    }

    /// Partitions with something that may go, and up to where.
    fn candidates(&self, why: Because) -> Vec<Candidate> {
        let state = self.progress.get();
        let mut found = Vec::new();
        for topic in self.log.topics() {
            let when_full =
                self.own(&topic.name).and_then(|own| own.when_full).unwrap_or(self.buffer.when_full);
            for partition in &topic.partitions {
                let below = match (why, self.done(&state, &topic.name, partition.id)) {
                    (Because::Full, _) if when_full == WhenFull::DropOldest => partition.end(),
                    (Because::Pressed, _) if when_full == WhenFull::Refuse => 0,
                    (Because::Old | Because::Pressed, Some(done)) => done,
                    (Because::Old, None) => partition.end(),
                    (Because::Pressed | Because::Full, _) => 0,
                };
                if below > partition.start() {
                    let (topic, partition) = (Arc::clone(&topic.name), Arc::clone(partition));
                    found.push(Candidate { topic, partition, below });
                }
            }
        }
        found
    }

    /// Below it everything is processed and at the centre, as far as either is to be; `None` if neither is.
    fn done(&self, state: &State, topic: &str, partition: PartitionId) -> Option<i64> {
        needed::from(&self.processed, self.forwarded.as_ref(), state, topic, partition)
    }

    /// What the operator says of this topic.
    fn own(&self, topic: &str) -> Option<&TopicConfig> {
        self.topics.iter().find(|own| own.fits(topic))
    }
}

fn warn(error: &Error) {
    tracing::warn!(event = "retention_waits", %error, remedy = error.hint(), "could not trim the log, tries again");
}
