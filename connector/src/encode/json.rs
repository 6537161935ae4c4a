//! JSON as Connect's JsonConverter writes it, with or without the schema in each message.

use super::avro::decimal;
use super::avro::form::{self, Leaf};
use crate::config::encode::{Decimals, SideConfig};
use crate::connect::{self, Fault, java};
use crate::model::record::Datum;
use crate::model::schema::{Field, Form, Kind, Schema};
use crate::model::value::Value;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use shared::error::{Error, Kind as ErrorKind, Result};
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// Schemas' texts kept.
const KEPT: usize = 4_096;

#[derive(Debug)]
pub struct Json {
    side: &'static str,
    schemas: bool,
    decimals: Decimals,
    keep_nulls: bool,
    /// By the schema's id.
    texts: HashMap<u64, String>,
    buffer: String,
}

impl Json {
    pub fn new(side: &'static str, config: &SideConfig) -> Json {
        let SideConfig { schemas, decimals, keep_nulls, .. } = *config;
        Json { side, schemas, decimals, keep_nulls, texts: HashMap::new(), buffer: String::new() }
    }

    /// The message, until the next call.
    ///
    /// # Errors
    /// `Data` for a value that cannot be written.
    pub fn encode(&mut self, topic: &str, datum: Datum<'_>) -> Result<&[u8]> {
        self.buffer.clear();
        let refused = |fault: Fault| {
            Error::new(ErrorKind::Data, fault.text())
                .doing(format!("write a {} of topic {topic} as JSON", self.side))
        };
        let writer = Writer { decimals: self.decimals, keep_nulls: self.keep_nulls, lenient: false };
        if !self.schemas {
            writer.value(&mut self.buffer, datum.schema, &datum.value).map_err(refused)?;
            return Ok(self.buffer.as_bytes());
        }
        if self.texts.len() >= KEPT {
            self.texts.clear();
        }
        let schema = match self.texts.entry(datum.schema.id) {
            Entry::Occupied(kept) => kept.into_mut(),
            Entry::Vacant(place) => {
                let mut text = String::new();
                writer.schema(&mut text, datum.schema, None).map_err(refused)?;
                place.insert(text)
            }
        };
        self.buffer.push_str("{\"schema\":");
        self.buffer.push_str(schema);
        self.buffer.push_str(",\"payload\":");
        writer.value(&mut self.buffer, datum.schema, &datum.value).map_err(refused)?;
        self.buffer.push('}');
        Ok(self.buffer.as_bytes())
    }
}

#[derive(Clone, Copy)]
pub struct Writer {
    decimals: Decimals,
    keep_nulls: bool,
    /// What does not fit its schema is written as it is, and decimals as texts: for people to read.
    lenient: bool,
}

type Written = std::result::Result<(), Fault>;

fn is_cell(schema: &Schema) -> bool {
    Leaf::of(schema).is_some() || matches!(schema.kind, Kind::Array(_))
}

impl Writer {
    /// Writes whatever the value is, for people to read.
    pub fn lenient(out: &mut String, schema: &Schema, value: &Value<'_>) {
        let writer = Writer { decimals: Decimals::Base64, keep_nulls: true, lenient: true };
        let start = out.len();
        if writer.value(out, schema, value).is_err() {
            out.truncate(start);
            plain(out, value);
        }
    }

    fn value(self, out: &mut String, schema: &Schema, value: &Value<'_>) -> Written {
        let start = out.len();
        match self.fitting(out, schema, value) {
            Err(_) if self.lenient => {
                out.truncate(start);
                plain(out, value);
                Ok(())
            }
            other => other,
        }
    }

