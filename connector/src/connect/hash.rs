//! Hashes as Java computes them: partitions are chosen by them. Pure.

use super::{Fault, double, whole};
use crate::model::schema::{Form, Kind, Schema};
use crate::model::value::Value;

/// `Object.hashCode` of a value as Connect holds it.
///
/// # Errors
/// `WrongType` for structs and maps, whose hash depends on more than their values.
pub fn java(schema: &Schema, value: &Value<'_>) -> Result<i32, Fault> {
    let value = match (value, &schema.unavailable) {
        (Value::Unavailable, Some(placeholder)) => placeholder.value(),
        (value, _) => *value,
    };
    Ok(match (&schema.kind, value) {
        (_, Value::Null) => 0,
        (Kind::Boolean, Value::Bool(flag)) => {
            if flag {
                1_231
            } else {
                1_237
            }
        }
        (Kind::Int8 | Kind::Int16, value) => narrow(whole(schema.form, &value)?),
        // Connect's dates and times of day are Java dates, hashed as their milliseconds.
        (Kind::Int32, value) => match schema.name.as_deref() {
            Some("org.apache.kafka.connect.data.Date") => long(whole(schema.form, &value)? * 86_400_000),
            Some("org.apache.kafka.connect.data.Time") => long(whole(schema.form, &value)?),
            _ => narrow(whole(schema.form, &value)?),
        },
        (Kind::Int64, value) => long(whole(schema.form, &value)?),
        (Kind::Float32, Value::Float32(number)) => {
            // Every NaN has one hash.
            (if number.is_nan() { f32::NAN } else { number }).to_bits().cast_signed()
        }
        (Kind::Float64, value) => {
            let number = double(&value)?;
            long((if number.is_nan() { f64::NAN } else { number }).to_bits().cast_signed())
        }
        (Kind::Bytes, Value::Decimal(digits)) => decimal(digits)?,
        (Kind::Bytes, Value::Bytes(bytes)) => buffer(bytes),
        (Kind::Bytes, Value::Hex(digits)) => {
            let mut bytes = Vec::new();
            super::text::hex(&mut bytes, digits)?;
            buffer(&bytes)
        }
        (Kind::String, value) => {
            let mut text = String::new();
            super::print(&mut text, schema, &value)?;
            string(&text)
        }
        (Kind::Array(items), Value::List(values)) => {
            let add = |sum: i32, value| Ok(sum.wrapping_mul(31).wrapping_add(java(items, value)?));
            values.iter().try_fold(1, add)?
        }
        _ => return Err(Fault::WrongType),
    })
}

/// Debezium's MurmurHash3 of a value: of a text its bytes, of anything else its Java hash.
///
/// # Errors
/// As [`java`].
pub fn murmur(schema: &Schema, value: &Value<'_>) -> Result<i32, Fault> {
    if schema.kind == Kind::String
        && schema.form == Form::Plain
        && let Value::Text(text) = value
    {
        return Ok(murmur3(text.as_bytes()));
    }
    if schema.kind == Kind::String {
        let mut text = String::new();
        super::print(&mut text, schema, value)?;
        return Ok(murmur3(text.as_bytes()));
    }
    Ok(murmur3(&java(schema, value)?.to_le_bytes()))
}

fn narrow(number: i64) -> i32 {
    number as i32
}

fn long(number: i64) -> i32 {
    narrow(number ^ (number >> 32 & 0xffff_ffff))
}

/// In which of a `HashMap`'s buckets a text is, if the map has so many entries and grew to hold them: its
/// order goes by this, and within a bucket by when an entry came.
pub fn bucket(text: &str, entries: usize) -> u32 {
    let mut buckets = 16_u32;
    while entries as u64 * 4 > u64::from(buckets) * 3 {
        buckets *= 2;
    }
    let hash = string(text).cast_unsigned();
    (hash ^ hash >> 16) & (buckets - 1)
}

