//! The pieces that records share: headers of a run, names of headers.

use crate::config::event::EventConfig;
use crate::model::record::{Header, HeaderValue};

/// Header of a delete whose row lives on under another key.
pub const NEW_KEY: &str = "__debezium.newkey";
/// Header of a create whose row had another key.
pub const OLD_KEY: &str = "__debezium.oldkey";

/// The context headers of a run, in Debezium's order. Kafka Connect's single task has the id 0.
#[derive(Debug)]
pub struct Context(Option<[(&'static str, String); CONTEXT]>);

const CONTEXT: usize = 4;

impl Context {
    pub fn new(config: &EventConfig, connector: &str, run_id: String) -> Context {
        Context(config.headers.then(|| {
            [
                ("__debezium.context.connectorLogicalName", config.topic_prefix.clone()),
                ("__debezium.context.taskId", "0".to_owned()),
                ("__debezium.context.connectorName", connector.to_owned()),
                ("__debezium.context.runId", run_id),
            ]
        }))
    }

    /// A place for the link to another key, then the context; and how many of them there are.
    pub fn headers(&self) -> ([Header<'_>; CONTEXT + 1], usize) {
        let mut headers = [Header { name: "", value: HeaderValue::Text("") }; CONTEXT + 1];
        let Some(context) = &self.0 else { return (headers, 1) };
        for (header, (name, value)) in headers.iter_mut().skip(1).zip(context) {
            *header = Header { name, value: HeaderValue::Text(value) };
        }
        (headers, CONTEXT + 1)
    }
}
