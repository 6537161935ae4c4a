//! A table as a connector sends it: rows that are inserted, changed, moved to another user, deleted, and
//! some that are late.

use crate::agent::batch::{assembled, put_text};
use agent::registry::Registry;
use fastrand::Rng;
use serde_json::{Value as Json, json};
use shared::avro::wire::{SchemaId, prefix, put_long};
use std::collections::BTreeSet;
use std::path::Path;

pub const TOPIC: &str = "shop.public.payments";
pub const PARTITIONS: i32 = 2;
const USERS: i64 = 6;
const SHOPS: [&str; 3] = ["north", "7", "süd"];

const KEY: &str = r#"{"type": "record", "name": "Key", "fields": [{"name": "id", "type": "int"}]}"#;
const VALUE: &str = r#"{"type": "record", "name": "Envelope", "fields": [
    {"name": "before", "type": ["null", {"type": "record", "name": "Value", "fields": [
        {"name": "id", "type": "int"},
        {"name": "user_id", "type": ["null", "long"], "default": null},
        {"name": "shop", "type": "string"},
        {"name": "amount", "type": ["null", "double"], "default": null},
        {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 2}},
        {"name": "quantity", "type": "long"},
        {"name": "note", "type": ["null", "string"], "default": null},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}}]}], "default": null},
    {"name": "after", "type": ["null", "Value"], "default": null},
    {"name": "source", "type": {"type": "record", "name": "Source", "fields": [{"name": "ts_us", "type": "long"}]}},
    {"name": "op", "type": "string"}]}"#;

pub const FEATURES: [&str; 21] = [
    "recent:rows",
    "recent:amount",
    "recent:price",
    "recent:lowest",
    "recent:greatest",
    "recent:spread",
    "recent:quantities",
    "recent:note",
    "recent:latest",
    "recent:tumbling",
    "recent:stepped",
    "recent:before",
    "recent:total",
    "recent:ratio",
    "recent:vector",
    "aging:rows",
    "aging:notes",
    "aging:median",
    "changes:rows",
    "changes:amount",
    "changes:first",
];

/// `more`: further views.
pub fn settings(path: &Path, more: &str) -> String {
    format!(
        "[db]\npath = '{}'\n[buffer]\nreserve_free_bytes = 0\npartitions = {PARTITIONS}\n\
         [features]\ntick = '250ms'\n{VIEWS}{more}",
        path.display()
    )
}

const VIEWS: &str = r#"
[[feature_view]]
name = "recent"
topic = "shop.public.payments"
entity = ["user_id"]
time = "at"
feature = [
  { name = "rows", aggregate = "count", window = "10s" },
  { name = "amount", aggregate = "sum", of = "amount", window = "10s" },
  { name = "price", aggregate = "avg", of = "price", window = "7s" },
  { name = "lowest", aggregate = "min", of = "price", window = "10s" },
  { name = "greatest", aggregate = "max", of = "amount", window = "3s" },
  { name = "spread", aggregate = "stddev_samp", of = "amount", window = "10s" },
  { name = "quantities", aggregate = "last_n", of = "quantity", n = 3, window = "10s" },
  { name = "note", aggregate = "last", of = "note", window = "30s" },
  { name = "latest", of = "at" },
  { name = "tumbling", aggregate = "count", window = "5s", step = "5s" },
  { name = "stepped", aggregate = "sum", of = "quantity", window = "8s", step = "2s" },
  { name = "before", aggregate = "sum", of = "quantity", window = "6s", offset = "4s" },
  { name = "total", aggregate = "sum", of = "quantity", type = "int64" },
  { name = "ratio", derived = "amount / nullif(rows, 0)" },
  { name = "vector", vector = ["rows", "total"] },
]

[[feature_view]]
name = "aging"
topic = "shop.public.payments"
entity = ["user_id", "shop"]
time = "at"
where = "quantity > 3"
ttl = "4s"
feature = [
  { name = "rows", aggregate = "count", window = "6s" },
  { name = "notes", aggregate = "count_distinct", of = "note", window = "6s" },
  { name = "median", aggregate = "percentile", p = 0.5, of = "amount", window = "6s" },
]

[[feature_view]]
name = "changes"
topic = "shop.public.payments"
entity = ["shop"]
meaning = "changes"
feature = [
  { name = "rows", aggregate = "count", window = "20s" },
  { name = "amount", of = "amount" },
  { name = "first", aggregate = "first", of = "quantity", window = "20s" },
]
"#;

/// A user, known or not or null, and a shop.
pub fn entity(rng: &mut Rng) -> (Json, Json) {
    let user = match rng.u32(0..20) {
        0 => Json::Null,
        _ => json!(rng.i64(1..USERS + 3)),
    };
    (user, json!(if rng.u32(0..12) == 0 { "nowhere" } else { SHOPS[rng.usize(0..SHOPS.len())] }))
}

pub struct Shop {
    key: SchemaId,
    value: SchemaId,
    next: i64,
    alive: BTreeSet<i64>,
    /// The rows that were written, if they are wanted as a file can hold them: in the order of their commits,
    /// and none is ever deleted.
    pub written: Option<Vec<Json>>,
}

