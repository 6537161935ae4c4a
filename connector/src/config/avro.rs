//! `[avro]`: the schema registry and what is done there. Confluent's converter has the same switches.

use serde::Deserialize;
use shared::error::{Error, Kind, Result};
use shared::registry::RegistryConfig;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AvroConfig {
    pub registry: RegistryConfig,
    /// Register a schema when it is first needed; else it must be there already.
    #[serde(default = "default_true")]
    pub auto_register: bool,
    /// Let the registry bring schemas into its normal form.
    #[serde(default)]
    pub normalize: bool,
    #[serde(default)]
    pub key_subject: SubjectNaming,
    #[serde(default)]
    pub value_subject: SubjectNaming,
    /// The properties `connect.*` in schemas.
    #[serde(default = "default_true")]
    pub connect_properties: bool,
    /// NULL stays NULL in a column with a default; else it is written as the default.
    #[serde(default)]
    pub keep_nulls: bool,
    /// Characters that Avro does not take in names become `_`.
    #[serde(default)]
    pub scrub_names: bool,
}

/// Confluent's subject name strategies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubjectNaming {
    /// `topic-key`, `topic-value`.
    #[default]
    Topic,
    /// The record's full name.
    Record,
    /// `topic-` and the record's full name.
    TopicRecord,
}

impl AvroConfig {
    pub fn check(&self) -> Result<()> {
        for url in &self.registry.url {
            if !url.starts_with("http://") && !url.starts_with("https://") {
                let what = format!("avro.registry.url = {url:?} is no http or https address");
                return Err(Error::new(Kind::Config, what).remedy("write http://host:port or https://host"));
            }
        }
        if self.registry.url.is_empty() {
            return Err(Error::new(Kind::Config, "avro.registry.url is empty"));
        }
        Ok(())
    }
}

fn default_true() -> bool {
    true
}
