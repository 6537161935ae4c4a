//! The rows that windows still need, in SQLite. This room's tables: `feature_view`, `feature_chunk`,
//! `feature_key`, `feature_place`, `feature_placed`.
//!
//! ```text
//! feature_chunk   rows of one view, many to a blob, in the order in which they came
//! feature_key     primary key → chunk and slot, many to a blob, in the order of keys
//! feature_place   entity → chunks and slots, written for many thousand rows at once
//! ```
//! Keys mostly rise and chunks always do, so both are written at the right edge of their tree; entities
//! lie anywhere, which would cost a page a row, and therefore wait in memory ([`super::memory`]) until
//! there are many. A place may be outdated: the row's own bytes say whose it is.

use super::chunk::{self, Place};
use super::keys::{self, Change, Entries};
use crate::db::{self, OrDb};
use crate::model::feature::ViewId;
use rusqlite::{Connection, Row, Transaction, params};
use shared::error::{Error, Kind, Result};

const DOING: &str = "use the features' state";

/// A view as the file knows it.
#[derive(Debug)]
pub struct Known {
    pub id: ViewId,
    pub name: String,
    pub version: i64,
    pub stage: Stage,
    /// Empty until the view's state was built.
    pub definition: String,
}

/// How far a view's version is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Building,
    Live,
    /// Its rows are gone, its values are given out until the next version is complete.
    Former,
}

/// Where a view's rows stand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standing {
    pub revision: i64,
    /// Up to which time the windows have been looked at.
    pub expired_to_us: i64,
    pub placed_chunk: i64,
}

/// A chunk as it lies in the file.
#[derive(Debug)]
pub struct Chunk {
    pub id: i64,
    pub rows: Vec<u8>,
}

pub fn views(connection: &Connection) -> Result<Vec<Known>> {
    let sql = "SELECT id, name, version, state, definition FROM feature_view ORDER BY name, version";
    db::all(connection, DOING, sql, [], |r| {
        let stage = match r.get(3)? {
            0 => Stage::Building,
            1 => Stage::Live,
            _ => Stage::Former,
        };
        let (id, name) = (ViewId(r.get(0)?), r.get(1)?);
        Ok(Known { id, name, version: r.get(2)?, stage, definition: r.get(4)? })
    })
}

/// Gives a view's version its number.
pub fn add_view(tx: &Transaction<'_>, name: &str, version: i64, now_us: i64) -> Result<ViewId> {
    let sql = "INSERT INTO feature_view (name, version, state, definition, expired_to_us)
               VALUES (?1, ?2, 0, '', ?3)";
    tx.prepare_cached(sql).and_then(|mut s| s.insert(params![name, version, now_us])).map(ViewId).or_db(DOING)
}

/// Says that the view's state now follows `definition`.
pub fn set_definition(tx: &Transaction<'_>, view: ViewId, definition: &str) -> Result<()> {
    let sql = "UPDATE feature_view SET definition = ?2, state = 1 WHERE id = ?1";
    db::execute(tx, DOING, sql, params![view.0, definition]).map(drop)
}

/// Forgets a view's rows, but not what it was: its values are given out a while longer.
pub fn retire(tx: &Transaction<'_>, view: ViewId) -> Result<()> {
    clear(tx, view)?;
    db::execute(tx, DOING, "UPDATE feature_view SET state = 2 WHERE id = ?1", [view.0]).map(drop)
}

pub fn forget_view(tx: &Transaction<'_>, view: ViewId) -> Result<()> {
    clear(tx, view)?;
    db::execute(tx, DOING, "DELETE FROM feature_view WHERE id = ?1", [view.0]).map(drop)
}

pub fn standing(connection: &Connection, view: ViewId) -> Result<Standing> {
    let sql = "SELECT revision, expired_to_us, placed_chunk FROM feature_view WHERE id = ?1";
    let read =
        |r: &Row<'_>| Ok(Standing { revision: r.get(0)?, expired_to_us: r.get(1)?, placed_chunk: r.get(2)? });
    db::one(connection, DOING, sql, [view.0], read)?
        .ok_or_else(|| Error::new(Kind::Bug, "a feature view has no number"))
}

pub fn set_standing(tx: &Transaction<'_>, view: ViewId, to: Standing) -> Result<()> {
    let sql = "UPDATE feature_view SET revision = ?2, expired_to_us = ?3, placed_chunk = ?4 WHERE id = ?1";
    db::execute(tx, DOING, sql, params![view.0, to.revision, to.expired_to_us, to.placed_chunk]).map(drop)
}

