//! An Avro schema as resolution sees it: types, names, fields, defaults; nothing else; pure.
//!
//! Own code, because a schema library's tree knows references only by name and compares more than
//! resolution asks for (logical types), so that it would refuse what Confluent's registry takes.

use serde_json::{Map, Value};
use std::collections::HashMap;

/// Deeper nesting is an attack, not a table.
const MAX_DEPTH: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Primitive {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
}

#[derive(Debug)]
pub(super) enum Type {
    Primitive(Primitive),
    Array(Box<Type>),
    Map(Box<Type>),
    Union(Vec<Type>),
    /// A record, an enum or a fixed, by its full name.
    Named(String),
}

#[derive(Debug)]
pub(super) struct Named {
    pub full_name: String,
    pub aliases: Vec<String>,
    pub body: Body,
}

#[derive(Debug)]
pub(super) enum Body {
    Record(Vec<Field>),
    Enum { symbols: Vec<String>, has_default: bool },
    Fixed { size: u64 },
}

#[derive(Debug)]
pub(super) struct Field {
    pub name: String,
    pub aliases: Vec<String>,
    pub has_default: bool,
    pub shape: Type,
}

/// A schema and the names it defines.
#[derive(Debug)]
pub(super) struct Shape {
    pub root: Type,
    pub named: HashMap<String, Named>,
}

impl Shape {
    /// One of Avro's own types, perhaps sent without quotes.
    pub fn is_bare_primitive(&self) -> bool {
        matches!(self.root, Type::Primitive(_))
    }
}

#[cfg(test)]
pub(super) fn parse(text: &str) -> Result<Shape, String> {
    parse_with(text, &[])
}

/// Reads a schema's text, which may use types of the `needed` texts, as each of those may use the ones
/// before it; the error says what is wrong.
pub(super) fn parse_with(text: &str, needed: &[String]) -> Result<Shape, String> {
    let mut parser = Parser { named: HashMap::new() };
    for text in needed {
        let value =
            serde_json::from_str(text).map_err(|e| format!("a schema referred to is no JSON: {e}"))?;
        parser.shape(&value, "", 0).map_err(|e| format!("a schema referred to: {e}"))?;
    }
    // A bare primitive may be sent without quotes, as Java's parser takes it.
    let value: Value = match serde_json::from_str(text) {
        Ok(value) => value,
        Err(_) if primitive(text.trim()).is_some() => Value::String(text.trim().to_owned()),
        Err(error) => return Err(format!("the schema is no JSON: {error}")),
    };
    let root = parser.shape(&value, "", 0)?;
    Ok(Shape { root, named: parser.named })
}

pub(super) fn is_primitive(name: &str) -> bool {
    primitive(name).is_some()
}

/// The full name that an object defines, if it defines a named type.
pub(super) fn defined_name(object: &Map<String, Value>, namespace: &str) -> Option<String> {
    let kind = object.get("type").and_then(Value::as_str)?;
    if !matches!(kind, "record" | "error" | "enum" | "fixed") {
        return None;
    }
    let name = object.get("name").and_then(Value::as_str)?;
    Some(full_name(name, object.get("namespace").and_then(Value::as_str).unwrap_or(namespace)))
}

pub(super) fn namespace_of(full_name: &str) -> &str {
    full_name.rsplit_once('.').map_or("", |(namespace, _)| namespace)
}

fn primitive(name: &str) -> Option<Primitive> {
    Some(match name {
        "null" => Primitive::Null,
        "boolean" => Primitive::Boolean,
        "int" => Primitive::Int,
        "long" => Primitive::Long,
        "float" => Primitive::Float,
        "double" => Primitive::Double,
        "bytes" => Primitive::Bytes,
        "string" => Primitive::String,
        _ => return None,
    })
}

struct Parser {
    named: HashMap<String, Named>,
}

impl Parser {
    fn shape(&mut self, value: &Value, namespace: &str, depth: usize) -> Result<Type, String> {
        if depth > MAX_DEPTH {
            return Err(format!("the schema is nested deeper than {MAX_DEPTH}"));
        }
        match value {
            Value::String(name) => self.by_name(name, namespace),
            Value::Array(branches) => self.union(branches, namespace, depth),
            Value::Object(object) => self.object(object, namespace, depth),
            _ => Err("a type must be a name, a list or an object".to_owned()),
        }
    }

    fn by_name(&self, name: &str, namespace: &str) -> Result<Type, String> {
        if let Some(primitive) = primitive(name) {
            return Ok(Type::Primitive(primitive));
        }
        let full = full_name(name, namespace);
        match (self.named.contains_key(&full), self.named.contains_key(name)) {
            (true, _) => Ok(Type::Named(full)),
            (false, true) => Ok(Type::Named(name.to_owned())),
            (false, false) => Err(format!("undefined name: {full:?}")),
        }
    }

