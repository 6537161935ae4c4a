//! Kafka's HeaderFrom (fields become headers) and Debezium's HeaderToValue (headers become fields).

use super::derived::{Derived, read};
use super::properties::Settings;
use super::replace_field::select;
use super::side::Side;
use super::{Next, Transform};
use crate::model::record::{Datum, Header, HeaderValue, Record};
use crate::model::schema::{Field, Kind, Schema};
use crate::model::value::{RowBuffer, Value};
use bumpalo::Bump;
use shared::Result;
use shared::error::{Error, Kind as ErrorKind};
use std::collections::HashMap;
use std::sync::Arc;

/// Schemas kept at a time.
const KEPT: usize = 4_096;

/// Two lists that belong together, and whether what is copied goes from where it was.
struct Pairs {
    pairs: Vec<(String, String)>,
    moves: bool,
}

impl Pairs {
    fn new(settings: &mut Settings<'_>, from: &str, to: &str) -> Result<Pairs> {
        let (from, to) = (settings.list(from), settings.list(to));
        if from.len() != to.len() || from.is_empty() {
            return Err(Error::new(ErrorKind::Config, "fields and headers are not equally many")
                .remedy("name a header for each field, in the same order"));
        }
        settings.required("operation")?;
        let moves = settings.word("operation", &["move", "copy"], "copy")? == "move";
        Ok(Pairs { pairs: from.into_iter().zip(to).collect(), moves })
    }
}

struct HeaderFrom {
    side: Side,
    fields: Pairs,
    replace_null: bool,
    derived: Derived<(Arc<Schema>, Vec<usize>)>,
    row: RowBuffer,
}

pub fn make_from_key(settings: &mut Settings<'_>) -> Result<Box<dyn Transform>> {
    header_from(settings, Side::Key)
}

pub fn make_from_value(settings: &mut Settings<'_>) -> Result<Box<dyn Transform>> {
    header_from(settings, Side::Value)
}

fn header_from(settings: &mut Settings<'_>, side: Side) -> Result<Box<dyn Transform>> {
    Ok(Box::new(HeaderFrom {
        side,
        fields: Pairs::new(settings, "fields", "headers")?,
        replace_null: settings.flag("replace.null.with.default", true)?,
        derived: Derived::default(),
        row: RowBuffer::default(),
    }))
}

impl Transform for HeaderFrom {
    fn apply(&mut self, record: &Record<'_>, next: Next<'_>) -> Result<()> {
        let Some((origin, values)) = self.side.structure(record) else { return next(record) };
        let HeaderFrom { side, fields: Pairs { pairs, moves }, replace_null, derived, row } = self;
        let mut headers = record.headers.to_vec();
        for (field, name) in &*pairs {
            let (at, schema) = origin.field(field).ok_or_else(|| {
                Error::new(ErrorKind::Data, format!("topic {}: there is no field {field}", record.topic))
            })?;
            let value = read(schema, values.get(at).copied().unwrap_or(Value::Null), *replace_null);
            headers.push(Header { name, value: HeaderValue::Datum(Datum { schema, value }) });
        }
        let record = Record { headers: &headers, ..*record };
        if !*moves {
            return next(&record);
        }
        let excluded = || pairs.iter().map(|(field, _)| field.clone()).collect::<Vec<_>>();
        let (schema, places) = derived.of(origin, || select(origin, &[], &excluded(), &[])).clone();
        let mut out = row.take();
        let one =
            |at: &usize| Some(read(&origin.fields().get(*at)?.schema, *values.get(*at)?, *replace_null));
        out.extend(places.iter().filter_map(one));
        let done = next(&side.with(&record, Some(Datum { schema: &schema, value: Value::Struct(&out) })));
        row.give_back(out);
        done
    }
}

/// A schema's id; of each header that becomes a field its place in the list and its schema's id.
type MadeOf = (u64, Vec<(usize, u64)>);

struct HeaderToValue {
    headers: Pairs,
    text: Arc<Schema>,
    /// By the value's schema and those of the headers that a record has.
    schemas: HashMap<MadeOf, Arc<Schema>>,
    arena: Bump,
}

pub fn make_to_value(settings: &mut Settings<'_>) -> Result<Box<dyn Transform>> {
    Ok(Box::new(HeaderToValue {
        headers: Pairs::new(settings, "headers", "fields")?,
        text: Arc::new(Schema::string()),
        schemas: HashMap::new(),
        arena: Bump::new(),
    }))
}

