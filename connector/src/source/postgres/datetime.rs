//! PostgreSQL's ISO dates and times → days and microseconds. Pure; no allocation.
//!
//! The server prints `2024-02-29 13:14:15.123456+02:30`, years with more than four digits as they
//! are, years before 1 with ` BC` at the very end, and `infinity` and `-infinity`.

use super::cursor::Malformed;

const DAY_US: i64 = 86_400_000_000;
/// From 1970-01-01 to 2000-01-01.
const DAYS_TO_2000: i64 = 10_957;

/// Days since 1970-01-01.
pub fn date(text: &[u8]) -> Result<i32, Malformed> {
    match text {
        b"infinity" => return Ok(i32::MAX),
        b"-infinity" => return Ok(i32::MIN),
        _ => {}
    }
    let (text, before_christ) = strip_era(text);
    let mut rest = text;
    let days = read_date(&mut rest, before_christ)?;
    if !rest.is_empty() {
        return Err(Malformed("date"));
    }
    i32::try_from(days).map_err(|_| Malformed("date"))
}

/// Microseconds since midnight; `24:00:00` is the end of the day.
pub fn time(text: &[u8]) -> Result<i64, Malformed> {
    let mut rest = text;
    let micros = read_time(&mut rest)?;
    if rest.is_empty() { Ok(micros) } else { Err(Malformed("time")) }
}

/// Microseconds since midnight, UTC, of a time with an offset.
pub fn timetz(text: &[u8]) -> Result<i64, Malformed> {
    let mut rest = text;
    let micros = read_time(&mut rest)? - read_offset(&mut rest)?;
    if rest.is_empty() { Ok(micros.rem_euclid(DAY_US)) } else { Err(Malformed("timetz")) }
}

/// Microseconds since 2000-01-01 00:00 without a zone.
pub fn timestamp(text: &[u8]) -> Result<i64, Malformed> {
    instant(text, false)
}

/// Microseconds since 2000-01-01 00:00 UTC.
pub fn timestamptz(text: &[u8]) -> Result<i64, Malformed> {
    instant(text, true)
}

fn instant(text: &[u8], zoned: bool) -> Result<i64, Malformed> {
    match text {
        b"infinity" => return Ok(i64::MAX),
        b"-infinity" => return Ok(i64::MIN),
        _ => {}
    }
    let (mut rest, before_christ) = strip_era(text);
    let days = read_date(&mut rest, before_christ)? - DAYS_TO_2000;
    expect(&mut rest, b' ', "timestamp")?;
    let time = read_time(&mut rest)?;
    let offset = if zoned { read_offset(&mut rest)? } else { 0 };
    if !rest.is_empty() {
        return Err(Malformed("timestamp"));
    }
    days.checked_mul(DAY_US)
        .and_then(|us| us.checked_add(time))
        .and_then(|us| us.checked_sub(offset))
        // The last and the first are taken: they say infinity.
        .filter(|us| !matches!(*us, i64::MAX | i64::MIN))
        .ok_or(Malformed("timestamp"))
}

fn strip_era(text: &[u8]) -> (&[u8], bool) {
    match text.strip_suffix(b" BC") {
        Some(rest) => (rest, true),
        None => (text, false),
    }
}

fn read_date(rest: &mut &[u8], before_christ: bool) -> Result<i64, Malformed> {
    let year = number(rest, 4, 7, "year")?;
    expect(rest, b'-', "date")?;
    let month = number(rest, 2, 2, "month")?;
    expect(rest, b'-', "date")?;
    let day = number(rest, 2, 2, "day")?;
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return Err(Malformed("date"));
    }
    // 1 BC is the year before 1: astronomical year 0.
    Ok(days_from_civil(if before_christ { 1 - year } else { year }, month, day))
}

fn read_time(rest: &mut &[u8]) -> Result<i64, Malformed> {
    let hours = number(rest, 2, 2, "hours")?;
    expect(rest, b':', "time")?;
    let minutes = number(rest, 2, 2, "minutes")?;
    expect(rest, b':', "time")?;
    let seconds = number(rest, 2, 2, "seconds")?;
    if hours > 24 || minutes > 59 || seconds > 60 {
        return Err(Malformed("time"));
    }
    let mut micros = ((hours * 60 + minutes) * 60 + seconds) * 1_000_000;
    if let Some(b'.') = rest.first() {
        expect(rest, b'.', "time")?;
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let fraction = number(rest, 1, 6, "fraction of a second")?;
        let scale = u32::try_from(6usize.saturating_sub(digits)).map_err(|_| Malformed("time"))?;
        micros += fraction * 10i64.pow(scale);
    }
    if micros > DAY_US {
        return Err(Malformed("time"));
    }
    Ok(micros)
}

