//! Connect schema → Avro schema text, in the very words and order of Kafka Connect's AvroConverter.
//!
//! The registry hands out ids by text, so the text is written by hand and never goes through an
//! Avro library (those drop `connect.*` on primitive types). Order of a type's properties: `scale`,
//! `precision`, `connect.doc`, `connect.version`, `connect.parameters`, `connect.default`,
//! `connect.name`, `connect.type`, `logicalType`. Pure.

use super::form::{self, Leaf};
use crate::config::avro::AvroConfig;
use crate::connect::java::json_text;
use crate::model::schema::{Field, Form, Kind, Schema};
use shared::error::{Error, Kind as ErrorKind, Result};
use std::borrow::Cow;

/// What Connect calls structs and maps without a name, and its namespace.
const NAMESPACE: &str = "io.confluent.connect.avro";
const DEFAULT_NAME: &str = "io.confluent.connect.avro.ConnectDefault";

/// Precision that Connect writes for a decimal that names none.
const DEFAULT_PRECISION: &str = "64";

/// The schema's text.
///
/// # Errors
/// `Data`, when a name is none in Avro: Debezium fails on it too.
pub fn text(schema: &Schema, config: &AvroConfig) -> Result<String> {
    let mut writer = Writer { config, named: Vec::new(), unnamed: 0, out: String::new() };
    writer.schema(schema, "")?;
    Ok(writer.out)
}

/// The full name of the record that a schema makes; none if it makes none.
pub fn record_name(schema: &Schema) -> Option<&str> {
    matches!(schema.kind, Kind::Struct(_)).then(|| schema.name.as_deref().unwrap_or(DEFAULT_NAME))
}

struct Writer<'c> {
    config: &'c AvroConfig,
    /// Full names of the records written: a second use only names them.
    named: Vec<String>,
    /// Structs without a name so far.
    unnamed: usize,
    out: String,
}

