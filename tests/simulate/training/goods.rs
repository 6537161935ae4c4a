//! The table that views look up, as a connector sends it: its rows come, change and go while payments refer to
//! them by their quantity.

use super::shop::PARTITIONS;
use crate::agent::batch::{assembled, put_text};
use agent::registry::Registry;
use fastrand::Rng;
use shared::avro::wire::{SchemaId, prefix, put_long};

pub const TOPIC: &str = "shop.public.goods";
/// As many as payments refer to, and one more.
const IDS: i64 = 11;
const KEY: &str = r#"{"type": "record", "name": "Key", "fields": [{"name": "id", "type": "long"}]}"#;
const VALUE: &str = r#"{"type": "record", "name": "Envelope", "fields": [
    {"name": "before", "type": ["null", {"type": "record", "name": "Value", "fields": [
        {"name": "id", "type": "long"},
        {"name": "grade", "type": "string"},
        {"name": "weight", "type": ["null", "long"], "default": null}]}], "default": null},
    {"name": "after", "type": ["null", "Value"], "default": null},
    {"name": "source", "type": {"type": "record", "name": "Source", "fields": [{"name": "ts_us", "type": "long"}]}},
    {"name": "op", "type": "string"}]}"#;

pub const FEATURES: [&str; 6] = [
    "joined:rows",
    "joined:weight",
    "joined:grades",
    "joined:latest",
    "joined_once:weight",
    "joined_once:rows",
];

pub const VIEWS: &str = r#"
[[feature_view]]
name = "joined"
topic = "shop.public.payments"
entity = ["user_id"]
time = "at"
where = "good.grade <> 'poor' OR good.grade IS NULL"
lookup = [{ name = "good", topic = "shop.public.goods", on = { id = "quantity" } }]
feature = [
  { name = "rows", aggregate = "count", window = "10s" },
  { name = "weight", aggregate = "sum", of = "good.weight", window = "10s", type = "int64" },
  { name = "grades", aggregate = "count_distinct", of = "good.grade", window = "30s" },
  { name = "latest", of = "good.grade", type = "string" },
]

[[feature_view]]
name = "joined_once"
topic = "shop.public.payments"
entity = ["shop"]
meaning = "changes"
lookup = [{ name = "good", topic = "shop.public.goods", on = { id = "quantity" } }]
feature = [
  { name = "weight", aggregate = "sum", of = "good.weight", window = "20s", type = "int64" },
  { name = "rows", aggregate = "count", of = "good.id", window = "20s" },
]
"#;

pub struct Goods {
    key: SchemaId,
    value: SchemaId,
}

impl Goods {
    pub fn new(registry: &Registry) -> Goods {
        let register =
            |part: &str, text| registry.register(&format!("{TOPIC}-{part}"), text).expect("a schema");
        Goods { key: register("key", KEY), value: register("value", VALUE) }
    }

    /// What a partition gets at this moment.
    pub fn batch(&mut self, partition: i32, now_us: i64, rng: &mut Rng) -> Option<Vec<u8>> {
        let count = [0, 0, 1, 2, 4][rng.usize(0..5)];
        let pairs: Vec<_> = (0..count).map(|_| self.change(partition, now_us, rng)).collect();
        (!pairs.is_empty()).then(|| assembled(0, (-1, -1, -1), pairs.into_iter(), now_us / 1_000))
    }

    fn change(&mut self, partition: i32, now_us: i64, rng: &mut Rng) -> [Vec<u8>; 2] {
        let each = i64::from(PARTITIONS);
        let id = rng.i64(0..=IDS / each) * each + i64::from(partition);
        let mut key = prefix(self.key).to_vec();
        put_long(&mut key, id);
        let mut value = prefix(self.value).to_vec();
        put_long(&mut value, 0);
        let gone = rng.u32(0..4) == 0;
        put_long(&mut value, i64::from(!gone));
        if !gone {
            put_long(&mut value, id);
            put_text(&mut value, ["fine", "poor", "good"][rng.usize(0..3)]);
            match rng.u32(0..5) {
                0 => put_long(&mut value, 0),
                _ => {
                    put_long(&mut value, 1);
                    put_long(&mut value, rng.i64(-5..1_000));
                }
            }
        }
        put_long(&mut value, now_us);
        put_text(&mut value, if gone { "d" } else { ["r", "c", "u"][rng.usize(0..3)] });
        [key, value]
    }
}
