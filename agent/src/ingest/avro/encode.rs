//! JSON → Avro, checked: what does not fit is named by its path, and nothing is guessed.
//!
//! Taken are both what people write and Avro's own JSON encoding: a union's value plainly or as
//! `{"branch": value}`, times as numbers in the schema's unit or as ISO texts (without a zone they are
//! in UTC), decimals as numbers or texts, bytes as texts of code points up to 255.

use super::text;
use apache_avro::Schema;
use apache_avro::schema::{DecimalSchema, InnerDecimalSchema, RecordSchema, UuidSchema};
use serde_json::{Map, Value as Json};
use shared::avro::wire::put_long;
use std::collections::HashMap;
use std::fmt;

/// Branches and fields looked at for one record; a union of unions of records can ask for any number.
const MAX_STEPS: usize = 1_000_000;
/// Deeper than any JSON that is read; a default that needs itself would go on for ever.
const MAX_DEPTH: usize = 256;

/// What does not fit, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// As in `items[3].price`; empty for the whole.
    pub path: String,
    pub what: String,
}

impl Misfit {
    fn new(what: impl Into<String>) -> Misfit {
        Misfit { path: String::new(), what: what.into() }
    }

    fn under(mut self, part: &str) -> Misfit {
        let dot = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{part}{dot}{}", self.path);
        self
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => f.write_str(&self.what),
            path => write!(f, "{path}: {}", self.what),
        }
    }
}

type Fits = Result<(), Misfit>;

/// Writes JSON as one schema has it.
#[derive(Debug)]
pub struct Encoder {
    root: Schema,
    names: HashMap<String, Schema>,
}

impl Encoder {
    /// # Errors
    /// What is wrong with the schema's text.
    pub fn new(text: &str) -> Result<Encoder, String> {
        let root = Schema::parse_str(text).map_err(|error| error.to_string())?;
        let mut names = HashMap::new();
        collect(&root, &mut names);
        Ok(Encoder { root, names })
    }

    /// The fields of the root record that are written as texts whatever they look like, and whether each
    /// may be null: for what comes without types.
    pub fn text_fields(&self) -> HashMap<String, bool> {
        let Schema::Record(record) = &self.root else { return HashMap::new() };
        let text = |schema: &Schema| {
            matches!(
                schema,
                Schema::String
                    | Schema::Enum(_)
                    | Schema::Bytes
                    | Schema::Fixed(_)
                    | Schema::Decimal(_)
                    | Schema::Uuid(_)
            )
        };
        let field = |schema: &Schema| match schema {
            Schema::Union(union) => {
                let is_null = |branch: &&Schema| **branch == Schema::Null;
                let texts = union.variants().iter().filter(|branch| !is_null(branch)).all(text);
                texts.then_some(union.variants().iter().any(|branch| is_null(&branch)))
            }
            schema => text(schema).then_some(false),
        };
        let fields = record.fields.iter();
        fields.filter_map(|one| Some((one.name.clone(), field(&one.schema)?))).collect()
    }

    /// Appends a value; after an error what was appended means nothing.
    pub fn encode(&self, value: &Json, out: &mut Vec<u8>) -> Fits {
        Walk { names: &self.names, out, steps: MAX_STEPS, depth: 0 }.value(&self.root, value)
    }
}

/// Named types, for those that are used by name.
fn collect(schema: &Schema, names: &mut HashMap<String, Schema>) {
    if let (Some(name), false) = (schema.name(), matches!(schema, Schema::Ref { .. }))
        && names.insert(name.fullname(None).to_string(), schema.clone()).is_some()
    {
        return;
    }
    match schema {
        Schema::Array(array) => collect(&array.items, names),
        Schema::Map(map) => collect(&map.types, names),
        Schema::Union(union) => union.variants().iter().for_each(|branch| collect(branch, names)),
        Schema::Record(record) => record.fields.iter().for_each(|field| collect(&field.schema, names)),
        _ => {}
    }
}

struct Walk<'a> {
    names: &'a HashMap<String, Schema>,
    out: &'a mut Vec<u8>,
    steps: usize,
    depth: usize,
}

