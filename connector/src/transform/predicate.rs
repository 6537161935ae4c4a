//! Which records a transform is for. Kafka Connect has three.

use super::properties::{Settings, whole};
use crate::config::transform::PredicateConfig;
use crate::model::record::Record;
use crate::model::value::Value;
use regex::Regex;
use shared::error::{Error, Kind, Result};

pub enum Predicate {
    TopicMatches(Regex),
    HasHeader(String),
    IsTombstone,
}

impl Predicate {
    /// # Errors
    /// `Config` for a class that is not known or a property that is missing.
    pub fn new(config: &PredicateConfig) -> Result<Predicate> {
        let mut settings = Settings::new(&config.properties);
        match config.class.rsplit('.').next().unwrap_or_default() {
            "TopicNameMatches" => {
                Ok(Predicate::TopicMatches(whole("pattern", settings.required("pattern")?)?))
            }
            "HasHeaderKey" => Ok(Predicate::HasHeader(settings.required("name")?.to_owned())),
            "RecordIsTombstone" => Ok(Predicate::IsTombstone),
            other => Err(Error::new(Kind::Config, format!("predicate class {other} is not supported"))
                .remedy("supported are: TopicNameMatches, HasHeaderKey, RecordIsTombstone")),
        }
    }

    pub fn holds(&self, record: &Record<'_>) -> bool {
        match self {
            Predicate::TopicMatches(pattern) => pattern.is_match(record.topic),
            Predicate::HasHeader(name) => record.headers.iter().any(|header| header.name == name),
            Predicate::IsTombstone => record.value.is_none_or(|datum| datum.value == Value::Null),
        }
    }
}
