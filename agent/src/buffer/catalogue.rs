//! Topics and their partitions, in memory as in the file. A deleted one keeps its rows, see
//! [`super::delete`].

use super::copied::OFFSETS_AHEAD;
use crate::db::OrDb;
use crate::model::batch::PartitionId;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use shared::{Error, Kind, Result};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use uuid::Uuid;

/// There is one leader, for ever.
pub const LEADER_EPOCH: i32 = 0;

/// One node, one file; each partition takes memory and a place in every commit.
pub const MAX_PARTITIONS: u32 = 1_024;

/// Kafka's own limit.
const MAX_NAME_BYTES: usize = 249;

/// Topics whose rows the file keeps, deleted ones included, for each that there may be at a time.
const KNOWN_PER_TOPIC: u32 = 10;

/// Partition ids stand in the upper bits of a batch's place, offsets in the lower.
const OFFSET_BITS: u32 = 44;

/// Where a partition begins and ends. Only the writer moves these, after commits.
#[derive(Debug)]
pub struct Partition {
    pub id: PartitionId,
    pub index: i32,
    pub topic: Arc<str>,
    /// Of a compacted topic, see [`Topic::compact`].
    pub compact: bool,
    start: AtomicI64,
    end: AtomicI64,
    next: AtomicI64,
    bytes: AtomicU64,
    gone: AtomicBool,
}

impl Partition {
    /// The first offset kept.
    pub fn start(&self) -> i64 {
        self.start.load(Ordering::Acquire)
    }

    /// The offset after the last durable record.
    pub fn end(&self) -> i64 {
        self.end.load(Ordering::Acquire)
    }

    /// The offset that the next record gets: the end, or far behind it in a copy that nobody has written to
    /// since ([`super::copied`]).
    pub fn next(&self) -> i64 {
        self.next.load(Ordering::Acquire).max(self.end())
    }

    /// Whether its topic was deleted. Made again, that has other partitions in memory.
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    pub(super) fn publish_gone(&self) {
        self.gone.store(true, Ordering::Release);
        self.publish_start(self.end());
    }

    /// Bytes of its batches.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Acquire)
    }

    pub(super) fn add_bytes(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::AcqRel);
    }

    pub(super) fn remove_bytes(&self, bytes: u64) {
        let less = |have: u64| Some(have.saturating_sub(bytes));
        // Always given a value, so it cannot fail.
        let _ = self.bytes.fetch_update(Ordering::AcqRel, Ordering::Acquire, less);
    }

    pub(super) fn publish_start(&self, offset: i64) {
        self.publish_end(offset);
        self.start.fetch_max(offset, Ordering::AcqRel);
    }

    pub(super) fn publish_end(&self, offset: i64) {
        self.end.fetch_max(offset, Ordering::AcqRel);
    }

    /// The key under which a batch at `offset` is stored.
    pub(super) fn place(&self, offset: i64) -> i64 {
        Self::place_of(self.id.0, offset)
    }

    pub(super) fn place_of(id: i64, offset: i64) -> i64 {
        (id << OFFSET_BITS) | offset.clamp(0, (1 << OFFSET_BITS) - 1)
    }

    /// The offset that a key stands for.
    pub(super) fn offset(place: i64) -> i64 {
        place & ((1 << OFFSET_BITS) - 1)
    }

    /// The partition that a key belongs to.
    pub(super) fn of(place: i64) -> i64 {
        place >> OFFSET_BITS
    }

    /// First key of this partition, and first key after it.
    pub(super) fn places(&self) -> (i64, i64) {
        (self.id.0 << OFFSET_BITS, (self.id.0 + 1) << OFFSET_BITS)
    }
}

#[derive(Debug)]
pub struct Topic {
    pub name: Arc<str>,
    pub uuid: Uuid,
    /// Made to keep the newest record of each key: nothing is trimmed, so that none is missing.
    pub compact: bool,
    pub partitions: Vec<Arc<Partition>>,
}

