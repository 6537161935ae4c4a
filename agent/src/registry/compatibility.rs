//! Avro's resolution rules, per level; pure. As Java's `SchemaCompatibility`: logical types play no
//! part, names are compared without their namespace, and promotions are those of the specification.

use super::shape::{self, Body, Field, Named, Primitive, Shape, Type};
use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

/// Which schemas must be able to read which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    None,
    /// The new reads data of the newest.
    Backward,
    /// The new reads data of all.
    BackwardTransitive,
    /// The newest reads data of the new.
    Forward,
    /// All read data of the new.
    ForwardTransitive,
    Full,
    FullTransitive,
}

const LEVELS: &[(Level, &str)] = &[
    (Level::None, "NONE"),
    (Level::Backward, "BACKWARD"),
    (Level::BackwardTransitive, "BACKWARD_TRANSITIVE"),
    (Level::Forward, "FORWARD"),
    (Level::ForwardTransitive, "FORWARD_TRANSITIVE"),
    (Level::Full, "FULL"),
    (Level::FullTransitive, "FULL_TRANSITIVE"),
];

impl FromStr for Level {
    type Err = ();
    fn from_str(text: &str) -> Result<Level, ()> {
        LEVELS.iter().find(|(_, name)| name.eq_ignore_ascii_case(text)).map(|(level, _)| *level).ok_or(())
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(LEVELS.iter().find(|(level, _)| level == self).map_or("NONE", |(_, name)| name))
    }
}

impl Level {
    fn backward(self) -> bool {
        !matches!(self, Level::None | Level::Forward | Level::ForwardTransitive)
    }
    fn forward(self) -> bool {
        !matches!(self, Level::None | Level::Backward | Level::BackwardTransitive)
    }
    fn transitive(self) -> bool {
        matches!(self, Level::BackwardTransitive | Level::ForwardTransitive | Level::FullTransitive)
    }
}

/// An earlier schema of a subject.
pub(super) struct Earlier {
    pub version: u32,
    pub text: String,
    /// What it takes from other subjects.
    pub needed: Vec<String>,
}

/// Why `new` does not go with `earlier` schemas (oldest first); empty if it does.
pub(super) fn against(level: Level, new: &Shape, earlier: &[Earlier]) -> Vec<String> {
    let depth = match level {
        Level::None => 0,
        level if level.transitive() => earlier.len(),
        _ => 1,
    };
    for Earlier { version, text, needed } in earlier.iter().rev().take(depth) {
        // What was taken once is not judged again.
        let Ok(old) = shape::parse_with(text, needed) else { continue };
        let mut reasons = Vec::new();
        if level.backward() {
            reasons.extend(cannot_read(new, &old).map(|reason| format!("new cannot read old: {reason}")));
        }
        if level.forward() {
            reasons.extend(cannot_read(&old, new).map(|reason| format!("old cannot read new: {reason}")));
        }
        if !reasons.is_empty() {
            reasons.push(format!("{{oldSchemaVersion: {version}}}"));
            reasons.push(format!("{{compatibility: '{level}'}}"));
            return reasons;
        }
    }
    Vec::new()
}

/// The first reason why `reader` cannot read what `writer` wrote.
pub(super) fn cannot_read(reader: &Shape, writer: &Shape) -> Option<String> {
    Check { reader, writer, seen: HashSet::new() }.compare(&reader.root, &writer.root).err()
}

struct Check<'a> {
    reader: &'a Shape,
    writer: &'a Shape,
    /// Pairs of names under way or done: a recursive type is compatible unless shown otherwise.
    seen: HashSet<(&'a str, &'a str)>,
}