    fn union(&mut self, branches: &[Value], namespace: &str, depth: usize) -> Result<Type, String> {
        let mut shapes: Vec<Type> = Vec::with_capacity(branches.len());
        for branch in branches {
            let shape = self.shape(branch, namespace, depth + 1)?;
            let twice = shapes.iter().any(|other| match (other, &shape) {
                (Type::Primitive(a), Type::Primitive(b)) => a == b,
                (Type::Named(a), Type::Named(b)) => a == b,
                (Type::Array(_), Type::Array(_)) | (Type::Map(_), Type::Map(_)) => true,
                _ => false,
            });
            match shape {
                Type::Union(_) => return Err("a union holds a union".to_owned()),
                _ if twice => return Err("a union holds the same type twice".to_owned()),
                shape => shapes.push(shape),
            }
        }
        Ok(Type::Union(shapes))
    }

    fn object(&mut self, object: &Map<String, Value>, namespace: &str, depth: usize) -> Result<Type, String> {
        let kind = object.get("type").ok_or("an object has no \"type\"")?;
        let Value::String(kind) = kind else { return self.shape(kind, namespace, depth + 1) };
        let child = |key: &str| object.get(key).ok_or_else(|| format!("{kind} has no {key:?}"));
        match kind.as_str() {
            "array" => Ok(Type::Array(Box::new(self.shape(child("items")?, namespace, depth + 1)?))),
            "map" => Ok(Type::Map(Box::new(self.shape(child("values")?, namespace, depth + 1)?))),
            "record" | "error" | "enum" | "fixed" => self.define(kind, object, namespace, depth),
            name => self.by_name(name, namespace),
        }
    }

    fn define(
        &mut self,
        kind: &str,
        object: &Map<String, Value>,
        namespace: &str,
        depth: usize,
    ) -> Result<Type, String> {
        let full = defined_name(object, namespace).ok_or_else(|| format!("{kind} has no name"))?;
        check_name(&full)?;
        let inner = namespace_of(&full).to_owned();
        let aliases = texts(object.get("aliases")).map(|alias| full_name(alias, &inner)).collect();
        let body = match kind {
            "enum" => symbols(object)?,
            "fixed" => {
                let size = object.get("size").and_then(Value::as_u64);
                Body::Fixed { size: size.ok_or_else(|| format!("fixed {full:?} has no size"))? }
            }
            _ => Body::Record(Vec::new()),
        };
        let named = Named { full_name: full.clone(), aliases, body };
        if self.named.insert(full.clone(), named).is_some() {
            return Err(format!("{full:?} is defined twice"));
        }
        if matches!(kind, "record" | "error") {
            // The name stands before the fields are read: they may refer to it.
            let fields = self.fields(object, &full, &inner, depth)?;
            if let Some(named) = self.named.get_mut(&full) {
                named.body = Body::Record(fields);
            }
        }
        Ok(Type::Named(full))
    }

    fn fields(
        &mut self,
        object: &Map<String, Value>,
        record: &str,
        namespace: &str,
        depth: usize,
    ) -> Result<Vec<Field>, String> {
        let list = object.get("fields").and_then(Value::as_array);
        let mut fields: Vec<Field> = Vec::new();
        for field in list.ok_or_else(|| format!("record {record:?} has no fields"))? {
            let name = field.get("name").and_then(Value::as_str);
            let name = name.ok_or_else(|| format!("a field of {record:?} has no name"))?;
            check_name(name)?;
            if fields.iter().any(|other| other.name == name) {
                return Err(format!("field {name:?} stands twice in {record:?}"));
            }
            let shape = field.get("type").ok_or_else(|| format!("field {name:?} has no type"))?;
            fields.push(Field {
                name: name.to_owned(),
                aliases: texts(field.get("aliases")).map(str::to_owned).collect(),
                has_default: field.get("default").is_some(),
                shape: self.shape(shape, namespace, depth + 1).map_err(|e| format!("field {name:?}: {e}"))?,
            });
        }
        Ok(fields)
    }
}

fn symbols(object: &Map<String, Value>) -> Result<Body, String> {
    let symbols: Vec<String> = texts(object.get("symbols")).map(str::to_owned).collect();
    if object.get("symbols").and_then(Value::as_array).is_none_or(|list| list.len() != symbols.len()) {
        return Err("an enum's symbols must be a list of texts".to_owned());
    }
    Ok(Body::Enum { symbols, has_default: object.get("default").is_some() })
}

fn texts(list: Option<&Value>) -> impl Iterator<Item = &str> {
    list.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

pub(super) fn full_name(name: &str, namespace: &str) -> String {
    match (name.contains('.'), namespace) {
        (true, _) | (false, "") => name.trim_start_matches('.').to_owned(),
        (false, namespace) => format!("{namespace}.{name}"),
    }
}

fn check_name(name: &str) -> Result<(), String> {
    let word = |part: &str| {
        part.starts_with(|c: char| c.is_alphabetic() || c == '_')
            && part.chars().all(|c| c.is_alphanumeric() || c == '_')
    };
    match name.split('.').all(word) {
        true => Ok(()),
        false => Err(format!("illegal name: {name:?}")),
    }
}
