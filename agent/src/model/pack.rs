//! Values as bytes, in two forms.
//!
//! [`pack`] is compact, for stored columns and features. [`sortable`] keeps order: comparing two
//! packed keys byte by byte gives the order of their values (integers, timestamps, text, booleans,
//! doubles), and it does not depend on the schema id of the record, so that a row keeps its key
//! when its table's schema changes.

use super::decimal::Decimal;
use super::value::Value;
use shared::avro::wire::{put_long, take_long};

const NULL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const INT: u8 = 3;
const FLOAT: u8 = 4;
const DECIMAL: u8 = 5;
const TEXT: u8 = 6;
const BYTES: u8 = 7;
const TIMESTAMP: u8 = 8;
const OPAQUE: u8 = 9;
const LIST: u8 = 10;

/// Values one after the other, each with its kind. What was not sent is kept as null.
pub fn pack<'a>(values: impl IntoIterator<Item = &'a Value>) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    pack_into(&mut out, values);
    out
}

/// [`pack`] behind what is there.
pub fn pack_into<'a>(out: &mut Vec<u8>, values: impl IntoIterator<Item = &'a Value>) {
    for value in values {
        pack_one(out, value);
    }
}

fn pack_one(out: &mut Vec<u8>, value: &Value) {
    let block = |out: &mut Vec<u8>, tag: u8, bytes: &[u8]| {
        out.push(tag);
        put_long(out, bytes.len() as i64);
        out.extend_from_slice(bytes);
    };
    match value {
        Value::Null | Value::Unchanged | Value::Absent => out.push(NULL),
        Value::Bool(false) => out.push(FALSE),
        Value::Bool(true) => out.push(TRUE),
        Value::Int(n) => {
            out.push(INT);
            put_long(out, *n);
        }
        Value::Float(n) => {
            out.push(FLOAT);
            out.extend_from_slice(&n.to_le_bytes());
        }
        Value::Decimal(n) => {
            out.push(DECIMAL);
            put_long(out, i64::from(n.scale()));
            n.with_unscaled_bytes(|bytes| {
                put_long(out, bytes.len() as i64);
                out.extend_from_slice(bytes);
            });
        }
        Value::Text(text) => block(out, TEXT, text.as_bytes()),
        Value::Bytes(bytes) => block(out, BYTES, bytes),
        Value::Timestamp(micros) => {
            out.push(TIMESTAMP);
            put_long(out, *micros);
        }
        Value::Opaque => out.push(OPAQUE),
        Value::List(values) => block(out, LIST, &pack(values)),
    }
}

/// Reads what [`pack`] wrote; `None` if the bytes are damaged.
pub fn unpack(mut bytes: &[u8]) -> Option<Vec<Value>> {
    let mut values = Vec::new();
    while let Some((tag, rest)) = bytes.split_first() {
        bytes = rest;
        values.push(unpack_one(*tag, &mut bytes)?);
    }
    Some(values)
}

/// The wanted ones of packed values, nulls in place of the others; reads no further than it must. `None`
/// if the bytes are damaged.
pub fn unpack_wanted(mut bytes: &[u8], wanted: &[bool], out: &mut Vec<Value>) -> Option<()> {
    out.clear();
    for wanted in wanted {
        let Some((tag, rest)) = bytes.split_first() else { break };
        bytes = rest;
        out.push(match (wanted, *tag) {
            (true, tag) => unpack_one(tag, &mut bytes)?,
            (false, TEXT | BYTES | LIST) => {
                take_block(&mut bytes)?;
                Value::Null
            }
            (false, tag) => {
                unpack_one(tag, &mut bytes)?;
                Value::Null
            }
        });
    }
    Some(())
}

fn unpack_one(tag: u8, bytes: &mut &[u8]) -> Option<Value> {
    Some(match tag {
        NULL => Value::Null,
        FALSE => Value::Bool(false),
        TRUE => Value::Bool(true),
        INT => Value::Int(take_long(bytes)?),
        FLOAT => Value::Float(f64::from_le_bytes(take_array(bytes)?)),
        DECIMAL => {
            let scale = take_long(bytes)?;
            Value::Decimal(Decimal::from_bytes(take_block(bytes)?, scale)?)
        }
        TEXT => Value::Text(String::from_utf8(take_block(bytes)?.to_vec()).ok()?),
        BYTES => Value::Bytes(take_block(bytes)?.to_vec()),
        TIMESTAMP => Value::Timestamp(take_long(bytes)?),
        OPAQUE => Value::Opaque,
        LIST => Value::List(unpack_list(take_block(bytes)?)?),
        _ => return None,
    })
}

/// Lists do not nest, so that damaged bytes cannot make this go deep.
fn unpack_list(mut bytes: &[u8]) -> Option<Vec<Value>> {
    let mut values = Vec::new();
    while let Some((tag, rest)) = bytes.split_first() {
        bytes = rest;
        if *tag == LIST {
            return None;
        }
        values.push(unpack_one(*tag, &mut bytes)?);
    }
    Some(values)
}

fn take_block<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(take_long(bytes)?).ok()?;
    let (block, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(block)
}

fn take_array<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (array, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*array)
}

/// Values as a key whose bytes sort as the values do. Decimals are kept, but sort only by equality.
pub fn sortable<'a>(values: impl IntoIterator<Item = &'a Value>) -> Vec<u8> {
    let mut out = Vec::with_capacity(16);
    for value in values {
        sortable_into(&mut out, value);
    }
    out
}

