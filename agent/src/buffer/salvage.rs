//! Brings the whole batches of a damaged file into a new one, at the places where they stood.
//!
//! Where pages cannot be read, the next place that can is looked for by doubling the distance and then
//! halving it: a damaged page hides the batches on it, not those behind it.

use super::catalogue::Partition;
use super::damage;
use crate::db::{self, Db, OrDb};
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use shared::Result;
use shared::error::Context;
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

/// Bytes of batches in one transaction.
const BYTES_AT_ONCE: usize = 4 * 1024 * 1024;

/// The room's own tables beside the batches, in the order in which they refer to each other. Producers
/// are left behind: they may have gone on.
pub const TABLES: [&str; 4] = ["buffer_meta", "topic", "topic_partition", "buffer_damaged"];

/// What was brought over, and what was not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Salvaged {
    pub batches: u64,
    pub records: u64,
    pub bytes: u64,
    /// Batches that were found but are not whole.
    pub damaged: u64,
    /// Places where pages cannot be read.
    pub gaps: u64,
    /// Offsets missing between batches that were brought over.
    pub missing_records: u64,
}

/// Whether the file has no topics yet.
pub fn is_empty(reader: &Connection) -> Result<bool> {
    reader
        .query_row("SELECT NOT EXISTS (SELECT 1 FROM topic)", [], |row| row.get(0))
        .or_db("look whether the file is empty")
}

/// Copies the batches of `from`; its topics must be there already. The file is marked as a copy.
pub fn batches(from: &Connection, to: &Db) -> Result<Salvaged> {
    let mut salvage = Salvage { to, known: HashSet::new(), ends: HashMap::new(), sum: Salvaged::default() };
    let mut at = i64::MIN;
    let (mut slice, mut bytes) = (Vec::new(), 0);
    while let Some(place) = salvage.next(from, at) {
        at = place;
        match row(from, place) {
            Some(batch) => {
                bytes += batch.records.len();
                slice.push(batch);
            }
            None => salvage.sum.damaged += 1,
        }
        if bytes >= BYTES_AT_ONCE {
            salvage.store(std::mem::take(&mut slice))?;
            bytes = 0;
        }
    }
    salvage.store(slice)?;
    to.write(|transaction| super::copied::mark_copy(transaction))?;
    Ok(salvage.sum)
}

struct Stored {
    place: i64,
    last_offset: i64,
    max_time_ms: i64,
    arrived_ms: i64,
    records: Vec<u8>,
}

struct Salvage<'a> {
    to: &'a Db,
    known: HashSet<i64>,
    ends: HashMap<i64, i64>,
    sum: Salvaged,
}

impl Salvage<'_> {
    /// The next place after `at` that can be read.
    fn next(&mut self, from: &Connection, at: i64) -> Option<i64> {
        let first = at.saturating_add(1);
        match seek(from, first) {
            Ok(place) => return place,
            Err(_) => self.sum.gaps += 1,
        }
        let distances = (0..i64::BITS - 1).map(|bit| first.saturating_add(1 << bit));
        let mut bad = first;
        let mut good = None;
        for probe in distances {
            if let Ok(place) = seek(from, probe) {
                good = Some((probe, place));
                break;
            }
            bad = probe;
        }
        let (mut edge, mut found) = good?;
        while edge.saturating_sub(bad) > 1 {
            let middle = bad + (edge - bad) / 2;
            match seek(from, middle) {
                Ok(place) => (edge, found) = (middle, place),
                Err(_) => bad = middle,
            }
        }
        found
    }

    fn store(&mut self, batches: Vec<Stored>) -> Result<()> {
        for batch in &batches {
            let partition = Partition::of(batch.place);
            let first = Partition::offset(batch.place);
            if let Some(end) = self.ends.insert(partition, batch.last_offset.saturating_add(1)) {
                let missing = first.saturating_sub(end);
                let jumped = missing >= super::copied::OFFSETS_AHEAD;
                self.sum.missing_records += if jumped { 0 } else { missing.unsigned_abs() };
            }
            self.sum.batches += 1;
            self.sum.records += batch.last_offset.saturating_sub(first).unsigned_abs() + 1;
            self.sum.bytes += batch.records.len() as u64;
        }
        let fresh: Vec<i64> = self.ends.keys().copied().filter(|id| self.known.insert(*id)).collect();
        self.to
            .write(move |transaction| {
                fresh.iter().try_for_each(|partition| adopt(transaction, *partition))?;
                batches.iter().try_for_each(|batch| insert(transaction, batch))
            })
            .doing(|| "bring over batches")
    }
}

fn seek(from: &Connection, first: i64) -> rusqlite::Result<Option<i64>> {
    from.prepare_cached("SELECT place FROM log_batch WHERE place >= ? ORDER BY place LIMIT 1")?
        .query_row([first], |row| row.get(0))
        .optional()
}

/// A batch that is whole.
fn row(from: &Connection, place: i64) -> Option<Stored> {
    let text = "SELECT last_offset, max_time_ms, arrived_ms, records FROM log_batch WHERE place = ?";
    let mut statement = from.prepare_cached(text).ok()?;
    let read = |row: &rusqlite::Row<'_>| {
        Ok(Stored {
            place,
            last_offset: row.get(0)?,
            max_time_ms: row.get(1)?,
            arrived_ms: row.get(2)?,
            records: row.get(3)?,
        })
    };
    let batch = statement.query_row([place], read).ok()?;
    let flaw = damage::flaw(Partition::offset(place), batch.last_offset, &batch.records);
    flaw.is_none().then_some(batch)
}

fn insert(transaction: &Transaction<'_>, batch: &Stored) -> Result<()> {
    transaction
        .prepare_cached(
            "INSERT OR IGNORE INTO log_batch (place, last_offset, max_time_ms, arrived_ms, bytes, records)
             VALUES (?, ?, ?, ?, ?, ?)",
        )
        .and_then(|mut insert| {
            insert.execute(params![
                batch.place,
                batch.last_offset,
                batch.max_time_ms,
                batch.arrived_ms,
                batch.records.len() as i64,
                batch.records
            ])
        })
        .map(drop)
        .or_db("store a batch")
}

/// A partition whose row was lost gets a topic that says so: its name is not known any more.
fn adopt(transaction: &Transaction<'_>, partition: i64) -> Result<()> {
    const DOING: &str = "give batches a topic";
    let known: bool = transaction
        .query_row("SELECT EXISTS (SELECT 1 FROM topic_partition WHERE id = ?)", [partition], |row| {
            row.get(0)
        })
        .or_db(DOING)?;
    if known {
        return Ok(());
    }
    let name = format!("recovered.partition-{partition}");
    tracing::warn!(
        event = "buffer_topic_lost",
        topic = name.as_str(),
        remedy = "look into the topic, and produce it again under its name",
        "batches were found whose topic is lost"
    );
    transaction
        .execute("INSERT INTO topic (name, uuid) VALUES (?, ?)", params![name, Uuid::new_v4().as_bytes()])
        .and_then(|_| {
            let topic = transaction.last_insert_rowid();
            let text = "INSERT INTO topic_partition (id, topic, idx) VALUES (?, ?, 0)";
            transaction.execute(text, params![partition, topic])
        })
        .map(drop)
        .or_db(DOING)
}

/// Copies the room's own tables; says which were cut short.
pub fn tables(from: &Connection, to: &Db) -> Result<Vec<&'static str>> {
    let mut cut = Vec::new();
    for table in TABLES {
        if db::copy_table(from, to, table)?.cut {
            cut.push(table);
        }
    }
    Ok(cut)
}
