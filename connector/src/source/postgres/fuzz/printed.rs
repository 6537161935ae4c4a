//! Values as the server prints them, so that what was read can be read again. Written from
//! PostgreSQL's documentation, not from the decoders.

use crate::model::value::Value;
use crate::source::postgres::value::Decoder;

const DAY_US: i64 = 86_400_000_000;
/// From 1970-01-01 to 2000-01-01.
const DAYS_TO_2000: i64 = 10_957;
/// Bit of a geometry's type that says that a reference system follows.
const HAS_SRID: u32 = 0x2000_0000;

/// `None` for what is not printed: values that lost something on the way.
pub fn value(decoder: Decoder, value: &Value<'_>) -> Option<Vec<u8>> {
    let infinite = |positive: bool| if positive { "infinity" } else { "-infinity" }.to_owned();
    let text = match (decoder, *value) {
        (_, Value::Text(text) | Value::Decimal(text)) => text.to_owned(),
        (_, Value::Bits(bytes) | Value::Bytes(bytes)) => return Some(bytes.to_vec()),
        (_, Value::Hex(digits)) => return Some([b"\\x", digits].concat()),
        (Decoder::Bit, Value::Bool(flag)) => u8::from(flag).to_string(),
        (_, Value::Bool(flag)) => if flag { "t" } else { "f" }.to_owned(),
        (_, Value::Int(number)) => number.to_string(),
        (_, Value::Float64(number)) => float(number),
        (_, Value::Float32(number)) if number.is_finite() => number.to_string(),
        (_, Value::Float32(number)) => float(number.into()),
        (_, Value::Date(i32::MAX) | Value::Timestamp(i64::MAX) | Value::TimestampTz(i64::MAX)) => {
            infinite(true)
        }
        (_, Value::Date(i32::MIN) | Value::Timestamp(i64::MIN) | Value::TimestampTz(i64::MIN)) => {
            infinite(false)
        }
        (_, Value::Date(days)) => date(days.into(), ""),
        (_, Value::Time(micros)) => time(micros),
        (_, Value::TimeTz(micros)) => format!("{}+00", time(micros)),
        (_, Value::Timestamp(micros)) => instant(micros, ""),
        (_, Value::TimestampTz(micros)) => instant(micros, "+00"),
        (_, Value::Interval { months, days, micros }) => interval(months, days, micros),
        (_, Value::Map(entries)) => return hstore(entries),
        (Decoder::Vector | Decoder::HalfVector, Value::List(numbers)) => vector(decoder, numbers)?,
        (Decoder::Array(element, delimiter), Value::List(values)) => {
            return array(*element, delimiter, values);
        }
        (Decoder::Point, Value::Struct([Value::Float64(x), Value::Float64(y), ..])) => {
            format!("({},{})", float(*x), float(*y))
        }
        (Decoder::Geometry, Value::Struct([Value::Bytes(binary), srid])) => geometry(binary, srid)?,
        (Decoder::SparseVector, Value::Struct([Value::Int(dimensions), Value::Map(entries)])) => {
            let one = |(at, number): &(Value<'_>, Value<'_>)| match (at, number) {
                (Value::Int(at), Value::Float64(number)) => Some(format!("{at}:{}", float(*number))),
                _ => None,
            };
            let elements: Option<Vec<String>> = entries.iter().map(one).collect();
            format!("{{{}}}/{dimensions}", elements?.join(","))
        }
        _ => return None,
    };
    Some(text.into_bytes())
}

fn float(number: f64) -> String {
    match number {
        f64::INFINITY => "Infinity".to_owned(),
        f64::NEG_INFINITY => "-Infinity".to_owned(),
        number => number.to_string(),
    }
}

/// Days since 1970-01-01 as year, month and day; a year and a month are found by trying.
fn civil(days: i64) -> (i64, i64, i64) {
    let leap =
        |year: i64| year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0);
    let before = |year: i64| {
        let last = year - 1;
        year * 365 + last.div_euclid(4) - last.div_euclid(100) + last.div_euclid(400) - 719_527
    };
    // Below the year in question, whichever side of 1970 it is on.
    let mut year = 1969 + days.div_euclid(if days < 0 { 365 } else { 366 });
    while before(year + 1) <= days {
        year += 1 + (days - before(year + 1)).max(0) / 366;
    }
    let mut rest = days - before(year);
    let mut month = 1;
    for length in [31, if leap(year) { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if rest < length {
            break;
        }
        rest -= length;
        month += 1;
    }
    (year, month, rest + 1)
}

