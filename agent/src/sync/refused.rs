//! What a store will not take: kept with the reason, and out of the others' way. This room's table:
//! `sync_refused`.
//!
//! One row per store, view and entity, so that it is bounded by the entities there are.

use super::outbox::Waiting;
use crate::db::OrDb;
use crate::model::feature::{AsOf, ViewId};
use rusqlite::{Connection, Transaction, params};
use shared::error::Result;

const DOING: &str = "use what stores refused";
/// A store's words may quote whole statements.
const MAX_REASON_BYTES: usize = 1_000;

/// A row that a store refused.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    pub target: String,
    pub view: ViewId,
    pub entity: Vec<u8>,
    pub as_of: AsOf,
    pub reason: String,
    pub refused_ms: i64,
}

/// Keeps a row; a later refusal of the same entity takes its place.
pub fn put(tx: &Transaction<'_>, target: &str, row: &Waiting, reason: &str, now_ms: i64) -> Result<()> {
    let cut = reason.floor_char_boundary(MAX_REASON_BYTES);
    let reason = reason.get(..cut).unwrap_or_default();
    let sql = "INSERT OR REPLACE INTO sync_refused
                   (target, view, entity, as_of_ns, vals, reason, refused_ms)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    tx.prepare_cached(sql)
        .and_then(|mut statement| {
            statement.execute(params![
                target,
                row.view.0,
                row.entity,
                row.as_of.0,
                row.packed,
                reason,
                now_ms
            ])
        })
        .or_db(DOING)
        .map(drop)
}

/// The store has taken newer values of the entity.
pub fn settled(tx: &Transaction<'_>, target: &str, view: ViewId, entity: &[u8]) -> Result<()> {
    tx.prepare_cached("DELETE FROM sync_refused WHERE target = ?1 AND view = ?2 AND entity = ?3")
        .and_then(|mut statement| statement.execute(params![target, view.0, entity]))
        .or_db(DOING)
        .map(drop)
}

/// Forgets a view's rows.
pub fn clear(tx: &Transaction<'_>, view: ViewId) -> Result<()> {
    tx.execute("DELETE FROM sync_refused WHERE view = ?1", [view.0]).or_db(DOING).map(drop)
}

/// Forgets a store's rows.
pub fn forget(tx: &Transaction<'_>, target: &str) -> Result<()> {
    tx.execute("DELETE FROM sync_refused WHERE target = ?1", [target]).or_db(DOING).map(drop)
}

/// Whether any of a store's are kept.
pub fn any(connection: &Connection, target: &str) -> Result<bool> {
    connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM sync_refused WHERE target = ?1)")
        .and_then(|mut statement| statement.query_row([target], |row| row.get(0)))
        .or_db(DOING)
}

/// How many of a store's are kept.
pub fn count(connection: &Connection, target: &str) -> Result<i64> {
    connection
        .prepare_cached("SELECT count(*) FROM sync_refused WHERE target = ?1")
        .and_then(|mut statement| statement.query_row([target], |row| row.get(0)))
        .or_db(DOING)
}

/// What is kept, of all stores or one, at most `limit`, the newest refusals first.
pub fn list(connection: &Connection, target: Option<&str>, limit: usize) -> Result<Vec<Refused>> {
    let sql = "SELECT target, view, entity, as_of_ns, reason, refused_ms FROM sync_refused
               WHERE ?1 IS NULL OR target = ?1 ORDER BY refused_ms DESC LIMIT ?2";
    let mut statement = connection.prepare_cached(sql).or_db(DOING)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = statement
        .query_map(params![target, limit], |row| {
            Ok(Refused {
                target: row.get(0)?,
                view: ViewId(row.get(1)?),
                entity: row.get(2)?,
                as_of: AsOf(row.get(3)?),
                reason: row.get(4)?,
                refused_ms: row.get(5)?,
            })
        })
        .or_db(DOING)?;
    rows.collect::<rusqlite::Result<_>>().or_db(DOING)
}

/// Puts what is kept, of all stores or one, back into the outbox, behind everything else; gives how many
/// were kept. What waits there for another store (it is as new or newer) is moved. Other stores see these
/// rows once more, which changes nothing there.
pub fn retry(tx: &Transaction<'_>, target: Option<&str>) -> Result<usize> {
    tx.execute(
        "INSERT INTO sync_outbox (view, entity, as_of_ns, vals)
         SELECT r.view, r.entity, coalesce(o.as_of_ns, r.as_of_ns), coalesce(o.vals, r.vals)
         FROM sync_refused AS r LEFT JOIN sync_outbox AS o ON o.view = r.view AND o.entity = r.entity
         WHERE ?1 IS NULL OR r.target = ?1 ORDER BY r.as_of_ns DESC",
        [target],
    )
    .or_db(DOING)?;
    tx.execute("DELETE FROM sync_refused WHERE ?1 IS NULL OR target = ?1", [target]).or_db(DOING)
}
