//! Column → the schema of its field, by the handling modes. Debezium's semantic types and their
//! parameters stand here and nowhere else. Pure.

use crate::config::values::{BinaryMode, DecimalMode, HstoreMode, IntervalMode, TimeMode, ValuesConfig};
use crate::model::schema::{Field, Form, Kind, Schema};
use crate::model::table::{Column, ColumnType};
use crate::model::value::{Constant, UNIX_EPOCH, Value};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use std::sync::Arc;

/// How columns become schemas.
#[derive(Debug)]
pub struct Columns {
    config: ValuesConfig,
    /// The mark for values that were not sent: as text, as bytes, and as those of arrays.
    mark: Mark,
}

#[derive(Debug)]
struct Mark {
    text: String,
    bytes: Vec<u8>,
    /// Of the process's life, since a map's entries borrow it.
    held: &'static str,
}

impl Columns {
    pub fn new(config: &ValuesConfig) -> Columns {
        let bytes = match config.unavailable.strip_prefix("hex:") {
            Some(digits) => octets(digits).unwrap_or_else(|| config.unavailable.as_bytes().to_vec()),
            None => config.unavailable.as_bytes().to_vec(),
        };
        let text = String::from_utf8_lossy(&bytes).into_owned();
        // Once per process: configuration is read once.
        let held: &'static str = text.clone().leak();
        Columns { config: config.clone(), mark: Mark { text, bytes, held } }
    }

    /// The schema of a column's field, nullability and default included.
    pub fn schema(&self, column: &Column) -> Schema {
        let schema = self.plain(&column.kind);
        Schema { optional: column.optional, default: self.default(column), ..schema }
    }

    /// Debezium shows no default for structs.
    fn default(&self, column: &Column) -> Option<Constant> {
        let precise = self.config.decimal == DecimalMode::Precise;
        column.default.clone().filter(|_| !(column.kind == ColumnType::VariableDecimal && precise))
    }

    /// A type's schema without nullability and default.
    fn plain(&self, kind: &ColumnType) -> Schema {
        let schema = self.described(kind);
        let unavailable = self.unavailable(kind);
        Schema { fallback: self.fallback(kind), unavailable, ..schema }
    }

    fn described(&self, kind: &ColumnType) -> Schema {
        match kind {
            ColumnType::Bool => Schema::new(Kind::Boolean),
            ColumnType::Int16 => Schema::new(Kind::Int16),
            ColumnType::Int32 => Schema::int32(),
            ColumnType::Int64 => Schema::int64(),
            ColumnType::Float32 => Schema::new(Kind::Float32),
            ColumnType::Float64 => Schema::new(Kind::Float64),
            ColumnType::Decimal { .. } | ColumnType::VariableDecimal | ColumnType::Money => {
                self.decimal(kind)
            }
            ColumnType::Text => Schema::string(),
            ColumnType::Json => Schema::string().semantic("io.debezium.data.Json"),
            ColumnType::Xml => Schema::string().semantic("io.debezium.data.Xml"),
            ColumnType::Uuid => Schema::string().semantic("io.debezium.data.Uuid"),
            ColumnType::Tsvector => Schema::string().semantic("io.debezium.data.Tsvector"),
            ColumnType::Ltree => Schema::string().semantic("io.debezium.data.Ltree"),
            ColumnType::Enum { labels } => {
                Schema::string().semantic("io.debezium.data.Enum").parameter("allowed", labels.join(","))
            }
            ColumnType::Bytes | ColumnType::Unknown => self.binary(),
            ColumnType::Bits { length } => Schema::new(Kind::Bytes)
                .form(Form::Bits)
                .semantic("io.debezium.data.Bits")
                .parameter("length", length.to_string()),
            ColumnType::Date | ColumnType::Time { .. } | ColumnType::Timestamp { .. } => self.temporal(kind),
            ColumnType::TimeTz => {
                Schema::string().form(Form::ZonedTime).semantic("io.debezium.time.ZonedTime")
            }
            ColumnType::TimestampTz { precision } => zoned(Some(precision.unwrap_or(6))),
            ColumnType::Interval => match self.config.interval {
                IntervalMode::Numeric => {
                    Schema::int64().form(Form::IntervalMicros).semantic("io.debezium.time.MicroDuration")
                }
                IntervalMode::String => {
                    Schema::string().form(Form::IsoInterval).semantic("io.debezium.time.Interval")
                }
            },
            ColumnType::Hstore => match self.config.hstore {
                HstoreMode::Json => Schema::string().form(Form::JsonMap).semantic("io.debezium.data.Json"),
                HstoreMode::Map => {
                    Schema::new(Kind::Map(Arc::new(Schema::string()), Arc::new(Schema::string().optional())))
                }
            },
            ColumnType::Point => point(),
            ColumnType::Geometry => geometry("Geometry"),
            ColumnType::Geography => geometry("Geography"),
            ColumnType::Vector => list(Schema::new(Kind::Float64)).semantic("io.debezium.data.DoubleVector"),
            ColumnType::HalfVector => {
                list(Schema::new(Kind::Float32)).semantic("io.debezium.data.FloatVector")
            }
            ColumnType::SparseVector => sparse_vector(),
            ColumnType::Array(element) => list(self.element(element)),
        }
    }

