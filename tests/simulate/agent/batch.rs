//! Changes of a table as a producer sends them: Avro in record batches.

use fastrand::Rng;
use shared::avro::wire::{SchemaId, prefix, put_long};

pub const KEY: &str = r#"{"type": "record", "name": "Key", "fields": [{"name": "id", "type": "int"}]}"#;
pub const VALUE: &str = r#"{"type": "record", "name": "Envelope", "fields": [
    {"name": "before", "type": ["null", {"type": "record", "name": "Value", "fields": [
        {"name": "id", "type": "int"}, {"name": "owner", "type": "int"}, {"name": "amount", "type": "long"},
        {"name": "filler", "type": "string"}]}], "default": null},
    {"name": "after", "type": ["null", "Value"], "default": null},
    {"name": "source", "type": {"type": "record", "name": "Source", "fields": [{"name": "ts_us", "type": "long"}]}},
    {"name": "op", "type": "string"}]}"#;

const TRANSACTIONAL: i16 = 0x10;

/// One change; `row` is absent when it was deleted.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    pub id: i64,
    pub row: Option<Row>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub owner: i64,
    pub amount: i64,
}

/// The schemas' numbers.
#[derive(Clone, Copy)]
pub struct Schemas {
    pub key: SchemaId,
    pub value: SchemaId,
}

/// Who sends a batch: producer id and first sequence; without it the batch is not idempotent.
pub type Turn = Option<(i64, i32)>;

/// Changes → the bytes of a batch.
pub fn batch(changes: &[Change], turn: Turn, schemas: Schemas, committed_us: i64, rng: &mut Rng) -> Vec<u8> {
    let (producer, sequence) = turn.unwrap_or((-1, -1));
    let epoch: i16 = if turn.is_some() { 0 } else { -1 };
    sealed(0, (producer, epoch, sequence), changes, schemas, committed_us, rng)
}

/// A batch of a transaction: producer id, epoch, first sequence.
pub fn batch_of(
    changes: &[Change],
    turn: (i64, i16, i32),
    schemas: Schemas,
    committed_us: i64,
    rng: &mut Rng,
) -> Vec<u8> {
    sealed(TRANSACTIONAL, turn, changes, schemas, committed_us, rng)
}

fn sealed(
    attributes: i16,
    (producer, epoch, sequence): (i64, i16, i32),
    changes: &[Change],
    schemas: Schemas,
    committed_us: i64,
    rng: &mut Rng,
) -> Vec<u8> {
    let pairs =
        changes.iter().map(|change| [key(change, schemas), value(change, schemas, committed_us, rng)]);
    assembled(attributes, (producer, epoch, sequence), pairs, committed_us / 1_000)
}

/// Keys and values → the bytes of a batch, by the producer with this id, epoch and first sequence.
pub fn assembled(
    attributes: i16,
    (producer, epoch, sequence): (i64, i16, i32),
    pairs: impl ExactSizeIterator<Item = [Vec<u8>; 2]>,
    time_ms: i64,
) -> Vec<u8> {
    let count = i32::try_from(pairs.len()).expect("few");
    let mut records = Vec::new();
    for (delta, pair) in (0..).zip(pairs) {
        let mut record = vec![0];
        put_long(&mut record, 0);
        put_long(&mut record, delta);
        for part in pair {
            put_long(&mut record, i64::try_from(part.len()).expect("short"));
            record.extend_from_slice(&part);
        }
        put_long(&mut record, 0);
        put_long(&mut records, i64::try_from(record.len()).expect("short"));
        records.extend_from_slice(&record);
    }
    let mut checked = Vec::new();
    checked.extend_from_slice(&attributes.to_be_bytes());
    checked.extend_from_slice(&(count - 1).to_be_bytes());
    checked.extend_from_slice(&time_ms.to_be_bytes());
    checked.extend_from_slice(&time_ms.to_be_bytes());
    checked.extend_from_slice(&producer.to_be_bytes());
    checked.extend_from_slice(&epoch.to_be_bytes());
    checked.extend_from_slice(&sequence.to_be_bytes());
    checked.extend_from_slice(&count.to_be_bytes());
    checked.extend_from_slice(&records);
    let mut batch = vec![0; 8];
    // Epoch, magic and checksum count too.
    batch.extend_from_slice(&i32::try_from(checked.len() + 9).expect("short").to_be_bytes());
    batch.extend_from_slice(&0_i32.to_be_bytes());
    batch.push(2);
    batch.extend_from_slice(&crc32c::crc32c(&checked).to_be_bytes());
    batch.extend_from_slice(&checked);
    batch
}

fn key(change: &Change, schemas: Schemas) -> Vec<u8> {
    let mut key = prefix(schemas.key).to_vec();
    put_long(&mut key, change.id);
    key
}

fn value(change: &Change, schemas: Schemas, committed_us: i64, rng: &mut Rng) -> Vec<u8> {
    let mut value = prefix(schemas.value).to_vec();
    put_long(&mut value, 0); // before: null
    match &change.row {
        None => put_long(&mut value, 0),
        Some(row) => {
            put_long(&mut value, 1);
            for number in [change.id, row.owner, row.amount] {
                put_long(&mut value, number);
            }
            let filler = rng.usize(0..400);
            put_text(&mut value, &"x".repeat(filler));
        }
    }
    put_long(&mut value, committed_us);
    put_text(&mut value, if change.row.is_some() { "u" } else { "d" });
    value
}

pub fn put_text(bytes: &mut Vec<u8>, text: &str) {
    put_long(bytes, i64::try_from(text.len()).expect("short"));
    bytes.extend_from_slice(text.as_bytes());
}