/// A run of keys, by the bound at or above which its keys are.
struct Run {
    first: Vec<u8>,
    keys: Vec<u8>,
}

/// The run that has a key, if any has it.
fn run(tx: &Transaction<'_>, view: ViewId, key: &[u8]) -> Result<Option<Run>> {
    let sql =
        "SELECT first, keys FROM feature_key WHERE view = ?1 AND first <= ?2 ORDER BY first DESC LIMIT 1";
    db::one(tx, DOING, sql, params![view.0, key], |r| Ok(Run { first: r.get(0)?, keys: r.get(1)? }))
}

pub fn find(tx: &Transaction<'_>, view: ViewId, key: &[u8]) -> Result<Option<Place>> {
    let Some(run) = run(tx, view, key)? else { return Ok(None) };
    keys::find(&run.keys, key).map_err(|keys::Damaged| damaged())
}

/// Gives keys their places or forgets them; in the order of keys, none twice.
pub fn set_keys(tx: &Transaction<'_>, view: ViewId, mut changes: &[Change<'_>]) -> Result<()> {
    let next_sql = "SELECT first FROM feature_key WHERE view = ?1 AND first > ?2 ORDER BY first LIMIT 1";
    let put_sql = "INSERT OR REPLACE INTO feature_key (view, first, keys) VALUES (?1, ?2, ?3)";
    while let Some((key, _)) = changes.first() {
        let run = run(tx, view, key)?;
        let next: Option<Vec<u8>> = db::one(tx, DOING, next_sql, params![view.0, key], |r| r.get(0))?;
        let inside = |(key, _): &Change<'_>| next.as_ref().is_none_or(|next| **key < next[..]);
        let (here, rest) = changes.split_at(changes.partition_point(inside).max(1));
        changes = rest;
        let (first, entries) = match run {
            Some(run) => (Some(run.first), Entries::read(&run.keys).map_err(|keys::Damaged| damaged())?),
            None => (None, Entries::default()),
        };
        let merged = keys::merged(&entries, here);
        let runs = keys::runs(&merged, next.is_none());
        if let (Some(first), true) = (&first, runs.is_empty()) {
            db::execute(
                tx,
                DOING,
                "DELETE FROM feature_key WHERE view = ?1 AND first = ?2",
                params![view.0, first],
            )?;
        }
        // The first of them takes the bound of the run that was there.
        let mut bound = first.as_deref();
        for run in runs {
            let own = run.first().map_or(&[][..], |(key, _)| *key);
            db::execute(tx, DOING, put_sql, params![view.0, bound.take().unwrap_or(own), keys::put(run)])?;
        }
    }
    Ok(())
}

/// Empty if there is no key.
pub fn greatest_key(tx: &Transaction<'_>, view: ViewId) -> Result<Vec<u8>> {
    let sql = "SELECT keys FROM feature_key WHERE view = ?1 ORDER BY first DESC LIMIT 1";
    let Some(run) = db::one(tx, DOING, sql, [view.0], |r| r.get::<_, Vec<u8>>(0))? else {
        return Ok(Vec::new());
    };
    let entries = Entries::read(&run).map_err(|keys::Damaged| damaged())?;
    Ok(entries.iter().last().map(|(key, _)| key.to_vec()).unwrap_or_default())
}

pub fn add_chunk(tx: &Transaction<'_>, view: ViewId, rows: &[u8]) -> Result<i64> {
    let (first_us, last_us, alive) = span(rows);
    let sql = "INSERT INTO feature_chunk (view, first_us, last_us, alive, rows) VALUES (?1, ?2, ?3, ?4, ?5)";
    tx.prepare_cached(sql)
        .and_then(|mut s| s.insert(params![view.0, first_us, last_us, alive, rows]))
        .or_db(DOING)
}

/// Replaces a chunk's rows; without one that is alive it goes.
pub fn set_chunk(tx: &Transaction<'_>, chunk: i64, rows: &[u8]) -> Result<()> {
    let (first_us, last_us, alive) = span(rows);
    if alive == 0 {
        return drop_chunk(tx, chunk);
    }
    let sql = "UPDATE feature_chunk SET first_us = ?2, last_us = ?3, alive = ?4, rows = ?5 WHERE id = ?1";
    db::execute(tx, DOING, sql, params![chunk, first_us, last_us, alive, rows]).map(drop)
}

pub fn drop_chunk(tx: &Transaction<'_>, chunk: i64) -> Result<()> {
    db::execute(tx, DOING, "DELETE FROM feature_chunk WHERE id = ?1", [chunk]).map(drop)
}

