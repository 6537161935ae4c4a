//! Removing from the front, and the note in a partition's row that survives it.
//!
//! The next offset is otherwise known from the last batch alone, which may be trimmed away; so the
//! note is written in the transaction that deletes.

use super::catalogue::Partition;
use super::tail::{SharedTail, lock};
use crate::db::{Db, OrDb};
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use shared::Result;
use shared::error::Context;
use std::sync::Arc;

/// Batches removed per transaction: appends wait behind it, so it is kept short.
const BATCHES_AT_ONCE: i64 = 32;

/// What stands at a partition's front and may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Oldest {
    /// When the first of it arrived.
    pub arrived_ms: i64,
    /// The offset to trim to; one short transaction's worth.
    pub up_to: i64,
}

struct Removed {
    bytes: u64,
    batches: i64,
    log_start: i64,
}

pub(super) fn below(db: &Db, tail: &SharedTail, partition: &Arc<Partition>, offset: i64) -> Result<u64> {
    let mut total = 0;
    loop {
        let target = Arc::clone(partition);
        let removed = db
            .write(move |transaction| remove(transaction, &target, offset))
            .doing(|| format!("trim topic {}", partition.topic))?;
        lock(tail).trimmed(partition, removed.bytes);
        partition.publish_start(removed.log_start);
        total += removed.bytes;
        if removed.batches < BATCHES_AT_ONCE || removed.log_start >= offset {
            return Ok(total);
        }
    }
}

/// Removes one batch, wherever it stands.
pub(super) fn one(db: &Db, tail: &SharedTail, partition: &Arc<Partition>, base_offset: i64) -> Result<()> {
    let target = Arc::clone(partition);
    let bytes = db.write(move |transaction| {
        note(transaction, &target)?;
        let bytes: Option<i64> = transaction
            .prepare_cached("DELETE FROM log_batch WHERE place = ? RETURNING bytes")
            .and_then(|mut delete| delete.query_row([target.place(base_offset)], |row| row.get(0)).optional())
            .or_db("delete a batch")?;
        let bytes = bytes.unwrap_or(0);
        transaction
            .prepare_cached("UPDATE topic_partition SET bytes = bytes - ?2 WHERE id = ?1")
            .and_then(|mut update| update.execute(params![target.id.0, bytes]))
            .or_db("note the log's size")?;
        Ok(u64::try_from(bytes).unwrap_or(0))
    });
    lock(tail).trimmed(partition, bytes.doing(|| format!("compact topic {}", partition.topic))?);
    Ok(())
}

/// Those of the oldest batches that lie wholly below `below` and arrived before `before_ms`; no more than bring
/// `max_bytes` together.
pub(super) fn oldest(
    reader: &Connection,
    partition: &Partition,
    below: i64,
    before_ms: i64,
    max_bytes: u64,
) -> Result<Option<Oldest>> {
    // What an earlier topic of this name has left before its start is not this one's.
    let (first, after) = (partition.place(partition.start()), partition.places().1);
    let mut found: Option<Oldest> = None;
    let mut bytes = 0;
    let mut read = || -> rusqlite::Result<()> {
        let mut statement = reader.prepare_cached(
            "SELECT last_offset, arrived_ms, bytes FROM log_batch
             WHERE place >= ? AND place < ? ORDER BY place LIMIT ?",
        )?;
        let mut rows = statement.query(params![first, after, BATCHES_AT_ONCE])?;
        while let Some(row) = rows.next()? {
            let (last_offset, arrived_ms): (i64, i64) = (row.get(0)?, row.get(1)?);
            if last_offset >= below || arrived_ms >= before_ms || bytes >= max_bytes {
                break;
            }
            bytes += u64::from(row.get::<_, u32>(2)?);
            found.get_or_insert(Oldest { arrived_ms, up_to: 0 }).up_to = last_offset.saturating_add(1);
        }
        Ok(())
    };
    read().or_db("look at the oldest batches")?;
    Ok(found)
}

