//! Keys, fields and values as Feast 0.67 writes and reads them in Redis (entity key serialization 3).
//! Pure; held against vectors that the real SDK made.
//!
//! One hash per set of join keys and project: a field per feature (murmur3 of `view:feature`), and
//! `_ts:view` with the time. Null is an empty value: Feast's `null_val` would read back as 0.

use super::Row;
use crate::model::feature::EntityType;
use crate::model::value::Value;

/// Numbers of `feast.types.ValueType` in an entity key.
const BYTES: u32 = 1;
const STRING: u32 = 2;
const INT32: u32 = 3;
const INT64: u32 = 4;
const UNIX_TIMESTAMP: u32 = 8;

/// A join key's value.
#[derive(Clone, Debug, PartialEq)]
pub enum JoinValue {
    Int32(i32),
    Int64(i64),
    Text(String),
    Bytes(Vec<u8>),
    /// Seconds since 1970.
    Timestamp(i64),
}

/// The join keys of a row's entity.
///
/// # Errors
/// Why Feast has no key for it.
pub fn join_keys(row: &Row) -> Result<Vec<(&str, JoinValue)>, &'static str> {
    let mut keys = Vec::with_capacity(row.keys.len());
    for ((name, kind), value) in row.view.entity().iter().zip(&row.keys) {
        let value = match (value, kind) {
            (Value::Int(n), EntityType::Int32) => {
                JoinValue::Int32(i32::try_from(*n).map_err(|_| "its entity exceeds 32 bits")?)
            }
            (Value::Int(n), _) => JoinValue::Int64(*n),
            (Value::Text(text), _) => JoinValue::Text(text.clone()),
            (Value::Bytes(bytes), _) => JoinValue::Bytes(bytes.clone()),
            (Value::Timestamp(micros), _) => JoinValue::Timestamp(micros.div_euclid(1_000_000)),
            _ => return Err("its entity is of a kind that Feast has no key for"),
        };
        keys.push((name.as_str(), value));
    }
    Ok(keys)
}

/// The serialized entity key: names sorted by their bytes, then the values in that order.
pub fn entity_key(keys: &[(&str, JoinValue)]) -> Vec<u8> {
    let mut sorted: Vec<_> = keys.iter().collect();
    sorted.sort_by(|a, b| a.0.as_bytes().cmp(b.0.as_bytes()));
    let mut out = Vec::with_capacity(64);
    put(&mut out, sorted.len() as u32);
    for (name, _) in &sorted {
        put(&mut out, STRING);
        put_block(&mut out, name.as_bytes());
    }
    for (_, value) in &sorted {
        let (kind, bytes) = match value {
            JoinValue::Int32(n) => (INT32, n.to_le_bytes().to_vec()),
            JoinValue::Int64(n) => (INT64, n.to_le_bytes().to_vec()),
            JoinValue::Timestamp(n) => (UNIX_TIMESTAMP, n.to_le_bytes().to_vec()),
            JoinValue::Text(text) => (STRING, text.as_bytes().to_vec()),
            JoinValue::Bytes(bytes) => (BYTES, bytes.clone()),
        };
        put(&mut out, kind);
        put_block(&mut out, &bytes);
    }
    out
}

/// The Redis key: the entity key and the project's name.
pub fn redis_key(keys: &[(&str, JoinValue)], project: &str) -> Vec<u8> {
    let mut out = entity_key(keys);
    out.extend_from_slice(project.as_bytes());
    out
}

fn put(out: &mut Vec<u8>, n: u32) {
    out.extend_from_slice(&n.to_le_bytes());
}

fn put_block(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes.len() as u32);
    out.extend_from_slice(bytes);
}

/// The hash field of a feature.
pub fn field(view: &str, feature: &str) -> [u8; 4] {
    murmur3(format!("{view}:{feature}").as_bytes()).to_le_bytes()
}

/// The hash field of a view's time.
pub fn time_field(view: &str) -> Vec<u8> {
    format!("_ts:{view}").into_bytes()
}

/// MurmurHash3, x86, 32 bits, seed 0.
fn murmur3(bytes: &[u8]) -> u32 {
    let mix = |k: u32| k.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
    let (blocks, tail) = bytes.as_chunks::<4>();
    let mut hash = blocks.iter().fold(0u32, |hash, block| {
        (hash ^ mix(u32::from_le_bytes(*block))).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64)
    });
    let last = tail.iter().rev().fold(0u32, |word, byte| word << 8 | u32::from(*byte));
    if !tail.is_empty() {
        hash ^= mix(last);
    }
    hash ^= bytes.len() as u32;
    hash = (hash ^ hash >> 16).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ hash >> 13).wrapping_mul(0xc2b2_ae35);
    hash ^ hash >> 16
}

