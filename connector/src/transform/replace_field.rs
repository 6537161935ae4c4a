//! Kafka's ReplaceField (leaves fields out, renames them) and ExtractField (one field alone).

use super::derived::Derived;
use super::properties::Settings;
use super::{Next, Transform};
use crate::model::record::{Datum, Record};
use crate::model::schema::{Field, Kind, Schema};
use crate::model::value::{RowBuffer, Value};
use shared::Result;
use shared::error::{Error, Kind as ErrorKind};
use std::sync::Arc;

#[derive(Clone, Copy)]
enum Side {
    Key,
    Value,
}

impl Side {
    fn of<'a>(self, record: &Record<'a>) -> Option<Datum<'a>> {
        match self {
            Side::Key => record.key,
            Side::Value => record.value,
        }
    }

    fn with<'a>(self, record: &Record<'a>, datum: Option<Datum<'a>>) -> Record<'a> {
        match self {
            Side::Key => Record { key: datum, ..*record },
            Side::Value => Record { value: datum, ..*record },
        }
    }
}

struct Replace {
    side: Side,
    include: Vec<String>,
    exclude: Vec<String>,
    renames: Vec<(String, String)>,
    derived: Derived<(Arc<Schema>, Vec<usize>)>,
    row: RowBuffer,
}

pub fn make_key(settings: &mut Settings<'_>) -> Result<Box<dyn Transform>> {
    replace(settings, Side::Key)
}

pub fn make_value(settings: &mut Settings<'_>) -> Result<Box<dyn Transform>> {
    replace(settings, Side::Value)
}

fn replace(settings: &mut Settings<'_>, side: Side) -> Result<Box<dyn Transform>> {
    let renames = settings.list("renames");
    let pair = |text: &String| {
        text.split_once(':').map(|(from, to)| (from.to_owned(), to.to_owned())).ok_or_else(|| {
            Error::new(ErrorKind::Config, format!("renames: {text:?} is no pair"))
                .remedy("write old:new,old:new")
        })
    };
    Ok(Box::new(Replace {
        side,
        include: settings.list("include"),
        exclude: settings.list("exclude"),
        renames: renames.iter().map(pair).collect::<Result<_>>()?,
        derived: Derived::default(),
        row: RowBuffer::default(),
    }))
}

impl Transform for Replace {
    fn apply(&mut self, record: &Record<'_>, next: Next<'_>) -> Result<()> {
        let Some(datum) = self.side.of(record) else { return next(record) };
        let Value::Struct(values) = datum.value else { return next(record) };
        let Replace { include, exclude, renames, derived, row, .. } = self;
        let (schema, places) =
            derived.of(datum.schema, || select(datum.schema, include, exclude, renames)).clone();
        let mut selected = row.take();
        selected.extend(places.iter().map(|at| values.get(*at).copied().unwrap_or(Value::Null)));
        let datum = Datum { schema: &schema, value: Value::Struct(&selected) };
        let done = next(&self.side.with(record, Some(datum)));
        self.row.give_back(selected);
        done
    }
}

fn select(
    schema: &Schema,
    include: &[String],
    exclude: &[String],
    renames: &[(String, String)],
) -> (Arc<Schema>, Vec<usize>) {
    let kept = |name: &String| (include.is_empty() || include.contains(name)) && !exclude.contains(name);
    let mut places = Vec::new();
    let mut fields = Vec::new();
    for (at, field) in schema.fields().iter().enumerate().filter(|(_, field)| kept(&field.name)) {
        let renamed = renames.iter().find(|(from, _)| *from == field.name).map(|(_, to)| to);
        places.push(at);
        fields.push(Field { name: renamed.unwrap_or(&field.name).clone(), schema: field.schema.clone() });
    }
    (Arc::new(Schema { kind: Kind::Struct(fields), ..schema.clone().renewed() }), places)
}

struct Extract {
    side: Side,
    field: String,
}

pub fn make_extract_key(settings: &mut Settings<'_>) -> Result<Box<dyn Transform>> {
    Ok(Box::new(Extract { side: Side::Key, field: settings.required("field")?.to_owned() }))
}

pub fn make_extract_value(settings: &mut Settings<'_>) -> Result<Box<dyn Transform>> {
    Ok(Box::new(Extract { side: Side::Value, field: settings.required("field")?.to_owned() }))
}

impl Transform for Extract {
    fn apply(&mut self, record: &Record<'_>, next: Next<'_>) -> Result<()> {
        let Some(datum) = self.side.of(record) else { return next(record) };
        let found = datum.schema.field(&self.field).zip(match datum.value {
            Value::Struct(values) => Some(values),
            _ => None,
        });
        let Some(((at, schema), values)) = found else {
            return Err(Error::new(
                ErrorKind::Data,
                format!("topic {}: there is no field {}", record.topic, self.field),
            ));
        };
        let value = values.get(at).copied().unwrap_or(Value::Null);
        next(&self.side.with(record, Some(Datum { schema, value })))
    }
}
