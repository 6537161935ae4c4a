//! What the records of one table version look like: topic, key, envelope. Made once per version.

use super::column::Columns;
use super::edit::{Edit, Edits, columns, propagate};
use super::tally::Counters;
use super::topic::Topics;
use super::{name, source_info};
use crate::config::event::{Adjustment, EventConfig};
use crate::model::schema::{Field, Kind, Schema};
use crate::model::table::{Column, Table};
use regex::RegexSet;
use shared::error::Result;
use std::collections::HashMap;
use std::sync::Arc;

/// Versions kept: more at a time would only cost memory.
const SHAPES: usize = 8_192;

/// The records of one table version.
#[derive(Debug)]
pub struct Shape {
    /// The table's version.
    pub version: u64,
    pub counters: Counters,
    pub topic: String,
    /// What Debezium calls the table where it counts a transaction's records.
    pub table: String,
    pub key: Option<Arc<Schema>>,
    /// Columns of the key, in its order.
    pub key_columns: Vec<usize>,
    /// A further field of the key that says from which table a record comes.
    pub key_suffix: Option<String>,
    pub envelope: Arc<Schema>,
    /// Columns of the value; `None` if they are all the table has.
    pub value_columns: Option<Vec<usize>>,
    /// Fields of the value that are changed.
    pub edits: Vec<(usize, Edit)>,
}

/// Makes shapes, and keeps those of the versions seen.
#[derive(Debug)]
pub struct Shapes {
    columns: Columns,
    edits: Edits,
    topics: Topics,
    schema_names: Adjustment,
    field_names: Adjustment,
    comments: bool,
    typed_columns: RegexSet,
    typed_types: RegexSet,
    source: Arc<Schema>,
    transaction: Arc<Schema>,
    known: HashMap<u64, Arc<Shape>>,
    latest: Option<(u64, Arc<Shape>)>,
}

impl Shapes {
    pub fn new(config: &EventConfig) -> Result<Shapes> {
        Ok(Shapes {
            columns: Columns::new(&config.values),
            edits: Edits::new(config)?,
            topics: Topics::new(config)?,
            schema_names: config.schema_names,
            field_names: config.field_names,
            comments: config.comments,
            typed_columns: columns(&config.source_type_columns)?,
            typed_types: columns(&config.source_type_types)?,
            source: Arc::new(source_info::postgres_schema()),
            transaction: Arc::new(transaction_block()),
            known: HashMap::new(),
            latest: None,
        })
    }

    /// The table version's shape.
    #[inline]
    pub fn of(&mut self, table: &Table) -> &Shape {
        let latest = match self.latest.take() {
            Some(latest) if latest.0 == table.version => latest,
            _ => (table.version, self.find(table)),
        };
        &self.latest.insert(latest).1
    }

    fn find(&mut self, table: &Table) -> Arc<Shape> {
        match self.known.get(&table.version) {
            Some(shape) => shape.clone(),
            None => self.make(table),
        }
    }

    fn make(&mut self, table: &Table) -> Arc<Shape> {
        let (topic, key_suffix) = self.topics.of(&table.id);
        let named = |part: &str| name::schema(&format!("{topic}.{part}"), self.schema_names);
        let value_columns: Vec<usize> = (0..table.columns.len())
            .filter(|at| table.columns.get(*at).is_some_and(|c| !c.key_only))
            .collect();
        let mut edits = Vec::new();
        let mut fields = Vec::with_capacity(value_columns.len());
        for (place, column) in value_columns.iter().filter_map(|at| table.columns.get(*at)).enumerate() {
            let edit = self.edits.of(&table.id, column);
            fields.push(self.field(table, column, edit.as_ref()));
            match edit {
                Some(edit) if edit.concerns(column) => edits.push((place, edit)),
                // As Debezium does it; but whoever asks for a mask should know.
                Some(_) => tracing::warn!(
                    event = "column_not_masked",
                    table = %table.id,
                    column = column.name,
                    declared = column.source_type.name,
                    "a mask or digest is for characters: this column's values are sent as they are"
                ),
                None => {}
            }
        }
        let key = self.key(table, &named("Key"), key_suffix.as_ref());
        let row = Arc::new(Schema::structure(named("Value"), fields).optional());
        let envelope = self.envelope(&named("Envelope"), row);
        let name = table.id.to_string();
        let shape = Arc::new(Shape {
            version: table.version,
            counters: Counters::of(&name),
            topic,
            table: name,
            key: key.map(Arc::new),
            key_columns: table.key.clone(),
            key_suffix,
            envelope: Arc::new(envelope),
            value_columns: (value_columns.len() < table.columns.len()).then_some(value_columns),
            edits,
        });
        if self.known.len() >= SHAPES {
            self.known.clear();
        }
        self.known.insert(table.version, shape.clone());
        shape
    }

    fn key(&self, table: &Table, full: &str, suffix: Option<&String>) -> Option<Schema> {
        if table.key.is_empty() && suffix.is_none() {
            return None;
        }
        let columns = table.key.iter().filter_map(|at| table.columns.get(*at));
        let mut fields: Vec<Field> = columns.map(|column| self.plain_field(column)).collect();
        if suffix.is_some() {
            fields.push(Field::new(self.topics.key_field(), Schema::string()));
        }
        Some(Schema::structure(full, fields))
    }

    /// As it stands in keys, which are neither edited nor annotated.
    fn plain_field(&self, column: &Column) -> Field {
        let mut schema = self.columns.schema(column);
        if self.comments && column.comment.is_some() {
            schema.doc.clone_from(&column.comment);
        }
        Field::new(name::field(&column.name, self.field_names), schema)
    }

    fn field(&self, table: &Table, column: &Column, edit: Option<&Edit>) -> Field {
        let mut schema = self.columns.schema(column);
        if let Some(edit) = edit {
            schema = edit.mark(schema);
        }
        if self.is_typed(table, column) {
            schema = propagate(schema, column, self.comments);
        }
        if self.comments && column.comment.is_some() {
            schema.doc.clone_from(&column.comment);
        }
        Field::new(name::field(&column.name, self.field_names), schema)
    }

    fn is_typed(&self, table: &Table, column: &Column) -> bool {
        let declared = &column.source_type.name;
        self.typed_columns.is_match(&format!("{}.{}", table.id, column.name))
            || self.typed_types.is_match(declared)
            || self.typed_types.is_match(&format!("{}.{declared}", table.id))
    }

    fn envelope(&self, full: &str, row: Arc<Schema>) -> Schema {
        let shared =
            |name: &str, schema: &Arc<Schema>| Field { name: name.to_owned(), schema: schema.clone() };
        let optional = || Schema::int64().optional();
        let fields = vec![
            shared("before", &row),
            shared("after", &row),
            shared("source", &self.source),
            shared("transaction", &self.transaction),
            Field::new("op", Schema::string()),
            Field::new("ts_ms", optional()),
            Field::new("ts_us", optional()),
            Field::new("ts_ns", optional()),
        ];
        Schema::structure(full, fields).version(2)
    }
}

/// The block that says which transaction a record belongs to.
pub fn transaction_block() -> Schema {
    let fields = vec![
        Field::new("id", Schema::string()),
        Field::new("total_order", Schema::int64()),
        Field::new("data_collection_order", Schema::int64()),
    ];
    Schema::new(Kind::Struct(fields)).semantic("event.block").optional()
}
