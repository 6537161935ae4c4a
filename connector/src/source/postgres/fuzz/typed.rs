//! A column's text and its default, for every type.

use super::printed;
use crate::model::table::{Column, ColumnType};
use crate::model::value::{Constant, Value};
use crate::source::postgres::column::{TypeInfo, column_type, unknown_type};
use crate::source::postgres::default;
use crate::source::postgres::value::Decoder;
use bumpalo::Bump;

const TYPES: [&str; 39] = [
    "bool",
    "int2",
    "int4",
    "int8",
    "oid",
    "float4",
    "float8",
    "numeric",
    "text",
    "bpchar",
    "json",
    "xml",
    "uuid",
    "bytea",
    "date",
    "time",
    "timestamp",
    "timestamptz",
    "timetz",
    "interval",
    "bit",
    "varbit",
    "money",
    "tsvector",
    "ltree",
    "hstore",
    "point",
    "geometry",
    "geography",
    "vector",
    "halfvec",
    "sparsevec",
    "inet",
    "int4range",
    "circle",
    "polygon",
    "nobody_knows",
    "mood",
    "amount",
];

/// Modifiers: none, lengths and precisions, `numeric(12,2)`, `numeric(3,-2)`, `numeric(1000,1000)`.
const MODIFIERS: [i32; 10] =
    [-1, 0, 1, 3, 6, 20, (12 << 16 | 2) + 4, (3 << 16 | 2046) + 4, (1000 << 16 | 1000) + 4, i32::MAX];

/// The type of that number: the table, then the arrays of its types, then again from the front.
pub fn type_info(number: u32) -> TypeInfo {
    let number = usize::try_from(number).unwrap_or_default() % (2 * TYPES.len());
    let name = TYPES.get(number % TYPES.len()).copied().unwrap_or_default();
    let plain = match name {
        "mood" => TypeInfo {
            labels: Some(vec!["sad".to_owned(), "it's \"ok\"".to_owned()]),
            schema: Some("public".to_owned()),
            ..TypeInfo::plain(name)
        },
        "amount" => {
            TypeInfo { base: "numeric".to_owned(), modifier: (12 << 16 | 3) + 4, ..TypeInfo::plain(name) }
        }
        name => TypeInfo::plain(name),
    };
    if number < TYPES.len() {
        plain
    } else {
        TypeInfo { element: Some(Box::new(plain)), ..TypeInfo::plain(&format!("_{name}")) }
    }
}

/// Type and modifier by the first two bytes, then the rest.
fn head(input: &[u8]) -> Option<(TypeInfo, i32, &[u8])> {
    let [number, modifier, rest @ ..] = input else { return None };
    let modifier = MODIFIERS.get(usize::from(*modifier) % MODIFIERS.len()).copied().unwrap_or(-1);
    Some((type_info((*number).into()), modifier, rest))
}

fn column(info: &TypeInfo, modifier: i32) -> Option<(ColumnType, Decoder)> {
    column_type(info, modifier).or_else(|| unknown_type(info))
}

