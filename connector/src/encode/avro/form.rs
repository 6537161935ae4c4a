//! How values stand on the wire, and what stands there for values that are absent.
//!
//! [`put`] is the only place where a value becomes bytes; defaults in schemas, stand-ins for NULL
//! and rows all go through it. Pure.

use super::bytes::{put_bytes, put_hex};
use super::decimal;
use crate::connect::{Fault, double, iso, java, text, whole};
use crate::model::schema::{Form, Kind, Schema};
use crate::model::value::Value;
use shared::avro::wire::put_long;

/// Index of a union's first and second branch, as Avro writes it.
pub const FIRST: u8 = 0;
pub const SECOND: u8 = 2;

/// One way to write a value of one part: the schema's kind and form in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaf {
    Bool,
    /// Avro `int`, of so many bits.
    Int {
        bits: u32,
    },
    Long,
    /// Avro `int` or `long` from a date, a time or an interval.
    Whole {
        form: Form,
        bits: u32,
    },
    Float,
    Double,
    Decimal {
        scale: u32,
    },
    VariableDecimal,
    Text,
    /// Avro `string` from something that is no text.
    Written(Form),
    Bytes,
    Bits,
}

/// Memory used again and again.
#[derive(Debug, Default)]
pub struct Scratch {
    pub limbs: Vec<u32>,
    pub text: String,
}

impl Scratch {
    /// Gives back what one huge value took.
    pub fn shrink(&mut self) {
        if self.limbs.capacity() > super::KEPT_BYTES {
            self.limbs = Vec::new();
        }
        if self.text.capacity() > super::KEPT_BYTES {
            self.text = String::new();
        }
    }
}

impl Leaf {
    /// `None` for kinds of several parts.
    pub fn of(schema: &Schema) -> Option<Leaf> {
        Some(match (&schema.kind, schema.form) {
            (Kind::Struct(_), Form::VariableDecimal) => Leaf::VariableDecimal,
            (Kind::Boolean, _) => Leaf::Bool,
            (Kind::Int8, _) => Leaf::Int { bits: 8 },
            (Kind::Int16, _) => Leaf::Int { bits: 16 },
            (Kind::Int32, Form::Plain) => Leaf::Int { bits: 32 },
            (Kind::Int64, Form::Plain) => Leaf::Long,
            (Kind::Int32, form) => Leaf::Whole { form, bits: 32 },
            (Kind::Int64, form) => Leaf::Whole { form, bits: 64 },
            (Kind::Float32, _) => Leaf::Float,
            (Kind::Float64, _) => Leaf::Double,
            (Kind::Bytes, Form::Decimal { scale }) => Leaf::Decimal { scale },
            (Kind::Bytes, Form::Bits) => Leaf::Bits,
            (Kind::Bytes, _) => Leaf::Bytes,
            (Kind::String, Form::Plain) => Leaf::Text,
            (Kind::String, form) => Leaf::Written(form),
            (Kind::Array(_) | Kind::Map(..) | Kind::Struct(_), _) => return None,
        })
    }
}

/// Appends the value's bytes, without a union's branch.
///
/// # Errors
/// [`Fault`]; what was appended before is to be dropped by the caller.
#[inline]
pub fn put(out: &mut Vec<u8>, leaf: Leaf, value: &Value<'_>, scratch: &mut Scratch) -> Result<(), Fault> {
    match (leaf, value) {
        (Leaf::Text | Leaf::Written(_), Value::Text(text)) => put_bytes(out, text.as_bytes()),
        (Leaf::Long | Leaf::Whole { bits: 64, .. }, Value::Int(number)) => put_long(out, *number),
        (Leaf::Int { bits } | Leaf::Whole { bits, .. }, Value::Int(number)) => {
            return put_bounded(out, *number, bits);
        }
        (Leaf::Decimal { scale }, Value::Decimal(text)) => {
            return decimal::put_scaled(out, text, scale, &mut scratch.limbs);
        }
        (Leaf::VariableDecimal, Value::Decimal(text)) => {
            return decimal::put_variable(out, text, &mut scratch.limbs);
        }
        (Leaf::Bool, Value::Bool(flag)) => out.push(u8::from(*flag)),
        (Leaf::Float, Value::Float32(number)) => out.extend_from_slice(&number.to_le_bytes()),
        (Leaf::Double, value) => out.extend_from_slice(&double(value)?.to_le_bytes()),
        (Leaf::Bytes | Leaf::Decimal { .. } | Leaf::Bits, Value::Bytes(bytes)) => put_bytes(out, bytes),
        (Leaf::Bytes, Value::Hex(digits)) => return put_hex(out, digits),
        (Leaf::Bits, Value::Bits(digits)) => return put_bits(out, digits),
        (Leaf::Written(Form::Zoned { digits }), Value::TimestampTz(micros)) => {
            put_bytes(out, iso::timestamp(*micros, digits).bytes());
        }
        (Leaf::Whole { form, bits }, value) => return put_bounded(out, whole(form, value)?, bits),
        (Leaf::Written(form), value) => {
            scratch.text.clear();
            text::write(&mut scratch.text, form, value)?;
            put_bytes(out, scratch.text.as_bytes());
        }
        _ => return Err(Fault::WrongType),
    }
    Ok(())
}

