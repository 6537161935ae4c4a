//! References: named types that stand under other subjects, and a text made whole with them.

use super::shape;
use super::subject::{self, Which};
use rusqlite::Connection;
use serde_json::{Map, Value};
use shared::Result;
pub use shared::registry::Reference;
use shared::registry::reference::MAX_NEEDED;
use std::collections::{HashMap, HashSet};

/// A chain of texts may nest deeper than any one of them; past this it is left as it is, and refused by
/// whoever reads it.
const MAX_DEPTH: usize = 200;

/// As it is kept; nothing for none.
pub(super) fn to_text(references: &[Reference]) -> String {
    match references.is_empty() {
        true => String::new(),
        false => serde_json::to_string(references).unwrap_or_default(),
    }
}

pub(super) fn from_text(text: &str) -> Vec<Reference> {
    serde_json::from_str(text).unwrap_or_default()
}

/// The texts that these references bring, in an order in which each may use those before it. The
/// inner error says what is missing.
pub(super) fn needed(
    reader: &Connection,
    references: &[Reference],
) -> Result<std::result::Result<Vec<String>, String>> {
    let mut search = Search { reader, seen: HashSet::new(), texts: Vec::new() };
    for reference in references {
        if let Err(why) = search.add(reference, 0)? {
            return Ok(Err(why));
        }
    }
    Ok(Ok(search.texts))
}

struct Search<'a> {
    reader: &'a Connection,
    seen: HashSet<(String, u32)>,
    texts: Vec<String>,
}

impl Search<'_> {
    fn add(&mut self, reference: &Reference, depth: usize) -> Result<std::result::Result<(), String>> {
        let Reference { name, subject, version } = reference;
        if !self.seen.insert((subject.clone(), *version)) {
            return Ok(Ok(()));
        }
        if self.seen.len() > MAX_NEEDED || depth > MAX_NEEDED {
            return Ok(Err(format!("more than {MAX_NEEDED} schemas are referred to")));
        }
        // Those deleted softly still give their text, as long as somebody refers to them.
        let Some(found) = subject::version(self.reader, subject, Some(*version), Which::All)? else {
            let what = format!("no schema reference found for subject {subject:?} and version {version}");
            return Ok(Err(format!("{what} (name {name:?})")));
        };
        for inner in &found.references {
            if let Err(why) = self.add(inner, depth + 1)? {
                return Ok(Err(why));
            }
        }
        self.texts.push(found.text);
        Ok(Ok(()))
    }
}

/// The text with the definitions of the types that it takes from `needed` put where they are first
/// used; as it is, if it needs none. Both must have been read without error.
pub(super) fn whole(text: &str, needed: &[String]) -> String {
    if needed.is_empty() {
        return text.to_owned();
    }
    let mut known = HashMap::new();
    for text in needed {
        if let Ok(value) = serde_json::from_str::<Value>(text) {
            collect(&value, "", &mut known);
        }
    }
    let Ok(value) = serde_json::from_str::<Value>(text) else { return text.to_owned() };
    let mut own = HashMap::new();
    collect(&value, "", &mut own);
    known.retain(|name, _| !own.contains_key(name));
    Inline { known, done: HashSet::new(), depth: 0 }.walk(&value, "").to_string()
}

/// Every named type in a schema, with the namespace that it stands in.
fn collect(value: &Value, namespace: &str, known: &mut HashMap<String, (Value, String)>) {
    match value {
        Value::Array(branches) => branches.iter().for_each(|branch| collect(branch, namespace, known)),
        Value::Object(object) => {
            let mut inner = namespace.to_owned();
            if let Some(full) = shape::defined_name(object, namespace) {
                inner = shape::namespace_of(&full).to_owned();
                known.entry(full).or_insert_with(|| (value.clone(), namespace.to_owned()));
            }
            for key in ["type", "items", "values"] {
                object.get(key).into_iter().for_each(|value| collect(value, &inner, known));
            }
            let fields = object.get("fields").and_then(Value::as_array).into_iter().flatten();
            fields.filter_map(|field| field.get("type")).for_each(|kind| collect(kind, &inner, known));
        }
        _ => {}
    }
}

