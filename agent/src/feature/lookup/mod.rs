//! Look-ups of other tables' latest rows (a stream-table join), in front of a view's windows.
//!
//! ```text
//! row of the view's topic ──> own row kept ── and the looked-up rows' columns ──┐
//!                                  ^ refers to                                  ├─> work, as if it had come
//! row of a looked-up topic ──> its columns kept ── each own row that refers ────┘   with all these columns
//! ```
//! A view over rows equals `FROM own LEFT JOIN other ON other.key = own.column`: whichever row comes, changes or
//! goes, and in whatever order, each own row stands in the windows with what its look-ups find now. A view
//! over changes joins each change once, with what there is then. The windows know nothing of it: a row
//! that comes again under its key takes the place of the one before.
//!
//! A transaction's changes of one looked-up row bring its own rows up to date once, at the end. Own rows are read a
//! page at a time; what a transaction holds in memory are the looked-up rows that changed in it, and, as
//! ever, the entities that it touched.

pub mod definition;
mod state;

use super::Live;
use super::intake;
use super::state::damaged;
use super::work::Work;
use crate::config::feature::Meaning;
use crate::feature::definition::View;
use crate::model::feature::FeatureRow;
use crate::model::pack;
use crate::model::row::{Op, Row};
use crate::model::value::Value;
use crate::model::verdict::Reason;
use rusqlite::{Connection, Transaction};
use shared::error::Result;
use state::{LookedUp, Of, Own};
use std::collections::BTreeMap;

/// Own rows read at a time.
const PAGE_ROWS: i64 = 256;
/// Own rows that have left all windows go in each transaction: so many, and two for each row that came.
const TRIM_ROWS: usize = 1_000;

/// Where a row came from: its batch's number in the transaction, and its offset.
pub type Origin = (usize, i64);
/// What became of a row.
type Taken = std::result::Result<(), Reason>;

/// What a transaction did to a view.
pub struct Ended {
    /// The values of every touched entity.
    pub values: Vec<FeatureRow>,
    /// Looked-up rows that own rows cannot take.
    pub refused: Vec<(Origin, Reason)>,
}

/// Where the columns stand that a view with look-ups reads.
#[derive(Clone, Debug)]
pub struct Joins {
    /// Own columns, each once, among those of the view's topic.
    own: Vec<usize>,
    /// The event time's among the own columns.
    time: Option<usize>,
    sides: Vec<Side>,
}

/// One looked-up table.
#[derive(Clone, Debug)]
struct Side {
    /// The own columns that refer to it.
    ours: Vec<usize>,
    /// Its key's columns, and those that are read, among those of its topic.
    theirs: Vec<usize>,
    columns: Vec<usize>,
}

impl Joins {
    /// The view's columns among those of its topics; `None` if one is not there.
    pub fn find<'c>(view: &View, columns: impl Fn(&str) -> &'c [String]) -> Option<Joins> {
        let own = own(view);
        let place = |topic: &str, name: &str| columns(topic).iter().position(|column| column == name);
        let among_own = |name: &str| own.iter().position(|column| *column == name);
        let side = |lookup: &definition::Lookup| {
            let of = |name: &String| place(&lookup.topic, name);
            Some(Side {
                ours: lookup.ours().map(among_own).collect::<Option<_>>()?,
                theirs: lookup.on.iter().map(|(theirs, _)| of(theirs)).collect::<Option<_>>()?,
                columns: lookup.columns.iter().map(of).collect::<Option<_>>()?,
            })
        };
        Some(Joins {
            time: view.time.as_deref().and_then(among_own),
            sides: view.lookups.iter().map(side).collect::<Option<_>>()?,
            own: own.iter().map(|name| place(&view.topic, name)).collect::<Option<_>>()?,
        })
    }

    /// Those of an own row's columns that refer to a looked-up table, as its rows have them; `None` if one is
    /// null.
    fn of_own(side: &Side, own: &[Value]) -> Option<Vec<u8>> {
        joins(side.ours.iter().map(|at| own.get(*at).unwrap_or(&Value::Null)))
    }
}

/// The columns of the rows that the windows take: own ones, then those of each look-up.
pub fn joined_columns(view: &View) -> Vec<String> {
    let own = own(view).into_iter().map(str::to_owned);
    own.chain(view.lookups.iter().flat_map(definition::Lookup::names)).collect()
}