impl Topic {
    pub fn partition(&self, index: i32) -> Option<&Arc<Partition>> {
        usize::try_from(index).ok().and_then(|index| self.partitions.get(index))
    }
}

/// Why a topic is not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CannotCreate {
    NotAllowed,
    Name,
    TooMany,
}

/// Kafka's rule for topic names.
pub fn is_legal(name: &str) -> bool {
    let letter = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-');
    !matches!(name, "" | "." | "..") && name.len() <= MAX_NAME_BYTES && name.bytes().all(letter)
}

#[derive(Default)]
pub(super) struct Catalogue(RwLock<Index>);

#[derive(Default)]
struct Index {
    by_name: BTreeMap<Arc<str>, Arc<Topic>>,
    by_uuid: HashMap<Uuid, Arc<Topic>>,
    by_partition: HashMap<PartitionId, Arc<Partition>>,
}

impl Catalogue {
    pub fn load(reader: &Connection) -> Result<Catalogue> {
        let catalogue = Catalogue::default();
        let names: Vec<String> = reader
            .prepare("SELECT name FROM topic WHERE deleted = 0 ORDER BY id")
            .and_then(|mut s| s.query_map([], |row| row.get(0))?.collect())
            .or_db("read the topics")?;
        for name in names {
            if let Some(topic) = find(reader, &name)? {
                catalogue.add(topic);
            }
        }
        Ok(catalogue)
    }

    /// Adds a topic; the one already there wins, because others hold its partitions.
    pub fn add(&self, topic: Topic) -> Arc<Topic> {
        let mut index = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = index.by_name.get(&topic.name) {
            return Arc::clone(known);
        }
        let topic = Arc::new(topic);
        for partition in &topic.partitions {
            index.by_partition.insert(partition.id, Arc::clone(partition));
        }
        index.by_uuid.insert(topic.uuid, Arc::clone(&topic));
        index.by_name.insert(Arc::clone(&topic.name), Arc::clone(&topic));
        topic
    }

    /// Takes this topic out, and no other that was made under its name since.
    pub fn remove(&self, topic: &Topic) {
        let mut index = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if index.by_uuid.remove(&topic.uuid).is_some() {
            index.by_name.remove(&topic.name);
            for partition in &topic.partitions {
                index.by_partition.remove(&partition.id);
            }
        }
    }

    pub fn by_name(&self, name: &str) -> Option<Arc<Topic>> {
        self.index().by_name.get(name).cloned()
    }

    pub fn by_uuid(&self, uuid: &Uuid) -> Option<Arc<Topic>> {
        self.index().by_uuid.get(uuid).cloned()
    }

    pub fn partition(&self, id: PartitionId) -> Option<Arc<Partition>> {
        self.index().by_partition.get(&id).cloned()
    }

    pub fn all(&self) -> Vec<Arc<Topic>> {
        self.index().by_name.values().cloned().collect()
    }

    pub fn all_partitions(&self) -> Vec<Arc<Partition>> {
        self.index().by_partition.values().cloned().collect()
    }

    pub fn len(&self) -> usize {
        self.index().by_name.len()
    }

