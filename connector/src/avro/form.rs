//! How a column's values stand on the wire, and what stands there for values that are absent.
//!
//! [`put`] is the only place where a value becomes bytes; defaults in schemas, stand-ins for
//! NULL and rows all go through it. Pure.

use super::bytes::{put_bytes, put_hex};
use super::fault::Fault;
use super::{decimal, java, zoned};
use crate::model::table::{Column, ColumnType};
use crate::model::value::Value;
use shared::avro::wire::put_long;

/// Index of a union's first and second branch, as Avro writes it.
pub const FIRST: u8 = 0;
pub const SECOND: u8 = 2;

/// Debezium's mark for a value that the database did not send.
pub const PLACEHOLDER: &str = "__debezium_unavailable_value";

/// What PostgreSQL's driver reads infinity as, in microseconds; Debezium sends that.
const INFINITY_US: i64 = 9_223_372_036_825_200_000;
const MINUS_INFINITY_US: i64 = -9_223_372_036_832_400_000;
/// Likewise for dates, in days: the years -5877611-06-21 and -22.
const INFINITY_DAYS: i32 = -2_147_472_692;
const MINUS_INFINITY_DAYS: i32 = -2_147_472_691;

/// One way to write a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Bool,
    /// Avro `int`, from a column of so many bits.
    Int {
        bits: u32,
    },
    Long,
    Float,
    Double,
    Decimal {
        scale: u32,
    },
    VariableDecimal,
    Text,
    Bytes,
    Date,
    TimeMillis,
    TimeMicros,
    TimestampMillis,
    TimestampMicros,
    Zoned {
        digits: u8,
    },
}

/// Memory used again and again.
#[derive(Debug, Default)]
pub struct Scratch {
    pub limbs: Vec<u32>,
}

impl Form {
    pub fn of(kind: &ColumnType) -> Form {
        match kind {
            ColumnType::Bool => Form::Bool,
            ColumnType::Int16 => Form::Int { bits: 16 },
            ColumnType::Int32 => Form::Int { bits: 32 },
            ColumnType::Int64 => Form::Long,
            ColumnType::Float32 => Form::Float,
            ColumnType::Float64 => Form::Double,
            ColumnType::Decimal { scale, .. } => Form::Decimal { scale: java_scale(*scale) },
            ColumnType::VariableDecimal => Form::VariableDecimal,
            ColumnType::Text | ColumnType::Json | ColumnType::Xml | ColumnType::Uuid => Form::Text,
            ColumnType::Bytes => Form::Bytes,
            ColumnType::Date => Form::Date,
            ColumnType::Time { precision: 0..=3 } => Form::TimeMillis,
            ColumnType::Time { .. } => Form::TimeMicros,
            ColumnType::Timestamp { precision: 0..=3 } => Form::TimestampMillis,
            ColumnType::Timestamp { .. } => Form::TimestampMicros,
            ColumnType::TimestampTz { precision } => Form::Zoned { digits: precision.unwrap_or(6) },
        }
    }

    /// What Debezium sends for a NULL in a NOT NULL column without a default: it happens in rows
    /// of which only the key is known.
    pub fn stand_in(kind: &ColumnType) -> (Form, Value<'static>) {
        let value = match kind {
            ColumnType::Bool => Value::Bool(false),
            ColumnType::Int16 | ColumnType::Int32 | ColumnType::Int64 => Value::Int(0),
            ColumnType::Float32 => Value::Float32(0.0),
            ColumnType::Float64 => Value::Float64(0.0),
            ColumnType::Decimal { .. } | ColumnType::VariableDecimal => Value::Decimal("0"),
            ColumnType::Text | ColumnType::Xml | ColumnType::Uuid => Value::Text(""),
            ColumnType::Json => Value::Text("{}"),
            ColumnType::Bytes => Value::Bytes(&[]),
            ColumnType::Date => Value::Date(0),
            ColumnType::Time { .. } => Value::Time(0),
            ColumnType::Timestamp { .. } => Value::Timestamp(0),
            // Without digits, whatever the column's precision.
            ColumnType::TimestampTz { .. } => return (Form::Zoned { digits: 0 }, Value::TimestampTz(0)),
        };
        (Form::of(kind), value)
    }

