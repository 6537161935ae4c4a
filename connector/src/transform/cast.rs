//! Kafka's Cast: fields, or the whole key or value, as another plain type.

use super::derived::{Derived, read};
use super::properties::Settings;
use super::side::Side;
use super::{Next, Transform};
use crate::connect::{self, Fault, iso};
use crate::model::record::{Datum, Record};
use crate::model::schema::{Field, Form, Kind, Schema};
use crate::model::value::{Constant, RowBuffer, UNIX_EPOCH, Value};
use bumpalo::Bump;
use shared::error::{Error, Kind as ErrorKind};
use std::sync::Arc;

struct Cast {
    side: Side,
    /// Field and type; without a field the whole.
    casts: Vec<(Option<String>, Target)>,
    replace_null: bool,
    derived: Derived<Arc<Schema>>,
    row: RowBuffer,
    arena: Bump,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Int8,
    Int16,
    Int32,
    Int64,
    Float32,
    Float64,
    Boolean,
    Text,
}

const TARGETS: [(&str, Target); 8] = [
    ("int8", Target::Int8),
    ("int16", Target::Int16),
    ("int32", Target::Int32),
    ("int64", Target::Int64),
    ("float32", Target::Float32),
    ("float64", Target::Float64),
    ("boolean", Target::Boolean),
    ("string", Target::Text),
];

pub fn make_key(settings: &mut Settings<'_>) -> shared::Result<Box<dyn Transform>> {
    make(settings, Side::Key)
}

pub fn make_value(settings: &mut Settings<'_>) -> shared::Result<Box<dyn Transform>> {
    make(settings, Side::Value)
}

fn make(settings: &mut Settings<'_>, side: Side) -> shared::Result<Box<dyn Transform>> {
    settings.required("spec")?;
    let one = |text: &String| {
        let (field, word) = text.rsplit_once(':').map_or((None, text.as_str()), |(f, w)| (Some(f), w));
        let found = TARGETS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word.trim()));
        let (_, target) = found.ok_or_else(|| {
            Error::new(ErrorKind::Config, format!("spec: {word:?} is no type to cast to"))
                .remedy("int8, int16, int32, int64, float32, float64, boolean and string are")
        })?;
        Ok((field.map(|field| field.trim().to_owned()), *target))
    };
    let casts = settings.list("spec").iter().map(one).collect::<shared::Result<Vec<_>>>()?;
    if casts.len() > 1 && casts.iter().any(|(field, _)| field.is_none()) {
        return Err(Error::new(ErrorKind::Config, "spec names a type for the whole beside fields")
            .remedy("cast the whole, or fields"));
    }
    Ok(Box::new(Cast {
        side,
        casts,
        replace_null: settings.flag("replace.null.with.default", true)?,
        derived: Derived::default(),
        row: RowBuffer::default(),
        arena: Bump::new(),
    }))
}

impl Transform for Cast {
    fn apply(&mut self, record: &Record<'_>, next: Next<'_>) -> shared::Result<()> {
        let Some(datum) = self.side.of(record) else { return next(record) };
        let Cast { side, casts, replace_null, derived, row, arena } = self;
        arena.reset();
        let fail = |fault: Fault| {
            Error::new(ErrorKind::Data, fault.text())
                .doing(format!("cast a field of topic {}", record.topic))
                .remedy("choose a type that every value fits")
        };
        let schema =
            derived.try_of(datum.schema, || schema(datum.schema, casts).map(Arc::new).map_err(fail))?;
        let schema = schema.clone();
        if let [(None, target)] = casts.as_slice() {
            let value = cast(datum.schema, datum.value, *target, arena).map_err(fail)?;
            return next(&side.with(record, Some(Datum { schema: &schema, value })));
        }
        let Value::Struct(values) = datum.value else { return next(record) };
        let fields: &[Field] = datum.schema.fields();
        let mut out = row.take();
        for (field, value) in fields.iter().zip(values) {
            let value = read(&field.schema, *value, *replace_null);
            out.push(match target(casts, &field.name) {
                Some(target) => cast(&field.schema, value, target, arena).map_err(fail)?,
                None => value,
            });
        }
        let done = next(&side.with(record, Some(Datum { schema: &schema, value: Value::Struct(&out) })));
        row.give_back(out);
        done
    }
}

