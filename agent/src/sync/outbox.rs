//! What some central store has not confirmed: the latest values per view and entity, in the order of
//! their change, read by each store from its own cursor on. This room's tables: `sync_outbox`,
//! `sync_target`.
//!
//! A newer value takes the older one's place with a new sequence, so the outbox never holds more rows
//! than there are entities, however long a store is away, and a store that comes back is sent only
//! the newest of each. Rows that every store has are dropped.
//!
//! A new store gets what the others have long had: such rows are given sequences *below* all cursors
//! (negative ones), so that nobody else reads them again.

use super::refused;
use crate::db::OrDb;
use crate::model::feature::{AsOf, StoredRow, ViewId};
use crate::model::pack;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use shared::error::Result;

const DOING: &str = "use the outbox";

/// A row of the outbox, its values still packed.
#[derive(Clone, Debug, PartialEq)]
pub struct Waiting {
    pub sequence: i64,
    pub view: ViewId,
    pub entity: Vec<u8>,
    pub as_of: AsOf,
    pub packed: Vec<u8>,
}

/// Queues values for all stores.
pub fn put(tx: &Transaction<'_>, stored: &[StoredRow]) -> Result<()> {
    let sql = "INSERT INTO sync_outbox (view, entity, as_of_ns, vals) VALUES (?1, ?2, ?3, ?4)";
    for StoredRow { row, as_of } in stored {
        tx.prepare_cached(sql)
            .and_then(|mut statement| {
                statement.execute(params![row.view.0, row.entity, as_of.0, pack::pack(&row.values)])
            })
            .or_db(DOING)?;
    }
    Ok(())
}

/// The oldest rows above `after`: at most `rows`, and no more than make up `bytes`, but one at least.
pub fn take(connection: &Connection, after: i64, rows: usize, bytes: usize) -> Result<Vec<Waiting>> {
    let sql = "SELECT sequence, view, entity, as_of_ns, vals FROM sync_outbox
               WHERE sequence > ?1 ORDER BY sequence LIMIT ?2";
    let mut statement = connection.prepare_cached(sql).or_db(DOING)?;
    let mut found = statement.query(params![after, i64::try_from(rows).unwrap_or(i64::MAX)]).or_db(DOING)?;
    let (mut taken, mut size) = (Vec::new(), 0);
    while let Some(row) = found.next().or_db(DOING)? {
        let waiting = Waiting {
            sequence: row.get(0).or_db(DOING)?,
            view: ViewId(row.get(1).or_db(DOING)?),
            entity: row.get(2).or_db(DOING)?,
            as_of: AsOf(row.get(3).or_db(DOING)?),
            packed: row.get(4).or_db(DOING)?,
        };
        size += waiting.packed.len() + waiting.entity.len();
        if size > bytes && !taken.is_empty() {
            break;
        }
        taken.push(waiting);
    }
    Ok(taken)
}

/// How far a store is.
pub fn confirmed(connection: &Connection, target: &str) -> Result<i64> {
    connection
        .prepare_cached("SELECT confirmed FROM sync_target WHERE name = ?1")
        .and_then(|mut statement| statement.query_row([target], |row| row.get(0)))
        .or_db(DOING)
}

/// Notes how far a store is, and drops what all have.
pub fn confirm(tx: &Transaction<'_>, target: &str, sequence: i64) -> Result<()> {
    tx.prepare_cached("UPDATE sync_target SET confirmed = ?2 WHERE name = ?1 AND confirmed < ?2")
        .and_then(|mut statement| statement.execute(params![target, sequence]))
        .or_db(DOING)?;
    tx.prepare_cached("DELETE FROM sync_outbox WHERE sequence <= (SELECT min(confirmed) FROM sync_target)")
        .and_then(|mut statement| statement.execute([]))
        .or_db(DOING)
        .map(drop)
}

/// Forgets a view's rows.
pub fn clear(tx: &Transaction<'_>, view: ViewId) -> Result<()> {
    tx.prepare_cached("DELETE FROM sync_outbox WHERE view = ?1")
        .and_then(|mut statement| statement.execute([view.0]))
        .or_db(DOING)?;
    refused::clear(tx, view)
}

