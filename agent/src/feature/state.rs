//! The rows that windows still need, in SQLite. This room's tables: `feature_view`, `feature_row`.
//!
//! Rows lie by entity and time, so that recomputing an entity is one range read; a second index finds
//! a row by its primary key, a third the rows that leave a window.

use super::intake::Kept;
use crate::db::OrDb;
use crate::model::feature::ViewId;
use crate::model::pack;
use crate::model::value::Value;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use shared::error::{Error, Kind, Result};

const DOING: &str = "use the features' state";

/// A view as the file knows it.
#[derive(Debug)]
pub struct Known {
    pub id: ViewId,
    pub name: String,
    /// Empty until the view's state was built.
    pub definition: String,
}

pub fn views(connection: &Connection) -> Result<Vec<Known>> {
    let mut statement =
        connection.prepare_cached("SELECT id, name, definition FROM feature_view").or_db(DOING)?;
    let rows = statement
        .query_map([], |r| Ok(Known { id: ViewId(r.get(0)?), name: r.get(1)?, definition: r.get(2)? }))
        .or_db(DOING)?;
    rows.collect::<rusqlite::Result<_>>().or_db(DOING)
}

/// The view's number, given on first sight.
pub fn add_view(tx: &Transaction<'_>, name: &str, now_us: i64) -> Result<ViewId> {
    tx.prepare_cached("INSERT INTO feature_view (name, definition, expired_to_us) VALUES (?1, '', ?2)")
        .and_then(|mut s| s.insert(params![name, now_us]))
        .map(ViewId)
        .or_db(DOING)
}

/// Says that the view's state now follows `definition`.
pub fn set_definition(tx: &Transaction<'_>, view: ViewId, definition: &str) -> Result<()> {
    let sql = "UPDATE feature_view SET definition = ?2 WHERE id = ?1";
    tx.prepare_cached(sql).and_then(|mut s| s.execute(params![view.0, definition])).or_db(DOING).map(drop)
}

pub fn forget_view(tx: &Transaction<'_>, view: ViewId) -> Result<()> {
    clear(tx, view)?;
    let sql = "DELETE FROM feature_view WHERE id = ?1";
    tx.prepare_cached(sql).and_then(|mut s| s.execute([view.0])).or_db(DOING).map(drop)
}

/// The entity and time under which the row with this key is kept.
pub fn find(tx: &Transaction<'_>, view: ViewId, key: &[u8]) -> Result<Option<(Vec<u8>, i64)>> {
    let sql = "SELECT entity, time_us FROM feature_row WHERE view = ?1 AND key = ?2";
    tx.prepare_cached(sql)
        .and_then(|mut s| s.query_row(params![view.0, key], |r| Ok((r.get(0)?, r.get(1)?))).optional())
        .or_db(DOING)
}

pub fn columns(
    tx: &Transaction<'_>,
    view: ViewId,
    (entity, time_us): &(Vec<u8>, i64),
    key: &[u8],
) -> Result<Option<Vec<Value>>> {
    let sql = "SELECT columns FROM feature_row WHERE view = ?1 AND entity = ?2 AND time_us = ?3 AND key = ?4";
    let bytes: Option<Vec<u8>> = tx
        .prepare_cached(sql)
        .and_then(|mut s| s.query_row(params![view.0, entity, time_us, key], |r| r.get(0)).optional())
        .or_db(DOING)?;
    bytes.map(|bytes| unpack(&bytes)).transpose()
}

pub fn insert(tx: &Transaction<'_>, view: ViewId, key: &[u8], kept: &Kept) -> Result<()> {
    // The same key at the same place only has new columns.
    let sql = "INSERT INTO feature_row (view, entity, time_us, key, columns) VALUES (?1, ?2, ?3, ?4, ?5)
               ON CONFLICT (view, entity, time_us, key) DO UPDATE SET columns = excluded.columns";
    tx.prepare_cached(sql)
        .and_then(|mut s| {
            s.execute(params![view.0, kept.entity, kept.time_us, key, pack::pack(&kept.columns)])
        })
        .or_db(DOING)
        .map(drop)
}

pub fn remove(
    tx: &Transaction<'_>,
    view: ViewId,
    (entity, time_us): &(Vec<u8>, i64),
    key: &[u8],
) -> Result<()> {
    let sql = "DELETE FROM feature_row WHERE view = ?1 AND entity = ?2 AND time_us = ?3 AND key = ?4";
    tx.prepare_cached(sql)
        .and_then(|mut s| s.execute(params![view.0, entity, time_us, key]))
        .or_db(DOING)
        .map(drop)
}