    fn fitting(self, out: &mut String, schema: &Schema, value: &Value<'_>) -> Written {
        let start = out.len();
        let written = match (value, &schema.default, &schema.fallback, &schema.unavailable) {
            (Value::Null, Some(default), ..) if !self.keep_nulls || !schema.optional => {
                return self.present(out, schema, &default.value());
            }
            (Value::Null, ..) if schema.optional => {
                out.push_str("null");
                Ok(())
            }
            (Value::Null, _, Some(fallback), _) => return self.present(out, schema, &fallback.value()),
            (Value::Null, ..) => return Err(Fault::NoNull),
            (Value::Unavailable, _, _, Some(placeholder)) => {
                return self.present(out, schema, &placeholder.value());
            }
            (Value::Unavailable, ..) if schema.optional => {
                out.push_str("null");
                Ok(())
            }
            (Value::Unavailable, ..) => return Err(Fault::Unavailable),
            (value, ..) => self.present(out, schema, value),
        };
        match written {
            // As for Avro: what does not fit, NaN in a numeric above all, is NULL; but never a whole row.
            Err(Fault::Unfit) if schema.optional && is_cell(schema) && !self.lenient => {
                out.truncate(start);
                out.push_str("null");
                Ok(())
            }
            other => other,
        }
    }

    fn present(self, out: &mut String, schema: &Schema, value: &Value<'_>) -> Written {
        if let Some(leaf) = Leaf::of(schema) {
            return self.leaf(out, leaf, value);
        }
        match (&schema.kind, value) {
            (Kind::Struct(fields), Value::Struct(values)) if fields.len() == values.len() => {
                list(out, ['{', '}'], fields.iter().zip(*values), |out, (field, value)| {
                    text(out, &field.name);
                    out.push(':');
                    self.value(out, &field.schema, value)
                })
            }
            (Kind::Array(items), Value::List(values)) => {
                list(out, ['[', ']'], values.iter(), |out, value| {
                    self.value(out, items, value).map_err(|fault| fault.in_list(value))
                })
            }
            (Kind::Map(keys, content), Value::Map(entries)) => {
                // Keys that are texts make an object; others pairs.
                let object = keys.kind == Kind::String && !keys.optional;
                let ends = if object { ['{', '}'] } else { ['[', ']'] };
                list(out, ends, entries.iter(), |out, (key, value)| {
                    out.push_str(if object { "" } else { "[" });
                    self.value(out, keys, key)?;
                    out.push(if object { ':' } else { ',' });
                    self.value(out, content, value)?;
                    out.push_str(if object { "" } else { "]" });
                    Ok(())
                })
            }
            _ => Err(Fault::WrongType),
        }
    }

    fn leaf(self, out: &mut String, leaf: Leaf, value: &Value<'_>) -> Written {
        let content = || form::content(leaf, value).ok_or(Fault::WrongType);
        match (leaf, value) {
            (Leaf::Bool, Value::Bool(flag)) => out.push_str(if *flag { "true" } else { "false" }),
            (Leaf::Float, Value::Float32(number)) => float(out, &java::float(*number)),
            (Leaf::Double, value) => float(out, &java::double(connect::double(value)?)),
            (Leaf::Text, Value::Text(content)) => text(out, content),
            (Leaf::Text | Leaf::Written(_), _) => {
                text(out, std::str::from_utf8(&content()?).map_err(|_| Fault::WrongType)?);
            }
            (Leaf::Decimal { .. } | Leaf::VariableDecimal, Value::Decimal(digits)) if self.lenient => {
                text(out, digits);
            }
            (Leaf::Decimal { .. }, Value::Decimal(digits)) if self.decimals == Decimals::Numeric => {
                out.push_str(digits);
            }
            (Leaf::Decimal { scale }, Value::Decimal(digits)) => {
                base64(out, &decimal::scaled(digits, scale)?);
            }
            (Leaf::VariableDecimal, Value::Decimal(digits)) => {
                let (scale, unscaled) = decimal::variable(digits)?;
                out.push_str("{\"scale\":");
                out.push_str(&scale.to_string());
                out.push_str(",\"value\":");
                base64(out, &unscaled);
                out.push('}');
            }
            (Leaf::Int { .. } | Leaf::Long, Value::Int(number)) => out.push_str(&number.to_string()),
            (Leaf::Whole { form, .. }, value) => out.push_str(&connect::whole(form, value)?.to_string()),
            (Leaf::Bytes | Leaf::Bits | Leaf::Decimal { .. }, _) => base64(out, &content()?),
            _ => return Err(Fault::WrongType),
        }
        Ok(())
    }

