//! One view's part of a transaction: rows in, touched entities out.
//!
//! ```text
//! begin ─> advance to now ─> take row … row ─> store the new ones ─> values of the touched ─> end
//!             rows that windows' edges passed       many to a chunk      at hand, or from their rows
//! ```
//! An entity at hand is kept up row by row. Whatever cannot be kept up exactly (the greatest value is
//! taken back, the clock went back) is forgotten and computed from the rows, which are the truth.

use super::Live;
use super::accumulator::Item;
use super::chunk::{self, Place};
use super::definition::{View, wanted};
use super::intake::{self, Kept};
use super::keys::Change;
use super::memory::{Memory, State};
use super::pending::{Pending, Said};
use super::state::{self, Standing};
use super::values::FEW_BYTES;
use super::window::Edge;
use crate::config::feature::Meaning;
use crate::model::feature::FeatureRow;
use crate::model::pack;
use crate::model::row::{Op, Row};
use crate::model::value::Value;
use crate::model::verdict::Reason;
use rusqlite::Transaction;
use shared::error::Result;
use std::collections::BTreeMap;
use std::sync::{MutexGuard, PoisonError};

/// Chunks that one call forgets.
const TRIM_CHUNKS: usize = 512;
/// What `count` without a column counts.
pub(super) static ROW: Value = Value::Bool(true);

/// What an edge does to a row that it passes.
#[derive(Clone, Debug)]
pub struct Passing {
    pub edge: Edge,
    /// Aggregates by their place, and whether the row comes into their window or leaves it.
    changes: Vec<(usize, bool)>,
    /// Columns that these need, up to the last one.
    columns: Vec<bool>,
}

impl Passing {
    /// Of every edge of a view: those by which rows come in first, as one may pass a row right after
    /// the other.
    pub fn of(view: &View) -> Vec<Passing> {
        let passing = |edge: Edge| {
            let (mut changes, mut columns) = (Vec::new(), Vec::new());
            for (at, aggregated) in view.aggregates.iter().enumerate() {
                let comes = aggregated.window.upper() == Some(edge);
                if comes || aggregated.window.lower() == Some(edge) {
                    changes.push((at, comes));
                    columns.extend(aggregated.of);
                }
            }
            let columns = wanted(columns.into_iter());
            Passing { edge, changes, columns }
        };
        view.edges().into_iter().map(passing).collect()
    }
}

pub struct Work<'a> {
    pub(super) tx: &'a Transaction<'a>,
    pub(super) live: &'a Live,
    pub(super) memory: MutexGuard<'a, Memory>,
    pub(super) standing: Standing,
    pending: Pending,
    /// One row's columns, for no allocation a row; and bytes.
    columns: Vec<Value>,
    pub(super) bytes: Vec<u8>,
}

/// Where a row was found.
enum At {
    Pending,
    Stored(Place, Vec<u8>),
}

