//! Rows → feature values, by the rows that windows still need.
//!
//! A view is over the table's *rows*: an update or a delete retracts. At any moment a feature equals
//! the SQL over the rows for which `time > now - window`; rows of the future count, as they do there.
//! The truth is the rows; entities at hand are kept up as rows come, go, and leave windows, and whatever
//! is not at hand or cannot be kept up exactly is computed from its rows. So retraction without a
//! before-image, late rows, expiry and restart have one answer, and a row that comes twice changes nothing.
//!
//! ```text
//! definition, expression, formula     what is wanted
//! window, aggregate                   which rows, and what of them; accumulator, kept, total: how
//! intake                              a row → what a view keeps of it
//! lookup                              the same with columns of other tables' rows
//! chunk, keys, state                  rows in the file
//! waiting, memory                     places not yet filed, entities at hand
//! pending                             a transaction's new rows
//! version                             a changed definition beside the one that is served
//! work, values                        a view's part of a transaction: rows in, touched entities out
//! ```

mod accumulator;
pub mod aggregate;
mod chunk;
pub mod definition;
mod expression;
mod formula;
mod intake;
mod kept;
mod keys;
mod lookup;
mod memory;
mod pending;
mod state;
mod total;
mod values;
mod version;
mod waiting;
mod window;
mod work;

use crate::config::feature::Meaning;
use crate::model::feature::{FeatureRow, ViewId, ViewShape};
use crate::model::row::Row;
use crate::model::verdict::Reason;
pub use definition::View;
use intake::Places;
pub use intake::entity_value;
use lookup::{Joins, Stage};
pub use memory::Limits;
use memory::Memory;
use rusqlite::{Connection, Transaction};
use shared::error::{Error, Kind, Result};
use std::sync::Mutex;
use work::{Passing, Work};

/// Rows stay this long after they left the longest window, in case the clock is set back.
const CLOCK_GRACE_US: i64 = 60 * 1_000_000;
/// A chunk's rows lie within this part of the shortest window, so that an edge meets few chunks. The file
/// relies on it: another number is another layout.
const CHUNKS_PER_WINDOW: i64 = 64;

/// The views at work.
#[derive(Debug)]
pub struct Engine {
    views: Vec<Live>,
}

#[derive(Debug)]
struct Live {
    id: ViewId,
    version: i64,
    view: View,
    /// Among the topic's columns, or among those that look-ups give.
    places: Places,
    /// Only where something is looked up.
    joins: Option<Joins>,
    /// Those that rows enter by come first: one may pass a row right after the other.
    edges: Vec<Passing>,
    /// The longest time between two rows of a chunk.
    span_us: i64,
    /// Columns that are aggregated, up to the last one.
    aggregated: Vec<bool>,
    memory: Mutex<Memory>,
}

/// What [`Engine::open`] found besides the views.
#[derive(Debug, Default)]
pub struct Opened {
    /// Views whose state must be built from the retained log, because they are new or changed.
    pub stale: Vec<ViewId>,
    /// Views and versions that are defined no more; their state is gone.
    pub gone: Vec<ViewId>,
    /// What is served of changed views until their new versions are complete.
    pub former: Vec<ViewShape>,
}

/// What a batch of rows did.
#[derive(Debug, Default)]
pub struct Effect {
    /// The new values of every entity touched.
    pub values: Vec<FeatureRow>,
    /// Rows that a view could not take, by their offset.
    pub refused: Vec<(i64, Reason)>,
}

