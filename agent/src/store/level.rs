//! Where values stand in the file, by age. This room's tables: `store_block`, `store_view`.
//!
//! ```text
//! write ─> the newest run, in place ── is large ──> stands still ── eight of them ──> run 0
//!          some hundred blocks          a new one begins             a part a time: all the rest
//! ```
//! A transaction touches entities all over the key range. With millions of them each would cost a page; so
//! what changed of late is a small run, and many of those are brought to the rest at once, in order. A
//! reader looks from the newest run to the oldest.

use super::DOING;
use super::block::{self, Damaged, Entry};
use crate::db::{self, OrDb};
use crate::model::feature::ViewId;
use crate::model::pack;
use rusqlite::{Connection, Transaction, params};
use shared::error::{Error, Kind, Result};

/// The newest run stands still at so many blocks: half a megabyte, which a page cache holds.
const RUN_BLOCKS: i64 = 384;
/// So many runs that stand still are brought to the rest; a reader looks at a few more at most.
const FULL_RUNS: i64 = 8;
/// A part of the bringing is due whenever the newest run has grown by so many blocks ...
const PART_EVERY_BLOCKS: i64 = 16;
/// ... and takes at most so many of each run: fewer parts than become due while as many runs fill.
const PART_BLOCKS: i64 = 16;
/// Entries that are brought into a block at once.
const PUT_ENTRIES: usize = 4_096;

/// Where a view's values stand.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// No value is newer.
    pub latest_ns: i64,
    /// The run that is written.
    newest: i64,
    /// Its blocks.
    blocks: i64,
    /// The oldest run but the rest.
    oldest: i64,
    /// Whether there is a rest.
    rest: bool,
    /// The newest of the runs that are being brought to the rest, and up to which entity they were.
    moving: Option<(i64, Vec<u8>)>,
}

/// Entries of several runs, each entity once.
#[derive(Debug, Default)]
pub struct Gathered {
    bytes: Vec<u8>,
    found: Vec<Found>,
}

/// Where an entry begins.
#[derive(Clone, Copy, Debug)]
struct Found {
    /// The first bytes of the entity, by which most are told apart without a look at the others.
    first: u128,
    /// 0 is the newest run.
    age: u32,
    at: usize,
}

/// A block as it lies in the file, and where the next one begins.
struct Place {
    first: Option<Vec<u8>>,
    entries: Vec<u8>,
    next: Option<Vec<u8>>,
}

pub fn damaged(_: Damaged) -> Error {
    Error::new(Kind::Data, "stored feature values are damaged")
}

impl Standing {
    pub fn read(connection: &Connection, view: ViewId) -> Result<Standing> {
        let sql =
            "SELECT latest_ns, newest, blocks, oldest, rest, moving, moved FROM store_view WHERE view = ?1";
        let found = db::one(connection, DOING, sql, [view.0], |r| {
            let moving = r.get::<_, Option<i64>>(5)?.zip(r.get(6)?);
            let (latest_ns, newest, blocks) = (r.get(0)?, r.get(1)?, r.get(2)?);
            Ok(Standing { latest_ns, newest, blocks, oldest: r.get(3)?, rest: r.get(4)?, moving })
        })?;
        let empty =
            Standing { latest_ns: i64::MIN, newest: 1, blocks: 0, oldest: 1, rest: false, moving: None };
        Ok(found.unwrap_or(empty))
    }

    pub fn note(&self, tx: &Transaction<'_>, view: ViewId) -> Result<()> {
        let (moving, moved) = self.moving.as_ref().map(|(run, to)| (run, to)).unzip();
        let sql =
            "INSERT OR REPLACE INTO store_view (view, latest_ns, newest, blocks, oldest, rest, moving, moved)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        let (newest, blocks, oldest) = (self.newest, self.blocks, self.oldest);
        db::execute(
            tx,
            DOING,
            sql,
            params![view.0, self.latest_ns, newest, blocks, oldest, self.rest, moving, moved],
        )
        .map(drop)
    }

    /// Blocks of the newest run.
    pub fn blocks(&self) -> i64 {
        self.blocks
    }

    #[cfg(test)]
    pub fn has_rest(&self) -> bool {
        self.rest
    }