/// [`sortable`] of one value, behind what is there.
pub fn sortable_into(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Int(n) => {
            out.push(INT);
            out.extend_from_slice(&ordered(*n));
        }
        Value::Timestamp(n) => {
            out.push(TIMESTAMP);
            out.extend_from_slice(&ordered(*n));
        }
        Value::Float(n) => {
            let bits = n.to_bits();
            let flipped = if bits >> 63 == 0 { bits | 1 << 63 } else { !bits };
            out.push(FLOAT);
            out.extend_from_slice(&flipped.to_be_bytes());
        }
        Value::Text(text) => escaped(out, TEXT, text.as_bytes()),
        Value::Bytes(bytes) => escaped(out, BYTES, bytes),
        Value::Decimal(n) => escaped(out, DECIMAL, n.to_string().as_bytes()),
        other => pack_one(out, other),
    }
}

/// Big endian with the sign bit turned, so that negative numbers come first.
fn ordered(n: i64) -> [u8; 8] {
    (n ^ i64::MIN).to_be_bytes()
}

/// A zero becomes 00 ff, and 00 00 ends the block: a prefix sorts before what continues it.
fn escaped(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    for byte in bytes {
        out.push(*byte);
        if *byte == 0 {
            out.push(0xff);
        }
    }
    out.extend_from_slice(&[0, 0]);
}

/// The first bytes of a key. Keys whose numbers differ are in the order of the numbers; of others the rest must
/// be looked at.
pub fn first_16(key: &[u8]) -> u128 {
    let mut first = [0; 16];
    first.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
    u128::from_be_bytes(first)
}

/// Reads what [`sortable`] wrote; `None` if the bytes are damaged.
pub fn from_sortable(mut bytes: &[u8]) -> Option<Vec<Value>> {
    let mut values = Vec::new();
    while let Some((tag, rest)) = bytes.split_first() {
        bytes = rest;
        values.push(match *tag {
            INT => Value::Int(i64::from_be_bytes(take_array(&mut bytes)?) ^ i64::MIN),
            TIMESTAMP => Value::Timestamp(i64::from_be_bytes(take_array(&mut bytes)?) ^ i64::MIN),
            FLOAT => {
                let flipped = u64::from_be_bytes(take_array(&mut bytes)?);
                Value::Float(f64::from_bits(if flipped >> 63 == 1 { flipped & !(1 << 63) } else { !flipped }))
            }
            TEXT => Value::Text(String::from_utf8(unescaped(&mut bytes)?).ok()?),
            BYTES => Value::Bytes(unescaped(&mut bytes)?),
            DECIMAL => Value::Decimal(Decimal::parse(std::str::from_utf8(&unescaped(&mut bytes)?).ok()?)?),
            other => unpack_one(other, &mut bytes)?,
        });
    }
    Some(values)
}

fn unescaped(bytes: &mut &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    loop {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        if *byte != 0 {
            out.push(*byte);
            continue;
        }
        let (mark, rest) = bytes.split_first()?;
        *bytes = rest;
        match mark {
            0 => return Some(out),
            _ => out.push(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Vec<Value> {
        let mut all = vec![Value::Null, Value::Bool(false), Value::Bool(true), Value::Opaque];
        all.extend([i64::MIN, -300, -1, 0, 1, 255, 256, i64::MAX].map(Value::Int));
        all.extend([f64::NEG_INFINITY, -1.5, -0.0, 0.0, 1e-300, 2.0, f64::INFINITY].map(Value::Float));
        all.extend(["", "a", "a\0", "a\0b", "ab", "ü"].map(|t| Value::Text(t.to_owned())));
        all.extend([-5, 0, 1_700_000_000_000_000].map(Value::Timestamp));
        all.push(Value::Decimal(Decimal::parse("-12.50").expect("a decimal")));
        all.push(Value::Bytes(vec![0, 0, 1]));
        all.push(Value::List(vec![Value::Int(1), Value::Text("a".to_owned())]));
        all
    }

    #[test]
    fn both_forms_come_back() {
        let all = samples();
        assert_eq!(unpack(&pack(&all)).expect("packed"), all);
        assert_eq!(from_sortable(&sortable(&all)).expect("sortable"), all);
    }

    #[test]
    fn what_is_not_wanted_is_passed_over() {
        let (all, mut some) = (samples(), Vec::new());
        let wanted: Vec<bool> = (0..all.len()).map(|n| n % 3 == 1).collect();
        unpack_wanted(&pack(&all), &wanted, &mut some).expect("packed");
        assert_eq!(some.len(), all.len());
        for ((some, all), wanted) in some.iter().zip(&all).zip(wanted) {
            assert_eq!(some, if wanted { all } else { &Value::Null });
        }
        assert!(unpack_wanted(&[TEXT, 200, 1], &[false], &mut some).is_none());
    }

    #[test]
    fn sortable_bytes_sort_as_values() {
        for a in &samples() {
            for b in &samples() {
                let (Some(want), false) = (a.order(b), a.kind() != b.kind() || a.kind() == "decimal") else {
                    continue;
                };
                let zeros = matches!((a, b), (Value::Float(x), Value::Float(y)) if *x == 0.0 && *y == 0.0);
                assert!(zeros || sortable([a]).cmp(&sortable([b])) == want, "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn damaged_bytes_are_refused_not_trusted() {
        let good = pack(&samples());
        for end in 0..good.len() {
            let _ = unpack(&good[..end]);
            let _ = from_sortable(&good[..end]);
        }
        assert!(unpack(&[TEXT, 200, 1]).is_none());
    }
}
