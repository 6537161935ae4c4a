//! Rows → feature values, by the rows that windows still need.
//!
//! A view is over the table's *rows*: an update or a delete retracts. At any moment a feature equals
//! the SQL over the rows for which `time > now - window`; rows of the future count, as they do there.
//! Nothing is kept but the rows: a touched entity is computed anew from them, so retraction without a
//! before-image, late rows, expiry, and restart need no case of their own, and a row that comes twice
//! changes nothing.

pub mod aggregate;
pub mod definition;
mod expression;
mod intake;
mod state;

use crate::model::feature::{FeatureRow, ViewId, ViewShape};
use crate::model::row::{Op, Row};
use crate::model::verdict::Reason;
pub use definition::View;
pub use intake::entity_value;
use intake::{Kept, Places};
use rusqlite::{Connection, Transaction};
use shared::error::{Error, Kind, Result};
use std::collections::BTreeSet;

/// Rows stay this long after they left the longest window, in case the clock is set back.
const CLOCK_GRACE_US: i64 = 60 * 1_000_000;

/// The views at work.
#[derive(Clone, Debug)]
pub struct Engine {
    views: Vec<Live>,
}

#[derive(Clone, Debug)]
struct Live {
    id: ViewId,
    view: View,
    places: Places,
}

/// What [`Engine::open`] found besides the views.
#[derive(Debug, Default)]
pub struct Opened {
    /// Views whose state must be built from the retained log, because they are new or changed.
    pub stale: Vec<ViewId>,
    /// Views that are defined no more; their state is gone.
    pub gone: Vec<ViewId>,
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
    /// Gives the views their numbers and clears the state of those whose definition changed.
    /// `columns` gives the columns that a topic's rows carry.
    pub fn open<'c>(
        tx: &Transaction<'_>,
        views: Vec<View>,
        columns: impl Fn(&str) -> &'c [String],
        now_us: i64,
    ) -> Result<(Engine, Opened)> {
        let mut known = state::views(tx)?;
        let mut opened = Opened::default();
        let mut live = Vec::with_capacity(views.len());
        for view in views {
            let at = known.iter().position(|known| known.name == view.name);
            let (id, definition) = match at.map(|at| known.swap_remove(at)) {
                Some(found) => (found.id, found.definition),
                None => (state::add_view(tx, &view.name, now_us)?, String::new()),
            };
            if definition != view.definition {
                state::clear(tx, id)?;
                state::set_definition(tx, id, "")?;
                opened.stale.push(id);
            }
            let places = Places::find(&view, columns(&view.topic)).ok_or_else(|| {
                Error::new(Kind::Bug, format!("view {}: its columns are not among the topic's", view.name))
            })?;
            live.push(Live { id, view, places });
        }
        for gone in known {
            state::forget_view(tx, gone.id)?;
            opened.gone.push(gone.id);
        }
        Ok((Engine { views: live }, opened))
    }

    /// Says that a stale view's state is complete.
    pub fn built(&self, tx: &Transaction<'_>, view: ViewId) -> Result<()> {
        match self.views.iter().find(|live| live.id == view) {
            Some(live) => state::set_definition(tx, view, &live.view.definition),
            None => Ok(()),
        }
    }

    /// What a view is made from: its topic, and the longest window (`None`: all rows since ever).
    pub fn needs(&self, view: ViewId) -> Option<(&str, Option<i64>)> {
        let live = self.views.iter().find(|live| live.id == view)?;
        Some((&live.view.topic, live.view.longest_window_us()))
    }

    /// A view's name, for messages; empty if there is no such view.
    pub fn name(&self, view: ViewId) -> &str {
        self.views.iter().find(|live| live.id == view).map_or("", |live| &live.view.name)
    }

    /// What others need to know of the views.
    pub fn shapes(&self) -> Vec<ViewShape> {
        let shape = |live: &Live| ViewShape {
            id: live.id,
            name: live.view.name.clone(),
            entity: live.view.entity.clone(),
            features: live.view.features.iter().map(|f| f.name.clone()).collect(),
            ttl_us: live.view.ttl_us,
        };
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
        let mut effect = Effect::default();
        let wanted =
            |live: &&Live| live.view.topic == topic && only.is_none_or(|only| only.contains(&live.id));
        for live in self.views.iter().filter(wanted) {
            let mut touched = BTreeSet::new();
            for row in rows {
                if let Err(reason) = live.take(tx, row, now_us, &mut touched)? {
                    effect.refused.push((row.offset, reason));
                }
            }
            for entity in touched {
                effect.values.push(live.compute(tx, entity, now_us)?);
            }
        }
        Ok(effect)
    }

    /// Whether a row has left a window since the last [`Engine::expire`]; only reads.
    pub fn due(&self, connection: &Connection, now_us: i64) -> Result<bool> {
        for live in &self.views {
            let from = state::expired_to(connection, live.id)?;
            for window in live.view.windows_us() {
                let (after, to) = range(from, now_us, window);
                if state::any_between(connection, live.id, after, to)? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Computes the entities that have a row which left a window, about `limit` rows' worth; true if
    /// there is more to do.
    pub fn expire(&self, tx: &Transaction<'_>, now_us: i64, limit: usize) -> Result<(Vec<FeatureRow>, bool)> {
        let mut values = Vec::new();
        let mut more = false;
        for live in &self.views {
            let from = state::expired_to(tx, live.id)?;
            let mut to = now_us;
            for window in live.view.windows_us() {
                let (after, until) = range(from, to, window);
                if to > from
                    && let Some(time) = state::nth_between(tx, live.id, after, until, limit)?
                {
                    to = time.saturating_add(window).min(to);
                    more = true;
                }
            }
            let mut touched = BTreeSet::new();
            for window in live.view.windows_us() {
                let (after, until) = range(from, to, window);
                touched.extend(state::entities_between(tx, live.id, after, until)?);
            }
            for entity in touched {
                values.push(live.compute(tx, entity, now_us)?);
            }
            state::set_expired_to(tx, live.id, to)?;
            if let Some(longest) = live.view.longest_window_us() {
                state::trim(tx, live.id, to.saturating_sub(longest).saturating_sub(CLOCK_GRACE_US))?;
            }
        }
        Ok((values, more))
    }

    /// The values of every entity that has rows, for a view whose state was just built.
    pub fn everything(&self, tx: &Transaction<'_>, view: ViewId, now_us: i64) -> Result<Vec<FeatureRow>> {
        let Some(live) = self.views.iter().find(|live| live.id == view) else { return Ok(Vec::new()) };
        let entities = state::entities(tx, view)?;
        entities.into_iter().map(|entity| live.compute(tx, entity, now_us)).collect()
    }

    /// Rows kept and entities with rows, per view name.
    pub fn sizes(&self, connection: &Connection) -> Result<Vec<(String, i64, i64)>> {
        let size = |live: &Live| {
            let (rows, entities) = state::size(connection, live.id)?;
            Ok((live.view.name.clone(), rows, entities))
        };
        self.views.iter().map(size).collect()
    }
}

/// The times of rows that leave a window of this length between two moments; also when the clock went
/// back, for then they come into it again.
fn range(from_us: i64, to_us: i64, window_us: i64) -> (i64, i64) {
    let (low, high) = (from_us.min(to_us), from_us.max(to_us));
    (low.saturating_sub(window_us), high.saturating_sub(window_us))
}

impl Live {
    /// Brings one row into the state, noting the entities whose values may have changed.
    fn take(
        &self,
        tx: &Transaction<'_>,
        row: &Row,
        now_us: i64,
        touched: &mut BTreeSet<Vec<u8>>,
    ) -> Result<std::result::Result<(), Reason>> {
        if row.op == Op::Truncate {
            touched.extend(state::entities(tx, self.id)?);
            state::clear(tx, self.id)?;
            return Ok(Ok(()));
        }
        let Some(key) = &row.key else {
            return Ok(Err(Reason::new("no_key", "a row without primary key cannot be retracted")));
        };
        let old = state::find(tx, self.id, key)?;
        let stored = || match &old {
            Some(place) => state::columns(tx, self.id, place, key),
            None => Ok(None),
        };
        let kept = match intake::take(&self.view, &self.places, row, stored)? {
            Ok(kept) => kept.filter(|kept| self.counts(kept, now_us)),
            Err(reason) => return Ok(Err(reason)),
        };
        if let Some(place) = old {
            let stays = kept.as_ref().is_some_and(|k| k.entity == place.0 && k.time_us == place.1);
            if !stays {
                state::remove(tx, self.id, &place, key)?;
            }
            touched.insert(place.0);
        }
        if let Some(kept) = kept {
            state::insert(tx, self.id, key, &kept)?;
            touched.insert(kept.entity);
        }
        Ok(Ok(()))
    }

    /// Whether a row is, or may after a step of the clock be, in a window.
    fn counts(&self, kept: &Kept, now_us: i64) -> bool {
        self.view.longest_window_us().is_none_or(|longest| {
            kept.time_us > now_us.saturating_sub(longest).saturating_sub(CLOCK_GRACE_US)
        })
    }

    fn compute(&self, tx: &Transaction<'_>, entity: Vec<u8>, now_us: i64) -> Result<FeatureRow> {
        let start = |window: Option<i64>| window.map_or(i64::MIN, |w| now_us.saturating_sub(w));
        let mut running: Vec<_> = self
            .view
            .features
            .iter()
            .map(|feature| (feature, start(feature.window_us), feature.aggregate.start()))
            .collect();
        let after = start(self.view.longest_window_us());
        state::each_row(tx, self.id, &entity, after, |time_us, columns| {
            for (feature, after, accumulator) in &mut running {
                if time_us > *after {
                    let one = crate::model::value::Value::Bool(true);
                    let value = feature.of.map_or(Some(&one), |at| columns.get(at));
                    accumulator.add(value.unwrap_or(&crate::model::value::Value::Null));
                }
            }
        })?;
        let values = running
            .into_iter()
            .map(|(feature, _, accumulator)| aggregate::declared(accumulator.finish(), feature.kind))
            .collect();
        Ok(FeatureRow { view: self.id, entity, values })
    }
}

#[cfg(test)]
mod tests;