fn own(view: &View) -> Vec<&str> {
    let mut own: Vec<&str> = view.own().collect();
    own.sort_unstable();
    own.dedup();
    own
}

/// The same bytes for values that are equal in SQL; `None` if one is null, for null equals nothing.
fn joins<'v>(values: impl Iterator<Item = &'v Value>) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(16);
    for value in values {
        if value.is_null() {
            return None;
        }
        bytes.extend(value.identity());
    }
    Some(bytes)
}

/// Whether these columns are the record's key, in whatever order.
fn are_key(key: &[u8], on: &[&Value]) -> bool {
    let sorted = |mut all: Vec<Vec<u8>>| {
        all.sort_unstable();
        all
    };
    let key = pack::from_sortable(key).unwrap_or_default();
    let key = sorted(key.iter().map(Value::identity).collect());
    key == sorted(on.iter().map(|value| value.identity()).collect())
}

/// The rows that change a view, with their batch's number and topic: by the time from which each is known, which
/// is its commit's and no earlier than that of a row before it in its batch. Of one time, looked-up
/// rows come first: one transaction of the source may have written both.
pub fn in_order<'r>(view: &View, batches: &[(&'r str, &'r [Row])]) -> Vec<(usize, &'r str, &'r Row)> {
    let mut all = Vec::new();
    for (at, (topic, rows)) in batches.iter().enumerate().filter(|(_, (topic, _))| view.reads(topic)) {
        let mut known_us = i64::MIN;
        for row in *rows {
            known_us = known_us.max(row.committed_us);
            all.push(((known_us, *topic == view.topic), (at, *topic, row)));
        }
    }
    // Stable: each batch stays in its order.
    all.sort_by_key(|(when, _)| *when);
    all.into_iter().map(|(_, row)| row).collect()
}

/// A view's rows of a transaction, on their way into its windows.
pub struct Stage<'a> {
    live: &'a Live,
    joins: &'a Joins,
    tx: &'a Transaction<'a>,
    work: Work<'a>,
    taken: usize,
    /// Looked-up rows that are others now, by look-up, and which row made the last change.
    changed: BTreeMap<(usize, Vec<u8>), Origin>,
    /// Looked-up tables that were emptied.
    emptied: BTreeMap<usize, Origin>,
}