fn span(rows: &[u8]) -> (i64, i64, i64) {
    let alive = chunk::rows(rows).flatten();
    alive.fold((i64::MAX, i64::MIN, 0), |(first, last, n), row| {
        (first.min(row.time_us), last.max(row.time_us), n + 1)
    })
}

/// A chunk's rows, if it is still there.
pub fn chunk(connection: &Connection, chunk: i64) -> Result<Option<Vec<u8>>> {
    db::one(connection, DOING, "SELECT rows FROM feature_chunk WHERE id = ?1", [chunk], |r| r.get(0))?
        .map(checked)
        .transpose()
}

/// What `read` makes of a chunk's bytes, without a copy, if it is still there.
pub fn in_chunk<T>(connection: &Connection, chunk: i64, read: impl FnOnce(&[u8]) -> T) -> Result<Option<T>> {
    db::one(connection, DOING, "SELECT rows FROM feature_chunk WHERE id = ?1", [chunk], |r| {
        Ok(read(r.get_ref(0)?.as_blob()?))
    })
}

fn checked(rows: Vec<u8>) -> Result<Vec<u8>> {
    if chunk::sound(&rows) { Ok(rows) } else { Err(damaged()) }
}

pub fn damaged() -> Error {
    Error::new(Kind::Data, "stored feature rows are damaged")
}

/// Calls `each` with the chunks that may have rows with a time in `(after, to]`, none of which spans
/// more than `span_us`, until it says false.
pub fn each_between(
    connection: &Connection,
    view: ViewId,
    (after_us, to_us): (i64, i64),
    span_us: i64,
    mut each: impl FnMut(&[u8]) -> Result<bool>,
) -> Result<()> {
    let sql = "SELECT rows FROM feature_chunk
               WHERE view = ?1 AND last_us > ?2 AND last_us <= ?4 AND first_us <= ?3 ORDER BY last_us";
    let mut statement = connection.prepare_cached(sql).or_db(DOING)?;
    let latest_us = to_us.saturating_add(span_us);
    let mut rows = statement.query(params![view.0, after_us, to_us, latest_us]).or_db(DOING)?;
    while let Some(row) = rows.next().or_db(DOING)? {
        let bytes = row.get_ref(0).and_then(|b| Ok(b.as_blob()?)).or_db(DOING)?;
        if !each(bytes)? {
            break;
        }
    }
    Ok(())
}

/// Rows in the chunks of [`each_between`], at most; some of them may lie outside.
pub fn count_between(
    connection: &Connection,
    view: ViewId,
    (after_us, to_us): (i64, i64),
    span_us: i64,
) -> Result<i64> {
    let sql = "SELECT coalesce(sum(alive), 0) FROM feature_chunk
               WHERE view = ?1 AND last_us > ?2 AND last_us <= ?4 AND first_us <= ?3";
    let latest_us = to_us.saturating_add(span_us);
    let count = db::one(connection, DOING, sql, params![view.0, after_us, to_us, latest_us], |r| r.get(0))?;
    Ok(count.unwrap_or(0))
}

/// The chunks all of whose rows lie at or before `to_us`, the oldest first.
pub fn chunks_until(tx: &Transaction<'_>, view: ViewId, to_us: i64, limit: usize) -> Result<Vec<Chunk>> {
    let sql =
        "SELECT id, rows FROM feature_chunk WHERE view = ?1 AND last_us <= ?2 ORDER BY last_us LIMIT ?3";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    db::all(tx, DOING, sql, params![view.0, to_us, limit], |r| Ok(Chunk { id: r.get(0)?, rows: r.get(1)? }))
}

/// Calls `each` with the number and rows of the view's chunks that have a greater number.
pub fn each_after(
    tx: &Transaction<'_>,
    view: ViewId,
    chunk: i64,
    mut each: impl FnMut(i64, &[u8]) -> Result<()>,
) -> Result<()> {
    let sql = "SELECT id, rows FROM feature_chunk WHERE +view = ?1 AND id > ?2 ORDER BY id";
    let mut statement = tx.prepare_cached(sql).or_db(DOING)?;
    let mut rows = statement.query(params![view.0, chunk]).or_db(DOING)?;
    while let Some(row) = rows.next().or_db(DOING)? {
        let bytes = row.get_ref(1).and_then(|b| Ok(b.as_blob()?)).or_db(DOING)?;
        each(row.get(0).or_db(DOING)?, bytes)?;
    }
    Ok(())
}

