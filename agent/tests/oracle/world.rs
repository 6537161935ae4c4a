//! A view in the engine and the same table in a database, going the same way.

use crate::cells::{self, MINUTE};
use crate::dialect::Dialect;
use crate::goods::{self, Goods, Shelf};
use crate::question::Question;
use agent::config::feature::ViewConfig;
use agent::feature::{Engine, Limits, definition};
use agent::model::feature::FeatureRow;
use agent::model::pack;
use agent::model::row::{Op, Row};
use agent::model::value::Value;
use fastrand::Rng;
use rusqlite::Connection;
use std::collections::BTreeMap;
use std::fmt::Write as _;

const USERS: i64 = 4;
const START: i64 = 1_800_000_000_000_000;
/// The cells that every table has, before the random columns.
const FIXED: [&str; 8] =
    ["user_id", "shop", "created_at", "status", "grade", "good_id", "region", "spare_id"];
const TOPIC: &str = "t";
/// As far back as the clock may be set without loss.
const GRACE: i64 = MINUTE;

type Entity = Vec<Value>;

pub struct World {
    seed: u64,
    dialect: Dialect,
    random: Rng,
    question: Question,
    connection: Connection,
    engine: Engine,
    limits: Limits,
    now_us: i64,
    latest_us: i64,
    script: String,
    said: BTreeMap<String, Vec<Value>>,
    /// What the engine had said of each entity at each question.
    asked: Vec<(i64, Option<Vec<Value>>)>,
    keys: Vec<i64>,
    shelf: Shelf,
    next_key: i64,
    offset: i64,
}

impl World {
    /// Lives through a seed.
    pub fn run(dialect: Dialect, seed: u64, rounds: usize) -> World {
        let mut world = World::new(dialect, seed);
        for _ in 0..rounds {
            world.round();
        }
        world
    }

    fn new(dialect: Dialect, seed: u64) -> World {
        let mut random = Rng::with_seed(seed);
        let question = Question::random(dialect, &mut random);
        let mut connection = Connection::open_in_memory().expect("in memory");
        for layout in [
            include_str!("../../src/db/migrations/0010_feature.sql"),
            include_str!("../../src/db/migrations/0030_feature_engine.sql"),
            include_str!("../../src/db/migrations/0035_feature_keys.sql"),
            include_str!("../../src/db/migrations/0036_feature_version.sql"),
            include_str!("../../src/db/migrations/0042_feature_lookup.sql"),
        ] {
            connection.execute_batch(layout).expect("the layout");
        }
        let limits = Limits {
            cache_bytes: [1_000, 20_000, 1 << 20][random.usize(0..3)],
            unplaced_rows: [1, 10, 1_000][random.usize(0..3)],
        };
        let engine = open(&mut connection, &question, limits);
        let script = dialect.begin(&question);
        World {
            seed,
            dialect,
            random,
            question,
            connection,
            engine,
            limits,
            now_us: START,
            latest_us: START,
            script,
            said: BTreeMap::new(),
            asked: Vec::new(),
            keys: Vec::new(),
            shelf: Shelf::default(),
            next_key: 1,
            offset: 0,
        }
    }

    fn round(&mut self) {
        let back = self.random.u8(0..10) == 0 && self.now_us + GRACE > self.latest_us;
        self.now_us = match back {
            true => (self.now_us - self.random.i64(0..GRACE)).max(self.latest_us - GRACE + 1),
            false if self.random.u8(0..12) == 0 => self.now_us + self.random.i64(0..60 * MINUTE),
            false => self.now_us + self.random.i64(0..4 * MINUTE),
        };
        self.latest_us = self.latest_us.max(self.now_us);
        let (mut rows, mut goods) = (Vec::new(), Vec::new());
        for _ in 0..self.random.usize(0..12) {
            match self.question.goods.clone() {
                Some(looked_up) if self.random.u8(0..3) == 0 => self.change_goods(&looked_up, &mut goods),
                _ => self.change(&mut rows),
            }
        }
        if self.random.u8(0..5) == 0 {
            self.undone(&rows, &goods);
        }
        self.apply(&rows, &goods);
        // A change that came again would be joined with what there is by then.
        let repeatable = !self.question.changes || self.question.goods.is_none();
        if repeatable && self.random.u8(0..6) == 0 {
            // The same once more, as after a crash between the log and the cursor.
            self.apply(&rows, &goods);
        }
        if self.random.u8(0..6) == 0 {
            self.engine = open(&mut self.connection, &self.question, self.limits);
        }
        self.expire();
        self.ask();
    }

