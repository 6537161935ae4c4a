//! Durable first: a log of record batches per topic partition, in SQLite.
//!
//! ```text
//! append(frame) ─> queue ─> writer: sequence → limit → patch → insert ─> commit ─> outcomes
//!                                   (per batch, against staged memory)      └─> news
//! read(partition, from) <─ reader connection
//! ```
//! A batch, its offsets and its producer's state go into one transaction; the memory that mirrors
//! them follows the commit ([`tail::Tail`]). Batches of a transaction are put aside until it is
//! committed ([`transaction`]). A batch is stored with the bytes it came with, base
//! offset and leader epoch apart, and never opened.

mod age;
mod append;
mod beside;
mod catalogue;
mod copied;
#[cfg(test)]
mod cost;
mod damage;
#[cfg(test)]
mod damage_tests;
#[cfg(test)]
mod keep_tests;
mod delete;
#[cfg(test)]
mod delete_tests;
mod limit;
mod producer_id;
mod read;
pub mod salvage;
mod scrub;
mod sequence;
mod tail;
#[cfg(test)]
mod tests;
mod transaction;
mod trim;

pub use append::{Append, Outcome, Refusal, With};
pub use beside::Beside;
pub use catalogue::{CannotCreate, LEADER_EPOCH, MAX_PARTITIONS, Partition, Topic};
pub use copied::{OFFSETS_AHEAD, mark_copy, settled as copy_settled};
pub use damage::Damaged;
pub use delete::{CannotDelete, Need, Needs};
pub use limit::disk_free_bytes;
pub use scrub::Scrub;
pub use transaction::{Denial, Ended, Incarnation};
pub use trim::Oldest;

use crate::config::buffer::BufferConfig;
use crate::db::{Db, Readers};
use crate::metrics;
use crate::model::batch::{Batch, PartitionId};
use age::Age;
use append::AppendJob;
use bytes::BytesMut;
use catalogue::Catalogue;
use damage::Damage;
use limit::{Level, Limit};
use rusqlite::Connection;
use shared::Result;
use shared::error::Context;
use shared::time::Clock;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock};
use tail::{SharedTail, Tail};
use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};
use uuid::Uuid;

/// Made by trims when the disk is short and no reserve is configured.
const LEAST_ROOM: u64 = 1024 * 1024;

/// Consumers' reads that run at the same time.
const READERS: usize = 4;

/// The topics of a file that no agent has open, with the bytes of each partition.
pub fn at_rest(reader: &Connection) -> Result<Vec<Arc<Topic>>> {
    let catalogue = Catalogue::load(reader)?;
    for partition in catalogue.all_partitions() {
        partition.add_bytes(trim::stored_bytes(reader, &partition)?);
    }
    Ok(catalogue.all())
}

/// The log of this node.
pub struct Log {
    db: Db,
    config: BufferConfig,
    catalogue: Arc<Catalogue>,
    tail: SharedTail,
    level: Arc<Level>,
    readers: Readers,
    news: watch::Sender<u64>,
    producer_ids: producer_id::Ids,
    ended: Arc<OnceLock<Box<Ended>>>,
    needs: Arc<OnceLock<Box<Needs>>>,
    /// Held while a topic is made or deleted.
    changing: tokio::sync::Mutex<()>,
    cluster: String,
    age: Age,
    damage: Arc<Damage>,
    /// The file is a copy: a restored backup, or what was saved of a damaged file.
    copied: bool,
}

impl Log {
    /// Loads topics, offsets and producers; nothing is read of the batches themselves but what came
    /// after the last note of each partition.
    pub fn open(db: &Db, config: &BufferConfig) -> Result<Log> {
        Self::open_at(db, config, Clock::System)
    }

    /// As [`Log::open`], by a clock that the caller may move.
    pub fn open_at(db: &Db, config: &BufferConfig, clock: Clock) -> Result<Log> {
        Self::load(db, config, clock).doing(|| "open the buffer")
    }

