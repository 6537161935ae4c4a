//! `[avro]`: the schema registry and what is done there. Confluent's converter has the same switches.

use serde::Deserialize;
use shared::error::{Error, Kind, Result};
use shared::registry::RegistryConfig;

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AvroConfig {
    /// Needed unless neither keys nor values are Avro.
    pub registry: Option<RegistryConfig>,
    /// Register a schema when it is first needed; else it must be there already.
    pub auto_register: bool,
    /// Let the registry bring schemas into its normal form.
    pub normalize: bool,
    pub key_subject: SubjectNaming,
    pub value_subject: SubjectNaming,
    /// The properties `connect.*` in schemas.
    pub connect_properties: bool,
    /// NULL stays NULL in a column with a default; else it is written as the default.
    pub keep_nulls: bool,
    /// Characters that Avro does not take in names become `_`.
    pub scrub_names: bool,
    /// The documentation of a field's type stands at the field as well.
    pub field_docs: bool,
}

impl Default for AvroConfig {
    fn default() -> Self {
        AvroConfig {
            registry: None,
            auto_register: true,
            normalize: false,
            key_subject: SubjectNaming::Topic,
            value_subject: SubjectNaming::Topic,
            connect_properties: true,
            keep_nulls: false,
            scrub_names: false,
            field_docs: false,
        }
    }
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
    /// `needed`: some record is written as Avro.
    pub fn check(&self, needed: bool) -> Result<()> {
        let urls = self.registry.as_ref().map(|registry| registry.url.as_slice()).unwrap_or_default();
        for url in urls {
            if !url.starts_with("http://") && !url.starts_with("https://") {
                let what = format!("avro.registry.url = {url:?} is no http or https address");
                return Err(Error::new(Kind::Config, what).remedy("write http://host:port or https://host"));
            }
        }
        if needed && urls.is_empty() {
            return Err(Error::new(Kind::Config, "avro.registry.url is not set")
                .remedy("name the schema registry: [avro.registry] url = [\"http://host:8081\"]"));
        }
        Ok(())
    }
}
