//! A column's text → [`Value`]. Pure; borrows from the text, allocates nothing.

use super::cursor::Malformed;
use super::datetime;
use crate::model::value::Value;

/// How a column's text is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoder {
    Bool,
    Int,
    Float32,
    Float64,
    Decimal,
    Text,
    Bytea,
    Date,
    Time,
    Timestamp,
    TimestampTz,
}

impl Decoder {
    /// # Errors
    /// When the text is none that the server prints for the type.
    #[inline]
    pub fn decode(self, text: &[u8]) -> Result<Value<'_>, Malformed> {
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
        })
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
            (Decoder::Timestamp, "1970-01-01 00:00:01.5", Value::Timestamp(1_500_000)),
        ] {
            assert_eq!(decoder.decode(text.as_bytes()), Ok(want), "{text}");
        }
        assert!(matches!(Decoder::Float64.decode(b"NaN"), Ok(Value::Float64(x)) if x.is_nan()));
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
            assert!(decoder.decode(text).is_err(), "{decoder:?} {text:?}");
        }
    }
}
