//! Values that Debezium sends as text although the database's type is none. Pure; appends to a
//! buffer that is used again.

use super::{Fault, iso, java, whole};
use crate::model::schema::Form;
use crate::model::value::Value;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use std::fmt::Write;

const HEX_DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Appends the text that a form gives to a value.
///
/// # Errors
/// [`Fault`], when the form is for another type of value.
pub fn write(out: &mut String, form: Form, value: &Value<'_>) -> Result<(), Fault> {
    match (form, value) {
        (_, Value::Text(text)) => out.push_str(text),
        (Form::DecimalText, Value::Decimal(text)) => out.push_str(match *text {
            "NaN" => "NAN",
            "Infinity" => "POSITIVE_INFINITY",
            "-Infinity" => "NEGATIVE_INFINITY",
            number => number,
        }),
        (Form::Base64 | Form::Base64Url | Form::HexText, value) => binary(out, form, value)?,
        (Form::IsoDate, Value::Date(_)) => push(out, iso::date(whole(Form::Date, value)?)),
        (Form::IsoTime, Value::Time(micros)) | (Form::ZonedTime, Value::TimeTz(micros)) => {
            push(out, iso::time(*micros));
        }
        (Form::IsoTimestamp, Value::Timestamp(micros)) => push(out, iso::finite_timestamp(*micros)),
        (Form::Zoned { digits }, Value::TimestampTz(micros)) => push(out, iso::timestamp(*micros, digits)),
        (Form::IsoInterval, Value::Interval { months, days, micros }) => {
            interval(out, *months, *days, *micros);
        }
        (Form::JsonMap, Value::Map(entries)) => json(out, entries)?,
        _ => return Err(Fault::WrongType),
    }
    Ok(())
}

fn push(out: &mut String, text: iso::Text) {
    out.push_str(std::str::from_utf8(text.bytes()).unwrap_or_default());
}

fn binary(out: &mut String, form: Form, value: &Value<'_>) -> Result<(), Fault> {
    if let (Form::HexText, Value::Hex(digits)) = (form, value) {
        out.push_str(std::str::from_utf8(digits).map_err(|_| Fault::NoHex)?);
        return Ok(());
    }
    let mut decoded = Vec::new();
    let bytes = match value {
        Value::Bytes(bytes) => *bytes,
        Value::Hex(digits) => {
            hex(&mut decoded, digits)?;
            &decoded
        }
        _ => return Err(Fault::WrongType),
    };
    match form {
        Form::Base64 => STANDARD.encode_string(bytes, out),
        Form::Base64Url => URL_SAFE.encode_string(bytes, out),
        _ => out.extend(bytes.iter().flat_map(|byte| {
            [byte >> 4, byte & 15]
                .map(|nibble| char::from(*HEX_DIGITS.get(usize::from(nibble)).unwrap_or(&b'0')))
        })),
    }
    Ok(())
}

/// The bytes that hexadecimal digits stand for.
pub fn hex(out: &mut Vec<u8>, digits: &[u8]) -> Result<(), Fault> {
    let (pairs, rest) = digits.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(Fault::NoHex);
    }
    out.reserve(pairs.len());
    for [high, low] in pairs {
        out.push(nibble(*high)? << 4 | nibble(*low)?);
    }
    Ok(())
}

#[inline]
fn nibble(digit: u8) -> Result<u8, Fault> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(Fault::NoHex),
    }
}

/// `P1Y2M3DT4H5M6.789S`: every part is shown, each with its own sign.
fn interval(out: &mut String, months: i32, days: i32, micros: i64) {
    let (years, months) = (months / 12, months % 12);
    let (hours, rest) = (micros / 3_600_000_000, micros % 3_600_000_000);
    let (minutes, rest) = (rest / 60_000_000, rest % 60_000_000);
    // Writing to a text cannot fail.
    let _ = write!(out, "P{years}Y{months}M{days}DT{hours}H{minutes}M");
    let (seconds, fraction) = (rest / 1_000_000, (rest % 1_000_000).unsigned_abs());
    if rest < 0 && seconds == 0 {
        out.push('-');
    }
    let _ = write!(out, "{seconds}");
    if fraction > 0 {
        let digits = format!("{fraction:06}");
        let _ = write!(out, ".{}", digits.trim_end_matches('0'));
    }
    out.push('S');
}

/// A JSON object of texts, without spaces, in the order of the map.
fn json(out: &mut String, entries: &[(Value<'_>, Value<'_>)]) -> Result<(), Fault> {
    out.push('{');
    for (nth, (key, value)) in entries.iter().enumerate() {
        if nth > 0 {
            out.push(',');
        }
        let Value::Text(key) = key else { return Err(Fault::WrongType) };
        out.push_str(&java::json_text(key));
        out.push(':');
        match value {
            Value::Text(text) => out.push_str(&java::json_text(text)),
            Value::Null => out.push_str("null"),
            _ => return Err(Fault::WrongType),
        }
    }
    out.push('}');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::value::UNIX_EPOCH;

    #[test]
    fn texts_of_each_form() {
        let map = [(Value::Text("a"), Value::Text("\"x\"")), (Value::Text("b"), Value::Null)];
        for (form, value, want) in [
            (Form::DecimalText, Value::Decimal("1.50"), "1.50"),
            (Form::DecimalText, Value::Decimal("-Infinity"), "NEGATIVE_INFINITY"),
            (Form::HexText, Value::Bytes(&[0, 255]), "00ff"),
            (Form::HexText, Value::Hex(b"00ff"), "00ff"),
            (Form::Base64, Value::Hex(b"fbff"), "+/8="),
            (Form::Base64Url, Value::Bytes(&[0xfb, 0xff]), "-_8="),
            (Form::IsoTime, Value::Time(43_201_100_000), "12:00:01.1Z"),
            (Form::ZonedTime, Value::TimeTz(38_655_123_456), "10:44:15.123456Z"),
            (Form::IsoTimestamp, Value::Timestamp(UNIX_EPOCH - 1), "1969-12-31T23:59:59.999999Z"),
            (Form::IsoTimestamp, Value::Timestamp(UNIX_EPOCH), "1970-01-01T00:00:00Z"),
            (
                Form::IsoInterval,
                Value::Interval { months: 14, days: 3, micros: 14_706_789_000 },
                "P1Y2M3DT4H5M6.789S",
            ),
            (Form::IsoInterval, Value::Interval { months: 0, days: 0, micros: -1 }, "P0Y0M0DT0H0M-0.000001S"),
            (Form::JsonMap, Value::Map(&map), r#"{"a":"\"x\"","b":null}"#),
        ] {
            let mut out = String::new();
            assert_eq!(write(&mut out, form, &value), Ok(()), "{form:?}");
            assert_eq!(out, want, "{form:?}");
        }
    }
}