    /// A schema, in the order in which the converter writes its parts; `field` is its name in a struct.
    fn schema(self, out: &mut String, schema: &Schema, field: Option<&str>) -> Written {
        out.push_str("{\"type\":");
        match &schema.kind {
            Kind::Boolean => out.push_str("\"boolean\""),
            Kind::Int8 => out.push_str("\"int8\""),
            Kind::Int16 => out.push_str("\"int16\""),
            Kind::Int32 => out.push_str("\"int32\""),
            Kind::Int64 => out.push_str("\"int64\""),
            Kind::Float32 => out.push_str("\"float\""),
            Kind::Float64 => out.push_str("\"double\""),
            Kind::String => out.push_str("\"string\""),
            Kind::Bytes => out.push_str("\"bytes\""),
            Kind::Array(items) => {
                out.push_str("\"array\",\"items\":");
                self.schema(out, items, None)?;
            }
            Kind::Map(keys, values) => {
                out.push_str("\"map\",\"keys\":");
                self.schema(out, keys, None)?;
                out.push_str(",\"values\":");
                self.schema(out, values, None)?;
            }
            Kind::Struct(fields) => {
                out.push_str("\"struct\",\"fields\":");
                let one =
                    |out: &mut String, field: &Field| self.schema(out, &field.schema, Some(&field.name));
                match schema.form {
                    Form::VariableDecimal => out.push_str(VARIABLE_FIELDS),
                    _ => list(out, ['[', ']'], fields.iter(), one)?,
                }
            }
        }
        out.push_str(if schema.optional { ",\"optional\":true" } else { ",\"optional\":false" });
        if let Some(name) = &schema.name {
            out.push_str(",\"name\":");
            text(out, name);
        }
        if let Some(version) = schema.version {
            out.push_str(&format!(",\"version\":{version}"));
        }
        if let Some(doc) = &schema.doc {
            out.push_str(",\"doc\":");
            text(out, doc);
        }
        if !schema.parameters.is_empty() {
            out.push_str(",\"parameters\":");
            list(out, ['{', '}'], schema.parameters.iter(), |out, (name, value)| {
                text(out, name);
                out.push(':');
                text(out, value);
                Ok(())
            })?;
        }
        if let Some(default) = &schema.default {
            out.push_str(",\"default\":");
            self.present(out, schema, &default.value())?;
        }
        if let Some(name) = field {
            out.push_str(",\"field\":");
            text(out, name);
        }
        out.push('}');
        Ok(())
    }
}

/// Debezium's number of variable scale is a struct of these.
const VARIABLE_FIELDS: &str = r#"[{"type":"int32","optional":false,"field":"scale"},{"type":"bytes","optional":false,"field":"value"}]"#;

/// A value without its schema.
fn plain(out: &mut String, value: &Value<'_>) {
    let done = match value {
        Value::Null | Value::Unavailable => return out.push_str("null"),
        Value::Bool(flag) => return out.push_str(if *flag { "true" } else { "false" }),
        Value::Int(number)
        | Value::Time(number)
        | Value::Timestamp(number)
        | Value::TimestampTz(number)
        | Value::TimeTz(number) => return out.push_str(&number.to_string()),
        Value::Date(days) => return out.push_str(&days.to_string()),
        Value::Float32(number) => return float(out, &java::float(*number)),
        Value::Float64(number) => return float(out, &java::double(*number)),
        Value::Decimal(content) | Value::Text(content) => return text(out, content),
        Value::Bytes(bytes) => return base64(out, bytes),
        Value::Hex(digits) | Value::Bits(digits) => return text(out, &String::from_utf8_lossy(digits)),
        Value::Interval { months, days, micros } => {
            return out.push_str(&format!("[{months},{days},{micros}]"));
        }
        Value::List(values) | Value::Struct(values) => list(out, ['[', ']'], values.iter(), |out, value| {
            plain(out, value);
            Ok(())
        }),
        Value::Map(entries) => list(out, ['[', ']'], entries.iter(), |out, (key, value)| {
            plain(out, &Value::Struct(&[*key, *value]));
            Ok(())
        }),
    };
    debug_assert!(done.is_ok(), "nothing above fails");
}

fn list<T>(
    out: &mut String,
    [open, close]: [char; 2],
    items: impl Iterator<Item = T>,
    mut one: impl FnMut(&mut String, T) -> Written,
) -> Written {
    out.push(open);
    for (at, item) in items.enumerate() {
        if at > 0 {
            out.push(',');
        }
        one(out, item)?;
    }
    out.push(close);
    Ok(())
}