    fn load(db: &Db, config: &BufferConfig, clock: Clock) -> Result<Log> {
        let cluster = db.write(catalogue::cluster_id)?;
        let age = Age::load(&db.reader()?, clock)?;
        let copied = copied::settle(db, age.now_ms())?;
        let reader = db.reader()?;
        let catalogue = Arc::new(Catalogue::load(&reader)?);
        let news = watch::channel(0).0;
        let level = Arc::<Level>::default();
        let limit = Limit::new(config, db.folder(), Arc::clone(db.space()), Arc::clone(&level));
        let tail =
            Tail::load(&reader, &catalogue, config, limit, Arc::clone(&level), age.clone(), news.clone())?;
        let tail = Arc::new(Mutex::new(tail));
        db.follow(Box::new(tail::TailFollower(Arc::clone(&tail))))?;
        metrics::BUFFER_LIMIT_BYTES.set(i64::try_from(config.max_bytes).unwrap_or(i64::MAX));
        Ok(Log {
            db: db.clone(),
            config: config.clone(),
            catalogue,
            tail,
            level,
            readers: db.readers(READERS),
            news,
            producer_ids: producer_id::Ids::default(),
            ended: Arc::default(),
            needs: Arc::default(),
            changing: tokio::sync::Mutex::default(),
            cluster,
            age,
            damage: Arc::new(Damage::new(db.on_damage())),
            copied,
        })
    }

    /// When the oldest batch of a partition arrived, in milliseconds before now; `None` if it has none.
    pub fn oldest_age_ms(&self, reader: &Connection, partition: PartitionId) -> Result<Option<i64>> {
        let oldest = self.oldest(reader, partition, i64::MAX, i64::MAX)?;
        Ok(oldest.map(|oldest| self.age.now_ms().saturating_sub(oldest.arrived_ms)))
    }

    /// The partitions of a topic, in order; none if there is no such topic (yet).
    pub fn partitions(&self, topic: &str) -> Vec<PartitionId> {
        self.topic(topic).map(|t| t.partitions.iter().map(|p| p.id).collect()).unwrap_or_default()
    }

    pub fn topic(&self, name: &str) -> Option<Arc<Topic>> {
        self.catalogue.by_name(name)
    }

    pub fn topic_by_uuid(&self, uuid: &Uuid) -> Option<Arc<Topic>> {
        self.catalogue.by_uuid(uuid)
    }

    /// All topics, by name.
    pub fn topics(&self) -> Vec<Arc<Topic>> {
        self.catalogue.all()
    }

    /// The topic of this name, made now if it does not exist and may be made.
    pub async fn topic_or_new(&self, name: &str) -> Result<std::result::Result<Arc<Topic>, CannotCreate>> {
        if let Some(topic) = self.topic(name) {
            return Ok(Ok(topic));
        }
        if !self.config.auto_create_topics {
            return Ok(Err(CannotCreate::NotAllowed));
        }
        self.create_topic(name, self.config.partitions).await
    }

    /// Makes a topic; the existing one if there is one already.
    pub async fn create_topic(
        &self,
        name: &str,
        partitions: u32,
    ) -> Result<std::result::Result<Arc<Topic>, CannotCreate>> {
        self.create_topic_with(name, partitions, false).await
    }

    /// As [`Log::create_topic`]; of a `compact` one nothing is trimmed for its age.
    pub async fn create_topic_with(
        &self,
        name: &str,
        partitions: u32,
        compact: bool,
    ) -> Result<std::result::Result<Arc<Topic>, CannotCreate>> {
        if !catalogue::is_legal(name) {
            return Ok(Err(CannotCreate::Name));
        }
        let (owned, max_topics) = (name.to_owned(), self.config.max_topics);
        let _turn = self.changing.lock().await;
        let made = match self.catalogue.len() >= max_topics as usize {
            true => None,
            false => self
                .db
                .write_async(move |tx| catalogue::insert(tx, &owned, partitions, compact, max_topics))
                .await
                .doing(|| format!("create topic {name}"))?,
        };
        let Some(row) = made else {
            tracing::warn!(event = "buffer_too_many_topics", topic = name, "refused to make another topic");
            return Ok(Err(CannotCreate::TooMany));
        };
        Ok(Ok(self.catalogue.add(row)))
    }

    /// Partitions of a topic whose maker does not say how many.
    pub fn default_partitions(&self) -> u32 {
        self.config.partitions
    }

