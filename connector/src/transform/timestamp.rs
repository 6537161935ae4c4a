//! Kafka's TimestampConverter (points in time as text, number or Connect's own types) and
//! TimestampRouter (the record's time in the topic's name).

use super::derived::{Derived, read};
use super::properties::Settings;
use super::side::Side;
use super::{Next, Transform};
use crate::connect;
use crate::connect::date_format::DateFormat;
use crate::model::record::{Datum, Record};
use crate::model::schema::{Field, Kind, Schema};
use crate::model::value::{RowBuffer, Value};
use bumpalo::Bump;
use shared::Result;
use shared::error::{Error, Kind as ErrorKind};
use std::sync::Arc;

const DATE: &str = "org.apache.kafka.connect.data.Date";
const TIME: &str = "org.apache.kafka.connect.data.Time";
const TIMESTAMP: &str = "org.apache.kafka.connect.data.Timestamp";
const MILLIS_PER_DAY: i64 = 86_400_000;

struct Converter {
    side: Side,
    /// Empty for the whole key or value.
    field: String,
    target: Target,
    format: Option<DateFormat>,
    unix: Precision,
    replace_null: bool,
    derived: Derived<Arc<Schema>>,
    row: RowBuffer,
    arena: Bump,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    Text,
    Unix,
    Date,
    Time,
    Timestamp,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Precision {
    Seconds,
    Millis,
    Micros,
    Nanos,
}

pub fn make_key(settings: &mut Settings<'_>) -> Result<Box<dyn Transform>> {
    make(settings, Side::Key)
}

pub fn make_value(settings: &mut Settings<'_>) -> Result<Box<dyn Transform>> {
    make(settings, Side::Value)
}

fn make(settings: &mut Settings<'_>, side: Side) -> Result<Box<dyn Transform>> {
    settings.required("target.type")?;
    let target = match settings.word("target.type", &["string", "unix", "Date", "Time", "Timestamp"], "")? {
        "string" => Target::Text,
        "unix" => Target::Unix,
        "Date" => Target::Date,
        "Time" => Target::Time,
        _ => Target::Timestamp,
    };
    let words = ["seconds", "milliseconds", "microseconds", "nanoseconds"];
    let unix = match settings.word("unix.precision", &words, "milliseconds")? {
        "seconds" => Precision::Seconds,
        "microseconds" => Precision::Micros,
        "nanoseconds" => Precision::Nanos,
        _ => Precision::Millis,
    };
    let format = pattern(settings, "format", "")?;
    if target == Target::Text && format.is_none() {
        return Err(Error::new(ErrorKind::Config, "target.type = string needs a format")
            .remedy("set format, such as yyyy-MM-dd'T'HH:mm:ss.SSS"));
    }
    Ok(Box::new(Converter {
        side,
        field: settings.text_or("field", ""),
        target,
        format,
        unix,
        replace_null: settings.flag("replace.null.with.default", true)?,
        derived: Derived::default(),
        row: RowBuffer::default(),
        arena: Bump::new(),
    }))
}

fn pattern(settings: &mut Settings<'_>, name: &str, default: &str) -> Result<Option<DateFormat>> {
    let text = settings.text_or(name, default);
    if text.trim().is_empty() {
        return Ok(None);
    }
    DateFormat::new(&text).map(Some).map_err(|letter| {
        Error::new(ErrorKind::Config, format!("{name} = {text:?}: the letter {letter} is not supported"))
            .remedy("y M d D H h k K m s S a E z Z X are; quote other text")
    })
}

impl Target {
    fn schema(self, optional: bool) -> Schema {
        let schema = match self {
            Target::Text => Schema::string(),
            Target::Unix => Schema::int64(),
            Target::Date => Schema::int32().semantic(DATE),
            Target::Time => Schema::int32().semantic(TIME),
            Target::Timestamp => Schema::int64().semantic(TIMESTAMP),
        };
        Schema { optional, ..schema }
    }
}

impl Transform for Converter {
    fn apply(&mut self, record: &Record<'_>, next: Next<'_>) -> Result<()> {
        let Some(datum) = self.side.of(record) else { return next(record) };
        let Converter { side, field: name, target, format, unix, replace_null, derived, row, arena } = self;
        arena.reset();
        let convert = Conversion { target: *target, format: format.as_ref(), unix: *unix };
        let fail = || {
            Error::new(
                ErrorKind::Data,
                format!("topic {}: a value is no point in time that is known", record.topic),
            )
            .remedy("name a field that is a text of the format, a number, or one of Connect's own times")
        };
        if name.is_empty() {
            let schema = derived.of(datum.schema, || Arc::new(target.schema(datum.schema.optional)));
            let value = convert.value(datum.schema, datum.value, arena).ok_or_else(fail)?;
            return next(&side.with(record, Some(Datum { schema, value })));
        }
        let Value::Struct(values) = datum.value else { return next(record) };
        let schema = derived.of(datum.schema, || {
            let one = |field: &Field| match field.name == *name {
                true => Field::new(name.as_str(), target.schema(field.schema.optional)),
                false => field.clone(),
            };
            let made = datum.schema.with_fields(datum.schema.fields().iter().map(one).collect());
            Arc::new(Schema { optional: datum.schema.optional, ..made })
        });
        let schema = schema.clone();
        let fields: &[Field] = datum.schema.fields();
        let mut out = row.take();
        for (field, value) in fields.iter().zip(values) {
            let value = read(&field.schema, *value, *replace_null);
            out.push(match field.name == *name {
                true => convert.value(&field.schema, value, arena).ok_or_else(fail)?,
                false => value,
            });
        }
        let done = next(&side.with(record, Some(Datum { schema: &schema, value: Value::Struct(&out) })));
        row.give_back(out);
        done
    }
}

struct Conversion<'f> {
    target: Target,
    format: Option<&'f DateFormat>,
    unix: Precision,
}

