//! A cell of a key as an incremental snapshot stores it: Debezium keeps Java objects there, so each
//! variant is one Java class. Which class a PostgreSQL type has is pgjdbc's and Debezium's choice.

use jiff::civil::Date;

/// One column of a key.
#[derive(Clone, Debug, PartialEq)]
pub enum KeyCell {
    Null,
    Boolean(bool),
    Short(i16),
    Integer(i32),
    Long(i64),
    Float(f32),
    Double(f64),
    Text(String),
    Bytes(Vec<u8>),
    Uuid(u128),
    /// `java.math.BigDecimal`: digits with an optional sign, point and exponent.
    BigDecimal(String),
    /// Debezium's own number, which may also be `NaN`, `Infinity` or `-Infinity`.
    Numeric(String),
    /// `java.sql.Date`: the milliseconds since 1970 at which the day began where the JVM stood.
    Date(i64),
    /// `java.sql.Time`: milliseconds since 1970-01-01T00:00Z.
    Time(i64),
    /// `java.sql.Timestamp`: whole seconds as milliseconds since 1970, and the nanoseconds beside them.
    Timestamp {
        millis: i64,
        nanos: u32,
    },
    /// pgjdbc's object for a type that Java has no class for: the type's name and the text.
    Other {
        type_name: String,
        text: Option<String>,
    },
}

const DAY_MS: i64 = 86_400_000;
/// A day that began at this offset east of Greenwich or less is recognised, and one up to 10:14 west.
const EASTERNMOST_MS: i64 = 13 * 3_600_000 + 45 * 60_000;

impl KeyCell {
    /// A cell of the base type `type_name` (as `pg_type` calls it), whose text PostgreSQL printed, in the
    /// class that Debezium 3.6 would hold it in. A text that is none of that type stays a text.
    pub fn from_postgres(type_name: &str, text: Option<&str>) -> KeyCell {
        let Some(text) = text else { return KeyCell::Null };
        let typed = match type_name {
            "bool" => Some(KeyCell::Boolean(text == "t" || text == "true")),
            "int2" | "int4" => text.parse().ok().map(KeyCell::Integer),
            "int8" | "oid" => text.parse().ok().map(KeyCell::Long),
            "float4" => text.parse().ok().map(KeyCell::Float),
            "float8" => text.parse().ok().map(KeyCell::Double),
            // The driver gives the one for the other.
            "numeric" if text == "NaN" => Some(KeyCell::Double(f64::NAN)),
            "numeric" => Some(KeyCell::BigDecimal(text.to_owned())),
            "uuid" => uuid::Uuid::parse_str(text).ok().map(|uuid| KeyCell::Uuid(uuid.as_u128())),
            "bytea" => bytes(text).map(KeyCell::Bytes),
            "date" => day_begin(text).map(KeyCell::Date),
            name if OTHER.contains(&name) => {
                Some(KeyCell::Other { type_name: name.to_owned(), text: Some(text.to_owned()) })
            }
            _ => None,
        };
        typed.unwrap_or_else(|| KeyCell::Text(text.to_owned()))
    }

    /// The text that PostgreSQL reads as this cell; `None` for NULL. Not quoted: it is not yet a literal.
    pub fn text(&self) -> Option<String> {
        Some(match self {
            KeyCell::Null | KeyCell::Other { text: None, .. } => return None,
            KeyCell::Boolean(flag) => flag.to_string(),
            KeyCell::Short(number) => number.to_string(),
            KeyCell::Integer(number) => number.to_string(),
            KeyCell::Long(number) => number.to_string(),
            KeyCell::Float(number) => number.to_string(),
            KeyCell::Double(number) => number.to_string(),
            KeyCell::Text(text)
            | KeyCell::BigDecimal(text)
            | KeyCell::Numeric(text)
            | KeyCell::Other { text: Some(text), .. } => text.clone(),
            KeyCell::Bytes(bytes) => hexadecimal(bytes),
            KeyCell::Uuid(number) => uuid::Uuid::from_u128(*number).to_string(),
            KeyCell::Date(millis) => day(*millis),
            KeyCell::Time(millis) => clock(millis.rem_euclid(DAY_MS) * 1000),
            KeyCell::Timestamp { millis, nanos } => {
                let micros = millis.div_euclid(1000).rem_euclid(DAY_MS / 1000) * 1_000_000;
                let clock = clock(micros + i64::from(nanos / 1000));
                format!("{} {clock}", date_text(millis.div_euclid(DAY_MS)))
            }
        })
    }
}

