//! What a view with look-ups keeps, in SQLite. The feature room's tables: `feature_lookup`,
//! `feature_joined`, `feature_reference`.

use crate::db;
use crate::feature::state::damaged;
use crate::model::feature::ViewId;
use crate::model::pack;
use crate::model::value::Value;
use rusqlite::{Connection, Params, Transaction, params};
use shared::error::Result;

const DOING: &str = "use the features' look-ups";

/// One look-up of one view.
#[derive(Clone, Copy, Debug)]
pub struct Of {
    pub view: ViewId,
    pub at: usize,
}

impl Of {
    fn at(self) -> i64 {
        i64::try_from(self.at).unwrap_or(i64::MAX)
    }
}

/// A looked-up row.
#[derive(Clone, Debug, PartialEq)]
pub struct LookedUp {
    /// What refers to it, as [`super::joins`] gives it.
    pub joins: Vec<u8>,
    /// Packed.
    pub columns: Vec<u8>,
}

/// One of the view's own rows, as it came.
#[derive(Clone, Debug, PartialEq)]
pub struct Own {
    pub committed_us: i64,
    /// The columns that the view reads, in the order of its look-ups' [`super::Joins`].
    pub columns: Vec<Value>,
}

/// The row with this key of its record.
pub fn looked_up(tx: &Transaction<'_>, of: Of, key: &[u8]) -> Result<Option<LookedUp>> {
    let sql = "SELECT joins, columns FROM feature_lookup WHERE view = ?1 AND lookup = ?2 AND key = ?3";
    db::one(tx, DOING, sql, params![of.view.0, of.at(), key], |r| {
        Ok(LookedUp { joins: r.get(0)?, columns: r.get(1)? })
    })
}

/// The columns of the row that is referred to like this.
pub fn joined(tx: &Transaction<'_>, of: Of, joins: &[u8]) -> Result<Option<Vec<Value>>> {
    let sql = "SELECT columns FROM feature_lookup WHERE view = ?1 AND lookup = ?2 AND joins = ?3 LIMIT 1";
    let columns = db::one(tx, DOING, sql, params![of.view.0, of.at(), joins], |r| r.get::<_, Vec<u8>>(0))?;
    columns.map(|columns| pack::unpack(&columns).ok_or_else(damaged)).transpose()
}

pub fn put_looked_up(tx: &Transaction<'_>, of: Of, key: &[u8], row: &LookedUp) -> Result<()> {
    let sql = "INSERT OR REPLACE INTO feature_lookup (view, lookup, key, joins, columns)
               VALUES (?1, ?2, ?3, ?4, ?5)";
    execute(tx, sql, params![of.view.0, of.at(), key, row.joins, row.columns])
}

pub fn drop_looked_up(tx: &Transaction<'_>, of: Of, key: &[u8]) -> Result<()> {
    let sql = "DELETE FROM feature_lookup WHERE view = ?1 AND lookup = ?2 AND key = ?3";
    execute(tx, sql, params![of.view.0, of.at(), key])
}

/// Forgets all rows of the looked-up table.
pub fn empty_looked_up(tx: &Transaction<'_>, of: Of) -> Result<()> {
    execute(tx, "DELETE FROM feature_lookup WHERE view = ?1 AND lookup = ?2", params![of.view.0, of.at()])
}

/// Rows of the looked-up table, for the status page.
pub fn size(connection: &Connection, of: Of) -> Result<i64> {
    let sql = "SELECT count(*) FROM feature_lookup WHERE view = ?1 AND lookup = ?2";
    Ok(db::one(connection, DOING, sql, params![of.view.0, of.at()], |r| r.get(0))?.unwrap_or(0))
}

