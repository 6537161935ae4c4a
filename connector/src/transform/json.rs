//! JSON texts as structs, as Debezium's outbox router and its decoder of logical messages expand them:
//! a schema is made up for each shape that is met.

use crate::model::schema::{Field, Kind, Schema};
use crate::model::value::Value;
use bumpalo::Bump;
use serde_json::Value as Json;
use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;

/// Shapes kept at a time: payloads of one outbox have few, but nobody promises that.
const KEPT: usize = 4_096;

pub struct Expand {
    /// NULLs become optional bytes; otherwise they are left out.
    pub nulls: bool,
    /// Empty arrays become arrays of texts; otherwise they are left out.
    pub empty_arrays: bool,
    kept: HashMap<String, Arc<Schema>>,
}

/// Why a text is not expanded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    NoObject,
    MixedArray,
    TooLongNumber,
}

impl Refusal {
    pub const fn text(self) -> &'static str {
        match self {
            Refusal::NoObject => "it is no JSON object",
            Refusal::MixedArray => "an array in it holds values of several types",
            Refusal::TooLongNumber => "a whole number in it has more than 64 bits",
        }
    }
}

impl Expand {
    pub fn new(nulls: bool, empty_arrays: bool) -> Expand {
        Expand { nulls, empty_arrays, kept: HashMap::new() }
    }

    /// The struct that a text is.
    ///
    /// # Errors
    /// Why it is none.
    pub fn read<'a>(
        &mut self,
        name: &str,
        text: &str,
        arena: &'a Bump,
    ) -> Result<(Arc<Schema>, Value<'a>), Refusal> {
        let json: Json = serde_json::from_str(text).map_err(|_| Refusal::NoObject)?;
        if !json.is_object() {
            return Err(Refusal::NoObject);
        }
        let made = self.schema(name, &json)?.ok_or(Refusal::NoObject)?;
        let mut shape = String::new();
        describe(&mut shape, &made);
        if self.kept.len() >= KEPT {
            self.kept.clear();
        }
        let schema = self.kept.entry(shape).or_insert_with(|| Arc::new(made)).clone();
        let value = value(&schema, &json, arena)?;
        Ok((schema, value))
    }

    fn schema(&self, name: &str, json: &Json) -> Result<Option<Schema>, Refusal> {
        let schema = match json {
            Json::Null if self.nulls => Schema::new(Kind::Bytes),
            Json::Null => return Ok(None),
            Json::Bool(_) => Schema::new(Kind::Boolean),
            Json::String(_) => Schema::string(),
            Json::Number(number) => match number.as_i64() {
                Some(number) if i32::try_from(number).is_ok() => Schema::int32(),
                Some(_) => Schema::int64(),
                None => Schema::new(Kind::Float64),
            },
            Json::Array(items) if items.is_empty() => match self.empty_arrays {
                true => Schema::new(Kind::Array(Arc::new(Schema::string().optional()))),
                false => return Ok(None),
            },
            Json::Array(items) => Schema::new(Kind::Array(Arc::new(self.items(name, items)?))),
            Json::Object(members) => {
                let mut fields = Vec::new();
                for (member, json) in members {
                    let inner = if name.is_empty() { member.clone() } else { format!("{name}.{member}") };
                    fields
                        .extend(self.schema(&inner, json)?.map(|schema| Field::new(member.as_str(), schema)));
                }
                let schema = Schema::new(Kind::Struct(fields));
                if name.is_empty() { schema } else { schema.named(name) }
            }
        };
        Ok(Some(schema.optional()))
    }

    /// The schema of an array's elements, which are of one type; objects have all fields of all, and where there
    /// are several, Debezium lets none be absent.
    fn items(&self, name: &str, items: &[Json]) -> Result<Schema, Refusal> {
        let present = || items.iter().filter(|item| !item.is_null());
        let Some(first) = present().next() else {
            return self.schema("", &Json::Null)?.ok_or(Refusal::MixedArray);
        };
        if present().any(|item| std::mem::discriminant(item) != std::mem::discriminant(first)) {
            return Err(Refusal::MixedArray);
        }
        if first.is_object() {
            let mut fields: Vec<Field> = Vec::new();
            for item in present() {
                let schema = self.schema(name, item)?.ok_or(Refusal::MixedArray)?;
                for field in schema.fields() {
                    match fields.iter_mut().find(|known| known.name == field.name) {
                        None => fields.push(field.clone()),
                        Some(known) if known.schema.kind == Kind::Bytes => *known = field.clone(),
                        Some(_) => {}
                    }
                }
            }
            let schema = Schema::new(Kind::Struct(fields));
            let schema = if present().count() > 1 { schema } else { schema.optional() };
            return Ok(if name.is_empty() { schema } else { schema.named(name) });
        }
        let schema = self.schema("", first)?.ok_or(Refusal::MixedArray)?;
        if first.is_number() {
            for item in present() {
                if self.schema("", item)?.is_none_or(|other| other.kind != schema.kind) {
                    return Err(Refusal::MixedArray);
                }
            }
        }
        Ok(schema)
    }
}