    fn cells(&mut self) -> (Vec<Value>, Vec<String>) {
        let (random, now_us) = (&mut self.random, self.now_us);
        let null_one_in =
            |random: &mut Rng, n: u8, cell| if random.u8(0..n) == 0 { cells::null() } else { cell };
        let user = random.i64(0..USERS);
        let user = null_one_in(random, 20, (Value::Int(user), user.to_string()));
        let shop = ["a", "b"][random.usize(0..2)];
        let shop = null_one_in(random, 20, (Value::Text(shop.into()), format!("'{shop}'")));
        let time_us = match random.u8(0..6) {
            // The edges of the windows, so that < and <= are told apart.
            0 => now_us - MINUTE * [3, 4, 7, 10, 14, 30][random.usize(0..6)] + random.i64(-1..2),
            1 => now_us.div_euclid(MINUTE) * MINUTE - MINUTE * random.i64(0..12) + random.i64(-1..2),
            2 => now_us + random.i64(0..5 * MINUTE),
            _ => now_us - random.i64(0..45 * MINUTE),
        };
        let time = null_one_in(random, 20, cells::time(time_us));
        let status = ["settled", "settled", "open"][random.usize(0..3)];
        let status = null_one_in(random, 5, (Value::Text(status.into()), format!("'{status}'")));
        let grade = random.i64(-2..5);
        let grade = null_one_in(random, 6, (Value::Int(grade), grade.to_string()));
        let more: Vec<_> = self.question.columns.iter().map(|kind| kind.cell(random, now_us)).collect();
        let references = goods::references(random);
        [user, shop, time, status, grade].into_iter().chain(references).chain(more).unzip()
    }

    /// One change of the table, as one row or two.
    fn change(&mut self, rows: &mut Vec<Row>) {
        let at = (!self.keys.is_empty()).then(|| self.random.usize(0..self.keys.len()));
        match (self.random.u8(0..40), at) {
            (0, Some(_)) if self.random.u8(0..3) == 0 => {
                self.keys.clear();
                self.sql("TRUNCATE facts;\n");
                rows.push(self.row(Op::Truncate, None, None));
            }
            (0..8, Some(at)) => {
                let key = self.keys.swap_remove(at);
                self.sql(&format!("DELETE FROM facts WHERE id = {key};\n"));
                rows.push(self.row(Op::Delete, Some(key), None));
            }
            (8..20, Some(at)) => self.update(self.keys[at], rows),
            // To another key: Debezium makes a delete and an insert of it.
            (20..23, Some(at)) => {
                let (old, new) = (self.keys[at], self.new_key());
                self.keys[at] = new;
                self.sql(&format!("DELETE FROM facts WHERE id = {old};\n"));
                rows.push(self.row(Op::Delete, Some(old), None));
                self.insert(Op::Create, new, rows);
            }
            (choice, _) => {
                let key = self.new_key();
                self.keys.push(key);
                let op = if choice % 7 == 0 && !self.question.changes { Op::Read } else { Op::Create };
                self.insert(op, key, rows);
            }
        }
    }

