//! Debezium's TimezoneConverter: points in time shown in another time zone.

use super::derived::is_envelope;
use super::properties::Settings;
use super::{Next, Transform};
use crate::connect::{self, iso};
use crate::model::record::{Datum, Record};
use crate::model::schema::{Form, Schema};
use crate::model::value::{RowBuffer, Value};
use bumpalo::Bump;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};
use shared::Result;
use shared::error::{Context, Error, Kind, OrKind};

struct Converter {
    zone: TimeZone,
    rules: Rules,
    rows: [RowBuffer; 3],
    arena: Bump,
}

/// Which fields of which records are converted.
enum Rules {
    All,
    Include(Vec<Rule>),
    Exclude(Vec<Rule>),
}

/// `source:TABLE`, `topic:TOPIC` or a name that may be either; then a field, if not all are meant.
struct Rule {
    place: Place,
    name: String,
    field: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Topic,
    Table,
    Any,
}

pub fn make(settings: &mut Settings<'_>) -> Result<Box<dyn Transform>> {
    let name = settings.required("converted.timezone")?;
    let zone = match offset(name) {
        Some(offset) => TimeZone::fixed(offset),
        None => {
            TimeZone::get(name).or_kind(Kind::Config).doing(|| format!("read converted.timezone = {name}"))?
        }
    };
    let (include, exclude) = (settings.list("include.list"), settings.list("exclude.list"));
    let rules = match (include.is_empty(), exclude.is_empty()) {
        (true, true) => Rules::All,
        (false, true) => Rules::Include(parse(&include)?),
        (true, false) => Rules::Exclude(parse(&exclude)?),
        (false, false) => {
            return Err(Error::new(Kind::Config, "include.list and exclude.list are both set")
                .remedy("keep one of them"));
        }
    };
    Ok(Box::new(Converter { zone, rules, rows: Default::default(), arena: Bump::new() }))
}

/// A prefix holds for the items after it, too, until another comes.
fn parse(items: &[String]) -> Result<Vec<Rule>> {
    let mut place = Place::Any;
    let mut rules = Vec::new();
    for item in items {
        let parts: Vec<&str> = item.split(':').collect();
        let prefix = |word: &str| match word.to_ascii_lowercase().as_str() {
            "source" => Some(Place::Table),
            "topic" => Some(Place::Topic),
            _ => None,
        };
        let (prefix, name, field) = match parts.as_slice() {
            [name] => (None, *name, None),
            [word, name] if prefix(word).is_some() => (prefix(word), *name, None),
            [name, field] => (None, *name, Some(*field)),
            [word, name, field] if prefix(word).is_some() => (prefix(word), *name, Some(*field)),
            _ => {
                return Err(Error::new(Kind::Config, format!("{item:?} is no rule"))
                    .remedy("write source:table, source:table:field, topic:name or topic:name:field"));
            }
        };
        place = prefix.unwrap_or(place);
        rules.push(Rule { place, name: name.to_owned(), field: field.map(str::to_owned) });
    }
    Ok(rules)
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

/// What of one record is converted.
enum Wanted<'r> {
    Nothing,
    All,
    Only(Vec<&'r str>),
    AllBut(Vec<&'r str>),
}

impl Rules {
    fn of(&self, topic: &str, table: Option<&str>) -> Wanted<'_> {
        let (rules, include) = match self {
            Rules::All => return Wanted::All,
            Rules::Include(rules) => (rules, true),
            Rules::Exclude(rules) => (rules, false),
        };
        let named = |place: Place, name: Option<&str>| {
            let name = name?;
            let found: Vec<&Rule> =
                rules.iter().filter(|rule| rule.place == place && rule.name == name).collect();
            (!found.is_empty()).then_some(found)
        };
        let found = named(Place::Topic, Some(topic))
            .or_else(|| named(Place::Table, table))
            .or_else(|| named(Place::Any, Some(topic)))
            .or_else(|| named(Place::Any, table));
        let fields = found.map(|rules| rules.iter().filter_map(|rule| rule.field.as_deref()).collect());
        match (fields, include) {
            (None, true) => Wanted::Nothing,
            (None, false) => Wanted::All,
            (Some(fields), true) if Vec::is_empty(&fields) => Wanted::All,
            (Some(fields), false) if Vec::is_empty(&fields) => Wanted::Nothing,
            (Some(fields), true) => Wanted::Only(fields),
            (Some(fields), false) => Wanted::AllBut(fields),
        }
    }
}

impl Wanted<'_> {
    /// A rule names a field of both rows (`field`), of one (`after.field`), or of the source block.
    fn holds(&self, block: &str, field: &str) -> bool {
        let named = |fields: &[&str]| {
            fields.iter().any(|name| match name.split_once('.') {
                Some((place @ ("source" | "before" | "after"), name)) => place == block && name == field,
                _ => block != "source" && *name == field,
            })
        };
        let of_source = |fields: &[&str]| fields.iter().any(|name| name.starts_with("source."));
        match self {
            Wanted::Nothing => false,
            Wanted::All => block != "source",
            Wanted::Only(fields) => named(fields),
            Wanted::AllBut(fields) => !named(fields) && (block != "source" || of_source(fields)),
        }
    }
}

