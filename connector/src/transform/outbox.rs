//! Debezium's outbox EventRouter: rows of an outbox table become events of their own topics.

use super::derived::is_envelope;
use super::properties::{Settings, replacement};
use super::{Next, Transform};
use crate::connect;
use crate::model::record::{Datum, Header, HeaderValue, Record};
use crate::model::schema::Schema;
use crate::model::value::Value;
use regex::Regex;
use shared::Result;
use shared::error::{Context, Error, Kind, OrKind};
use std::sync::Arc;

struct Router {
    id: String,
    key: String,
    payload: String,
    route_by: String,
    timestamp: Option<String>,
    topic: Regex,
    topic_replacement: String,
    tombstone_on_empty: bool,
    invalid: Invalid,
    /// Column → header, or partition.
    additional: Vec<Additional>,
    text: Arc<Schema>,
}

/// What is done with a change that an outbox should not see.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Invalid {
    Warn,
    Fail,
}

struct Additional {
    column: String,
    header: Option<String>,
}

pub fn make(settings: &mut Settings<'_>) -> Result<Box<dyn Transform>> {
    for (name, only) in [("table.expand.json.payload", "false"), ("table.field.event.schema.version", "")] {
        if settings.text(name).is_some_and(|value| value != only) {
            return Err(Error::new(Kind::Config, format!("{name} is not supported"))
                .remedy("the payload is sent as it is; remove the property"));
        }
    }
    for name in [
        "tracing.span.context.field",
        "tracing.operation.name",
        "tracing.with.context.field.only",
        "table.json.payload.null.behavior",
    ] {
        settings.text(name);
    }
    let pattern = settings.text_or("route.topic.regex", "(?<routedByValue>.*)");
    let placement = settings.list("table.fields.additional.placement");
    Ok(Box::new(Router {
        id: settings.text_or("table.field.event.id", "id"),
        key: settings.text_or("table.field.event.key", "aggregateid"),
        payload: settings.text_or("table.field.event.payload", "payload"),
        route_by: settings.text_or("route.by.field", "aggregatetype"),
        timestamp: settings.text("table.field.event.timestamp").map(str::to_owned),
        topic: Regex::new(&format!("^(?:{pattern})$"))
            .or_kind(Kind::Config)
            .doing(|| "read route.topic.regex")?,
        topic_replacement: replacement(
            &settings.text_or("route.topic.replacement", "outbox.event.${routedByValue}"),
        ),
        tombstone_on_empty: settings.flag("route.tombstone.on.empty.payload", false)?,
        invalid: match settings.word("table.op.invalid.behavior", &["warn", "error", "fatal"], "warn")? {
            "warn" => Invalid::Warn,
            _ => Invalid::Fail,
        },
        additional: placement.iter().map(|text| Additional::parse(text)).collect::<Result<_>>()?,
        text: Arc::new(Schema::string()),
    }))
}

impl Additional {
    /// `column:header`, `column:header:alias`, `column:partition`.
    fn parse(text: &str) -> Result<Additional> {
        let mut parts = text.split(':').map(str::trim);
        let column = parts.next().unwrap_or_default().to_owned();
        match (parts.next(), parts.next()) {
            (Some("header"), alias) => {
                Ok(Additional { header: Some(alias.unwrap_or(&column).to_owned()), column })
            }
            (Some("partition"), _) => Ok(Additional { column, header: None }),
            _ => Err(Error::new(
                Kind::Config,
                format!("table.fields.additional.placement: {text:?} is not supported"),
            )
            .remedy("write column:header, column:header:alias or column:partition")),
        }
    }
}

/// A field of the outbox row.
fn column<'a>(row: Datum<'a>, name: &str) -> Result<Datum<'a>> {
    let missing = || {
        Error::new(Kind::Data, format!("the outbox table has no column {name}"))
            .remedy("name the columns in table.field.event.*")
    };
    let Value::Struct(values) = row.value else { return Err(missing()) };
    let schema: &'a Schema = row.schema;
    let (at, schema) = schema.field(name).ok_or_else(missing)?;
    Ok(Datum { schema, value: values.get(at).copied().unwrap_or(Value::Null) })
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
        let Value::Struct([_, after, ..]) = envelope.value else { return next(record) };
        let op = column(envelope, "op").and_then(text_of)?;
        match op.as_str() {
            "c" | "r" => {}
            "d" => return Ok(()),
            _ if self.invalid == Invalid::Warn => {
                tracing::warn!(
                    event = "outbox_changed",
                    topic = record.topic,
                    op,
                    "outbox rows are meant to be inserted only: change passed over"
                );
                return Ok(());
            }
            _ => {
                return Err(Error::new(
                    Kind::Data,
                    format!("topic {}: an outbox row was changed (op {op})", record.topic),
                )
                .remedy("insert and delete only, or set table.op.invalid.behavior = warn"));
            }
        }
        let Some((_, schema)) = envelope.schema.field("after") else { return next(record) };
        self.event(record, Datum { schema, value: *after }, next)
    }
}

impl Router {
    fn event(&self, record: &Record<'_>, row: Datum<'_>, next: Next<'_>) -> Result<()> {
        let route = column(row, &self.route_by).and_then(text_of)?;
        let topic = self.topic.replace(&route, &self.topic_replacement);
        let (id, key) = (column(row, &self.id).and_then(text_of)?, column(row, &self.key)?);
        let key_text = text_of(key)?;
        let payload = column(row, &self.payload)?;
        let mut headers = record.headers.to_vec();
        headers.push(Header { name: "id", value: HeaderValue::Text(&id) });
        let mut partition = record.partition;
        for additional in &self.additional {
            let datum = column(row, &additional.column)?;
            match (&additional.header, datum.value) {
                (Some(name), _) => headers.push(Header { name, value: HeaderValue::Datum(datum) }),
                (None, Value::Int(number)) => partition = i32::try_from(number).ok(),
                (None, _) => {
                    return Err(Error::new(
                        Kind::Data,
                        format!("column {} is no number of a partition", additional.column),
                    ));
                }
            }
        }
        let timestamp_ms = match &self.timestamp {
            Some(name) => {
                column(row, name).ok().and_then(|datum| connect::whole(datum.schema.form, &datum.value).ok())
            }
            None => record.timestamp_ms,
        };
        let empty = payload.value == Value::Null || payload.value == Value::Text("");
        let key = if key.value == Value::Null {
            record.key
        } else {
            Some(Datum { schema: &self.text, value: Value::Text(&key_text) })
        };
        let value = Some(payload).filter(|_| !(empty && self.tombstone_on_empty));
        next(&Record { topic: &topic, partition, key, value, headers: &headers, timestamp_ms })
    }
}