    /// The value that stands for one that the database did not send, if there is any.
    pub const fn placeholder(self) -> Option<Value<'static>> {
        match self {
            Form::Text => Some(Value::Text(PLACEHOLDER)),
            Form::Bytes => Some(Value::Bytes(PLACEHOLDER.as_bytes())),
            _ => None,
        }
    }
}

/// `numeric(5,-2)` has scale 2046 with Debezium: it reads the server's 11 bits without a sign.
pub fn java_scale(scale: i32) -> u32 {
    (scale & 0x7FF).cast_unsigned()
}

/// Appends the value's bytes, without a union's branch.
///
/// # Errors
/// [`Fault`]; what was appended before is to be dropped by the caller.
#[inline]
pub fn put(out: &mut Vec<u8>, form: Form, value: &Value<'_>, scratch: &mut Scratch) -> Result<(), Fault> {
    match (form, value) {
        (Form::Text, Value::Text(text)) => put_bytes(out, text.as_bytes()),
        (Form::Long, Value::Int(number)) => put_long(out, *number),
        (Form::Int { bits }, Value::Int(number)) => {
            let limit = 1_i64 << (bits - 1);
            if !(-limit..limit).contains(number) {
                return Err(Fault::OutOfRange);
            }
            put_long(out, *number);
        }
        (Form::Decimal { scale }, Value::Decimal(text)) => {
            return decimal::put_scaled(out, text, scale, &mut scratch.limbs);
        }
        (Form::VariableDecimal, Value::Decimal(text)) => {
            return decimal::put_variable(out, text, &mut scratch.limbs);
        }
        (Form::Bool, Value::Bool(flag)) => out.push(u8::from(*flag)),
        (Form::Float, Value::Float32(number)) => out.extend_from_slice(&number.to_le_bytes()),
        (Form::Double, Value::Float64(number)) => out.extend_from_slice(&number.to_le_bytes()),
        (Form::Bytes, Value::Bytes(bytes)) => put_bytes(out, bytes),
        (Form::Bytes, Value::Hex(digits)) => return put_hex(out, digits),
        (Form::Zoned { digits }, Value::TimestampTz(micros)) => zoned::put(out, *micros, digits),
        _ => put_long(out, whole(form, value)?),
    }
    Ok(())
}

/// Dates and times without a zone: a whole number.
pub fn whole(form: Form, value: &Value<'_>) -> Result<i64, Fault> {
    Ok(match (form, value) {
        (Form::Date, Value::Date(i32::MAX)) => i64::from(INFINITY_DAYS),
        (Form::Date, Value::Date(i32::MIN)) => i64::from(MINUS_INFINITY_DAYS),
        (Form::Date, Value::Date(days)) => i64::from(*days),
        (Form::TimeMillis, Value::Time(micros)) => micros.div_euclid(1_000),
        (Form::TimeMicros, Value::Time(micros)) => *micros,
        (Form::TimestampMillis, Value::Timestamp(micros)) => finite(*micros).div_euclid(1_000),
        (Form::TimestampMicros, Value::Timestamp(micros)) => finite(*micros),
        _ => return Err(Fault::WrongType),
    })
}

fn finite(micros: i64) -> i64 {
    match micros {
        i64::MAX => INFINITY_US,
        i64::MIN => MINUS_INFINITY_US,
        other => other,
    }
}

/// A column's default, if a schema can hold it. Debezium has none for structs; JSON has no NaN.
pub fn default(column: &Column) -> Option<Value<'_>> {
    let value = column.default.as_ref()?.value();
    let infinite = match value {
        Value::Float32(number) => !number.is_finite(),
        Value::Float64(number) => !number.is_finite(),
        _ => false,
    };
    let fits = !infinite
        && column.kind != ColumnType::VariableDecimal
        && put(&mut Vec::new(), Form::of(&column.kind), &value, &mut Scratch::default()).is_ok();
    fits.then_some(value)
}

