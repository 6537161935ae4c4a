//! Topics at the centre: how many partitions they have, and their making where the operator says how.
//! Without a rule that fits, a topic is the brokers' affair.

use super::centre::Centre;
use super::choice::whole;
use super::report::Quiet;
use crate::config::forward::{ForwardConfig, TopicRule};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::error::RDKafkaErrorCode as Code;
use regex::RegexSet;
use shared::error::{Context, Error, Kind, OrKind, Result};
use std::collections::HashMap;
use std::time::Duration;
use tokio::runtime::Handle;

const TIMEOUT: Duration = Duration::from_secs(10);

pub struct Topics {
    rules: Vec<(RegexSet, RegexSet, TopicRule)>,
    client: ClientConfig,
    partitions: HashMap<String, u32>,
}

impl Topics {
    /// # Errors
    /// `Config`: an expression that is none.
    pub fn new(config: &ForwardConfig) -> Result<Topics> {
        let mut client = ClientConfig::new();
        client.set("client.id", "tidegate-agent").set("log.connection.close", "false");
        for (name, value) in config.kafka.client_properties() {
            client.set(name, value);
        }
        let rule = |rule: &TopicRule| {
            Ok((whole("topic.include", &rule.include)?, whole("topic.exclude", &rule.exclude)?, rule.clone()))
        };
        let rules = config.topic.iter().map(rule).collect::<Result<_>>()?;
        Ok(Topics { rules, client, partitions: HashMap::new() })
    }

    /// How many partitions the topic has; `None` if it is not there yet.
    ///
    /// # Errors
    /// `Unreachable` (try again), `Denied`, `Rejected` with the brokers' words.
    pub fn partitions(&mut self, client: &dyn Centre, topic: &str, runtime: &Handle) -> Result<Option<u32>> {
        if let Some(known) = self.partitions.get(topic) {
            return Ok(Some(*known));
        }
        if let Some(rule) = self.rule(topic) {
            create(&self.client, topic, rule, runtime).doing(|| format!("create topic {topic}"))?;
        }
        let found = client.partitions(topic)?;
        if found > 0 {
            self.partitions.insert(topic.to_owned(), found);
        }
        Ok((found > 0).then_some(found))
    }

    /// It is asked for anew.
    pub fn forget(&mut self, topic: &str) {
        self.partitions.remove(topic);
    }

    /// The first that fits; without names to include a rule is for all.
    fn rule(&self, topic: &str) -> Option<&TopicRule> {
        let fits = |(include, exclude, _): &&(RegexSet, RegexSet, TopicRule)| {
            (include.is_empty() || include.is_match(topic)) && !exclude.is_match(topic)
        };
        self.rules.iter().find(fits).map(|(_, _, rule)| rule)
    }
}

fn create(client: &ClientConfig, topic: &str, rule: &TopicRule, runtime: &Handle) -> Result<()> {
    let admin: AdminClient<Quiet> = client.create_with_context(Quiet).or_kind(Kind::Config)?;
    let mut wanted = NewTopic::new(topic, rule.partitions, TopicReplication::Fixed(rule.replicas));
    for (name, value) in &rule.settings {
        wanted = wanted.set(name, value);
    }
    let options = AdminOptions::new().operation_timeout(Some(TIMEOUT)).request_timeout(Some(TIMEOUT));
    let made = runtime.block_on(admin.create_topics([&wanted], &options));
    for result in made.or_kind(Kind::Unreachable)? {
        match result {
            Ok(_) => tracing::info!(event = "forward_topic_created", topic, "a topic was made at the centre"),
            Err((_, Code::TopicAlreadyExists)) => {}
            Err((_, code)) => return Err(refused(code)),
        }
    }
    Ok(())
}

fn refused(code: Code) -> Error {
    let (kind, remedy) = match code {
        Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed => {
            (Kind::Denied, "grant CREATE, or make the topic by hand and take its rule out of forward.topic")
        }
        Code::InvalidReplicationFactor
        | Code::InvalidPartitions
        | Code::InvalidConfig
        | Code::InvalidTopic
        | Code::PolicyViolation => (Kind::Rejected, "correct its rule in forward.topic"),
        _ => (Kind::Unreachable, "it is tried again"),
    };
    Error::new(kind, format!("{code:?}: {code}")).remedy(remedy)
}