struct Inline {
    known: HashMap<String, (Value, String)>,
    /// Names that are defined further up.
    done: HashSet<String>,
    depth: usize,
}

impl Inline {
    fn walk(&mut self, value: &Value, namespace: &str) -> Value {
        if self.depth >= MAX_DEPTH {
            return value.clone();
        }
        self.depth += 1;
        let walked = self.inner(value, namespace);
        self.depth -= 1;
        walked
    }

    fn inner(&mut self, value: &Value, namespace: &str) -> Value {
        match value {
            Value::String(name) => self.name(name, namespace),
            Value::Array(list) => list.iter().map(|branch| self.walk(branch, namespace)).collect(),
            Value::Object(object) => self.object(object, namespace),
            other => other.clone(),
        }
    }

    fn name(&mut self, name: &str, namespace: &str) -> Value {
        if shape::is_primitive(name) {
            return name.into();
        }
        let mut full = shape::full_name(name, namespace);
        if !self.done.contains(&full) && !self.known.contains_key(&full) && self.known.contains_key(name) {
            full = name.to_owned();
        }
        match self.known.get(&full).cloned() {
            Some((definition, namespace)) if !self.done.contains(&full) => self.walk(&definition, &namespace),
            _ => full.into(),
        }
    }

    fn object(&mut self, object: &Map<String, Value>, namespace: &str) -> Value {
        let defined = shape::defined_name(object, namespace);
        let mut inner = namespace.to_owned();
        let mut out = Map::new();
        if let Some(full) = &defined {
            inner = shape::namespace_of(full).to_owned();
            self.done.insert(full.clone());
        }
        for (key, value) in object {
            let value = match (key.as_str(), &defined) {
                ("name", Some(full)) => full.clone().into(),
                ("namespace", Some(_)) => continue,
                ("type", Some(_)) => value.clone(),
                ("fields", Some(_)) => self.fields(value, &inner),
                ("type", None) => match value {
                    // A reference written as an object: the definition takes its place.
                    Value::String(name) if !matches!(name.as_str(), "array" | "map") => {
                        let value = self.name(name, namespace);
                        if value.is_object() {
                            return value;
                        }
                        value
                    }
                    Value::String(_) => value.clone(),
                    other => self.walk(other, namespace),
                },
                ("items" | "values", None) => self.walk(value, namespace),
                _ => value.clone(),
            };
            out.insert(key.clone(), value);
        }
        if defined.is_some_and(|full| !full.contains('.')) {
            out.insert("namespace".to_owned(), "".into());
        }
        Value::Object(out)
    }

    fn fields(&mut self, fields: &Value, namespace: &str) -> Value {
        let field = |field: &Value| match field.as_object() {
            Some(object) => {
                let mut out = object.clone();
                if let Some(kind) = object.get("type") {
                    out.insert("type".to_owned(), self.walk(kind, namespace));
                }
                Value::Object(out)
            }
            None => field.clone(),
        };
        fields.as_array().into_iter().flatten().map(field).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_made_whole() {
        let point =
            r#"{"type":"record","name":"Point","namespace":"geo","fields":[{"name":"x","type":"int"}]}"#;
        let line = r#"{"type":"record","name":"Line","namespace":"geo","fields":[{"name":"a","type":"Point"},{"name":"b","type":"Point"}]}"#;
        let bare = r#"{"type":"enum","name":"Bare","symbols":["A"]}"#;
        let text = r#"{"type":"record","name":"Map","namespace":"m","fields":[
            {"name":"lines","type":{"type":"array","items":"geo.Line"}},
            {"name":"spot","type":["null","geo.Point"],"default":null},
            {"name":"one","type":{"type":"geo.Point"}},
            {"name":"bare","type":"Bare"},{"name":"self","type":["null","Map"]}]}"#;
        let needed = [point, line, bare].map(str::to_owned);
        let whole = whole(text, &needed);
        let shape = shape::parse(&whole).expect(&whole);
        let mut names: Vec<&String> = shape.named.keys().collect();
        names.sort();
        assert_eq!(names, ["Bare", "geo.Line", "geo.Point", "m.Map"]);
        apache_avro::Schema::parse_str(&whole).expect(&whole);
        assert_eq!(super::whole(text, &[]), text, "byte for byte, when nothing is needed");
    }
}