/// A serialized `feast.types.Value`; null is no bytes at all.
pub fn value(value: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(12);
    match value {
        Value::Bytes(bytes) => block(&mut out, 1, bytes),
        Value::Text(text) => block(&mut out, 2, text.as_bytes()),
        Value::Int(n) => {
            out.push(4 << 3);
            varint(&mut out, n.cast_unsigned());
        }
        Value::Float(n) => {
            out.push(5 << 3 | 1);
            out.extend_from_slice(&n.to_le_bytes());
        }
        Value::Decimal(n) => return self::value(&Value::Float(n.to_f64())),
        Value::Bool(truth) => out.extend_from_slice(&[7 << 3, u8::from(*truth)]),
        Value::Timestamp(micros) => {
            out.push(8 << 3);
            varint(&mut out, micros.div_euclid(1_000_000).cast_unsigned());
        }
        Value::List(values) => return list(values),
        Value::Null | Value::Opaque | Value::Unchanged | Value::Absent => {}
    }
    out
}

/// A list of one kind; the kind is its first value's.
fn list(values: &[Value]) -> Vec<u8> {
    let (mut inner, mut packed) = (Vec::new(), Vec::new());
    for value in values {
        match value {
            Value::Bytes(bytes) => block(&mut inner, 1, bytes),
            Value::Text(text) => block(&mut inner, 1, text.as_bytes()),
            Value::Int(n) => varint(&mut packed, n.cast_unsigned()),
            Value::Bool(truth) => packed.push(u8::from(*truth)),
            Value::Timestamp(micros) => varint(&mut packed, micros.div_euclid(1_000_000).cast_unsigned()),
            other => packed.extend_from_slice(&other.to_f64().unwrap_or(f64::NAN).to_le_bytes()),
        }
    }
    let field = match values.first() {
        Some(Value::Bytes(_)) => 11,
        Some(Value::Text(_)) => 12,
        Some(Value::Int(_)) => 14,
        Some(Value::Bool(_)) => 17,
        Some(Value::Timestamp(_)) => 18,
        Some(_) => 15,
        None => return Vec::new(),
    };
    if !packed.is_empty() {
        block(&mut inner, 1, &packed);
    }
    let mut out = Vec::with_capacity(inner.len() + 4);
    varint(&mut out, field << 3 | 2);
    varint(&mut out, inner.len() as u64);
    out.extend_from_slice(&inner);
    out
}

/// A serialized `google.protobuf.Timestamp`; zero fields are left out.
pub fn timestamp(nanos: i64) -> Vec<u8> {
    let (seconds, rest) = (nanos.div_euclid(1_000_000_000), nanos.rem_euclid(1_000_000_000));
    let mut out = Vec::with_capacity(12);
    for (tag, number) in [(1 << 3, seconds), (2 << 3, rest)] {
        if number != 0 {
            out.push(tag);
            varint(&mut out, number.cast_unsigned());
        }
    }
    out
}

/// `value_text` of Feast's SQL stores, which is what text search reads: strings, numbers and booleans as
/// Python prints them. Text with a zero byte, which PostgreSQL cannot hold, has none.
pub fn value_text(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) => (!text.contains('\0')).then(|| text.clone()),
        Value::Int(n) => Some(n.to_string()),
        Value::Float(n) => Some(float_text(*n)),
        Value::Decimal(n) => Some(float_text(n.to_f64())),
        Value::Bool(true) => Some("True".to_owned()),
        Value::Bool(false) => Some("False".to_owned()),
        _ => None,
    }
}

/// `vector_value` of Feast's PostgreSQL store: a list of numbers as pgvector reads it.
pub fn vector_text(value: &Value) -> Option<String> {
    let Value::List(values) = value else { return None };
    let numbers: Option<Vec<f64>> = values.iter().map(Value::to_f64).collect();
    let texts: Vec<String> = numbers?.into_iter().map(float_text).collect();
    (!texts.is_empty()).then(|| format!("[{}]", texts.join(", ")))
}

/// A double as Python prints it: 1.0, 1e-05, 1e+16, nan.
fn float_text(n: f64) -> String {
    if n.is_nan() {
        return "nan".to_owned();
    }
    let text = format!("{n:?}");
    match text.split_once('e') {
        Some((digits, exponent)) => {
            let (sign, exponent) = match exponent.strip_prefix('-') {
                Some(exponent) => ('-', exponent),
                None => ('+', exponent),
            };
            format!("{digits}e{sign}{exponent:0>2}")
        }
        None => text,
    }
}

fn block(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    out.push(field << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

#[cfg(test)]
#[path = "feast_tests.rs"]
mod tests;