impl Engine {
    /// Gives the views their numbers; what changed is to be built, under a number of its own.
    /// `columns` gives the columns that a topic's rows carry.
    pub fn open<'c>(
        tx: &Transaction<'_>,
        views: Vec<View>,
        columns: impl Fn(&str) -> &'c [String],
        now_us: i64,
        limits: Limits,
    ) -> Result<(Engine, Opened)> {
        let limits = limits.shared_by(views.len());
        let mut known = state::views(tx)?;
        let mut opened = Opened::default();
        let mut live = Vec::with_capacity(views.len());
        for view in views {
            let of_name = known.extract_if(.., |known| known.name == view.name).collect();
            let (id, version) = version::place(tx, &view, of_name, now_us, &mut opened)?;
            let (places, joins) = places(&view, &columns).ok_or_else(|| {
                Error::new(Kind::Bug, format!("view {}: its columns are not among the topic's", view.name))
            })?;
            live.push(Live::new((id, version), view, (places, joins), limits));
        }
        for gone in known {
            state::forget_view(tx, gone.id)?;
            opened.gone.push(gone.id);
        }
        Ok((Engine { views: live }, opened))
    }

    /// Forgets what a stale view has so far, before it is built from the log's start.
    pub fn begin(&self, tx: &Transaction<'_>, view: ViewId) -> Result<()> {
        state::clear(tx, view)
    }

    /// Says that a stale view's state is complete.
    pub fn built(&self, tx: &Transaction<'_>, view: ViewId) -> Result<()> {
        match self.views.iter().find(|live| live.id == view) {
            Some(live) => state::set_definition(tx, view, &live.view.definition),
            None => Ok(()),
        }
    }

    /// What a view is made from: its topic with the longest window (`None`: all rows since ever), then
    /// the topics that it looks up, of which it needs all rows. Empty if there is no such view.
    pub fn needs(&self, view: ViewId) -> Vec<(&str, Option<i64>)> {
        let live = self.views.iter().find(|live| live.id == view);
        live.map_or_else(Vec::new, |live| live.view.needs().collect())
    }

    /// Whether a topic's rows are taken in the order of their commits: what a change is joined with depends on it.
    pub fn in_order(&self, topic: &str) -> bool {
        let joins_once = |live: &Live| live.joins.is_some() && live.view.meaning == Meaning::Changes;
        self.views.iter().any(|live| joins_once(live) && live.view.reads(topic))
    }

    /// A view's name, for messages; empty if there is no such view.
    pub fn name(&self, view: ViewId) -> &str {
        self.views.iter().find(|live| live.id == view).map_or("", |live| &live.view.name)
    }

    /// What others need to know of the views.
    pub fn shapes(&self) -> Vec<ViewShape> {
        let shape = |live: &Live| version::shape(live.id, live.version, &live.view);
        self.views.iter().map(shape).collect()
    }

    /// Takes rows of one topic, in order, and computes every touched entity once, as of `now_us`.
    /// `only` restricts it to some views, for building them.
    pub fn apply(
        &self,
        tx: &Transaction<'_>,
        topic: &str,
        rows: &[Row],
        now_us: i64,
        only: Option<&[ViewId]>,
    ) -> Result<Effect> {
        Ok(self.apply_all(tx, &[(topic, rows)], now_us, only)?.pop().unwrap_or_default())
    }

    /// [`Engine::apply`] of several partitions' rows; gives each one's effect. A view with look-ups takes
    /// them in the order of their commits, partition by partition in the log's order.
    pub fn apply_all(
        &self,
        tx: &Transaction<'_>,
        batches: &[(&str, &[Row])],
        now_us: i64,
        only: Option<&[ViewId]>,
    ) -> Result<Vec<Effect>> {
        let mut effects: Vec<Effect> = batches.iter().map(|_| Effect::default()).collect();
        for live in self.views.iter().filter(|live| only.is_none_or(|only| only.contains(&live.id))) {
            if let Some(joins) = &live.joins {
                live.join(joins, tx, batches, now_us, &mut effects)?;
                continue;
            }
            let own = batches.iter().zip(&mut effects).filter(|((topic, _), _)| live.view.topic == *topic);
            for ((_, rows), effect) in own {
                let mut work = Work::begin(live, tx)?;
                work.advance(now_us)?;
                for row in *rows {
                    if let Err(reason) = work.take(row)? {
                        effect.refused.push((row.offset, reason));
                    }
                }
                effect.values.extend(work.end()?);
            }
        }
        Ok(effects)
    }

    /// Whether an edge of a window passed a row since the last [`Engine::expire`]; only reads.
    pub fn due(&self, connection: &Connection, now_us: i64) -> Result<bool> {
        for live in &self.views {
            let from_us = state::standing(connection, live.id)?.expired_to_us;
            for Passing { edge, .. } in &live.edges {
                let (a, b) = (edge.at(from_us), edge.at(now_us));
                let (low, high) = (a.min(b), a.max(b));
                let mut found = false;
                state::each_between(connection, live.id, (low, high), live.span_us, |rows| {
                    found = chunk::rows(rows).flatten().any(|row| row.time_us > low && row.time_us <= high);
                    Ok(!found)
                })?;
                if found {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Computes the entities that have a row which an edge passed, about `limit` rows' worth; true if
    /// there is more to do.
    pub fn expire(&self, tx: &Transaction<'_>, now_us: i64, limit: usize) -> Result<(Vec<FeatureRow>, bool)> {
        let (mut values, mut more) = (Vec::new(), false);
        for live in &self.views {
            let mut work = Work::begin(live, tx)?;
            let to_us = work.reach(now_us, limit)?;
            more |= to_us < now_us;
            work.advance(to_us)?;
            work.trim()?;
            if let Some(joins) = &live.joins {
                lookup::trim(tx, live, joins, to_us, limit)?;
            }
            values.extend(work.end()?);
        }
        Ok((values, more))
    }

    /// The values of every entity that has rows, for a view whose state was just built.
    pub fn everything(&self, tx: &Transaction<'_>, view: ViewId, now_us: i64) -> Result<Vec<FeatureRow>> {
        let Some(live) = self.views.iter().find(|live| live.id == view) else { return Ok(Vec::new()) };
        let mut work = Work::begin(live, tx)?;
        work.advance(now_us)?;
        work.touch_all()?;
        work.end()
    }

    /// Forgets a former version, once its successor is served.
    pub fn forget(&self, tx: &Transaction<'_>, former: ViewId) -> Result<()> {
        state::forget_view(tx, former)
    }

    /// Rows of the tables that a view looks up, by the look-up's name.
    pub fn looked_up(&self, connection: &Connection, view: ViewId) -> Result<Vec<(String, i64)>> {
        let live = self.views.iter().find(|live| live.id == view);
        live.map_or(Ok(Vec::new()), |live| lookup::sizes(connection, live))
    }

    /// Rows kept, per view name.
    pub fn sizes(&self, connection: &Connection) -> Result<Vec<(String, i64)>> {
        let size = |live: &Live| Ok((live.view.name.clone(), state::size(connection, live.id)?));
        self.views.iter().map(size).collect()
    }
}

/// Where a view's columns stand; `None` if one is not among the topics'.
fn places<'c>(view: &View, columns: &impl Fn(&str) -> &'c [String]) -> Option<(Places, Option<Joins>)> {
    if view.lookups.is_empty() {
        return Some((Places::find(view, columns(&view.topic))?, None));
    }
    Some((Places::find(view, &lookup::joined_columns(view))?, Some(Joins::find(view, columns)?)))
}

impl Live {
    fn new(
        (id, version): (ViewId, i64),
        view: View,
        (places, joins): (Places, Option<Joins>),
        limits: Limits,
    ) -> Live {
        let edges = Passing::of(&view);
        let span_us = view.shortest_window_us() / CHUNKS_PER_WINDOW;
        let aggregated = definition::wanted(view.aggregates.iter().filter_map(|one| one.of));
        let memory = Mutex::new(Memory::new(limits));
        Live { id, version, view, places, joins, edges, span_us, aggregated, memory }
    }

    /// Takes those rows that change a view with look-ups.
    fn join(
        &self,
        joins: &Joins,
        tx: &Transaction<'_>,
        batches: &[(&str, &[Row])],
        now_us: i64,
        effects: &mut [Effect],
    ) -> Result<()> {
        if !batches.iter().any(|(topic, _)| self.view.reads(topic)) {
            return Ok(());
        }
        let mut work = Work::begin(self, tx)?;
        work.advance(now_us)?;
        let mut stage = Stage::new(self, joins, tx, work);
        let mut refused = Vec::new();
        for (at, topic, row) in lookup::in_order(&self.view, batches) {
            if let Err(reason) = stage.take(topic, row, (at, row.offset))? {
                refused.push(((at, row.offset), reason));
            }
        }
        let ended = stage.end()?;
        for (origin, reason) in ended.refused {
            // What one row does to many is one refusal.
            if refused.iter().all(|(other, _)| *other != origin) {
                refused.push((origin, reason));
            }
        }
        for ((at, offset), reason) in refused {
            if let Some(effect) = effects.get_mut(at) {
                effect.refused.push((offset, reason));
            }
        }
        if let Some(effect) = effects.first_mut() {
            effect.values.extend(ended.values);
        }
        Ok(())
    }

    /// Whether a row of this time is, or may after a step of the clock be, in a window.
    fn remembers(&self, time_us: i64, now_us: i64) -> bool {
        self.forgotten_us(now_us).is_none_or(|to_us| time_us > to_us)
    }

    /// Rows up to this time are in no window any more, unless the clock is set back; `None` if all are.
    fn gone_us(&self, now_us: i64) -> Option<i64> {
        Some(now_us.saturating_sub(self.view.longest_window_us()?))
    }

    /// Rows up to this time are forgotten; `None` if none are.
    fn forgotten_us(&self, now_us: i64) -> Option<i64> {
        Some(self.gone_us(now_us)?.saturating_sub(CLOCK_GRACE_US))
    }
}

#[cfg(test)]
mod tests;
