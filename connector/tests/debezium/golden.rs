//! Reads recordings, and turns what stands in them back into tables and values.

use connector::model::table::{Column, ColumnType};
use connector::model::value::{Constant, UNIX_EPOCH, Value};
use serde_json::Value as Json;

/// The lines of a recording.
pub fn lines(name: &str) -> Vec<Json> {
    let path = format!("{}/tests/debezium/golden/{name}.jsonl", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).expect("a recording");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

pub fn text<'a>(line: &'a Json, name: &str) -> &'a str {
    line[name].as_str().unwrap_or_else(|| panic!("{name} is no text"))
}

/// The column that a field of a schema was made from.
pub fn column(field: &Json) -> Column {
    let union = field["type"].as_array();
    let inner = union.map_or(&field["type"], |types| {
        types.iter().find(|t| t.as_str() != Some("null")).expect("a type beside null")
    });
    let kind = kind(inner);
    let default = Some(&field["default"]).filter(|d| !d.is_null()).map(|d| default(&kind, d));
    Column { default, ..Column::new(text(field, "name"), kind, union.is_some()) }
}

fn kind(inner: &Json) -> ColumnType {
    let number = |name: &str| inner[name].as_i64().expect("a number");
    match inner["connect.name"].as_str() {
        Some("io.debezium.data.Json") => ColumnType::Json,
        Some("io.debezium.data.Xml") => ColumnType::Xml,
        Some("io.debezium.data.Uuid") => ColumnType::Uuid,
        Some("io.debezium.data.VariableScaleDecimal") => ColumnType::VariableDecimal,
        Some("org.apache.kafka.connect.data.Decimal") => ColumnType::Decimal {
            precision: u32::try_from(number("precision")).expect("small"),
            scale: i32::try_from(number("scale")).expect("small"),
        },
        Some("io.debezium.time.Date") => ColumnType::Date,
        Some("io.debezium.time.Time") => ColumnType::Time { precision: 3 },
        Some("io.debezium.time.MicroTime") => ColumnType::Time { precision: 6 },
        Some("io.debezium.time.Timestamp") => ColumnType::Timestamp { precision: 3 },
        Some("io.debezium.time.MicroTimestamp") => ColumnType::Timestamp { precision: 6 },
        Some("io.debezium.time.ZonedTimestamp") => ColumnType::TimestampTz { precision: None },
        Some(other) => panic!("{other} is not supported"),
        None => plain(inner),
    }
}

fn plain(inner: &Json) -> ColumnType {
    let name = inner.as_str().or(inner["type"].as_str()).expect("a type's name");
    match (name, inner["connect.type"].as_str()) {
        ("int", Some("int16")) => ColumnType::Int16,
        ("int", _) => ColumnType::Int32,
        ("long", _) => ColumnType::Int64,
        ("string", _) => ColumnType::Text,
        ("bytes", _) => ColumnType::Bytes,
        ("boolean", _) => ColumnType::Bool,
        ("float", _) => ColumnType::Float32,
        ("double", _) => ColumnType::Float64,
        (other, _) => panic!("{other} is not supported"),
    }
}

fn default(kind: &ColumnType, default: &Json) -> Constant {
    match kind {
        ColumnType::Decimal { scale, .. } => {
            let bytes: Vec<u8> = default.as_str().expect("text").chars().map(|c| c as u8).collect();
            Constant::Decimal(unscaled(&bytes, *scale))
        }
        ColumnType::Text | ColumnType::Json | ColumnType::Xml | ColumnType::Uuid => {
            Constant::Text(default.as_str().expect("text").to_owned())
        }
        _ => Constant::Plain(value(kind, default)),
    }
}