impl<'a> Walk<'a> {
    fn value(&mut self, schema: &'a Schema, value: &Json) -> Fits {
        self.steps = self
            .steps
            .checked_sub(1)
            .ok_or_else(|| Misfit::new("the value takes too many steps to fit into its schema"))?;
        if self.depth >= MAX_DEPTH {
            return Err(Misfit::new("the value is nested too deeply"));
        }
        self.depth += 1;
        let fits = self.simple(schema, value);
        self.depth -= 1;
        fits
    }

    fn simple(&mut self, schema: &'a Schema, value: &Json) -> Fits {
        match schema {
            Schema::Null if value.is_null() => Ok(()),
            Schema::Boolean => {
                let value = value.as_bool().ok_or_else(|| expected("a boolean", value))?;
                self.out.push(u8::from(value));
                Ok(())
            }
            Schema::Int => self.int(value, None),
            Schema::Long => self.long(integer(value)?),
            Schema::Float => {
                let value = real(value)? as f32;
                self.out.extend_from_slice(&value.to_le_bytes());
                Ok(())
            }
            Schema::Double => {
                self.out.extend_from_slice(&real(value)?.to_le_bytes());
                Ok(())
            }
            Schema::String | Schema::Uuid(UuidSchema::String) => {
                let text = value.as_str().ok_or_else(|| expected("a text", value))?;
                self.bytes(text.as_bytes());
                Ok(())
            }
            Schema::Bytes | Schema::BigDecimal | Schema::Uuid(UuidSchema::Bytes) => {
                self.bytes(&octets(value)?);
                Ok(())
            }
            Schema::Fixed(fixed) | Schema::Duration(fixed) | Schema::Uuid(UuidSchema::Fixed(fixed)) => {
                self.fixed(&octets(value)?, fixed.size)
            }
            Schema::Enum(symbols) => {
                let text = value.as_str().ok_or_else(|| expected("a symbol", value))?;
                let at = symbols.symbols.iter().position(|symbol| symbol == text);
                let at = at.ok_or_else(|| Misfit::new("the text is none of the schema's symbols"))?;
                self.long(i64::try_from(at).unwrap_or(0))
            }
            Schema::Ref { name } => {
                let found = self.names.get(&name.fullname(None).to_string());
                self.value(found.ok_or_else(|| Misfit::new("the schema names an unknown type"))?, value)
            }
            _ => self.larger(schema, value),
        }
    }

    fn larger(&mut self, schema: &'a Schema, value: &Json) -> Fits {
        match schema {
            Schema::Array(array) => self.array(&array.items, value),
            Schema::Map(map) => self.map(&map.types, value),
            Schema::Record(record) => self.record(record, value),
            Schema::Union(union) => self.union(union.variants(), value),
            Schema::Decimal(decimal) => self.decimal(decimal, value),
            Schema::Date => self.int(value, Some(text::days)),
            Schema::TimeMillis => self.int(value, Some(|text| Some(text::time_nanos(text)? / 1_000_000))),
            Schema::TimeMicros => self.time(value, |text| Some(text::time_nanos(text)? / 1_000)),
            Schema::TimestampMillis | Schema::LocalTimestampMillis => {
                self.time(value, |text| Some(text::moment_nanos(text)?.div_euclid(1_000_000)))
            }
            Schema::TimestampMicros | Schema::LocalTimestampMicros => {
                self.time(value, |text| Some(text::moment_nanos(text)?.div_euclid(1_000)))
            }
            Schema::TimestampNanos | Schema::LocalTimestampNanos => self.time(value, text::moment_nanos),
            _ => Err(expected("null", value)),
        }
    }

    fn long(&mut self, value: i64) -> Fits {
        put_long(self.out, value);
        Ok(())
    }

    fn int(&mut self, value: &Json, parse: Option<fn(&str) -> Option<i64>>) -> Fits {
        let number = match (value, parse) {
            (Json::String(text), Some(parse)) => {
                parse(text).ok_or_else(|| expected("a date or time", value))?
            }
            _ => integer(value)?,
        };
        match i32::try_from(number) {
            Ok(_) => self.long(number),
            Err(_) => Err(Misfit::new("the number is too large for an int")),
        }
    }

