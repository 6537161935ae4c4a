//! Kafka's HoistField (a struct around what there is), ValueToKey (fields of the value as the key) and
//! SetSchemaMetadata (another name or version).

use super::derived::{Derived, read};
use super::properties::Settings;
use super::side::Side;
use super::{Next, Transform};
use crate::model::record::{Datum, Record};
use crate::model::schema::{Field, Kind, Schema};
use crate::model::value::{RowBuffer, Value};
use shared::Result;
use shared::error::{Context, Error, Kind as ErrorKind, OrKind};
use std::sync::Arc;

struct Hoist {
    side: Side,
    field: String,
    derived: Derived<Arc<Schema>>,
}

pub fn make_hoist_key(settings: &mut Settings<'_>) -> Result<Box<dyn Transform>> {
    hoist(settings, Side::Key)
}

pub fn make_hoist_value(settings: &mut Settings<'_>) -> Result<Box<dyn Transform>> {
    hoist(settings, Side::Value)
}

fn hoist(settings: &mut Settings<'_>, side: Side) -> Result<Box<dyn Transform>> {
    let field = settings.required("field")?.to_owned();
    Ok(Box::new(Hoist { side, field, derived: Derived::default() }))
}

impl Transform for Hoist {
    fn apply(&mut self, record: &Record<'_>, next: Next<'_>) -> Result<()> {
        let Some(datum) = self.side.of(record) else { return next(record) };
        let make = || {
            let field = Field { name: self.field.clone(), schema: datum.schema.clone() };
            Arc::new(Schema::new(Kind::Struct(vec![field])))
        };
        let schema = self.derived.of(datum.schema, make);
        let value = Value::Struct(&[datum.value]);
        next(&self.side.with(record, Some(Datum { schema, value })))
    }
}

struct ValueToKey {
    fields: Vec<String>,
    replace_null: bool,
    derived: Derived<(Arc<Schema>, Vec<usize>)>,
    row: RowBuffer,
}

pub fn make_value_to_key(settings: &mut Settings<'_>) -> Result<Box<dyn Transform>> {
    settings.required("fields")?;
    Ok(Box::new(ValueToKey {
        fields: settings.list("fields"),
        replace_null: settings.flag("replace.null.with.default", true)?,
        derived: Derived::default(),
        row: RowBuffer::default(),
    }))
}

impl Transform for ValueToKey {
    fn apply(&mut self, record: &Record<'_>, next: Next<'_>) -> Result<()> {
        let Some((origin, values)) = Side::Value.structure(record) else { return next(record) };
        let ValueToKey { fields, replace_null, derived, row } = self;
        let made = derived.try_of(origin, || key(record.topic, origin, fields))?;
        let (schema, places) = made.clone();
        let mut out = row.take();
        let one =
            |at: &usize| Some(read(&origin.fields().get(*at)?.schema, *values.get(*at)?, *replace_null));
        out.extend(places.iter().filter_map(one));
        let key = Datum { schema: &schema, value: Value::Struct(&out) };
        let done = next(&Record { key: Some(key), ..*record });
        row.give_back(out);
        done
    }
}

fn key(topic: &str, schema: &Schema, names: &[String]) -> Result<(Arc<Schema>, Vec<usize>)> {
    let mut places = Vec::new();
    let mut fields = Vec::new();
    for name in names {
        let (at, field) = schema.field(name).ok_or_else(|| {
            Error::new(ErrorKind::Data, format!("topic {topic}: there is no field {name} for the key"))
                .remedy("name fields of the value, or give the transform a predicate")
        })?;
        places.push(at);
        fields.push(Field { name: name.clone(), schema: field.clone() });
    }
    Ok((Arc::new(Schema::new(Kind::Struct(fields))), places))
}

struct Metadata {
    side: Side,
    name: Option<String>,
    version: Option<i32>,
    derived: Derived<Arc<Schema>>,
}

pub fn make_metadata_key(settings: &mut Settings<'_>) -> Result<Box<dyn Transform>> {
    metadata(settings, Side::Key)
}

pub fn make_metadata_value(settings: &mut Settings<'_>) -> Result<Box<dyn Transform>> {
    metadata(settings, Side::Value)
}

fn metadata(settings: &mut Settings<'_>, side: Side) -> Result<Box<dyn Transform>> {
    let name = settings.text("schema.name").map(str::to_owned);
    let version = settings.text("schema.version").map(|text| {
        text.trim().parse().or_kind(ErrorKind::Config).doing(|| format!("read schema.version = {text}"))
    });
    let version = version.transpose()?;
    settings.flag("replace.null.with.default", true)?;
    if name.is_none() && version.is_none() {
        return Err(Error::new(ErrorKind::Config, "neither schema.name nor schema.version is set"));
    }
    Ok(Box::new(Metadata { side, name, version, derived: Derived::default() }))
}

impl Transform for Metadata {
    fn apply(&mut self, record: &Record<'_>, next: Next<'_>) -> Result<()> {
        let Some(datum) = self.side.of(record) else { return next(record) };
        let Metadata { side, name, version, derived } = self;
        let schema = derived.of(datum.schema, || {
            Arc::new(Schema {
                name: name.clone().or_else(|| datum.schema.name.clone()),
                version: version.or(datum.schema.version),
                ..(**datum.schema).clone().renewed()
            })
        });
        next(&side.with(record, Some(Datum { schema, ..datum })))
    }
}
