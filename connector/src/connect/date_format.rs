//! Java's SimpleDateFormat in UTC: patterns such as `yyyy-MM-dd'T'HH:mm:ss.SSS`. Pure.

use jiff::civil::DateTime;
use jiff::{SignedDuration, Timestamp};
use std::fmt::Write;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const LETTERS: &str = "yMdHhkKmsSaEDzZX";

/// A pattern that was read.
#[derive(Debug)]
pub struct DateFormat(Vec<Token>);

#[derive(Debug)]
enum Token {
    Literal(String),
    /// A letter, and how often it stood there.
    Field(char, usize),
}

impl DateFormat {
    /// # Errors
    /// The letter that is not understood.
    pub fn new(pattern: &str) -> Result<DateFormat, char> {
        let mut tokens = Vec::new();
        let mut rest = pattern.chars().peekable();
        while let Some(c) = rest.next() {
            match c {
                '\'' => tokens.push(Token::Literal(quoted(&mut rest))),
                c if c.is_ascii_alphabetic() && !LETTERS.contains(c) => return Err(c),
                c if c.is_ascii_alphabetic() => {
                    let mut count = 1;
                    while rest.next_if_eq(&c).is_some() {
                        count += 1;
                    }
                    tokens.push(Token::Field(c, count));
                }
                c => tokens.push(Token::Literal(c.to_string())),
            }
        }
        Ok(DateFormat(tokens))
    }

    /// Milliseconds since 1970 as text.
    pub fn format(&self, millis: i64) -> Option<String> {
        let at = DateTime::constant(1970, 1, 1, 0, 0, 0, 0)
            .checked_add(SignedDuration::from_millis(millis))
            .ok()?;
        let mut out = String::new();
        for token in &self.0 {
            match token {
                Token::Literal(text) => out.push_str(text),
                Token::Field(letter, count) => field(&mut out, at, *letter, *count)?,
            }
        }
        Some(out)
    }

    /// Milliseconds since 1970; none for a text of another form. What stands behind is not looked at.
    pub fn parse(&self, text: &str) -> Option<i64> {
        let mut read = Parts::default();
        let mut rest = text;
        for (at, token) in self.0.iter().enumerate() {
            rest = match token {
                Token::Literal(literal) => rest.strip_prefix(literal.as_str())?,
                Token::Field(letter, count) => {
                    let next_is_number = match self.0.get(at + 1) {
                        Some(Token::Field('M' | 'E', count)) => *count < 3,
                        Some(Token::Field(letter, _)) => !"azZX".contains(*letter),
                        _ => false,
                    };
                    read.take(*letter, *count, next_is_number, rest)?
                }
            };
        }
        read.millis()
    }
}