    fn index(&self) -> std::sync::RwLockReadGuard<'_, Index> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes a topic, or finds the one that somebody else has just made; `None` if the file knows too many.
pub(super) fn insert(
    transaction: &Transaction<'_>,
    name: &str,
    partitions: u32,
    compact: bool,
    max_topics: u32,
) -> Result<Option<Topic>> {
    const DOING: &str = "store the topic";
    if let Some(topic) = find(transaction, name)? {
        return Ok(Some(topic));
    }
    let count: u32 = transaction
        .query_row("SELECT count(*) FROM topic WHERE name <> ?", [name], |row| row.get(0))
        .or_db(DOING)?;
    if count >= max_topics.saturating_mul(KNOWN_PER_TOPIC) {
        return Ok(None);
    }
    // One that was deleted goes on, under another id.
    let text = "INSERT INTO topic (name, uuid, compact) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET
            uuid = excluded.uuid, compact = excluded.compact, deleted = 0 RETURNING id";
    let id: i64 = transaction
        .query_row(text, params![name, Uuid::new_v4().as_bytes(), compact], |row| row.get(0))
        .or_db(DOING)?;
    for index in 0..partitions {
        let text =
            "INSERT INTO topic_partition (topic, idx) VALUES (?, ?) ON CONFLICT (topic, idx) DO UPDATE SET
                deleted = 0, trimmed_ms = 0";
        transaction.execute(text, params![id, index]).or_db("store its partitions")?;
    }
    let made = find(transaction, name)?;
    made.map(Some).ok_or_else(|| Error::new(Kind::Bug, "a topic just stored is not there"))
}

/// Reads a topic with the offsets its partitions have by what is stored.
fn find(connection: &Connection, name: &str) -> Result<Option<Topic>> {
    let head: Option<(i64, [u8; 16], bool)> = connection
        .prepare_cached("SELECT id, uuid, compact FROM topic WHERE name = ? AND deleted = 0")
        .and_then(|mut s| s.query_row([name], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).optional())
        .or_db("read a topic")?;
    let Some((id, uuid, compact)) = head else { return Ok(None) };
    let name: Arc<str> = name.into();
    // After a trim of everything only next_offset knows; after a crash only the last batch does.
    let text = "SELECT id, idx, log_start, next_offset,
            (SELECT last_offset + 1 FROM log_batch
             WHERE place >= (p.id << ?2) AND place < ((p.id + 1) << ?2) ORDER BY place DESC LIMIT 1)
        FROM topic_partition p WHERE topic = ?1 AND deleted = 0 ORDER BY idx";
    let partitions = connection
        .prepare_cached(text)
        .and_then(|mut statement| {
            let row = |row: &rusqlite::Row<'_>| {
                let (start, noted): (i64, i64) = (row.get(2)?, row.get(3)?);
                let read_to = row.get::<_, Option<i64>>(4)?.unwrap_or(0).max(start);
                let is_ahead = noted.saturating_sub(read_to) >= OFFSETS_AHEAD;
                Ok(Arc::new(Partition {
                    id: PartitionId(row.get(0)?),
                    index: row.get(1)?,
                    topic: Arc::clone(&name),
                    compact,
                    start: AtomicI64::new(start),
                    end: AtomicI64::new(if is_ahead { read_to } else { noted.max(read_to) }),
                    next: AtomicI64::new(noted),
                    bytes: AtomicU64::new(0),
                    gone: AtomicBool::new(false),
                }))
            };
            statement.query_map(params![id, OFFSET_BITS], row)?.collect()
        })
        .or_db("read a topic's partitions")?;
    Ok(Some(Topic { name, uuid: Uuid::from_bytes(uuid), compact, partitions }))
}

/// The cluster's id, made at the first start.
pub(super) fn cluster_id(transaction: &Transaction<'_>) -> Result<String> {
    // As long as Kafka's own, which are 16 bytes in base64.
    let fresh: String = Uuid::new_v4().simple().to_string().chars().take(22).collect();
    transaction
        .execute("INSERT OR IGNORE INTO buffer_meta (name, value) VALUES ('cluster_id', ?)", [fresh])
        .or_db("store the cluster's id")?;
    transaction
        .query_row("SELECT value FROM buffer_meta WHERE name = 'cluster_id'", [], |row| row.get(0))
        .or_db("read the cluster's id")
}

#[cfg(test)]
mod tests {
    use super::is_legal;

    #[test]
    fn names() {
        for (name, want) in [
            ("shop.public.orders", true),
            ("a_b-C.9", true),
            ("", false),
            (".", false),
            ("..", false),
            ("a b", false),
            ("ä", false),
            (&"x".repeat(249), true),
            (&"x".repeat(250), false),
        ] {
            assert_eq!(is_legal(name), want, "{name:?}");
        }
    }
}
