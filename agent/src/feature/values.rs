//! A touched entity's values: from its aggregates or its few rows, if it is at hand, else from the file.

use super::accumulator::{Accumulator, Item};
use super::aggregate::declared;
use super::chunk::{self, Place};
use super::definition::Compute;
use super::memory::State;
use super::state;
use super::work::{ROW, Work};
use crate::model::feature::FeatureRow;
use crate::model::pack;
use crate::model::value::Value;
use shared::error::{Error, Kind, Result};

/// Places of an entity are written anew when more than this many, and most of them, are outdated.
const OUTDATED_PLACES: usize = 256;
/// Rows of an entity up to which they themselves are kept at hand, and not what is made of them.
const FEW_ROWS: usize = 6;
/// ... and bytes, whatever comes within one transaction.
pub(super) const FEW_BYTES: usize = 1_024;

/// A row of an entity, in window order when sorted.
pub(super) struct Found<K> {
    time_us: i64,
    key: K,
    columns: Vec<Value>,
}

impl Work<'_> {
    /// The values of a touched entity.
    pub(super) fn values(&mut self, id: u32) -> Result<FeatureRow> {
        let nobody = || Error::new(Kind::Bug, "a touched entity has no name");
        let windows = self.memory.at(id).ok_or_else(nobody)?;
        let (entity, given) = (windows.name.to_vec(), windows.given);
        let values = match std::mem::replace(&mut windows.state, State::Unknown) {
            State::Full(accumulators) => {
                let values = self.features(&accumulators);
                self.memory.at(id).ok_or_else(nobody)?.state = State::Full(accumulators);
                values
            }
            State::Few(rows) => self.of_few(id, rows)?,
            State::Unknown => {
                let mut rows = self.rows(&entity)?;
                let accumulators = self.accumulators(&mut rows)?;
                let values = self.features(&accumulators);
                let state = self.kept_at_hand(&rows, accumulators);
                self.memory.at(id).ok_or_else(nobody)?.state = state;
                values
            }
        };
        let hash = self.hash(&values);
        self.memory.at(id).ok_or_else(nobody)?.given = hash;
        self.memory.settle(id);
        Ok(FeatureRow { view: self.live.id, entity, values, differs: given != 0 && given != hash })
    }

    /// The values of an entity whose rows are at hand; those that are out for good go.
    fn of_few(&mut self, id: u32, bytes: Box<[u8]>) -> Result<Vec<Value>> {
        let gone_us = self.live.gone_us(self.now_us());
        let (mut rows, mut left, mut all) = (Vec::new(), Vec::new(), true);
        for row in chunk::rows(&bytes).flatten() {
            if gone_us.is_some_and(|to_us| row.time_us <= to_us) {
                all = false;
                continue;
            }
            let mut columns = Vec::new();
            row.columns_into(&self.live.aggregated, &mut columns).ok_or_else(state::damaged)?;
            rows.push(Found { time_us: row.time_us, key: row.key, columns });
        }
        let accumulators = self.accumulators(&mut rows)?;
        let values = self.features(&accumulators);
        let state = if rows.len() > FEW_ROWS {
            State::Full(accumulators)
        } else if all {
            State::Few(bytes)
        } else {
            for row in &rows {
                self.bytes.clear();
                let kept = (row.time_us, &row.columns[..]);
                chunk::encode_parts(&mut self.bytes, row.key, kept, &self.live.aggregated);
                chunk::put(&mut left, &self.bytes);
            }
            State::Few(left.into())
        };
        if let Some(windows) = self.memory.at(id) {
            windows.state = state;
        }
        Ok(values)
    }

    /// What stays at hand of an entity that was read from the file.
    fn kept_at_hand(&mut self, rows: &[Found<Vec<u8>>], accumulators: Box<[Accumulator]>) -> State {
        if rows.len() > FEW_ROWS {
            return State::Full(accumulators);
        }
        let gone_us = self.live.gone_us(self.now_us());
        let mut few = Vec::new();
        for row in rows.iter().filter(|row| gone_us.is_none_or(|to_us| row.time_us > to_us)) {
            self.bytes.clear();
            let kept = (row.time_us, &row.columns[..]);
            chunk::encode_parts(&mut self.bytes, &row.key, kept, &self.live.aggregated);
            chunk::put(&mut few, &self.bytes);
        }
        if few.len() > FEW_BYTES { State::Full(accumulators) } else { State::Few(few.into()) }
    }

    /// The features of finished aggregates.
    pub(super) fn features(&self, accumulators: &[Accumulator]) -> Vec<Value> {
        let view = &self.live.view;
        let mut values: Vec<Value> = Vec::with_capacity(view.features.len());
        for feature in &view.features {
            let of = |places: &[usize]| places.iter().filter_map(|at| values.get(*at)).collect::<Vec<_>>();
            let value = match &feature.compute {
                Compute::Aggregate(at) => accumulators.get(*at).map_or(Value::Null, Accumulator::value),
                Compute::Derived(formula, places) => formula.evaluate(&of(places)),
                Compute::Vector(places) => vector(&of(places)),
            };
            values.push(declared(value, feature.kind));
        }
        values
    }

    pub(super) fn hash(&mut self, values: &[Value]) -> u32 {
        self.bytes.clear();
        pack::pack_into(&mut self.bytes, values);
        self.memory.hash(&self.bytes)
    }

    /// An entity's windows from its rows, which it puts in order.
    pub(super) fn accumulators<K: AsRef<[u8]>>(&self, rows: &mut [Found<K>]) -> Result<Box<[Accumulator]>> {
        rows.sort_unstable_by(|a, b| (a.time_us, a.key.as_ref()).cmp(&(b.time_us, b.key.as_ref())));
        let (rows, now_us) = (&*rows, self.now_us());
        let built = self.live.view.aggregates.iter().map(|aggregated| {
            let start = |keep| {
                let mut accumulator = Accumulator::start(aggregated.aggregate, keep);
                let mut inside = rows.iter().filter(|row| aggregated.window.contains(row.time_us, now_us));
                let exact = inside.all(|Found { time_us, key, columns }| {
                    let value = aggregated.of.map_or(&ROW, |at| columns.get(at).unwrap_or(&Value::Null));
                    accumulator.add(Item { time_us: *time_us, key: key.as_ref(), value })
                });
                exact.then_some(accumulator)
            };
            start(false).or_else(|| start(true)).unwrap_or(Accumulator::start(aggregated.aggregate, true))
        });
        Ok(built.collect())
    }

    /// An entity's rows.
    fn rows(&mut self, entity: &[u8]) -> Result<Vec<Found<Vec<u8>>>> {
        let mut places = match self.memory.filed {
            true => state::places(self.tx, self.live.id, entity)?,
            false => Vec::new(),
        };
        let filed_rows = places.len();
        places.extend(self.memory.places(entity));
        places.sort_unstable();
        places.dedup();
        let (mut rows, mut alive) = (Vec::with_capacity(places.len()), Vec::new());
        for of_chunk in places.chunk_by(|a, b| a.chunk == b.chunk) {
            let Some(number) = of_chunk.first().map(|place| place.chunk) else { continue };
            let slots = of_chunk.iter().map(|place| place.slot);
            let read = state::in_chunk(self.tx, number, |bytes| {
                let mut sound = true;
                let walked = chunk::pick(bytes, slots, |slot, row| {
                    if row.entity != entity {
                        return;
                    }
                    match row.columns() {
                        Some(columns) => {
                            rows.push(Found { time_us: row.time_us, key: row.key.to_vec(), columns })
                        }
                        None => sound = false,
                    }
                    alive.push(Place { chunk: number, slot });
                });
                walked.filter(|()| sound)
            });
            if let Some(None) = read? {
                return Err(state::damaged());
            }
        }
        if filed_rows > OUTDATED_PLACES && alive.len() < filed_rows / 2 {
            self.place_anew(entity, &alive, rows.iter().map(|row| row.time_us).max())?;
        }
        Ok(rows)
    }

    /// Files only what is alive; a place that waits as well is dropped when it is read twice.
    fn place_anew(&self, entity: &[u8], alive: &[Place], last_us: Option<i64>) -> Result<()> {
        let (tx, view, last) = (self.tx, self.live.id, self.standing.placed_chunk);
        state::drop_places(tx, view, entity)?;
        state::put_places(tx, view, entity, last, alive)?;
        state::put_placed(tx, view, last, last_us.unwrap_or(i64::MIN))
    }
}

/// Null if one of them is no number.
fn vector(values: &[&Value]) -> Value {
    let floats: Option<Vec<Value>> = values.iter().map(|value| value.to_f64().map(Value::Float)).collect();
    floats.map_or(Value::Null, Value::List)
}
