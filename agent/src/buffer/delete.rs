//! Deleting topics.
//!
//! ```text
//! asked ─> writer: does anybody still need it? ─> rows marked ─> commit ─> gone from the catalogue
//!                                                                           └─> purge, slice by slice
//! ```
//! By default a topic goes only once all of it is processed and at the centre, as far as either is to be: the
//! link may be away for days, and a slip of the hand must not cost what waits for it. Its batches are removed
//! later in short transactions, for producers' batches wait behind each; until then they count in the budget.
//!
//! The rows of topic and partitions stay. Made again, a topic has a new id and goes on at its old offsets: so
//! everything that knows a place in it (cursors, groups, the centre) stays right without being told.

use super::catalogue::{Partition, Topic};
use super::tail::{Tail, lock};
use super::{Log, trim};
use crate::config::buffer::DeleteTopics;
use crate::db::OrDb;
use crate::metrics;
use crate::model::batch::PartitionId;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use shared::Result;
use shared::error::Context;
use std::sync::Arc;

/// Batches removed per transaction: appends wait behind it.
const BATCHES_AT_ONCE: i64 = 32;

/// Who still needs a partition's records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nobody who says so.
    None,
    /// Somebody, from this offset on.
    From(i64),
    /// The topic comes from the centre, which would bring it again.
    Source,
}

/// Asked in the writer, so it must be quick.
pub type Needs = dyn Fn(&str, PartitionId) -> Need + Send + Sync;

/// Why a topic is not deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CannotDelete {
    NotAllowed,
    Unknown,
    /// So many records are not processed, or not at the centre.
    Waiting(u64),
    /// An open transaction has written into it.
    Transaction,
    Source,
}

impl Log {
    /// Who is asked before a topic is deleted; once.
    pub fn ask_before_deleting(&self, needs: Box<Needs>) {
        let _ = self.needs.set(needs);
    }

    /// Deletes a topic; durable when it returns.
    pub async fn delete_topic(&self, name: &str) -> Result<std::result::Result<(), CannotDelete>> {
        if self.config.delete_topics == DeleteTopics::Never {
            return Ok(Err(CannotDelete::NotAllowed));
        }
        // Topics are made and deleted one at a time, or the catalogue could be told in the wrong order.
        let _turn = self.changing.lock().await;
        let Some(topic) = self.topic(name) else { return Ok(Err(CannotDelete::Unknown)) };
        let whatever_waits = self.config.delete_topics == DeleteTopics::Always;
        let (tail, needs, target) = (Arc::clone(&self.tail), Arc::clone(&self.needs), Arc::clone(&topic));
        let deleted = self
            .db
            .write_async(move |transaction| {
                let tail = &mut *lock(&tail);
                let waiting = match waiting(transaction, tail, &target, needs.get().map(AsRef::as_ref))? {
                    Ok(0) => 0,
                    Ok(records) if whatever_waits => records,
                    Ok(records) => return Ok(Err(CannotDelete::Waiting(records))),
                    Err(CannotDelete::Transaction) if whatever_waits => 0,
                    Err(why) => return Ok(Err(why)),
                };
                let staged_bytes = mark(transaction, &target)?;
                tail.release(staged_bytes);
                tail.stage_deleted(target);
                Ok(Ok(waiting))
            })
            .await
            .doing(|| format!("delete topic {name}"))?;
        let dropped = match deleted {
            Ok(dropped) => dropped,
            Err(why) => return Ok(Err(why)),
        };
        topic.partitions.iter().for_each(|partition| self.damage.forget_partition(partition.id));
        tell(name, dropped);
        Ok(Ok(()))
    }

    /// Removes a slice of what deleted topics have left; `false` if there is nothing (more). Blocks.
    pub fn purge(&self, reader: &Connection) -> Result<bool> {
        if next_purge(reader)?.is_none() {
            return Ok(false);
        }
        let bytes = self.db.write(purge_some).doing(|| "remove what deleted topics have left")?;
        lock(&self.tail).purged(bytes);
        Ok(true)
    }
}

fn tell(name: &str, dropped: u64) {
    metrics::BUFFER_DELETED_TOPICS.inc();
    if dropped == 0 {
        tracing::info!(
            event = "buffer_topic_deleted",
            topic = name,
            "a topic was deleted, as a client asked"
        );
        return;
    }
    metrics::BUFFER_DROPPED_RECORDS.inc_by(dropped);
    tracing::warn!(
        event = "buffer_topic_deleted",
        topic = name,
        dropped,
        remedy = "buffer.delete_topics = \"settled\" refuses to delete what is still needed",
        "a topic was deleted, as a client asked, with records that were not processed or not at the centre"
    );
}