/// [`default`] as it stands in a schema.
pub fn default_json(column: &Column) -> Option<String> {
    let value = default(column)?;
    let form = Form::of(&column.kind);
    Some(match (form, &value) {
        (_, Value::Bool(flag)) => flag.to_string(),
        (_, Value::Int(number)) => number.to_string(),
        (_, Value::Float32(float)) => java::float(*float),
        (_, Value::Float64(float)) => java::double(*float),
        (_, Value::Text(text)) => java::json_text(text),
        (Form::Zoned { .. }, _) => java::json_text(&String::from_utf8_lossy(&content(form, &value)?)),
        // Bytes stand as one character each.
        (Form::Decimal { .. } | Form::Bytes, _) => {
            java::json_text(&content(form, &value)?.into_iter().map(char::from).collect::<String>())
        }
        _ => whole(form, &value).ok()?.to_string(),
    })
}

/// A value's bytes without the length in front.
pub fn content(form: Form, value: &Value<'_>) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    put(&mut out, form, value, &mut Scratch::default()).ok()?;
    let mut rest = out.as_slice();
    shared::avro::wire::take_long(&mut rest)?;
    Some(rest.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_each_form() {
        for (form, value, want) in [
            (Form::Bool, Value::Bool(true), Ok(vec![1])),
            (Form::Int { bits: 16 }, Value::Int(-32_768), Ok(vec![0xff, 0xff, 3])),
            (Form::Int { bits: 16 }, Value::Int(32_768), Err(Fault::OutOfRange)),
            (Form::Int { bits: 32 }, Value::Int(1 << 31), Err(Fault::OutOfRange)),
            (Form::Long, Value::Int(-1), Ok(vec![1])),
            (Form::Float, Value::Float32(1.5), Ok(vec![0, 0, 0xc0, 0x3f])),
            (Form::Text, Value::Text("é"), Ok(vec![4, 0xc3, 0xa9])),
            (Form::Bytes, Value::Hex(b"deADbe"), Ok(vec![6, 0xde, 0xad, 0xbe])),
            (Form::Bytes, Value::Hex(b""), Ok(vec![0])),
            (Form::Bytes, Value::Hex(b"abc"), Err(Fault::NoHex)),
            (Form::Bytes, Value::Hex(b"0x"), Err(Fault::NoHex)),
            (Form::Date, Value::Date(-1), Ok(vec![1])),
            (Form::TimeMillis, Value::Time(86_400_000_000), Ok(vec![0x80, 0xf0, 0xb2, 0x52])),
            (Form::TimestampMillis, Value::Timestamp(-1), Ok(vec![1])),
            (Form::Date, Value::Int(1), Err(Fault::WrongType)),
            (Form::Text, Value::Int(1), Err(Fault::WrongType)),
        ] {
            let mut out = Vec::new();
            let done = put(&mut out, form, &value, &mut Scratch::default());
            assert_eq!(done.map(|()| out), want, "{form:?} {value:?}");
        }
    }

    #[test]
    fn infinities_are_what_debezium_sends() {
        for (form, value, want) in [
            (Form::TimestampMicros, Value::Timestamp(i64::MAX), INFINITY_US),
            (Form::TimestampMillis, Value::Timestamp(i64::MAX), 9_223_372_036_825_200),
            (Form::TimestampMillis, Value::Timestamp(i64::MIN), -9_223_372_036_832_400),
            (Form::Date, Value::Date(i32::MAX), zoned::days(-5_877_611, 6, 21)),
            (Form::Date, Value::Date(i32::MIN), zoned::days(-5_877_611, 6, 22)),
        ] {
            assert_eq!(whole(form, &value), Ok(want), "{form:?} {value:?}");
        }
    }

    #[test]
    fn negative_scales_wrap_as_with_debezium() {
        assert_eq!([java_scale(-2), java_scale(0), java_scale(1000)], [2046, 0, 1000]);
    }
}