/// The value that a recorded one was made from.
pub fn value(kind: &ColumnType, recorded: &Json) -> Value<'static> {
    let number = || recorded.as_i64().expect("a whole number");
    let leak = |text: &str| -> &'static str { text.to_owned().leak() };
    if recorded.is_null() {
        return Value::Null;
    }
    if recorded.as_str() == Some(PLACEHOLDER) || recorded["$bytes"].as_str() == Some(PLACEHOLDER_HEX) {
        return Value::Unavailable;
    }
    match kind {
        ColumnType::Bool => Value::Bool(recorded.as_bool().expect("a flag")),
        ColumnType::Int16 | ColumnType::Int32 | ColumnType::Int64 => Value::Int(number()),
        ColumnType::Float32 => Value::Float32(recorded.as_f64().expect("a number") as f32),
        ColumnType::Float64 => Value::Float64(recorded.as_f64().expect("a number")),
        ColumnType::Decimal { scale: 2046, .. } => {
            // Debezium reads scale -2 so; the recording has the bytes.
            Value::Unavailable
        }
        ColumnType::Decimal { scale, .. } => match recorded["$bytes"].as_str() {
            Some(hex) => Value::Decimal(unscaled(&bytes(hex), *scale).leak()),
            None => Value::Decimal(leak(text(recorded, "$decimal"))),
        },
        ColumnType::VariableDecimal => {
            let scale = i32::try_from(recorded["scale"].as_i64().expect("a scale")).expect("small");
            Value::Decimal(unscaled(&bytes(text(&recorded["value"], "$bytes")), scale).leak())
        }
        ColumnType::Text | ColumnType::Json | ColumnType::Xml | ColumnType::Uuid => {
            Value::Text(leak(recorded.as_str().expect("text")))
        }
        ColumnType::Bytes => Value::Hex(leak(text(recorded, "$bytes")).as_bytes()),
        ColumnType::Date => Value::Date(i32::try_from(number()).expect("days")),
        ColumnType::Time { precision: 3 } => Value::Time(number() * 1_000),
        ColumnType::Time { .. } => Value::Time(number()),
        ColumnType::Timestamp { precision: 3 } => Value::Timestamp(number() * 1_000 + UNIX_EPOCH),
        ColumnType::Timestamp { .. } => Value::Timestamp(number() + UNIX_EPOCH),
        ColumnType::TimestampTz { .. } => {
            let text = recorded.as_str().expect("text").trim_end_matches('Z');
            let time: jiff::civil::DateTime = text.parse().expect("a time");
            let since = time.duration_since(jiff::civil::date(1970, 1, 1).into());
            Value::TimestampTz(i64::try_from(since.as_micros()).expect("64 bits") + UNIX_EPOCH)
        }
        other => panic!("{other:?} is not recorded"),
    }
}

const PLACEHOLDER: &str = "__debezium_unavailable_value";
const PLACEHOLDER_HEX: &str = "5f5f646562657a69756d5f756e617661696c61626c655f76616c7565";

/// Two's complement bytes → decimal text, digit by digit.
pub fn unscaled(bytes: &[u8], scale: i32) -> String {
    let negative = bytes.first().is_some_and(|b| b & 0x80 != 0);
    let mut digits = vec![0_u8];
    let mut carry = u32::from(negative);
    for byte in bytes {
        // Of a negative number the complement is read, and one added at the end.
        carry = u32::from(if negative { !byte } else { *byte });
        for digit in &mut digits {
            carry += u32::from(*digit) * 256;
            *digit = (carry % 10) as u8;
            carry /= 10;
        }
        while carry > 0 {
            digits.push((carry % 10) as u8);
            carry /= 10;
        }
    }
    carry += u32::from(negative);
    for digit in &mut digits {
        carry += u32::from(*digit);
        *digit = (carry % 10) as u8;
        carry /= 10;
    }
    digits.extend((carry > 0).then_some(1));
    let scale = usize::try_from(scale).expect("not negative");
    let digits: String = digits.iter().rev().map(|d| char::from(b'0' + d)).collect();
    let digits = format!("{:0>width$}", digits.trim_start_matches('0'), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let sign = if negative { "-" } else { "" };
    let point = if scale > 0 { "." } else { "" };
    format!("{sign}{whole}{point}{fraction}")
}

pub fn bytes(hex: &str) -> Vec<u8> {
    let pair = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal");
    (0..hex.len()).step_by(2).map(pair).collect()
}
