//! Against what the real Feast SDK wrote.

use super::*;
use serde_json::Value as Json;

fn vectors() -> Json {
    serde_json::from_str(include_str!("fixture/feast.json")).expect("the fixture is valid")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
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
    for case in list(&vectors(), "values") {
        let given = &case["value"];
        let ours = match text(case, "type") {
            "INT64" => Value::Int(given.as_i64().expect("a number")),
            "DOUBLE" => Value::Float(given.as_str().expect("a text").parse().expect("a number")),
            "STRING" => Value::Text(given.as_str().expect("a text").to_owned()),
            "BOOL" => Value::Bool(given.as_bool().expect("a truth")),
            "UNIX_TIMESTAMP" => Value::Timestamp(given.as_i64().expect("a number") * 1_000_000),
            _ => continue,
        };
        assert_eq!(hex(&value(&ours)), text(case, "hex"), "{case}");
        compared += 1;
    }
    assert!(compared > 15, "only {compared} compared");
    assert!(value(&Value::Null).is_empty());
    assert_eq!(hex(&value(&Value::Bytes(vec![0, 255]))), "0a0200ff");
    // Field 14 (int64 list), 15 (double list), 12 (string list), each packed as proto3 packs.
    let list = |values: &[Value]| hex(&value(&Value::List(values.to_vec())));
    assert_eq!(list(&[Value::Int(1), Value::Int(300)]), "72050a0301ac02");
    assert_eq!(list(&[Value::Float(1.0)]), "7a0a0a08000000000000f03f");
    assert_eq!(list(&[Value::Text("a".into()), Value::Text(String::new())]), "62050a01610a00");
}
