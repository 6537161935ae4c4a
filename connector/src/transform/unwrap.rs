//! Debezium's ExtractNewRecordState: the row alone, instead of the envelope.

use super::derived::{Derived, is_envelope, read};
use super::drop_fields::DropFields;
use super::properties::Settings;
use super::{Next, Transform};
use crate::connect;
use crate::model::record::{Datum, Header, HeaderValue, Record};
use crate::model::schema::{Field, Schema};
use crate::model::value::{RowBuffer, Value};
use shared::Result;
use shared::error::{Error, Kind as ErrorKind};
use std::sync::Arc;

const MODES: [&str; 5] = ["drop", "tombstone", "rewrite", "rewrite-with-tombstone", "delete-to-tombstone"];

/// What becomes of deletes and of their tombstones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deletes {
    Drop,
    /// The delete becomes a tombstone; the one that follows it goes.
    Tombstone,
    /// The row before, marked as deleted.
    Rewrite,
    RewriteWithTombstone,
    /// As `Tombstone`, but without a schema.
    ToTombstone,
}

struct Unwrap {
    deletes: Deletes,
    fields: Vec<Added>,
    /// Shared, since a record's headers borrow their names while the row is made.
    headers: Arc<[Added]>,
    route: Option<String>,
    replace_null: bool,
    drop: Option<DropFields>,
    derived: Derived<Flat>,
    row: RowBuffer,
    /// Headers of the delete before: its tombstone has them too.
    of_delete: Vec<(String, String)>,
}

/// What follows from an envelope's schema.
#[derive(Clone)]
struct Flat {
    row: Arc<Schema>,
    /// Of the headers that are added; none of what the envelope does not have.
    headers: Arc<[Option<Arc<Schema>>]>,
}

/// A field of the envelope, and what it is called in the row or among the headers.
#[derive(Clone, Debug)]
struct Added {
    /// `None` is the envelope itself.
    block: Option<String>,
    field: String,
    name: String,
}

pub fn make(settings: &mut Settings<'_>) -> Result<Box<dyn Transform>> {
    let deletes = match settings.word("delete.tombstone.handling.mode", &MODES, "tombstone")? {
        "drop" => Deletes::Drop,
        "rewrite" => Deletes::Rewrite,
        "rewrite-with-tombstone" => Deletes::RewriteWithTombstone,
        "delete-to-tombstone" => Deletes::ToTombstone,
        _ => Deletes::Tombstone,
    };
    let (field_prefix, header_prefix) =
        (settings.text_or("add.fields.prefix", "__"), settings.text_or("add.headers.prefix", "__"));
    let added =
        |list: Vec<String>, prefix: &str| list.iter().map(|text| Added::parse(text, prefix)).collect();
    Ok(Box::new(Unwrap {
        deletes,
        fields: added(settings.list("add.fields"), &field_prefix),
        headers: added(settings.list("add.headers"), &header_prefix).into(),
        route: settings.text("route.by.field").map(str::to_owned).filter(|field| !field.is_empty()),
        replace_null: settings.flag("replace.null.with.default", true)?,
        drop: DropFields::new(settings)?,
        derived: Derived::default(),
        row: RowBuffer::default(),
        of_delete: Vec::new(),
    }))
}

impl Added {
    /// `op`, `source.lsn`, `source.txId:tx`. Without a block, what the envelope does not have is
    /// looked for in the source block.
    fn parse(text: &str, prefix: &str) -> Added {
        let (path, given) = text.split_once(':').map_or((text, None), |(path, name)| (path, Some(name)));
        let (block, field) = path.split_once('.').map_or((None, path), |(block, field)| (Some(block), field));
        let plain = block.map_or(field.to_owned(), |block| format!("{block}_{field}"));
        let name = format!("{prefix}{}", given.unwrap_or(&plain));
        let block = block.or(match field {
            "op" | "ts_ms" | "ts_us" | "ts_ns" => None,
            "id" | "total_order" | "data_collection_order" => Some("transaction"),
            _ => Some("source"),
        });
        Added { block: block.map(str::to_owned), field: field.to_owned(), name }
    }

    /// What it looks like; what its block does not have is looked for in the envelope itself.
    fn schema<'s>(&self, envelope: &'s Schema) -> Option<&'s Arc<Schema>> {
        let block = self.block.as_ref().and_then(|block| envelope.field(block));
        let found = block.and_then(|(_, block)| block.field(&self.field));
        found.or_else(|| envelope.field(&self.field)).map(|(_, schema)| schema)
    }

    fn value<'a>(&self, envelope: Datum<'a>) -> Value<'a> {
        let block = self.block.as_ref().and_then(|block| envelope.field(block));
        let found = block.and_then(|block| block.field(&self.field)).or_else(|| envelope.field(&self.field));
        found.map_or(Value::Null, |datum| datum.value)
    }
}

impl Transform for Unwrap {
    fn apply(&mut self, record: &Record<'_>, next: Next<'_>) -> Result<()> {
        match record.value {
            None => self.tombstone(record, next),
            Some(envelope) if is_envelope(envelope.schema) => self.envelope(record, envelope, next),
            Some(_) => next(record),
        }
    }
}

impl Unwrap {
    fn tombstone(&mut self, record: &Record<'_>, next: Next<'_>) -> Result<()> {
        if self.deletes != Deletes::RewriteWithTombstone {
            return Ok(());
        }
        let mut headers = record.headers.to_vec();
        headers.extend(
            self.of_delete.iter().map(|(name, text)| Header { name, value: HeaderValue::Text(text) }),
        );
        // Of a tombstone only the operation is known.
        let operation = self.headers.iter().filter(|added| added.field == "op");
        headers.extend(operation.map(|added| Header { name: &added.name, value: HeaderValue::Text("d") }));
        next(&Record { headers: &headers, ..*record })
    }