/// What follows the date stands before the era.
fn date(days: i64, behind: &str) -> String {
    let (year, month, day) = civil(days);
    let (year, era) = if year > 0 { (year, "") } else { (1 - year, " BC") };
    format!("{year:04}-{month:02}-{day:02}{behind}{era}")
}

fn time(micros: i64) -> String {
    clock(micros.unsigned_abs())
}

fn clock(micros: u64) -> String {
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    let whole = format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60);
    if fraction == 0 { whole } else { format!("{whole}.{fraction:06}").trim_end_matches('0').to_owned() }
}

fn instant(micros: i64, zone: &str) -> String {
    date(micros.div_euclid(DAY_US) + DAYS_TO_2000, &format!(" {}{zone}", time(micros.rem_euclid(DAY_US))))
}

fn interval(months: i32, days: i32, micros: i64) -> String {
    let mut parts: Vec<String> = Vec::new();
    // A part behind a negative one says that it is not.
    let mut negative = false;
    let mut plus = |number: i64| {
        let plus = if negative && number > 0 { "+" } else { "" };
        negative = number < 0;
        plus
    };
    for (number, unit) in [(months / 12, "year"), (months % 12, "mon"), (days, "day")] {
        if number != 0 {
            let many = if number == 1 { "" } else { "s" };
            parts.push(format!("{}{number} {unit}{many}", plus(number.into())));
        }
    }
    if micros != 0 || parts.is_empty() {
        let sign = if micros < 0 { "-" } else { plus(micros) };
        parts.push(format!("{sign}{}", clock(micros.unsigned_abs())));
    }
    parts.join(" ")
}

fn quoted(out: &mut Vec<u8>, content: &[u8]) {
    out.push(b'"');
    for byte in content {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.push(b'"');
}

/// Every element quoted, whether it needs it or not.
pub fn array(element: Decoder, delimiter: u8, values: &[Value<'_>]) -> Option<Vec<u8>> {
    let mut out = vec![b'{'];
    for (nth, one) in values.iter().enumerate() {
        if nth > 0 {
            out.push(delimiter);
        }
        match one {
            Value::Null => out.extend(b"NULL"),
            one => quoted(&mut out, &value(element, one)?),
        }
    }
    out.push(b'}');
    Some(out)
}

pub fn hstore(entries: &[(Value<'_>, Value<'_>)]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for (nth, (key, content)) in entries.iter().enumerate() {
        if nth > 0 {
            out.extend(b", ");
        }
        let Value::Text(key) = key else { return None };
        quoted(&mut out, key.as_bytes());
        out.extend(b"=>");
        match content {
            Value::Text(text) => quoted(&mut out, text.as_bytes()),
            _ => out.extend(b"NULL"),
        }
    }
    Some(out)
}

fn vector(decoder: Decoder, numbers: &[Value<'_>]) -> Option<String> {
    let all: Option<Vec<String>> =
        numbers.iter().map(|number| String::from_utf8(value(decoder, number)?).ok()).collect();
    Some(format!("[{}]", all?.join(",")))
}

/// Well-known binary, with the reference system put in behind the type.
/// The reference system stands in the bytes already.
fn geometry(binary: &[u8], srid: &Value<'_>) -> Option<String> {
    let [order, kind @ ..] = binary.get(..5)? else { return None };
    let kind: [u8; 4] = kind.try_into().ok()?;
    let kind = if *order == 1 { u32::from_le_bytes(kind) } else { u32::from_be_bytes(kind) };
    assert_eq!(kind & HAS_SRID != 0, *srid != Value::Null, "{binary:?} {srid:?}");
    Some(binary.iter().map(|byte| format!("{byte:02X}")).collect())
}

/// A row as `COPY … TO STDOUT` writes it.
pub fn copied<'a>(cells: impl Iterator<Item = Option<&'a [u8]>>) -> Vec<u8> {
    let mut out = Vec::new();
    for (nth, cell) in cells.enumerate() {
        if nth > 0 {
            out.push(b'\t');
        }
        let Some(cell) = cell else {
            out.extend(b"\\N");
            continue;
        };
        for byte in cell {
            let letter = match byte {
                8 => b'b',
                12 => b'f',
                b'\n' => b'n',
                b'\r' => b'r',
                b'\t' => b't',
                11 => b'v',
                b'\\' => b'\\',
                plain => {
                    out.push(*plain);
                    continue;
                }
            };
            out.extend([b'\\', letter]);
        }
    }
    out.push(b'\n');
    out
}
