//! Debezium's outbox EventRouter: rows of an outbox table become events of their own topics.

use super::derived::{Derived, is_envelope};
use super::json::Expand;
use super::properties::{Settings, replacement, whole};
use super::{Next, Transform};
use crate::connect;
use crate::model::record::{Datum, Header, HeaderValue, Record};
use crate::model::schema::{Field, Kind as Type, Schema};
use crate::model::value::Value;
use bumpalo::Bump;
use regex::Regex;
use shared::Result;
use shared::error::{Error, Kind};
use std::sync::Arc;

struct Router {
    columns: Columns,
    topic: Regex,
    topic_replacement: String,
    tombstone_on_empty: bool,
    invalid: Invalid,
    additional: Vec<Additional>,
    /// A column that is missing is passed over.
    ignores_missing: bool,
    /// JSON payloads become structs.
    expand: Option<Expand>,
    /// Values of several fields, by the payload's schema.
    values: Derived<Arc<Schema>>,
    text: Arc<Schema>,
    arena: Bump,
}

struct Columns {
    id: String,
    key: String,
    payload: String,
    route_by: String,
    timestamp: Option<String>,
    version: Option<String>,
}

/// What is done with a change that an outbox should not see.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Invalid {
    Warn,
    Error,
    Fatal,
}

/// A further column, and where it goes.
struct Additional {
    column: String,
    alias: String,
    placement: Placement,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Placement {
    Header,
    Envelope,
    Partition,
}

pub fn make(settings: &mut Settings<'_>) -> Result<Box<dyn Transform>> {
    for name in [
        "tracing.span.context.field",
        "tracing.operation.name",
        "tracing.with.context.field.only",
        "table.field.event.type",
    ] {
        settings.text(name);
    }
    let column = |settings: &mut Settings<'_>, name: &str| {
        settings.text(name).filter(|column| !column.is_empty()).map(str::to_owned)
    };
    let columns = Columns {
        id: settings.text_or("table.field.event.id", "id"),
        key: settings.text_or("table.field.event.key", "aggregateid"),
        payload: settings.text_or("table.field.event.payload", "payload"),
        route_by: settings.text_or("route.by.field", "aggregatetype"),
        timestamp: column(settings, "table.field.event.timestamp"),
        version: column(settings, "table.field.event.schema.version"),
    };
    let words = ["optional_bytes", "ignore"];
    let nulls = settings.word("table.json.payload.null.behavior", &words, "ignore")? == "optional_bytes";
    let words = ["optional_string", "ignore"];
    let empty =
        settings.word("table.json.payload.empty.array.behavior", &words, "ignore")? == "optional_string";
    let expands = settings.flag("table.expand.json.payload", false)?;
    let placement = settings.list("table.fields.additional.placement");
    let invalid = settings.word("table.op.invalid.behavior", &["warn", "error", "fatal"], "warn")?;
    Ok(Box::new(Router {
        columns,
        topic: whole("route.topic.regex", &settings.text_or("route.topic.regex", "(?<routedByValue>.*)"))?,
        topic_replacement: replacement(
            &settings.text_or("route.topic.replacement", "outbox.event.${routedByValue}"),
        ),
        tombstone_on_empty: settings.flag("route.tombstone.on.empty.payload", false)?,
        invalid: match invalid {
            "warn" => Invalid::Warn,
            "error" => Invalid::Error,
            _ => Invalid::Fatal,
        },
        additional: placement.iter().map(|text| Additional::parse(text)).collect::<Result<_>>()?,
        ignores_missing: settings.word("table.field.additional.missing", &["error", "ignore"], "error")?
            == "ignore",
        expand: expands.then(|| Expand::new(nulls, empty)),
        values: Derived::default(),
        text: Arc::new(Schema::string()),
        arena: Bump::new(),
    }))
}

