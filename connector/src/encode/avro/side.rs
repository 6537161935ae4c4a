//! Keys or values: the plans of the schemas seen, and a buffer.

use super::form::Scratch;
use super::plan::{Path, Step};
use super::subject::{self, Subjects};
use super::{refused, schema, wasteful};
use crate::config::avro::{AvroConfig, SubjectNaming};
use crate::metrics;
use crate::model::record::Datum;
use shared::avro::wire::{PREFIX_LEN, prefix};
use shared::error::{Context, Error, Kind, Result};
use std::collections::HashMap;

/// Plans kept: more schemas than this at a time would only cost memory.
const PLANS: usize = 8_192;

/// Topics kept for one schema.
const TOPICS: usize = 256;

/// How records of one schema are written.
#[derive(Debug)]
struct Plan {
    step: Step,
    /// Topic → the schema's id there. Mostly one.
    prefixes: Vec<(String, [u8; PREFIX_LEN])>,
}

#[derive(Debug)]
pub struct Side {
    /// `key` or `value`.
    name: &'static str,
    naming: SubjectNaming,
    plans: HashMap<u64, Plan>,
    buffer: Vec<u8>,
    path: Path,
}

impl Side {
    pub fn new(name: &'static str, naming: SubjectNaming) -> Self {
        Side { name, naming, plans: HashMap::new(), buffer: Vec::new(), path: Path::new() }
    }

    /// The schema's prefix and the value, until the next call.
    pub fn encode(
        &mut self,
        topic: &str,
        datum: Datum<'_>,
        config: &AvroConfig,
        subjects: &mut Subjects,
        scratch: &mut Scratch,
        asks: &mut dyn FnMut(&str),
    ) -> Result<&[u8]> {
        let known = self.plans.get(&datum.schema.id).is_some_and(|plan| plan.prefix(topic).is_some());
        if !known {
            self.compile(topic, datum, config, subjects, asks).doing(|| format!("prepare topic {topic}"))?;
        }
        let plan = self.plans.get(&datum.schema.id);
        let found = plan.and_then(|plan| Some((plan, plan.prefix(topic)?)));
        let (plan, prefix) = found.ok_or_else(|| Error::new(Kind::Bug, "a plan is gone"))?;
        if wasteful(self.buffer.capacity(), self.buffer.len()) {
            self.buffer = Vec::new();
        }
        self.buffer.clear();
        self.buffer.extend_from_slice(prefix);
        self.path.clear();
        match plan.step.put(&mut self.buffer, &datum.value, scratch, &mut self.path) {
            Ok(()) => Ok(&self.buffer),
            Err(fault) => Err(refused(topic, datum, &self.path, fault)),
        }
    }

    fn compile(
        &mut self,
        topic: &str,
        datum: Datum<'_>,
        config: &AvroConfig,
        subjects: &mut Subjects,
        asks: &mut dyn FnMut(&str),
    ) -> Result<()> {
        let record = schema::record_name(datum.schema);
        let subject = subject::name(self.naming, topic, self.name, record)?;
        let id = subjects.id(&subject, &schema::text(datum.schema, config)?, || asks(topic))?;
        if self.plans.len() >= PLANS {
            self.plans.clear();
        }
        let plan = self.plans.entry(datum.schema.id).or_insert_with(|| {
            metrics::AVRO_PLANS.inc();
            Plan { step: Step::new(datum.schema, config.keep_nulls), prefixes: Vec::new() }
        });
        if plan.prefixes.len() >= TOPICS {
            plan.prefixes.clear();
        }
        plan.prefixes.push((topic.to_owned(), prefix(id)));
        Ok(())
    }
}

impl Plan {
    fn prefix(&self, topic: &str) -> Option<&[u8; PREFIX_LEN]> {
        self.prefixes.iter().find(|(name, _)| name == topic).map(|(_, prefix)| prefix)
    }
}
