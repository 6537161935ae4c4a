//! Debezium's VectorToJsonConverter: vectors as JSON texts, wherever they stand.

use super::derived::Derived;
use super::properties::Settings;
use super::side::Side;
use super::{Next, Transform};
use crate::connect::java;
use crate::model::record::{Datum, Record};
use crate::model::schema::{Field, Form, Kind, Schema};
use crate::model::value::Value;
use bumpalo::Bump;
use shared::Result;
use std::sync::Arc;

struct Vectors {
    derived: Derived<Arc<Schema>>,
    arena: Bump,
}

pub fn make(_: &mut Settings<'_>) -> Result<Box<dyn Transform>> {
    Ok(Box::new(Vectors { derived: Derived::default(), arena: Bump::new() }))
}

impl Transform for Vectors {
    fn apply(&mut self, record: &Record<'_>, next: Next<'_>) -> Result<()> {
        let Some((origin, values)) = Side::Value.structure(record) else { return next(record) };
        self.arena.reset();
        let schema = self.derived.of(origin, || Arc::new(shown(origin))).clone();
        let value = value(origin, Value::Struct(values), &self.arena);
        next(&Record { value: Some(Datum { schema: &schema, value }), ..*record })
    }
}

fn is_vector(schema: &Schema) -> bool {
    let names = [
        "io.debezium.data.DoubleVector",
        "io.debezium.data.FloatVector",
        "io.debezium.data.SparseDoubleVector",
    ];
    schema.name.as_deref().is_some_and(|name| names.contains(&name))
}

fn is_struct(schema: &Schema) -> bool {
    matches!(schema.kind, Kind::Struct(_)) && schema.form == Form::Plain
}

fn shown(schema: &Schema) -> Schema {
    let one = |field: &Field| match &*field.schema {
        vector if is_vector(vector) => {
            let json = Schema::string().semantic("io.debezium.data.Json");
            Field::new(field.name.as_str(), Schema { optional: vector.optional, ..json })
        }
        inner if is_struct(inner) => Field::new(field.name.as_str(), shown(inner)),
        _ => field.clone(),
    };
    let made = schema.with_fields(schema.fields().iter().map(one).collect());
    Schema { optional: schema.optional, ..made }
}

fn value<'a>(schema: &Schema, at: Value<'a>, arena: &'a Bump) -> Value<'a> {
    let Value::Struct(values) = at else { return at };
    let one = |(field, at): (&Field, &Value<'a>)| match &*field.schema {
        vector if is_vector(vector) => {
            json(*at).map_or(Value::Null, |text| Value::Text(arena.alloc_str(&text)))
        }
        inner if is_struct(inner) => value(inner, *at, arena),
        _ => *at,
    };
    let values = schema.fields().iter().zip(values).map(one);
    Value::Struct(bumpalo::collections::Vec::from_iter_in(values, arena).into_bump_slice())
}

fn json(value: Value<'_>) -> Option<String> {
    match value {
        Value::List(values) => {
            let numbers: Vec<String> = values.iter().map(number).collect();
            Some(format!("{{ \"values\": [{}] }}", numbers.join(", ")))
        }
        Value::Struct([dimensions, Value::Map(entries)]) => {
            let mut entries: Vec<&(Value<'_>, Value<'_>)> = entries.iter().collect();
            entries.sort_by_key(|(at, _)| match at {
                Value::Int(at) => *at,
                _ => 0,
            });
            let entries: Vec<String> =
                entries.iter().map(|(at, value)| format!("\"{}\": {}", number(at), number(value))).collect();
            let (dimensions, entries) = (number(dimensions), entries.join(", "));
            Some(format!("{{ \"dimensions\": {dimensions}, \"vector\": {{ {entries} }} }}"))
        }
        _ => None,
    }
}

fn number(value: &Value<'_>) -> String {
    match value {
        Value::Int(number) => number.to_string(),
        Value::Float32(number) => java::float(*number),
        Value::Float64(number) => java::double(*number),
        _ => "null".to_owned(),
    }
}
