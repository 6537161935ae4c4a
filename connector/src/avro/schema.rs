//! Table → schema text, in the very words and order of Kafka Connect's AvroConverter.
//!
//! The registry hands out ids by text, so the text is written by hand and never goes through an
//! Avro library (those drop `connect.*` on primitive types). Order of a type's properties: `scale`,
//! `precision`, `connect.doc`, `connect.version`, `connect.parameters`, `connect.default`,
//! `connect.name`, `connect.type`, `logicalType`. Pure.

use super::form::{self, Form};
use super::java::json_text;
use crate::model::table::{Column, ColumnType, Table};
use shared::error::{Error, Kind, Result};

const VARIABLE_DECIMAL: &str = concat!(
    r#"{"type":"record","name":"VariableScaleDecimal","namespace":"io.debezium.data","fields":["#,
    r#"{"name":"scale","type":"int"},{"name":"value","type":"bytes"}],"#,
    r#""connect.doc":"Variable scaled decimal","connect.version":1,"#,
    r#""connect.name":"io.debezium.data.VariableScaleDecimal"}"#
);
/// A record's second use names it.
const VARIABLE_DECIMAL_AGAIN: &str = r#""io.debezium.data.VariableScaleDecimal""#;

const SNAPSHOT: &str = concat!(
    r#"[{"type":"string","connect.version":1,"connect.parameters":"#,
    r#"{"allowed":"true,first,first_in_data_collection,last_in_data_collection,last,false,incremental"},"#,
    r#""connect.default":"false","connect.name":"io.debezium.data.Enum"},"null"],"default":"false""#
);
const TEXT: &str = r#""string""#;
const LONG: &str = r#""long""#;
const TEXT_OR_NULL: &str = r#"["null","string"],"default":null"#;
const LONG_OR_NULL: &str = r#"["null","long"],"default":null"#;

/// How a field of the source block is written: its branch if it is present, if it may be absent.
#[derive(Clone, Copy, Debug)]
pub struct SourceField {
    name: &'static str,
    schema: &'static str,
    pub form: Form,
    pub present: Option<u8>,
}

const fn text(name: &'static str) -> SourceField {
    SourceField { name, schema: TEXT, form: Form::Text, present: None }
}
const fn optional_text(name: &'static str) -> SourceField {
    SourceField { name, schema: TEXT_OR_NULL, form: Form::Text, present: Some(form::SECOND) }
}
const fn long(name: &'static str) -> SourceField {
    SourceField { name, schema: LONG, form: Form::Long, present: None }
}
const fn optional_long(name: &'static str) -> SourceField {
    SourceField { name, schema: LONG_OR_NULL, form: Form::Long, present: Some(form::SECOND) }
}

/// The source block of PostgreSQL, field by field.
pub const POSTGRES_SOURCE: [SourceField; 16] = [
    text("version"),
    text("connector"),
    text("name"),
    long("ts_ms"),
    SourceField { name: "snapshot", schema: SNAPSHOT, form: Form::Text, present: Some(form::FIRST) },
    text("db"),
    optional_text("sequence"),
    optional_long("ts_us"),
    optional_long("ts_ns"),
    text("schema"),
    text("table"),
    optional_long("txId"),
    optional_long("lsn"),
    optional_long("xmin"),
    optional_text("origin"),
    optional_long("origin_lsn"),
];

const TRANSACTION: &str = concat!(
    r#"{"name":"transaction","type":["null",{"type":"record","name":"block","namespace":"event","fields":["#,
    r#"{"name":"id","type":"string"},{"name":"total_order","type":"long"},"#,
    r#"{"name":"data_collection_order","type":"long"}],"connect.version":1,"#,
    r#""connect.name":"event.block"}],"default":null}"#
);
const TAIL: &str = concat!(
    r#"{"name":"op","type":"string"},"#,
    r#"{"name":"ts_ms","type":["null","long"],"default":null},"#,
    r#"{"name":"ts_us","type":["null","long"],"default":null},"#,
    r#"{"name":"ts_ns","type":["null","long"],"default":null}"#
);

/// The key's schema; `None` for a table without a key.
///
/// # Errors
/// `Data`, when a name is none in Avro: Debezium fails on it too.
pub fn key(topic: &str, table: &Table) -> Result<Option<String>> {
    if table.key.is_empty() {
        return Ok(None);
    }
    check_names(topic, table)?;
    let columns = table.key.iter().filter_map(|&at| table.columns.get(at));
    let fields = fields(columns);
    Ok(Some(format!(
        r#"{{"type":"record","name":"Key","namespace":"{topic}","fields":[{fields}],"connect.name":"{topic}.Key"}}"#
    )))
}