    /// Elements of arrays may be absent; but not Debezium's enums, vectors of both kinds, and what nobody knows.
    fn element(&self, kind: &ColumnType) -> Schema {
        match kind {
            ColumnType::Enum { .. } | ColumnType::Vector | ColumnType::Tsvector | ColumnType::Unknown => {
                self.described(kind)
            }
            kind => self.described(kind).optional(),
        }
    }

    fn decimal(&self, kind: &ColumnType) -> Schema {
        match (self.config.decimal, kind) {
            (DecimalMode::Double, _) => Schema::new(Kind::Float64).form(Form::DecimalDouble),
            (DecimalMode::String, _) => Schema::string().form(Form::DecimalText),
            (DecimalMode::Precise, ColumnType::Decimal { precision, scale }) => {
                let scale = java_scale(*scale);
                exact(scale).parameter("connect.decimal.precision", precision.to_string())
            }
            (DecimalMode::Precise, ColumnType::Money) => exact(self.config.money_digits),
            (DecimalMode::Precise, _) => Schema {
                doc: Some("Variable scaled decimal".to_owned()),
                ..Schema::structure(
                    "io.debezium.data.VariableScaleDecimal",
                    vec![Field::new("scale", Schema::int32()), Field::new("value", Schema::new(Kind::Bytes))],
                )
                .version(1)
                .form(Form::VariableDecimal)
            },
        }
    }

    fn binary(&self) -> Schema {
        match self.config.binary {
            BinaryMode::Bytes => Schema::new(Kind::Bytes),
            BinaryMode::Base64 => Schema::string().form(Form::Base64),
            BinaryMode::Base64UrlSafe => Schema::string().form(Form::Base64Url),
            BinaryMode::Hex => Schema::string().form(Form::HexText),
        }
    }

    fn temporal(&self, kind: &ColumnType) -> Schema {
        let int = |form, name| Schema::int32().form(form).semantic(name);
        let long = |form, name| Schema::int64().form(form).semantic(name);
        let text = |form, name| Schema::string().form(form).semantic(name);
        let coarse = |precision: &u8| *precision <= 3;
        match (self.config.time, kind) {
            (TimeMode::Connect, ColumnType::Date) => int(Form::Date, "org.apache.kafka.connect.data.Date"),
            (TimeMode::Isostring, ColumnType::Date) => text(Form::IsoDate, "io.debezium.time.IsoDate"),
            (_, ColumnType::Date) => int(Form::Date, "io.debezium.time.Date"),
            (TimeMode::Connect, ColumnType::Time { .. }) => {
                int(Form::TimeMillis, "org.apache.kafka.connect.data.Time")
            }
            (TimeMode::Isostring, ColumnType::Time { .. }) => text(Form::IsoTime, "io.debezium.time.IsoTime"),
            (TimeMode::Nanoseconds, ColumnType::Time { .. }) => {
                long(Form::TimeNanos, "io.debezium.time.NanoTime")
            }
            (TimeMode::Adaptive, ColumnType::Time { precision }) if coarse(precision) => {
                int(Form::TimeMillis, "io.debezium.time.Time")
            }
            (_, ColumnType::Time { .. }) => long(Form::TimeMicros, "io.debezium.time.MicroTime"),
            (TimeMode::Connect, _) => long(Form::TimestampMillis, "org.apache.kafka.connect.data.Timestamp"),
            (TimeMode::Isostring, _) => text(Form::IsoTimestamp, "io.debezium.time.IsoTimestamp"),
            (TimeMode::Nanoseconds, _) => long(Form::TimestampNanos, "io.debezium.time.NanoTimestamp"),
            (
                TimeMode::Adaptive | TimeMode::AdaptiveTimeMicroseconds,
                ColumnType::Timestamp { precision },
            ) if coarse(precision) => long(Form::TimestampMillis, "io.debezium.time.Timestamp"),
            _ => long(Form::TimestampMicros, "io.debezium.time.MicroTimestamp"),
        }
    }

