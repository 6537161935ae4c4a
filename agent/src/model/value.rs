//! A column's value as the agent's rooms see it: neutral of database and of Avro, and lossless.

use super::decimal::Decimal;
use std::cmp::Ordering;

/// One value of one column, or of one feature.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Decimal(Decimal),
    Text(String),
    Bytes(Vec<u8>),
    /// Microseconds since 1970, UTC. Dates are their midnight.
    Timestamp(i64),
    /// Values of one kind; lists do not nest. A feature's have no null among them; a column's are doubles.
    List(Vec<Value>),
    /// Present, but of a kind that features do not compute with (other arrays, maps, records).
    Opaque,
    /// The source did not send it because it did not change (PostgreSQL's TOAST).
    Unchanged,
    /// The record's schema has no such column.
    Absent,
}

impl Value {
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// The kind's name, for reasons and logs, which never show the value itself.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Int(_) => "integer",
            Value::Float(_) => "float",
            Value::Decimal(_) => "decimal",
            Value::Text(_) => "text",
            Value::Bytes(_) => "bytes",
            Value::Timestamp(_) => "timestamp",
            Value::List(_) => "list",
            Value::Opaque => "array or record",
            Value::Unchanged => "unchanged",
            Value::Absent => "absent",
        }
    }

    pub fn is_number(&self) -> bool {
        matches!(self, Value::Int(_) | Value::Float(_) | Value::Decimal(_))
    }

    /// The number as a double; `None` for what is no number.
    pub fn to_f64(&self) -> Option<f64> {
        match self {
            Value::Int(n) => Some(*n as f64),
            Value::Float(n) => Some(*n),
            Value::Decimal(n) => Some(n.to_f64()),
            _ => None,
        }
    }

    /// Order of two values of the same family; `None` across families and for null.
    ///
    /// Integers and decimals compare exactly, anything with a double as doubles, NaN above all, as in
    /// PostgreSQL. Text compares by its bytes (collation "C").
    pub fn order(&self, other: &Value) -> Option<Ordering> {
        Some(match (self, other) {
            (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
            (Value::Int(a), Value::Int(b)) | (Value::Timestamp(a), Value::Timestamp(b)) => a.cmp(b),
            (Value::Decimal(a), Value::Decimal(b)) => a.cmp(b),
            (Value::Int(a), Value::Decimal(b)) => Decimal::new(i128::from(*a), 0).cmp(b),
            (Value::Decimal(a), Value::Int(b)) => a.cmp(&Decimal::new(i128::from(*b), 0)),
            (Value::Text(a), Value::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
            (Value::Bytes(a), Value::Bytes(b)) => a.cmp(b),
            _ => order_floats(self.to_f64()?, other.to_f64()?),
        })
    }

    /// Bytes that are the same exactly for values that are equal: 1, 1.0 and 1.00; 0.0 and -0.0.
    pub fn identity(&self) -> Vec<u8> {
        let plain = match self {
            Value::Decimal(n) => match n.to_i64() {
                Some(whole) => Value::Int(whole),
                None => Value::Decimal(n.trimmed()),
            },
            Value::Float(n) if *n == 0.0 => Value::Float(0.0),
            Value::Float(n) if n.is_nan() => Value::Float(f64::NAN),
            other => return super::pack::sortable([other]),
        };
        super::pack::sortable([&plain])
    }

    /// Memory that it takes beyond itself, roughly.
    pub fn heap_bytes(&self) -> usize {
        match self {
            Value::Text(text) => text.capacity(),
            Value::Bytes(bytes) => bytes.capacity(),
            Value::List(values) => values.capacity() * size_of::<Value>(),
            _ => 0,
        }
    }

    /// Equal in kind and in every bit: -0.0 is not 0.0, and a NaN equals itself.
    pub fn same_bits(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Float(a), Value::Float(b)) => a.to_bits() == b.to_bits(),
            _ => self == other,
        }
    }
}

/// PostgreSQL's order of doubles: NaN equals NaN and is greater than everything; -0.0 equals 0.0.
pub fn order_floats(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}
