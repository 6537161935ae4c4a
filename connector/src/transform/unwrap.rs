//! Debezium's ExtractNewRecordState: the row alone, instead of the envelope.

use super::derived::{Derived, is_envelope};
use super::properties::Settings;
use super::{Next, Transform};
use crate::connect;
use crate::model::record::{Datum, Header, HeaderValue, Record};
use crate::model::schema::{Field, Kind, Schema};
use crate::model::value::{RowBuffer, Value};
use shared::Result;
use shared::error::{Error, Kind as ErrorKind};
use std::sync::Arc;

const MODES: [&str; 5] = ["drop", "tombstone", "rewrite", "rewrite-with-tombstone", "delete-to-tombstone"];

/// What becomes of deletes and of their tombstones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deletes {
    Drop,
    /// The tombstone stays.
    Tombstone,
    /// The row before, marked as deleted.
    Rewrite,
    RewriteWithTombstone,
    /// The delete becomes a tombstone.
    ToTombstone,
}

struct Unwrap {
    deletes: Deletes,
    fields: Vec<Added>,
    /// Shared, since a record's headers borrow their names while the row is made.
    headers: Arc<[Added]>,
    route: Option<String>,
    replace_null: bool,
    derived: Derived<Arc<Schema>>,
    row: RowBuffer,
    /// Headers of the delete before: its tombstone has them too.
    of_delete: Vec<(String, String)>,
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
    for name in ["drop.tombstones", "delete.handling.mode", "drop.fields.header.name"] {
        if settings.text(name).is_some() {
            return Err(Error::new(ErrorKind::Config, format!("{name} is not supported"))
                .remedy("use delete.tombstone.handling.mode; leave fields out with ReplaceField"));
        }
    }
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
        let own = matches!(
            field,
            "op" | "ts_ms" | "ts_us" | "ts_ns" | "before" | "after" | "source" | "transaction"
        );
        let block = block.or(if own { None } else { Some("source") });
        Added { block: block.map(str::to_owned), field: field.to_owned(), name }
    }

    fn schema<'s>(&self, envelope: &'s Schema) -> Option<&'s Arc<Schema>> {
        match &self.block {
            Some(block) => envelope.field(block)?.1.field(&self.field).map(|(_, schema)| schema),
            None => envelope.field(&self.field).map(|(_, schema)| schema),
        }
    }

    fn datum<'a>(&self, envelope: Datum<'a>) -> Option<Datum<'a>> {
        let block = match &self.block {
            Some(block) => field(envelope, block)?,
            None => envelope,
        };
        field(block, &self.field)
    }
}

