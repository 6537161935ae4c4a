//! ISO 8601 with an offset, as Debezium writes timestamps with time zone → microseconds since 1970.
//!
//! By hand, because PostgreSQL's years reach beyond what date libraries hold. What lies beyond 64 bits
//! of microseconds (infinity) becomes the greatest or the least time.

/// `None` if the text has another form.
pub fn micros(text: &str) -> Option<i64> {
    let (before_christ, rest) = match text.split_at_checked(1)? {
        ("-", rest) => (true, rest),
        ("+", rest) => (false, rest),
        _ => (false, text),
    };
    let (date, time) = rest.split_once('T')?;
    let mut parts = date.split('-');
    let year = number(parts.next()?, 4..=9)?;
    let month = number(parts.next()?, 2..=2).filter(|m| (1..=12).contains(m))?;
    let day = number(parts.next()?, 2..=2).filter(|d| (1..=31).contains(d))?;
    if parts.next().is_some() {
        return None;
    }
    let days = days_from_civil(if before_christ { -year } else { year }, month, day);
    let (clock, offset_s) = offset(time)?;
    let (whole, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let mut parts = whole.split(':');
    let hour = number(parts.next()?, 2..=2).filter(|h| *h <= 24)?;
    let minute = number(parts.next()?, 2..=2).filter(|m| *m < 60)?;
    let second = match parts.next() {
        Some(text) => number(text, 2..=2).filter(|s| *s <= 60)?,
        None => 0,
    };
    let seconds = i128::from(days) * 86_400 + i128::from(hour * 3_600 + minute * 60 + second - offset_s);
    let micros = seconds * 1_000_000 + i128::from(fraction_micros(fraction)?);
    Some(i64::try_from(micros).unwrap_or(if micros < 0 { i64::MIN } else { i64::MAX }))
}

fn number(text: &str, digits: std::ops::RangeInclusive<usize>) -> Option<i64> {
    let fits = digits.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if fits { text.parse().ok() } else { None }
}

/// Digits beyond the sixth are cut.
fn fraction_micros(text: &str) -> Option<i64> {
    if text.len() > 9 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    format!("{text:0<6}").get(..6)?.parse().ok()
}

/// Splits the offset from the clock, in seconds east of Greenwich.
fn offset(time: &str) -> Option<(&str, i64)> {
    if let Some(clock) = time.strip_suffix('Z') {
        return Some((clock, 0));
    }
    let at = time.rfind(['+', '-'])?;
    let (clock, offset) = time.split_at_checked(at)?;
    let sign = if offset.starts_with('-') { -1 } else { 1 };
    let mut seconds = 0;
    for (part, unit) in offset.get(1..)?.split(':').zip([3_600, 60, 1]) {
        seconds += number(part, 2..=2)? * unit;
    }
    Some((clock, sign * seconds))
}

/// Days since 1970 of a date in the proleptic Gregorian calendar, year 0 being 1 BC: eras of 400
/// years that begin in March, so that the leap day is the last.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected by PostgreSQL 15: `extract(epoch from text::timestamptz) * 1000000`.
    #[test]
    fn as_postgres_reads_it() {
        for (text, want) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2024-02-29T11:14:15.123456Z", Some(1_709_205_255_123_456)),
            ("2024-02-29T13:14:15.1+02:00", Some(1_709_205_255_100_000)),
            ("1900-01-01T00:00:00.001Z", Some(-2_208_988_799_999_000)),
            ("1969-12-31T23:59:59.999999Z", Some(-1)),
            ("0001-01-01T00:00:00.000000Z", Some(-62_135_596_800_000_000)),
            ("9999-12-31T23:59:59.999999Z", Some(253_402_300_799_999_999)),
            ("2000-03-01T00:00:00-05:30", Some(951_888_600_000_000)),
            ("+292278994-08-17T07:12:55.807Z", Some(i64::MAX)),
            ("2024-13-01T00:00:00Z", None),
            ("2024-01-01", None),
            ("2024-01-01T00:00:00", None),
            ("2024-01-01T0:00:00Z", None),
            ("", None),
            ("infinity", None),
        ] {
            assert_eq!(micros(text), want, "{text}");
        }
    }
}
