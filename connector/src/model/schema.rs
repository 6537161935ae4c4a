//! What a record looks like: Kafka Connect's schema, and how a database's value becomes one of it.
//!
//! Debezium's shapes are said in Connect's words, because every consumer sees them through one of
//! Connect's converters. `event` makes the schemas of a table version once, `transform` derives
//! others from them, `avro` turns them into Avro text and a plan.

use super::value::{Constant, Value};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Connect's types.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    Boolean,
    Int8,
    Int16,
    Int32,
    Int64,
    Float32,
    Float64,
    String,
    Bytes,
    Array(Arc<Schema>),
    Map(Arc<Schema>, Arc<Schema>),
    Struct(Vec<Field>),
}

/// How a [`Value`](super::value::Value) of the database is written as a value of the schema's
/// [`Kind`]. A value that is of that kind already is written as it is in every form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// As it is.
    #[default]
    Plain,
    /// Decimal digits → two's complement bytes of the number times ten to the scale.
    Decimal {
        scale: u32,
    },
    /// Decimal digits → Debezium's struct of scale and bytes, trailing zeros stripped.
    VariableDecimal,
    /// Decimal digits → `double`.
    DecimalDouble,
    /// Decimal digits → text; the special numbers as Debezium names them.
    DecimalText,
    Base64,
    Base64Url,
    HexText,
    /// Binary digits → bytes, the least significant first, trailing zero bytes left out.
    Bits,
    Date,
    IsoDate,
    TimeMillis,
    TimeMicros,
    TimeNanos,
    IsoTime,
    TimestampMillis,
    TimestampMicros,
    TimestampNanos,
    IsoTimestamp,
    /// UTC with `Z` and so many digits of the second's fraction; none: as many groups of three as
    /// needed, as Java prints.
    Zoned {
        digits: Option<u8>,
    },
    ZonedTime,
    /// Microseconds; a month is 365.25 / 12 days.
    IntervalMicros,
    IsoInterval,
    /// A map of texts → a JSON object.
    JsonMap,
}

/// Connect's schema. Top-level ones (a record's key or value) are told apart by [`Schema::id`].
#[derive(Clone, Debug)]
pub struct Schema {
    /// Unique per made schema in this process: what plans and derived schemas are cached by.
    pub id: u64,
    pub kind: Kind,
    pub form: Form,
    pub optional: bool,
    /// Connect's schema name: the semantic type, or a struct's full name.
    pub name: Option<String>,
    pub version: Option<i32>,
    pub doc: Option<String>,
    pub parameters: Vec<(String, String)>,
    pub default: Option<Constant>,
    /// Sent for NULL where neither NULL nor a default may stand: rows of which only the key is known.
    pub fallback: Option<Constant>,
    /// Sent for a value that the database did not send.
    pub unavailable: Option<Constant>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    pub name: String,
    pub schema: Arc<Schema>,
}

impl Field {
    pub fn new(name: impl Into<String>, schema: Schema) -> Self {
        Field { name: name.into(), schema: Arc::new(schema) }
    }
}

/// Equal if records of both look the same; the ids do not count.
impl PartialEq for Schema {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
            && self.form == other.form
            && self.optional == other.optional
            && self.name == other.name
            && self.version == other.version
            && self.doc == other.doc
            && self.parameters == other.parameters
            && self.default == other.default
            && self.fallback == other.fallback
            && self.unavailable == other.unavailable
    }
}

impl Schema {
    pub fn new(kind: Kind) -> Self {
        Schema {
            id: next_id(),
            kind,
            form: Form::Plain,
            optional: false,
            name: None,
            version: None,
            doc: None,
            parameters: Vec::new(),
            default: None,
            fallback: None,
            unavailable: None,
        }
    }

    pub fn string() -> Self {
        Schema::new(Kind::String)
    }

    pub fn int32() -> Self {
        Schema::new(Kind::Int32)
    }

    pub fn int64() -> Self {
        Schema::new(Kind::Int64)
    }

    pub fn structure(name: impl Into<String>, fields: Vec<Field>) -> Self {
        Schema::new(Kind::Struct(fields)).named(name)
    }

    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Self {
        Schema { name: Some(name.into()), ..self }
    }

    #[must_use]
    pub fn version(self, version: i32) -> Self {
        Schema { version: Some(version), ..self }
    }

    /// A semantic type: its name, in version 1.
    #[must_use]
    pub fn semantic(self, name: &str) -> Self {
        self.named(name).version(1)
    }

    #[must_use]
    pub fn form(self, form: Form) -> Self {
        Schema { form, ..self }
    }

    #[must_use]
    pub fn optional(self) -> Self {
        Schema { optional: true, ..self }
    }

    #[must_use]
    pub fn default(self, default: Constant) -> Self {
        Schema { default: Some(default), ..self }
    }

    #[must_use]
    pub fn parameter(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.parameters.push((name.into(), value.into()));
        self
    }

    /// The same under a new id: for a schema that is derived by changing a copy.
    #[must_use]
    pub fn renewed(self) -> Self {
        Schema { id: next_id(), ..self }
    }

    /// As Connect reads a value: NULL is the default, if there is one, or else what may stand for it.
    pub fn or_default<'a>(&'a self, value: Value<'a>) -> Value<'a> {
        match (value, &self.default, &self.fallback) {
            (Value::Null, Some(default), _) => default.value(),
            (Value::Null, None, Some(fallback)) if !self.optional => fallback.value(),
            _ => value,
        }
    }

    /// A struct of other fields under the same name. As in Kafka Connect it is required, whatever the
    /// struct was that it is made from.
    #[must_use]
    pub fn with_fields(&self, fields: Vec<Field>) -> Schema {
        Schema {
            name: self.name.clone(),
            version: self.version,
            doc: self.doc.clone(),
            parameters: self.parameters.clone(),
            ..Schema::new(Kind::Struct(fields))
        }
    }

    /// A struct's fields; none of anything else.
    pub fn fields(&self) -> &[Field] {
        match &self.kind {
            Kind::Struct(fields) => fields,
            _ => &[],
        }
    }

    /// A struct's field of that name, and its place.
    pub fn field(&self, name: &str) -> Option<(usize, &Arc<Schema>)> {
        self.fields().iter().enumerate().find(|(_, f)| f.name == name).map(|(at, f)| (at, &f.schema))
    }
}

fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
