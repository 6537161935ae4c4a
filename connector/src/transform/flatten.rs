//! Kafka's Flatten: fields of structs within structs become fields of one.

use super::derived::Derived;
use super::properties::Settings;
use super::side::Side;
use super::{Next, Transform};
use crate::model::record::{Datum, Record};
use crate::model::schema::{Field, Form, Kind, Schema};
use crate::model::value::{RowBuffer, Value};
use shared::Result;
use shared::error::{Error, Kind as ErrorKind};
use std::sync::Arc;

struct Flatten {
    side: Side,
    delimiter: String,
    derived: Derived<Arc<Schema>>,
    row: RowBuffer,
}

pub fn make_key(settings: &mut Settings<'_>) -> Result<Box<dyn Transform>> {
    make(settings, Side::Key)
}

pub fn make_value(settings: &mut Settings<'_>) -> Result<Box<dyn Transform>> {
    make(settings, Side::Value)
}

fn make(settings: &mut Settings<'_>, side: Side) -> Result<Box<dyn Transform>> {
    let delimiter = settings.text_or("delimiter", ".");
    Ok(Box::new(Flatten { side, delimiter, derived: Derived::default(), row: RowBuffer::default() }))
}

impl Transform for Flatten {
    fn apply(&mut self, record: &Record<'_>, next: Next<'_>) -> Result<()> {
        let Some((origin, values)) = self.side.structure(record) else { return next(record) };
        let Flatten { side, delimiter, derived, row } = self;
        let schema = derived.try_of(origin, || {
            let mut fields = Vec::new();
            flatten(origin, "", delimiter, origin.optional, &mut fields)?;
            Ok(Arc::new(origin.with_fields(fields)))
        })?;
        let schema = schema.clone();
        let mut out = row.take();
        place(origin, Some(values), &mut out);
        let done = next(&side.with(record, Some(Datum { schema: &schema, value: Value::Struct(&out) })));
        row.give_back(out);
        done
    }
}

/// A struct that is taken apart; a number of variable scale is one, too.
fn parts(schema: &Schema) -> Option<&[Field]> {
    match &schema.kind {
        Kind::Struct(fields) if schema.form == Form::Plain => Some(fields),
        _ => None,
    }
}

fn flatten(
    schema: &Schema,
    prefix: &str,
    delimiter: &str,
    optional: bool,
    out: &mut Vec<Field>,
) -> Result<()> {
    for field in schema.fields() {
        let name =
            if prefix.is_empty() { field.name.clone() } else { format!("{prefix}{delimiter}{}", field.name) };
        let optional = optional || field.schema.optional;
        match &field.schema.kind {
            _ if parts(&field.schema).is_some() => flatten(&field.schema, &name, delimiter, optional, out)?,
            Kind::Map(..) | Kind::Struct(_) => {
                let text =
                    format!("field {name} is a map or a number of variable scale: it cannot be flattened");
                return Err(Error::new(ErrorKind::Data, text)
                    .remedy("leave it out with ReplaceField, or choose another handling mode"));
            }
            _ => {
                let schema = Schema { optional, ..(*field.schema).clone().renewed() };
                out.push(Field::new(name, schema));
            }
        }
    }
    Ok(())
}

/// Values in the order of the flat fields; NULL for all of a struct that is NULL.
fn place<'a>(schema: &'a Schema, values: Option<&[Value<'a>]>, out: &mut Vec<Value<'a>>) {
    for (at, field) in schema.fields().iter().enumerate() {
        let value = values.and_then(|values| values.get(at)).copied();
        match (parts(&field.schema), value) {
            (Some(_), Some(Value::Struct(values))) => place(&field.schema, Some(values), out),
            (Some(_), _) => place(&field.schema, None, out),
            (None, value) => out.push(value.map_or(Value::Null, |value| field.schema.or_default(value))),
        }
    }
}