impl Additional {
    /// `column:placement` or `column:placement:alias`.
    fn parse(text: &str) -> Result<Additional> {
        let mut parts = text.split(':').map(str::trim);
        let column = parts.next().unwrap_or_default().to_owned();
        let placement = match parts.next().map(str::to_ascii_lowercase).as_deref() {
            Some("header") => Placement::Header,
            Some("envelope") => Placement::Envelope,
            Some("partition") => Placement::Partition,
            _ => {
                let text = format!("table.fields.additional.placement: {text:?} is no placement");
                return Err(Error::new(Kind::Config, text).remedy(
                    "write column:header, column:envelope or column:partition, then :alias if wanted",
                ));
            }
        };
        let alias = parts.next().unwrap_or(&column).to_owned();
        Ok(Additional { column, alias, placement })
    }
}

/// A field of the outbox row, as Connect reads it.
fn column<'a>(row: Datum<'a>, name: &str) -> Result<Datum<'a>> {
    row.field(name).map(Datum::or_default).ok_or_else(|| {
        Error::new(Kind::Data, format!("the outbox table has no column {name}"))
            .remedy("name the columns in table.field.event.*")
    })
}

fn text_of(datum: Datum<'_>) -> Result<String> {
    let mut text = String::new();
    if datum.value != Value::Null {
        connect::print(&mut text, datum.schema, &datum.value).map_err(|fault| {
            Error::new(Kind::Data, fault.text()).doing("read a column of the outbox table")
        })?;
    }
    Ok(text)
}

impl Transform for Router {
    fn apply(&mut self, record: &Record<'_>, next: Next<'_>) -> Result<()> {
        // Tombstones and deletes tidy the table up: they are no events.
        let Some(envelope) = record.value else { return Ok(()) };
        if !is_envelope(envelope.schema) {
            return next(record);
        }
        match column(envelope, "op").and_then(text_of)?.as_str() {
            "d" => Ok(()),
            "u" => self.unexpected(record.topic),
            _ => match envelope.field("after") {
                Some(row) if row.value != Value::Null => self.event(record, envelope, row, next),
                // A truncate has no row.
                _ => Ok(()),
            },
        }
    }
}

impl Router {
    fn unexpected(&self, topic: &str) -> Result<()> {
        const TEXT: &str = "outbox rows are meant to be inserted only: change passed over";
        match self.invalid {
            Invalid::Warn => tracing::warn!(event = "outbox_changed", topic, "{TEXT}"),
            Invalid::Error => tracing::error!(event = "outbox_changed", topic, "{TEXT}"),
            Invalid::Fatal => {
                return Err(Error::new(Kind::Data, format!("topic {topic}: an outbox row was updated"))
                    .remedy("insert and delete only, or set table.op.invalid.behavior = warn"));
            }
        }
        Ok(())
    }

