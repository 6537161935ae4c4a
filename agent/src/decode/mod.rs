//! A record batch → rows with the columns that gates and features of its topic need. No I/O: the
//! schemas' texts are handed in. Every record becomes a row, a skip, or a refusal with its reason.

mod columns;
mod plan;
mod read;
mod records;
mod schema;
mod zoned;

pub use columns::{ColumnKind, columns};

use crate::model::pack;
use crate::model::row::Row;
use crate::model::verdict::Reason;
use plan::{KeyPlan, ValuePlan};
use records::Record;
use shared::avro::wire::{self, SchemaId};
use shared::error::Result;
use std::collections::HashMap;
use std::sync::Arc;

/// Plans kept; far more schemas than a database has versions of. Above it they are compiled again.
const MAX_PLANS: usize = 4_096;

/// The labels of refusals.
const UNDECODABLE: &str = "undecodable";
const UNKNOWN_SCHEMA: &str = "unknown_schema";

/// What became of one record.
#[derive(Clone, Debug, PartialEq)]
pub enum Decoded {
    Row(Row),
    /// A tombstone, or a message that is no change of a row.
    Skipped,
    Refused(Refused),
}

/// A record that could not be read, with its bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    pub offset: i64,
    pub reason: Reason,
}

/// Gives a schema's text by id; `None` if the registry does not know it.
pub type Schemas<'a> = dyn Fn(SchemaId) -> Result<Option<Arc<str>>> + 'a;

/// One topic's reader: knows the columns asked for and remembers compiled plans.
pub struct Decoder {
    columns: Vec<String>,
    unpacked_bytes: usize,
    values: HashMap<SchemaId, std::result::Result<ValuePlan, Reason>>,
    keys: HashMap<SchemaId, std::result::Result<KeyPlan, Reason>>,
}

impl Decoder {
    /// `columns` are given in each row in this order; a batch may unpack to `unpacked_bytes`.
    pub fn new(columns: Vec<String>, unpacked_bytes: usize) -> Self {
        Decoder { columns, unpacked_bytes, values: HashMap::new(), keys: HashMap::new() }
    }

    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Reads a batch that begins at `base_offset`, calling `each` with every record's fate, its key
    /// and its value. Fails only if the registry cannot be read.
    pub fn decode(
        &mut self,
        base_offset: i64,
        batch: &[u8],
        schemas: &Schemas<'_>,
        mut each: impl FnMut(Decoded, Option<&[u8]>, Option<&[u8]>),
    ) -> Result<()> {
        let refuse = |offset, why: &'static str| {
            Decoded::Refused(Refused { offset, reason: Reason::new(UNDECODABLE, why) })
        };
        let unpacked = match records::unpack(batch, self.unpacked_bytes) {
            Ok(unpacked) => unpacked,
            Err(why) => {
                each(refuse(base_offset, why), None, Some(batch));
                return Ok(());
            }
        };
        let mut offset = base_offset;
        for record in unpacked.records() {
            match record {
                Err(why) => each(refuse(offset, why), None, Some(batch)),
                Ok(record) => {
                    offset = base_offset.saturating_add(record.delta);
                    let decoded = match record.value {
                        None => Decoded::Skipped,
                        Some(value) => self.record(offset, &record, value, schemas)?,
                    };
                    each(decoded, record.key, record.value);
                }
            }
        }
        Ok(())
    }

    fn record(
        &mut self,
        offset: i64,
        record: &Record<'_>,
        value: &[u8],
        schemas: &Schemas<'_>,
    ) -> Result<Decoded> {
        let refused = |reason| Ok(Decoded::Refused(Refused { offset, reason }));
        let envelope = match self.envelope(value, schemas)? {
            Ok(envelope) => envelope,
            Err(reason) => return refused(reason),
        };
        let Some(op) = envelope.op else { return Ok(Decoded::Skipped) };
        let key = match record.key.map(|key| self.key(key, schemas)).transpose()? {
            None => None,
            Some(Ok(key)) => Some(key),
            Some(Err(reason)) => return refused(reason),
        };
        // A row that came without an envelope was made when its record was.
        let committed_us = envelope.committed_us.unwrap_or_else(|| record.time_ms.saturating_mul(1_000));
        Ok(Decoded::Row(Row { op, key, after: envelope.after, committed_us, offset }))
    }

    fn envelope(
        &mut self,
        value: &[u8],
        schemas: &Schemas<'_>,
    ) -> Result<std::result::Result<plan::Envelope, Reason>> {
        let Some((id, body)) = wire::split(value) else {
            return Ok(Err(Reason::new(UNDECODABLE, "value has no schema id in front")));
        };
        let columns = &self.columns;
        let plan = planned(&mut self.values, id, schemas, |text| ValuePlan::compile(text, columns))?;
        Ok(match plan {
            Ok(plan) => plan.read(body).map_err(|why| misfit("value", id, why)),
            Err(reason) => Err(reason.clone()),
        })
    }

    /// A key in sortable form; one that is not Avro is taken as it is.
    fn key(&mut self, key: &[u8], schemas: &Schemas<'_>) -> Result<std::result::Result<Vec<u8>, Reason>> {
        let Some((id, body)) = wire::split(key) else {
            return Ok(Ok(pack::sortable([&crate::model::value::Value::Bytes(key.to_vec())])));
        };
        Ok(match planned(&mut self.keys, id, schemas, KeyPlan::compile)? {
            Ok(plan) => match plan.read(body) {
                Ok(values) => Ok(pack::sortable(&values)),
                Err(why) => Err(misfit("key", id, why)),
            },
            Err(reason) => Err(reason.clone()),
        })
    }
}