/// Files an entity's places under the last chunk that the filing covers.
pub fn put_places(
    tx: &Transaction<'_>,
    view: ViewId,
    entity: &[u8],
    last: i64,
    places: &[Place],
) -> Result<()> {
    let sql = "INSERT OR REPLACE INTO feature_place (view, entity, last, places) VALUES (?1, ?2, ?3, ?4)";
    db::execute(tx, DOING, sql, params![view.0, entity, last, chunk::put_places(places)]).map(drop)
}

/// Notes a filing, and until when its rows can be in a window.
pub fn put_placed(tx: &Transaction<'_>, view: ViewId, last: i64, last_us: i64) -> Result<()> {
    let sql = "INSERT INTO feature_placed (view, last, last_us) VALUES (?1, ?2, ?3)
               ON CONFLICT (view, last) DO UPDATE SET last_us = max(last_us, excluded.last_us)";
    db::execute(tx, DOING, sql, params![view.0, last, last_us]).map(drop)
}

/// Whether something is filed.
pub fn has_placed(tx: &Transaction<'_>, view: ViewId) -> Result<bool> {
    let sql = "SELECT 1 FROM feature_placed WHERE view = ?1 LIMIT 1";
    Ok(db::one(tx, DOING, sql, [view.0], |_| Ok(()))?.is_some())
}

/// Forgets the filings all of whose rows lie at or before `to_us`.
pub fn drop_placed(tx: &Transaction<'_>, view: ViewId, to_us: i64) -> Result<()> {
    let sql = "SELECT last FROM feature_placed WHERE view = ?1 AND last_us <= ?2";
    for last in db::all(tx, DOING, sql, params![view.0, to_us], |r| r.get::<_, i64>(0))? {
        db::execute(
            tx,
            DOING,
            "DELETE FROM feature_place WHERE view = ?1 AND last = ?2",
            params![view.0, last],
        )?;
        db::execute(
            tx,
            DOING,
            "DELETE FROM feature_placed WHERE view = ?1 AND last = ?2",
            params![view.0, last],
        )?;
    }
    Ok(())
}

/// The filed places of an entity's rows.
pub fn places(tx: &Transaction<'_>, view: ViewId, entity: &[u8]) -> Result<Vec<Place>> {
    let sql = "SELECT places FROM feature_place WHERE view = ?1 AND entity = ?2 ORDER BY last";
    let mut places = Vec::new();
    for bytes in db::all(tx, DOING, sql, params![view.0, entity], |r| r.get::<_, Vec<u8>>(0))? {
        places.extend(chunk::places(&bytes).ok_or_else(damaged)?);
    }
    Ok(places)
}

pub fn drop_places(tx: &Transaction<'_>, view: ViewId, entity: &[u8]) -> Result<()> {
    db::execute(
        tx,
        DOING,
        "DELETE FROM feature_place WHERE view = ?1 AND entity = ?2",
        params![view.0, entity],
    )
    .map(drop)
}

/// Every entity that has filed places; some may have no row any more.
pub fn entities(tx: &Transaction<'_>, view: ViewId) -> Result<Vec<Box<[u8]>>> {
    let sql = "SELECT DISTINCT entity FROM feature_place WHERE view = ?1";
    db::all(tx, DOING, sql, [view.0], |r| r.get::<_, Vec<u8>>(0).map(Into::into))
}

/// Forgets a view's rows, and what it looked up.
pub fn clear(tx: &Transaction<'_>, view: ViewId) -> Result<()> {
    for table in ["feature_lookup", "feature_joined", "feature_reference"] {
        db::execute(tx, DOING, &format!("DELETE FROM {table} WHERE view = ?1"), [view.0])?;
    }
    empty(tx, view)
}

/// Forgets a view's rows.
pub fn empty(tx: &Transaction<'_>, view: ViewId) -> Result<()> {
    for table in ["feature_chunk", "feature_key", "feature_place", "feature_placed"] {
        db::execute(tx, DOING, &format!("DELETE FROM {table} WHERE view = ?1"), [view.0])?;
    }
    // Whoever followed the rows that were, follows nothing now.
    db::execute(tx, DOING, "UPDATE feature_view SET revision = revision + 1 WHERE id = ?1", [view.0])
        .map(drop)
}

/// Rows kept, for the status page.
pub fn size(connection: &Connection, view: ViewId) -> Result<i64> {
    let sql = "SELECT coalesce(sum(alive), 0) FROM feature_chunk WHERE view = ?1";
    Ok(db::one(connection, DOING, sql, [view.0], |r| r.get(0))?.unwrap_or(0))
}