    /// From the newest to the oldest.
    fn runs(&self) -> impl Iterator<Item = i64> {
        (self.oldest..=self.newest).rev().chain(self.rest.then_some(0))
    }
}

/// The block of a run that may have an entity.
fn place(connection: &Connection, view: ViewId, run: i64, entity: &[u8]) -> Result<Place> {
    let sql = "SELECT first, CASE WHEN first <= ?3 THEN entries END FROM store_block
               WHERE view = ?1 AND run = ?2 AND first >= coalesce((SELECT first FROM store_block
                   WHERE view = ?1 AND run = ?2 AND first <= ?3 ORDER BY first DESC LIMIT 1), x'')
               ORDER BY first LIMIT 2";
    let mut statement = connection.prepare_cached(sql).or_db(DOING)?;
    let mut rows = statement.query(params![view.0, run, entity]).or_db(DOING)?;
    let mut place = Place { first: None, entries: Vec::new(), next: None };
    while let Some(row) = rows.next().or_db(DOING)? {
        match row.get(1).or_db(DOING)? {
            Some(entries) => {
                (place.first, place.entries) = (Some(row.get(0).or_db(DOING)?), entries);
            }
            None if place.next.is_none() => place.next = Some(row.get(0).or_db(DOING)?),
            None => {}
        }
    }
    Ok(place)
}