/// A struct's field.
fn field<'a>(datum: Datum<'a>, name: &str) -> Option<Datum<'a>> {
    let Value::Struct(values) = datum.value else { return None };
    let schema: &'a Schema = datum.schema;
    let (at, schema) = schema.field(name)?;
    Some(Datum { schema, value: *values.get(at)? })
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
        match self.deletes {
            Deletes::Drop | Deletes::Rewrite | Deletes::ToTombstone => return Ok(()),
            Deletes::Tombstone | Deletes::RewriteWithTombstone => {}
        }
        if self.headers.is_empty() {
            return next(record);
        }
        let mut headers = record.headers.to_vec();
        headers.extend(
            self.of_delete.iter().map(|(name, text)| Header { name, value: HeaderValue::Text(text) }),
        );
        // Of a tombstone only the operation is known.
        let operation = self.headers.iter().filter(|added| added.block.is_none() && added.field == "op");
        headers.extend(operation.map(|added| Header { name: &added.name, value: HeaderValue::Text("d") }));
        next(&Record { headers: &headers, ..*record })
    }

    fn envelope(&mut self, record: &Record<'_>, envelope: Datum<'_>, next: Next<'_>) -> Result<()> {
        let (before, after) = (field(envelope, "before"), field(envelope, "after"));
        let after = after.filter(|row| row.value != Value::Null);
        let deleted = after.is_none() && before.is_some_and(|row| row.value != Value::Null);
        let truncated = after.is_none() && !deleted;
        let added = self.headers.clone();
        let printed = self.printed(envelope)?;
        self.of_delete.clear();
        if deleted && self.deletes == Deletes::RewriteWithTombstone {
            self.of_delete.extend(
                self.headers.iter().zip(&printed).map(|(added, text)| (added.name.clone(), text.clone())),
            );
        }
        let mut headers = record.headers.to_vec();
        let own = added.iter().zip(&printed);
        headers.extend(own.map(|(added, text)| Header { name: &added.name, value: HeaderValue::Text(text) }));
        let record = Record { headers: &headers, ..*record };
        match (deleted, self.deletes) {
            _ if truncated => Ok(()),
            (true, Deletes::Drop | Deletes::Tombstone) => Ok(()),
            (true, Deletes::ToTombstone) => next(&Record { value: None, ..record }),
            (true, _) => self.row(&record, envelope, before, "true", next),
            (false, _) => self.row(&record, envelope, after, "false", next),
        }
    }

    fn row(
        &mut self,
        record: &Record<'_>,
        envelope: Datum<'_>,
        row: Option<Datum<'_>>,
        deleted: &str,
        next: Next<'_>,
    ) -> Result<()> {
        let Some(Datum { schema: row_schema, value: Value::Struct(values) }) = row else {
            return next(record);
        };
        let Unwrap { deletes, fields, derived, row: buffer, replace_null, .. } = self;
        let marks = matches!(deletes, Deletes::Rewrite | Deletes::RewriteWithTombstone);
        let schema = derived.of(envelope.schema, || {
            Arc::new(flat(envelope.schema, row_schema, marks, fields, *replace_null))
        });
        let schema = schema.clone();
        let mut flat = buffer.take();
        flat.extend_from_slice(values);
        flat.extend(marks.then_some(Value::Text(deleted)));
        flat.extend(
            fields
                .iter()
                .filter(|added| added.schema(envelope.schema).is_some())
                .map(|added| added.datum(envelope).map_or(Value::Null, |datum| datum.value)),
        );
        let datum = Datum { schema: &schema, value: Value::Struct(&flat) };
        let mut topic = String::new();
        if let Some(found) = self.route.as_deref().and_then(|name| field(datum, name)) {
            connect::print(&mut topic, found.schema, &found.value).map_err(|fault| {
                Error::new(ErrorKind::Data, fault.text())
                    .doing(format!("route a record of topic {} by its field", record.topic))
            })?;
        }
        let topic = if topic.is_empty() { record.topic } else { &topic };
        let done = next(&Record { topic, value: Some(datum), ..*record });
        self.row.give_back(flat);
        done
    }

    /// The texts of the headers that are added.
    fn printed(&self, envelope: Datum<'_>) -> Result<Vec<String>> {
        let one = |added: &Added| {
            let mut text = String::new();
            if let Some(datum) = added.datum(envelope).filter(|datum| datum.value != Value::Null) {
                connect::print(&mut text, datum.schema, &datum.value).map_err(|fault| {
                    Error::new(ErrorKind::Data, fault.text()).doing(format!("make header {}", added.name))
                })?;
            }
            Ok(text)
        };
        self.headers.iter().map(one).collect()
    }
}

/// The row's schema, with the fields that are added.
fn flat(envelope: &Schema, row: &Schema, marks: bool, added: &[Added], replace_null: bool) -> Schema {
    let mut fields = row.fields().to_vec();
    if !replace_null {
        for field in &mut fields {
            if field.schema.optional && field.schema.default.is_some() {
                field.schema = Arc::new(Schema { default: None, ..(*field.schema).clone() });
            }
        }
    }
    fields.extend(marks.then(|| Field::new("__deleted", Schema::string().optional())));
    for one in added {
        if let Some(schema) = one.schema(envelope) {
            fields.push(Field::new(
                one.name.as_str(),
                Schema { optional: true, default: None, ..(**schema).clone() },
            ));
        }
    }
    Schema { kind: Kind::Struct(fields), optional: false, ..row.clone().renewed() }
}