/// JSON has no NaN and no infinity: Jackson quotes them.
fn float(out: &mut String, printed: &str) {
    let plain = printed.ends_with(|c: char| c.is_ascii_digit());
    let quote = if plain { "" } else { "\"" };
    out.extend([quote, printed, quote]);
}

fn base64(out: &mut String, bytes: &[u8]) {
    out.push('"');
    STANDARD.encode_string(bytes, out);
    out.push('"');
}

/// As Jackson writes texts to bytes: what is beyond the basic plane as two escapes.
pub fn text(out: &mut String, content: &str) {
    let quoted = java::json_text(content);
    if content.chars().all(|c| u32::from(c) < 0x1_0000) {
        out.push_str(&quoted);
        return;
    }
    for c in quoted.chars() {
        if u32::from(c) < 0x1_0000 {
            out.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            out.push_str(&format!("\\u{unit:04X}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::value::Constant;
    use std::sync::Arc;

    #[test]
    fn schema_and_payload_as_the_converter_writes_them() {
        let decimal = Schema::new(Kind::Bytes)
            .form(Form::Decimal { scale: 2 })
            .semantic("org.apache.kafka.connect.data.Decimal")
            .parameter("scale", "2");
        let fields = vec![
            Field::new("id", Schema::int32().default(Constant::Plain(Value::Int(7)))),
            Field::new("d", decimal.optional()),
            Field::new("f", Schema::new(Kind::Float64)),
            Field::new("t", Schema::string()),
            Field::new("l", Schema::new(Kind::Array(Arc::new(Schema::int64().optional())))),
        ];
        let schema = Arc::new(Schema::structure("n", fields));
        let list = [Value::Int(1), Value::Null];
        let row = [
            Value::Null,
            Value::Decimal("1.50"),
            Value::Float64(f64::NAN),
            Value::Text("a\"🎉"),
            Value::List(&list),
        ];
        let datum = Datum { schema: &schema, value: Value::Struct(&row) };
        let config = |schemas| SideConfig { schemas, ..SideConfig::default() };
        let payload = r#"{"id":7,"d":"AJY=","f":"NaN","t":"a\"\uD83C\uDF89","l":[1,null]}"#;
        let written = |schemas| {
            let mut json = Json::new("value", &config(schemas));
            String::from_utf8_lossy(json.encode("t", datum).expect("writes")).into_owned()
        };
        assert_eq!(written(false), payload);
        let with = written(true);
        let want = concat!(
            r#"{"schema":{"type":"struct","fields":[{"type":"int32","optional":false,"default":7,"field":"id"},"#,
            r#"{"type":"bytes","optional":true,"name":"org.apache.kafka.connect.data.Decimal","version":1,"#,
            r#""parameters":{"scale":"2"},"field":"d"},{"type":"double","optional":false,"field":"f"},"#,
            r#"{"type":"string","optional":false,"field":"t"},"#,
            r#"{"type":"array","items":{"type":"int64","optional":true},"optional":false,"field":"l"}],"#,
            r#""optional":false,"name":"n"},"payload":"#
        );
        assert_eq!(with, format!("{want}{payload}}}"));
    }

    #[test]
    fn what_does_not_fit_is_null_where_null_may_be_but_never_a_row() {
        let decimal = || Schema::new(Kind::Bytes).form(Form::Decimal { scale: 2 });
        let labels = Schema::new(Kind::Array(Arc::new(Schema::string()))).optional();
        let row = |amount: Schema| {
            let fields = vec![Field::new("n", amount), Field::new("l", labels.clone())];
            Schema::structure("row", fields).optional()
        };
        let with_null = [Value::Text("a"), Value::Null];
        let values = [Value::Decimal("NaN"), Value::List(&with_null)];
        let mut json = Json::new("value", &SideConfig { schemas: false, ..SideConfig::default() });
        for (amount, want) in [(decimal().optional(), Some(r#"{"n":null,"l":null}"#)), (decimal(), None)] {
            let schema = Arc::new(row(amount));
            let written = json.encode("t", Datum { schema: &schema, value: Value::Struct(&values) });
            assert_eq!(written.ok().map(String::from_utf8_lossy).as_deref(), want);
        }
    }
}