/// What `read` makes of an entity's newest entry.
pub fn find<T>(
    connection: &Connection,
    view: ViewId,
    standing: &Standing,
    entity: &[u8],
    mut read: impl FnMut(&Entry<'_>) -> T,
) -> Result<Option<T>> {
    let sql = "SELECT entries FROM store_block WHERE view = ?1 AND run = ?2 AND first <= ?3
               ORDER BY first DESC LIMIT 1";
    for run in standing.runs() {
        let found = db::one(connection, DOING, sql, params![view.0, run, entity], |r| {
            Ok(block::find(r.get_ref(0)?.as_blob()?, entity).map(|entry| entry.as_ref().map(&mut read)))
        })?;
        if let Some(value) = found.transpose().map_err(damaged)?.flatten() {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

/// Writes to the newest run. `decide` is asked with the place of each entry, of which `entities` are in
/// order and each there once, and what the run has; it gives the entry that is to be written, if any.
pub fn write<'e>(
    tx: &Transaction<'_>,
    view: ViewId,
    standing: &mut Standing,
    entities: &[&[u8]],
    mut decide: impl FnMut(usize, Option<&Entry<'_>>) -> Result<Option<Entry<'e>>>,
) -> Result<()> {
    let mut at = 0;
    while let Some(entity) = entities.get(at) {
        let place = place(tx, view, standing.newest, entity)?;
        let inside = |entity: &&[u8]| place.next.as_ref().is_none_or(|next| **entity < next[..]);
        let here = entities.get(at..).unwrap_or_default();
        let here = here.get(..here.partition_point(inside).clamp(1, PUT_ENTRIES)).unwrap_or_default();
        let mut changed = Vec::with_capacity(here.len());
        let mut rest = &place.entries[..];
        let mut before = block::next(&mut rest).map_err(damaged)?;
        for (entity, number) in here.iter().zip(at..) {
            while before.as_ref().is_some_and(|entry| entry.entity < *entity) {
                before = block::next(&mut rest).map_err(damaged)?;
            }
            let same = before.as_ref().filter(|entry| entry.entity == *entity);
            changed.extend(decide(number, same)?);
        }
        if !changed.is_empty() {
            standing.blocks += put(tx, view, standing.newest, &place, &changed)?;
        }
        at += here.len();
    }
    Ok(())
}

/// Brings entries into a block, which they may divide; gives how many blocks there are more.
fn put(tx: &Transaction<'_>, view: ViewId, run: i64, place: &Place, changed: &[Entry<'_>]) -> Result<i64> {
    let merged = block::merged(&place.entries, changed).map_err(damaged)?;
    let blocks = merged.divided(place.next.is_none());
    let set_sql = "UPDATE store_block SET entries = ?4 WHERE view = ?1 AND run = ?2 AND first = ?3";
    let add_sql = "INSERT INTO store_block (view, run, first, entries) VALUES (?1, ?2, ?3, ?4)";
    let more = blocks.len() as i64 - i64::from(place.first.is_some());
    for (at, (first, entries)) in blocks.into_iter().enumerate() {
        match (at, &place.first) {
            (0, Some(bound)) => db::execute(tx, DOING, set_sql, params![view.0, run, bound, entries])?,
            // Whatever is smaller belongs to it as well.
            (0, None) => db::execute(tx, DOING, add_sql, params![view.0, run, &[][..], entries])?,
            _ => db::execute(tx, DOING, add_sql, params![view.0, run, first, entries])?,
        };
    }
    Ok(more)
}

/// After a write that found `blocks` in the newest run: lets it stand still if it is large, and brings older
/// runs to the rest as fast as new ones come.
pub fn settle(tx: &Transaction<'_>, view: ViewId, standing: &mut Standing, before: i64) -> Result<()> {
    let parts = standing.blocks / PART_EVERY_BLOCKS - before / PART_EVERY_BLOCKS;
    if standing.blocks >= RUN_BLOCKS {
        standing.newest += 1;
        standing.blocks = 0;
    }
    for _ in 0..parts {
        let full = standing.newest - standing.oldest >= FULL_RUNS || parts > FULL_RUNS * FULL_RUNS;
        if standing.moving.is_none() && full && standing.newest > standing.oldest {
            standing.moving = Some((standing.newest - 1, Vec::new()));
        }
        let Some((last, from)) = standing.moving.take() else { break };
        let runs = (standing.oldest..=last).rev();
        let to = bound(tx, view, runs.clone(), &from)?;
        let gathered = gather(tx, view, runs, &from, to.as_deref())?;
        bring(tx, view, &gathered)?;
        standing.rest = true;
        match to {
            Some(to) => standing.moving = Some((last, to)),
            None => {
                let sql = "DELETE FROM store_block WHERE view = ?1 AND run BETWEEN ?2 AND ?3";
                db::execute(tx, DOING, sql, params![view.0, standing.oldest, last])?;
                standing.oldest = last + 1;
            }
        }
    }
    Ok(())
}

/// Where a part that begins at `from` ends, so that it has few blocks of each run; `None`: at the end.
fn bound(
    connection: &Connection,
    view: ViewId,
    runs: impl Iterator<Item = i64>,
    from: &[u8],
) -> Result<Option<Vec<u8>>> {
    let sql = "SELECT first FROM store_block WHERE view = ?1 AND run = ?2 AND first > ?3
               ORDER BY first LIMIT 1 OFFSET ?4";
    let mut bound: Option<Vec<u8>> = None;
    for run in runs {
        let of_run =
            db::one(connection, DOING, sql, params![view.0, run, from, PART_BLOCKS - 1], |r| r.get(0))?;
        bound = match (bound, of_run) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }
    Ok(bound)
}

/// Brings entries to the rest.
fn bring(tx: &Transaction<'_>, view: ViewId, gathered: &Gathered) -> Result<()> {
    let entries: Vec<Entry<'_>> = gathered.iter().collect::<std::result::Result<_, _>>().map_err(damaged)?;
    let mut rest = &entries[..];
    while let Some(entry) = rest.first() {
        let place = place(tx, view, 0, entry.entity)?;
        let inside = |entry: &Entry<'_>| place.next.as_ref().is_none_or(|next| *entry.entity < next[..]);
        let (here, others) = rest.split_at(rest.partition_point(inside).max(1));
        put(tx, view, 0, &place, here)?;
        rest = others;
    }
    Ok(())
}

/// The entries of some runs, the newest run first, for entities in `[from, to)`.
fn gather(
    connection: &Connection,
    view: ViewId,
    runs: impl Iterator<Item = i64>,
    from: &[u8],
    to: Option<&[u8]>,
) -> Result<Gathered> {
    let sql = "SELECT entries FROM store_block WHERE view = ?1 AND run = ?2
               AND first >= coalesce((SELECT first FROM store_block
                   WHERE view = ?1 AND run = ?2 AND first <= ?3 ORDER BY first DESC LIMIT 1), x'')
               AND (?4 IS NULL OR first < ?4) ORDER BY first";
    let mut gathered = Gathered::default();
    for (run, age) in runs.zip(0..) {
        let mut statement = connection.prepare_cached(sql).or_db(DOING)?;
        let mut rows = statement.query(params![view.0, run, from, to]).or_db(DOING)?;
        while let Some(row) = rows.next().or_db(DOING)? {
            let mut bytes = row.get_ref(0).and_then(|b| Ok(b.as_blob()?)).or_db(DOING)?;
            while let Some(entry) = block::next(&mut bytes).map_err(damaged)? {
                if entry.entity >= from && to.is_none_or(|to| entry.entity < to) {
                    gathered.put(&entry, age);
                }
            }
        }
    }
    gathered.keep_newest();
    Ok(gathered)
}

impl Gathered {
    fn put(&mut self, entry: &Entry<'_>, age: u32) {
        self.found.push(Found { first: pack::first_16(entry.entity), age, at: self.bytes.len() });
        block::put(&mut self.bytes, entry);
    }

    /// In the order of entities.
    fn keep_newest(&mut self) {
        let Gathered { bytes, found } = self;
        let entity = |found: &Found| {
            let mut bytes = bytes.get(found.at..).unwrap_or_default();
            block::next(&mut bytes).ok().flatten().map(|entry| entry.entity)
        };
        found.sort_unstable_by(|a, b| {
            a.first.cmp(&b.first).then_with(|| entity(a).cmp(&entity(b))).then(a.age.cmp(&b.age))
        });
        found.dedup_by(|later, first| later.first == first.first && entity(later) == entity(first));
    }

    fn iter(&self) -> impl Iterator<Item = std::result::Result<Entry<'_>, Damaged>> {
        self.found.iter().map(|found| {
            let mut bytes = self.bytes.get(found.at..).unwrap_or_default();
            block::next(&mut bytes)?.ok_or(Damaged)
        })
    }
}

/// Calls `each` with the newest entry of every entity, in order.
pub fn each(
    connection: &Connection,
    view: ViewId,
    mut each: impl FnMut(&Entry<'_>) -> Result<()>,
) -> Result<()> {
    let standing = Standing::read(connection, view)?;
    let mut from = Vec::new();
    loop {
        let to = bound(connection, view, standing.runs(), &from)?;
        let gathered = gather(connection, view, standing.runs(), &from, to.as_deref())?;
        for entry in gathered.iter() {
            each(&entry.map_err(damaged)?)?;
        }
        match to {
            Some(to) => from = to,
            None => return Ok(()),
        }
    }
}

pub fn clear(tx: &Transaction<'_>, view: ViewId) -> Result<()> {
    db::execute(tx, DOING, "DELETE FROM store_block WHERE view = ?1", [view.0])?;
    db::execute(tx, DOING, "DELETE FROM store_view WHERE view = ?1", [view.0]).map(drop)
}

/// Brings over what an earlier layout held, an entity a row; a bounded number of rows. True if there may be
/// more.
pub fn adopt(tx: &Transaction<'_>, limit: usize) -> Result<bool> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let sql = "SELECT view FROM store_value ORDER BY view LIMIT 1";
    let Some(view) = db::one(tx, DOING, sql, [], |r| r.get(0).map(ViewId))? else { return Ok(false) };
    let sql = "SELECT entity, as_of_ns, vals FROM store_value WHERE view = ?1 ORDER BY entity LIMIT ?2";
    let mut standing = Standing::read(tx, view)?;
    let mut gathered = Gathered::default();
    let mut last: Vec<u8> = Vec::new();
    {
        let mut statement = tx.prepare_cached(sql).or_db(DOING)?;
        let mut rows = statement.query(params![view.0, limit]).or_db(DOING)?;
        while let Some(row) = rows.next().or_db(DOING)? {
            let blob = |at: usize| row.get_ref(at).and_then(|b| Ok(b.as_blob()?)).or_db(DOING);
            let entry = Entry { entity: blob(0)?, as_of_ns: row.get(1).or_db(DOING)?, values: blob(2)? };
            standing.latest_ns = standing.latest_ns.max(entry.as_of_ns);
            gathered.put(&entry, 0);
            last = entry.entity.to_vec();
        }
    }
    bring(tx, view, &gathered)?;
    standing.rest = true;
    standing.note(tx, view)?;
    db::execute(
        tx,
        DOING,
        "DELETE FROM store_value WHERE view = ?1 AND entity <= ?2",
        params![view.0, last],
    )?;
    Ok(true)
}