impl<'a> Check<'a> {
    fn compare(&mut self, reader: &'a Type, writer: &'a Type) -> Result<(), String> {
        match (reader, writer) {
            (_, Type::Union(branches)) => branches.iter().try_for_each(|branch| self.compare(reader, branch)),
            (Type::Union(branches), _) => {
                // A branch that was tried in vain must not leave its pairs as compatible.
                for branch in branches {
                    let before = self.seen.clone();
                    if self.compare(branch, writer).is_ok() {
                        return Ok(());
                    }
                    self.seen = before;
                }
                Err(format!("reader's union lacks the writer's {}", describe(writer)))
            }
            (Type::Primitive(reader), Type::Primitive(writer)) if promotes(*reader, *writer) => Ok(()),
            (Type::Array(reader), Type::Array(writer)) | (Type::Map(reader), Type::Map(writer)) => {
                self.compare(reader, writer)
            }
            (Type::Named(reader), Type::Named(writer)) => self.compare_named(reader, writer),
            _ => Err(format!("reader's type {} does not take {}", describe(reader), describe(writer))),
        }
    }

    fn compare_named(&mut self, reader: &'a str, writer: &'a str) -> Result<(), String> {
        let (Some(read), Some(written)) = (self.reader.named.get(reader), self.writer.named.get(writer))
        else {
            return Err(format!("undefined name {reader:?} or {writer:?}"));
        };
        if !names_match(read, written) {
            return Err(format!("expected {}, found {}", written.full_name, read.full_name));
        }
        if !self.seen.insert((reader, writer)) {
            return Ok(());
        }
        match (&read.body, &written.body) {
            (Body::Record(read), Body::Record(written)) => {
                read.iter().try_for_each(|field| self.compare_field(field, written))
            }
            (Body::Enum { symbols, has_default }, Body::Enum { symbols: written, .. }) => {
                match written.iter().find(|symbol| !symbols.contains(symbol)) {
                    Some(symbol) if !has_default => Err(format!("enum {reader} lacks symbol {symbol:?}")),
                    _ => Ok(()),
                }
            }
            (Body::Fixed { size }, Body::Fixed { size: written }) if size == written => Ok(()),
            (Body::Fixed { size }, Body::Fixed { size: written }) => {
                Err(format!("fixed {reader}: expected {written} bytes, found {size}"))
            }
            _ => Err(format!("{reader} is of another kind than {writer}")),
        }
    }

    fn compare_field(&mut self, field: &'a Field, written: &'a [Field]) -> Result<(), String> {
        let by_name = |name: &str| written.iter().find(|other| other.name == name);
        let source = by_name(&field.name).or_else(|| field.aliases.iter().find_map(|alias| by_name(alias)));
        match source {
            Some(source) => {
                self.compare(&field.shape, &source.shape).map_err(|e| format!("field {}: {e}", field.name))
            }
            None if field.has_default => Ok(()),
            None => Err(format!("field {} has no default and is not in the data", field.name)),
        }
    }
}

fn names_match(reader: &Named, writer: &Named) -> bool {
    let last = |name: &str| name.rsplit('.').next().map(str::to_owned);
    last(&reader.full_name) == last(&writer.full_name) || reader.aliases.contains(&writer.full_name)
}

fn promotes(reader: Primitive, writer: Primitive) -> bool {
    use Primitive::{Bytes, Double, Float, Int, Long, String};
    reader == writer
        || matches!(
            (reader, writer),
            (Long, Int)
                | (Float, Int | Long)
                | (Double, Int | Long | Float)
                | (Bytes, String)
                | (String, Bytes)
        )
}