fn string(text: &str) -> i32 {
    text.encode_utf16().fold(0, |sum: i32, unit| sum.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

/// `ByteBuffer.hashCode`, from the last byte to the first.
fn buffer(bytes: &[u8]) -> i32 {
    let signed = |byte: &u8| i32::from(byte.cast_signed());
    bytes.iter().rev().fold(1, |sum: i32, byte| sum.wrapping_mul(31).wrapping_add(signed(byte)))
}

/// `BigDecimal.hashCode`: of the digits in words of 32 bits, the most significant first, and the scale.
fn decimal(digits: &str) -> Result<i32, Fault> {
    let (negative, text) = digits.strip_prefix('-').map_or((false, digits), |rest| (true, rest));
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut words: Vec<u32> = Vec::new();
    for digit in whole.bytes().chain(fraction.bytes()) {
        if !digit.is_ascii_digit() {
            return Err(Fault::NoNumber);
        }
        let mut carry = u64::from(digit - b'0');
        for word in &mut words {
            carry += u64::from(*word) * 10;
            *word = (carry & 0xffff_ffff) as u32;
            carry >>= 32;
        }
        if carry > 0 {
            words.push(carry as u32);
        }
    }
    let unscaled =
        words.iter().rev().fold(0, |sum: i32, word| sum.wrapping_mul(31).wrapping_add(word.cast_signed()));
    let unscaled = if negative { unscaled.wrapping_neg() } else { unscaled };
    let scale = i32::try_from(fraction.len()).map_err(|_| Fault::OutOfRange)?;
    Ok(unscaled.wrapping_mul(31).wrapping_add(scale))
}

/// The upper half of MurmurHash3's first word (its early x64 form, seed 9001), as Debezium has it.
fn murmur3(bytes: &[u8]) -> i32 {
    const SEED: u64 = 9_001;
    let mut state = State {
        h1: 0x9368_e53c_2f6a_f274 ^ SEED,
        h2: 0x586d_cd20_8f7c_d3fd ^ SEED,
        c1: 0x87c3_7b91_1142_53d5,
        c2: 0x4cf5_ad43_2745_937f,
    };
    let (blocks, tail) = bytes.as_chunks::<16>();
    for block in blocks {
        let (halves, _) = block.as_chunks::<8>();
        if let [first, second] = halves {
            state.mix(u64::from_le_bytes(*first), u64::from_le_bytes(*second));
        }
    }
    if !tail.is_empty() {
        let mut words = [0u64; 2];
        // Bytes at the end are signed, those of whole blocks are not.
        for (at, byte) in tail.iter().enumerate() {
            let (word, shift) = (at / 8, at % 8 * 8);
            if let Some(word) = words.get_mut(word) {
                *word ^= (i64::from(byte.cast_signed()) << shift).cast_unsigned();
            }
        }
        let [first, second] = words;
        state.mix(first, second);
    }
    let State { mut h1, mut h2, .. } = state;
    h2 ^= bytes.len() as u64;
    h1 = h1.wrapping_add(h2);
    h2 = h2.wrapping_add(h1);
    h1 = finish(h1);
    h2 = finish(h2);
    (h1.wrapping_add(h2) >> 32) as i32
}

struct State {
    h1: u64,
    h2: u64,
    c1: u64,
    c2: u64,
}

impl State {
    fn mix(&mut self, k1: u64, k2: u64) {
        let State { h1, h2, c1, c2 } = self;
        *h1 ^= k1.wrapping_mul(*c1).rotate_left(23).wrapping_mul(*c2);
        *h1 = h1.wrapping_add(*h2);
        *h2 = h2.rotate_left(41);
        *h2 ^= k2.wrapping_mul(*c2).rotate_left(23).wrapping_mul(*c1);
        *h2 = h2.wrapping_add(*h1);
        *h1 = h1.wrapping_mul(3).wrapping_add(0x52dc_e729);
        *h2 = h2.wrapping_mul(3).wrapping_add(0x3849_5ab5);
        *c1 = c1.wrapping_mul(5).wrapping_add(0x7b7d_159c);
        *c2 = c2.wrapping_mul(5).wrapping_add(0x6bce_6396);
    }
}

fn finish(mut word: u64) -> u64 {
    word ^= word >> 33;
    word = word.wrapping_mul(0xff51_afd7_ed55_8ccd);
    word ^= word >> 33;
    word = word.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    word ^ word >> 33
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a JVM and Debezium's class gave.
    #[test]
    fn hashes_of_java() {
        let bytes = || Schema::new(Kind::Bytes);
        for (schema, value, want, murmured) in [
            (Schema::string(), Value::Text(""), 0, 89_125_410),
            (Schema::string(), Value::Text("abc"), 96_354, 1_809_745_788),
            (
                Schema::string(),
                Value::Text("Grüße 😀 sixteen bytes and more than that"),
                1_262_384_593,
                731_926_490,
            ),
            (Schema::int32(), Value::Int(0), 0, 1_805_505_889),
            (Schema::int32(), Value::Int(-5), -5, 1_960_881_932),
            (Schema::int64(), Value::Int(1_234_567_890_123), 1_912_276_436, 518_237_802),
            (Schema::int64(), Value::Int(-1), 0, 1_805_505_889),
            (Schema::new(Kind::Boolean), Value::Bool(true), 1_231, -1_891_831_265),
            (Schema::new(Kind::Boolean), Value::Bool(false), 1_237, -682_375_457),
            (Schema::new(Kind::Float64), Value::Float64(1.5), 1_073_217_536, -1_122_085_266),
            (Schema::new(Kind::Float32), Value::Float32(-0.0), i32::MIN, -797_218_156),
            (Schema::new(Kind::Float64), Value::Float64(f64::NAN), 2_146_959_360, -1_249_978_784),
            (bytes(), Value::Decimal("1.50"), 4_652, 1_881_887_724),
            (bytes(), Value::Decimal("-12345678901234567890.123"), -647_166_411, -1_383_346_355),
            (bytes(), Value::Decimal("0.00"), 2, -351_805_952),
            (bytes(), Value::Bytes(&[0, 255, 7]), 36_487, -445_814_263),
            (
                Schema::new(Kind::Array(std::sync::Arc::new(Schema::int32().optional()))),
                Value::List(&[Value::Int(1), Value::Int(2), Value::Null]),
                30_814,
                814_707_627,
            ),
            (Schema::int64().semantic("t"), Value::Int(1_700_000_000_123), -807_048_720, 942_063_065),
        ] {
            assert_eq!(
                (java(&schema, &value), murmur(&schema, &value)),
                (Ok(want), Ok(murmured)),
                "{value:?}"
            );
        }
    }
}