    /// What Debezium sends for a NULL in a NOT NULL column without a default: it happens in rows
    /// of which only the key is known.
    fn fallback(&self, kind: &ColumnType) -> Option<Constant> {
        let plain = |value| Some(Constant::Plain(value));
        match kind {
            ColumnType::Bool => plain(Value::Bool(false)),
            ColumnType::Int16 | ColumnType::Int32 | ColumnType::Int64 => plain(Value::Int(0)),
            ColumnType::Float32 => plain(Value::Float32(0.0)),
            ColumnType::Float64 => plain(Value::Float64(0.0)),
            ColumnType::Decimal { scale, .. } => Some(zero(java_scale(*scale))),
            ColumnType::Money => Some(zero(self.config.money_digits)),
            ColumnType::VariableDecimal => plain(Value::Decimal("0")),
            ColumnType::Text
            | ColumnType::Json
            | ColumnType::Xml
            | ColumnType::Uuid
            | ColumnType::Tsvector
            | ColumnType::Ltree
            | ColumnType::Enum { .. } => plain(Value::Text("")),
            ColumnType::Bytes | ColumnType::Unknown => plain(Value::Bytes(&[])),
            ColumnType::Bits { .. } => plain(Value::Bits(&[])),
            ColumnType::Date => plain(Value::Date(0)),
            ColumnType::Time { .. } => plain(Value::Time(0)),
            ColumnType::Timestamp { .. } => plain(Value::Timestamp(UNIX_EPOCH)),
            ColumnType::TimeTz => plain(Value::TimeTz(0)),
            // Without digits, whatever the column's precision.
            ColumnType::TimestampTz { .. } => plain(Value::Text("1970-01-01T00:00:00Z")),
            ColumnType::Interval => plain(Value::Interval { months: 0, days: 0, micros: 0 }),
            ColumnType::Hstore => match self.config.hstore {
                HstoreMode::Json => plain(Value::Text("{}")),
                HstoreMode::Map => Some(Constant::Map(Vec::new())),
            },
            ColumnType::Array(_) | ColumnType::Vector | ColumnType::HalfVector => {
                Some(Constant::List(Vec::new()))
            }
            // The origin, with its binary form; and a collection of no geometries.
            ColumnType::Point => Some(Constant::Struct(vec![
                Value::Float64(0.0),
                Value::Float64(0.0),
                Value::Bytes(b"\x01\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
                Value::Null,
            ])),
            ColumnType::Geometry | ColumnType::Geography => {
                Some(Constant::Struct(vec![Value::Bytes(b"\x01\x07\0\0\0\0\0\0\0"), Value::Null]))
            }
            ColumnType::SparseVector => None,
        }
    }

    /// What stands for a value that was not sent, where anything can.
    fn unavailable(&self, kind: &ColumnType) -> Option<Constant> {
        let text = || Some(Constant::Text(self.mark.text.clone()));
        match kind {
            ColumnType::Text | ColumnType::Json | ColumnType::Xml | ColumnType::Uuid => text(),
            ColumnType::Tsvector | ColumnType::Ltree | ColumnType::Enum { .. } => text(),
            ColumnType::Bytes | ColumnType::Unknown => self.binary_mark(),
            ColumnType::Decimal { .. } | ColumnType::VariableDecimal
                if self.config.decimal == DecimalMode::String =>
            {
                text()
            }
            ColumnType::Hstore => Some(match self.config.hstore {
                HstoreMode::Json => {
                    let mark = serde_json::Value::from(self.mark.text.as_str());
                    Constant::Text(format!("{{{mark}:{mark}}}"))
                }
                HstoreMode::Map => {
                    Constant::Map(vec![(Value::Text(self.mark.held), Value::Text(self.mark.held))])
                }
            }),
            ColumnType::Array(element) => self.array_mark(element),
            _ => None,
        }
    }

    fn binary_mark(&self) -> Option<Constant> {
        let bytes = &self.mark.bytes;
        Some(match self.config.binary {
            BinaryMode::Bytes => Constant::Bytes(bytes.clone()),
            BinaryMode::Base64 => Constant::Text(STANDARD.encode(bytes)),
            BinaryMode::Base64UrlSafe => Constant::Text(URL_SAFE.encode(bytes)),
            BinaryMode::Hex => Constant::Text(bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
        })
    }

    /// Texts as one element; whole numbers and dates as the mark's bytes, one element each.
    fn array_mark(&self, element: &ColumnType) -> Option<Constant> {
        let numbers = || self.mark.bytes.iter().map(|byte| i64::from(byte.cast_signed()));
        Some(Constant::List(match element {
            ColumnType::Text | ColumnType::Json => vec![Value::Text(self.mark.held)],
            ColumnType::Bytes => vec![Value::Bytes(self.mark.held.as_bytes())],
            ColumnType::Int32 | ColumnType::Int64 | ColumnType::Date => numbers().map(Value::Int).collect(),
            ColumnType::Uuid => {
                let name = uuid::Builder::from_md5_bytes(md5(&self.mark.bytes)).into_uuid().to_string();
                vec![Value::Text(name.leak())]
            }
            _ => return None,
        }))
    }
}

/// Nothing, with so many digits behind the point.
fn zero(scale: u32) -> Constant {
    let point = if scale > 0 { "." } else { "" };
    Constant::Decimal(format!("0{point}{}", "0".repeat(scale as usize)))
}

/// Java's `UUID.nameUUIDFromBytes` goes by MD5 alone, without a namespace.
fn md5(bytes: &[u8]) -> [u8; 16] {
    use md5::Digest;
    md5::Md5::digest(bytes).into()
}

/// `numeric(5,-2)` has scale 2046 with Debezium: it reads the server's 11 bits without a sign.
fn java_scale(scale: i32) -> u32 {
    (scale & 0x7FF).cast_unsigned()
}

fn exact(scale: u32) -> Schema {
    Schema::new(Kind::Bytes)
        .form(Form::Decimal { scale })
        .semantic("org.apache.kafka.connect.data.Decimal")
        .parameter("scale", scale.to_string())
}

fn zoned(digits: Option<u8>) -> Schema {
    Schema::string().form(Form::Zoned { digits }).semantic("io.debezium.time.ZonedTimestamp")
}

fn list(items: Schema) -> Schema {
    Schema::new(Kind::Array(Arc::new(items)))
}

fn point() -> Schema {
    let fields = vec![
        Field::new("x", Schema::new(Kind::Float64)),
        Field::new("y", Schema::new(Kind::Float64)),
        Field::new("wkb", Schema::new(Kind::Bytes).optional()),
        Field::new("srid", Schema::int32().optional()),
    ];
    let schema = Schema::structure("io.debezium.data.geometry.Point", fields).version(1);
    Schema { doc: Some("Geometry (POINT)".to_owned()), ..schema }
}

fn geometry(name: &str) -> Schema {
    let fields =
        vec![Field::new("wkb", Schema::new(Kind::Bytes)), Field::new("srid", Schema::int32().optional())];
    let schema = Schema::structure(format!("io.debezium.data.geometry.{name}"), fields).version(1);
    Schema { doc: Some(name.to_owned()), ..schema }
}

fn sparse_vector() -> Schema {
    let entries = Kind::Map(Arc::new(Schema::new(Kind::Int16)), Arc::new(Schema::new(Kind::Float64)));
    let fields =
        vec![Field::new("dimensions", Schema::new(Kind::Int16)), Field::new("vector", Schema::new(entries))];
    let schema = Schema::structure("io.debezium.data.SparseDoubleVector", fields).version(1);
    Schema { doc: Some("Sparse double vector".to_owned()), ..schema }
}

fn octets(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}
