//! The memory behind the log's end: next offsets, producers and bytes used, as stored and, on top,
//! as staged by the group that is being written. It follows the commit: staged becomes stored, or
//! is forgotten, before anybody is answered. Only the writer thread changes it, so its lock is
//! never waited for.

use super::age::Age;
use super::append::Refusal;
use super::catalogue::{Catalogue, Partition, Topic};
use super::delete;
use super::limit::{Level, Limit};
use super::sequence::{Judgement, Producer};
use super::transaction;
use super::trim;
use crate::config::buffer::BufferConfig;
use crate::db::{Follower, OrDb};
use crate::metrics;
use crate::model::batch::PartitionId;
use rusqlite::{Connection, Transaction, params};
use shared::kafka::batch::{Head, Turn};
use shared::{Error, Kind, Result};
use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

pub(super) type SharedTail = Arc<Mutex<Tail>>;

pub(super) fn lock(tail: &SharedTail) -> MutexGuard<'_, Tail> {
    tail.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A partition's end is noted in its row after this much, so that a start need not add up the log.
const NOTE_EVERY_BYTES: u64 = 64 * 1024 * 1024;

/// Forgotten producers are looked for this often.
const SWEEP_EVERY_MS: i64 = 3_600_000;

type ProducerKey = (i64, PartitionId);

/// What the group adds to a partition.
struct Growth {
    partition: Arc<Partition>,
    end: i64,
    bytes: u64,
    batches: u64,
    records: u64,
}

pub(super) struct Tail {
    age: Age,
    catalogue: Arc<Catalogue>,
    limit: Limit,
    news: watch::Sender<u64>,
    max_producers: usize,
    retention_ms: i64,
    swept_ms: i64,
    level: Arc<Level>,
    /// Bytes since a partition's row was written.
    unnoted: HashMap<PartitionId, u64>,
    producers: HashMap<ProducerKey, Producer>,
    staged_producers: HashMap<ProducerKey, Producer>,
    staged: HashMap<PartitionId, Growth>,
    /// Of open transactions: bytes that the group adds, and bytes of any that it takes away.
    opened_bytes: u64,
    released_bytes: u64,
    /// The offsets that open transactions' next records were told to have, see [`Tail::provisional`].
    provisional: HashMap<ProducerKey, i64>,
    forgotten: Vec<ProducerKey>,
    /// Topics that the group deletes.
    deleted: Vec<Arc<Topic>>,
}

/// How a batch is received.
pub(super) enum Admission {
    Append { base_offset: i64 },
    Duplicate { base_offset: i64 },
    Refused(Refusal),
}

impl Tail {
    pub fn load(
        reader: &Connection,
        catalogue: &Arc<Catalogue>,
        config: &BufferConfig,
        limit: Limit,
        level: Arc<Level>,
        age: Age,
        news: watch::Sender<u64>,
    ) -> Result<Tail> {
        let mut used_bytes = 0;
        for partition in catalogue.all_partitions() {
            let bytes = trim::stored_bytes(reader, &partition)?;
            partition.add_bytes(bytes);
            used_bytes += bytes;
        }
        used_bytes += transaction::stored_bytes(reader)? + delete::left_bytes(reader)?;
        let tail = Tail {
            swept_ms: age.now_ms(),
            age,
            catalogue: Arc::clone(catalogue),
            limit,
            news,
            max_producers: config.max_producers as usize,
            retention_ms: i64::try_from(config.producer_retention.as_millis()).unwrap_or(i64::MAX),
            level,
            unnoted: HashMap::new(),
            producers: load_producers(reader)?,
            staged_producers: HashMap::new(),
            staged: HashMap::new(),
            opened_bytes: 0,
            released_bytes: 0,
            provisional: HashMap::new(),
            forgotten: Vec::new(),
            deleted: Vec::new(),
        };
        tail.set_used(used_bytes);
        Ok(tail)
    }

    pub fn now_ms(&self) -> i64 {
        self.age.now_ms()
    }

    fn used_bytes(&self) -> u64 {
        self.level.used_bytes.load(Ordering::Acquire)
    }

