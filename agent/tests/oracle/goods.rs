//! The table that a view looks up: its columns, its rows' comings and goings, and the join in SQL.

use crate::cells::{self, Kind};
use agent::model::value::Value;
use fastrand::Rng;
use std::collections::BTreeSet;
use std::fmt::Write as _;

pub const TOPIC: &str = "goods";
/// Few, so that the same come and go.
const IDS: i64 = 5;
const REGIONS: [&str; 2] = ["n", "s"];

/// How a view looks them up.
#[derive(Clone, Debug)]
pub struct Goods {
    /// The key has two columns.
    pub composite: bool,
    /// A second look-up of the same table, by another column.
    pub twice: bool,
    pub columns: Vec<Kind>,
}

/// A row's key: id and region.
pub type Key = (i64, &'static str);

impl Goods {
    pub fn random(random: &mut Rng) -> Goods {
        let columns = (0..random.usize(1..4)).map(|_| Kind::ALL[random.usize(0..Kind::ALL.len())]).collect();
        Goods { composite: random.bool(), twice: random.bool(), columns }
    }

    /// The look-ups' names.
    fn names(&self) -> &'static [&'static str] {
        if self.twice { &["good", "spare"] } else { &["good"] }
    }

    /// The kinds that the look-ups add to the view's columns.
    pub fn kinds(&self) -> Vec<Kind> {
        self.columns.repeat(self.names().len())
    }

    /// A looked-up column as a definition names it.
    pub fn name(&self, at: usize) -> String {
        format!("{}.g{}", self.names()[at / self.columns.len()], at % self.columns.len())
    }

    pub fn toml(&self) -> String {
        let on = |ours: &str| match self.composite {
            true => format!("{{ region = \"region\", gid = \"{ours}\" }}"),
            false => format!("{{ gid = \"{ours}\" }}"),
        };
        let lookup = |(name, ours): (&&str, &str)| {
            format!("    {{ name = \"{name}\", topic = \"{TOPIC}\", on = {} }},\n", on(ours))
        };
        let all: String = self.names().iter().zip(["good_id", "spare_id"]).map(lookup).collect();
        format!("lookup = [\n{all}]\n")
    }

    /// The columns of its topic's rows.
    pub fn columns(&self) -> Vec<String> {
        let more = (0..self.columns.len()).map(|at| format!("g{at}"));
        ["gid", "region", "grade"].into_iter().map(str::to_owned).chain(more).collect()
    }

    pub fn table(&self) -> String {
        let more = (0..).zip(&self.columns).map(|(at, kind): (usize, _)| format!(", g{at} {}", kind.sql()));
        let key = if self.composite { "gid, region" } else { "gid" };
        format!(
            "CREATE TABLE goods (gid bigint, region text, grade text{}, PRIMARY KEY ({key}));\n",
            more.collect::<String>()
        )
    }

    /// What the join adds to the facts, as columns' SQL and names; `own`: so many columns are before them.
    fn joined(&self, own: usize) -> Vec<(String, String)> {
        let of = |(nth, name): (usize, &&str)| {
            let more = (0..self.columns.len()).map(move |at| {
                (format!("{name}.g{at}"), format!("c{}", own + nth * self.columns.len() + at))
            });
            [(format!("{name}.grade"), format!("{name}_grade"))].into_iter().chain(more).collect::<Vec<_>>()
        };
        self.names().iter().enumerate().flat_map(of).collect()
    }

    fn joins(&self, facts: &str) -> String {
        let region = |name: &str| match self.composite {
            true => format!(" AND {name}.region = {facts}.region"),
            false => String::new(),
        };
        let join = |(name, ours): (&&str, &str)| {
            format!(" LEFT JOIN goods {name} ON {name}.gid = {facts}.{ours}{}", region(name))
        };
        self.names().iter().zip(["good_id", "spare_id"]).map(join).collect()
    }

    /// `joined`: the facts with the columns that are looked up, now or as each change was joined.
    pub fn view(&self, own: usize, changes: bool) -> String {
        let columns = self.joined(own).into_iter().map(|(sql, name)| format!(", {sql} AS {name}"));
        match changes {
            true => "CREATE VIEW joined AS SELECT * FROM facts;\n".to_owned(),
            false => format!(
                "CREATE VIEW joined AS SELECT f.*{} FROM facts f{};\n",
                columns.collect::<String>(),
                self.joins("f")
            ),
        }
    }

    /// The columns in which changes keep what they were joined with.
    pub fn kept_columns(&self, own: usize) -> String {
        let kinds: Vec<&str> = self
            .names()
            .iter()
            .flat_map(|_| std::iter::once("text").chain(self.columns.iter().map(|k| k.sql())))
            .collect();
        self.joined(own).into_iter().zip(kinds).map(|((_, name), kind)| format!(", {name} {kind}")).collect()
    }

    /// Joins the change that was just inserted.
    pub fn join_change(&self, own: usize, seq: i64) -> String {
        let (columns, names): (Vec<String>, Vec<String>) = self.joined(own).into_iter().unzip();
        format!(
            "UPDATE facts SET ({}) = (SELECT {} FROM facts f{} WHERE f.seq = {seq}) WHERE seq = {seq};\n",
            names.join(", "),
            columns.join(", "),
            self.joins("f")
        )
    }
}