    fn event(
        &mut self,
        record: &Record<'_>,
        envelope: Datum<'_>,
        row: Datum<'_>,
        next: Next<'_>,
    ) -> Result<()> {
        let Router { columns, additional, ignores_missing, expand, values, arena, .. } = self;
        arena.reset();
        let route = column(row, &columns.route_by).and_then(text_of)?;
        let topic = self.topic.replace(&route, &self.topic_replacement);
        let key = match row.field(&columns.key) {
            Some(key) => key.or_default(),
            None => Datum { schema: &self.text, value: Value::Null },
        };
        let payload = column(row, &columns.payload)?;
        let expanded = match (expand, payload.value) {
            (Some(expand), Value::Text(text)) => {
                expanded(expand, &columns.payload, text, record.topic, arena)
            }
            _ => None,
        };
        let payload = expanded.as_ref().map_or(payload, |(schema, value)| Datum { schema, value: *value });
        let mut headers = record.headers.to_vec();
        let id = column(row, &columns.id)?;
        headers.push(Header { name: "id", value: HeaderValue::Datum(id) });
        let mut partition = None;
        let mut placed = vec![payload.value];
        let mut fields = vec![Field { name: "payload".to_owned(), schema: payload.schema.clone() }];
        for Additional { column: name, alias, placement } in &*additional {
            let datum = match row.field(name) {
                None if *ignores_missing => continue,
                _ => column(row, name)?,
            };
            match placement {
                Placement::Header => headers.push(Header { name: alias, value: HeaderValue::Datum(datum) }),
                Placement::Partition => partition = Some(number(datum, name)?),
                Placement::Envelope => {
                    placed.push(datum.value);
                    fields.push(Field { name: alias.clone(), schema: datum.schema.clone() });
                }
            }
        }
        let empty = match payload.value {
            Value::Null => true,
            Value::Text(text) => text.trim().is_empty(),
            _ => false,
        };
        let alone = additional.iter().all(|one| one.placement != Placement::Envelope);
        let schema = match (alone, &columns.version) {
            (true, _) => payload.schema,
            (false, None) => values.of(payload.schema, || value_schema(row.schema, &route, fields, None)),
            (false, Some(version)) => {
                let version = number(column(row, version)?, version)?;
                &*arena.alloc(value_schema(row.schema, &route, fields, Some(version)))
            }
        };
        let value = if alone { payload.value } else { Value::Struct(&placed) };
        let value = Some(Datum { schema, value }).filter(|_| !(empty && self.tombstone_on_empty));
        let timestamp_ms = timestamp(columns.timestamp.as_deref(), envelope, row)?;
        let key = Some(key);
        next(&Record { topic: &topic, partition, key, value, headers: &headers, timestamp_ms })
    }
}

/// The struct of a payload that is a JSON object; none, with a warning, of any other.
fn expanded<'a>(
    expand: &mut Expand,
    name: &str,
    text: &str,
    topic: &str,
    arena: &'a Bump,
) -> Option<(Arc<Schema>, Value<'a>)> {
    match expand.read(name, text, arena) {
        Ok(found) => Some(found),
        Err(refusal) => {
            let error = refusal.text();
            tracing::warn!(event = "payload_not_expanded", topic, error, "an outbox payload stays a text");
            None
        }
    }
}

fn number(datum: Datum<'_>, name: &str) -> Result<i32> {
    match (&datum.schema.kind, datum.value) {
        (Type::Int32, Value::Int(number)) => i32::try_from(number).ok(),
        _ => None,
    }
    .ok_or_else(|| {
        Error::new(Kind::Data, format!("column {name} of the outbox table is no integer of 32 bits"))
    })
}

/// The struct of the payload and the columns beside it, named after the table and the route.
fn value_schema(row: &Schema, route: &str, fields: Vec<Field>, version: Option<i32>) -> Arc<Schema> {
    let name = match row.name.as_deref().map(|name| name.rsplit_once('.').ok_or(name)) {
        Some(Ok((table, last))) => format!("{table}.{route}.{last}"),
        Some(Err(name)) => format!("{route}.{name}"),
        None => route.to_owned(),
    };
    Arc::new(Schema { version, ..Schema::structure(name, fields) })
}

/// When the event happened: as a column says, or the envelope.
fn timestamp(name: Option<&str>, envelope: Datum<'_>, row: Datum<'_>) -> Result<Option<i64>> {
    let whole = |datum: Datum<'_>| connect::whole(datum.schema.form, &datum.value).ok();
    let of_envelope = || envelope.field("ts_ms").and_then(whole);
    let Some(name) = name else { return Ok(of_envelope()) };
    let datum = column(row, name)?;
    if datum.value == Value::Null {
        return Ok(of_envelope());
    }
    let per_milli = match datum.schema.name.as_deref() {
        Some("io.debezium.time.Timestamp") => 1,
        Some("io.debezium.time.MicroTimestamp") => 1_000,
        Some("io.debezium.time.NanoTimestamp") => 1_000_000,
        _ => {
            let text = format!("column {name} of the outbox table is no timestamp without a zone");
            return Err(Error::new(Kind::Data, text).remedy("name another in table.field.event.timestamp"));
        }
    };
    Ok(whole(datum).map(|number| number / per_milli))
}