/// A text is read or refused; what was read and is printed as the server prints it is read as the same.
/// With the highest bit of the second byte set, the rest makes values of which the text is printed first.
pub fn value(input: &[u8], take: &mut dyn FnMut(Column, Value<'_>)) {
    let Some((info, modifier, text)) = head(input) else { return };
    if input.get(1).is_some_and(|byte| byte & 0x80 != 0) {
        made(text);
        return;
    }
    let Some((kind, decoder)) = column(&info, modifier) else { return };
    let arena = Bump::new();
    let Ok(found) = decoder.decode(text, &arena) else { return };
    // A negative scale is up to 2047 zeros.
    let zeros = if matches!(decoder, Decoder::Padded(_)) { 2_048 } else { 0 };
    assert!(size(&found) <= 16 * text.len() + 64 + zeros, "{} bytes from {}", size(&found), text.len());
    infinities_are_said(text, &found);
    if let Some(printed) = printed::value(decoder, &found) {
        same(decoder, &printed, &found);
    }
    take(Column::new("v", kind, modifier % 2 == 0), found);
}

/// Compared as shown, where NaN is NaN.
fn same(decoder: Decoder, text: &[u8], wanted: &Value<'_>) {
    let arena = Bump::new();
    let shown = |value| format!("{value:?}");
    let found = decoder.decode(text, &arena).map(shown);
    assert_eq!(found, Ok(shown(*wanted)), "{decoder:?} {:?}", String::from_utf8_lossy(text));
}

/// No finite text means infinity.
fn infinities_are_said(text: &[u8], value: &Value<'_>) {
    let infinite =
        matches!(value, Value::Timestamp(i64::MAX | i64::MIN) | Value::TimestampTz(i64::MAX | i64::MIN));
    assert!(!infinite || text.ends_with(b"infinity"), "{:?}", String::from_utf8_lossy(text));
}

/// Bytes that a value's parts hold.
fn size(value: &Value<'_>) -> usize {
    match value {
        Value::Text(text) | Value::Decimal(text) => text.len(),
        Value::Bytes(bytes) | Value::Hex(bytes) | Value::Bits(bytes) => bytes.len(),
        Value::List(values) | Value::Struct(values) => values.iter().map(|value| 1 + size(value)).sum(),
        Value::Map(entries) => entries.iter().map(|(key, value)| 2 + size(key) + size(value)).sum(),
        _ => 8,
    }
}

/// PostgreSQL's range of timestamps: 4713 BC to 294276.
const FIRST: i64 = -211_813_488_000_000_000;
const LAST: i64 = 9_223_371_331_199_999_999;

/// Values that the input's numbers and texts make, printed and read.
fn made(input: &[u8]) {
    let [kind, rest @ ..] = input else { return };
    let number = |at: usize| rest.get(at..at + 8).and_then(|b| b.try_into().ok()).map(i64::from_le_bytes);
    let (first, second) = (number(0).unwrap_or_default(), number(8).unwrap_or_default());
    let [low, high] = [second as i32, (second >> 32) as i32];
    let (decoder, value) = match kind % 12 {
        0 => (Decoder::Int, Value::Int(first)),
        // PostgreSQL's range: 4713 BC to 5874897.
        1 => (Decoder::Date, Value::Date((first.rem_euclid(2_147_483_494 + 2_440_588) - 2_440_588) as i32)),
        2 => (Decoder::Time, Value::Time(first.rem_euclid(86_400_000_001))),
        3 => (Decoder::Timestamp, Value::Timestamp(first.clamp(FIRST, LAST))),
        4 => (Decoder::TimestampTz, Value::TimestampTz(first.clamp(FIRST, LAST))),
        5 => (Decoder::TimeTz, Value::TimeTz(first.rem_euclid(86_400_000_000))),
        6 => (Decoder::Interval, Value::Interval { months: low, days: high, micros: first }),
        7 => (Decoder::Float64, Value::Float64(f64::from_bits(first.cast_unsigned()))),
        8 => (Decoder::Float32, Value::Float32(f32::from_bits(low.cast_unsigned()))),
        9 => (Decoder::Bool, Value::Bool(first > 0)),
        _ => return composed(*kind, rest),
    };
    let text = printed::value(decoder, &value).expect("it is printed");
    same(decoder, &text, &value);
    jiff_agrees(&value, &text);
}

/// Within its range jiff, which knows nothing of our arithmetic, reads the text as the same day.
fn jiff_agrees(value: &Value<'_>, text: &[u8]) {
    let (Value::Date(days), Ok(text)) = (value, std::str::from_utf8(text)) else { return };
    if let Ok(date) = text.parse::<jiff::civil::Date>() {
        let since = date - jiff::civil::date(1970, 1, 1);
        assert_eq!(i64::from(since.get_days()), i64::from(*days), "{text}");
    }
}

/// Arrays and maps of texts, ended by bytes of all ones.
fn composed(kind: u8, rest: &[u8]) {
    let texts = rest.split(|byte| *byte == 0xFF).filter_map(|text| std::str::from_utf8(text).ok());
    let values: Vec<Value<'_>> =
        texts.map(|text| if text == "\0" { Value::Null } else { Value::Text(text) }).collect();
    if kind % 12 == 10 {
        let text = printed::array(Decoder::Text, b',', &values).expect("texts are printed");
        return same(Decoder::Array(&Decoder::Text, b','), &text, &Value::List(&values));
    }
    let (pairs, _) = values.as_chunks::<2>();
    let entries: Vec<_> =
        pairs.iter().filter(|[key, _]| *key != Value::Null).map(|[key, value]| (*key, *value)).collect();
    let text = printed::hstore(&entries).expect("texts are printed");
    let arena = Bump::new();
    let Ok(Value::Map(found)) = Decoder::Hstore.decode(&text, &arena) else {
        panic!("{:?}", String::from_utf8_lossy(&text))
    };
    // Java's order is not ours.
    let sorted = |entries: &[(Value<'_>, Value<'_>)]| {
        let mut entries: Vec<String> = entries.iter().map(|entry| format!("{entry:?}")).collect();
        entries.sort();
        entries
    };
    assert_eq!(sorted(found), sorted(&entries));
}

/// A default is read or there is none. With the highest bit of the second byte set, the rest is a text,
/// which is quoted first.
pub fn default(input: &[u8], take: &mut dyn FnMut(Column)) {
    let Some((info, modifier, text)) = head(input) else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let quote = input.get(1).is_some_and(|byte| byte & 0x80 != 0);
    let expression =
        if quote { format!("'{}'::{}", text.replace('\'', "''"), info.name) } else { text.to_owned() };
    let found = default::parse(&info, modifier, &expression);
    if quote && matches!(info.name.as_str(), "text" | "bpchar" | "xml" | "mood") {
        assert_eq!(found, Some(Constant::Text(text.trim().to_owned())));
    }
    // A decimal gets up to 2047 zeros.
    let longest = match &found {
        Some(Constant::Text(text) | Constant::Bits(text)) => text.len(),
        Some(Constant::Decimal(text)) => text.len().saturating_sub(2_048),
        _ => 0,
    };
    assert!(longest <= expression.len().max(36));
    let Some((kind, _)) = column(&info, modifier) else { return };
    take(Column { default: found, ..Column::new("v", kind, modifier % 2 == 0) });
}