    /// One change of the table that is looked up.
    fn change_goods(&mut self, goods: &Goods, rows: &mut Vec<Row>) {
        for change in self.shelf.change(goods, &mut self.random, self.now_us) {
            // In the key's own order of columns.
            let packed = |(id, region): goods::Key| match goods.composite {
                true => pack::sortable([&Value::Int(id), &Value::Text(region.to_owned())]),
                false => pack::sortable([&Value::Int(id)]),
            };
            let of = |(id, region): goods::Key| format!("gid = {id} AND region = '{region}'");
            let (op, key, after, sql) = match change {
                goods::Change::Truncate => (Op::Truncate, None, None, "TRUNCATE goods;\n".to_owned()),
                goods::Change::Delete(key) => {
                    (Op::Delete, Some(packed(key)), None, format!("DELETE FROM goods WHERE {};\n", of(key)))
                }
                goods::Change::Insert(key, ours, sql) => {
                    let op = if self.random.bool() { Op::Read } else { Op::Create };
                    (op, Some(packed(key)), Some(ours), format!("INSERT INTO goods VALUES ({sql});\n"))
                }
                goods::Change::Update(key, ours, sql) => {
                    let columns = goods.columns().join(", ");
                    let sql = format!("UPDATE goods SET ({columns}) = ({sql}) WHERE {};\n", of(key));
                    (Op::Update, Some(packed(key)), Some(ours), sql)
                }
            };
            self.script.push_str(&sql);
            self.offset += 1;
            rows.push(Row { op, key, after, committed_us: START + self.offset, offset: self.offset });
        }
    }

    /// Not in order, and not all positive.
    fn new_key(&mut self) -> i64 {
        self.next_key += 1;
        self.next_key * if self.random.u8(0..3) == 0 { -1 } else { 1 }
    }

    fn insert(&mut self, op: Op, key: i64, rows: &mut Vec<Row>) {
        let (ours, sql) = self.cells();
        let row = self.row(op, Some(key), Some(ours));
        let seq = if self.question.changes { row.offset } else { 0 };
        self.script.push_str(&format!("INSERT INTO facts VALUES ({}, {key}, {seq});\n", sql.join(", ")));
        if let (true, Some(goods)) = (self.question.changes, &self.question.goods) {
            self.script.push_str(&goods.join_change(self.question.columns.len(), seq));
        }
        rows.push(row);
    }

    fn update(&mut self, key: i64, rows: &mut Vec<Row>) {
        if self.question.changes {
            return self.insert(Op::Update, key, rows);
        }
        let (ours, sql) = self.cells();
        let columns = self.columns();
        let set: Vec<String> =
            columns.iter().zip(sql).map(|(column, cell)| format!("{column} = {cell}")).collect();
        let _ = writeln!(self.script, "UPDATE facts SET {} WHERE id = {key};", set.join(", "));
        rows.push(self.row(Op::Update, Some(key), Some(ours)));
    }

    /// What takes rows back does nothing where changes are counted.
    fn sql(&mut self, text: &str) {
        if !self.question.changes {
            self.script.push_str(text);
        }
    }

    fn columns(&self) -> Vec<String> {
        columns(&self.question)
    }

    fn row(&mut self, op: Op, key: Option<i64>, after: Option<Vec<Value>>) -> Row {
        self.offset += 1;
        let key = key.map(|key| pack::sortable([&Value::Int(key)]));
        Row { op, key, after, committed_us: START + self.offset, offset: self.offset }
    }

    /// A transaction that does not commit leaves no trace.
    fn undone(&mut self, rows: &[Row], goods: &[Row]) {
        let tx = self.connection.transaction().expect("begins");
        let half = |rows: &'_ [Row]| rows.len() / 2;
        let batches = [(TOPIC, &rows[..half(rows)]), (goods::TOPIC, &goods[..half(goods)])];
        self.engine.apply_all(&tx, &batches, self.now_us, None).expect("applies");
        tx.rollback().expect("rolls back");
    }