    /// Queues the batches of one request. The outcomes come, in order, after the commit that holds
    /// them; an error there means that none of them is stored and that the sender may try again.
    ///
    /// `memory` is given back when `frame` is.
    pub async fn append(
        &self,
        frame: BytesMut,
        appends: Vec<Append>,
        memory: OwnedSemaphorePermit,
    ) -> Result<oneshot::Receiver<Result<Vec<Outcome>>>> {
        self.append_with(frame, appends, memory, None).await
    }

    /// As [`Log::append`], and `with` takes part: what it writes is stored with the batches, or not
    /// at all.
    pub async fn append_with(
        &self,
        frame: BytesMut,
        appends: Vec<Append>,
        memory: OwnedSemaphorePermit,
        with: Option<With>,
    ) -> Result<oneshot::Receiver<Result<Vec<Outcome>>>> {
        let (reply, answer) = oneshot::channel();
        let job = AppendJob::new(frame, appends, Arc::clone(&self.tail), reply, memory, with);
        self.db.submit(Box::new(job)).await?;
        Ok(answer)
    }

    /// Batches from the one that holds `from_offset` on (or the first after it, if that was
    /// trimmed), up to `max_bytes`, but at least one if there is any.
    pub fn read(
        &self,
        reader: &Connection,
        partition: PartitionId,
        from_offset: i64,
        max_bytes: usize,
    ) -> Result<Vec<Batch>> {
        let Some(partition) = self.catalogue.partition(partition) else { return Ok(Vec::new()) };
        read::batches(reader, &self.damage, &partition, from_offset, max_bytes)
    }

    /// As [`Log::read`], but the bytes alone, one batch after the other, as consumers take them.
    pub async fn read_bytes(
        &self,
        partition: Arc<Partition>,
        from_offset: i64,
        max_bytes: usize,
    ) -> Result<BytesMut> {
        let damage = Arc::clone(&self.damage);
        self.readers.run(move |reader| read::bytes(reader, &damage, &partition, from_offset, max_bytes)).await
    }

    /// The first batch with a record at or after `time_ms`: its base offset and newest time.
    pub async fn offset_at(&self, partition: Arc<Partition>, time_ms: i64) -> Result<Option<(i64, i64)>> {
        self.readers.run(move |reader| read::offset_at(reader, &partition, time_ms)).await
    }

    /// The offset that the next record will get; everything below it is durable.
    pub fn end_offset(&self, partition: PartitionId) -> i64 {
        self.catalogue.partition(partition).map_or(0, |p| p.end())
    }

    /// The first offset still kept.
    pub fn log_start(&self, partition: PartitionId) -> i64 {
        self.catalogue.partition(partition).map_or(0, |p| p.start())
    }

    /// Changes once per commit that appended batches.
    pub fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// Removes the batches that lie wholly below `offset`; gives back how many bytes they had.
    /// Blocks, in several short transactions.
    pub fn trim(&self, partition: PartitionId, offset: i64) -> Result<u64> {
        let Some(partition) = self.catalogue.partition(partition) else { return Ok(0) };
        trim::below(&self.db, &self.tail, &partition, offset)
    }

    /// Removes the batch that begins at `base_offset`, if there is one. Blocks.
    pub fn remove(&self, partition: PartitionId, base_offset: i64) -> Result<()> {
        let Some(partition) = self.catalogue.partition(partition) else { return Ok(()) };
        trim::one(&self.db, &self.tail, &partition, base_offset)
    }

    /// What of a partition's oldest batches lies wholly below `below` and arrived before `before_ms` of
    /// the log's own time ([`Log::now_ms`]); never any of a compacted topic.
    pub fn oldest(
        &self,
        reader: &Connection,
        partition: PartitionId,
        below: i64,
        before_ms: i64,
    ) -> Result<Option<Oldest>> {
        let found = self.catalogue.partition(partition).filter(|partition| !partition.compact);
        let Some(partition) = found else { return Ok(None) };
        trim::oldest(reader, &partition, below, before_ms, u64::MAX)
    }

