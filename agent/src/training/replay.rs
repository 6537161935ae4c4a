//! The agent's own features, run again in a scratch file: the same engine, the same store, on a clock that
//! stands where the log and the spine say.
//!
//! ```text
//! row known at t ─> waits with others ─┐
//! spine at T ──────> all up to T are taken ─> windows move to T ─> the store is read
//! ```

use crate::feature::{self, Engine, Limits, View};
use crate::model::feature::{EntityType, ViewShape};
use crate::model::pack;
use crate::model::row::Row;
use crate::model::value::Value;
use crate::store;
use rusqlite::Transaction;
use shared::error::Result;
use std::time::Duration;

/// Rows that leave windows in one go, roughly.
const EXPIRE_ROWS: usize = 10_000;
/// Rows that wait before they are taken, and about how many bytes of them.
const WAITING_ROWS: usize = 4_096;
const WAITING_BYTES: usize = 8 << 20;

pub struct Replay<'t> {
    tx: &'t Transaction<'t>,
    engine: Engine,
    /// Per topic.
    waiting: Vec<(String, Vec<Row>)>,
    rows: usize,
    bytes: usize,
    now_us: i64,
    /// Where the age of values counts, each change gets the time at which the agent would have seen it: this
    /// is how often it looks at windows.
    tick_us: Option<i64>,
}

impl<'t> Replay<'t> {
    /// `topics` with the columns of their rows.
    pub fn open(
        tx: &'t Transaction<'t>,
        views: Vec<View>,
        topics: &[(String, Vec<String>)],
        cache_bytes: usize,
        tick: Duration,
    ) -> Result<Replay<'t>> {
        let ages = views.iter().any(|view| view.ttl_us.is_some());
        let tick_us = ages.then(|| i64::try_from(tick.as_micros()).unwrap_or(i64::MAX).max(1));
        let columns = |name: &str| topics.iter().find(|(topic, _)| topic == name).map_or(&[][..], |(_, c)| c);
        let (engine, opened) = Engine::open(tx, views, columns, 0, Limits::with_cache(cache_bytes))?;
        for view in opened.stale {
            engine.built(tx, view)?;
        }
        let waiting = topics.iter().map(|(name, _)| (name.clone(), Vec::new())).collect();
        Ok(Replay { tx, engine, waiting, rows: 0, bytes: 0, now_us: 0, tick_us })
    }

    pub fn shapes(&self) -> Vec<ViewShape> {
        self.engine.shapes()
    }

    /// A row that was known at this time, which is not before that of the row before.
    pub fn take(&mut self, topic: usize, at_us: i64, row: Row) -> Result<()> {
        if self.tick_us.is_some() && at_us > self.now_us {
            self.flush()?;
            self.ticks(at_us)?;
        }
        self.now_us = self.now_us.max(at_us);
        self.rows += 1;
        self.bytes += weight(&row);
        if let Some((_, waiting)) = self.waiting.get_mut(topic) {
            waiting.push(row);
        }
        if self.rows >= WAITING_ROWS || self.bytes >= WAITING_BYTES { self.flush() } else { Ok(()) }
    }

    /// Moves everything to this time.
    pub fn advance(&mut self, to_us: i64) -> Result<()> {
        self.flush()?;
        self.ticks(to_us)?;
        self.now_us = self.now_us.max(to_us);
        self.expire(self.now_us)
    }

    /// An entity's values as they are served now; `None` if none are.
    pub fn values(&self, view: &ViewShape, entity: &[u8]) -> Result<Option<Vec<Value>>> {
        store::current(self.tx, view, entity, self.now_us)
    }

    fn flush(&mut self) -> Result<()> {
        let waiting = self.waiting.iter().filter(|(_, rows)| !rows.is_empty());
        let batches: Vec<(&str, &[Row])> = waiting.map(|(topic, rows)| (&**topic, &**rows)).collect();
        // Rows that a view cannot take are put aside by the agent, and count here as little as there.
        for effect in self.engine.apply_all(self.tx, &batches, self.now_us, None)? {
            store::write(self.tx, effect.values, self.now_us)?;
        }
        self.waiting.iter_mut().for_each(|(_, rows)| rows.clear());
        (self.rows, self.bytes) = (0, 0);
        Ok(())
    }

    fn expire(&self, now_us: i64) -> Result<()> {
        while self.engine.due(self.tx, now_us)? {
            let (values, more) = self.engine.expire(self.tx, now_us, EXPIRE_ROWS)?;
            store::write(self.tx, values, now_us)?;
            if !more {
                break;
            }
        }
        Ok(())
    }

    /// Looks at windows as often as the agent does, but not where nothing has left one.
    fn ticks(&mut self, to_us: i64) -> Result<()> {
        let Some(tick_us) = self.tick_us else { return Ok(()) };
        let last = to_us.div_euclid(tick_us);
        loop {
            let (mut low, mut high) = (self.now_us.div_euclid(tick_us) + 1, last);
            if low > high || !self.engine.due(self.tx, high * tick_us)? {
                return Ok(());
            }
            while low < high {
                let middle = low + (high - low) / 2;
                match self.engine.due(self.tx, middle * tick_us)? {
                    true => high = middle,
                    false => low = middle + 1,
                }
            }
            self.now_us = low * tick_us;
            self.expire(self.now_us)?;
        }
    }
}

