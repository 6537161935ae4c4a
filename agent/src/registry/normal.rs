//! A schema's normal form: texts that mean the same give the same. Pure.
//!
//! Names are written in full where they stand, attributes have one order, those that no rule knows
//! are sorted, a type written as an object without need becomes its name. Attributes stay: the normal
//! form is what is registered, and consumers read `doc`, `default`, `connect.name` and the like.

use super::shape;
use serde_json::{Map, Value};

/// The normal form of a text that was read without error.
pub(super) fn normalize(text: &str) -> String {
    match serde_json::from_str::<Value>(text) {
        Ok(value) => schema(&value, "").to_string(),
        // A bare primitive without quotes.
        Err(_) => Value::from(text.trim()).to_string(),
    }
}

fn schema(value: &Value, namespace: &str) -> Value {
    match value {
        Value::String(name) if shape::is_primitive(name) => value.clone(),
        Value::String(name) => shape::full_name(name, namespace).into(),
        Value::Array(branches) => branches.iter().map(|branch| schema(branch, namespace)).collect(),
        Value::Object(object) => object_schema(object, namespace),
        other => other.clone(),
    }
}

fn object_schema(object: &Map<String, Value>, namespace: &str) -> Value {
    let kind = match object.get("type") {
        Some(Value::String(kind)) => kind.as_str(),
        Some(inner) => return schema(inner, namespace),
        None => return Value::Object(object.clone()),
    };
    if let Some(full) = shape::defined_name(object, namespace) {
        return named(object, kind, &full);
    }
    let mut out = Map::new();
    out.insert("type".to_owned(), kind.into());
    match kind {
        "array" => copy(&mut out, "items", object.get("items").map(|items| schema(items, namespace))),
        "map" => copy(&mut out, "values", object.get("values").map(|values| schema(values, namespace))),
        primitive if shape::is_primitive(primitive) => {}
        // By name, whose definition has the attributes.
        name => return shape::full_name(name, namespace).into(),
    }
    rest(&mut out, object, &["type", "items", "values"]);
    match out.len() {
        1 => kind.into(),
        _ => Value::Object(out),
    }
}

fn named(object: &Map<String, Value>, kind: &str, full: &str) -> Value {
    let namespace = shape::namespace_of(full);
    let mut out = Map::new();
    out.insert("name".to_owned(), full.into());
    out.insert("type".to_owned(), kind.into());
    match kind {
        "enum" => {
            copy(&mut out, "symbols", object.get("symbols").cloned());
            copy(&mut out, "default", object.get("default").cloned());
        }
        "fixed" => copy(&mut out, "size", object.get("size").cloned()),
        _ => {
            let fields = object.get("fields").and_then(Value::as_array).into_iter().flatten();
            out.insert("fields".to_owned(), fields.map(|one| field(one, namespace)).collect());
        }
    }
    copy(&mut out, "doc", object.get("doc").filter(|doc| doc.as_str() != Some("")).cloned());
    aliases(&mut out, object, |alias| shape::full_name(alias, namespace));
    let known = ["name", "namespace", "type", "symbols", "size", "fields", "doc", "aliases"];
    let hidden = if kind == "enum" { &[&known[..], &["default"]].concat() } else { &known.to_vec() };
    rest(&mut out, object, hidden);
    Value::Object(out)
}

fn field(value: &Value, namespace: &str) -> Value {
    let Some(object) = value.as_object() else { return value.clone() };
    let mut out = Map::new();
    copy(&mut out, "name", object.get("name").cloned());
    copy(&mut out, "type", object.get("type").map(|kind| schema(kind, namespace)));
    copy(&mut out, "order", object.get("order").filter(|order| *order != "ascending").cloned());
    copy(&mut out, "doc", object.get("doc").filter(|doc| doc.as_str() != Some("")).cloned());
    copy(&mut out, "default", object.get("default").cloned());
    aliases(&mut out, object, str::to_owned);
    rest(&mut out, object, &["name", "type", "order", "doc", "default", "aliases"]);
    Value::Object(out)
}

fn copy(out: &mut Map<String, Value>, key: &str, value: Option<Value>) {
    if let Some(value) = value {
        out.insert(key.to_owned(), value);
    }
}

fn aliases(out: &mut Map<String, Value>, object: &Map<String, Value>, full: impl Fn(&str) -> String) {
    let list = object.get("aliases").and_then(Value::as_array).into_iter().flatten();
    let mut names: Vec<String> = list.filter_map(Value::as_str).map(full).collect();
    names.sort();
    names.dedup();
    if !names.is_empty() {
        out.insert("aliases".to_owned(), names.into());
    }
}

/// The attributes that no rule knows, by name, what is inside them sorted too.
fn rest(out: &mut Map<String, Value>, object: &Map<String, Value>, known: &[&str]) {
    let mut keys: Vec<&String> = object.keys().filter(|key| !known.contains(&key.as_str())).collect();
    keys.sort();
    for key in keys {
        copy(out, key, object.get(key).map(sorted));
    }
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let mut keys: Vec<(&String, &Value)> = object.iter().collect();
            keys.sort_by_key(|(key, _)| *key);
            Value::Object(keys.into_iter().map(|(key, value)| (key.clone(), sorted(value))).collect())
        }
        Value::Array(list) => list.iter().map(sorted).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_meaning_gives_the_same_text() {
        let one = r#"{"type":"record","name":"R","namespace":"a","doc":"","fields":[
            {"name":"id","type":{"type":"int"},"order":"ascending"},
            {"type":{"type":"string","b":1,"a":{"y":1,"x":2}},"name":"s","default":""},
            {"name":"next","type":["null","R"]}]}"#;
        let two = r#"{"fields":[{"type":"int","name":"id"},{"name":"s","default":"","type":{"a":{"x":2,"y":1},"b":1,"type":"string"}},{"name":"next","type":["null",{"type":"a.R"}]}],"name":"a.R","type":"record"}"#;
        assert_eq!(normalize(one), normalize(two));
        assert_eq!(normalize(&normalize(one)), normalize(one), "once is enough");
        for (text, want) in [
            ("string", r#""string""#),
            (r#"{"type":"string"}"#, r#""string""#),
            (r#"{"type":{"type":"long"}}"#, r#""long""#),
            (r#"{"logicalType":"date","type":"int"}"#, r#"{"type":"int","logicalType":"date"}"#),
            (r#"{"items":{"type":"int"},"type":"array"}"#, r#"{"type":"array","items":"int"}"#),
            (
                r#"{"symbols":["A"],"name":"E","namespace":"n","type":"enum","aliases":["Z","m.B"],"default":"A"}"#,
                r#"{"name":"n.E","type":"enum","symbols":["A"],"default":"A","aliases":["m.B","n.Z"]}"#,
            ),
        ] {
            assert_eq!(normalize(text), want, "{text}");
        }
        assert_ne!(normalize(r#"{"type":"int","x":1}"#), normalize(r#""int""#), "attributes stay");
    }
}
