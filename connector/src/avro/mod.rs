//! Record → bytes in Confluent's wire format.
//!
//! ```text
//!  Table ── schema ──> text ── subject ──> id ┐
//!    └──────── form ──> steps ────────────────┴─ plan ── encode(row) ──> bytes
//! ```
//!
//! The left side runs once per table version, the last arrow once per record.

mod bytes;
mod decimal;
mod encode;
mod fault;
mod form;
mod header;
mod java;
mod plan;
mod schema;
mod subject;
mod zoned;

use crate::config::Config;
use crate::metrics;
use crate::model::encoded::{Encoded, Headers};
use crate::model::record::Record;
use crate::model::table::Table;
use encode::Place;
use fault::Fault;
use form::Scratch;
use plan::Plan;
use shared::error::{Context, Error, Kind, Result};
use shared::registry::Registry;
use std::collections::HashMap;
use subject::Subjects;
use tokio::runtime::Handle;

/// Plans kept: more table versions than this at a time would only cost memory.
const PLANS: usize = 4_096;
/// A buffer that one huge row has made larger than this is given back.
const KEPT_BYTES: usize = 1024 * 1024;

/// Makes bytes out of records; knows the schemas of the tables it has seen.
#[derive(Debug)]
pub struct Encoder {
    subjects: Subjects,
    plans: HashMap<u64, Plan>,
    /// The version of the record before: mostly the same again.
    latest: u64,
    key: Vec<u8>,
    value: Vec<u8>,
    link: String,
    scratch: Scratch,
}

impl Encoder {
    /// `runtime` runs the calls to the registry; [`Encoder::encode`] waits for them, so it must not
    /// be called from a task of that runtime.
    pub fn new(config: &Config, registry: Registry, runtime: Handle) -> Result<Encoder> {
        Ok(Encoder {
            subjects: Subjects::new(registry, runtime, config.avro.auto_register),
            plans: HashMap::new(),
            latest: 0,
            key: Vec::new(),
            value: Vec::new(),
            link: String::new(),
            scratch: Scratch::default(),
        })
    }

    /// The record's bytes, in buffers that the next call overwrites. The first record of a table
    /// version compiles its plan and registers its schemas, the key's before the value's.
    ///
    /// # Errors
    /// `Data` for a value or name that cannot be written, with table and column; the registry's
    /// errors, of which `Unreachable` may be tried again with the same record.
    pub fn encode<'a>(&'a mut self, record: &Record<'a>) -> Result<Encoded<'a>> {
        self.shrink();
        let table = record.table;
        if self.latest != table.version && !self.plans.contains_key(&table.version) {
            self.compile(record.topic, table).doing(|| format!("prepare table {}", table.id))?;
        }
        self.latest = table.version;
        let plan = self.plans.get(&table.version).ok_or_else(|| Error::new(Kind::Bug, "a plan is gone"))?;
        let key = match (&plan.key, record.key) {
            (Some(part), Some(row)) => {
                encode::key(&mut self.key, part, row, &mut self.scratch)
                    .map_err(|(place, fault)| refused(table, place, fault))?;
                Some(self.key.as_slice())
            }
            _ => None,
        };
        let value = match &record.value {
            Some(envelope) => {
                encode::value(&mut self.value, plan, envelope, &mut self.scratch)
                    .map_err(|(place, fault)| refused(table, place, fault))?;
                Some(self.value.as_slice())
            }
            None => None,
        };
        let link = match record.link {
            Some(link) => {
                self.link = header::key_text(table, link.key)
                    .map_err(|(column, fault)| refused(table, Place::Column(column), fault))?;
                Some((link.header, self.link.as_bytes()))
            }
            None => None,
        };
        Ok(Encoded { topic: record.topic, key, value, headers: Headers { link, context: record.context } })
    }

    fn compile(&mut self, topic: &str, table: &Table) -> Result<()> {
        let key = match schema::key(topic, table)? {
            Some(text) => Some(self.subjects.id(subject::of_key(topic), text)?),
            None => None,
        };
        let value = self.subjects.id(subject::of_value(topic), schema::value(topic, table)?)?;
        if self.plans.len() >= PLANS {
            self.plans.clear();
        }
        self.plans.insert(table.version, Plan::new(table, key, value));
        metrics::AVRO_PLANS.inc();
        Ok(())
    }

    fn shrink(&mut self) {
        if self.value.capacity() > KEPT_BYTES {
            self.value = Vec::new();
        }
        if self.key.capacity() > KEPT_BYTES {
            self.key = Vec::new();
        }
        if self.scratch.limbs.capacity() > KEPT_BYTES {
            self.scratch.limbs = Vec::new();
        }
    }
}

fn refused(table: &Table, place: Place, fault: Fault) -> Error {
    let column = match place {
        Place::Column(at) => table.columns.get(at).map_or("?", |column| column.name.as_str()),
        Place::Source => "(source block)",
    };
    let error = Error::new(Kind::Data, fault.text());
    let error = error.doing(format!("write column {column} of table {}", table.id));
    match fault {
        Fault::Unavailable => {
            error.remedy(format!("ALTER TABLE {} REPLICA IDENTITY FULL sends such values", table.id))
        }
        _ => error,
    }
}
