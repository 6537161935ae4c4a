//! Does what start would do, without making a slot or sending a record, and looks at what would fail later.

use super::{kafka_limit, registry};
use crate::config::Config;
use crate::model::finding::Finding;
use crate::sink::{Kafka, Sink};
use tokio::runtime::Handle;

/// One finding for each thing looked at, in the order of the start.
pub fn check(config: &Config, runtime: &Handle) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(registry) = registry(config).transpose() {
        let answered = registry.and_then(|registry| runtime.block_on(registry.ping()));
        findings.push(Finding::from_result("registry", "the schema registry answers", answered));
    }
    let sink = Kafka::new(&config.sink, None, runtime.clone());
    let kafka = sink.and_then(|sink| sink.check(kafka_limit(config)));
    let reached = kafka.is_ok();
    findings.push(Finding::from_result("kafka", "Kafka answers", kafka));
    if reached {
        let prefix = format!("{}{}", config.event.topic_prefix, config.event.topic_delimiter);
        findings.extend(crate::sink::check(&config.sink, &prefix, config.event.tombstones, runtime));
    }
    if let Some(id) = config.transactional_id() {
        // Under the connector's own name this would end the one that runs.
        let trial = Kafka::new(&config.sink, Some(&format!("{id}-check")), runtime.clone());
        let started = trial.and_then(|mut sink| sink.start());
        findings.push(Finding::from_result("kafka", "Kafka takes transactions", started));
    }
    let (offsets, stored) = crate::offset::check(config, runtime);
    findings.extend(offsets);
    let (source, signal) = (&config.source, &config.signal);
    findings.extend(crate::source::postgres::check(source, signal, stored.as_ref(), runtime));
    findings
}
