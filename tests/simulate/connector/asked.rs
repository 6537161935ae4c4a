//! What somebody asks of the running connector, and what is owed for it: an incremental snapshot reads each row
//! that nobody touches, once for each time that it was asked for.

use super::database::Entry;
use super::record::Record;
use super::world::World;
use connector::model::change::Op;
use connector::model::position::{Lsn, Position, SnapshotState};
use connector::model::request::{Action, Request};
use connector::signal::{Inbox, parse};
use std::collections::{BTreeMap, BTreeSet};

/// The only condition that anybody names.
const CONDITION: &str = "v % 2 = 0";

/// Whether a row of this value meets the condition.
pub fn fits(condition: Option<&str>, value: i64) -> bool {
    match condition {
        None => true,
        Some(CONDITION) => value % 2 == 0,
        Some(other) => panic!("nobody named {other:?}"),
    }
}

/// Where signals come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    Nowhere,
    Table,
    /// As by the admin server: what a process does not follow before it ends is lost.
    Inbox,
}

/// A table to be read whole: each of its rows that meets the condition, as it is after `since`.
#[derive(Clone, Debug)]
struct Owed {
    id: String,
    table: usize,
    condition: Option<&'static str>,
    since: Lsn,
    /// It was delivered.
    over: bool,
}

pub struct Asked {
    pub channel: Channel,
    /// Only incremental snapshots fill the topics, so none may be stopped.
    pub fills: bool,
    pub inbox: Inbox,
    /// Signals still to come.
    left: u32,
    next_id: u32,
    owed: Vec<Owed>,
    /// Put in the inbox; owed once it is stored.
    hoped: Vec<Owed>,
    /// How often each table was asked for, and under which conditions.
    times: Vec<usize>,
    conditions: Vec<BTreeSet<Option<&'static str>>>,
    paused: bool,
    /// The last signal: its place in the log, and the call in which it came.
    last: (Lsn, u64),
}

impl Asked {
    pub fn new(channel: Channel, fills: bool, tables: usize, left: u32) -> Asked {
        Asked {
            channel,
            fills,
            inbox: Inbox::default(),
            left: if channel == Channel::Nowhere { 0 } else { left },
            next_id: 1,
            owed: Vec::new(),
            hoped: Vec::new(),
            times: vec![0; tables],
            conditions: vec![BTreeSet::new(); tables],
            paused: false,
            last: (Lsn(0), 0),
        }
    }

    /// A process begins.
    pub fn begin(&mut self) {
        self.inbox = Inbox::default();
        self.hoped.clear();
        self.paused &= self.channel == Channel::Table;
    }

    /// A position was stored.
    pub fn stored(&mut self, position: &Position, tables: &[String]) {
        let Position::Postgres(position) = position;
        let Some(state) = &position.incremental else { return };
        let begun = |hoped: &Owed| {
            let same = |name: &str| name == tables[hoped.table];
            state.correlation_id.as_deref() == Some(&hoped.id)
                && state.collections.iter().any(|c| same(&c.id) && c.condition() == hoped.condition)
        };
        let (begun, hoped) = std::mem::take(&mut self.hoped).into_iter().partition(begun);
        self.hoped = hoped;
        self.owed.extend::<Vec<Owed>>(begun);
    }

    /// Nothing is owed any more of what is not delivered.
    fn forget(&mut self, gone: impl Fn(usize) -> bool) {
        self.owed.retain(|owed| owed.over || !gone(owed.table));
        self.hoped.retain(|hoped| !gone(hoped.table));
    }
}

impl World {
    fn newest_position(&self) -> Option<Position> {
        self.broker.position().or_else(|| self.stored.clone())
    }

    /// Whether all signals were followed to their end, and that is stored.
    fn quiet(&self) -> bool {
        let running = self.newest_position().is_some_and(|Position::Postgres(at)| at.incremental.is_some());
        !running && self.database.slot.is_some_and(|confirmed| confirmed >= self.asked.last.0)
    }

    /// Whether nobody will ask for anything more, and all is delivered.
    pub fn all_is_delivered(&self) -> bool {
        let time_passed = self.asked.channel != Channel::Inbox || self.calls > self.asked.last.1 + 60;
        self.asked.left == 0 && !self.asked.paused && time_passed && self.quiet()
    }

    /// Whether a row that is written now will come in the stream: what a snapshot may have seen does not.
    fn hears(&self) -> bool {
        let running = |Position::Postgres(at)| at.snapshot == Some(SnapshotState::Running);
        let read = self.asked.fills || self.newest_position().is_some_and(|stored| !running(stored));
        self.database.slot.is_some() && (read || self.asked.channel == Channel::Inbox)
    }

    /// Somebody may ask for something.
    pub fn ask(&mut self) {
        let resume = self.asked.left == 0 && self.asked.paused;
        let unheard = !self.hears() || !resume && self.asked.left == 0;
        if unheard || !self.happens(6) {
            return;
        }
        self.asked.left = self.asked.left.saturating_sub(1);
        if self.quiet() {
            self.asked.owed.iter_mut().for_each(|owed| owed.over = true);
        }
        let first = self.asked.next_id == 1;
        match self.rng.u32(0..10) {
            _ if resume => self.say("resume-snapshot", "{}"),
            _ if first && self.asked.fills => self.execute(vec![0, 1], None, false),
            0 => self.say("pause-snapshot", "{}"),
            1 => self.say("resume-snapshot", "{}"),
            2 if !self.asked.fills => self.stop(),
            _ => {
                let tables = [vec![0], vec![1], vec![0, 1]][self.rng.usize(0..3)].clone();
                let condition = self.happens(3).then_some(CONDITION);
                let surrogate = self.happens(4);
                self.execute(tables, condition, surrogate);
            }
        }
    }