/// The value's schema: the envelope.
///
/// # Errors
/// As [`key`].
pub fn value(topic: &str, table: &Table) -> Result<String> {
    check_names(topic, table)?;
    let fields = fields(table.columns.iter());
    let source = source();
    Ok([
        &format!(r#"{{"type":"record","name":"Envelope","namespace":"{topic}","fields":["#),
        r#"{"name":"before","type":["null",{"type":"record","name":"Value","fields":["#,
        &fields,
        &format!(r#"],"connect.name":"{topic}.Value"}}],"default":null}},"#),
        r#"{"name":"after","type":["null","Value"],"default":null},"#,
        &source,
        ",",
        TRANSACTION,
        ",",
        TAIL,
        &format!(r#"],"connect.version":2,"connect.name":"{topic}.Envelope"}}"#),
    ]
    .concat())
}

fn source() -> String {
    let fields: Vec<String> = POSTGRES_SOURCE
        .iter()
        .map(|field| format!(r#"{{"name":"{}","type":{}}}"#, field.name, field.schema))
        .collect();
    format!(
        concat!(
            r#"{{"name":"source","type":{{"type":"record","name":"Source","#,
            r#""namespace":"io.debezium.connector.postgresql","fields":[{}],"#,
            r#""connect.version":1,"connect.name":"io.debezium.connector.postgresql.Source"}}}}"#
        ),
        fields.join(",")
    )
}

fn fields<'a>(columns: impl Iterator<Item = &'a Column>) -> String {
    let mut named_variable_decimal = false;
    let one = |column: &Column| field(column, &mut named_variable_decimal);
    columns.map(one).collect::<Vec<_>>().join(",")
}

fn field(column: &Column, named_variable_decimal: &mut bool) -> String {
    let default = form::default_json(column);
    let inner = kind(&column.kind, default.as_deref(), named_variable_decimal);
    let name = json_text(&column.name);
    match (column.optional, default) {
        (false, None) => format!(r#"{{"name":{name},"type":{inner}}}"#),
        (false, Some(default)) => format!(r#"{{"name":{name},"type":{inner},"default":{default}}}"#),
        (true, None) => format!(r#"{{"name":{name},"type":["null",{inner}],"default":null}}"#),
        (true, Some(default)) => format!(r#"{{"name":{name},"type":[{inner},"null"],"default":{default}}}"#),
    }
}

/// A column's type without its nullability.
fn kind(kind: &ColumnType, default: Option<&str>, named_variable_decimal: &mut bool) -> String {
    let semantic = |avro: &str, name: &str| {
        let default = default.map(|d| format!(r#","connect.default":{d}"#)).unwrap_or_default();
        format!(r#"{{"type":"{avro}","connect.version":1{default},"connect.name":"{name}"}}"#)
    };
    let plain = |avro: &str| match default {
        Some(default) => format!(r#"{{"type":"{avro}","connect.default":{default}}}"#),
        None => format!(r#""{avro}""#),
    };
    match kind {
        ColumnType::Bool => plain("boolean"),
        ColumnType::Int16 => {
            let default = default.map(|d| format!(r#","connect.default":{d}"#)).unwrap_or_default();
            format!(r#"{{"type":"int"{default},"connect.type":"int16"}}"#)
        }
        ColumnType::Int32 => plain("int"),
        ColumnType::Int64 => plain("long"),
        ColumnType::Float32 => plain("float"),
        ColumnType::Float64 => plain("double"),
        ColumnType::Decimal { precision, scale } => decimal(*precision, form::java_scale(*scale), default),
        ColumnType::VariableDecimal if std::mem::replace(named_variable_decimal, true) => {
            VARIABLE_DECIMAL_AGAIN.to_owned()
        }
        ColumnType::VariableDecimal => VARIABLE_DECIMAL.to_owned(),
        ColumnType::Text => plain("string"),
        ColumnType::Json => semantic("string", "io.debezium.data.Json"),
        ColumnType::Xml => semantic("string", "io.debezium.data.Xml"),
        ColumnType::Uuid => semantic("string", "io.debezium.data.Uuid"),
        ColumnType::Bytes => plain("bytes"),
        ColumnType::Date => semantic("int", "io.debezium.time.Date"),
        ColumnType::Time { precision: 0..=3 } => semantic("int", "io.debezium.time.Time"),
        ColumnType::Time { .. } => semantic("long", "io.debezium.time.MicroTime"),
        ColumnType::Timestamp { precision: 0..=3 } => semantic("long", "io.debezium.time.Timestamp"),
        ColumnType::Timestamp { .. } => semantic("long", "io.debezium.time.MicroTimestamp"),
        ColumnType::TimestampTz { .. } => semantic("string", "io.debezium.time.ZonedTimestamp"),
    }
}

fn decimal(precision: u32, scale: u32, default: Option<&str>) -> String {
    let default = default.map(|d| format!(r#","connect.default":{d}"#)).unwrap_or_default();
    format!(
        concat!(
            r#"{{"type":"bytes","scale":{scale},"precision":{precision},"connect.version":1,"#,
            r#""connect.parameters":{{"scale":"{scale}","connect.decimal.precision":"{precision}"}}{default},"#,
            r#""connect.name":"org.apache.kafka.connect.data.Decimal","logicalType":"decimal"}}"#
        ),
        scale = scale,
        precision = precision,
        default = default
    )
}

/// Avro takes letters, digits and underscores, no digit first. Without a name adjustment
/// Debezium's task fails here as well.
fn check_names(topic: &str, table: &Table) -> Result<()> {
    let bad = |what: String, remedy: &'static str| Err(Error::new(Kind::Data, what).remedy(remedy));
    if let Some(part) = topic.split('.').find(|part| !is_name(part)) {
        let what = format!("table {}: {part:?} in the schema's name {topic} is no name in Avro", table.id);
        return bad(what, "rename it, or leave the table out");
    }
    match table.columns.iter().find(|column| !is_name(&column.name)) {
        Some(column) => {
            let what = format!("table {}: column {:?} has no name in Avro", table.id, column.name);
            bad(what, "rename the column, or leave the table out")
        }
        None => Ok(()),
    }
}

fn is_name(text: &str) -> bool {
    let first = |c: char| c.is_ascii_alphabetic() || c == '_';
    text.starts_with(first) && text.chars().all(|c| first(c) || c.is_ascii_digit())
}

#[cfg(test)]
mod tests;
