//! `kind = "kafka"`: a topic per view, one Avro record per change of an entity.

use crate::config::wrong;
use serde::Deserialize;
use shared::error::Result;
use shared::kafka::{Compression, KafkaConfig};
use shared::registry::RegistryConfig;
use std::time::Duration;

/// A batch that no broker took by then is sent again, by a new producer.
const DEFAULT_DELIVERY_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KafkaTopicConfig {
    pub kafka: KafkaConfig,
    pub registry: RegistryConfig,
    /// The topic of a view; `{view}` is its name.
    #[serde(default = "default_topic")]
    pub topic: String,
    #[serde(default)]
    pub compression: Compression,
    #[serde(default = "default_delivery_timeout", with = "shared::time::duration")]
    pub delivery_timeout: Duration,
}

fn default_topic() -> String {
    "features.{view}".to_owned()
}

const fn default_delivery_timeout() -> Duration {
    DEFAULT_DELIVERY_TIMEOUT
}

impl KafkaTopicConfig {
    pub(super) fn check(&self) -> Result<()> {
        if self.kafka.brokers.is_empty() {
            return Err(wrong("kafka.brokers must name a broker"));
        }
        if !self.topic.contains("{view}") {
            return Err(wrong("topic must contain {view}: views have schemas of their own"));
        }
        if !(Duration::from_secs(1)..=Duration::from_secs(3_600)).contains(&self.delivery_timeout) {
            return Err(wrong("delivery_timeout must be between 1s and 1h"));
        }
        Ok(())
    }
}
