//! What holds of any record: its schema is JSON, and its bytes are read by that schema to their end.

use super::form::{self, Leaf, Scratch};
use super::plan::{Path, Step};
use super::{refused, schema};
use crate::config::avro::AvroConfig;
use crate::encode::header;
use crate::model::record::{Datum, HeaderValue, Record};
use crate::model::schema::{Kind, Schema};
use crate::model::value::Value;
use shared::avro::wire::take_long;
use shared::error::{Error, Kind as ErrorKind, Result};

/// `0` is 850 bytes long in a decimal of scale 2046.
const MOST_BYTES: usize = 1024;

/// Encodes a record as [`crate::encode::Encoder`] does, but asks no registry for an id.
///
/// # Errors
/// `Data`, for what cannot be written.
pub fn record(record: &Record<'_>, config: &AvroConfig) -> Result<()> {
    for datum in [record.key, record.value].into_iter().flatten().filter(|datum| datum.value != Value::Null) {
        written(record.topic, datum, config)?;
    }
    for given in record.headers {
        if let HeaderValue::Datum(datum) = given.value {
            let printed = header::print(&mut Vec::new(), datum.schema, &datum.value);
            printed.map_err(|fault| Error::new(ErrorKind::Data, fault.text()))?;
        }
    }
    Ok(())
}

fn written(topic: &str, datum: Datum<'_>, config: &AvroConfig) -> Result<()> {
    let text = schema::text(datum.schema, config)?;
    if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(&text) {
        panic!("{error}: {text}");
    }
    let (mut out, mut path) = (Vec::new(), Path::new());
    let step = Step::new(datum.schema, config.keep_nulls);
    if let Err(fault) = step.put(&mut out, &datum.value, &mut Scratch::default(), &mut path) {
        return Err(refused(topic, datum, &path, fault));
    }
    let mut rest = out.as_slice();
    assert_eq!(read(datum.schema, &mut rest).map(|()| rest.len()), Some(0), "{text}: {out:?}");
    assert!(out.len() <= MOST_BYTES * (64 + size(&datum.value)), "{} bytes", out.len());
    Ok(())
}

/// Passes over one value; `None` where its bytes make no sense.
fn read(schema: &Schema, rest: &mut &[u8]) -> Option<()> {
    if schema.optional {
        let null = if form::default(schema).is_some() { 1 } else { 0 };
        match take_long(rest)? {
            branch if branch == null => return Some(()),
            0 | 1 => {}
            _ => return None,
        }
    }
    match &schema.kind {
        _ if Leaf::of(schema) == Some(Leaf::VariableDecimal) => {
            take_long(rest).filter(|scale| *scale >= 0)?;
            content(rest).map(|_| ())
        }
        Kind::Boolean => matches!(take(rest, 1)?, [0 | 1]).then_some(()),
        Kind::Int8 | Kind::Int16 | Kind::Int32 => i32::try_from(take_long(rest)?).ok().map(|_| ()),
        Kind::Int64 => take_long(rest).map(|_| ()),
        Kind::Float32 => take(rest, 4).map(|_| ()),
        Kind::Float64 => take(rest, 8).map(|_| ()),
        Kind::String => std::str::from_utf8(content(rest)?).ok().map(|_| ()),
        Kind::Bytes => content(rest).map(|_| ()),
        Kind::Struct(fields) => fields.iter().try_for_each(|field| read(&field.schema, rest)),
        Kind::Array(items) => blocks(rest, |rest| read(items, rest)),
        Kind::Map(key, value) => blocks(rest, |rest| {
            read(key, rest)?;
            read(value, rest)
        }),
    }
}

/// Items in blocks, each behind its count, up to an empty one.
fn blocks(rest: &mut &[u8], mut item: impl FnMut(&mut &[u8]) -> Option<()>) -> Option<()> {
    loop {
        match take_long(rest)? {
            0 => return Some(()),
            count => (0..count).try_for_each(|_| item(rest))?,
        }
    }
}

fn content<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(take_long(rest)?).ok()?;
    take(rest, length)
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (head, tail) = rest.split_at_checked(length)?;
    *rest = tail;
    Some(head)
}

/// Bytes that a value's parts hold.
fn size(value: &Value<'_>) -> usize {
    match value {
        Value::Text(text) | Value::Decimal(text) => text.len(),
        Value::Bytes(bytes) | Value::Hex(bytes) | Value::Bits(bytes) => bytes.len(),
        Value::List(values) | Value::Struct(values) => values.iter().map(|value| 1 + size(value)).sum(),
        Value::Map(entries) => entries.iter().map(|(key, value)| 2 + size(key) + size(value)).sum(),
        _ => 8,
    }
}