impl Transform for Converter {
    fn apply(&mut self, record: &Record<'_>, next: Next<'_>) -> Result<()> {
        let Some(datum) = record.value.filter(|datum| is_envelope(datum.schema)) else { return next(record) };
        let Value::Struct(values) = datum.value else { return next(record) };
        let table = match datum.field("source").and_then(|source| source.field("table")) {
            Some(Datum { value: Value::Text(table), .. }) => Some(table),
            _ => None,
        };
        let wanted = self.rules.of(record.topic, table);
        if matches!(wanted, Wanted::Nothing) {
            return next(record);
        }
        self.arena.reset();
        let (zone, arena) = (&self.zone, &self.arena);
        let mut blocks = self.rows.each_mut().map(RowBuffer::take);
        for (name, out) in ["before", "after", "source"].iter().zip(&mut blocks) {
            let Some(Datum { schema, value: Value::Struct(values) }) = datum.field(name) else { continue };
            out.extend(schema.fields().iter().zip(values).map(|(field, value)| {
                if wanted.holds(name, &field.name) {
                    moved(*name == "source", &field.name, &field.schema, *value, zone, arena)
                } else {
                    *value
                }
            }));
        }
        let mut envelope = bumpalo::collections::Vec::from_iter_in(values.iter().copied(), arena);
        for (name, row) in ["before", "after", "source"].iter().zip(&blocks) {
            let place = datum.schema.field(name).and_then(|(at, _)| envelope.get_mut(at));
            if let Some(place @ Value::Struct(_)) = place {
                *place = Value::Struct(row);
            }
        }
        let done =
            next(&Record { value: Some(Datum { value: Value::Struct(&envelope), ..datum }), ..*record });
        drop(envelope);
        for (buffer, row) in self.rows.iter_mut().zip(blocks) {
            buffer.give_back(row);
        }
        done
    }
}

/// A point in time in another zone: texts with its offset; numbers as if they had been local time there.
fn moved<'a>(
    of_source: bool,
    name: &str,
    schema: &'a Schema,
    value: Value<'a>,
    zone: &TimeZone,
    arena: &'a Bump,
) -> Value<'a> {
    // Connect reads a field without a value as its default, and Debezium writes that back, moved.
    let value = schema.or_default(value);
    match (schema.form, value) {
        (Form::Zoned { .. }, Value::TimestampTz(micros)) => {
            let Some(offset_s) = offset_at(micros, zone) else { return value };
            let local = iso::timestamp(micros + offset_s * 1_000_000, None);
            zoned(local, offset_s, arena)
        }
        (Form::ZonedTime, Value::TimeTz(micros)) => {
            let offset_s = i64::from(zone.to_offset(Timestamp::now()).seconds());
            let local = (micros + offset_s * 1_000_000).rem_euclid(86_400_000_000);
            zoned(iso::time(local), offset_s, arena)
        }
        (Form::TimestampMillis | Form::TimestampMicros | Form::TimestampNanos, Value::Timestamp(micros)) => {
            let finite = micros != i64::MAX && micros != i64::MIN;
            let offset_s = offset_at(micros, zone).filter(|_| finite);
            offset_s.map_or(value, |offset_s| Value::Timestamp(micros - offset_s * 1_000_000))
        }
        (_, Value::Int(number)) if of_source => match (name, connect::whole(schema.form, &value)) {
            ("ts_ms", Ok(_)) => epoch(number, 1_000, zone),
            ("ts_us", Ok(_)) => epoch(number, 1_000_000, zone),
            ("ts_ns", Ok(_)) => epoch(number, 1_000_000_000, zone),
            _ => value,
        },
        _ => value,
    }
}

/// A time of the source block: moved by the zone's offset at that time.
fn epoch(number: i64, per_second: i64, zone: &TimeZone) -> Value<'static> {
    let offset = Timestamp::from_second(number.div_euclid(per_second)).map(|at| zone.to_offset(at).seconds());
    Value::Int(number + i64::from(offset.unwrap_or(0)) * per_second)
}

/// The zone's offset where UTC's clock reading is taken for a local one, as Debezium does. Where clocks
/// are changed it is the one before.
fn offset_at(micros: i64, zone: &TimeZone) -> Option<i64> {
    let epoch = DateTime::constant(2000, 1, 1, 0, 0, 0, 0);
    let local = epoch.checked_add(SignedDuration::from_micros(micros)).ok()?;
    let offset = match zone.to_ambiguous_timestamp(local).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset,
        AmbiguousOffset::Gap { before, .. } | AmbiguousOffset::Fold { before, .. } => before,
    };
    Some(i64::from(offset.seconds()))
}

/// `12:00:00+02:00`, or with `Z`.
fn zoned<'a>(local: iso::Text, offset_s: i64, arena: &'a Bump) -> Value<'a> {
    let local = std::str::from_utf8(local.bytes()).unwrap_or_default().trim_end_matches('Z');
    let (sign, total) = if offset_s < 0 { ('-', -offset_s) } else { ('+', offset_s) };
    let suffix = match (total, total % 60) {
        (0, _) => "Z".to_owned(),
        (total, 0) => format!("{sign}{:02}:{:02}", total / 3_600, total / 60 % 60),
        (total, seconds) => format!("{sign}{:02}:{:02}:{seconds:02}", total / 3_600, total / 60 % 60),
    };
    Value::Text(arena.alloc_str(&format!("{local}{suffix}")))
}