fn target(casts: &[(Option<String>, Target)], name: &str) -> Option<Target> {
    casts.iter().find(|(field, _)| field.as_deref() == Some(name)).map(|(_, target)| *target)
}

fn schema(schema: &Schema, casts: &[(Option<String>, Target)]) -> Result<Schema, Fault> {
    if let [(None, target)] = casts {
        let named = Schema { kind: target.kind(), form: Form::Plain, ..schema.clone().renewed() };
        return Ok(Schema { default: default(schema, *target)?, fallback: None, unavailable: None, ..named });
    }
    let one = |field: &Field| {
        let Some(target) = target(casts, &field.name) else { return Ok(field.clone()) };
        let of = &field.schema;
        let plain =
            Schema { optional: of.optional, default: default(of, target)?, ..Schema::new(target.kind()) };
        let cast = |constant: &Option<Constant>| {
            constant.as_ref().and_then(|constant| owned(of, constant.value(), target).ok().flatten())
        };
        let (fallback, unavailable) = (cast(&of.fallback), cast(&of.unavailable));
        Ok(Field::new(field.name.as_str(), Schema { fallback, unavailable, ..plain }))
    };
    let fields = schema.fields().iter().map(one).collect::<Result<Vec<_>, Fault>>()?;
    Ok(Schema { optional: schema.optional, ..schema.with_fields(fields) })
}

fn default(schema: &Schema, target: Target) -> Result<Option<Constant>, Fault> {
    match &schema.default {
        Some(default) => owned(schema, default.value(), target),
        None => Ok(None),
    }
}

fn owned(schema: &Schema, value: Value<'_>, target: Target) -> Result<Option<Constant>, Fault> {
    Ok(match cast(schema, value, target, &Bump::new())? {
        Value::Text(text) => Some(Constant::Text(text.to_owned())),
        Value::Bool(flag) => Some(Constant::Plain(Value::Bool(flag))),
        Value::Int(number) => Some(Constant::Plain(Value::Int(number))),
        Value::Float32(number) => Some(Constant::Plain(Value::Float32(number))),
        Value::Float64(number) => Some(Constant::Plain(Value::Float64(number))),
        _ => None,
    })
}

impl Target {
    fn kind(self) -> Kind {
        match self {
            Target::Int8 => Kind::Int8,
            Target::Int16 => Kind::Int16,
            Target::Int32 => Kind::Int32,
            Target::Int64 => Kind::Int64,
            Target::Float32 => Kind::Float32,
            Target::Float64 => Kind::Float64,
            Target::Boolean => Kind::Boolean,
            Target::Text => Kind::String,
        }
    }
}

/// What Java reads a value as before it casts it.
enum Read<'a> {
    Int(i64),
    Float(f64),
    Bool(bool),
    Text(&'a str),
}

fn cast<'a>(
    schema: &'a Schema,
    value: Value<'a>,
    target: Target,
    arena: &'a Bump,
) -> Result<Value<'a>, Fault> {
    let value = match (value, &schema.unavailable) {
        (Value::Null, _) => return Ok(Value::Null),
        (Value::Unavailable, Some(placeholder)) => placeholder.value(),
        (value, _) => value,
    };
    if target == Target::Text {
        let mut text = String::new();
        print(&mut text, schema, &value)?;
        return Ok(Value::Text(arena.alloc_str(&text)));
    }
    let read = match (&schema.kind, value) {
        (Kind::Boolean, Value::Bool(flag)) => Read::Bool(flag),
        (Kind::Int8 | Kind::Int16 | Kind::Int32 | Kind::Int64, value) => {
            Read::Int(connect::whole(schema.form, &value)?)
        }
        (Kind::Float32 | Kind::Float64, value) => Read::Float(connect::double(&value)?),
        (Kind::Bytes, Value::Decimal(digits)) => decimal(digits, target)?,
        (Kind::String, value) => {
            let mut text = String::new();
            connect::print(&mut text, schema, &value)?;
            Read::Text(arena.alloc_str(&text))
        }
        _ => return Err(Fault::WrongType),
    };
    Ok(match target {
        Target::Boolean => Value::Bool(match read {
            Read::Bool(flag) => flag,
            Read::Int(number) => number != 0,
            Read::Float(number) => number as i64 != 0,
            Read::Text(text) => text.eq_ignore_ascii_case("true"),
        }),
        Target::Float32 => Value::Float32(match read {
            Read::Int(number) => number as f32,
            Read::Float(number) => number as f32,
            Read::Bool(flag) => f32::from(u8::from(flag)),
            Read::Text(text) => text.trim().parse().map_err(|_| Fault::NoNumber)?,
        }),
        Target::Float64 => Value::Float64(match read {
            Read::Int(number) => number as f64,
            // Java widens a float as it is.
            Read::Float(number) => number,
            Read::Bool(flag) => f64::from(u8::from(flag)),
            Read::Text(text) => text.trim().parse().map_err(|_| Fault::NoNumber)?,
        }),
        whole => Value::Int(narrow(read, whole)?),
    })
}