/// A record's bytes; absent is Kafka's null.
pub type KeyAndValue = (Option<Vec<u8>>, Option<Vec<u8>>);

/// Key and value of the record at `offset` in a batch that was read before.
pub fn find(base_offset: i64, batch: &[u8], offset: i64, unpacked_bytes: usize) -> Option<KeyAndValue> {
    let unpacked = records::unpack(batch, unpacked_bytes).ok()?;
    let delta = offset.checked_sub(base_offset)?;
    let found = unpacked.records().find_map(|record| record.ok().filter(|record| record.delta == delta))?;
    Some((found.key.map(<[u8]>::to_vec), found.value.map(<[u8]>::to_vec)))
}

/// Calls `each` with the offset and key of every record of a batch; false if it cannot be read whole.
pub fn each_key(
    base_offset: i64,
    batch: &[u8],
    unpacked_bytes: usize,
    mut each: impl FnMut(i64, Option<&[u8]>),
) -> bool {
    let Ok(unpacked) = records::unpack(batch, unpacked_bytes) else { return false };
    unpacked.records().all(|record| {
        record.is_ok_and(|record| {
            each(base_offset.saturating_add(record.delta), record.key);
            true
        })
    })
}

fn misfit(part: &str, id: SchemaId, why: &str) -> Reason {
    Reason::new(UNDECODABLE, format!("{part} with schema {id}: {why}"))
}

/// The plan of a schema id, compiled on first sight. Only what the registry knows is remembered.
fn planned<'p, P>(
    plans: &'p mut HashMap<SchemaId, std::result::Result<P, Reason>>,
    id: SchemaId,
    schemas: &Schemas<'_>,
    compile: impl FnOnce(&str) -> std::result::Result<P, String>,
) -> Result<std::result::Result<&'p P, Reason>> {
    if !plans.contains_key(&id) {
        let Some(text) = schemas(id)? else {
            return Ok(Err(Reason::new(UNKNOWN_SCHEMA, format!("schema {id} is not registered here"))));
        };
        if plans.len() >= MAX_PLANS {
            plans.clear();
        }
        let plan = compile(&text).map_err(|why| Reason::new(UNDECODABLE, format!("schema {id}: {why}")));
        plans.insert(id, plan);
    }
    Ok(match plans.get(&id) {
        Some(Ok(plan)) => Ok(plan),
        Some(Err(reason)) => Err(reason.clone()),
        None => Err(Reason::new(UNKNOWN_SCHEMA, "schema is not registered here")),
    })
}

#[cfg(test)]
mod tests;