    /// As [`Log::oldest`], of any age, but only what brings the partition down to `max_bytes`.
    pub fn oldest_beyond(
        &self,
        reader: &Connection,
        partition: PartitionId,
        below: i64,
        max_bytes: u64,
    ) -> Result<Option<Oldest>> {
        let found = self.catalogue.partition(partition).filter(|partition| !partition.compact);
        let Some(partition) = found else { return Ok(None) };
        let excess = partition.bytes().saturating_sub(max_bytes);
        trim::oldest(reader, &partition, below, i64::MAX, excess)
    }

    /// When the youngest batch that was ever trimmed had arrived, in milliseconds since 1970 by the
    /// clock as it is now; 0 if the log is whole.
    pub fn trimmed_ms(&self, reader: &Connection, partition: PartitionId) -> Result<i64> {
        let Some(partition) = self.catalogue.partition(partition) else { return Ok(0) };
        match trim::trimmed_ms(reader, &partition)? {
            0 => Ok(0),
            log_ms => Ok(self.age.to_wall_ms(log_ms)),
        }
    }

    /// The log's own time: goes on while the agent runs, and nobody can set it.
    pub fn now_ms(&self) -> i64 {
        self.age.now_ms()
    }

    /// Notes the log's time, so that it does not fall back when nothing arrives. Blocks.
    pub fn note_time(&self) -> Result<()> {
        let now_ms = self.age.now_ms();
        self.db.write(move |transaction| Age::note(transaction, now_ms))
    }

    /// Whether the file is a copy that has not been moved on in all rooms ([`copy_settled`]): what came
    /// after it was made is missing.
    pub fn is_copied(&self) -> bool {
        self.copied
    }

    /// Damaged batches that were found and are still in the log.
    pub fn damaged(&self) -> Vec<Damaged> {
        self.damage.list()
    }

    /// Moves damaged batches aside, if the operator wants that; says how many. Blocks.
    pub fn set_damaged_aside(&self) -> Result<usize> {
        self.damage.set_aside(&self.db, &self.tail, |id| self.catalogue.partition(id))
    }

    /// Goes through checksums from `at` on, up to `max_bytes`.
    pub fn scrub(&self, reader: &Connection, at: &mut Scrub, max_bytes: u64) -> Result<u64> {
        scrub::step(reader, &self.damage, &self.catalogue.all_partitions(), at, max_bytes)
    }

    /// A producer id that no other producer of this file has or will have.
    pub async fn producer_id(&self) -> Result<i64> {
        self.producer_ids.next(&self.db).await.doing(|| "hand out a producer id")
    }

    /// The file, for those who write what must be in one commit with the log.
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// The name of this one-node cluster, the same for ever.
    pub fn cluster_id(&self) -> &str {
        &self.cluster
    }

    /// Bytes of batches in the log.
    pub fn used_bytes(&self) -> u64 {
        self.level.used_bytes.load(Ordering::Acquire)
    }

    /// Bytes of batches that arrived since the start.
    pub fn arrived_bytes(&self) -> u64 {
        self.level.arrived_bytes.load(Ordering::Acquire)
    }

    /// The budget.
    pub fn max_bytes(&self) -> u64 {
        self.config.max_bytes
    }

    /// Whether producers should slow down: four fifths of the budget are used.
    pub fn is_pressed(&self) -> bool {
        self.used_bytes() / 4 >= self.config.max_bytes / 5
    }

    /// Whether removing batches is the cure: four fifths of the budget are used, or a batch was
    /// refused that would not fit into the rest; or the disk is short, and the file has less room to
    /// itself than the reserve.
    pub fn wants_room(&self) -> bool {
        let over_budget = self.level.over_budget.load(Ordering::Acquire);
        let short_disk = self.is_full() && !over_budget;
        self.is_pressed()
            || (over_budget && self.used_bytes() > self.config.max_bytes / 4)
            || (short_disk && self.db.space().free_bytes() < self.config.reserve_free_bytes.max(LEAST_ROOM))
    }

    /// Whether even what is not processed may go: producers are being refused, and less than a fifth of
    /// the budget is free (or it is the disk that is short).
    pub fn must_drop(&self) -> bool {
        self.is_full() && (self.is_pressed() || !self.level.over_budget.load(Ordering::Acquire))
    }

    /// Whether producers are being refused for want of room.
    pub fn is_full(&self) -> bool {
        self.level.full.load(Ordering::Acquire)
    }
}
