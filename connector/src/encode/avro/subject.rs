//! Subjects, and which schema has which id. Confluent's three strategies.

use super::warm::{Print, Warm, print};
use crate::config::avro::{AvroConfig, SubjectNaming};
use crate::metrics;
use shared::avro::wire::SchemaId;
use shared::error::{Error, Kind, Result};
use shared::registry::Registry;
use std::collections::HashMap;
use tokio::runtime::Handle;

/// Schemas remembered: a table that takes an earlier shape again, or that is described anew after
/// a reconnect, asks the registry nothing.
const REMEMBERED: usize = 65_536;

/// Asks the registry, and remembers.
#[derive(Debug)]
pub struct Subjects {
    registry: Option<Registry>,
    runtime: Handle,
    auto_register: bool,
    normalize: bool,
    known: HashMap<Print, SchemaId>,
    warm: Option<Warm>,
}

/// The subject of a topic's key or value; `record` is the full name of the schema's record.
///
/// # Errors
/// `Config`, when the naming goes by records and the schema is none.
pub fn name(naming: SubjectNaming, topic: &str, side: &str, record: Option<&str>) -> Result<String> {
    let record = || {
        record.ok_or_else(|| {
            Error::new(
                Kind::Config,
                format!("the {side} in topic {topic} is no record, so it has no record's name"),
            )
            .remedy("set avro.key_subject and avro.value_subject to \"topic\"")
        })
    };
    Ok(match naming {
        SubjectNaming::Topic => format!("{topic}-{side}"),
        SubjectNaming::Record => record()?.to_owned(),
        SubjectNaming::TopicRecord => format!("{topic}-{}", record()?),
    })
}

impl Subjects {
    /// What the registry knows of topics with this prefix is fetched meanwhile.
    pub fn new(registry: Option<Registry>, runtime: Handle, config: &AvroConfig, prefix: &str) -> Self {
        let warm = registry.as_ref().map(|registry| Warm::start(registry, &runtime, prefix));
        Subjects {
            registry,
            runtime,
            auto_register: config.auto_register,
            normalize: config.normalize,
            known: HashMap::new(),
            warm,
        }
    }

    /// The id of a schema under a subject. Waits for the registry if it is not known yet; `asks` comes before.
    ///
    /// # Errors
    /// `Unreachable` (try again), `Rejected` (incompatible, or not there and not to be
    /// registered), `Denied`.
    pub fn id(&mut self, subject: &str, schema: &str, asks: impl FnOnce()) -> Result<SchemaId> {
        let wanted = print(subject, schema);
        if let Some(id) = self.remembered(&wanted) {
            return Ok(id);
        }
        let registry = self.registry.as_ref();
        let registry = registry.ok_or_else(|| Error::new(Kind::Bug, "Avro without a registry"))?;
        asks();
        let id = self.runtime.block_on(async {
            match self.auto_register {
                true => registry.register(subject, schema, self.normalize).await,
                false => registry.look_up(subject, schema, self.normalize).await,
            }
        })?;
        tracing::info!(event = "schema_registered", subject, id = id.0, "schema has its id");
        metrics::AVRO_SCHEMAS.inc();
        self.remember(wanted, id);
        Ok(id)
    }

    fn remembered(&mut self, wanted: &Print) -> Option<SchemaId> {
        while let Some((print, id)) = self.warm.as_mut().and_then(Warm::next) {
            self.remember(print, id);
        }
        self.known.get(wanted).copied()
    }

    fn remember(&mut self, print: Print, id: SchemaId) {
        if self.known.len() >= REMEMBERED {
            self.known.clear();
        }
        self.known.insert(print, id);
    }
}
