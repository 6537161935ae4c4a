//! Batches of open transactions: put aside, read one after the other, deleted.

use super::identity::{self, State};
use crate::buffer::append::{Append, Refusal};
use crate::db::OrDb;
use crate::model::batch::PartitionId;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use shared::Result;
use shared::kafka::batch::{self, Turn};
use std::collections::HashMap;

/// What one request's producers may do, asked once each.
#[derive(Default)]
pub struct Staging(HashMap<(i64, i16), Option<Refusal>>);

impl Staging {
    /// Why a batch of a transaction may not be taken, if so.
    pub fn refuses(&mut self, tx: &Transaction<'_>, turn: &Turn) -> Result<Option<Refusal>> {
        let key = (turn.producer, turn.epoch);
        if let Some(known) = self.0.get(&key) {
            return Ok(*known);
        }
        let refusal = match identity::of_producer(tx, turn.producer)? {
            None => Some(Refusal::NoTransactionalId),
            Some(identity) if identity.who.epoch != turn.epoch => Some(Refusal::StaleEpoch),
            Some(identity) if identity.state != State::Open => Some(Refusal::NoTransaction),
            Some(_) => None,
        };
        self.0.insert(key, refusal);
        Ok(refusal)
    }
}

/// Puts a batch aside, as it will lie in the log.
pub fn put(tx: &Transaction<'_>, append: &Append, turn: &Turn, records: &mut [u8]) -> Result<()> {
    batch::unmark(records);
    let head = &append.head;
    tx.prepare_cached(
        "INSERT INTO staged_batch (producer, partition, last_delta, max_time_ms, bytes, records)
         VALUES (?, ?, ?, ?, ?, ?)",
    )
    .and_then(|mut insert| {
        insert.execute(params![
            turn.producer,
            append.partition.id.0,
            head.last_delta,
            head.max_time_ms,
            records.len() as i64,
            &*records
        ])
    })
    .or_db("stage a batch")?;
    Ok(())
}

pub(super) struct Staged {
    pub id: i64,
    pub partition: PartitionId,
    pub last_delta: i32,
    pub max_time_ms: i64,
    pub records: Vec<u8>,
}

/// A producer's oldest staged batch.
pub(super) fn first(tx: &Transaction<'_>, producer: i64) -> Result<Option<Staged>> {
    let row = |row: &rusqlite::Row<'_>| {
        Ok(Staged {
            id: row.get(0)?,
            partition: PartitionId(row.get(1)?),
            last_delta: row.get(2)?,
            max_time_ms: row.get(3)?,
            records: row.get(4)?,
        })
    };
    tx.prepare_cached(
        "SELECT id, partition, last_delta, max_time_ms, records FROM staged_batch
         WHERE id = (SELECT min(id) FROM staged_batch WHERE producer = ?)",
    )
    .and_then(|mut statement| statement.query_row([producer], row).optional())
    .or_db("read a staged batch")
}

pub(super) fn remove(tx: &Transaction<'_>, id: i64) -> Result<()> {
    tx.prepare_cached("DELETE FROM staged_batch WHERE id = ?")
        .and_then(|mut delete| delete.execute([id]))
        .or_db("remove a staged batch")?;
    Ok(())
}

/// Deletes what a producer has staged; how many bytes that was.
pub(super) fn remove_all(tx: &Transaction<'_>, producer: i64) -> Result<u64> {
    let bytes: i64 = tx
        .prepare_cached("SELECT coalesce(sum(bytes), 0) FROM staged_batch WHERE producer = ?")
        .and_then(|mut statement| statement.query_row([producer], |row| row.get(0)))
        .or_db("add up the staged batches")?;
    tx.prepare_cached("DELETE FROM staged_batch WHERE producer = ?")
        .and_then(|mut delete| delete.execute([producer]))
        .or_db("delete the staged batches")?;
    Ok(u64::try_from(bytes).unwrap_or(0))
}

/// Bytes of all that is staged.
pub fn stored_bytes(reader: &Connection) -> Result<u64> {
    let bytes: i64 = reader
        .query_row("SELECT coalesce(sum(bytes), 0) FROM staged_batch", [], |row| row.get(0))
        .or_db("add up the staged batches")?;
    Ok(u64::try_from(bytes).unwrap_or(0))
}