impl<'a> Work<'a> {
    pub fn begin(live: &'a Live, tx: &'a Transaction<'a>) -> Result<Work<'a>> {
        let memory = live.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let standing = state::standing(tx, live.id)?;
        let (pending, columns) = (Pending::default(), Vec::new());
        let mut work = Work { tx, live, memory, standing, pending, columns, bytes: Vec::new() };
        if work.memory.revision != Some(standing.revision) {
            work.restore()?;
        }
        // Until the end it follows nothing: an error on the way must not be taken for a commit.
        work.memory.revision = None;
        Ok(work)
    }

    /// Reads back what is not filed by entity.
    fn restore(&mut self) -> Result<()> {
        self.memory.reset();
        self.memory.filed = state::has_placed(self.tx, self.live.id)?;
        let nothing = self.features(&self.accumulators::<&[u8]>(&mut [])?);
        self.memory.nothing = self.hash(&nothing);
        self.memory.last_chunk = self.standing.placed_chunk;
        self.memory.greatest_key = state::greatest_key(self.tx, self.live.id)?;
        let memory = &mut *self.memory;
        state::each_after(self.tx, self.live.id, self.standing.placed_chunk, |chunk, rows| {
            if !chunk::sound(rows) {
                return Err(state::damaged());
            }
            for (slot, row) in (0..).zip(chunk::rows(rows)) {
                let Some(row) = row else { continue };
                memory.add_place(row.entity, Place { chunk, slot }, row.time_us);
            }
            Ok(())
        })
    }

    pub(super) fn now_us(&self) -> i64 {
        self.standing.expired_to_us
    }

    /// Moves the windows to another moment.
    pub fn advance(&mut self, to_us: i64) -> Result<()> {
        let from_us = self.standing.expired_to_us;
        if to_us < from_us {
            // Rows come into windows again; that is rare, so nothing is kept up for it.
            self.memory.forget_windows();
        }
        for passing in &self.live.edges {
            let (a, b) = (passing.edge.at(from_us), passing.edge.at(to_us));
            let range = (a.min(b), a.max(b));
            if range.0 == range.1 {
                continue;
            }
            state::each_between(self.tx, self.live.id, range, self.live.span_us, |rows| {
                for row in chunk::rows(rows).flatten() {
                    if row.time_us > range.0 && row.time_us <= range.1 {
                        self.pass(passing, &row)?;
                    }
                }
                Ok(true)
            })?;
        }
        self.standing.expired_to_us = to_us;
        Ok(())
    }

    /// An edge passed a row.
    fn pass(&mut self, passing: &Passing, row: &chunk::Stored<'_>) -> Result<()> {
        let Some(windows) = self.memory.touch(row.entity) else { return Ok(()) };
        let State::Full(accumulators) = &mut windows.state else { return Ok(()) };
        row.columns_into(&passing.columns, &mut self.columns).ok_or_else(state::damaged)?;
        let mut exact = true;
        for (at, comes) in &passing.changes {
            let (Some(aggregated), Some(accumulator)) =
                (self.live.view.aggregates.get(*at), accumulators.get_mut(*at))
            else {
                continue;
            };
            let value = aggregated.of.map_or(&ROW, |at| self.columns.get(at).unwrap_or(&Value::Null));
            let item = Item { time_us: row.time_us, key: row.key, value };
            exact &= if *comes { accumulator.add(item) } else { accumulator.leave(item) };
        }
        if !exact {
            windows.state = State::Unknown;
        }
        Ok(())
    }

    /// Brings one row into the state.
    pub fn take(&mut self, row: &Row) -> Result<std::result::Result<(), Reason>> {
        let counts_changes = self.live.view.meaning == Meaning::Changes;
        match row.op {
            Op::Read | Op::Delete | Op::Truncate if counts_changes => return Ok(Ok(())),
            Op::Truncate => return self.truncate().map(Ok),
            _ => {}
        }
        let Some(key) = &row.key else {
            return Ok(Err(Reason::new("no_key", "a row without primary key cannot be retracted")));
        };
        let numbered;
        let key = if counts_changes {
            // Each change is a row of its own, and the same one when it is processed again.
            numbered = [&key[..], &pack::sortable([&Value::Int(row.offset)])].concat();
            &numbered
        } else {
            key
        };
        let old = self.find(key)?;
        let stored = || Ok(old.as_ref().map(|(_, kept)| kept.columns.clone()));
        let kept = match intake::take(&self.live.view, &self.live.places, row, stored)? {
            Ok(kept) => kept.filter(|kept| self.live.remembers(kept.time_us, self.now_us())),
            Err(reason) => return Ok(Err(reason)),
        };
        self.change(key, old, kept).map(Ok)
    }

    fn find(&self, key: &[u8]) -> Result<Option<(At, Kept)>> {
        match self.pending.find(key) {
            Said::Gone => return Ok(None),
            Said::Row(row) => return Ok(Some((At::Pending, row.kept().ok_or_else(state::damaged)?))),
            Said::Nothing if key > &self.memory.greatest_key[..] => return Ok(None),
            Said::Nothing => {}
        }
        let Some(place) = state::find(self.tx, self.live.id, key)? else { return Ok(None) };
        let rows = state::chunk(self.tx, place.chunk)?.ok_or_else(state::damaged)?;
        let row = chunk::row(&rows, place.slot).filter(|row| row.key == key).ok_or_else(state::damaged)?;
        let kept = row.kept().ok_or_else(state::damaged)?;
        Ok(Some((At::Stored(place, rows), kept)))
    }

    fn change(&mut self, key: &[u8], old: Option<(At, Kept)>, new: Option<Kept>) -> Result<()> {
        if let Some((_, old)) = &old {
            self.alter(key, old, false)?;
        }
        if let Some(new) = &new {
            self.alter(key, new, true)?;
        }
        if let Some((At::Stored(place, rows), old)) = &old {
            // In its place if it stays where time and entity look for it.
            let stays = new.as_ref().filter(|new| old.entity == new.entity && old.time_us == new.time_us);
            let row = stays.map(|new| (key, new));
            let rows = chunk::replaced(rows, place.slot, row).ok_or_else(state::damaged)?;
            state::set_chunk(self.tx, place.chunk, &rows)?;
            if stays.is_some() {
                return Ok(());
            }
        }
        match (&old, &new) {
            (_, Some(new)) => self.pending.put(key, new),
            (Some((_, old)), None) => self.pending.bury(key, old),
            (None, None) => {}
        }
        Ok(())
    }

    /// Keeps up the row's entity, if it is at hand.
    fn alter(&mut self, key: &[u8], kept: &Kept, comes: bool) -> Result<()> {
        let (now_us, view) = (self.now_us(), &self.live.view);
        let Some(windows) = self.memory.touch(&kept.entity) else { return Ok(()) };
        let accumulators = match &mut windows.state {
            State::Unknown => return Ok(()),
            State::Full(accumulators) => accumulators,
            State::Few(rows) => {
                let mut all = std::mem::take(rows).into_vec();
                let known = match comes {
                    true => {
                        self.bytes.clear();
                        chunk::encode_some(&mut self.bytes, key, kept, &self.live.aggregated);
                        all.reserve_exact(self.bytes.len() + 2);
                        chunk::put(&mut all, &self.bytes);
                        all.len() <= FEW_BYTES
                    }
                    false => chunk::remove(&mut all, key),
                };
                windows.state = if known { State::Few(all.into()) } else { State::Unknown };
                return Ok(());
            }
        };
        let mut exact = true;
        for (aggregated, accumulator) in view.aggregates.iter().zip(accumulators) {
            if !aggregated.window.contains(kept.time_us, now_us) {
                continue;
            }
            let value = aggregated.of.map_or(&ROW, |at| kept.columns.get(at).unwrap_or(&Value::Null));
            let item = Item { time_us: kept.time_us, key, value };
            exact &= if comes { accumulator.add(item) } else { accumulator.remove(item) };
        }
        if !exact {
            windows.state = State::Unknown;
        }
        Ok(())
    }

    fn truncate(&mut self) -> Result<()> {
        self.touch_all()?;
        for entity in self.pending.entities() {
            self.memory.touch(entity);
        }
        self.pending = Pending::default();
        state::empty(self.tx, self.live.id)?;
        self.memory.empty();
        Ok(())
    }

    /// Touches every entity that has rows.
    pub fn touch_all(&mut self) -> Result<()> {
        for entity in state::entities(self.tx, self.live.id)? {
            self.memory.touch(&entity);
        }
        for (entity, _) in self.waiting()? {
            self.memory.touch(&entity);
        }
        Ok(())
    }

    /// Puts the new rows into chunks, by time.
    fn store(&mut self) -> Result<()> {
        let pending = std::mem::take(&mut self.pending);
        let rows = pending.by_time();
        let (mut bytes, mut from) = (Vec::with_capacity(chunk::MAX_BYTES + 256), 0);
        let mut keys: Vec<Change<'_>> = Vec::with_capacity(rows.len());
        for (at, (time_us, row)) in rows.iter().enumerate() {
            chunk::put(&mut bytes, row);
            let first_us = rows.get(from).map_or(*time_us, |(time_us, _)| *time_us);
            let full = bytes.len() >= chunk::MAX_BYTES || at + 1 - from >= chunk::MAX_ROWS;
            let next = rows.get(at + 1).map(|(time_us, _)| *time_us);
            if full || next.is_none_or(|time| time.saturating_sub(first_us) > self.live.span_us) {
                let chunk = state::add_chunk(self.tx, self.live.id, &bytes)?;
                for ((time_us, row), slot) in rows.iter().take(at + 1).skip(from).zip(0..) {
                    let (place, row) = (Place { chunk, slot }, chunk::read(row).ok_or_else(state::damaged)?);
                    self.memory.add_place(row.entity, place, *time_us);
                    keys.push((row.key, Some(place)));
                }
                bytes.clear();
                from = at + 1;
            }
        }
        keys.extend(pending.gone().map(|key| (key, None)));
        keys.sort_unstable_by_key(|(key, _)| *key);
        if let Some((key, _)) = keys.last()
            && **key > self.memory.greatest_key[..]
        {
            self.memory.greatest_key = key.to_vec();
        }
        state::set_keys(self.tx, self.live.id, &keys)
    }

    /// Stores what is new, gives the values of every touched entity, and says in the file which memory
    /// follows it.
    pub fn end(mut self) -> Result<Vec<FeatureRow>> {
        self.store()?;
        let touched = self.memory.take_touched();
        let mut values = Vec::with_capacity(touched.len());
        for id in touched {
            values.push(self.values(id)?);
        }
        if self.memory.is_full() {
            self.place()?;
        }
        self.standing.revision += 1;
        state::set_standing(self.tx, self.live.id, self.standing)?;
        self.memory.revision = Some(self.standing.revision);
        Ok(values)
    }

    /// Files the places that wait, by entity.
    fn place(&mut self) -> Result<()> {
        let (tx, view, last) = (self.tx, self.live.id, self.memory.last_chunk);
        for (entity, places) in self.waiting()? {
            state::put_places(tx, view, &entity, last, &places)?;
        }
        let last_us = self.memory.waiting.last_us();
        self.memory.waiting.clear();
        self.memory.filed = true;
        self.standing.placed_chunk = last;
        state::put_placed(tx, view, last, last_us)
    }

    /// The places that wait, by entity, as the chunks say it.
    fn waiting(&self) -> Result<BTreeMap<Box<[u8]>, Vec<Place>>> {
        let mut waiting: BTreeMap<Box<[u8]>, Vec<Place>> = BTreeMap::new();
        state::each_after(self.tx, self.live.id, self.standing.placed_chunk, |chunk, rows| {
            for (slot, row) in (0..).zip(chunk::rows(rows)) {
                let Some(row) = row else { continue };
                let place = Place { chunk, slot };
                match waiting.get_mut(row.entity) {
                    Some(places) => places.push(place),
                    None => drop(waiting.insert(row.entity.into(), vec![place])),
                }
            }
            Ok(())
        })?;
        Ok(waiting)
    }

    /// How far the windows may move so that about `limit` rows are passed.
    pub fn reach(&self, to_us: i64, limit: usize) -> Result<i64> {
        let from_us = self.standing.expired_to_us;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut to_us = to_us;
        while to_us - from_us > 1 && self.passed(from_us, to_us)? > limit {
            to_us = from_us + (to_us - from_us) / 2;
        }
        Ok(to_us)
    }

    /// Rows that edges pass between two moments, without those that only share a chunk with them.
    fn passed(&self, from_us: i64, to_us: i64) -> Result<i64> {
        let mut count = 0;
        for Passing { edge, .. } in &self.live.edges {
            let range = (edge.at(from_us), edge.at(to_us));
            let some = state::count_between(self.tx, self.live.id, range, self.live.span_us)?;
            count += some.saturating_sub(2 * chunk::MAX_ROWS as i64).max(0);
        }
        Ok(count)
    }

    /// Forgets rows that are in no window any more, a bounded number of them.
    pub fn trim(&mut self) -> Result<()> {
        let Some(to_us) = self.live.forgotten_us(self.now_us()) else { return Ok(()) };
        let chunks = state::chunks_until(self.tx, self.live.id, to_us, TRIM_CHUNKS)?;
        let rows = chunks.iter().flat_map(|one| chunk::rows(&one.rows)).flatten();
        let mut keys: Vec<Change<'_>> = rows.map(|row| (row.key, None)).collect();
        keys.sort_unstable_by_key(|(key, _)| *key);
        state::set_keys(self.tx, self.live.id, &keys)?;
        for one in &chunks {
            state::drop_chunk(self.tx, one.id)?;
        }
        self.memory.waiting.forget_until(to_us);
        if self.memory.filed {
            state::drop_placed(self.tx, self.live.id, to_us)?;
            self.memory.filed = state::has_placed(self.tx, self.live.id)?;
        }
        Ok(())
    }
}