/// The text up to the closing quote; two quotes are one.
fn quoted(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> String {
    let mut out = String::new();
    while let Some(c) = rest.next() {
        if c != '\'' {
            out.push(c);
        } else if rest.next_if_eq(&'\'').is_some() {
            out.push('\'');
        } else {
            break;
        }
    }
    if out.is_empty() { "'".to_owned() } else { out }
}

fn field(out: &mut String, at: DateTime, letter: char, count: usize) -> Option<()> {
    let mut number = |number: i64| write!(out, "{number:0count$}").ok();
    match letter {
        'y' if count == 2 => write!(out, "{:02}", at.year().rem_euclid(100)).ok(),
        // Before the year 1 Java counts backwards in another era.
        'y' => number(if at.year() > 0 { i64::from(at.year()) } else { 1 - i64::from(at.year()) }),
        'M' if count >= 3 => {
            let name = MONTHS.get(usize::try_from(at.month() - 1).ok()?)?;
            out.push_str(if count == 3 { name.get(..3)? } else { name });
            Some(())
        }
        'M' => number(at.month().into()),
        'd' => number(at.day().into()),
        'D' => number(at.day_of_year().into()),
        'H' => number(at.hour().into()),
        'k' => number(if at.hour() == 0 { 24 } else { at.hour().into() }),
        'K' => number(i64::from(at.hour()) % 12),
        'h' => number(if at.hour() % 12 == 0 { 12 } else { i64::from(at.hour()) % 12 }),
        'm' => number(at.minute().into()),
        's' => number(at.second().into()),
        'S' => number(at.millisecond().into()),
        'a' => {
            out.push_str(if at.hour() < 12 { "AM" } else { "PM" });
            Some(())
        }
        'E' => {
            let name = DAYS.get(usize::try_from(at.weekday().to_monday_zero_offset()).ok()?)?;
            out.push_str(if count < 4 { name.get(..3)? } else { name });
            Some(())
        }
        'z' => {
            out.push_str(if count < 4 { "UTC" } else { "Coordinated Universal Time" });
            Some(())
        }
        'Z' => {
            out.push_str("+0000");
            Some(())
        }
        'X' => {
            out.push('Z');
            Some(())
        }
        _ => None,
    }
}

/// What a text said.
struct Parts {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    /// Hours of the afternoon count from twelve.
    afternoon: bool,
    minute: i64,
    second: i64,
    millis: i64,
    offset_s: i64,
}

impl Default for Parts {
    fn default() -> Self {
        Parts {
            year: 1970,
            month: 1,
            day: 1,
            hour: 0,
            afternoon: false,
            minute: 0,
            second: 0,
            millis: 0,
            offset_s: 0,
        }
    }
}

impl Parts {
    /// Reads one field and gives the rest.
    fn take<'t>(
        &mut self,
        letter: char,
        count: usize,
        next_is_number: bool,
        text: &'t str,
    ) -> Option<&'t str> {
        let named = |names: &[&str]| {
            let matches =
                |name: &str| text.get(..name.len()).is_some_and(|head| head.eq_ignore_ascii_case(name));
            names.iter().enumerate().find_map(|(at, name)| {
                let short = name.get(..3)?;
                let length = if matches(name) {
                    name.len()
                } else if matches(short) {
                    3
                } else {
                    return None;
                };
                Some((i64::try_from(at).ok()?, text.get(length..)?))
            })
        };
        match letter {
            'M' if count >= 3 => {
                let (at, rest) = named(&MONTHS)?;
                self.month = at + 1;
                return Some(rest);
            }
            'E' => return named(&DAYS).map(|(_, rest)| rest),
            'a' => {
                let (word, rest) = text.split_at_checked(2)?;
                self.afternoon = word.eq_ignore_ascii_case("PM");
                return (self.afternoon || word.eq_ignore_ascii_case("AM")).then_some(rest);
            }
            'z' | 'Z' | 'X' => {
                let (offset_s, rest) = zone(text)?;
                self.offset_s = offset_s;
                return Some(rest);
            }
            _ => {}
        }
        let trimmed = text.trim_start_matches(' ');
        let signed = trimmed.strip_prefix('-').unwrap_or(trimmed);
        let digits = signed.len() - signed.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let digits = if next_is_number { digits.min(count) } else { digits };
        let length = trimmed.len() - signed.len() + digits;
        let (number, rest) = trimmed.split_at_checked(length)?;
        let value: i64 = number.parse().ok()?;
        match letter {
            'y' if count <= 2 && digits == 2 => self.year = century(value),
            'y' => self.year = value,
            'M' => self.month = value,
            'd' => self.day = value,
            'D' => (self.month, self.day) = (1, value),
            'H' => self.hour = value,
            'k' => self.hour = if value == 24 { 0 } else { value },
            'K' => self.hour = value,
            'h' => self.hour = if value == 12 { 0 } else { value },
            'm' => self.minute = value,
            's' => self.second = value,
            'S' => self.millis = value,
            _ => return None,
        }
        Some(rest)
    }

    /// Java is lenient: the 32nd of January is the 1st of February.
    fn millis(&self) -> Option<i64> {
        let months = self.year.checked_mul(12)?.checked_add(self.month - 1)?;
        let year = i16::try_from(months.div_euclid(12)).ok()?;
        let month = i8::try_from(months.rem_euclid(12) + 1).ok()?;
        let first = DateTime::new(year, month, 1, 0, 0, 0, 0).ok()?;
        let epoch = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
        let days = first.duration_since(epoch).as_secs().div_euclid(86_400).checked_add(self.day - 1)?;
        let hour = self.hour + if self.afternoon { 12 } else { 0 };
        let minutes =
            days.checked_mul(1_440)?.checked_add(hour.checked_mul(60)?)?.checked_add(self.minute)?;
        let seconds = minutes.checked_mul(60)?.checked_add(self.second)?.checked_sub(self.offset_s)?;
        seconds.checked_mul(1_000)?.checked_add(self.millis)
    }
}

/// A year of two digits lies within 80 years before and 20 after today.
fn century(value: i64) -> i64 {
    let now = i64::from(jiff::tz::TimeZone::UTC.to_datetime(Timestamp::now()).year());
    let first = now - 80;
    first + (value - first).rem_euclid(100)
}

/// `Z`, `UTC`, `GMT`, `+02:00`, `+0200` or `+02`, in seconds.
fn zone(text: &str) -> Option<(i64, &str)> {
    for name in ["UTC", "GMT", "Z"] {
        if let Some(rest) = text.strip_prefix(name) {
            return Some((0, rest));
        }
    }
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let hours: i64 = text.get(1..3)?.parse().ok()?;
    let rest = text.get(3..)?;
    let tail = rest.strip_prefix(':').unwrap_or(rest);
    match tail.get(..2).and_then(|minutes| minutes.parse::<i64>().ok()) {
        Some(minutes) => Some((sign * (hours * 3_600 + minutes * 60), tail.get(2..)?)),
        None => Some((sign * hours * 3_600, rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a JVM gave for both directions.
    #[test]
    fn formats_and_reads_as_java() {
        for (pattern, millis, text) in [
            ("yyyy-MM-dd'T'HH:mm:ss.SSSXXX", 1_700_000_000_123, "2023-11-14T22:13:20.123Z"),
            ("yyyyMMdd", 1_699_920_000_000, "20231114"),
            ("yyyyMMddHHmmss", 1_700_000_000_000, "20231114221320"),
            ("EEE, d MMM yyyy hh:mm a", 1_699_999_980_000, "Tue, 14 Nov 2023 10:13 PM"),
            ("EEEE MMMM yy 'o''clock' k", 951_825_600_000, "Tuesday February 00 o'clock 12"),
            ("yyyy/DDD H:m:s Z", -1_000, "1969/365 23:59:59 +0000"),
        ] {
            let format = DateFormat::new(pattern).expect("a pattern");
            assert_eq!(format.format(millis).as_deref(), Some(text), "{pattern}");
            let lossless = !pattern.contains("EEEE");
            assert!(!lossless || format.parse(text) == Some(millis), "{pattern}: {:?}", format.parse(text));
        }
        let format = DateFormat::new("yyyy-MM-dd HH:mm:ssZ").expect("a pattern");
        assert_eq!(format.parse("2023-01-32 00:00:00+0200"), Some(1_675_202_400_000));
        assert_eq!(format.parse("2023/01/31 00:00:00+0200"), None);
        assert!(matches!(DateFormat::new("yyyy-ww"), Err('w')));
    }
}