    fn set_used(&self, bytes: u64) {
        self.level.used_bytes.store(bytes, Ordering::Release);
        metrics::BUFFER_LOG_BYTES.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Decides about a batch, against what is stored and what the group has staged.
    pub fn admit(&mut self, partition: &Arc<Partition>, head: &Head, bytes: u64) -> Admission {
        if partition.is_gone() || self.deletes(partition.id) {
            return Admission::Refused(Refusal::TopicGone);
        }
        if let Some(turn) = head.turn {
            match self.producer(partition.id, &turn).judge(&turn, head.last_delta) {
                Judgement::Append => {}
                Judgement::Duplicate(base_offset) => return Admission::Duplicate { base_offset },
                Judgement::Forgotten => return Admission::Refused(Refusal::DuplicateSequence),
                Judgement::OutOfOrder => return Admission::Refused(Refusal::OutOfOrder),
                Judgement::StaleEpoch => return Admission::Refused(Refusal::StaleEpoch),
            }
        }
        if !self.limit.admits(self.bytes_with_group(), bytes) {
            if let Some(turn) = head.turn {
                self.must_come_first(partition.id, &turn);
            }
            return Admission::Refused(Refusal::Full);
        }
        let base_offset = match head.turn.filter(|_| head.transactional) {
            Some(turn) => self.provisional(partition, turn.producer),
            None => self.next_offset(partition),
        };
        Admission::Append { base_offset }
    }

    fn deletes(&self, partition: PartitionId) -> bool {
        self.deleted.iter().any(|topic| topic.partitions.iter().any(|one| one.id == partition))
    }

    /// Stages a topic whose rows the group has marked.
    pub fn stage_deleted(&mut self, topic: Arc<Topic>) {
        self.deleted.push(topic);
    }

    /// Bytes that a deleted topic had left are gone.
    pub fn purged(&mut self, bytes: u64) {
        self.set_used(self.used_bytes().saturating_sub(bytes));
        metrics::BUFFER_TRIMMED_BYTES.inc_by(bytes);
    }

    /// The group's deletions are durable.
    fn publish_deleted(&mut self) {
        for topic in std::mem::take(&mut self.deleted) {
            topic.partitions.iter().for_each(|partition| partition.publish_gone());
            let of_topic = |id: &PartitionId| topic.partitions.iter().any(|partition| partition.id == *id);
            self.producers.retain(|(_, id), _| !of_topic(id));
            self.unnoted.retain(|id, _| !of_topic(id));
            self.catalogue.remove(&topic);
        }
    }

    fn bytes_with_group(&self) -> u64 {
        let grown: u64 = self.staged.values().map(|growth| growth.bytes).sum();
        (self.used_bytes() + grown + self.opened_bytes).saturating_sub(self.released_bytes)
    }

    /// The offset after what is stored and what the group has staged.
    pub fn next_offset(&self, partition: &Partition) -> i64 {
        self.staged.get(&partition.id).map_or_else(|| partition.next(), |growth| growth.end)
    }

    /// The offset after the last record, of what is stored and what the group has staged.
    pub fn end(&self, partition: &Partition) -> i64 {
        self.staged.get(&partition.id).map_or_else(|| partition.end(), |growth| growth.end)
    }

    /// The offset that a transaction's next record would have, were it committed now. Its sender must
    /// be told one before the commit, and Kafka's word for "not known" (-1) makes librdkafka count on
    /// from -1 for the rest of the batch. So the answer is exact if nobody else writes into the
    /// partition meanwhile, and otherwise too low. Clients accept any: both librdkafka and Java only
    /// hand it on in the delivery report, and order their batches by sequences.
    fn provisional(&self, partition: &Partition, producer: i64) -> i64 {
        let told = self.provisional.get(&(producer, partition.id)).copied();
        told.unwrap_or_default().max(self.next_offset(partition))
    }

    /// The producer's transaction has ended.
    pub fn forget_provisional(&mut self, producer: i64) {
        self.provisional.retain(|(other, _), _| *other != producer);
    }

    /// Bytes of a transaction that are deleted in this group.
    pub fn release(&mut self, bytes: u64) {
        self.released_bytes += bytes;
    }

    fn producer(&self, partition: PartitionId, turn: &Turn) -> std::borrow::Cow<'_, Producer> {
        use std::borrow::Cow;
        let key = (turn.producer, partition);
        match self.staged_producers.get(&key).or_else(|| self.producers.get(&key)) {
            Some(producer) => Cow::Borrowed(producer),
            None => Cow::Owned(Producer::unknown(turn)),
        }
    }