/// A header that becomes a field: the field's path, and the header.
type Entry<'a> = (&'a str, Datum<'a>);

impl Transform for HeaderToValue {
    fn apply(&mut self, record: &Record<'_>, next: Next<'_>) -> Result<()> {
        let Some((origin, values)) = Side::Value.structure(record) else { return next(record) };
        let HeaderToValue { headers: Pairs { pairs, moves }, text, schemas, arena } = self;
        arena.reset();
        let mut entries: Vec<Entry<'_>> = Vec::new();
        let mut made_of = Vec::new();
        for header in record.headers {
            let Some(at) = pairs.iter().position(|(name, _)| name == header.name) else { continue };
            let datum = match header.value {
                HeaderValue::Datum(datum) => datum,
                HeaderValue::Text(value) => Datum { schema: text, value: Value::Text(value) },
            };
            made_of.push((at, datum.schema.id));
            entries.extend(pairs.get(at).map(|(_, field)| (field.as_str(), datum)));
        }
        if entries.is_empty() {
            return next(record);
        }
        if schemas.len() >= KEPT {
            schemas.clear();
        }
        let schema = match schemas.get(&(origin.id, made_of.clone())) {
            Some(schema) => schema.clone(),
            None => {
                let made = Arc::new(extended(origin, &entries)?);
                schemas.insert((origin.id, made_of), made.clone());
                made
            }
        };
        let value = placed(&schema, Some((origin, values)), &entries, arena);
        let keeps = |header: &&Header<'_>| !*moves || !pairs.iter().any(|(name, _)| name == header.name);
        let headers: Vec<Header<'_>> = record.headers.iter().filter(keeps).copied().collect();
        let value = Some(Datum { schema: &schema, value });
        next(&Record { headers: &headers, value, ..*record })
    }
}

/// Entries whose path leads into a field, without that step.
fn within<'a>(entries: &[Entry<'a>], name: &str) -> Vec<Entry<'a>> {
    let one = |(path, datum): &Entry<'a>| {
        let (first, rest) = path.split_once('.')?;
        (first == name).then_some((rest, *datum))
    };
    entries.iter().filter_map(one).collect()
}

fn extended(schema: &Schema, entries: &[Entry<'_>]) -> Result<Schema> {
    let mut fields = Vec::new();
    for field in schema.fields() {
        let inner = within(entries, &field.name);
        fields.push(match (&field.schema.kind, inner.as_slice()) {
            (_, []) => field.clone(),
            (Kind::Struct(_), inner) => Field::new(field.name.as_str(), extended(&field.schema, inner)?),
            _ => {
                let text = format!("field {} is no struct: no header can become a field of it", field.name);
                return Err(Error::new(ErrorKind::Data, text).remedy("name another field"));
            }
        });
    }
    for (path, datum) in entries {
        let (name, inner) = path.split_once('.').map_or((*path, None), |(name, rest)| (name, Some(rest)));
        if fields.iter().any(|field: &Field| field.name == name) {
            continue;
        }
        fields.push(match inner {
            None => Field { name: name.to_owned(), schema: datum.schema.clone() },
            Some(_) => {
                let empty = Schema::new(Kind::Struct(Vec::new()));
                let made = extended(&empty, &within(entries, name))?;
                Field::new(name, made.optional())
            }
        });
    }
    Ok(schema.with_fields(fields))
}

/// The values in the order of the extended struct.
fn placed<'a>(
    schema: &Schema,
    origin: Option<(&'a Schema, &[Value<'a>])>,
    entries: &[Entry<'a>],
    arena: &'a Bump,
) -> Value<'a> {
    let one = |field: &Field| {
        let old = origin.and_then(|(schema, values)| {
            let (at, schema) = schema.field(&field.name)?;
            Some((&**schema, *values.get(at)?))
        });
        if let Some((_, datum)) = entries.iter().find(|(path, _)| *path == field.name) {
            return datum.value;
        }
        match (within(entries, &field.name).as_slice(), old) {
            ([], Some((schema, value))) => schema.or_default(value),
            ([], None) => Value::Null,
            (inner, Some((schema, Value::Struct(values)))) => {
                placed(&field.schema, Some((schema, values)), inner, arena)
            }
            (_, Some(_)) => Value::Null,
            (inner, None) => placed(&field.schema, None, inner, arena),
        }
    };
    let values = bumpalo::collections::Vec::from_iter_in(schema.fields().iter().map(one), arena);
    Value::Struct(values.into_bump_slice())
}