/// About how many bytes a row takes.
fn weight(row: &Row) -> usize {
    let value = |value: &Value| match value {
        Value::Text(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        _ => 0,
    };
    128 + row.after.iter().flatten().map(|v| 32 + value(v)).sum::<usize>()
}

/// The keys that a spine's cells may stand for; none if one of them is null or cannot be a key. More than
/// one only if a text looks like a number and the definition does not say which it is.
pub fn entities(view: &ViewShape, cells: &[&Value]) -> Vec<Vec<u8>> {
    let mut keys: Vec<Vec<Value>> = vec![Vec::new()];
    for ((_, kind), cell) in view.entity.iter().zip(cells) {
        let spellings = spellings(cell, *kind);
        let with = |key: &Vec<Value>| -> Vec<Vec<Value>> {
            spellings.iter().map(|one| key.iter().chain([one]).cloned().collect()).collect()
        };
        keys = keys.iter().flat_map(with).collect();
    }
    keys.iter().map(pack::sortable).collect()
}

fn spellings(cell: &Value, kind: EntityType) -> Vec<Value> {
    let mut found = Vec::new();
    match cell {
        // Pandas makes doubles of integers where one is missing.
        Value::Float(n) if n.fract() == 0.0 && n.abs() < 9e15 => found.push(Value::Int(*n as i64)),
        Value::Text(text) if kind != EntityType::Text => {
            found.extend(super::column::whole(text).map(Value::Int));
            found.push(cell.clone());
        }
        other => found.push(other.clone()),
    }
    let fits = |value| feature::entity_value(value, kind).ok().filter(|value| !value.is_null());
    found.into_iter().filter_map(fits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::feature::ViewId;

    #[test]
    fn cells_as_keys() {
        let view = |kinds: &[EntityType]| ViewShape {
            id: ViewId(1),
            version: 1,
            name: "v".to_owned(),
            entity: kinds.iter().map(|kind| ("e".to_owned(), *kind)).collect(),
            features: Vec::new(),
            ttl_us: None,
        };
        let (int, text) = (|n| Value::Int(n), |t: &str| Value::Text(t.to_owned()));
        for (kind, cell, want) in [
            (EntityType::Natural, int(7), vec![int(7)]),
            (EntityType::Natural, Value::Float(7.0), vec![int(7)]),
            (EntityType::Natural, Value::Float(7.5), vec![]),
            (EntityType::Natural, text("7"), vec![int(7), text("7")]),
            (EntityType::Natural, text("07"), vec![text("07")]),
            (EntityType::Text, text("7"), vec![text("7")]),
            (EntityType::Text, int(7), vec![text("7")]),
            (EntityType::Int64, text("7"), vec![int(7)]),
            (EntityType::Int32, int(1 << 40), vec![]),
            (EntityType::Natural, Value::Null, vec![]),
        ] {
            let want: Vec<Vec<u8>> = want.iter().map(|value| pack::sortable([value])).collect();
            assert_eq!(entities(&view(&[kind]), &[&cell]), want, "{kind:?} {cell:?}");
        }
        let both = view(&[EntityType::Natural, EntityType::Int64]);
        assert_eq!(entities(&both, &[&text("1"), &int(2)]).len(), 2);
        assert!(entities(&both, &[&int(1), &Value::Null]).is_empty());
    }
}
