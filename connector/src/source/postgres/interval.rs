//! An interval's text → months, days and microseconds. Pure.
//!
//! The server prints `1 year 2 mons 3 days 04:05:06.789` (`IntervalStyle = postgres`, which our
//! connections set); each part has its own sign.

use super::cursor::Malformed;
use crate::model::value::Value;

const WRONG: Malformed = Malformed("interval");

/// # Errors
/// When the text is no interval.
pub fn decode(text: &[u8]) -> Result<Value<'static>, Malformed> {
    let text = std::str::from_utf8(text).map_err(|_| WRONG)?;
    let (mut months, mut days, mut micros) = (0_i64, 0_i64, 0_i64);
    let mut words = text.split_ascii_whitespace();
    while let Some(word) = words.next() {
        if word.contains(':') {
            micros = time(word)?;
            continue;
        }
        let number: i64 = word.parse().map_err(|_| WRONG)?;
        let (part, scale) = match words.next().ok_or(WRONG)?.trim_end_matches('s') {
            "year" => (&mut months, 12),
            "mon" => (&mut months, 1),
            "day" => (&mut days, 1),
            _ => return Err(WRONG),
        };
        *part = number.checked_mul(scale).and_then(|n| n.checked_add(*part)).ok_or(WRONG)?;
    }
    let small = |number| i32::try_from(number).map_err(|_| WRONG);
    Ok(Value::Interval { months: small(months)?, days: small(days)?, micros })
}

/// `-04:05:06.789`; hours may have many digits.
fn time(word: &str) -> Result<i64, Malformed> {
    let (sign, word) = match word.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, word.strip_prefix('+').unwrap_or(word)),
    };
    let mut parts = word.split(':');
    let mut part = || parts.next().ok_or(WRONG);
    let number = |text: &str| text.parse::<u32>().map(i64::from).map_err(|_| WRONG);
    let (hours, minutes) = (number(part()?)?, number(part()?)?);
    let seconds = part()?;
    let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
    let digits = format!("{fraction:0<6}");
    if digits.len() > 6 || parts.next().is_some() {
        return Err(WRONG);
    }
    let seconds = hours * 3_600 + minutes * 60 + number(whole)?;
    // With the sign on each part, so that the shortest one fits as well.
    let micros = (sign * seconds).checked_mul(1_000_000).ok_or(WRONG)?;
    micros.checked_add(sign * number(&digits)?).ok_or(WRONG)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals() {
        for (text, months, days, micros) in [
            ("00:00:00", 0, 0, 0),
            ("1 year 2 mons 3 days 04:05:06.789", 14, 3, 14_706_789_000),
            ("-1 years -2 mons +3 days -04:05:06.789", -14, 3, -14_706_789_000),
            ("-1 mons", -1, 0, 0),
            ("1 day", 0, 1, 0),
            ("178000000 years", 2_136_000_000, 0, 0),
            ("2562047788:00:54.775807", 0, 0, i64::MAX),
            ("-2562047788:00:54.775808", 0, 0, i64::MIN),
        ] {
            assert_eq!(decode(text.as_bytes()), Ok(Value::Interval { months, days, micros }), "{text}");
        }
        for bad in
            ["1", "1 x", "1:2", "a:b:c", "1:2:3:4", "1:2:3.1234567", "99999999999 mons", "9999999999:00:00"]
        {
            assert!(decode(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
