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
const PARTITIONS: i32 = 2;
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

pub fn settings(path: &Path) -> String {
    format!(
        "[db]\npath = '{}'\n[buffer]\nreserve_free_bytes = 0\npartitions = {PARTITIONS}\n\
         [features]\ntick = '250ms'\n{VIEWS}",
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
}

impl Shop {
    pub fn new(registry: &Registry) -> Shop {
        let register =
            |part: &str, text| registry.register(&format!("{TOPIC}-{part}"), text).expect("a schema");
        Shop { key: register("key", KEY), value: register("value", VALUE), next: 0, alive: BTreeSet::new() }
    }

    /// What a partition gets at this moment, the newest commit first: those that follow it in the log were
    /// committed before, and are known no earlier.
    pub fn batch(&mut self, partition: i32, now_us: i64, rng: &mut Rng) -> Option<Vec<u8>> {
        let count = [0, 1, 1, 2, 5, 30][rng.usize(0..6)];
        let mut pairs = Vec::new();
        for at in 0..count {
            let committed_us = if at == 0 { now_us } else { now_us - rng.i64(0..9_000_000) };
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
                (if rng.u32(0..10) == 0 { "r" } else { "c" }, self.next + i64::from(partition))
            }
            (5..8, false) => ("u", alive[rng.usize(0..alive.len())]),
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
            put_row(&mut value, id, now_us, rng);
        }
        put_long(&mut value, committed_us);
        put_text(&mut value, op);
        [key, value]
    }
}

fn put_row(value: &mut Vec<u8>, id: i64, now_us: i64, rng: &mut Rng) {
    put_long(value, id);
    nullable(value, rng, |value, rng| put_long(value, rng.i64(1..=USERS)));
    put_text(value, SHOPS[rng.usize(0..SHOPS.len())]);
    nullable(value, rng, |value, rng| {
        let amount = [rng.f64() * 1e3, 0.1, -0.0, 1e17][rng.usize(0..4)];
        value.extend_from_slice(&amount.to_le_bytes());
    });
    let price = rng.i16(-999..9_999).to_be_bytes();
    put_long(value, 2);
    value.extend_from_slice(&price);
    put_long(value, rng.i64(0..10));
    nullable(value, rng, |value, rng| put_text(value, ["", "gift", "zurück", "5"][rng.usize(0..4)]));
    // Late, on time, or ahead.
    put_long(
        value,
        now_us + [-rng.i64(0..15_000_000), -rng.i64(0..300_000), rng.i64(0..2_000_000)][rng.usize(0..3)],
    );
}

fn nullable(value: &mut Vec<u8>, rng: &mut Rng, put: impl FnOnce(&mut Vec<u8>, &mut Rng)) {
    if rng.u32(0..8) == 0 {
        return put_long(value, 0);
    }
    put_long(value, 1);
    put(value, rng);
}
