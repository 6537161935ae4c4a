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

/// A column's type as the database means it; how it is shown is `event`'s affair.
/// Behind each stands the [`Value`](super::value::Value) that its cells have.
#[derive(Clone, Debug, PartialEq)]
pub enum ColumnType {
    /// `Bool`. Also a single bit.
    Bool,
    /// `Int`, of 16, 32 or 64 bits.
    Int16,
    Int32,
    Int64,
    /// `Float32`, `Float64`.
    Float32,
    Float64,
    /// `Decimal`: `numeric(p, s)`.
    Decimal {
        precision: u32,
        scale: i32,
    },
    /// `Decimal`: `numeric` without precision: each value has its own scale.
    VariableDecimal,
    /// `Decimal`, without currency sign and separators.
    Money,
    /// `Text`, all of these.
    Text,
    Json,
    Xml,
    Uuid,
    Tsvector,
    Ltree,
    /// `Text`: one of the labels.
    Enum {
        labels: Vec<String>,
    },
    /// `Hex` or `Bytes`.
    Bytes,
    /// `Bits`; the length that the type declares, `i32::MAX` if it declares none.
    Bits {
        length: i32,
    },
    /// `Date`.
    Date,
    /// `Time`. Fraction digits of a second, 0 to 6.
    Time {
        precision: u8,
    },
    /// `TimeTz`.
    TimeTz,
    /// `Timestamp`.
    Timestamp {
        precision: u8,
    },
    /// `TimestampTz`; `precision` is `None` when the column's type names none.
    TimestampTz {
        precision: Option<u8>,
    },
    /// `Interval`.
    Interval,
    /// `Map` of `Text` to `Text` or `Null`.
    Hstore,
    /// `Struct`: x, y as `Float64`, well-known binary as `Bytes`, reference system `Int` or `Null`.
    Point,
    /// `Struct`: well-known binary as `Bytes`, reference system `Int` or `Null`.
    Geometry,
    Geography,
    /// `List` of `Float64`; of `Float32`.
    Vector,
    HalfVector,
    /// `Struct`: dimensions `Int`, then a `Map` of `Int` to `Float64`.
    SparseVector,
    /// `List` of the element's values.
    Array(Box<ColumnType>),
    /// `Bytes` of the database's text: a type nobody knows.
    Unknown,
}

/// A type as the database declares it, for consumers that ask for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceType {
    /// In capitals: `VARCHAR`.
    pub name: String,
    pub length: Option<i32>,
    pub scale: Option<i32>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    pub name: String,
    pub kind: ColumnType,
    pub optional: bool,
    /// The default as a value: a literal, or what stands for a function call
    /// (zero, empty, the epoch), as Debezium shows it in schemas.
    pub default: Option<Constant>,
    /// Left out of the value by the operator, and here only because the key needs it.
    pub key_only: bool,
    pub source_type: SourceType,
    /// Of one of the database's own types for characters, or an enum: masks and digests are for these.
    pub characters: bool,
    pub comment: Option<String>,
}

impl Column {
    /// A column without a default, a comment or a declared type.
    pub fn new(name: impl Into<String>, kind: ColumnType, optional: bool) -> Self {
        Column {
            name: name.into(),
            kind,
            optional,
            default: None,
            key_only: false,
            source_type: SourceType::default(),
            characters: false,
            comment: None,
        }
    }
}

/// One version of a table: a changed column makes a new one.
#[derive(Debug)]
pub struct Table {
    pub id: TableId,
    pub columns: Vec<Column>,
    /// Indexes of the key's columns in key order; empty when the table has no key.
    pub key: Vec<usize>,
    /// Unique per built table in this process: what schemas are cached by.
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
