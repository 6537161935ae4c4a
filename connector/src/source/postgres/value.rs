//! A column's text → [`Value`]. Pure; borrows from the text, and what has several parts from an
//! arena that is emptied with the row.

use super::cursor::Malformed;
use super::{array, composed, datetime, geometry, interval};
use crate::model::value::Value;
use bumpalo::Bump;

const DAY_US: i64 = 86_400_000_000;

/// How a column's text is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoder {
    Bool,
    Int,
    Float32,
    Float64,
    Decimal,
    /// A decimal with a negative scale, which Debezium takes for this one and fills with zeros.
    Padded(u16),
    Text,
    Bytea,
    Date,
    Time,
    Timestamp,
    TimestampTz,
    TimeTz,
    Interval,
    /// In arrays the Java driver knows milliseconds only, and the day's end as its beginning.
    TimeInArray,
    /// With a zone it knows seconds only.
    TimeTzInArray,
    /// A single bit.
    Bit,
    Bits,
    Money,
    Hstore,
    Point,
    Geometry,
    Vector,
    HalfVector,
    SparseVector,
    /// The text's bytes, of a type that nobody knows.
    Raw,
    /// The same of a figure, with its numbers as Java prints them.
    RawFigure,
    /// Values with this byte between them: `pg_type.typdelim`.
    Array(&'static Decoder, u8),
    /// A column that is always absent: an array of a type whose elements Debezium cannot read.
    Absent,
}

impl Decoder {
    /// # Errors
    /// When the text is none that the server prints for the type.
    #[inline]
    pub fn decode<'a>(self, text: &'a [u8], arena: &'a Bump) -> Result<Value<'a>, Malformed> {
        Ok(match self {
            Decoder::Bool => Value::Bool(match text {
                b"t" => true,
                b"f" => false,
                _ => return Err(Malformed("bool")),
            }),
            Decoder::Int => Value::Int(integer(text)?),
            Decoder::Float32 => Value::Float32(number(text, "float4")?),
            Decoder::Float64 => Value::Float64(number(text, "float8")?),
            Decoder::Decimal => Value::Decimal(utf8(text, "numeric")?),
            Decoder::Text => Value::Text(utf8(text, "text (it is not UTF-8)")?),
            Decoder::Bytea => Value::Hex(hex(text)?),
            Decoder::Date => Value::Date(datetime::date(text)?),
            Decoder::Time => Value::Time(datetime::time(text)?),
            Decoder::Timestamp => Value::Timestamp(datetime::timestamp(text)?),
            Decoder::TimestampTz => Value::TimestampTz(datetime::timestamptz(text)?),
            decoder => return decoder.decode_seldom(text, arena),
        })
    }

    /// Apart, so that the common types stay in one small function.
    fn decode_seldom<'a>(self, text: &'a [u8], arena: &'a Bump) -> Result<Value<'a>, Malformed> {
        Ok(match self {
            Decoder::Padded(scale) => Value::Decimal(padded(utf8(text, "numeric")?, scale, arena)),
            Decoder::TimeInArray => Value::Time(datetime::time(text)? / 1_000 * 1_000 % DAY_US),
            Decoder::TimeTzInArray => Value::TimeTz(datetime::timetz(text)? / 1_000_000 * 1_000_000),
            Decoder::TimeTz => Value::TimeTz(datetime::timetz(text)?),
            Decoder::Interval => interval::decode(text)?,
            Decoder::Bit => Value::Bool(text.first() == Some(&b'1')),
            Decoder::Bits => match text.iter().all(|digit| matches!(digit, b'0' | b'1')) {
                true => Value::Bits(text),
                false => return Err(Malformed("bit")),
            },
            Decoder::Money => Value::Decimal(money(text, arena)?),
            Decoder::Hstore => composed::hstore(text, arena)?,
            Decoder::Point => geometry::point(text, arena)?,
            Decoder::Geometry => geometry::geometry(text, arena)?,
            Decoder::Vector => composed::vector(text, false, arena)?,
            Decoder::HalfVector => composed::vector(text, true, arena)?,
            Decoder::SparseVector => composed::sparse_vector(text, arena)?,
            Decoder::Raw => Value::Bytes(text),
            Decoder::RawFigure => Value::Bytes(geometry::figure(text, arena)),
            Decoder::Absent => Value::Null,
            Decoder::Array(element, delimiter) => array::decode(text, *element, delimiter, arena)?,
            _ => return Err(Malformed("type")),
        })
    }

    /// The decoder of arrays of this one's values.
    pub fn of_array(self, delimiter: u8) -> Decoder {
        macro_rules! held {
            ($($name:ident)*) => {
                match self {
                    Decoder::Time | Decoder::TimeInArray => Decoder::Array(&Decoder::TimeInArray, delimiter),
                    Decoder::TimeTz | Decoder::TimeTzInArray => Decoder::Array(&Decoder::TimeTzInArray, delimiter),
                    $(Decoder::$name => Decoder::Array(&Decoder::$name, delimiter),)*
                    Decoder::Padded(_) => Decoder::Array(&Decoder::Decimal, delimiter),
                    Decoder::Array(..) => Decoder::Absent,
                }
            };
        }
        held!(Bool Int Float32 Float64 Decimal Text Bytea Date Timestamp TimestampTz Interval Bit Bits
            Money Hstore Point Geometry Vector HalfVector SparseVector Raw RawFigure Absent)
    }
}

