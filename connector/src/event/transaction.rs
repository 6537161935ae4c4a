//! Which records belong together: BEGIN and END records, and each record's place in between.

use crate::connect::hash;
use crate::model::change::Transaction;
use crate::model::position::Lsn;
use crate::model::schema::{Field, Kind, Schema};
use crate::model::value::Value;
use std::fmt::Write;
use std::sync::Arc;

/// What Debezium counts logical messages under: a Java object's default text.
pub const MESSAGES: &str =
    "io.debezium.connector.postgresql.LogicalDecodingMessageMonitor$LogicalDecodingMessageId@0";

/// The running transaction's counts.
#[derive(Debug)]
pub struct Counts {
    id: Option<u32>,
    total: i64,
    /// Per table, in the order of their first record.
    tables: Vec<(String, i64)>,
    /// The block's id of the record before: made anew in place.
    text: String,
    pub key: Arc<Schema>,
    pub value: Arc<Schema>,
}

impl Counts {
    pub fn new(key: Schema, value: Schema) -> Counts {
        Counts {
            id: None,
            total: 0,
            tables: Vec::new(),
            text: String::new(),
            key: Arc::new(key),
            value: Arc::new(value),
        }
    }

    pub fn begin(&mut self, transaction: &Transaction) {
        self.id = Some(transaction.id);
        self.total = 0;
        self.tables.clear();
    }

    pub fn end(&mut self) {
        self.id = None;
    }

    /// Counts a record of a table; the block's values, or `None` outside a transaction.
    pub fn count(&mut self, table: &str, lsn: Lsn) -> Option<[Value<'_>; 3]> {
        let id = self.id?;
        self.total += 1;
        let at = self.tables.iter().position(|(name, _)| name == table).unwrap_or_else(|| {
            self.tables.push((table.to_owned(), 0));
            self.tables.len() - 1
        });
        let (_, of_table) = self.tables.get_mut(at)?;
        *of_table += 1;
        write_id(&mut self.text, id, lsn);
        Some([Value::Text(&self.text), Value::Int(self.total), Value::Int(*of_table)])
    }

    /// Records so far, and per table, in the order in which a map of Java's would list them.
    pub fn counted(&self) -> (i64, Vec<&(String, i64)>) {
        let mut tables: Vec<&(String, i64)> = self.tables.iter().collect();
        tables.sort_by_key(|(name, _)| hash::bucket(name, self.tables.len()));
        (self.total, tables)
    }
}

/// Debezium's id is the number and the place in the log: it differs from record to record.
pub fn write_id(text: &mut String, id: u32, lsn: Lsn) {
    text.clear();
    // Writing to a text cannot fail.
    let _ = write!(text, "{id}:{}", lsn.0);
}

pub fn key_schema(name: String) -> Schema {
    Schema::structure(name, vec![Field::new("id", Schema::string())]).version(1)
}

pub fn value_schema(name: String) -> Schema {
    let collection = Schema::structure(
        "event.collection",
        vec![Field::new("data_collection", Schema::string()), Field::new("event_count", Schema::int64())],
    );
    let collections = Schema::new(Kind::Array(Arc::new(collection.version(1).optional()))).optional();
    let fields = vec![
        Field::new("status", Schema::string()),
        Field::new("id", Schema::string()),
        Field::new("event_count", Schema::int64().optional()),
        Field::new("data_collections", collections),
        Field::new("ts_ms", Schema::int64()),
    ];
    Schema::structure(name, fields).version(1)
}