fn put_bounded(out: &mut Vec<u8>, number: i64, bits: u32) -> Result<(), Fault> {
    if bits < 64 && !(-(1_i64 << (bits - 1))..1_i64 << (bits - 1)).contains(&number) {
        return Err(Fault::OutOfRange);
    }
    put_long(out, number);
    Ok(())
}

/// Binary digits → bytes, the least significant first, without zero bytes at the end: what Java's
/// `BitSet` gives.
fn put_bits(out: &mut Vec<u8>, digits: &[u8]) -> Result<(), Fault> {
    if !digits.iter().all(|digit| matches!(digit, b'0' | b'1')) {
        return Err(Fault::NoNumber);
    }
    let used = digits.iter().position(|digit| *digit == b'1').map_or(0, |first| digits.len() - first);
    put_long(out, used.div_ceil(8) as i64);
    let byte = |low_first: &[u8]| low_first.iter().fold(0, |byte, digit| byte << 1 | (digit - b'0'));
    out.extend(digits.rchunks(8).take(used.div_ceil(8)).map(byte));
    Ok(())
}

/// A schema's default, if Avro can hold it. Debezium has none for structs; JSON has no NaN.
pub fn default(schema: &Schema) -> Option<Value<'_>> {
    let value = schema.default.as_ref()?.value();
    let leaf = Leaf::of(schema)?;
    // A decimal with hundreds of digits is infinite as well.
    let infinite = matches!(leaf, Leaf::Float | Leaf::Double) && !double(&value).ok()?.is_finite();
    if infinite || leaf == Leaf::VariableDecimal {
        return None;
    }
    put(&mut Vec::new(), leaf, &value, &mut Scratch::default()).ok()?;
    Some(value)
}

/// [`default`] as it stands in a schema.
pub fn default_json(schema: &Schema) -> Option<String> {
    let (value, leaf) = (default(schema)?, Leaf::of(schema)?);
    Some(match (leaf, &value) {
        (_, Value::Bool(flag)) => flag.to_string(),
        (_, Value::Int(number)) => number.to_string(),
        (Leaf::Float, Value::Float32(float)) => java::float(*float),
        (Leaf::Double, value) => java::double(double(value).ok()?),
        (Leaf::Text | Leaf::Written(_), value) => {
            java::json_text(&String::from_utf8_lossy(&content(leaf, value)?))
        }
        (Leaf::Whole { form, .. }, value) => whole(form, value).ok()?.to_string(),
        // Bytes stand as one character each.
        (leaf, value) => {
            java::json_text(&content(leaf, value)?.into_iter().map(char::from).collect::<String>())
        }
    })
}

/// A value's bytes without the length in front.
pub fn content(leaf: Leaf, value: &Value<'_>) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    put(&mut out, leaf, value, &mut Scratch::default()).ok()?;
    let mut rest = out.as_slice();
    shared::avro::wire::take_long(&mut rest)?;
    Some(rest.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_each_leaf() {
        let date = Leaf::Whole { form: Form::Date, bits: 32 };
        let written = |form| Leaf::Written(form);
        for (leaf, value, want) in [
            (Leaf::Bool, Value::Bool(true), Ok(vec![1])),
            (Leaf::Int { bits: 16 }, Value::Int(-32_768), Ok(vec![0xff, 0xff, 3])),
            (Leaf::Int { bits: 16 }, Value::Int(32_768), Err(Fault::OutOfRange)),
            (Leaf::Int { bits: 32 }, Value::Int(1 << 31), Err(Fault::OutOfRange)),
            (Leaf::Long, Value::Int(-1), Ok(vec![1])),
            (Leaf::Float, Value::Float32(1.5), Ok(vec![0, 0, 0xc0, 0x3f])),
            (Leaf::Double, Value::Decimal("1.5"), Ok(1.5_f64.to_le_bytes().to_vec())),
            (Leaf::Double, Value::Decimal("-Infinity"), Ok(f64::NEG_INFINITY.to_le_bytes().to_vec())),
            (Leaf::Text, Value::Text("é"), Ok(vec![4, 0xc3, 0xa9])),
            (Leaf::Bytes, Value::Hex(b"deADbe"), Ok(vec![6, 0xde, 0xad, 0xbe])),
            (Leaf::Bytes, Value::Hex(b""), Ok(vec![0])),
            (Leaf::Bytes, Value::Hex(b"abc"), Err(Fault::NoHex)),
            (Leaf::Bytes, Value::Hex(b"0x"), Err(Fault::NoHex)),
            (Leaf::Bits, Value::Bits(b"00000"), Ok(vec![0])),
            (Leaf::Bits, Value::Bits(b"10110"), Ok(vec![2, 0b10110])),
            (Leaf::Bits, Value::Bits(b"000000101100000001"), Ok(vec![4, 1, 0b1011])),
            (Leaf::Bits, Value::Bits(b"2"), Err(Fault::NoNumber)),
            (date, Value::Date(-1), Ok(vec![1])),
            (date, Value::Float32(1.0), Err(Fault::WrongType)),
            (written(Form::IsoDate), Value::Date(0), Ok(b"\x161970-01-01Z".to_vec())),
            (written(Form::Base64), Value::Hex(b"00ff10"), Ok(b"\x08AP8Q".to_vec())),
            (Leaf::Text, Value::Int(1), Err(Fault::WrongType)),
        ] {
            let mut out = Vec::new();
            let done = put(&mut out, leaf, &value, &mut Scratch::default());
            assert_eq!(done.map(|()| out), want, "{leaf:?} {value:?}");
        }
    }
}
