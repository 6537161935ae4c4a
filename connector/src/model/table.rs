//! A table as it was at a position in the log.

use super::value::Constant;
use std::sync::atomic::{AtomicU64, Ordering};

/// A table's full name. `schema` is PostgreSQL's schema, MySQL's database.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableId {
    pub schema: String,
    pub name: String,
}

impl std::fmt::Display for TableId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// A column's type, as far as its records depend on it.
#[derive(Clone, Debug, PartialEq)]
pub enum ColumnType {
    Bool,
    Int16,
    Int32,
    Int64,
    Float32,
    Float64,
    /// `numeric(p, s)`.
    Decimal {
        precision: u32,
        scale: i32,
    },
    /// `numeric` without precision: each value has its own scale.
    VariableDecimal,
    Text,
    Json,
    Xml,
    Uuid,
    Bytes,
    Date,
    /// Fraction digits of a second, 0 to 6.
    Time {
        precision: u8,
    },
    Timestamp {
        precision: u8,
    },
    /// `precision` is `None` when the column's type names none.
    TimestampTz {
        precision: Option<u8>,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    pub name: String,
    pub kind: ColumnType,
    pub optional: bool,
    /// The default as a value: a literal, or what stands for a function call
    /// (zero, empty, the epoch), as Debezium shows it in schemas.
    pub default: Option<Constant>,
}

/// One version of a table: a changed column makes a new one.
#[derive(Debug)]
pub struct Table {
    pub id: TableId,
    pub columns: Vec<Column>,
    /// Indexes of the key's columns in key order; empty when the table has no key.
    pub key: Vec<usize>,
    /// Unique per built table in this process: what plans are cached by.
    pub version: u64,
}

impl Table {
    pub fn new(id: TableId, columns: Vec<Column>, key: Vec<usize>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Table { id, columns, key, version: NEXT.fetch_add(1, Ordering::Relaxed) }
    }

    /// Whether records of both look the same (their versions may differ).
    pub fn same_shape(&self, other: &Table) -> bool {
        self.id == other.id && self.columns == other.columns && self.key == other.key
    }
}