/// Records that are still needed, those of this very group included.
fn waiting(
    transaction: &Transaction<'_>,
    tail: &Tail,
    topic: &Topic,
    needs: Option<&Needs>,
) -> Result<std::result::Result<u64, CannotDelete>> {
    let mut records = 0;
    let mut in_transactions = false;
    for partition in &topic.partitions {
        let from = match needs.map_or(Need::None, |needs| needs(&topic.name, partition.id)) {
            Need::None => continue,
            Need::Source => return Ok(Err(CannotDelete::Source)),
            Need::From(offset) => offset.max(partition.start()),
        };
        records += u64::try_from(tail.end(partition).saturating_sub(from)).unwrap_or(0);
        in_transactions |= transaction
            .query_row(
                "SELECT EXISTS (SELECT 1 FROM staged_batch WHERE partition = ?)",
                [partition.id.0],
                |row| row.get::<_, bool>(0),
            )
            .or_db("look for open transactions")?;
    }
    Ok(if records == 0 && in_transactions { Err(CannotDelete::Transaction) } else { Ok(records) })
}

/// Marks the rows; how many bytes of open transactions went with them.
fn mark(transaction: &Transaction<'_>, topic: &Topic) -> Result<u64> {
    const DOING: &str = "mark a topic as deleted";
    let mut staged_bytes = 0;
    for partition in &topic.partitions {
        trim::note(transaction, partition)?;
        let id = partition.id.0;
        transaction
            .execute(
                "UPDATE topic_partition SET deleted = 1, log_start = next_offset, purge_below = next_offset,
                    purge_bytes = purge_bytes + bytes, bytes = 0 WHERE id = ?",
                [id],
            )
            .and_then(|_| transaction.execute("DELETE FROM producer WHERE partition = ?", [id]))
            .or_db(DOING)?;
        let bytes: i64 = transaction
            .query_row("SELECT coalesce(sum(bytes), 0) FROM staged_batch WHERE partition = ?", [id], |row| {
                row.get(0)
            })
            .or_db(DOING)?;
        staged_bytes += u64::try_from(bytes).unwrap_or(0);
        transaction.execute("DELETE FROM staged_batch WHERE partition = ?", [id]).or_db(DOING)?;
    }
    transaction.execute("UPDATE topic SET deleted = 1 WHERE name = ?", [&*topic.name]).or_db(DOING)?;
    Ok(staged_bytes)
}

fn next_purge(reader: &Connection) -> Result<Option<(i64, i64)>> {
    reader
        .prepare_cached("SELECT id, purge_below FROM topic_partition WHERE purge_below > 0 LIMIT 1")
        .and_then(|mut statement| statement.query_row([], |row| Ok((row.get(0)?, row.get(1)?))).optional())
        .or_db("look for what deleted topics have left")
}

/// One slice; how many bytes went.
fn purge_some(transaction: &Transaction<'_>) -> Result<u64> {
    const DOING: &str = "remove batches of a deleted topic";
    let Some((id, below)) = next_purge(transaction)? else { return Ok(0) };
    let (first, end) = (Partition::place_of(id, 0), Partition::place_of(id, below));
    let (batches, bytes, last): (i64, i64, Option<i64>) = transaction
        .query_row(
            "SELECT count(*), coalesce(sum(bytes), 0), max(place) FROM (
                SELECT place, bytes FROM log_batch WHERE place >= ? AND place < ? ORDER BY place LIMIT ?)",
            params![first, end, BATCHES_AT_ONCE],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
        .or_db(DOING)?;
    if let Some(last) = last {
        transaction
            .execute("DELETE FROM log_batch WHERE place >= ? AND place <= ?", params![first, last])
            .or_db(DOING)?;
    }
    let text = match batches < BATCHES_AT_ONCE {
        true => {
            "UPDATE topic_partition SET purge_below = 0, purge_bytes = max(purge_bytes - ?2, 0) WHERE id = ?1"
        }
        false => "UPDATE topic_partition SET purge_bytes = max(purge_bytes - ?2, 0) WHERE id = ?1",
    };
    transaction.execute(text, params![id, bytes]).or_db(DOING)?;
    Ok(u64::try_from(bytes).unwrap_or(0))
}

/// Bytes of what is still to be removed.
pub(super) fn left_bytes(reader: &Connection) -> Result<u64> {
    let bytes: i64 = reader
        .query_row("SELECT coalesce(sum(purge_bytes), 0) FROM topic_partition", [], |row| row.get(0))
        .or_db("add up what deleted topics have left")?;
    Ok(u64::try_from(bytes).unwrap_or(0))
}
