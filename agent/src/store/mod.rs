//! Features at the edge: the latest values of each view per entity. This room's table: `store_value`.
//!
//! Windows are looked at every tick, so the stored value is the value as of now, and a read is one
//! look-up.

mod answer;
mod known;
mod serve;

pub use known::{Known, resolve};
pub use serve::{Serving, serve};

use crate::db::OrDb;
use crate::model::feature::{AsOf, FeatureRow, StoredRow, ViewId, ViewShape};
use crate::model::pack;
use crate::model::value::Value;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use shared::error::{Error, Kind, Result};

const DOING: &str = "use the feature store";

/// Values with the time from which on they are true.
#[derive(Clone, Debug, PartialEq)]
pub struct Latest {
    pub values: Vec<Value>,
    pub as_of: AsOf,
}

/// Stores values; gives back those that changed, with their time, which is later than the one
/// before. What is the same, bit for bit, is left alone: neither store nor centre need it again.
pub fn write(tx: &Transaction<'_>, rows: Vec<FeatureRow>, now_us: i64) -> Result<Vec<StoredRow>> {
    let prepare = |sql| tx.prepare_cached(sql).or_db(DOING);
    let mut read = prepare("SELECT as_of_ns, vals FROM store_value WHERE view = ?1 AND entity = ?2")?;
    let mut add = prepare("INSERT INTO store_value (as_of_ns, vals, view, entity) VALUES (?1, ?2, ?3, ?4)")?;
    let mut set = prepare("UPDATE store_value SET as_of_ns = ?1, vals = ?2 WHERE view = ?3 AND entity = ?4")?;
    let mut changed = Vec::with_capacity(rows.len());
    let mut packed = Vec::with_capacity(64);
    for row in rows {
        packed.clear();
        pack::pack_into(&mut packed, &row.values);
        let previous = read
            .query_row(params![row.view.0, row.entity], |r| {
                Ok((AsOf(r.get(0)?), r.get_ref(1)?.as_blob()? == packed))
            })
            .optional()
            .or_db(DOING)?;
        let as_of = AsOf::after(previous.as_ref().map(|(as_of, _)| *as_of), now_us);
        let write = match previous {
            Some((_, true)) => continue,
            Some((_, false)) => &mut set,
            None => &mut add,
        };
        write.execute(params![as_of.0, packed, row.view.0, row.entity]).or_db(DOING)?;
        changed.push(StoredRow { row, as_of });
    }
    Ok(changed)
}

fn read_packed(connection: &Connection, view: ViewId, entity: &[u8]) -> Result<Option<(AsOf, Vec<u8>)>> {
    let sql = "SELECT as_of_ns, vals FROM store_value WHERE view = ?1 AND entity = ?2";
    connection
        .prepare_cached(sql)
        .and_then(|mut statement| {
            statement.query_row(params![view.0, entity], |r| Ok((AsOf(r.get(0)?), r.get(1)?))).optional()
        })
        .or_db(DOING)
}

/// The latest values of an entity.
pub fn read(connection: &Connection, view: ViewId, entity: &[u8]) -> Result<Option<Latest>> {
    let Some((as_of, packed)) = read_packed(connection, view, entity)? else { return Ok(None) };
    Ok(Some(Latest { values: unpack(&packed)?, as_of }))
}

/// What a reader is given at `now_us`: `None` for an entity that was never seen, and for values that are
/// older than the view's `ttl`.
pub fn current(
    connection: &Connection,
    view: &ViewShape,
    entity: &[u8],
    now_us: i64,
) -> Result<Option<Vec<Value>>> {
    let latest = read(connection, view.id, entity)?;
    Ok(latest.filter(|latest| !latest.is_stale(view, now_us)).map(|latest| latest.values))
}

impl Latest {
    /// Whether the values are older than the view's `ttl`.
    pub fn is_stale(&self, view: &ViewShape, now_us: i64) -> bool {
        let as_of_us = self.as_of.0.div_euclid(1_000);
        view.ttl_us.is_some_and(|ttl| now_us.saturating_sub(as_of_us) > ttl)
    }
}

/// All values of a view, for a target that has none yet.
pub fn all(tx: &Transaction<'_>, view: ViewId) -> Result<Vec<StoredRow>> {
    let mut statement =
        tx.prepare_cached("SELECT entity, as_of_ns, vals FROM store_value WHERE view = ?1").or_db(DOING)?;
    let mut rows = statement.query([view.0]).or_db(DOING)?;
    let mut all = Vec::new();
    while let Some(row) = rows.next().or_db(DOING)? {
        let packed: Vec<u8> = row.get(2).or_db(DOING)?;
        let row_of = FeatureRow { view, entity: row.get(0).or_db(DOING)?, values: unpack(&packed)? };
        all.push(StoredRow { row: row_of, as_of: AsOf(row.get(1).or_db(DOING)?) });
    }
    Ok(all)
}

/// Forgets a view's values.
pub fn clear(tx: &Transaction<'_>, view: ViewId) -> Result<()> {
    tx.prepare_cached("DELETE FROM store_value WHERE view = ?1")
        .and_then(|mut statement| statement.execute([view.0]))
        .or_db(DOING)
        .map(drop)
}

/// Entities that have values.
pub fn size(connection: &Connection, view: ViewId) -> Result<i64> {
    connection
        .prepare_cached("SELECT count(*) FROM store_value WHERE view = ?1")
        .and_then(|mut statement| statement.query_row([view.0], |row| row.get(0)))
        .or_db(DOING)
}

fn unpack(packed: &[u8]) -> Result<Vec<Value>> {
    pack::unpack(packed).ok_or_else(|| Error::new(Kind::Data, "a stored feature value is damaged"))
}

#[cfg(test)]
mod tests;
