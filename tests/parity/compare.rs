//! Two topics side by side: everything equal, but for the fields that no two runs share.
//!
//! Volatile, by rule: the connector's clock (`ts_ms`, `ts_us`, `ts_ns` of the envelope), the header
//! `__debezium.context.runId`, and in snapshot records what says when that snapshot was taken
//! (`source.ts_*`, `lsn`, `txId`, `sequence`). A streamed record is also compared byte by byte up to
//! the clock at its end.

use apache_avro::Schema;
use apache_avro::types::Value;
use shared::avro::wire;
use std::collections::HashMap;
use support::avro::{decode, long, text};
use support::topics::Record;

/// Schemas by id, fetched once.
pub type Schemas = HashMap<u32, Schema>;

const CLOCK: [&str; 3] = ["ts_ms", "ts_us", "ts_ns"];
const SNAPSHOT: [&str; 6] = ["ts_ms", "ts_us", "ts_ns", "lsn", "txId", "sequence"];

/// What differs, one line each; empty if the topics are equal.
pub fn topic(name: &str, theirs: &[Record], ours: &[Record], schemas: &Schemas) -> Vec<String> {
    let mut found = Vec::new();
    if theirs.len() != ours.len() {
        found.push(format!("{name}: {} records, ours has {}", theirs.len(), ours.len()));
    }
    for (n, (a, b)) in theirs.iter().zip(ours).enumerate() {
        if let Err(difference) = record(a, b, schemas) {
            found.push(format!("{name} record {n}: {difference}"));
        }
    }
    found
}

fn record(theirs: &Record, ours: &Record, schemas: &Schemas) -> Result<(), String> {
    same("partition", &theirs.partition, &ours.partition)?;
    same("key", &theirs.key, &ours.key)?;
    same("headers", &without_run_id(&theirs.headers)?, &without_run_id(&ours.headers)?)?;
    match (&theirs.value, &ours.value) {
        (None, None) => Ok(()),
        (Some(theirs), Some(ours)) => value(theirs, ours, schemas),
        (theirs, ours) => Err(format!("tombstone: {} and {}", theirs.is_none(), ours.is_none())),
    }
}

fn value(theirs: &[u8], ours: &[u8], schemas: &Schemas) -> Result<(), String> {
    let (their_id, their_body) = wire::split(theirs).ok_or("their value has no schema id")?;
    let (our_id, our_body) = wire::split(ours).ok_or("our value has no schema id")?;
    same("schema id", &their_id, &our_id)?;
    let schema = schemas.get(&their_id.0).ok_or_else(|| format!("schema {their_id} is unknown"))?;
    let (mut a, mut b) = (decode(schema, their_body)?, decode(schema, our_body)?);
    let enveloped = text(&a, "op").is_some() && long(&a, "ts_ms").is_some();
    if !enveloped && their_body != our_body {
        return Err(
            difference("value", &a, &b).unwrap_or_else(|| "other bytes for the same value".to_owned())
        );
    }
    let streamed = text(&a, "op") != Some("r");
    let has_clock = CLOCK.iter().all(|name| long(&a, name).is_some());
    if enveloped && has_clock {
        check_clock(&b)?;
    }
    if streamed && has_clock && enveloped {
        let (a_clock, b_clock) = (clock_len(&a), clock_len(&b));
        same("bytes before the clock", &cut(their_body, a_clock), &cut(our_body, b_clock))?;
    }
    mask(&mut a, streamed);
    mask(&mut b, streamed);
    match difference("value", &a, &b) {
        None => Ok(()),
        Some(difference) => Err(difference),
    }
}

/// The first place where two values differ. NaN equals NaN here.
fn difference(path: &str, theirs: &Value, ours: &Value) -> Option<String> {
    match (theirs, ours) {
        (Value::Record(a), Value::Record(b)) if a.len() == b.len() => {
            a.iter().zip(b).find_map(|((name, a), (_, b))| difference(&format!("{path}.{name}"), a, b))
        }
        (Value::Union(n, a), Value::Union(m, b)) if n == m => difference(path, a, b),
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).enumerate().find_map(|(at, (a, b))| difference(&format!("{path}[{at}]"), a, b))
        }
        // Entries are decoded into a map without an order; where records are compared byte by byte, it counts.
        (Value::Map(a), Value::Map(b)) if a.len() == b.len() && a.keys().all(|key| b.contains_key(key)) => {
            a.iter().find_map(|(key, a)| difference(&format!("{path}[{key:?}]"), a, b.get(key)?))
        }
        (a, b) => same(path, &format!("{a:?}"), &format!("{b:?}")).err(),
    }
}

/// Ours must still be a clock: three units of one instant.
fn check_clock(value: &Value) -> Result<(), String> {
    let [ms, us, ns] = CLOCK.map(|name| long(value, name));
    let (ms, us, ns) = (ms.ok_or("no ts_ms")?, us.ok_or("no ts_us")?, ns.ok_or("no ts_ns")?);
    if us == ns / 1_000 && ms == us / 1_000 { Ok(()) } else { Err(format!("clock {ms} {us} {ns}")) }
}

/// Bytes that the clock takes at the end: a branch and a long for each unit.
fn clock_len(value: &Value) -> usize {
    let mut bytes = Vec::new();
    for name in CLOCK {
        bytes.push(2);
        wire::put_long(&mut bytes, long(value, name).unwrap_or_default());
    }
    bytes.len()
}

fn cut(body: &[u8], tail: usize) -> String {
    body[..body.len().saturating_sub(tail)].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn mask(value: &mut Value, streamed: bool) {
    let Value::Record(fields) = value else { return };
    for (name, field) in fields {
        if CLOCK.contains(&name.as_str()) {
            *field = Value::Null;
        }
        if name == "source" && !streamed {
            let Value::Record(source) = field else { continue };
            source.iter_mut().filter(|(name, _)| SNAPSHOT.contains(&name.as_str())).for_each(|(_, v)| {
                *v = Value::Boolean(is_null(v));
            });
        }
    }
}

fn is_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Union(_, inner) => is_null(inner),
        _ => false,
    }
}

/// The headers with the run's id taken out, which must be a UUID.
fn without_run_id(headers: &[(String, Option<Vec<u8>>)]) -> Result<Vec<(String, Option<String>)>, String> {
    headers
        .iter()
        .map(|(name, value)| {
            let text = value.as_ref().map(|value| String::from_utf8_lossy(value).into_owned());
            if name != "__debezium.context.runId" {
                return Ok((name.clone(), text));
            }
            let shape: Vec<usize> = text.iter().flat_map(|text| text.split('-')).map(str::len).collect();
            if shape == [8, 4, 4, 4, 12] { Ok((name.clone(), None)) } else { Err(format!("runId {text:?}")) }
        })
        .collect()
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, theirs: &T, ours: &T) -> Result<(), String> {
    if theirs == ours { Ok(()) } else { Err(format!("{what}\n  debezium {theirs:?}\n  ours     {ours:?}")) }
}