    fn envelope(&mut self, record: &Record<'_>, envelope: Datum<'_>, next: Next<'_>) -> Result<()> {
        let present = |name| envelope.field(name).filter(|row| row.value != Value::Null);
        let (before, after) = (present("before"), present("after"));
        let deleted = after.is_none();
        // A truncate has neither row.
        let Some(row) = after.or(before) else { return Ok(()) };
        let flat = self.flat(envelope.schema, row.schema);
        let added = self.headers.clone();
        let mut headers = record.headers.to_vec();
        headers.extend(added.iter().zip(&*flat.headers).filter_map(|(added, schema)| {
            let value = Datum { schema: schema.as_ref()?, value: added.value(envelope) };
            Some(Header { name: &added.name, value: HeaderValue::Datum(value) })
        }));
        self.of_delete = Vec::new();
        if deleted && self.deletes == Deletes::RewriteWithTombstone {
            self.of_delete = printed(headers.get(record.headers.len()..).unwrap_or_default())?;
        }
        let topic = self.topic(record.topic, row)?;
        let record = Record { headers: &headers, topic: topic.as_deref().unwrap_or(record.topic), ..*record };
        match (deleted, self.deletes) {
            (true, Deletes::Drop) => Ok(()),
            (true, Deletes::ToTombstone) => next(&Record { value: None, ..record }),
            // Debezium leaves the row's schema: JSON with schemas shows it.
            (true, Deletes::Tombstone) => {
                next(&Record { value: Some(Datum { value: Value::Null, ..row }), ..record })
            }
            _ => self.row(&record, envelope, row, &flat, deleted, next),
        }
    }

    fn flat(&mut self, envelope: &Schema, row: &Schema) -> Flat {
        let Unwrap { deletes, fields, derived, headers, .. } = self;
        let marks = matches!(deletes, Deletes::Rewrite | Deletes::RewriteWithTombstone);
        let make = || Flat {
            row: Arc::new(flat(envelope, row, marks, fields)),
            headers: headers
                .iter()
                .map(|added| added.schema(envelope).map(|schema| Arc::new(optional(schema))))
                .collect(),
        };
        derived.of(envelope, make).clone()
    }

    fn row(
        &mut self,
        record: &Record<'_>,
        envelope: Datum<'_>,
        row: Datum<'_>,
        flat: &Flat,
        deleted: bool,
        next: Next<'_>,
    ) -> Result<()> {
        let Value::Struct(values) = row.value else { return next(record) };
        let mut out = self.row.take();
        match self.deletes {
            Deletes::Rewrite | Deletes::RewriteWithTombstone => {
                let fields = row.schema.fields().iter().zip(values);
                out.extend(fields.map(|(field, value)| read(&field.schema, *value, self.replace_null)));
                out.push(Value::Text(if deleted { "true" } else { "false" }));
            }
            _ => out.extend_from_slice(values),
        }
        let added = self.fields.iter().filter(|added| added.schema(envelope.schema).is_some());
        out.extend(added.map(|added| added.value(envelope)));
        let value = Some(Datum { schema: &flat.row, value: Value::Struct(&out) });
        let record = Record { value, ..*record };
        let done = match &mut self.drop {
            Some(drop) => drop.apply(&record, next),
            None => next(&record),
        };
        self.row.give_back(out);
        done
    }

    /// The topic that a column names, if it is not blank.
    fn topic(&self, topic: &str, row: Datum<'_>) -> Result<Option<String>> {
        let Some(name) = &self.route else { return Ok(None) };
        let fail = |text: String| {
            Error::new(ErrorKind::Data, text).doing(format!("route a record of topic {topic} by its field"))
        };
        let found = row.field(name).ok_or_else(|| fail(format!("there is no field {name}")))?.or_default();
        let mut text = String::new();
        if found.value != Value::Null {
            connect::print(&mut text, found.schema, &found.value)
                .map_err(|fault| fail(fault.text().into()))?;
        }
        Ok(Some(text).filter(|text| !text.trim().is_empty()))
    }
}

/// Headers as texts that may be kept.
fn printed(headers: &[Header<'_>]) -> Result<Vec<(String, String)>> {
    let one = |header: &Header<'_>| {
        let mut text = String::new();
        if let HeaderValue::Datum(datum) = header.value
            && datum.value != Value::Null
        {
            connect::print(&mut text, datum.schema, &datum.value).map_err(|fault| {
                Error::new(ErrorKind::Data, fault.text()).doing(format!("make header {}", header.name))
            })?;
        }
        Ok((header.name.to_owned(), text))
    };
    headers.iter().map(one).collect()
}

/// Added fields may be missing, whatever they are in the envelope.
fn optional(schema: &Schema) -> Schema {
    Schema { optional: true, default: None, ..schema.clone().renewed() }
}

/// The row's schema, with the fields that are added.
fn flat(envelope: &Schema, row: &Schema, marks: bool, added: &[Added]) -> Schema {
    let mut fields = row.fields().to_vec();
    fields.extend(marks.then(|| Field::new("__deleted", Schema::string().optional())));
    for one in added {
        fields.extend(one.schema(envelope).map(|schema| Field::new(one.name.as_str(), optional(schema))));
    }
    row.with_fields(fields)
}