/// The row of [`VALUE`] alone, with the milliseconds of its commit.
pub const ROW: &str = r#"{"type": "record", "name": "Row", "fields": [
    {"name": "id", "type": "int"},
    {"name": "user_id", "type": ["null", "long"], "default": null},
    {"name": "shop", "type": "string"},
    {"name": "amount", "type": ["null", "double"], "default": null},
    {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 2}},
    {"name": "quantity", "type": "long"},
    {"name": "note", "type": ["null", "string"], "default": null},
    {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
    {"name": "committed", "type": "long"}]}"#;

impl Shop {
    pub fn new(registry: &Registry) -> Shop {
        let register =
            |part: &str, text| registry.register(&format!("{TOPIC}-{part}"), text).expect("a schema");
        let (key, value) = (register("key", KEY), register("value", VALUE));
        Shop { key, value, next: 0, alive: BTreeSet::new(), written: None }
    }

    /// What a partition gets at this moment, the newest commit first: those that follow it in the log were
    /// committed before, and are known no earlier.
    pub fn batch(&mut self, partition: i32, now_us: i64, rng: &mut Rng) -> Option<Vec<u8>> {
        let count = [0, 1, 1, 2, 5, 30][rng.usize(0..6)];
        let mut pairs = Vec::new();
        for at in 0..count {
            let late = at > 0 && self.written.is_none();
            let committed_us = if late { now_us - rng.i64(0..9_000_000) } else { now_us };
            pairs.push(self.change(partition, committed_us, now_us, rng));
        }
        (!pairs.is_empty()).then(|| assembled(0, (-1, -1, -1), pairs.into_iter(), now_us / 1_000))
    }

    fn change(&mut self, partition: i32, committed_us: i64, now_us: i64, rng: &mut Rng) -> [Vec<u8>; 2] {
        let alive: Vec<i64> = self
            .alive
            .iter()
            .copied()
            .filter(|id| id % i64::from(PARTITIONS) == i64::from(partition))
            .collect();
        let (op, id) = match (rng.u32(0..10), alive.is_empty()) {
            (0..5, _) | (_, true) => {
                self.next += i64::from(PARTITIONS);
                // A snapshot's read is no change, and a file cannot tell one from a row that was written.
                let read = rng.u32(0..10) == 0 && self.written.is_none();
                (if read { "r" } else { "c" }, self.next + i64::from(partition))
            }
            (5..8, false) => ("u", alive[rng.usize(0..alive.len())]),
            _ if self.written.is_some() => ("u", alive[rng.usize(0..alive.len())]),
            _ => ("d", alive[rng.usize(0..alive.len())]),
        };
        let mut key = prefix(self.key).to_vec();
        put_long(&mut key, id);
        let mut value = prefix(self.value).to_vec();
        put_long(&mut value, 0);
        if op == "d" {
            self.alive.remove(&id);
            put_long(&mut value, 0);
        } else {
            self.alive.insert(id);
            put_long(&mut value, 1);
            let row = put_row(&mut value, id, now_us, rng);
            if let Some(written) = &mut self.written {
                let mut row = row;
                row["committed"] = json!(committed_us / 1_000);
                written.push(row);
            }
        }
        put_long(&mut value, committed_us);
        put_text(&mut value, op);
        [key, value]
    }
}

/// Gives the same row as JSON.
fn put_row(value: &mut Vec<u8>, id: i64, now_us: i64, rng: &mut Rng) -> Json {
    put_long(value, id);
    let user = nullable(value, rng, |value, rng| {
        let user = rng.i64(1..=USERS);
        put_long(value, user);
        json!(user)
    });
    let shop = SHOPS[rng.usize(0..SHOPS.len())];
    put_text(value, shop);
    let amount = nullable(value, rng, |value, rng| {
        let amount: f64 = [rng.f64() * 1e3, 0.1, -0.0, 1e17][rng.usize(0..4)];
        value.extend_from_slice(&amount.to_le_bytes());
        json!(amount)
    });
    let price = rng.i16(-999..9_999);
    put_long(value, 2);
    value.extend_from_slice(&price.to_be_bytes());
    let quantity = rng.i64(0..10);
    put_long(value, quantity);
    let note = nullable(value, rng, |value, rng| {
        let note = ["", "gift", "zurück", "5"][rng.usize(0..4)];
        put_text(value, note);
        json!(note)
    });
    // Late, on time, or ahead.
    let at = now_us + [-rng.i64(0..15_000_000), -rng.i64(0..300_000), rng.i64(0..2_000_000)][rng.usize(0..3)];
    put_long(value, at);
    let sign = if price < 0 { "-" } else { "" };
    let (whole, cents) = (price.unsigned_abs() / 100, price.unsigned_abs() % 100);
    json!({
        "id": id, "user_id": user, "shop": shop, "amount": amount, "price": format!("{sign}{whole}.{cents:02}"),
        "quantity": quantity, "note": note, "at": at
    })
}

fn nullable(value: &mut Vec<u8>, rng: &mut Rng, put: impl FnOnce(&mut Vec<u8>, &mut Rng) -> Json) -> Json {
    if rng.u32(0..8) == 0 {
        put_long(value, 0);
        return Json::Null;
    }
    put_long(value, 1);
    put(value, rng)
}
