//! Settings of the topics that are there already, against what is going to be written.

use crate::config::sink::SinkConfig;
use crate::model::finding::Finding;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, OwnedResourceSpecifier, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use shared::error::{Kind, OrKind, Result};
use std::time::Duration;
use tokio::runtime::Handle;

const ABOUT: &str = "kafka";
const TIMEOUT: Duration = Duration::from_secs(10);

/// Topics that begin with `prefix`.
pub fn check(config: &SinkConfig, prefix: &str, tombstones: bool, runtime: &Handle) -> Vec<Finding> {
    match described(config, prefix, runtime) {
        Ok(topics) if topics.is_empty() => {
            vec![Finding::ok(ABOUT, format!("there is no topic {prefix}* yet"))]
        }
        Ok(topics) => {
            let mut findings =
                vec![Finding::ok(ABOUT, format!("{} topics {prefix}* are there", topics.len()))];
            findings.extend(topics.iter().flat_map(|topic| topic.findings(config, tombstones)));
            findings
        }
        Err(error) => {
            vec![Finding::ok(ABOUT, format!("this server does not show its topics' settings ({error})"))]
        }
    }
}

/// What counts of a topic's settings.
#[derive(Debug, Default)]
struct Topic {
    name: String,
    compacted: bool,
    max_message_bytes: Option<u64>,
    replicas: usize,
    min_insync: Option<usize>,
}

impl Topic {
    fn findings(&self, config: &SinkConfig, tombstones: bool) -> Vec<Finding> {
        let name = &self.name;
        let mut found = Vec::new();
        if self.compacted && !tombstones {
            found.push(Finding::warn(
                ABOUT,
                format!("topic {name} is compacted, and event.tombstones is false: deleted rows stay in it for ever"),
                "set event.tombstones = true, or cleanup.policy=delete on the topic",
            ));
        }
        if let Some(bytes) = self.max_message_bytes.filter(|bytes| *bytes < config.message_max_bytes.into()) {
            found.push(Finding::warn(
                ABOUT,
                format!("topic {name} takes messages of {bytes} bytes, and sink.message_max_bytes is {}: a larger row stops the connector", config.message_max_bytes),
                format!("set max.message.bytes={} on the topic", config.message_max_bytes),
            ));
        }
        if let Some(wanted) = self.min_insync.filter(|wanted| *wanted > self.replicas) {
            found.push(Finding::error(
                ABOUT,
                format!(
                    "topic {name} wants {wanted} in-sync replicas and has {}: nothing can be written to it",
                    self.replicas
                ),
                "add replicas, or lower min.insync.replicas on the topic",
            ));
        }
        found
    }

    fn of(name: String, replicas: usize, settings: &ConfigResource) -> Topic {
        let text = |key: &str| settings.get(key).and_then(|entry| entry.value.clone());
        Topic {
            name,
            replicas,
            compacted: text("cleanup.policy").is_some_and(|policy| policy.contains("compact")),
            max_message_bytes: text("max.message.bytes").and_then(|number| number.parse().ok()),
            min_insync: text("min.insync.replicas").and_then(|number| number.parse().ok()),
        }
    }
}

fn described(config: &SinkConfig, prefix: &str, runtime: &Handle) -> Result<Vec<Topic>> {
    let mut client = ClientConfig::new();
    client.set("client.id", "tidegate-connector-check").set("log.connection.close", "false");
    for (name, value) in config.kafka.client_properties() {
        client.set(name, value);
    }
    let admin: AdminClient<DefaultClientContext> = client.create().or_kind(Kind::Config)?;
    let metadata = admin.inner().fetch_metadata(None, TIMEOUT).or_kind(Kind::Unreachable)?;
    let replicas = |topic: &rdkafka::metadata::MetadataTopic| {
        topic.partitions().iter().map(|partition| partition.replicas().len()).min().unwrap_or_default()
    };
    let topics = metadata.topics().iter().filter(|topic| topic.name().starts_with(prefix));
    let topics: Vec<(String, usize)> =
        topics.map(|topic| (topic.name().to_owned(), replicas(topic))).collect();
    if topics.is_empty() {
        return Ok(Vec::new());
    }
    let wanted: Vec<ResourceSpecifier<'_>> =
        topics.iter().map(|(name, _)| ResourceSpecifier::Topic(name)).collect();
    let options = AdminOptions::new().request_timeout(Some(TIMEOUT));
    let answers = runtime.block_on(admin.describe_configs(&wanted, &options)).or_kind(Kind::Unreachable)?;
    let described = answers.iter().flatten().filter_map(|settings| match &settings.specifier {
        OwnedResourceSpecifier::Topic(name) => {
            let (_, replicas) = topics.iter().find(|(topic, _)| topic == name)?;
            Some(Topic::of(name.clone(), *replicas, settings))
        }
        _ => None,
    });
    Ok(described.collect())
}