/// Types that pgjdbc gives as its own object.
const OTHER: [&str; 12] = [
    "citext",
    "inet",
    "cidr",
    "macaddr",
    "macaddr8",
    "ltree",
    "int4range",
    "int8range",
    "numrange",
    "tsrange",
    "tstzrange",
    "daterange",
];

fn bytes(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.strip_prefix("\\x")?.as_bytes().as_chunks::<2>();
    let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    if rest.is_empty() { pairs.iter().map(byte).collect() } else { None }
}

fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold("\\x".to_owned(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// Where a UTC day begins, in milliseconds since 1970.
fn day_begin(text: &str) -> Option<i64> {
    let day: Date = text.parse().ok()?;
    let since = day.since((jiff::Unit::Day, Date::constant(1970, 1, 1))).ok()?;
    Some(i64::from(since.get_days()) * DAY_MS)
}

fn day(millis: i64) -> String {
    date_text(millis.saturating_add(EASTERNMOST_MS).div_euclid(DAY_MS))
}

/// `days` since 1970. Beyond what a calendar has, it is one of PostgreSQL's infinities.
fn date_text(days: i64) -> String {
    let date = jiff::Span::new().try_days(days).and_then(|span| Date::constant(1970, 1, 1).checked_add(span));
    match date {
        Ok(date) if date.year() > 0 => date.to_string(),
        Ok(date) => format!("{:04}-{:02}-{:02} BC", 1 - date.year(), date.month(), date.day()),
        Err(_) if days > 0 => "infinity".to_owned(),
        Err(_) => "-infinity".to_owned(),
    }
}

fn clock(micros: i64) -> String {
    let seconds = micros / 1_000_000;
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}.{:06}", seconds % 60, micros % 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn postgres_s_text_goes_through_java_s_class_and_back() {
        for (type_name, text, cell) in [
            ("int2", "-7", KeyCell::Integer(-7)),
            ("int8", "9000000000", KeyCell::Long(9_000_000_000)),
            ("oid", "4294967295", KeyCell::Long(4_294_967_295)),
            ("bool", "true", KeyCell::Boolean(true)),
            ("float4", "1.5", KeyCell::Float(1.5)),
            ("float8", "-inf", KeyCell::Double(f64::NEG_INFINITY)),
            ("numeric", "12.50", KeyCell::BigDecimal("12.50".to_owned())),
            ("text", "a'b", KeyCell::Text("a'b".to_owned())),
            ("timestamp", "2024-01-02 03:04:05", KeyCell::Text("2024-01-02 03:04:05".to_owned())),
            ("bytea", "\\x00ff", KeyCell::Bytes(vec![0, 255])),
            ("date", "2023-11-14", KeyCell::Date(1_699_920_000_000)),
            ("date", "1969-12-31", KeyCell::Date(-DAY_MS)),
            (
                "uuid",
                "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
                KeyCell::Uuid(0xa0ee_bc99_9c0b_4ef8_bb6d_6bb9_bd38_0a11),
            ),
            ("citext", "Ab", KeyCell::Other { type_name: "citext".to_owned(), text: Some("Ab".to_owned()) }),
        ] {
            assert_eq!(KeyCell::from_postgres(type_name, Some(text)), cell, "{type_name}");
            assert_eq!(cell.text().as_deref(), Some(text), "{type_name}");
        }
        assert_eq!(KeyCell::from_postgres("int4", None), KeyCell::Null);
        assert_eq!(KeyCell::Null.text(), None);
    }

    #[test]
    fn a_java_date_is_the_day_that_began_where_the_worker_stood() {
        let midnight_utc = 1_699_920_000_000;
        for hours in [-10, -5, 0, 2, 12, 13] {
            assert_eq!(day(midnight_utc - hours * 3_600_000), "2023-11-14", "{hours}");
        }
        assert_eq!(day(i64::MAX), "infinity");
        assert_eq!(day(i64::MIN), "-infinity");
        assert_eq!(
            day_begin("0001-01-01").map(|millis| day(millis - DAY_MS)).as_deref(),
            Some("0001-12-31 BC")
        );
        let timestamp = KeyCell::Timestamp { millis: 1_700_000_000_000, nanos: 123_456_000 };
        assert_eq!(timestamp.text().as_deref(), Some("2023-11-14 22:13:20.123456"));
        assert_eq!(KeyCell::Time(3_723_004).text().as_deref(), Some("01:02:03.004000"));
    }
}
