//! Debezium's TimezoneConverter: points in time shown in another time zone.

use super::derived::is_envelope;
use super::properties::Settings;
use super::{Next, Transform};
use crate::connect::iso;
use crate::model::record::{Datum, Record};
use crate::model::schema::{Form, Schema};
use crate::model::value::{RowBuffer, Value};
use bumpalo::Bump;
use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};
use shared::Result;
use shared::error::{Context, Error, Kind, OrKind};

struct Converter {
    zone: TimeZone,
    /// Names of fields that are converted, or that are not; empty means all.
    include: Vec<String>,
    exclude: Vec<String>,
    rows: [RowBuffer; 2],
    arena: Bump,
}

pub fn make(settings: &mut Settings<'_>) -> Result<Box<dyn Transform>> {
    let name = settings.required("converted.timezone")?;
    let zone = match offset(name) {
        Some(offset) => TimeZone::fixed(offset),
        None => {
            TimeZone::get(name).or_kind(Kind::Config).doing(|| format!("read converted.timezone = {name}"))?
        }
    };
    let plain = |list: Vec<String>| -> Result<Vec<String>> {
        match list.iter().find(|text| text.contains(':')) {
            Some(text) => {
                Err(Error::new(Kind::Config, format!("{text:?}: rules by topic or source are not supported"))
                    .remedy("name fields only"))
            }
            None => Ok(list),
        }
    };
    Ok(Box::new(Converter {
        zone,
        include: plain(settings.list("include.list"))?,
        exclude: plain(settings.list("exclude.list"))?,
        rows: [RowBuffer::default(), RowBuffer::default()],
        arena: Bump::new(),
    }))
}

/// `+02:00`: Java takes offsets for zones.
fn offset(name: &str) -> Option<Offset> {
    let (sign, digits) = match name.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, name.strip_prefix('+')?),
    };
    let (hours, minutes) = digits.split_once(':').unwrap_or((digits, "0"));
    let seconds =
        hours.parse::<i32>().ok()?.checked_mul(3_600)? + minutes.parse::<i32>().ok()?.checked_mul(60)?;
    Offset::from_seconds(sign * seconds).ok()
}

impl Transform for Converter {
    fn apply(&mut self, record: &Record<'_>, next: Next<'_>) -> Result<()> {
        let Some(datum) = record.value else { return next(record) };
        let Value::Struct(values) = datum.value else { return next(record) };
        let Converter { zone, include, exclude, rows, arena } = self;
        arena.reset();
        let [first, second] = rows;
        let wanted = |name: &str| {
            (include.is_empty() || include.iter().any(|n| n == name)) && !exclude.iter().any(|n| n == name)
        };
        let mut out = first.take();
        if !is_envelope(datum.schema) {
            convert(datum.schema, values, zone, &wanted, arena, &mut out);
            let done =
                next(&Record { value: Some(Datum { value: Value::Struct(&out), ..datum }), ..*record });
            first.give_back(out);
            return done;
        }
        let mut after = second.take();
        let mut envelope = bumpalo::collections::Vec::from_iter_in(values.iter().copied(), arena);
        for (name, out) in [("before", &mut out), ("after", &mut after)] {
            let Some((at, row)) = datum.schema.field(name) else { continue };
            if let Some(Value::Struct(values)) = values.get(at) {
                convert(row, values, zone, &wanted, arena, out);
            }
        }
        for (name, row) in [("before", &out), ("after", &after)] {
            let place = datum.schema.field(name).and_then(|(at, _)| envelope.get_mut(at));
            if let (Some(place @ Value::Struct(_)), false) = (place.map(|p| &mut *p), row.is_empty()) {
                *place = Value::Struct(row);
            }
        }
        let done =
            next(&Record { value: Some(Datum { value: Value::Struct(&envelope), ..datum }), ..*record });
        drop(envelope);
        first.give_back(out);
        second.give_back(after);
        done
    }
}

fn convert<'a>(
    schema: &Schema,
    values: &[Value<'a>],
    zone: &TimeZone,
    wanted: &dyn Fn(&str) -> bool,
    arena: &'a Bump,
    out: &mut Vec<Value<'a>>,
) {
    out.extend(schema.fields().iter().zip(values).map(|(field, value)| {
        if wanted(&field.name) { moved(field.schema.form, *value, zone, arena) } else { *value }
    }));
}

/// A point in time in another zone: texts with its offset, numbers as its local time.
fn moved<'a>(form: Form, value: Value<'a>, zone: &TimeZone, arena: &'a Bump) -> Value<'a> {
    let offset_s = |micros: i64| {
        let instant = Timestamp::from_microsecond(micros).ok()?;
        Some(i64::from(zone.to_offset(instant).seconds()))
    };
    match (form, value) {
        (Form::Zoned { .. } | Form::IsoTimestamp, Value::TimestampTz(micros) | Value::Timestamp(micros)) => {
            let Some(offset_s) = offset_s(micros) else { return value };
            let local = iso::timestamp(micros + offset_s * 1_000_000, None);
            let local = std::str::from_utf8(local.bytes()).unwrap_or_default().trim_end_matches('Z');
            let (sign, total) = if offset_s < 0 { ('-', -offset_s) } else { ('+', offset_s) };
            let suffix = match total {
                0 => "Z".to_owned(),
                total => format!("{sign}{:02}:{:02}", total / 3_600, total / 60 % 60),
            };
            Value::Text(arena.alloc_str(&format!("{local}{suffix}")))
        }
        (Form::TimestampMillis | Form::TimestampMicros | Form::TimestampNanos, Value::Timestamp(micros)) => {
            offset_s(micros).map_or(value, |offset_s| Value::Timestamp(micros + offset_s * 1_000_000))
        }
        _ => value,
    }
}
