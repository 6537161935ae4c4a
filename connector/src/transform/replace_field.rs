//! Kafka's ReplaceField (leaves fields out, renames them) and ExtractField (one field alone).

use super::derived::{Derived, read};
use super::properties::Settings;
use super::side::Side;
use super::{Next, Transform};
use crate::model::record::{Datum, Record};
use crate::model::schema::{Field, Schema};
use crate::model::value::{RowBuffer, Value};
use shared::Result;
use shared::error::{Error, Kind as ErrorKind};
use std::sync::Arc;

struct Replace {
    side: Side,
    include: Vec<String>,
    exclude: Vec<String>,
    renames: Vec<(String, String)>,
    replace_null: bool,
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
        replace_null: settings.flag("replace.null.with.default", true)?,
        derived: Derived::default(),
        row: RowBuffer::default(),
    }))
}

impl Transform for Replace {
    fn apply(&mut self, record: &Record<'_>, next: Next<'_>) -> Result<()> {
        let Some((origin, values)) = self.side.structure(record) else { return next(record) };
        let Replace { include, exclude, renames, replace_null, derived, row, .. } = self;
        let (schema, places) = derived.of(origin, || select(origin, include, exclude, renames)).clone();
        let mut selected = row.take();
        selected.extend(places.iter().filter_map(|at| {
            Some(read(&origin.fields().get(*at)?.schema, *values.get(*at)?, *replace_null))
        }));
        let datum = Datum { schema: &schema, value: Value::Struct(&selected) };
        let done = next(&self.side.with(record, Some(datum)));
        self.row.give_back(selected);
        done
    }
}

/// The struct of those fields, and where they stand in the other.
pub fn select(
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
    (Arc::new(schema.with_fields(fields)), places)
}

struct Extract {
    side: Side,
    field: String,
    replace_null: bool,
}

pub fn make_extract_key(settings: &mut Settings<'_>) -> Result<Box<dyn Transform>> {
    extract(settings, Side::Key)
}

pub fn make_extract_value(settings: &mut Settings<'_>) -> Result<Box<dyn Transform>> {
    extract(settings, Side::Value)
}

fn extract(settings: &mut Settings<'_>, side: Side) -> Result<Box<dyn Transform>> {
    if settings.text("field.syntax.version").is_some_and(|version| version != "V1") {
        return Err(Error::new(ErrorKind::Config, "field.syntax.version: only V1 is supported"));
    }
    let field = settings.required("field")?.to_owned();
    let replace_null = settings.flag("replace.null.with.default", true)?;
    Ok(Box::new(Extract { side, field, replace_null }))
}

impl Transform for Extract {
    fn apply(&mut self, record: &Record<'_>, next: Next<'_>) -> Result<()> {
        let Some(datum) = self.side.of(record) else { return next(record) };
        let Some(found) = datum.field(&self.field) else {
            return Err(Error::new(
                ErrorKind::Data,
                format!("topic {}: there is no field {}", record.topic, self.field),
            ));
        };
        let found = if self.replace_null { found.or_default() } else { found };
        next(&self.side.with(record, Some(found)))
    }
}