    /// Remembers that a refused batch must be the next, also if the group is undone later.
    fn must_come_first(&mut self, partition: PartitionId, turn: &Turn) {
        let key = (turn.producer, partition);
        if let Some(staged) = self.staged_producers.get_mut(&key) {
            staged.refused(turn);
        } else if self.producers.len() < self.max_producers || self.producers.contains_key(&key) {
            let now = self.now_ms();
            let producer = self.producers.entry(key).or_insert_with(|| Producer::unknown(turn));
            producer.refused(turn);
            producer.seen_ms = now;
        }
    }

    /// Stages a batch that is inserted at `base_offset`, or put aside for its transaction.
    pub fn stage(&mut self, partition: &Arc<Partition>, head: &Head, base_offset: i64, bytes: u64) {
        match head.turn.filter(|_| head.transactional) {
            Some(turn) => {
                let next = base_offset + i64::from(head.last_delta) + 1;
                self.provisional.insert((turn.producer, partition.id), next);
                self.opened_bytes += bytes;
            }
            None => self.grow(partition, base_offset, head.last_delta, bytes),
        }
        if let Some(turn) = head.turn {
            let key = (turn.producer, partition.id);
            let mut producer = match self.staged_producers.remove(&key) {
                Some(staged) => staged,
                None => self.producers.get(&key).cloned().unwrap_or_else(|| Producer::unknown(&turn)),
            };
            producer.appended(&turn, head.last_delta, base_offset);
            producer.seen_ms = self.now_ms();
            self.staged_producers.insert(key, producer);
        }
    }

    /// Stages a transaction's batch that moves to `base_offset`.
    pub fn stage_moved(&mut self, partition: &Arc<Partition>, base_offset: i64, last_delta: i32, bytes: u64) {
        self.grow(partition, base_offset, last_delta, bytes);
        self.release(bytes);
    }

    fn grow(&mut self, partition: &Arc<Partition>, base_offset: i64, last_delta: i32, bytes: u64) {
        let growth = self.staged.entry(partition.id).or_insert_with(|| Growth {
            partition: Arc::clone(partition),
            end: base_offset,
            bytes: 0,
            batches: 0,
            records: 0,
        });
        growth.end = base_offset + i64::from(last_delta) + 1;
        growth.bytes += bytes;
        growth.batches += 1;
        growth.records += u64::from(last_delta.unsigned_abs()) + 1;
    }

    /// Whether the group changes nothing here.
    fn is_untouched(&self) -> bool {
        self.staged.is_empty()
            && self.opened_bytes == 0
            && self.released_bytes == 0
            && self.deleted.is_empty()
    }

    #[cfg(test)]
    pub fn producers_remembered(&self) -> usize {
        self.producers.len()
    }

    /// A trim of this many bytes is durable.
    pub fn trimmed(&mut self, partition: &Partition, bytes: u64) {
        self.set_aside(partition, bytes);
        metrics::BUFFER_TRIMMED_BYTES.inc_by(bytes);
    }

    /// Bytes that are no longer in the log.
    pub fn set_aside(&mut self, partition: &Partition, bytes: u64) {
        partition.remove_bytes(bytes);
        self.set_used(self.used_bytes().saturating_sub(bytes));
    }

    /// Who was silent for too long, or longest if there are too many.
    fn sweep(&mut self) {
        let fresh = self.staged_producers.keys().filter(|key| !self.producers.contains_key(key)).count();
        let excess = (self.producers.len() + fresh).saturating_sub(self.max_producers);
        let now = self.now_ms();
        if excess == 0 && now.saturating_sub(self.swept_ms) < SWEEP_EVERY_MS {
            return;
        }
        self.swept_ms = now;
        let mut idle: Vec<(i64, ProducerKey)> = self
            .producers
            .iter()
            .filter(|(key, _)| !self.staged_producers.contains_key(key))
            .map(|(key, producer)| (producer.seen_ms, *key))
            .collect();
        idle.sort_unstable();
        // A tenth more than needed, so that a crowd does not mean a sweep for each newcomer.
        let excess = if excess > 0 { excess + self.max_producers / 10 } else { 0 };
        let oldest = now.saturating_sub(self.retention_ms);
        let silent = idle.iter().take_while(|(seen, _)| *seen < oldest).count();
        self.forgotten = idle.into_iter().take(excess.max(silent)).map(|(_, key)| key).collect();
    }

