//! Features at the edge: the latest values of each view per entity. This room's tables: `store_block`,
//! `store_view`; `store_value` is of an earlier layout.
//!
//! Windows are looked at every tick, so the stored value is the value as of now, and a read is one
//! look-up.

mod answer;
mod block;
mod known;
mod level;
mod serve;

pub use known::{Known, resolve};
pub use level::adopt;
pub use serve::{Serving, serve};

use crate::model::feature::{AsOf, FeatureRow, StoredRow, ViewId, ViewShape};
use crate::model::pack;
use crate::model::value::Value;
use level::Standing;
use rusqlite::{Connection, Transaction};
use shared::error::{Error, Kind, Result};

const DOING: &str = "use the feature store";

/// Values with the time from which on they are true.
#[derive(Clone, Debug, PartialEq)]
pub struct Latest {
    pub values: Vec<Value>,
    pub as_of: AsOf,
}

/// Stores values; gives back those that changed, with their time, which is later than the one
/// before. What is the same, bit for bit, is left alone: neither store nor centre need it again. Of an entity
/// that comes twice the later values count.
pub fn write(tx: &Transaction<'_>, mut rows: Vec<FeatureRow>, now_us: i64) -> Result<Vec<StoredRow>> {
    if !rows.is_sorted_by(|a, b| (a.view, &a.entity) < (b.view, &b.entity)) {
        // As stable as the order in which they came.
        rows.sort_by(|a, b| (a.view, &a.entity).cmp(&(b.view, &b.entity)));
        rows.reverse();
        rows.dedup_by(|earlier, later| {
            let same = earlier.view == later.view && earlier.entity == later.entity;
            // It differs from the earlier ones, which may have been others than those that are stored.
            later.differs &= !same;
            same
        });
        rows.reverse();
    }
    let mut times = Vec::with_capacity(rows.len());
    for rows in rows.chunk_by(|a, b| a.view == b.view) {
        let Some(view) = rows.first().map(|row| row.view) else { continue };
        write_view(tx, view, rows, now_us, &mut times)?;
    }
    let stored =
        rows.into_iter().zip(times).filter_map(|(row, as_of)| Some(StoredRow { row, as_of: as_of? }));
    Ok(stored.collect())
}

/// Notes the time of each of the rows, which are in order; none for those that did not change.
fn write_view(
    tx: &Transaction<'_>,
    view: ViewId,
    rows: &[FeatureRow],
    now_us: i64,
    times: &mut Vec<Option<AsOf>>,
) -> Result<()> {
    let mut standing = Standing::read(tx, view)?;
    let (before, latest, was) = (standing.blocks(), standing.latest_ns, standing.clone());
    let (mut packed, mut ends) = (Vec::with_capacity(rows.len() * 32), Vec::with_capacity(rows.len()));
    for row in rows {
        let from = packed.len();
        pack::pack_into(&mut packed, &row.values);
        ends.push(from..packed.len());
    }
    let entities: Vec<&[u8]> = rows.iter().map(|row| &row.entity[..]).collect();
    // Later than every time that is stored, so later than the entity's own.
    let now_is_later = AsOf::after(None, now_us).0 > latest;
    let mut greatest = latest;
    level::write(tx, view, &mut standing, &entities, |at, recent| {
        let (Some(row), Some(range)) = (rows.get(at), ends.get(at)) else { return Ok(None) };
        let values = packed.get(range.clone()).unwrap_or_default();
        let compare = |entry: &block::Entry<'_>| (AsOf(entry.as_of_ns), entry.values == values);
        let previous = match recent {
            Some(entry) => Some(compare(entry)),
            None if row.differs && now_is_later => None,
            None => level::find(tx, view, &was, &row.entity, compare)?,
        };
        if let Some((_, true)) = previous {
            times.push(None);
            return Ok(None);
        }
        let as_of = AsOf::after(previous.map(|(as_of, _)| as_of), now_us);
        greatest = greatest.max(as_of.0);
        times.push(Some(as_of));
        Ok(Some(block::Entry { entity: &row.entity, as_of_ns: as_of.0, values }))
    })?;
    standing.latest_ns = greatest;
    level::settle(tx, view, &mut standing, before)?;
    if standing == was { Ok(()) } else { standing.note(tx, view) }
}

/// The latest values of an entity.
pub fn read(connection: &Connection, view: ViewId, entity: &[u8]) -> Result<Option<Latest>> {
    let standing = Standing::read(connection, view)?;
    level::find(connection, view, &standing, entity, |entry| {
        Ok(Latest { values: unpack(entry.values)?, as_of: AsOf(entry.as_of_ns) })
    })?
    .transpose()
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
    let mut all = Vec::new();
    level::each(tx, view, |entry| {
        let (entity, values) = (entry.entity.to_vec(), unpack(entry.values)?);
        let row = FeatureRow { view, entity, values, differs: false };
        all.push(StoredRow { row, as_of: AsOf(entry.as_of_ns) });
        Ok(())
    })?;
    Ok(all)
}

/// Forgets a view's values.
pub fn clear(tx: &Transaction<'_>, view: ViewId) -> Result<()> {
    level::clear(tx, view)
}

/// Entities that have values.
pub fn size(connection: &Connection, view: ViewId) -> Result<i64> {
    let mut size = 0;
    level::each(connection, view, |_| {
        size += 1;
        Ok(())
    })?;
    Ok(size)
}

fn unpack(packed: &[u8]) -> Result<Vec<Value>> {
    pack::unpack(packed).ok_or_else(|| Error::new(Kind::Data, "a stored feature value is damaged"))
}

#[cfg(test)]
mod tests;
