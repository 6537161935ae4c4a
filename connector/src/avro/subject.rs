//! Subjects, and which schema has which id. Confluent's TopicNameStrategy.

use crate::metrics;
use shared::avro::wire::SchemaId;
use shared::error::Result;
use shared::registry::Registry;
use std::collections::HashMap;
use tokio::runtime::Handle;

/// Schemas remembered: a table that takes an earlier shape again, or that is described anew after
/// a reconnect, asks the registry nothing.
const REMEMBERED: usize = 4_096;

/// Asks the registry, and remembers.
#[derive(Debug)]
pub struct Subjects {
    registry: Registry,
    runtime: Handle,
    auto_register: bool,
    known: HashMap<(String, String), SchemaId>,
}

pub fn of_key(topic: &str) -> String {
    format!("{topic}-key")
}

pub fn of_value(topic: &str) -> String {
    format!("{topic}-value")
}

impl Subjects {
    pub fn new(registry: Registry, runtime: Handle, auto_register: bool) -> Self {
        Subjects { registry, runtime, auto_register, known: HashMap::new() }
    }

    /// The id of a schema under a subject. Waits for the registry if it is not known yet.
    ///
    /// # Errors
    /// `Unreachable` (try again), `Rejected` (incompatible, or not there and not to be
    /// registered), `Denied`.
    pub fn id(&mut self, subject: String, schema: String) -> Result<SchemaId> {
        let wanted = (subject, schema);
        if let Some(id) = self.known.get(&wanted) {
            return Ok(*id);
        }
        let (subject, schema) = (&wanted.0, &wanted.1);
        let id = self.runtime.block_on(async {
            match self.auto_register {
                true => self.registry.register(subject, schema).await,
                false => self.registry.look_up(subject, schema).await,
            }
        })?;
        tracing::info!(
            event = "schema_registered",
            subject = subject.as_str(),
            id = id.0,
            "schema has its id"
        );
        metrics::AVRO_SCHEMAS.inc();
        if self.known.len() >= REMEMBERED {
            self.known.clear();
        }
        self.known.insert(wanted, id);
        Ok(id)
    }
}
