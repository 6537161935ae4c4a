//! `[avro]`: the schema registry and what is done there.

use serde::Deserialize;
use shared::error::{Error, Kind, Result};
use shared::registry::RegistryConfig;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AvroConfig {
    pub registry: RegistryConfig,
    /// Register a table's schemas when it is first seen; else they must be there already.
    #[serde(default = "default_auto_register")]
    pub auto_register: bool,
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

fn default_auto_register() -> bool {
    true
}