/// A shape in words: equal words, equal schemas.
fn describe(out: &mut String, schema: &Schema) {
    // Writing to a text cannot fail.
    match &schema.kind {
        Kind::Struct(fields) => {
            let _ = write!(out, "{:?}{{", schema.name);
            for field in fields {
                let _ = write!(out, "{:?}:", field.name);
                describe(out, &field.schema);
                out.push(',');
            }
            out.push('}');
        }
        Kind::Array(items) => {
            out.push_str(if items.optional { "[" } else { "[!" });
            describe(out, items);
            out.push(']');
        }
        other => {
            let _ = write!(out, "{other:?}");
        }
    }
}

fn value<'a>(schema: &Schema, json: &Json, arena: &'a Bump) -> Result<Value<'a>, Refusal> {
    Ok(match (json, &schema.kind) {
        (Json::Null, _) => Value::Null,
        (Json::Bool(flag), _) => Value::Bool(*flag),
        (Json::String(text), _) => Value::Text(arena.alloc_str(text)),
        (Json::Number(number), Kind::Float64) => match number.is_f64() {
            true => Value::Float64(number.as_f64().unwrap_or_default()),
            false => return Err(Refusal::TooLongNumber),
        },
        (Json::Number(number), _) => Value::Int(number.as_i64().ok_or(Refusal::TooLongNumber)?),
        (Json::Array(items), Kind::Array(of)) => {
            let mut values = bumpalo::collections::Vec::new_in(arena);
            for item in items {
                values.push(value(of, item, arena)?);
            }
            Value::List(values.into_bump_slice())
        }
        (Json::Object(members), Kind::Struct(fields)) => {
            let mut values = bumpalo::collections::Vec::new_in(arena);
            for field in fields {
                let member = members.get(&field.name);
                values.push(member.map_or(Ok(Value::Null), |json| value(&field.schema, json, arena))?);
            }
            Value::Struct(values.into_bump_slice())
        }
        _ => return Err(Refusal::MixedArray),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_of_texts() {
        let arena = Bump::new();
        let mut expand = Expand::new(false, false);
        let text = r#"{"id":1,"far":5000000000,"part":1.5,"none":null,"tags":["a","b"],"empty":[],
            "lines":[{"sku":"x"},{"sku":"y","count":2}],"inner":{"flag":true}}"#;
        let (schema, value) = expand.read("payload", text, &arena).expect("an object");
        let mut shape = String::new();
        describe(&mut shape, &schema);
        let want = r#"Some("payload"){"id":Int32,"far":Int64,"part":Float64,"tags":[String],"lines":[!Some("payload.lines"){"sku":String,"count":Int32,}],"inner":Some("payload.inner"){"flag":Boolean,},}"#;
        assert_eq!(shape, want);
        assert!(matches!(value, Value::Struct([Value::Int(1), Value::Int(5_000_000_000), ..])));
        let (again, _) = expand.read("payload", text, &arena).expect("an object");
        assert_eq!(schema.id, again.id, "equal shapes share a schema");
        for (text, want) in [
            ("[1]", Refusal::NoObject),
            ("{", Refusal::NoObject),
            (r#"{"a":[1,"x"]}"#, Refusal::MixedArray),
            (r#"{"a":[1,5000000000]}"#, Refusal::MixedArray),
            (r#"{"a":[null]}"#, Refusal::MixedArray),
            (r#"{"a":18446744073709551615}"#, Refusal::TooLongNumber),
        ] {
            assert_eq!(expand.read("p", text, &arena).err(), Some(want), "{text}");
        }
        let mut all = Expand::new(true, true);
        let (schema, _) = all.read("", r#"{"n":null,"e":[]}"#, &arena).expect("an object");
        assert_eq!(schema.fields().len(), 2);
    }
}
