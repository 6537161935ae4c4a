//! What the operator may set: one file per room.
//!
//! What was written never travels past this module unchecked: [`load`] and [`from_debezium`]
//! give a [`Config`] whose sections have all passed their `check()`.

pub mod admin;
pub mod avro;
pub mod column;
pub mod debezium;
pub mod encode;
pub mod event;
pub mod offset;
pub mod signal;
pub mod sink;
pub mod snapshot;
pub mod source;
pub mod transform;
pub mod values;
pub mod wal_guard;

use serde::Deserialize;
use shared::config::Overrides;
use shared::error::{Context, Error, Kind, Result};
use shared::log::LogConfig;
use std::path::Path;

/// Environment variables with this prefix override the file: `TIDEGATE_CONNECTOR__SINK__LINGER_MS`.
const ENV_PREFIX: &str = "TIDEGATE_CONNECTOR";

/// The whole configuration. Prints itself with secrets as stars.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub source: source::SourceConfig,
    #[serde(default)]
    pub snapshot: snapshot::SnapshotConfig,
    #[serde(default)]
    pub signal: signal::SignalConfig,
    pub event: event::EventConfig,
    /// In the order in which records pass them.
    #[serde(default)]
    pub transform: Vec<transform::TransformConfig>,
    #[serde(default)]
    pub predicate: std::collections::BTreeMap<String, transform::PredicateConfig>,
    #[serde(default)]
    pub encode: encode::EncodeConfig,
    #[serde(default)]
    pub avro: avro::AvroConfig,
    pub sink: sink::SinkConfig,
    #[serde(default)]
    pub offset: offset::OffsetConfig,
    #[serde(default)]
    pub admin: admin::AdminConfig,
    #[serde(default)]
    pub log: LogConfig,
    /// What became of properties that have no setting here; empty for our own files.
    #[serde(skip)]
    pub notes: Vec<debezium::Note>,
}

impl Config {
    /// Checks what no single value's type can say.
    pub fn check(&self) -> Result<()> {
        self.snapshot.check()?;
        self.signal.check()?;
        self.source.check()?;
        self.event.check()?;
        self.avro.check(self.encode.uses_avro())?;
        self.sink.check()?;
        self.offset.check()?;
        if self.sink.exactly_once() && self.offset.kind != offset::OffsetKind::Kafka {
            let what = "sink.delivery = \"exactly_once\" stores progress together with the records, in Kafka";
            return Err(
                Error::new(Kind::Config, what).remedy("set offset.kind = \"kafka\", and offset.topic")
            );
        }
        self.admin.check()
    }

    /// Under which name transactions are made, if any are: whoever begins with it ends those before.
    pub fn transactional_id(&self) -> Option<String> {
        let (connector, prefix) = (&self.offset.connector, &self.event.topic_prefix);
        self.sink.exactly_once().then(|| format!("tidegate-{connector}-{prefix}"))
    }

    /// Logs what became of foreign properties: call it once logging has started.
    pub fn log_notes(&self) {
        for note in &self.notes {
            note.log();
        }
    }
}

/// Reads a TOML file.
///
/// # Errors
/// `Config`, naming the file and the key.
pub fn load(path: &Path) -> Result<Config> {
    load_with(path, &[])
}

/// [`load`], with `table.key=value` items that win over the file and the environment.
pub fn load_with(path: &Path, sets: &[String]) -> Result<Config> {
    let config: Config = shared::config::load(path, &overrides(sets))?;
    config.check().doing(|| format!("check {}", path.display()))?;
    Ok(config)
}

/// Reads a TOML text, as [`load_with`] reads a file.
pub fn parse(text: &str, sets: &[String]) -> Result<Config> {
    let config: Config = shared::config::parse(text, &overrides(sets))?;
    config.check()?;
    Ok(config)
}

/// Reads a Debezium connector's JSON and the properties of the Kafka Connect worker it ran on.
///
/// # Errors
/// `Config` when a property asks for what this connector does not do: the property and the
/// reason are named. What is ignored stands in [`Config::notes`].
pub fn from_debezium(connector: &Path, worker: &Path, sets: &[String]) -> Result<Config> {
    let imported = debezium::read(connector, Some(worker))?;
    if let Some(refusal) = imported.refusal() {
        return Err(refusal).doing(|| format!("take over {}", connector.display()));
    }
    let mut config = parse(&imported.toml, sets).doing(|| format!("take over {}", connector.display()))?;
    config.notes = imported.notes;
    Ok(config)
}

fn overrides(set: &[String]) -> Overrides<'_> {
    Overrides { env_prefix: ENV_PREFIX, set }
}

#[cfg(test)]
mod tests;
