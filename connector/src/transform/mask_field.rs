//! Kafka's MaskField: an empty value of the same type, or a fixed one, in place of a field's.

use super::derived::read;
use super::properties::Settings;
use super::side::Side;
use super::{Next, Transform};
use crate::model::record::{Datum, Record};
use crate::model::schema::{Form, Kind, Schema};
use crate::model::value::{RowBuffer, Value};
use shared::Result;
use shared::error::{Error, Kind as ErrorKind};

struct Mask {
    side: Side,
    fields: Vec<String>,
    replacement: Option<String>,
    replace_null: bool,
    row: RowBuffer,
}

pub fn make_key(settings: &mut Settings<'_>) -> Result<Box<dyn Transform>> {
    make(settings, Side::Key)
}

pub fn make_value(settings: &mut Settings<'_>) -> Result<Box<dyn Transform>> {
    make(settings, Side::Value)
}

fn make(settings: &mut Settings<'_>, side: Side) -> Result<Box<dyn Transform>> {
    settings.required("fields")?;
    Ok(Box::new(Mask {
        side,
        fields: settings.list("fields"),
        replacement: settings.text("replacement").filter(|text| !text.is_empty()).map(str::to_owned),
        replace_null: settings.flag("replace.null.with.default", true)?,
        row: RowBuffer::default(),
    }))
}

impl Transform for Mask {
    fn apply(&mut self, record: &Record<'_>, next: Next<'_>) -> Result<()> {
        let Some((schema, values)) = self.side.structure(record) else { return next(record) };
        let Mask { side, fields, replacement, replace_null, row } = self;
        let mut out = row.take();
        for (field, value) in schema.fields().iter().zip(values) {
            let value = read(&field.schema, *value, *replace_null);
            let masks = value != Value::Null && fields.contains(&field.name);
            out.push(if masks {
                masked(&field.schema, replacement.as_deref()).ok_or_else(|| {
                    let text = format!("topic {}: field {} cannot be masked", record.topic, field.name);
                    Error::new(ErrorKind::Data, text)
                        .remedy("mask texts and numbers; a replacement must fit the field's type")
                })?
            } else {
                value
            });
        }
        let done = next(&side.with(record, Some(Datum { schema, value: Value::Struct(&out) })));
        row.give_back(out);
        done
    }
}

/// The empty value of a type, or the replacement as one; none if there is none.
fn masked<'a>(schema: &Schema, replacement: Option<&'a str>) -> Option<Value<'a>> {
    let decimal = matches!(schema.form, Form::Decimal { .. });
    let Some(text) = replacement else {
        return Some(match &schema.kind {
            Kind::Boolean => Value::Bool(false),
            Kind::Int8 | Kind::Int16 | Kind::Int32 | Kind::Int64 => Value::Int(0),
            Kind::Float32 => Value::Float32(0.0),
            Kind::Float64 => Value::Float64(0.0),
            Kind::String => Value::Text(""),
            Kind::Bytes if decimal => Value::Decimal("0"),
            Kind::Array(_) => Value::List(&[]),
            Kind::Map(..) => Value::Map(&[]),
            Kind::Bytes | Kind::Struct(_) => return None,
        });
    };
    // Connect's own dates and times are no numbers to Kafka's transform.
    if schema.name.as_deref().is_some_and(|name| name.starts_with("org.apache.kafka.connect.data."))
        && !decimal
    {
        return None;
    }
    match &schema.kind {
        Kind::Int8 => text.parse::<i8>().ok().map(|number| Value::Int(number.into())),
        Kind::Int16 => text.parse::<i16>().ok().map(|number| Value::Int(number.into())),
        Kind::Int32 => text.parse::<i32>().ok().map(|number| Value::Int(number.into())),
        Kind::Int64 => text.parse().ok().map(Value::Int),
        Kind::Float32 => text.parse().ok().map(Value::Float32),
        Kind::Float64 => text.parse().ok().map(Value::Float64),
        Kind::String => Some(Value::Text(text)),
        Kind::Bytes if decimal => text.parse::<f64>().ok().map(|_| Value::Decimal(text)),
        _ => None,
    }
}