    fn time(&mut self, value: &Json, parse: impl Fn(&str) -> Option<i64>) -> Fits {
        match value {
            Json::String(text) => self.long(parse(text).ok_or_else(|| expected("a time", value))?),
            _ => self.long(integer(value)?),
        }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        put_long(self.out, i64::try_from(bytes.len()).unwrap_or(i64::MAX));
        self.out.extend_from_slice(bytes);
    }

    fn fixed(&mut self, bytes: &[u8], size: usize) -> Fits {
        if bytes.len() != size {
            return Err(Misfit::new(format!("expected {size} bytes, found {}", bytes.len())));
        }
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    fn array(&mut self, items: &'a Schema, value: &Json) -> Fits {
        let list = value.as_array().ok_or_else(|| expected("a list", value))?;
        if !list.is_empty() {
            self.long(i64::try_from(list.len()).unwrap_or(i64::MAX))?;
        }
        for (at, item) in list.iter().enumerate() {
            self.value(items, item).map_err(|misfit| misfit.under(&format!("[{at}]")))?;
        }
        self.long(0)
    }

    fn map(&mut self, values: &'a Schema, value: &Json) -> Fits {
        let object = value.as_object().ok_or_else(|| expected("an object", value))?;
        if !object.is_empty() {
            self.long(i64::try_from(object.len()).unwrap_or(i64::MAX))?;
        }
        for (key, value) in object {
            self.bytes(key.as_bytes());
            self.value(values, value).map_err(|misfit| misfit.under(key))?;
        }
        self.long(0)
    }

    fn record(&mut self, record: &'a RecordSchema, value: &Json) -> Fits {
        let object = value.as_object().ok_or_else(|| expected("an object", value))?;
        for field in &record.fields {
            let given =
                object.get(&field.name).or_else(|| field.aliases.iter().find_map(|alias| object.get(alias)));
            let outcome = match (given, &field.default) {
                (Some(value), _) => self.value(&field.schema, value),
                (None, Some(default)) => self.value(&field.schema, default),
                (None, None) => Err(Misfit::new("is missing, and has no default")),
            };
            outcome.map_err(|misfit| misfit.under(&field.name))?;
        }
        unknown(record, object)
    }

    fn union(&mut self, branches: &'a [Schema], value: &Json) -> Fits {
        if let Some((at, inner)) = self.tagged(branches, value) {
            return self.branch(branches, at, inner);
        }
        let start = self.out.len();
        let mut misfits = Vec::new();
        for (at, branch) in branches.iter().enumerate() {
            if value.is_null() != (*branch == Schema::Null) && !matches!(branch, Schema::Ref { .. }) {
                continue;
            }
            match self.branch(branches, at, value) {
                Ok(()) => return Ok(()),
                Err(misfit) => misfits.push(misfit),
            }
            self.out.truncate(start);
        }
        match (misfits.pop(), misfits.is_empty()) {
            (Some(misfit), true) => Err(misfit),
            (Some(_), false) => Err(Misfit::new(format!("no branch of the union takes {}", kind(value)))),
            (None, _) => Err(Misfit::new(format!("must not be {}", kind(value)))),
        }
    }

    fn branch(&mut self, branches: &'a [Schema], at: usize, value: &Json) -> Fits {
        let Some(branch) = branches.get(at) else { return Err(Misfit::new("no such branch")) };
        self.long(i64::try_from(at).unwrap_or(0))?;
        self.value(branch, value)
    }

    /// Avro's own form: an object with the branch's name as its one key. A record or map that has such a
    /// key itself is meant plainly.
    fn tagged<'v>(&self, branches: &[Schema], value: &'v Json) -> Option<(usize, &'v Json)> {
        let object = value.as_object().filter(|object| object.len() == 1)?;
        let (tag, inner) = object.iter().next()?;
        let is_plain = |branch: &Schema| match branch {
            Schema::Record(record) => record.fields.iter().any(|field| field.name == *tag),
            Schema::Map(_) => true,
            _ => false,
        };
        if branches.iter().any(is_plain) {
            return None;
        }
        branches
            .iter()
            .position(|branch| branch_name(branch).is_some_and(|name| name == *tag))
            .map(|at| (at, inner))
    }

