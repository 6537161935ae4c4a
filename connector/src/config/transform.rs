//! `[[transform]]` and `[predicate.NAME]`: Kafka Connect's single-message transforms, in order.
//!
//! A transform's properties keep the names that Kafka Connect and Debezium gave them, so that their
//! documentation holds and a connector's JSON is taken over word by word.

use serde::Deserialize;
use std::collections::BTreeMap;

/// Property name → value, as in Kafka Connect.
pub type Properties = BTreeMap<String, String>;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransformConfig {
    /// For messages; Kafka Connect's alias.
    pub name: String,
    /// The Java class, or its last part: `ExtractNewRecordState`; `Value` behind `$` as there.
    #[serde(rename = "type")]
    pub class: String,
    /// Only records that this predicate holds for.
    #[serde(default)]
    pub predicate: Option<String>,
    /// Only records that it does not hold for.
    #[serde(default)]
    pub negate: bool,
    #[serde(default)]
    pub properties: Properties,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PredicateConfig {
    #[serde(rename = "type")]
    pub class: String,
    #[serde(default)]
    pub properties: Properties,
}
