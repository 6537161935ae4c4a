//! Tables whose rows have versions, transactions side by side, and a log: what a snapshot sees is what was
//! committed when it began.

use connector::model::change::Op;
use connector::model::position::Lsn;
use connector::model::progress::View;
use connector::model::table::{Column, ColumnType, Table, TableId};
use connector::snapshot::piece::File;
use connector::snapshot::visible::Visible;
use fastrand::Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const ROWS_A_PAGE: usize = 3;
const MOST_KEYS: i64 = 25;

/// A row as some transactions see it.
#[derive(Clone, Debug)]
pub struct Version {
    pub key: i64,
    pub value: i64,
    page: u32,
    made_by: u32,
    ended_by: Option<u32>,
}

/// A change in the log.
#[derive(Clone, Debug)]
pub struct Entry {
    pub table: usize,
    pub op: Op,
    /// The key before, if the change has one.
    pub before: Option<i64>,
    pub after: Option<(i64, i64)>,
    pub lsn: Lsn,
}

/// A committed transaction in the log.
#[derive(Clone, Debug)]
pub struct Commit {
    pub id: u32,
    pub begin: Lsn,
    pub end: Lsn,
    pub changes: Vec<Entry>,
    /// It is a row of the table of signals, and nothing else.
    pub signal: Option<Signal>,
}

/// A row of the table of signals: id, type, data.
#[derive(Clone, Debug)]
pub struct Signal {
    pub op: Op,
    pub lsn: Lsn,
    pub row: [String; 3],
}

#[derive(Default)]
struct Running {
    begin: Option<Lsn>,
    changes: Vec<Entry>,
    /// Keys that nobody else may touch until it ends.
    locked: BTreeSet<(usize, i64)>,
}

struct Heap {
    versions: Vec<Version>,
    file: u32,
    /// Another number means that the table was altered.
    shape: u32,
}

pub struct Database {
    pub tables: Vec<Arc<Table>>,
    pub signals: TableId,
    heaps: Vec<Heap>,
    running: BTreeMap<u32, Running>,
    committed: BTreeMap<u32, Lsn>,
    pub log: Vec<Commit>,
    pub end: Lsn,
    next_id: u32,
    next_value: i64,
    next_file: u32,
    /// What the slot's reader confirmed; `None` if there is no slot.
    pub slot: Option<Lsn>,
    /// What was committed before, only a snapshot has.
    pub slot_made_at: Lsn,
    /// Changes that writers still make.
    pub to_do: u32,
}

impl Database {
    pub fn new(rng: &mut Rng) -> Database {
        let table = |name: &str| {
            let id = TableId { schema: "s".to_owned(), name: name.to_owned() };
            let column = |name: &str| Column::new(name, ColumnType::Int64, name != "id");
            Arc::new(Table::new(id, vec![column("id"), column("v")], vec![0]))
        };
        let heap = |file| Heap { versions: Vec::new(), file, shape: 0 };
        let mut database = Database {
            tables: vec![table("a"), table("b")],
            signals: TableId { schema: "s".to_owned(), name: "signals".to_owned() },
            heaps: vec![heap(1), heap(2)],
            running: BTreeMap::new(),
            committed: BTreeMap::new(),
            log: Vec::new(),
            end: Lsn(1_000),
            next_id: 700,
            next_value: 1,
            next_file: 3,
            slot: None,
            slot_made_at: Lsn(0),
            to_do: rng.u32(20..60),
        };
        for _ in 0..rng.u32(0..80) {
            database.act(rng);
        }
        database
    }

    pub fn advance(&mut self, rng: &mut Rng) -> Lsn {
        self.end.0 += rng.u64(8..60);
        self.end
    }

    /// Something that a writer does.
    pub fn act(&mut self, rng: &mut Rng) {
        let ids: Vec<u32> = self.running.keys().copied().collect();
        match rng.u32(0..10) {
            0..2 if ids.len() < 3 => {
                self.running.insert(self.next_id, Running::default());
                self.next_id += 1;
            }
            2..4 if !ids.is_empty() => self.end_transaction(ids[rng.usize(0..ids.len())], rng),
            // Others write into the log too.
            4 => drop(self.advance(rng)),
            _ if !ids.is_empty() => self.change(ids[rng.usize(0..ids.len())], rng),
            _ => {}
        }
    }

    /// All transactions end.
    pub fn come_to_rest(&mut self, rng: &mut Rng) {
        for id in self.running.keys().copied().collect::<Vec<_>>() {
            self.end_transaction(id, rng);
        }
        self.to_do = 0;
    }

