//! A registered Avro schema's text → a small tree that keeps what Connect and Debezium add to it.
//!
//! apache-avro's own tree drops `connect.name` on primitive types, and it is what tells a timestamp
//! from a number. The tree is an arena: a named type may be used again by name, also inside itself.

use serde_json::Value as Json;
use std::collections::HashMap;

/// Types nested deeper than this are refused: no table has them, a hostile schema may.
const MAX_DEPTH: usize = 64;
const MAX_TYPES: usize = 100_000;
/// PostgreSQL keeps a negative scale in 11 bits, and Debezium registers it without its sign.
const SCALE_BITS: i64 = 2_048;

/// A type's place in its [`Schema`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TypeId(usize);

/// What a type means beyond its form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    Plain,
    Decimal { scale: i64 },
    VariableScaleDecimal,
    Days,
    Millis,
    Micros,
    Nanos,
    ZonedText,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Form {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    Text,
    Fixed(usize),
    Enum(Vec<String>),
    Array(TypeId),
    Map(TypeId),
    Union(Vec<TypeId>),
    Record(Vec<(String, TypeId)>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Type {
    pub form: Form,
    pub meaning: Meaning,
}

/// A parsed schema.
#[derive(Clone, Debug, PartialEq)]
pub struct Schema {
    types: Vec<Type>,
    root: TypeId,
}

impl Schema {
    /// Reads the text as registered; the error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Schema, String> {
        let json: Json = serde_json::from_str(text).map_err(|e| format!("schema is no JSON: {e}"))?;
        let mut reader = Reader::default();
        let root = reader.read(&json, "", 0)?;
        Ok(Schema { types: reader.types, root })
    }

    pub fn root(&self) -> TypeId {
        self.root
    }

    /// The type behind an id; ids come only from this schema, so there always is one.
    pub fn get(&self, id: TypeId) -> &Type {
        const NOTHING: &Type = &Type { form: Form::Null, meaning: Meaning::Plain };
        self.types.get(id.0).unwrap_or(NOTHING)
    }

    /// The fields of a record, or of the one record in a union.
    pub fn record(&self, id: TypeId) -> Option<&[(String, TypeId)]> {
        match &self.get(id).form {
            Form::Record(fields) => Some(fields),
            Form::Union(branches) => branches.iter().find_map(|b| match &self.get(*b).form {
                Form::Record(fields) => Some(fields.as_slice()),
                _ => None,
            }),
            _ => None,
        }
    }
}

#[derive(Default)]
struct Reader {
    types: Vec<Type>,
    named: HashMap<String, TypeId>,
}

impl Reader {
    fn push(&mut self, form: Form, meaning: Meaning) -> Result<TypeId, String> {
        if self.types.len() >= MAX_TYPES {
            return Err("schema has too many types".to_owned());
        }
        self.types.push(Type { form, meaning });
        Ok(TypeId(self.types.len() - 1))
    }

    fn read(&mut self, json: &Json, namespace: &str, depth: usize) -> Result<TypeId, String> {
        if depth > MAX_DEPTH {
            return Err("schema is nested too deeply".to_owned());
        }
        match json {
            Json::String(name) => match primitive(name) {
                Some(form) => self.push(form, Meaning::Plain),
                None => self.reference(name, namespace),
            },
            Json::Array(branches) => {
                let branches =
                    branches.iter().map(|b| self.read(b, namespace, depth + 1)).collect::<Result<_, _>>()?;
                self.push(Form::Union(branches), Meaning::Plain)
            }
            Json::Object(object) => self.object(object, namespace, depth),
            _ => Err("schema holds something that is no type".to_owned()),
        }
    }

    fn reference(&self, name: &str, namespace: &str) -> Result<TypeId, String> {
        let full = full_name(name, namespace);
        let found = self.named.get(&full).or_else(|| self.named.get(name));
        found.copied().ok_or_else(|| format!("schema names an unknown type {name}"))
    }

    fn object(
        &mut self,
        object: &serde_json::Map<String, Json>,
        namespace: &str,
        depth: usize,
    ) -> Result<TypeId, String> {
        let kind = object.get("type").ok_or("schema has a type without \"type\"")?;
        let Json::String(kind) = kind else { return self.read(kind, namespace, depth + 1) };
        let inner = |key: &str| object.get(key).ok_or_else(|| format!("schema has a {kind} without {key}"));
        let form = match kind.as_str() {
            "record" => return self.record(object, namespace, depth),
            "array" => Form::Array(self.read(inner("items")?, namespace, depth + 1)?),
            "map" => Form::Map(self.read(inner("values")?, namespace, depth + 1)?),
            "enum" => {
                let symbols = inner("symbols")?.as_array().cloned().unwrap_or_default();
                Form::Enum(symbols.iter().filter_map(|s| s.as_str().map(str::to_owned)).collect())
            }
            "fixed" => {
                let size = inner("size")?.as_u64().and_then(|n| usize::try_from(n).ok());
                Form::Fixed(size.ok_or("schema has a fixed of no size")?)
            }
            other => match primitive(other) {
                Some(form) => form,
                None => return self.reference(other, namespace),
            },
        };
        let named = matches!(form, Form::Enum(_) | Form::Fixed(_));
        let id = self.push(form, meaning(object))?;
        if named {
            let (full, _) = names(object, namespace)?;
            self.named.insert(full, id);
        }
        Ok(id)
    }

    fn record(
        &mut self,
        object: &serde_json::Map<String, Json>,
        namespace: &str,
        depth: usize,
    ) -> Result<TypeId, String> {
        let (full, own_namespace) = names(object, namespace)?;
        // The place is taken before its fields are read: they may name the record itself.
        let id = self.push(Form::Record(Vec::new()), meaning(object))?;
        self.named.insert(full, id);
        let fields =
            object.get("fields").and_then(Json::as_array).ok_or("schema has a record without fields")?;
        let mut read = Vec::with_capacity(fields.len());
        for field in fields {
            let name = field.get("name").and_then(Json::as_str).ok_or("schema has a field without a name")?;
            let kind = field.get("type").ok_or_else(|| format!("schema's field {name} has no type"))?;
            read.push((name.to_owned(), self.read(kind, &own_namespace, depth + 1)?));
        }
        if let Some(place) = self.types.get_mut(id.0) {
            place.form = Form::Record(read);
        }
        Ok(id)
    }
}

fn primitive(name: &str) -> Option<Form> {
    Some(match name {
        "null" => Form::Null,
        "boolean" => Form::Boolean,
        "int" => Form::Int,
        "long" => Form::Long,
        "float" => Form::Float,
        "double" => Form::Double,
        "bytes" => Form::Bytes,
        "string" => Form::Text,
        _ => return None,
    })
}

/// Full name and namespace of a named type.
fn names(object: &serde_json::Map<String, Json>, namespace: &str) -> Result<(String, String), String> {
    let name = object.get("name").and_then(Json::as_str).ok_or("schema has a named type without a name")?;
    let own = object.get("namespace").and_then(Json::as_str).unwrap_or(namespace);
    let full = full_name(name, own);
    let own = full.rsplit_once('.').map_or("", |(space, _)| space).to_owned();
    Ok((full, own))
}

fn full_name(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() { name.to_owned() } else { format!("{namespace}.{name}") }
}

fn meaning(object: &serde_json::Map<String, Json>) -> Meaning {
    let text = |key: &str| object.get(key).and_then(Json::as_str).unwrap_or("");
    match text("connect.name") {
        "org.apache.kafka.connect.data.Decimal" => return decimal(object),
        "io.debezium.data.VariableScaleDecimal" => return Meaning::VariableScaleDecimal,
        "io.debezium.time.Date" | "org.apache.kafka.connect.data.Date" => return Meaning::Days,
        "io.debezium.time.Timestamp" | "org.apache.kafka.connect.data.Timestamp" => return Meaning::Millis,
        "io.debezium.time.MicroTimestamp" => return Meaning::Micros,
        "io.debezium.time.NanoTimestamp" => return Meaning::Nanos,
        "io.debezium.time.ZonedTimestamp" | "io.debezium.time.IsoTimestamp" => return Meaning::ZonedText,
        // Times of day, years, intervals, texts: as they come.
        other if !other.is_empty() => return Meaning::Plain,
        _ => {}
    }
    match text("logicalType") {
        "decimal" => decimal(object),
        "date" => Meaning::Days,
        "timestamp-millis" | "local-timestamp-millis" => Meaning::Millis,
        "timestamp-micros" | "local-timestamp-micros" => Meaning::Micros,
        "timestamp-nanos" | "local-timestamp-nanos" => Meaning::Nanos,
        _ => Meaning::Plain,
    }
}

fn decimal(object: &serde_json::Map<String, Json>) -> Meaning {
    let parameter = || object.get("connect.parameters")?.get("scale")?.as_str()?.parse().ok();
    let scale: i64 = object.get("scale").and_then(Json::as_i64).or_else(parameter).unwrap_or(0);
    let negative = (SCALE_BITS / 2..SCALE_BITS).contains(&scale);
    Meaning::Decimal { scale: if negative { scale - SCALE_BITS } else { scale } }
}