/// Every entity that has rows.
pub fn entities(tx: &Transaction<'_>, view: ViewId) -> Result<Vec<Vec<u8>>> {
    let mut statement =
        tx.prepare_cached("SELECT DISTINCT entity FROM feature_row WHERE view = ?1").or_db(DOING)?;
    let rows = statement.query_map([view.0], |r| r.get(0)).or_db(DOING)?;
    rows.collect::<rusqlite::Result<_>>().or_db(DOING)
}

pub fn clear(tx: &Transaction<'_>, view: ViewId) -> Result<()> {
    tx.prepare_cached("DELETE FROM feature_row WHERE view = ?1")
        .and_then(|mut s| s.execute([view.0]))
        .or_db(DOING)
        .map(drop)
}

/// The entity's rows later than `after_us`, by time and key.
pub fn each_row(
    tx: &Transaction<'_>,
    view: ViewId,
    entity: &[u8],
    after_us: i64,
    mut each: impl FnMut(i64, &[Value]),
) -> Result<()> {
    let mut statement = tx
        .prepare_cached(
            "SELECT time_us, columns FROM feature_row WHERE view = ?1 AND entity = ?2 AND time_us > ?3
             ORDER BY time_us, key",
        )
        .or_db(DOING)?;
    let mut rows = statement.query(params![view.0, entity, after_us]).or_db(DOING)?;
    while let Some(row) = rows.next().or_db(DOING)? {
        let bytes = row.get_ref(1).and_then(|b| Ok(b.as_blob()?)).or_db(DOING)?;
        each(row.get(0).or_db(DOING)?, &unpack(bytes)?);
    }
    Ok(())
}

/// Up to which time the view's windows have been looked at.
pub fn expired_to(connection: &Connection, view: ViewId) -> Result<i64> {
    let sql = "SELECT expired_to_us FROM feature_view WHERE id = ?1";
    connection.prepare_cached(sql).and_then(|mut s| s.query_row([view.0], |r| r.get(0))).or_db(DOING)
}

pub fn set_expired_to(tx: &Transaction<'_>, view: ViewId, to_us: i64) -> Result<()> {
    let sql = "UPDATE feature_view SET expired_to_us = ?2 WHERE id = ?1";
    tx.prepare_cached(sql).and_then(|mut s| s.execute(params![view.0, to_us])).or_db(DOING).map(drop)
}

/// Whether any row lies in `(after, to]`.
pub fn any_between(connection: &Connection, view: ViewId, after_us: i64, to_us: i64) -> Result<bool> {
    nth_between(connection, view, after_us, to_us, 0).map(|found| found.is_some())
}

/// The time of the n-th row in `(after, to]`, counted from zero by time.
pub fn nth_between(
    connection: &Connection,
    view: ViewId,
    after_us: i64,
    to_us: i64,
    n: usize,
) -> Result<Option<i64>> {
    let sql = "SELECT time_us FROM feature_row WHERE view = ?1 AND time_us > ?2 AND time_us <= ?3
               ORDER BY time_us LIMIT 1 OFFSET ?4";
    let n = i64::try_from(n).unwrap_or(i64::MAX);
    connection
        .prepare_cached(sql)
        .and_then(|mut s| s.query_row(params![view.0, after_us, to_us, n], |r| r.get(0)).optional())
        .or_db(DOING)
}

/// The entities that have a row in `(after, to]`.
pub fn entities_between(
    tx: &Transaction<'_>,
    view: ViewId,
    after_us: i64,
    to_us: i64,
) -> Result<Vec<Vec<u8>>> {
    let sql = "SELECT DISTINCT entity FROM feature_row WHERE view = ?1 AND time_us > ?2 AND time_us <= ?3";
    let mut statement = tx.prepare_cached(sql).or_db(DOING)?;
    let rows = statement.query_map(params![view.0, after_us, to_us], |r| r.get(0)).or_db(DOING)?;
    rows.collect::<rusqlite::Result<_>>().or_db(DOING)
}

/// Forgets rows at or before `to_us`.
pub fn trim(tx: &Transaction<'_>, view: ViewId, to_us: i64) -> Result<()> {
    let sql = "DELETE FROM feature_row WHERE view = ?1 AND time_us <= ?2";
    tx.prepare_cached(sql).and_then(|mut s| s.execute(params![view.0, to_us])).or_db(DOING).map(drop)
}

/// Rows kept and entities with rows, for the status page.
pub fn size(connection: &Connection, view: ViewId) -> Result<(i64, i64)> {
    let sql = "SELECT count(*), count(DISTINCT entity) FROM feature_row WHERE view = ?1";
    connection
        .prepare_cached(sql)
        .and_then(|mut s| s.query_row([view.0], |r| Ok((r.get(0)?, r.get(1)?))))
        .or_db(DOING)
}

fn unpack(bytes: &[u8]) -> Result<Vec<Value>> {
    pack::unpack(bytes).ok_or_else(|| Error::new(Kind::Data, "a stored feature row is damaged"))
}