/// Rows that wait for a store, and the time of the oldest.
pub fn size(connection: &Connection, target: &str) -> Result<(i64, Option<AsOf>)> {
    let after = connection
        .prepare_cached("SELECT confirmed FROM sync_target WHERE name = ?1")
        .and_then(|mut statement| statement.query_row([target], |row| row.get::<_, i64>(0)).optional())
        .or_db(DOING)?;
    let Some(after) = after else { return Ok((0, None)) };
    let count = connection
        .prepare_cached("SELECT count(*) FROM sync_outbox WHERE sequence > ?1")
        .and_then(|mut statement| statement.query_row([after], |row| row.get(0)))
        .or_db(DOING)?;
    let oldest = connection
        .prepare_cached("SELECT as_of_ns FROM sync_outbox WHERE sequence > ?1 ORDER BY sequence LIMIT 1")
        .and_then(|mut statement| statement.query_row([after], |row| row.get(0)).optional())
        .or_db(DOING)?;
    Ok((count, oldest.map(AsOf)))
}

/// Forgets stores that are no longer wanted, or are others than before under the same name; gives the
/// place among `wanted` (name, identity) of those that are new and so need everything. Without any the
/// outbox is emptied.
pub fn settle(tx: &Transaction<'_>, wanted: &[(String, String)]) -> Result<Vec<usize>> {
    let mut known: Vec<(String, String)> = Vec::new();
    {
        let mut statement = tx.prepare_cached("SELECT name, identity FROM sync_target").or_db(DOING)?;
        let mut rows = statement.query([]).or_db(DOING)?;
        while let Some(row) = rows.next().or_db(DOING)? {
            known.push((row.get(0).or_db(DOING)?, row.get(1).or_db(DOING)?));
        }
    }
    for (name, _) in known.iter().filter(|one| !wanted.contains(one)) {
        tx.execute("DELETE FROM sync_target WHERE name = ?1", [name]).or_db(DOING)?;
        refused::forget(tx, name)?;
    }
    if wanted.is_empty() {
        tx.execute("DELETE FROM sync_outbox", []).or_db(DOING)?;
    }
    let fresh = wanted.iter().enumerate().filter(|(_, one)| !known.contains(one));
    Ok(fresh.map(|(at, _)| at).collect())
}

/// Adds what is not in the outbox any more, below all cursors.
pub fn fill(tx: &Transaction<'_>, stored: &[StoredRow]) -> Result<()> {
    let mut below = bottom(tx)?;
    let sql = "INSERT OR IGNORE INTO sync_outbox (sequence, view, entity, as_of_ns, vals)
               VALUES (?1, ?2, ?3, ?4, ?5)";
    for StoredRow { row, as_of } in stored {
        let packed = pack::pack(&row.values);
        tx.prepare_cached(sql)
            .and_then(|mut statement| {
                statement.execute(params![below, row.view.0, row.entity, as_of.0, packed])
            })
            .or_db(DOING)?;
        below -= 1;
    }
    Ok(())
}

/// Notes a new store, in front of everything that the outbox holds.
pub fn begin(tx: &Transaction<'_>, name: &str, identity: &str) -> Result<()> {
    tx.execute(
        "INSERT INTO sync_target (name, identity, confirmed) VALUES (?1, ?2, ?3)",
        params![name, identity, bottom(tx)?],
    )
    .or_db(DOING)
    .map(drop)
}

/// A sequence that no row has and no store is in front of.
fn bottom(tx: &Transaction<'_>) -> Result<i64> {
    let sql = "SELECT min(0, coalesce((SELECT min(sequence) FROM sync_outbox), 0),
                      coalesce((SELECT min(confirmed) FROM sync_target), 0)) - 1";
    tx.prepare_cached(sql).and_then(|mut statement| statement.query_row([], |row| row.get(0))).or_db(DOING)
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