    fn decimal(&mut self, decimal: &DecimalSchema, value: &Json) -> Fits {
        let text = match value {
            Json::String(text) => text.clone(),
            Json::Number(number) => number.to_string(),
            _ => return Err(expected("a decimal", value)),
        };
        let unscaled = text::unscaled(&text, decimal.scale).map_err(Misfit::new)?;
        if unscaled.magnitude().to_string().len() > decimal.precision {
            return Err(Misfit::new(format!("the decimal has more than {} digits", decimal.precision)));
        }
        let bytes = unscaled.to_signed_bytes_be();
        match &decimal.inner {
            InnerDecimalSchema::Bytes => {
                self.bytes(&bytes);
                Ok(())
            }
            InnerDecimalSchema::Fixed(fixed) => {
                let fill = if unscaled.sign() == num_bigint::Sign::Minus { 0xff } else { 0 };
                let missing = fixed.size.checked_sub(bytes.len());
                let missing = missing.ok_or_else(|| Misfit::new("the number is too large"))?;
                self.out.extend(std::iter::repeat_n(fill, missing));
                self.out.extend_from_slice(&bytes);
                Ok(())
            }
        }
    }
}

/// A misspelt field must not vanish.
fn unknown(record: &RecordSchema, object: &Map<String, Json>) -> Fits {
    if object.len() <= record.fields.len() && object.keys().all(|key| record.lookup.contains_key(key)) {
        return Ok(());
    }
    match object.keys().find(|key| !record.lookup.contains_key(key.as_str())) {
        Some(key) => Err(Misfit::new("is not in the schema").under(key)),
        None => Ok(()),
    }
}

fn branch_name(schema: &Schema) -> Option<String> {
    if let Some(name) = schema.name() {
        return Some(name.fullname(None).to_string());
    }
    Some(
        match schema {
            Schema::Null => "null",
            Schema::Boolean => "boolean",
            Schema::Int | Schema::Date | Schema::TimeMillis => "int",
            Schema::Float => "float",
            Schema::Double => "double",
            Schema::String | Schema::Uuid(UuidSchema::String) => "string",
            Schema::Bytes | Schema::Decimal(_) | Schema::BigDecimal | Schema::Uuid(_) => "bytes",
            Schema::Array(_) => "array",
            Schema::Map(_) => "map",
            Schema::Union(_) => return None,
            _ => "long",
        }
        .to_owned(),
    )
}

fn integer(value: &Json) -> Result<i64, Misfit> {
    if let Some(number) = value.as_i64() {
        return Ok(number);
    }
    match value.as_f64() {
        // 3.0 is an integer; beyond 2^53 a double does not say which.
        Some(real) if real.fract() == 0.0 && real.abs() <= 9_007_199_254_740_992.0 => Ok(real as i64),
        _ => Err(expected("an integer", value)),
    }
}

fn real(value: &Json) -> Result<f64, Misfit> {
    match value.as_str() {
        Some("NaN") => Ok(f64::NAN),
        Some("Infinity") => Ok(f64::INFINITY),
        Some("-Infinity") => Ok(f64::NEG_INFINITY),
        _ => value.as_f64().ok_or_else(|| expected("a number", value)),
    }
}

fn octets(value: &Json) -> Result<Vec<u8>, Misfit> {
    let text = value.as_str().ok_or_else(|| expected("bytes, as a text", value))?;
    text.chars()
        .map(|c| u8::try_from(u32::from(c)))
        .collect::<Result<_, _>>()
        .map_err(|_| Misfit::new("bytes are written as code points up to U+00FF"))
}

fn expected(what: &str, found: &Json) -> Misfit {
    Misfit::new(format!("expected {what}, found {}", kind(found)))
}

/// What a value is, not what it says: it goes into logs.
fn kind(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "a boolean",
        Json::Number(number) if number.is_f64() => "a number with a fraction",
        Json::Number(_) => "an integer",
        Json::String(_) => "a text",
        Json::Array(_) => "a list",
        Json::Object(_) => "an object",
    }
}