/// `+02`, `-03:30`, `+00:19:32` as microseconds east of Greenwich.
fn read_offset(rest: &mut &[u8]) -> Result<i64, Malformed> {
    let sign = match rest.split_first() {
        Some((b'+', tail)) => (1, tail),
        Some((b'-', tail)) => (-1, tail),
        _ => return Err(Malformed("offset")),
    };
    *rest = sign.1;
    let mut seconds = number(rest, 2, 2, "offset")? * 3600;
    for unit in [60, 1] {
        if let Some(b':') = rest.first() {
            expect(rest, b':', "offset")?;
            seconds += number(rest, 2, 2, "offset")? * unit;
        }
    }
    Ok(sign.0 * seconds * 1_000_000)
}

fn number(rest: &mut &[u8], least: usize, most: usize, what: &'static str) -> Result<i64, Malformed> {
    let mut value = 0i64;
    let mut digits = 0;
    while let Some((byte @ b'0'..=b'9', tail)) = rest.split_first() {
        if digits == most {
            return Err(Malformed(what));
        }
        value = value * 10 + i64::from(byte - b'0');
        digits += 1;
        *rest = tail;
    }
    if digits < least { Err(Malformed(what)) } else { Ok(value) }
}

fn expect(rest: &mut &[u8], byte: u8, what: &'static str) -> Result<(), Malformed> {
    match rest.split_first() {
        Some((first, tail)) if *first == byte => {
            *rest = tail;
            Ok(())
        }
        _ => Err(Malformed(what)),
    }
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar. Years are counted from March, so
/// that the leap day is the last of its year, in eras of 400 years (146,097 days).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::value::UNIX_EPOCH;

    #[test]
    fn timestamps_with_zone() {
        for (text, want) in [
            ("1970-01-01 00:00:00+00", 0),
            ("2024-02-29 13:14:15.123456+02", 1_709_205_255_123_456),
            ("1969-12-31 23:59:59.999999+00", -1),
            ("2000-01-01 00:00:00-03:30", 946_697_400_000_000),
            ("1900-01-01 00:00:00+00:19:32", -2_208_989_972_000_000),
            ("0001-01-01 00:00:00.000001+00", -62_135_596_799_999_999),
            ("4713-01-01 00:00:00+00 BC", -210_863_520_000_000_000),
            ("infinity", i64::MAX),
            ("-infinity", i64::MIN),
        ] {
            let want = if matches!(want, i64::MAX | i64::MIN) { want } else { want + UNIX_EPOCH };
            assert_eq!(timestamptz(text.as_bytes()), Ok(want), "{text}");
        }
    }

    #[test]
    fn the_last_microsecond_fits() {
        let last = b"294276-12-31 23:59:59.999999";
        assert_eq!(timestamp(last), Ok(9_223_371_331_199_999_999));
        assert!(timestamp(b"294277-01-09 04:00:54.775807").is_err(), "it would be infinity");
    }

    #[test]
    fn days_and_times() {
        for (text, want) in [("2024-02-29", 19_782), ("1969-12-31", -1), ("0044-03-15 BC", -735_160)] {
            assert_eq!(date(text.as_bytes()), Ok(want), "{text}");
        }
        for (text, want) in [("24:00:00", DAY_US), ("13:14:15.5", 47_655_500_000), ("00:00:00.000001", 1)] {
            assert_eq!(time(text.as_bytes()), Ok(want), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_date() {
        for text in ["", "2024", "2024-13-01", "2024-1-1", "20240-01-", "2024-01-01x", "12345678-01-01"] {
            assert!(date(text.as_bytes()).is_err(), "{text}");
        }
        for text in ["", "1", "12:00", "12:00:00.", "12:00:00.1234567", "99:00:00", "24:00:01", "12:00:00 BC"]
        {
            assert!(time(text.as_bytes()).is_err(), "{text}");
        }
        for text in ["2024-01-01", "2024-01-01 00:00:00", "2024-01-01 00:00:00+", "2024-01-01T00:00:00+00"] {
            assert!(timestamptz(text.as_bytes()).is_err(), "{text}");
        }
    }
}