/// A whole number with so many zeros behind the point; what is no number stays.
fn padded<'a>(text: &'a str, scale: u16, arena: &'a Bump) -> &'a str {
    if !text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') {
        return text;
    }
    let mut out = bumpalo::collections::String::with_capacity_in(text.len() + 1 + usize::from(scale), arena);
    out.push_str(text);
    out.push('.');
    out.extend(std::iter::repeat_n('0', scale.into()));
    out.into_bump_str()
}

/// `-$1,234.56`, however the server's locale writes it: the digits, with a point before the last
/// two if anything but a digit stands there.
fn money<'a>(text: &[u8], arena: &'a Bump) -> Result<&'a str, Malformed> {
    let text = utf8(text, "money")?;
    let negative = text.contains('-') || text.contains('(');
    let mut digits = bumpalo::collections::String::with_capacity_in(text.len() + 1, arena);
    if negative {
        digits.push('-');
    }
    let point = text.rfind(['.', ',']).filter(|at| {
        text.get(at + 1..).is_some_and(|rest| rest.chars().filter(char::is_ascii_digit).count() != 3)
    });
    for (at, character) in text.char_indices() {
        if character.is_ascii_digit() {
            digits.push(character);
        } else if Some(at) == point {
            digits.push('.');
        }
    }
    match digits.as_bytes().last() {
        Some(last) if last.is_ascii_digit() => Ok(digits.into_bump_str()),
        _ => Err(Malformed("money")),
    }
}

fn utf8<'a>(text: &'a [u8], what: &'static str) -> Result<&'a str, Malformed> {
    std::str::from_utf8(text).map_err(|_| Malformed(what))
}

fn number<T: std::str::FromStr>(text: &[u8], what: &'static str) -> Result<T, Malformed> {
    utf8(text, what)?.parse().map_err(|_| Malformed(what))
}

/// Counts downwards, so that the smallest number fits as well.
fn integer(text: &[u8]) -> Result<i64, Malformed> {
    let error = Malformed("integer");
    let (negative, digits) = match text.split_first() {
        Some((b'-', digits)) => (true, digits),
        Some(_) => (false, text),
        None => return Err(error),
    };
    if digits.is_empty() {
        return Err(error);
    }
    let mut value = 0i64;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return Err(error);
        }
        value = value.checked_mul(10).and_then(|v| v.checked_sub(i64::from(digit))).ok_or(error)?;
    }
    if negative { Ok(value) } else { value.checked_neg().ok_or(error) }
}

/// `\x00ff` without its prefix.
fn hex(text: &[u8]) -> Result<&[u8], Malformed> {
    let error = Malformed("bytea");
    let digits = text.strip_prefix(b"\\x").ok_or(error)?;
    if digits.len() % 2 == 0 && digits.iter().all(u8::is_ascii_hexdigit) { Ok(digits) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::value::UNIX_EPOCH;

    #[test]
    fn reads_what_the_server_prints() {
        for (decoder, text, want) in [
            (Decoder::Bool, "t", Value::Bool(true)),
            (Decoder::Int, "0", Value::Int(0)),
            (Decoder::Int, "-9223372036854775808", Value::Int(i64::MIN)),
            (Decoder::Int, "9223372036854775807", Value::Int(i64::MAX)),
            (Decoder::Float32, "-3.4028235e+38", Value::Float32(f32::MIN)),
            (Decoder::Float64, "-Infinity", Value::Float64(f64::NEG_INFINITY)),
            (Decoder::Decimal, "-0.50", Value::Decimal("-0.50")),
            (Decoder::Text, "漢字", Value::Text("漢字")),
            (Decoder::Bytea, "\\xdead00", Value::Hex(b"dead00")),
            (Decoder::Bytea, "\\x", Value::Hex(b"")),
            (Decoder::Timestamp, "1970-01-01 00:00:01.5", Value::Timestamp(UNIX_EPOCH + 1_500_000)),
            (Decoder::TimeTz, "13:14:15.123-08", Value::TimeTz(76_455_123_000)),
            (Decoder::TimeTz, "24:00:00-15:59", Value::TimeTz(57_540_000_000)),
            (Decoder::Bit, "1", Value::Bool(true)),
            (Decoder::Bits, "10110", Value::Bits(b"10110")),
            (Decoder::Money, "-$92,233,720,368,547,758.08", Value::Decimal("-92233720368547758.08")),
            (Decoder::Money, "1.234,56 €", Value::Decimal("1234.56")),
            (Decoder::Money, "￥1,234", Value::Decimal("1234")),
        ] {
            assert_eq!(decoder.decode(text.as_bytes(), &Bump::new()), Ok(want), "{text}");
        }
        assert!(matches!(Decoder::Float64.decode(b"NaN", &Bump::new()), Ok(Value::Float64(x)) if x.is_nan()));
    }

    #[test]
    fn refuses_what_the_server_never_prints() {
        for (decoder, text) in [
            (Decoder::Bool, &b"true"[..]),
            (Decoder::Bool, b""),
            (Decoder::Int, b""),
            (Decoder::Int, b"-"),
            (Decoder::Int, b"1a"),
            (Decoder::Int, b"9223372036854775808"),
            (Decoder::Float64, b""),
            (Decoder::Text, b"\xff"),
            (Decoder::Bytea, b"dead"),
            (Decoder::Bytea, b"\\xabc"),
            (Decoder::Bytea, b"\\xzz"),
        ] {
            assert!(decoder.decode(text, &Bump::new()).is_err(), "{decoder:?} {text:?}");
        }
    }
}