    fn apply(&mut self, rows: &[Row], goods: &[Row]) {
        let tx = self.connection.transaction().expect("begins");
        let mut batches = vec![(TOPIC, rows), (goods::TOPIC, goods)];
        self.random.shuffle(&mut batches);
        let effects = self.engine.apply_all(&tx, &batches, self.now_us, None).expect("applies");
        tx.commit().expect("commits");
        for effect in effects {
            assert!(effect.refused.is_empty(), "seed {}: {:?}", self.seed, effect.refused);
            self.hear(effect.values);
        }
    }

    fn expire(&mut self) {
        while self.engine.due(&self.connection, self.now_us).expect("reads") {
            let tx = self.connection.transaction().expect("begins");
            let (values, more) = self.engine.expire(&tx, self.now_us, 3).expect("expires");
            tx.commit().expect("commits");
            self.hear(values);
            if !more {
                break;
            }
        }
    }

    fn hear(&mut self, values: Vec<FeatureRow>) {
        for row in values {
            let entity: Entity = pack::from_sortable(&row.entity).expect("an entity");
            self.said.insert(format!("{entity:?}"), row.values);
        }
    }

    /// Puts the question into the script, and what the engine has said beside it.
    fn ask(&mut self) {
        self.script.push_str(&self.question.sql(self.dialect, self.now_us, USERS));
        let shops: &[Option<&str>] = if self.question.composite { &[Some("a"), Some("b")] } else { &[None] };
        for (user, shop) in (0..USERS).flat_map(|user| shops.iter().map(move |shop| (user, shop))) {
            let shop = shop.map(|shop| Value::Text(shop.to_owned()));
            let entity: Entity = [Value::Int(user)].into_iter().chain(shop).collect();
            self.asked.push((self.now_us, self.said.get(&format!("{entity:?}")).cloned()));
        }
    }

    pub fn script(&self) -> String {
        self.script.clone()
    }

    /// Holds what was said against the answers; gives how many values were compared.
    pub fn compare(&self, answers: &mut impl Iterator<Item = String>) -> usize {
        let mut compared = 0;
        for (now_us, ours) in &self.asked {
            let line = answers.next().expect("an answer to each question");
            let theirs: Vec<&str> = line.split('|').collect();
            // The last two are made from others.
            let own = theirs.len().saturating_sub(2);
            for (at, theirs) in theirs.iter().enumerate() {
                let value = ours.as_ref().and_then(|ours| ours.get(at));
                let theirs = &self.dialect.read(theirs, value);
                let ours = match ours {
                    Some(_) => value.map(cells::shown).unwrap_or_default(),
                    // Never spoken of: it has no row in any window.
                    None if at >= own || matches!(&theirs[..], "0" | "NULL") => continue,
                    None => "nothing".to_owned(),
                };
                let what = self.question.describe(at);
                assert_eq!(
                    ours,
                    *theirs,
                    "SEED={}, now {now_us}: {what}\n{}",
                    self.seed,
                    self.question.toml()
                );
                compared += 1;
            }
        }
        compared
    }
}

fn columns(question: &Question) -> Vec<String> {
    let more = (0..question.columns.len()).map(|at| format!("c{at}"));
    FIXED.iter().map(|name| (*name).to_owned()).chain(more).collect()
}

fn open(connection: &mut Connection, question: &Question, limits: Limits) -> Engine {
    #[derive(serde::Deserialize)]
    struct File {
        feature_view: Vec<ViewConfig>,
    }
    let text = question.toml();
    let file: File = toml::from_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let views = definition::compile(&file.feature_view).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let goods = question.goods.as_ref().map_or_else(Vec::new, Goods::columns);
    let columns = columns(question);
    let of = |topic: &str| if topic == TOPIC { columns.as_slice() } else { goods.as_slice() };
    let tx = connection.transaction().expect("begins");
    let (engine, opened) = Engine::open(&tx, views, of, START, limits).expect("opens");
    opened.stale.iter().for_each(|view| engine.built(&tx, *view).expect("noted"));
    tx.commit().expect("commits");
    engine
}
