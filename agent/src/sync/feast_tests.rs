//! Against what the real Feast SDK wrote.

use super::*;
use serde_json::Value as Json;

fn vectors() -> Json {
    serde_json::from_str(include_str!("fixture/feast.json")).expect("the fixture is valid")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn unhex(json: &Json) -> Vec<u8> {
    let text = json.as_str().expect("hexadecimal");
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("a byte");
    (0..text.len()).step_by(2).map(byte).collect()
}

/// A list in the fixture, each element by `of`; an empty one has no kind, and is null to Feast.
fn listed(json: &Json, of: impl Fn(&Json) -> Value) -> Option<Value> {
    let values: Vec<Value> = json.as_array().expect("a list").iter().map(of).collect();
    (!values.is_empty()).then_some(Value::List(values))
}

fn list<'a>(json: &'a Json, key: &str) -> &'a [Json] {
    json[key].as_array().unwrap_or_else(|| panic!("{key} is a list"))
}

fn text<'a>(json: &'a Json, key: &str) -> &'a str {
    json[key].as_str().unwrap_or_else(|| panic!("{key} is a text"))
}

#[test]
fn entity_keys() {
    for case in list(&vectors(), "entity_keys") {
        let keys: Vec<(&str, JoinValue)> = list(case, "join_keys")
            .iter()
            .map(|key| {
                let (kind, value) = (text(key, "type"), &key["value"]);
                let number = || value.as_i64().expect("a number");
                let value = match kind {
                    "string" => JoinValue::Text(value.as_str().expect("a text").to_owned()),
                    "int32" => JoinValue::Int32(number() as i32),
                    "bytes" => JoinValue::Bytes(unhex(value)),
                    "unix_timestamp" => JoinValue::Timestamp(number()),
                    _ => JoinValue::Int64(number()),
                };
                (text(key, "name"), value)
            })
            .collect();
        assert_eq!(hex(&entity_key(&keys)), text(case, "serialized_v3_hex"), "{case}");
        assert_eq!(hex(&redis_key(&keys, text(case, "project"))), text(case, "redis_key_hex"), "{case}");
    }
}

#[test]
fn fields_and_times() {
    let vectors = vectors();
    for case in list(&vectors, "hash_fields") {
        let (view, feature) = text(case, "text").split_once(':').expect("view:feature");
        assert_eq!(hex(&field(view, feature)), text(case, "field_hex"), "{case}");
    }
    for case in list(&vectors, "timestamps") {
        let part = |key: &str| case[key].as_i64().expect("a number");
        let nanos = part("seconds").checked_mul(1_000_000_000).and_then(|n| n.checked_add(part("nanos")));
        // 64 bits of nanoseconds end in 2262.
        if let Some(nanos) = nanos {
            assert_eq!(hex(&timestamp(nanos)), text(case, "hex"), "{case}");
        }
    }
    assert_eq!(time_field("user_spend_10m"), b"_ts:user_spend_10m");
}

#[test]
fn values() {
    let mut compared = 0;
    let seconds = |given: &Json| Value::Timestamp(given.as_i64().expect("a number") * 1_000_000);
    for case in list(&vectors(), "values") {
        let given = &case["value"];
        let ours = match text(case, "type") {
            "INT64" => Value::Int(given.as_i64().expect("a number")),
            "DOUBLE" => Value::Float(given.as_str().expect("a text").parse().expect("a number")),
            "STRING" => Value::Text(given.as_str().expect("a text").to_owned()),
            "BOOL" => Value::Bool(given.as_bool().expect("a truth")),
            "UNIX_TIMESTAMP" => seconds(given),
            "BYTES" => Value::Bytes(unhex(given)),
            "INT64_LIST" => match listed(given, |n| Value::Int(n.as_i64().expect("a number"))) {
                Some(list) => list,
                None => continue,
            },
            "DOUBLE_LIST" => listed(given, |n| Value::Float(n.as_f64().expect("a number"))).expect("some"),
            "STRING_LIST" => {
                listed(given, |s| Value::Text(s.as_str().expect("a text").into())).expect("some")
            }
            "BYTES_LIST" => listed(given, |bytes| Value::Bytes(unhex(bytes))).expect("some"),
            "BOOL_LIST" => {
                listed(given, |truth| Value::Bool(truth.as_bool().expect("a truth"))).expect("some")
            }
            "UNIX_TIMESTAMP_LIST" => listed(given, seconds).expect("some"),
            _ => continue,
        };
        assert_eq!(hex(&value(&ours)), text(case, "hex"), "{case}");
        compared += 1;
    }
    assert!(compared > 30, "only {compared} compared");
    assert!(value(&Value::Null).is_empty());
    assert_eq!(hex(&value(&Value::Bytes(vec![0, 255]))), "0a0200ff");
    // Field 14 (int64 list), 15 (double list), 12 (string list), each packed as proto3 packs.
    let list = |values: &[Value]| hex(&value(&Value::List(values.to_vec())));
    assert_eq!(list(&[Value::Int(1), Value::Int(300)]), "72050a0301ac02");
    assert_eq!(list(&[Value::Float(1.0)]), "7a0a0a08000000000000f03f");
    assert_eq!(list(&[Value::Text("a".into()), Value::Text(String::new())]), "62050a01610a00");
}

#[test]
fn texts_are_pythons() {
    for (value, text) in [
        (Value::Float(1.0), Some("1.0")),
        (Value::Float(0.1), Some("0.1")),
        (Value::Float(1e16), Some("1e+16")),
        (Value::Float(123_456_789_012_345_680.0), Some("1.2345678901234568e+17")),
        (Value::Float(1e15), Some("1000000000000000.0")),
        (Value::Float(0.0001), Some("0.0001")),
        (Value::Float(0.00001), Some("1e-05")),
        (Value::Float(-0.0), Some("-0.0")),
        (Value::Float(f64::NAN), Some("nan")),
        (Value::Float(f64::INFINITY), Some("inf")),
        (Value::Int(-7), Some("-7")),
        (Value::Bool(true), Some("True")),
        (Value::Text("a\0b".into()), None),
        (Value::Null, None),
    ] {
        assert_eq!(value_text(&value).as_deref(), text, "{value:?}");
    }
    let list = Value::List(vec![Value::Float(1.0), Value::Int(2)]);
    assert_eq!(vector_text(&list).as_deref(), Some("[1.0, 2.0]"));
    assert_eq!(vector_text(&Value::List(vec![Value::Text("a".into())])), None);
}