    fn write_rows(&mut self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        let mut put = transaction.prepare_cached(
            "INSERT OR REPLACE INTO producer (producer, partition, epoch, recent, seen_ms)
             VALUES (?, ?, ?, ?, ?)",
        )?;
        for ((producer, partition), state) in &self.staged_producers {
            if self.deletes(*partition) {
                continue;
            }
            put.execute(params![producer, partition.0, state.epoch(), state.to_bytes(), state.seen_ms])?;
        }
        let mut forget =
            transaction.prepare_cached("DELETE FROM producer WHERE producer = ? AND partition = ?")?;
        for (producer, partition) in &self.forgotten {
            forget.execute(params![producer, partition.0])?;
        }
        Ok(())
    }

    fn is_due(&self, growth: &Growth) -> bool {
        self.unnoted.get(&growth.partition.id).copied().unwrap_or(0) + growth.bytes >= NOTE_EVERY_BYTES
    }
}

fn load_producers(reader: &Connection) -> Result<HashMap<ProducerKey, Producer>> {
    type Row = (i64, i64, i16, Vec<u8>, i64);
    let rows: Vec<Row> = reader
        .prepare("SELECT producer, partition, epoch, recent, seen_ms FROM producer")
        .and_then(|mut statement| {
            let row = |row: &rusqlite::Row<'_>| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
            };
            statement.query_map([], row)?.collect()
        })
        .or_db("read the producers")?;
    rows.into_iter()
        .map(|(producer, partition, epoch, recent, seen_ms)| {
            let state = Producer::from_bytes(epoch, seen_ms, &recent)
                .ok_or_else(|| Error::new(Kind::Lost, format!("producer {producer} is damaged")))?;
            Ok(((producer, PartitionId(partition)), state))
        })
        .collect()
}

/// The tail as the writer's follower.
pub(super) struct TailFollower(pub SharedTail);

impl Follower for TailFollower {
    fn before_commit(&mut self, transaction: &Transaction<'_>) -> Result<()> {
        let mut tail = lock(&self.0);
        if tail.is_untouched() {
            return Ok(());
        }
        tail.sweep();
        tail.write_rows(transaction).or_db("store the producers")?;
        for growth in tail.staged.values().filter(|growth| tail.is_due(growth)) {
            trim::note(transaction, &growth.partition)?;
        }
        Ok(())
    }

    fn committed(&mut self) {
        let mut guard = lock(&self.0);
        let tail = &mut *guard;
        if tail.is_untouched() {
            return;
        }
        for (key, producer) in tail.staged_producers.drain() {
            tail.producers.insert(key, producer);
        }
        for key in tail.forgotten.drain(..) {
            tail.producers.remove(&key);
        }
        let mut used_bytes = tail.used_bytes() + std::mem::take(&mut tail.opened_bytes);
        for (id, growth) in tail.staged.drain() {
            let unnoted = tail.unnoted.entry(id).or_insert(0);
            *unnoted += growth.bytes;
            if *unnoted >= NOTE_EVERY_BYTES {
                *unnoted = 0;
            }
            used_bytes += growth.bytes;
            tail.level.arrived_bytes.fetch_add(growth.bytes, Ordering::AcqRel);
            growth.partition.publish_end(growth.end);
            growth.partition.add_bytes(growth.bytes);
            metrics::BUFFER_BATCHES.inc_by(growth.batches);
            metrics::BUFFER_RECORDS.inc_by(growth.records);
            metrics::BUFFER_APPENDED_BYTES.inc_by(growth.bytes);
        }
        used_bytes = used_bytes.saturating_sub(std::mem::take(&mut tail.released_bytes));
        tail.publish_deleted();
        tail.set_used(used_bytes);
        tail.limit.stored(used_bytes);
        tail.news.send_modify(|commits| *commits += 1);
    }

    fn rolled_back(&mut self, why: &Error) {
        let mut guard = lock(&self.0);
        let tail = &mut *guard;
        tail.forgotten.clear();
        if tail.is_untouched() {
            return;
        }
        tail.staged.clear();
        tail.deleted.clear();
        (tail.opened_bytes, tail.released_bytes) = (0, 0);
        for (key, staged) in tail.staged_producers.drain() {
            let stored = tail.producers.remove(&key);
            tail.producers.insert(key, staged.undone(stored));
        }
        let used_bytes = tail.used_bytes();
        tail.limit.failed(why, used_bytes);
    }
}