    fn change(&mut self, id: u32, rng: &mut Rng) {
        let (table, key) = (rng.usize(0..self.tables.len()), rng.i64(0..MOST_KEYS));
        let to = if rng.u32(0..6) == 0 { rng.i64(0..MOST_KEYS) } else { key };
        if [key, to].iter().any(|key| self.locked_by_another(id, table, *key)) {
            return;
        }
        let present = self.latest(table, key).is_some();
        let value = self.next_value;
        let (op, before, after) = match present {
            false => (Op::Create, None, Some((key, value))),
            true if rng.u32(0..3) == 0 => (Op::Delete, Some(key), None),
            true if to == key => (Op::Update, None, Some((key, value))),
            true if self.latest(table, to).is_none() => (Op::Update, Some(key), Some((to, value))),
            true => return,
        };
        self.next_value += 1;
        if op != Op::Create
            && let Some(at) = self.latest(table, key)
        {
            self.heaps[table].versions[at].ended_by = Some(id);
        }
        if let Some((key, value)) = after {
            self.insert(table, key, value, id, rng);
        }
        let lsn = self.advance(rng);
        let Some(running) = self.running.get_mut(&id) else { return };
        running.begin.get_or_insert(lsn);
        running.locked.extend([(table, key), (table, to)]);
        running.changes.push(Entry { table, op, before, after, lsn });
    }

    fn locked_by_another(&self, id: u32, table: usize, key: i64) -> bool {
        self.running.iter().any(|(other, running)| *other != id && running.locked.contains(&(table, key)))
    }

    /// The version that a writer which holds the key's lock sees.
    fn latest(&self, table: usize, key: i64) -> Option<usize> {
        self.heaps[table]
            .versions
            .iter()
            .rposition(|version| version.key == key && version.ended_by.is_none())
    }

    /// On a page with room, or on a new one.
    fn insert(&mut self, table: usize, key: i64, value: i64, made_by: u32, rng: &mut Rng) {
        let pages = self.pages(table);
        let page = rng.u32(0..=pages);
        let full = self.heaps[table].versions.iter().filter(|v| v.page == page).count() >= ROWS_A_PAGE;
        let page = if full { pages } else { page };
        self.heaps[table].versions.push(Version { key, value, page, made_by, ended_by: None });
    }

    fn pages(&self, table: usize) -> u32 {
        self.heaps[table].versions.iter().map(|version| version.page + 1).max().unwrap_or(0)
    }

    fn end_transaction(&mut self, id: u32, rng: &mut Rng) {
        let Some(running) = self.running.remove(&id) else { return };
        if rng.u32(0..8) == 0 {
            for heap in &mut self.heaps {
                heap.versions.retain(|version| version.made_by != id);
                for version in heap.versions.iter_mut().filter(|version| version.ended_by == Some(id)) {
                    version.ended_by = None;
                }
            }
            return;
        }
        let end = self.advance(rng);
        self.committed.insert(id, end);
        if let Some(begin) = running.begin {
            self.log.push(Commit { id, begin, end, changes: running.changes, signal: None });
        }
    }

    /// A row of the table of signals is written, or deleted, by a transaction of its own.
    pub fn signal(&mut self, op: Op, row: [String; 3], rng: &mut Rng) {
        let (id, begin, lsn, end) = (self.next_id, self.advance(rng), self.advance(rng), self.advance(rng));
        self.next_id += 1;
        self.committed.insert(id, end);
        self.log.push(Commit { id, begin, end, changes: Vec::new(), signal: Some(Signal { op, lsn, row }) });
    }

    /// The slot's position; makes the slot if there is none.
    pub fn slot(&mut self) -> Lsn {
        if self.slot.is_none() {
            self.slot_made_at = self.end;
        }
        *self.slot.get_or_insert(self.end)
    }

    /// A snapshot taken now.
    pub fn view(&self) -> View {
        let oldest = self.running.keys().next().copied().unwrap_or(self.next_id);
        let under_way: Vec<String> = self.running.keys().map(u32::to_string).collect();
        View { seen: format!("{oldest}:{}:{}", self.next_id, under_way.join(",")), end: self.end }
    }

    /// Rows of these pages that a view sees.
    pub fn rows(&self, table: usize, view: &View, pages: impl Fn(u32) -> bool) -> Vec<Version> {
        let visible = Visible::parse(&view.seen, view.end).expect("a view of ours");
        let sees = |id: u32| self.committed.contains_key(&id) && visible.contains(id);
        let rows = self.heaps[table].versions.iter();
        rows.filter(|row| pages(row.page) && sees(row.made_by) && !row.ended_by.is_some_and(sees))
            .cloned()
            .collect()
    }

    pub fn file(&self, table: usize) -> File {
        File { divisible: true, pages: self.pages(table), number: self.heaps[table].file }
    }

    /// As a table that is written anew: the same rows, on other pages of another file.
    pub fn rewrite(&mut self, table: usize, rng: &mut Rng) {
        let pages = self.pages(table).max(1);
        self.heaps[table].file = self.next_file;
        self.next_file += 1;
        for version in &mut self.heaps[table].versions {
            version.page = rng.u32(0..pages);
        }
    }

    /// As a column that gets another comment.
    pub fn alter(&mut self, table: usize) {
        self.heaps[table].shape += 1;
    }

    pub fn shape(&self, table: usize) -> u32 {
        self.heaps[table].shape
    }

    /// What the table holds once all transactions have ended.
    pub fn content(&self, table: usize) -> BTreeMap<i64, i64> {
        let rows = self.heaps[table].versions.iter().filter(|version| version.ended_by.is_none());
        rows.map(|version| (version.key, version.value)).collect()
    }
}

impl Version {
    /// Whether it may be newer than a view whose oldest transaction was this.
    pub fn since(&self, oldest: u32) -> bool {
        self.made_by >= oldest
    }
}