/// Kafka prints what has a Java type of its own in its own way: bytes, dates, decimals.
fn print(out: &mut String, schema: &Schema, value: &Value<'_>) -> Result<(), Fault> {
    const MILLIS_PER_DAY: i64 = 86_400_000;
    let millis =
        match schema.name.as_deref().and_then(|name| name.strip_prefix("org.apache.kafka.connect.data.")) {
            Some("Date") => Some(connect::whole(schema.form, value)?.saturating_mul(MILLIS_PER_DAY)),
            Some("Time" | "Timestamp") => Some(connect::whole(schema.form, value)?),
            _ => None,
        };
    if let Some(millis) = millis {
        let printed = iso::timestamp(millis.saturating_mul(1_000).saturating_add(UNIX_EPOCH), Some(3));
        let printed = std::str::from_utf8(printed.bytes()).unwrap_or_default();
        let (date, time) = printed.split_once('T').unwrap_or((printed, ""));
        out.push_str(match millis {
            time_only if time_only < MILLIS_PER_DAY => time,
            date_only if date_only % MILLIS_PER_DAY == 0 => date,
            _ => printed,
        });
        return Ok(());
    }
    match (&schema.kind, value) {
        (Kind::Bytes, Value::Decimal(digits)) => {
            let (negative, text) = digits.strip_prefix('-').map_or((false, *digits), |rest| (true, rest));
            let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
            let joined = format!("{whole}{fraction}");
            let joined = joined.trim_start_matches('0');
            let joined = if joined.is_empty() { "0" } else { joined };
            let scale = i64::try_from(fraction.len()).map_err(|_| Fault::OutOfRange)?;
            out.push_str(&connect::java::big_decimal(negative && joined != "0", joined, scale));
            Ok(())
        }
        (Kind::Bytes, value) => connect::text::write(out, Form::Base64, value),
        (Kind::Array(_) | Kind::Map(..) | Kind::Struct(_), _) => Err(Fault::WrongType),
        _ => connect::print(out, schema, value),
    }
}

/// A decimal's integer part, or the nearest floating number.
fn decimal(digits: &str, target: Target) -> Result<Read<'static>, Fault> {
    if matches!(target, Target::Float32 | Target::Float64) {
        return digits.parse().map(Read::Float).map_err(|_| Fault::NoNumber);
    }
    let whole = digits.split('.').next().unwrap_or_default();
    let whole = if matches!(whole, "" | "-") { "0" } else { whole };
    // Java keeps the low bits of what is too long.
    whole.parse::<i128>().map(|number| Read::Int(number as i64)).map_err(|_| Fault::NoNumber)
}

/// As Java narrows: numbers lose high bits, a fraction goes to the nearest end; a text must fit.
fn narrow(read: Read<'_>, target: Target) -> Result<i64, Fault> {
    let number = match read {
        Read::Bool(flag) => i64::from(flag),
        Read::Int(number) => number,
        Read::Float(number) if target == Target::Int64 => number as i64,
        Read::Float(number) => i64::from(number as i32),
        Read::Text(text) => {
            let number: i64 = text.parse().map_err(|_| Fault::NoNumber)?;
            let fits = match target {
                Target::Int8 => i8::try_from(number).is_ok(),
                Target::Int16 => i16::try_from(number).is_ok(),
                Target::Int32 => i32::try_from(number).is_ok(),
                _ => true,
            };
            if !fits {
                return Err(Fault::NoNumber);
            }
            number
        }
    };
    Ok(match target {
        Target::Int8 => i64::from(number as i8),
        Target::Int16 => i64::from(number as i16),
        Target::Int32 => i64::from(number as i32),
        _ => number,
    })
}