impl<'a> Stage<'a> {
    pub fn new(live: &'a Live, joins: &'a Joins, tx: &'a Transaction<'a>, work: Work<'a>) -> Stage<'a> {
        Stage { live, joins, tx, work, taken: 0, changed: BTreeMap::new(), emptied: BTreeMap::new() }
    }

    fn of(&self, at: usize) -> Of {
        Of { view: self.live.id, at }
    }

    /// Takes a row of one of the view's topics; a topic may be looked up in several ways, also by itself.
    pub fn take(&mut self, topic: &str, row: &Row, origin: Origin) -> Result<Taken> {
        self.taken += 1;
        let live = self.live;
        let mut outcome = Ok(());
        for (at, lookup) in live.view.lookups.iter().enumerate() {
            if lookup.topic == topic {
                outcome = outcome.and(self.take_looked_up(at, row, origin)?);
            }
        }
        if live.view.topic == topic {
            outcome = outcome.and(self.take_own(row)?);
        }
        Ok(outcome)
    }

    fn take_looked_up(&mut self, at: usize, row: &Row, origin: Origin) -> Result<Taken> {
        let of = self.of(at);
        if row.op == Op::Truncate {
            state::empty_looked_up(self.tx, of)?;
            self.emptied.insert(at, origin);
            return Ok(Ok(()));
        }
        let Some(key) = &row.key else {
            return Ok(Err(Reason::new("no_key", "a row without primary key cannot be looked up")));
        };
        let before = state::looked_up(self.tx, of, key)?;
        let after = match &row.after {
            Some(after) => match self.read_looked_up(at, key, after, before.as_ref())? {
                Ok(after) => Some(after),
                Err(reason) => return Ok(Err(reason)),
            },
            None => None,
        };
        if before == after {
            return Ok(Ok(()));
        }
        match &after {
            Some(after) => state::put_looked_up(self.tx, of, key, after)?,
            None => state::drop_looked_up(self.tx, of, key)?,
        }
        for row in before.into_iter().chain(after) {
            self.changed.insert((at, row.joins), origin);
        }
        Ok(Ok(()))
    }

    /// What is kept of a looked-up row.
    fn read_looked_up(
        &self,
        at: usize,
        key: &[u8],
        after: &[Value],
        before: Option<&LookedUp>,
    ) -> Result<std::result::Result<LookedUp, Reason>> {
        let (Some(side), Some(lookup)) = (self.joins.sides.get(at), self.live.view.lookups.get(at)) else {
            return Err(damaged());
        };
        let value = |at: &usize| after.get(*at).unwrap_or(&Value::Absent);
        let mut columns: Vec<Value> = side.columns.iter().map(|at| value(at).clone()).collect();
        if let (true, Some(before)) = (columns.contains(&Value::Unchanged), before) {
            intake::fill(&mut columns, pack::unpack(&before.columns).ok_or_else(damaged)?);
        }
        let on: Vec<&Value> = side.theirs.iter().map(value).collect();
        let present = || -> Taken {
            lookup.on.iter().zip(&on).try_for_each(|((name, _), value)| joinable(name, value))?;
            lookup.columns.iter().zip(&columns).try_for_each(|(name, value)| intake::present(name, value))
        };
        if let Err(reason) = present() {
            return Ok(Err(reason));
        }
        match joins(on.iter().copied()).filter(|_| are_key(key, &on)) {
            Some(joins) => Ok(Ok(LookedUp { joins, columns: pack::pack(&columns) })),
            None => {
                let names: Vec<&str> = lookup.on.iter().map(|(theirs, _)| theirs.as_str()).collect();
                let what = format!(
                    "look-up {} of view {}: {} is not the record's key",
                    lookup.name,
                    self.live.view.name,
                    names.join(", ")
                );
                Ok(Err(Reason::new("not_the_key", what)))
            }
        }
    }

    fn take_own(&mut self, row: &Row) -> Result<Taken> {
        let over_rows = self.live.view.meaning == Meaning::Rows;
        let (key, after) = match (row.op, &row.key, &row.after) {
            (Op::Read | Op::Delete | Op::Truncate, ..) if !over_rows => return Ok(Ok(())),
            (Op::Truncate, ..) => {
                state::empty_own(self.tx, self.live.id)?;
                return self.work.take(row);
            }
            (_, Some(key), Some(after)) => (key, after),
            (_, Some(key), None) => {
                self.forget(key)?;
                return self.work.take(row);
            }
            // Without a key it is refused.
            (_, None, _) => return self.work.take(row),
        };
        let value = |at: &usize| after.get(*at).unwrap_or(&Value::Absent).clone();
        let mut columns: Vec<Value> = self.joins.own.iter().map(value).collect();
        let before = if over_rows { state::own(self.tx, self.live.id, key)? } else { None };
        if let (true, Some(before)) = (columns.contains(&Value::Unchanged), &before) {
            intake::fill(&mut columns, before.columns.clone());
        }
        for (side, lookup) in self.joins.sides.iter().zip(&self.live.view.lookups) {
            for (at, name) in side.ours.iter().zip(lookup.ours()) {
                if let Err(reason) = joinable(name, columns.get(*at).unwrap_or(&Value::Absent)) {
                    return Ok(Err(reason));
                }
            }
        }
        let own = Own { committed_us: row.committed_us, columns };
        let outcome = self.hand_on(key, &own, row.op, row.offset)?;
        if outcome.is_ok() && over_rows {
            self.keep(key, before.as_ref(), &own)?;
        }
        Ok(outcome)
    }

    /// Hands an own row to the windows, with what its look-ups find now.
    fn hand_on(&mut self, key: &[u8], own: &Own, op: Op, offset: i64) -> Result<Taken> {
        let mut after = own.columns.clone();
        for (at, side) in self.joins.sides.iter().enumerate() {
            let found = match Joins::of_own(side, &own.columns) {
                Some(joins) => state::joined(self.tx, self.of(at), &joins)?,
                None => None,
            };
            after.extend(found.unwrap_or_else(|| vec![Value::Null; side.columns.len()]));
        }
        let key = Some(key.to_vec());
        self.work.take(&Row { op, key, after: Some(after), committed_us: own.committed_us, offset })
    }

    /// Keeps an own row as long as a change of what it refers to may change a window.
    fn keep(&mut self, key: &[u8], before: Option<&Own>, own: &Own) -> Result<()> {
        let time_us = match self.joins.time.and_then(|at| own.columns.get(at)) {
            Some(Value::Timestamp(micros)) => *micros,
            _ => own.committed_us,
        };
        let remembered = self.live.remembers(time_us, self.work.now_us());
        for (at, side) in self.joins.sides.iter().enumerate() {
            let old = before.and_then(|own| Joins::of_own(side, &own.columns));
            let new = if remembered { Joins::of_own(side, &own.columns) } else { None };
            if old == new {
                continue;
            }
            if let Some(joins) = old {
                state::drop_reference(self.tx, self.of(at), &joins, key)?;
            }
            if let Some(joins) = new {
                state::put_reference(self.tx, self.of(at), &joins, key)?;
            }
        }
        match (remembered, before) {
            (true, _) => state::put_own(self.tx, self.live.id, key, time_us, own),
            (false, Some(_)) => state::drop_own(self.tx, self.live.id, key),
            (false, None) => Ok(()),
        }
    }

    fn forget(&self, key: &[u8]) -> Result<()> {
        forget(self.tx, self.live, self.joins, key)
    }

    /// Brings own rows up to date with what changed, and ends the windows' work.
    pub fn end(mut self) -> Result<Ended> {
        let (changed, emptied) = (std::mem::take(&mut self.changed), std::mem::take(&mut self.emptied));
        let mut refused = Vec::new();
        if self.live.view.meaning == Meaning::Rows {
            for (at, origin) in &emptied {
                let mut after = Vec::new();
                while let Some(joins) = state::next_joins(self.tx, self.of(*at), &after)? {
                    refused.extend(self.again(*at, &joins, *origin)?);
                    after = joins;
                }
            }
            for ((at, joins), origin) in changed.iter().filter(|((at, _), _)| !emptied.contains_key(at)) {
                refused.extend(self.again(*at, joins, *origin)?);
            }
            trim(self.tx, self.live, self.joins, self.work.now_us(), TRIM_ROWS + 2 * self.taken)?;
        }
        Ok(Ended { values: self.work.end()?, refused })
    }

    /// Hands on once more each own row that refers to a looked-up row; gives the first reason against one.
    fn again(&mut self, at: usize, joins: &[u8], origin: Origin) -> Result<Option<(Origin, Reason)>> {
        let (mut after, mut refused) = (Vec::new(), None);
        loop {
            let mut keys = state::referring(self.tx, self.of(at), joins, &after, PAGE_ROWS)?;
            for key in &keys {
                let own = state::own(self.tx, self.live.id, key)?.ok_or_else(damaged)?;
                if let Err(reason) = self.hand_on(key, &own, Op::Update, origin.1)? {
                    refused.get_or_insert((origin, reason));
                }
            }
            match keys.pop() {
                Some(last) => after = last,
                None => return Ok(refused),
            }
        }
    }
}

/// Forgets own rows that are in no window any more, `limit` of them at most.
pub fn trim(tx: &Transaction<'_>, live: &Live, joins: &Joins, now_us: i64, limit: usize) -> Result<()> {
    let Some(to_us) = live.forgotten_us(now_us) else { return Ok(()) };
    let old = state::old(tx, live.id, to_us, limit)?;
    old.iter().try_for_each(|key| forget(tx, live, joins, key))
}

fn forget(tx: &Transaction<'_>, live: &Live, joins: &Joins, key: &[u8]) -> Result<()> {
    let Some(own) = state::own(tx, live.id, key)? else { return Ok(()) };
    for (at, side) in joins.sides.iter().enumerate() {
        if let Some(joins) = Joins::of_own(side, &own.columns) {
            state::drop_reference(tx, Of { view: live.id, at }, &joins, key)?;
        }
    }
    state::drop_own(tx, live.id, key)
}

/// Rows of each looked-up table, by the look-up's name, for the status page.
pub fn sizes(connection: &Connection, live: &Live) -> Result<Vec<(String, i64)>> {
    let of = |at| Of { view: live.id, at };
    let size = |(at, lookup): (usize, &definition::Lookup)| {
        Ok((lookup.name.clone(), state::size(connection, of(at))?))
    };
    live.view.lookups.iter().enumerate().map(size).collect()
}

/// Whether a column is there and can name another row.
fn joinable(name: &str, value: &Value) -> Taken {
    intake::present(name, value)?;
    match value {
        Value::Opaque | Value::List(_) => {
            let what = format!("column {name} is a {} and cannot name a row", value.kind());
            Err(Reason::new("wrong_type", what))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
