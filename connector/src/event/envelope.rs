//! The pieces that every record of a change shares: its `source` block, its topic, its headers.

use crate::config::event::EventConfig;
use crate::model::record::ContextHeader;

/// The context headers of a run, in Debezium's order. Kafka Connect's single task has the id 0.
pub fn context(config: &EventConfig, connector: &str, run_id: String) -> Vec<ContextHeader> {
    if !config.headers {
        return Vec::new();
    }
    [
        ("__debezium.context.connectorLogicalName", config.topic_prefix.clone()),
        ("__debezium.context.taskId", "0".to_owned()),
        ("__debezium.context.connectorName", connector.to_owned()),
        ("__debezium.context.runId", run_id),
    ]
    .into_iter()
    .map(|(name, value)| ContextHeader { name, value })
    .collect()
}

/// Header of a delete whose row lives on under another key.
pub const NEW_KEY: &str = "__debezium.newkey";
/// Header of a create whose row had another key.
pub const OLD_KEY: &str = "__debezium.oldkey";