pub fn own(tx: &Transaction<'_>, view: ViewId, key: &[u8]) -> Result<Option<Own>> {
    let sql = "SELECT row FROM feature_joined WHERE view = ?1 AND key = ?2";
    let found = db::one(tx, DOING, sql, params![view.0, key], |r| r.get::<_, Vec<u8>>(0))?;
    let read = |row: Vec<u8>| {
        let mut values = pack::unpack(&row)?.into_iter();
        let Some(Value::Int(committed_us)) = values.next() else { return None };
        Some(Own { committed_us, columns: values.collect() })
    };
    found.map(|row| read(row).ok_or_else(damaged)).transpose()
}

pub fn put_own(tx: &Transaction<'_>, view: ViewId, key: &[u8], time_us: i64, own: &Own) -> Result<()> {
    let sql = "INSERT OR REPLACE INTO feature_joined (view, key, time_us, row) VALUES (?1, ?2, ?3, ?4)";
    let row = pack::pack([&Value::Int(own.committed_us)].into_iter().chain(&own.columns));
    execute(tx, sql, params![view.0, key, time_us, row])
}

pub fn drop_own(tx: &Transaction<'_>, view: ViewId, key: &[u8]) -> Result<()> {
    execute(tx, "DELETE FROM feature_joined WHERE view = ?1 AND key = ?2", params![view.0, key])
}

/// Forgets the view's own rows.
pub fn empty_own(tx: &Transaction<'_>, view: ViewId) -> Result<()> {
    for table in ["feature_joined", "feature_reference"] {
        execute(tx, &format!("DELETE FROM {table} WHERE view = ?1"), [view.0])?;
    }
    Ok(())
}

/// Keys of the view's own rows whose time is at or before `to_us`, the oldest first.
pub fn old(tx: &Transaction<'_>, view: ViewId, to_us: i64, limit: usize) -> Result<Vec<Vec<u8>>> {
    let sql = "SELECT key FROM feature_joined WHERE view = ?1 AND time_us <= ?2 ORDER BY time_us LIMIT ?3";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    db::all(tx, DOING, sql, params![view.0, to_us, limit], |r| r.get(0))
}

pub fn put_reference(tx: &Transaction<'_>, of: Of, joins: &[u8], key: &[u8]) -> Result<()> {
    let sql = "INSERT OR IGNORE INTO feature_reference (view, lookup, joins, key) VALUES (?1, ?2, ?3, ?4)";
    execute(tx, sql, params![of.view.0, of.at(), joins, key])
}

pub fn drop_reference(tx: &Transaction<'_>, of: Of, joins: &[u8], key: &[u8]) -> Result<()> {
    let sql = "DELETE FROM feature_reference WHERE view = ?1 AND lookup = ?2 AND joins = ?3 AND key = ?4";
    execute(tx, sql, params![of.view.0, of.at(), joins, key])
}

/// Keys of the view's own rows that refer like this, in order, those behind `after`.
pub fn referring(
    tx: &Transaction<'_>,
    of: Of,
    joins: &[u8],
    after: &[u8],
    limit: i64,
) -> Result<Vec<Vec<u8>>> {
    let sql = "SELECT key FROM feature_reference
               WHERE view = ?1 AND lookup = ?2 AND joins = ?3 AND key > ?4 ORDER BY key LIMIT ?5";
    db::all(tx, DOING, sql, params![of.view.0, of.at(), joins, after, limit], |r| r.get(0))
}

/// How the view's own rows refer to a looked-up table: the first of the ways that sort behind `after`.
pub fn next_joins(tx: &Transaction<'_>, of: Of, after: &[u8]) -> Result<Option<Vec<u8>>> {
    let sql = "SELECT joins FROM feature_reference
               WHERE view = ?1 AND lookup = ?2 AND joins > ?3 ORDER BY joins LIMIT 1";
    db::one(tx, DOING, sql, params![of.view.0, of.at(), after], |r| r.get(0))
}

fn execute(tx: &Transaction<'_>, sql: &str, params: impl Params) -> Result<()> {
    db::execute(tx, DOING, sql, params).map(drop)
}