/// When the youngest batch that was ever trimmed had arrived; 0 if none was.
pub(super) fn trimmed_ms(reader: &Connection, partition: &Partition) -> Result<i64> {
    reader
        .prepare_cached("SELECT trimmed_ms FROM topic_partition WHERE id = ?")
        .and_then(|mut statement| statement.query_row([partition.id.0], |row| row.get(0)))
        .or_db("read how far the log was trimmed")
}

fn remove(transaction: &Transaction<'_>, partition: &Partition, offset: i64) -> Result<Removed> {
    let (first, after) = (partition.place(partition.start()), partition.places().1);
    note(transaction, partition)?;
    let (batches, bytes, last, arrived_ms): (i64, i64, Option<i64>, i64) = transaction
        .query_row(
            "SELECT count(*), coalesce(sum(bytes), 0), max(place), coalesce(max(arrived_ms), 0) FROM (
                SELECT place, bytes, arrived_ms FROM log_batch
                WHERE place >= ?1 AND place < ?2 AND last_offset < ?3 ORDER BY place LIMIT ?4)",
            params![first, partition.place(offset), offset, BATCHES_AT_ONCE],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
        )
        .or_db("look at the oldest batches")?;
    if let Some(last) = last {
        transaction
            .execute("DELETE FROM log_batch WHERE place >= ? AND place <= ?", params![first, last])
            .or_db("delete the oldest batches")?;
    }
    let remaining: Option<i64> = transaction
        .query_row(
            "SELECT place FROM log_batch WHERE place >= ? AND place < ? ORDER BY place LIMIT 1",
            params![first, after],
            |row| row.get(0),
        )
        .optional()
        .or_db("look at the oldest batch left")?;
    let log_start = transaction
        .query_row(
            "UPDATE topic_partition SET bytes = bytes - ?2, log_start = max(log_start, coalesce(?3, next_offset)),
                trimmed_ms = max(trimmed_ms, ?4)
             WHERE id = ?1 RETURNING log_start",
            params![partition.id.0, bytes, remaining.map(Partition::offset), arrived_ms],
            |row| row.get(0),
        )
        .or_db("note the log's start")?;
    Ok(Removed { bytes: u64::try_from(bytes).unwrap_or(0), batches, log_start })
}

/// Brings a partition's row up to date with its batches, those of this transaction included.
pub(super) fn note(transaction: &Transaction<'_>, partition: &Partition) -> Result<()> {
    let (first, after) = partition.places();
    transaction
        .prepare_cached(
            "UPDATE topic_partition SET
                bytes = bytes + (SELECT coalesce(sum(bytes), 0) FROM log_batch
                                 WHERE place >= (?2 | next_offset) AND place < ?3),
                next_offset = max(next_offset, coalesce(
                    (SELECT last_offset + 1 FROM log_batch
                     WHERE place >= ?2 AND place < ?3 ORDER BY place DESC LIMIT 1), 0))
             WHERE id = ?1",
        )
        .and_then(|mut update| update.execute(params![partition.id.0, first, after]))
        .or_db("note the log's end")?;
    Ok(())
}

/// Bytes of a partition's batches: as noted, and those that came after the note.
pub(super) fn stored_bytes(reader: &Connection, partition: &Partition) -> Result<u64> {
    let (first, after) = partition.places();
    let bytes: i64 = reader
        .prepare_cached(
            "SELECT bytes + (SELECT coalesce(sum(b.bytes), 0) FROM log_batch b
                             WHERE place >= (?2 | next_offset) AND place < ?3)
             FROM topic_partition WHERE id = ?1",
        )
        .and_then(|mut statement| {
            statement.query_row(params![partition.id.0, first, after], |row| row.get(0))
        })
        .or_db("add up the log")?;
    Ok(u64::try_from(bytes).unwrap_or(0))
}