fn describe(shape: &Type) -> String {
    match shape {
        Type::Primitive(primitive) => format!("{primitive:?}").to_lowercase(),
        Type::Array(_) => "array".to_owned(),
        Type::Map(_) => "map".to_owned(),
        Type::Union(_) => "union".to_owned(),
        Type::Named(name) => name.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(fields: &str) -> String {
        format!(r#"{{"type":"record","name":"R","namespace":"a.b","fields":[{fields}]}}"#)
    }

    #[test]
    fn who_reads_whom() {
        let id = r#"{"name":"id","type":"int"}"#;
        let two = record(&format!(r#"{id},{{"name":"n","type":["null","string"],"default":null}}"#));
        let strict = record(&format!(r#"{id},{{"name":"n","type":["null","string"]}}"#));
        let renamed = record(r#"{"name":"key","aliases":["id"],"type":"long"}"#);
        let moved = record(id).replace("a.b", "other");
        let node = r#"{"name":"next","type":["null","R"]}"#;
        let bad_node = r#"{"name":"next","type":["null","R"]},{"name":"x","type":"int"}"#;
        let one = record(id);
        let text = r#""string""#;
        let cases: &[(&str, &str, &str, bool)] = &[
            ("the same", &one, &one, true),
            ("a field with default is new", &two, &one, true),
            ("a field without default is new", &strict, &one, false),
            ("a field is gone", &one, &strict, true),
            ("alias and promotion", &renamed, &one, true),
            ("demotion", &one, &renamed.replace("key", "id"), false),
            ("another namespace", &moved, &one, true),
            ("another name", &one.replace("\"R\"", "\"Q\""), &one, false),
            ("recursive", &record(node), &record(node), true),
            ("recursive, a field more", &record(bad_node), &record(node), false),
            ("wider union", r#"["null","string","int"]"#, r#"["null","string"]"#, true),
            ("narrower union", r#"["null","string"]"#, r#"["null","string","int"]"#, false),
            ("out of a union", text, r#"["string"]"#, true),
            ("nullable to not null", text, r#"["null","string"]"#, false),
            ("into a union", r#"["null","string"]"#, text, true),
            ("logical types play no part", r#"{"type":"int","logicalType":"date"}"#, r#""int""#, true),
            ("bytes and string", r#""bytes""#, text, true),
            (
                "array of promoted",
                r#"{"type":"array","items":"long"}"#,
                r#"{"type":"array","items":"int"}"#,
                true,
            ),
            (
                "map against array",
                r#"{"type":"map","values":"int"}"#,
                r#"{"type":"array","items":"int"}"#,
                false,
            ),
            (
                "enum lost a symbol",
                r#"{"type":"enum","name":"E","symbols":["A"]}"#,
                r#"{"type":"enum","name":"E","symbols":["A","B"]}"#,
                false,
            ),
            (
                "enum lost a symbol but has a default",
                r#"{"type":"enum","name":"E","symbols":["A"],"default":"A"}"#,
                r#"{"type":"enum","name":"E","symbols":["A","B"]}"#,
                true,
            ),
            (
                "fixed of another size",
                r#"{"type":"fixed","name":"F","size":3}"#,
                r#"{"type":"fixed","name":"F","size":4}"#,
                false,
            ),
        ];
        for (name, reader, writer, want) in cases {
            let reader = shape::parse(reader).expect(name);
            let writer = shape::parse(writer).expect(name);
            let reason = cannot_read(&reader, &writer);
            assert_eq!(reason.is_none(), *want, "{name}: {reason:?}");
        }
    }

    #[test]
    fn levels() {
        let first = record(r#"{"name":"a","type":"int"}"#);
        let second = record(r#"{"name":"b","type":"int","default":0}"#);
        // Reads the second, whose field it shares, but not the first.
        let third = record(r#"{"name":"b","type":"int"}"#);
        let cases = [
            (Level::None, true),
            (Level::Backward, true),
            (Level::BackwardTransitive, false),
            (Level::Forward, true),
            (Level::ForwardTransitive, false),
            (Level::Full, true),
            (Level::FullTransitive, false),
        ];
        for (level, want) in cases {
            let new = shape::parse(&third).expect("valid");
            let earlier = [(1, &first), (2, &second)].map(|(version, text)| Earlier {
                version,
                text: text.clone(),
                needed: Vec::new(),
            });
            let reasons = against(level, &new, &earlier);
            assert_eq!(reasons.is_empty(), want, "{level}: {reasons:?}");
            assert_eq!(level.to_string().parse(), Ok(level));
        }
    }
}