    fn execute(&mut self, tables: Vec<usize>, condition: Option<&'static str>, surrogate: bool) {
        let names: Vec<String> =
            tables.iter().map(|table| self.database.tables[*table].id.to_string()).collect();
        let filters = names.iter().filter(|_| condition.is_some());
        let filters: Vec<_> =
            filters.map(|name| serde_json::json!({"data-collection": name, "filter": condition})).collect();
        let data = serde_json::json!({
            "data-collections": names,
            "additional-conditions": filters,
            "surrogate-key": surrogate.then_some("v"),
        });
        let (quiet, id) = (self.quiet(), self.asked.next_id.to_string());
        self.say("execute-snapshot", &data.to_string());
        for table in tables {
            self.asked.times[table] += 1;
            self.asked.conditions[table].insert(condition);
            // What the stream has yet to come to may follow whatever is read.
            let since = match self.asked.channel {
                Channel::Inbox => self.database.slot.unwrap_or_default(),
                _ => self.database.end,
            };
            let owed = Owed { id: id.clone(), table, condition, since, over: false };
            match self.asked.channel {
                Channel::Inbox => self.asked.hoped.push(owed),
                _ if quiet => self.asked.owed.push(owed),
                // What runs already takes no notice of it, or is stopped: nobody knows.
                _ => {}
            }
        }
    }

    fn stop(&mut self) {
        let only = self.happens(2).then(|| self.rng.usize(0..2));
        let names: Vec<String> =
            only.iter().map(|table| self.database.tables[*table].id.to_string()).collect();
        self.asked.forget(|table| only.is_none_or(|only| only == table));
        self.say("stop-snapshot", &serde_json::json!({"data-collections": names}).to_string());
    }

    fn say(&mut self, kind: &str, data: &str) {
        let id = self.asked.next_id.to_string();
        self.asked.next_id += 1;
        let request = parse(&id, kind, data).expect("a signal that is understood");
        match &request.action {
            Action::Pause => self.asked.paused = true,
            Action::Resume => self.asked.paused = false,
            _ => {}
        }
        match self.asked.channel {
            Channel::Table => {
                let World { database, rng, .. } = self;
                database.signal(Op::Create, [id, kind.to_owned(), data.to_owned()], rng);
            }
            _ => self.put(request),
        }
        self.asked.last =
            (if self.asked.channel == Channel::Table { self.database.end } else { Lsn(0) }, self.calls);
    }

    fn put(&mut self, request: Request) {
        assert!(self.asked.inbox.put(request), "there is room for a few requests");
    }

    /// A chunk's statement may fail for good: then its table is given up.
    pub fn statement_fails(&mut self) -> bool {
        let fails = !self.asked.fills && self.odds.refused > 0 && self.happens(100);
        if fails {
            self.asked.forget(|_| true);
        }
        fails
    }

    pub fn write_mark(&mut self, row: [String; 3]) {
        let World { database, rng, .. } = self;
        database.signal(Op::Create, row, rng);
    }

    pub fn remove_mark(&mut self, id: &str) {
        let World { database, rng, .. } = self;
        database.signal(Op::Delete, [id.to_owned(), String::new(), String::new()], rng);
    }

    /// Each row that was there all the time was read; and what was read says nothing that is no longer so.
    pub fn check_asked(&self, table: usize, records: &[&Record], exactly_once: bool) {
        let read = || records.iter().filter(|record| record.incremental);
        self.check_delivered(table, records);
        let mut last_word: BTreeMap<i64, Option<i64>> = BTreeMap::new();
        for record in records {
            let known = last_word.insert(record.key, record.value);
            let agrees = !record.incremental || known.is_none_or(|known| known == record.value);
            assert!(agrees, "{record:?} was read, but {known:?} was the last word");
        }
        let conditions = &self.asked.conditions[table];
        let meets = |value| conditions.iter().any(|condition| fits(*condition, value));
        for record in read() {
            assert!(record.value.is_some_and(meets), "{record:?} meets no condition of {conditions:?}");
        }
        let mut times: BTreeMap<i64, usize> = BTreeMap::new();
        for record in read().filter(|_| exactly_once) {
            let count = times.entry(record.key).or_default();
            *count += 1;
            assert!(*count <= self.asked.times[table], "{record:?} was read {count} times");
        }
    }

    fn check_delivered(&self, table: usize, records: &[&Record]) {
        for owed in self.asked.owed.iter().filter(|owed| owed.table == table) {
            let later = self.database.log.iter().filter(|commit| commit.end > owed.since);
            let shown = |entry: &&Entry| entry.table == table && !self.broker.hidden.contains(&entry.lsn);
            let touched: BTreeSet<i64> = later
                .flat_map(|commit| &commit.changes)
                .filter(shown)
                .flat_map(|entry| entry.before.into_iter().chain(entry.after.map(|(key, _)| key)))
                .collect();
            for (key, value) in self.database.content(table) {
                let wanted = fits(owed.condition, value) && !touched.contains(&key);
                let came =
                    |record: &&Record| record.incremental && record.key == key && record.lsn >= owed.since;
                assert!(
                    !wanted || records.iter().copied().any(|record| came(&record)),
                    "{key} of table {table} was never read, as {owed:?} says"
                );
            }
        }
    }
}
