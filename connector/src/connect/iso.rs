//! Dates and times as ISO text in UTC, as Java's formatters print them. Pure, on the stack.

const MICROS_PER_DAY: i64 = 86_400_000_000;
/// From 1970-01-01 to 2000-01-01.
const DAYS_TO_2000: i64 = 10_957;
/// Sign, ten digits of year, `-MM-DDTHH:MM:SS.ffffffZ`.
const MAX_LEN: usize = 40;

/// `2024-02-29T13:14:15.123456Z` of microseconds since 2000-01-01; so many digits of the second's fraction, or as many as it has.
pub fn timestamp(micros: i64, digits: Option<u8>) -> Text {
    match micros {
        i64::MAX => Text::of(b"infinity"),
        i64::MIN => Text::of(b"-infinity"),
        _ => {
            point(micros.div_euclid(MICROS_PER_DAY) + DAYS_TO_2000, micros.rem_euclid(MICROS_PER_DAY), digits)
        }
    }
}

/// The same without a word for infinity: Debezium sends what its driver has in its place.
pub fn finite_timestamp(micros: i64) -> Text {
    let (Ok(since_1970) | Err(since_1970)) = super::since_1970(micros).map_err(i128::from);
    let day = i128::from(MICROS_PER_DAY);
    point(since_1970.div_euclid(day) as i64, since_1970.rem_euclid(day) as i64, None)
}

/// A day since 1970 and the microseconds of it.
fn point(day: i64, micro: i64, digits: Option<u8>) -> Text {
    let mut text = Text::default();
    text.date(day);
    text.push(b'T');
    text.time(micro, digits);
    text.push(b'Z');
    text
}

/// `2024-02-29Z`.
pub fn date(day: i64) -> Text {
    let mut text = Text::default();
    text.date(day);
    text.push(b'Z');
    text
}

/// `13:14:15.123Z`. The day's end, 24:00, is its beginning.
pub fn time(micros: i64) -> Text {
    let mut text = Text::default();
    text.time(micros.rem_euclid(MICROS_PER_DAY), None);
    text.push(b'Z');
    text
}

/// A short text.
#[derive(Clone, Copy, Debug)]
pub struct Text {
    bytes: [u8; MAX_LEN],
    len: usize,
}

impl Default for Text {
    fn default() -> Self {
        Text { bytes: [0; MAX_LEN], len: 0 }
    }
}

impl Text {
    fn of(bytes: &[u8]) -> Text {
        let mut text = Text::default();
        bytes.iter().for_each(|byte| text.push(*byte));
        text
    }

    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    fn date(&mut self, day: i64) {
        let (year, month, date) = civil(day);
        match year {
            0..=9999 => {}
            10_000.. => self.push(b'+'),
            _ => self.push(b'-'),
        }
        self.number(year.unsigned_abs(), 4);
        self.push(b'-');
        self.number(month, 2);
        self.push(b'-');
        self.number(date, 2);
    }

    fn time(&mut self, micro: i64, digits: Option<u8>) {
        let second = (micro / 1_000_000).unsigned_abs();
        self.number(second / 3600, 2);
        self.push(b':');
        self.number(second / 60 % 60, 2);
        self.push(b':');
        self.number(second % 60, 2);
        let mut fraction = (micro % 1_000_000).unsigned_abs();
        let digits = match digits {
            Some(digits) => usize::from(digits.min(6)),
            None => {
                let mut digits: u32 = 6;
                while digits > 0 && fraction.is_multiple_of(10_u64.pow(7 - digits)) {
                    digits -= 1;
                }
                digits as usize
            }
        };
        if digits > 0 {
            fraction /= 10_u64.pow(6 - digits as u32);
            self.push(b'.');
            self.number(fraction, digits);
        }
    }

    fn push(&mut self, byte: u8) {
        if let Some(slot) = self.bytes.get_mut(self.len) {
            *slot = byte;
            self.len += 1;
        }
    }

    /// At least `width` digits.
    fn number(&mut self, number: u64, width: usize) {
        let mut digits = [0; 20];
        let mut count = 0;
        let mut rest = number;
        for slot in &mut digits {
            if rest == 0 && count >= width {
                break;
            }
            *slot = b'0' + (rest % 10) as u8;
            rest /= 10;
            count += 1;
        }
        for digit in digits.iter().take(count).rev() {
            self.push(*digit);
        }
    }
}

/// Year, month and day of a day since 1970, in the proleptic Gregorian calendar (with a year 0).
/// Counts in eras of 400 years that begin on the first of March.
fn civil(day: i64) -> (i64, u64, u64) {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097).unsigned_abs();
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let date = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era.cast_signed() + era * 400 + i64::from(month <= 2);
    (year, month, date)
}

/// The day since 1970 of a date: the other way round.
#[cfg(test)]
pub fn days(year: i64, month: i64, date: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + date - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::value::UNIX_EPOCH;

    #[test]
    fn texts_are_java_s() {
        for (micros, digits, want) in [
            (0, 6, "1970-01-01T00:00:00.000000Z"),
            (0, 0, "1970-01-01T00:00:00Z"),
            (-1, 6, "1969-12-31T23:59:59.999999Z"),
            (1_709_205_255_123_456, 6, "2024-02-29T11:14:15.123456Z"),
            (1_709_205_255_123_000, 3, "2024-02-29T11:14:15.123Z"),
            (-11_676_096_000_000_000, 0, "1600-01-01T00:00:00Z"),
            (253_402_300_799_999_000, 3, "9999-12-31T23:59:59.999Z"),
            (253_402_300_800_000_000, 0, "+10000-01-01T00:00:00Z"),
            (days(-43, 3, 15) * MICROS_PER_DAY, 0, "-0043-03-15T00:00:00Z"),
            (i64::MAX, 6, "infinity"),
            (i64::MIN, 6, "-infinity"),
        ] {
            let mut out = Vec::new();
            let micros = if matches!(micros, i64::MAX | i64::MIN) { micros } else { micros + UNIX_EPOCH };
            out.extend_from_slice(timestamp(micros, Some(digits)).bytes());
            assert_eq!(String::from_utf8_lossy(&out), want);
        }
    }

    #[test]
    fn calendar_agrees_with_another() {
        let epoch = jiff::civil::date(1970, 1, 1);
        for day in (-4_000_000..2_900_000).step_by(997) {
            let (year, month, date) = civil(day);
            assert_eq!(days(year, month.cast_signed(), date.cast_signed()), day);
            if let Ok(other) = epoch.checked_add(jiff::Span::new().days(day)) {
                let other = (other.year().into(), other.month() as u64, other.day() as u64);
                assert_eq!((year, month, date), other, "{day}");
            }
        }
    }
}
