//! Keys or values: plans and a buffer.

use super::form::Scratch;
use super::plan::Path;
use super::plans::Plans;
use super::subject::{self, Subjects};
use super::{refused, schema, wasteful};
use crate::config::avro::{AvroConfig, SubjectNaming};
use crate::model::record::Datum;
use shared::error::{Context, Error, Kind, Result};

#[derive(Debug)]
pub struct Side {
    /// `key` or `value`.
    name: &'static str,
    naming: SubjectNaming,
    plans: Plans,
    buffer: Vec<u8>,
    path: Path,
}

impl Side {
    pub fn new(name: &'static str, naming: SubjectNaming) -> Self {
        Side { name, naming, plans: Plans::default(), buffer: Vec::new(), path: Path::new() }
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
        if self.plans.find(datum.schema.id, topic).is_none() {
            self.compile(topic, datum, config, subjects, asks).doing(|| format!("prepare topic {topic}"))?;
        }
        let found = self.plans.find(datum.schema.id, topic);
        let (step, prefix) = found.ok_or_else(|| Error::new(Kind::Bug, "a plan is gone"))?;
        if wasteful(self.buffer.capacity(), self.buffer.len()) {
            self.buffer = Vec::new();
        }
        self.buffer.clear();
        self.buffer.extend_from_slice(prefix);
        self.path.clear();
        match step.put(&mut self.buffer, &datum.value, scratch, &mut self.path) {
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
        self.plans.keep(datum.schema, topic, id, config.keep_nulls);
        Ok(())
    }
}