impl Writer<'_> {
    fn push(&mut self, text: &str) {
        self.out.push_str(text);
    }

    /// A type with its nullability; a default stands first in its union.
    fn schema(&mut self, schema: &Schema, space: &str) -> Result<()> {
        if !schema.optional {
            return self.inner(schema, space);
        }
        if form::default(schema).is_some() {
            self.push("[");
            self.inner(schema, space)?;
            self.push(",\"null\"]");
        } else {
            self.push("[\"null\",");
            self.inner(schema, space)?;
            self.push("]");
        }
        Ok(())
    }

    fn inner(&mut self, schema: &Schema, space: &str) -> Result<()> {
        match &schema.kind {
            Kind::Struct(fields) => self.record(schema, fields, space),
            Kind::Array(items) => {
                self.push(r#"{"type":"array","items":"#);
                self.schema(items, space)?;
                self.properties(schema);
                self.push("}");
                Ok(())
            }
            Kind::Map(key, value) => self.map(schema, key, value, space),
            kind => {
                self.primitive(schema, primitive(kind));
                Ok(())
            }
        }
    }

    fn primitive(&mut self, schema: &Schema, name: &str) {
        let start = self.out.len();
        self.push(&format!(r#"{{"type":"{name}""#));
        let bare = self.out.len();
        self.properties(schema);
        if self.out.len() == bare {
            self.out.truncate(start);
            self.push(&format!("\"{name}\""));
        } else {
            self.push("}");
        }
    }

    fn record(&mut self, schema: &Schema, fields: &[Field], space: &str) -> Result<()> {
        let full = match (&schema.name, self.unnamed) {
            (Some(name), _) => self.scrubbed(name, true).into_owned(),
            (None, 0) => DEFAULT_NAME.to_owned(),
            (None, n) => format!("{DEFAULT_NAME}{}", n + 1),
        };
        self.unnamed += usize::from(schema.name.is_none());
        let (namespace, name) = full.rsplit_once('.').unwrap_or(("", &full));
        if self.named.contains(&full) {
            let reference = if namespace == space { name } else { &full };
            self.push(&format!("\"{reference}\""));
            return Ok(());
        }
        check_name(&full)?;
        self.push(&format!(r#"{{"type":"record","name":"{name}""#));
        if namespace != space {
            self.push(&format!(r#","namespace":"{namespace}""#));
        }
        self.push(r#","fields":["#);
        self.named.push(full.clone());
        for (nth, field) in fields.iter().enumerate() {
            if nth > 0 {
                self.push(",");
            }
            self.field(field, namespace)?;
        }
        self.push("]");
        self.properties(schema);
        self.push("}");
        Ok(())
    }

    fn field(&mut self, field: &Field, space: &str) -> Result<()> {
        let name = self.scrubbed(&field.name, false).into_owned();
        if !is_name(&name) {
            let what = format!("column {name:?} has a name that is none in Avro");
            return Err(Error::new(ErrorKind::Data, what)
                .remedy("set event.field_names = \"avro\", leave the column out, or rename it"));
        }
        self.push(&format!(r#"{{"name":{},"type":"#, json_text(&name)));
        self.schema(&field.schema, space)?;
        if let Some(doc) = field.schema.doc.as_ref().filter(|_| self.config.field_docs) {
            self.push(&format!(r#","doc":{}"#, json_text(doc)));
        }
        match form::default_json(&field.schema) {
            Some(default) => self.push(&format!(r#","default":{default}"#)),
            None if field.schema.optional => self.push(r#","default":null"#),
            None => {}
        }
        self.push("}");
        Ok(())
    }

    fn map(&mut self, schema: &Schema, key: &Schema, value: &Schema, space: &str) -> Result<()> {
        if is_text_map(key) {
            self.push(r#"{"type":"map","values":"#);
            self.schema(value, space)?;
        } else {
            self.push(&format!(
                r#"{{"type":"array","items":{{"type":"record","name":"MapEntry","namespace":"{NAMESPACE}","fields":[{{"name":"key","type":"#
            ));
            self.schema(key, NAMESPACE)?;
            self.push(r#"},{"name":"value","type":"#);
            self.schema(value, NAMESPACE)?;
            self.push("}]}");
        }
        self.properties(schema);
        self.push("}");
        Ok(())
    }

    fn properties(&mut self, schema: &Schema) {
        let decimal = matches!(schema.form, Form::Decimal { .. });
        let parameter =
            |wanted: &str| schema.parameters.iter().find(|(name, _)| name == wanted).map(|(_, v)| v.as_str());
        if decimal {
            let precision = parameter("connect.decimal.precision").unwrap_or(DEFAULT_PRECISION);
            let scale = parameter("scale").unwrap_or("0");
            self.push(&format!(r#","scale":{scale},"precision":{precision}"#));
        }
        if self.config.connect_properties {
            self.connect_properties(schema);
        }
        if let Some(logical) = logical_type(schema) {
            self.push(&format!(r#","logicalType":"{logical}""#));
        }
    }

    fn connect_properties(&mut self, schema: &Schema) {
        if let Some(doc) = &schema.doc {
            self.push(&format!(r#","connect.doc":{}"#, json_text(doc)));
        }
        if let Some(version) = schema.version {
            self.push(&format!(r#","connect.version":{version}"#));
        }
        if !schema.parameters.is_empty() {
            let one = |(name, value): &(String, String)| format!("{}:{}", json_text(name), json_text(value));
            let all: Vec<String> = schema.parameters.iter().map(one).collect();
            self.push(&format!(r#","connect.parameters":{{{}}}"#, all.join(",")));
        }
        if let Some(default) = form::default_json(schema) {
            self.push(&format!(r#","connect.default":{default}"#));
        }
        if let Some(name) = &schema.name {
            self.push(&format!(r#","connect.name":{}"#, json_text(name)));
        }
        match schema.kind {
            Kind::Int8 => self.push(r#","connect.type":"int8""#),
            Kind::Int16 => self.push(r#","connect.type":"int16""#),
            _ => {}
        }
    }

    /// The name as it is, or with `_` for what Avro does not take.
    fn scrubbed<'n>(&self, name: &'n str, dots: bool) -> Cow<'n, str> {
        if !self.config.scrub_names {
            return Cow::Borrowed(name);
        }
        let keep = |c: char| c.is_ascii_alphanumeric() || c == '_' || dots && c == '.';
        let mut out: String = name.chars().map(|c| if keep(c) { c } else { '_' }).collect();
        if out.starts_with(|c: char| c.is_ascii_digit()) {
            out.insert(0, '_');
        }
        Cow::Owned(out)
    }
}

/// Whether Avro's map can hold it: its keys are texts, and never absent.
pub fn is_text_map(key: &Schema) -> bool {
    key.kind == Kind::String && !key.optional
}

/// Whether any part of the schema is what this form says: nothing else has a logical type.
fn logical_type(schema: &Schema) -> Option<&'static str> {
    match schema.name.as_deref()? {
        "org.apache.kafka.connect.data.Decimal" if Leaf::of(schema).is_some() => Some("decimal"),
        "org.apache.kafka.connect.data.Date" => Some("date"),
        "org.apache.kafka.connect.data.Time" => Some("time-millis"),
        "org.apache.kafka.connect.data.Timestamp" => Some("timestamp-millis"),
        _ => None,
    }
}

fn primitive(kind: &Kind) -> &'static str {
    match kind {
        Kind::Boolean => "boolean",
        Kind::Int8 | Kind::Int16 | Kind::Int32 => "int",
        Kind::Int64 => "long",
        Kind::Float32 => "float",
        Kind::Float64 => "double",
        Kind::Bytes => "bytes",
        Kind::String | Kind::Array(_) | Kind::Map(..) | Kind::Struct(_) => "string",
    }
}

/// Avro takes letters, digits and underscores, no digit first. Without a name adjustment
/// Debezium's task fails here as well.
fn check_name(full: &str) -> Result<()> {
    match full.split('.').find(|part| !is_name(part)) {
        None => Ok(()),
        Some(part) => Err(Error::new(
            ErrorKind::Data,
            format!("{part:?} in the schema's name {full} is no name in Avro"),
        )
        .remedy(
            "set event.schema_names = \"avro\", choose another event.topic_prefix, or leave the table out",
        )),
    }
}

fn is_name(name: &str) -> bool {
    let mut letters = name.chars();
    letters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && letters.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(scrub_names: bool) -> AvroConfig {
        AvroConfig { scrub_names, ..AvroConfig::default() }
    }

    #[test]
    fn a_second_use_of_a_record_names_it() {
        let point = || Schema::structure("geo.Point", vec![Field::new("x", Schema::int32())]).version(1);
        let fields = vec![
            Field::new("a", point().optional()),
            Field::new("b", point()),
            Field::new("c", Schema::structure("p.T.In", vec![Field::new("d", point())])),
            Field::new("e", Schema::structure("p.T.In", vec![])),
        ];
        let written = text(&Schema::structure("p.T.Out", fields), &config(false)).expect("valid names");
        assert_eq!(
            written,
            concat!(
                r#"{"type":"record","name":"Out","namespace":"p.T","fields":["#,
                r#"{"name":"a","type":["null",{"type":"record","name":"Point","namespace":"geo","fields":["#,
                r#"{"name":"x","type":"int"}],"connect.version":1,"connect.name":"geo.Point"}],"default":null},"#,
                r#"{"name":"b","type":"geo.Point"},"#,
                r#"{"name":"c","type":{"type":"record","name":"In","fields":[{"name":"d","type":"geo.Point"}],"#,
                r#""connect.name":"p.T.In"}},"#,
                r#"{"name":"e","type":"In"}],"connect.name":"p.T.Out"}"#,
            )
        );
        apache_avro::Schema::parse_str(&written).expect("a schema");
    }

    #[test]
    fn names_that_avro_does_not_take() {
        for name in ["my-prefix.public.t", "p.1st.t", "p..t", ""] {
            let schema = Schema::structure(name, vec![]);
            assert_eq!(text(&schema, &config(false)).expect_err("no name").kind(), ErrorKind::Data, "{name}");
        }
        let schema = Schema::structure("my-prefix.T", vec![Field::new("a b", Schema::int64())]);
        let scrubbed = text(&schema, &config(true)).expect("scrubbed");
        assert!(scrubbed.contains(r#""name":"T","namespace":"my_prefix""#), "{scrubbed}");
        assert!(scrubbed.contains(r#"{"name":"a_b","type":"long"}"#), "{scrubbed}");
    }
}