impl Conversion<'_> {
    fn value<'a>(&self, schema: &Schema, value: Value<'a>, arena: &'a Bump) -> Option<Value<'a>> {
        if value == Value::Null {
            return Some(value);
        }
        let millis = self.millis(schema, &value)?;
        Some(match self.target {
            Target::Text => Value::Text(arena.alloc_str(&self.format?.format(millis)?)),
            Target::Unix => Value::Int(match self.unix {
                Precision::Seconds => millis / 1_000,
                Precision::Millis => millis,
                Precision::Micros => millis.saturating_mul(1_000),
                Precision::Nanos => millis.saturating_mul(1_000_000),
            }),
            Target::Date => Value::Int(millis.div_euclid(MILLIS_PER_DAY)),
            Target::Time => Value::Int(millis.rem_euclid(MILLIS_PER_DAY)),
            Target::Timestamp => Value::Int(millis),
        })
    }

    fn millis(&self, schema: &Schema, value: &Value<'_>) -> Option<i64> {
        let whole = || connect::whole(schema.form, value).ok();
        match (schema.name.as_deref(), &schema.kind) {
            (Some(TIMESTAMP | TIME), _) => whole(),
            (Some(DATE), _) => whole()?.checked_mul(MILLIS_PER_DAY),
            (_, Kind::String) => {
                let mut text = String::new();
                connect::print(&mut text, schema, value).ok()?;
                self.format?.parse(&text)
            }
            (_, Kind::Int64) => Some(match self.unix {
                Precision::Seconds => whole()?.saturating_mul(1_000),
                Precision::Millis => whole()?,
                Precision::Micros => whole()? / 1_000,
                Precision::Nanos => whole()? / 1_000_000,
            }),
            _ => None,
        }
    }
}

struct Router {
    topic: String,
    format: Option<DateFormat>,
}

pub fn make_router(settings: &mut Settings<'_>) -> Result<Box<dyn Transform>> {
    let topic = settings.text_or("topic.format", "${topic}-${timestamp}");
    Ok(Box::new(Router { topic, format: pattern(settings, "timestamp.format", "yyyyMMdd")? }))
}

impl Transform for Router {
    fn apply(&mut self, record: &Record<'_>, next: Next<'_>) -> Result<()> {
        let formatted = record.timestamp_ms.and_then(|millis| self.format.as_ref()?.format(millis));
        let formatted = formatted.ok_or_else(|| {
            let text = format!("topic {}: the record has no time of its own to route by", record.topic);
            Error::new(ErrorKind::Data, text).remedy(
                "Debezium's records have none either; an outbox router before this one gives them one",
            )
        })?;
        let topic = self.topic.replace("${topic}", record.topic).replace("${timestamp}", &formatted);
        next(&Record { topic: &topic, ..*record })
    }
}