/// What a random change does to the table.
pub enum Change {
    Truncate,
    Delete(Key),
    /// With its cells, and the same as SQL.
    Insert(Key, Vec<Value>, String),
    Update(Key, Vec<Value>, String),
}

/// The rows that are there.
#[derive(Debug, Default)]
pub struct Shelf(BTreeSet<Key>);

impl Shelf {
    /// One change, or two that move a row to another key.
    pub fn change(&mut self, goods: &Goods, random: &mut Rng, now_us: i64) -> Vec<Change> {
        let there: Vec<Key> = self.0.iter().copied().collect();
        let at = (!there.is_empty()).then(|| there[random.usize(0..there.len())]);
        let regions = if goods.composite { &REGIONS[..] } else { &REGIONS[..1] };
        let new = (random.i64(0..IDS), regions[random.usize(0..regions.len())]);
        let cells = |random: &mut Rng, key: Key| cells(goods, random, key, now_us);
        match (random.u8(0..20), at) {
            (0, Some(_)) if random.u8(0..3) == 0 => {
                self.0.clear();
                vec![Change::Truncate]
            }
            (0..5, Some(key)) => {
                self.0.remove(&key);
                vec![Change::Delete(key)]
            }
            (5..7, Some(key)) if !self.0.contains(&new) => {
                self.0.remove(&key);
                self.0.insert(new);
                let (ours, sql) = cells(random, new);
                vec![Change::Delete(key), Change::Insert(new, ours, sql)]
            }
            _ => {
                let (ours, sql) = cells(random, new);
                vec![match self.0.insert(new) {
                    true => Change::Insert(new, ours, sql),
                    false => Change::Update(new, ours, sql),
                }]
            }
        }
    }
}

fn cells(goods: &Goods, random: &mut Rng, (id, region): Key, now_us: i64) -> (Vec<Value>, String) {
    let grade = ["fine", "poor"][random.usize(0..2)];
    let mut ours = vec![Value::Int(id), Value::Text(region.into()), Value::Text(grade.into())];
    let mut sql = format!("{id}, '{region}', '{grade}'");
    for kind in &goods.columns {
        let (value, text) = kind.cell(random, now_us);
        ours.push(value);
        let _ = write!(sql, ", {text}");
    }
    (ours, sql)
}

/// Cells of a fact that refers to goods, some of which there are not: good, region, spare.
pub fn references(random: &mut Rng) -> [(Value, String); 3] {
    let id = |random: &mut Rng| match random.u8(0..8) {
        0 => cells::null(),
        _ => {
            let id = random.i64(0..=IDS);
            (Value::Int(id), id.to_string())
        }
    };
    let region = REGIONS[random.usize(0..2)];
    [id(random), (Value::Text(region.into()), format!("'{region}'")), id(random)]
}
