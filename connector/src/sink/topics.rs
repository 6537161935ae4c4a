//! Topics made before their first record, where the operator says how: partitions, replicas, settings.
//! Without a rule that fits, a topic is the brokers' affair, as with Kafka Connect.

use crate::config::sink::{SinkConfig, TopicRule};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::RDKafkaErrorCode;
use regex::RegexSet;
use shared::error::{Context, Error, Kind, OrKind, Result};
use std::collections::HashSet;
use std::time::Duration;
use tokio::runtime::Handle;

const TIMEOUT: Duration = Duration::from_secs(10);
/// Topics remembered; a forgotten one is found to exist.
const REMEMBERED: usize = 65_536;

pub struct Topics {
    rules: Vec<Rule>,
    client: ClientConfig,
    runtime: Handle,
    seen: HashSet<String>,
}

struct Rule {
    include: RegexSet,
    exclude: RegexSet,
    given: TopicRule,
}

impl Topics {
    /// # Errors
    /// `Config`, for an expression that is none.
    pub fn new(config: &SinkConfig, runtime: Handle) -> Result<Topics> {
        let whole = |patterns: &[String]| {
            let patterns = patterns.iter().map(|pattern| format!("^(?:{pattern})$"));
            RegexSet::new(patterns).or_kind(Kind::Config).doing(|| "read sink.topic")
        };
        let rule = |given: &TopicRule| {
            Ok(Rule {
                include: whole(&given.include)?,
                exclude: whole(&given.exclude)?,
                given: given.clone(),
            })
        };
        let mut client = ClientConfig::new();
        client.set("client.id", "tidegate-connector-topics").set("log.connection.close", "false");
        for (name, value) in config.kafka.client_properties() {
            client.set(name, value);
        }
        let rules = config.topic.iter().map(rule).collect::<Result<_>>()?;
        Ok(Topics { rules, client, runtime, seen: HashSet::new() })
    }

    /// Whether it is the brokers' to make, and new here; then it is not any more.
    pub fn is_the_brokers(&mut self, topic: &str) -> bool {
        let theirs = !self.seen.contains(topic) && !self.rules.iter().any(|rule| rule.fits(topic));
        if theirs {
            self.remember(topic);
        }
        theirs
    }

    /// Makes the topic if it is new and a rule fits.
    ///
    /// # Errors
    /// `Unreachable` (try again), `Denied`, `Rejected` with the brokers' words.
    #[inline]
    pub fn ensure(&mut self, topic: &str) -> Result<()> {
        if self.rules.is_empty() || self.seen.contains(topic) { Ok(()) } else { self.make(topic) }
    }

    fn make(&mut self, topic: &str) -> Result<()> {
        let rule = self.rules.iter().find(|rule| rule.fits(topic));
        if let Some(rule) = rule {
            self.create(topic, &rule.given).doing(|| format!("create topic {topic}"))?;
        }
        self.remember(topic);
        Ok(())
    }

    fn remember(&mut self, topic: &str) {
        if self.seen.len() >= REMEMBERED {
            self.seen.clear();
        }
        self.seen.insert(topic.to_owned());
    }

    fn create(&self, topic: &str, rule: &TopicRule) -> Result<()> {
        let admin: AdminClient<DefaultClientContext> = self.client.create().or_kind(Kind::Config)?;
        let replicas = TopicReplication::Fixed(rule.replicas);
        let mut wanted = NewTopic::new(topic, rule.partitions, replicas);
        for (name, value) in &rule.settings {
            wanted = wanted.set(name, value);
        }
        let options = AdminOptions::new().operation_timeout(Some(TIMEOUT)).request_timeout(Some(TIMEOUT));
        let made = self.runtime.block_on(admin.create_topics([&wanted], &options));
        for result in made.or_kind(Kind::Unreachable)? {
            match result {
                Ok(_) => tracing::info!(event = "topic_created", topic, "topic made"),
                Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((_, code)) => return Err(refused(code)),
            }
        }
        Ok(())
    }
}

impl Rule {
    /// Without names to include it is for all.
    fn fits(&self, topic: &str) -> bool {
        (self.include.is_empty() || self.include.is_match(topic)) && !self.exclude.is_match(topic)
    }
}

fn refused(code: RDKafkaErrorCode) -> Error {
    use RDKafkaErrorCode as Code;
    let (kind, remedy) = match code {
        Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed => {
            (Kind::Denied, "grant CREATE, or make the topic by hand and take its rule out of sink.topic")
        }
        Code::InvalidReplicationFactor
        | Code::InvalidPartitions
        | Code::InvalidConfig
        | Code::InvalidTopic
        | Code::PolicyViolation => (Kind::Rejected, "correct its rule in sink.topic"),
        _ => (Kind::Unreachable, "it is tried again"),
    };
    Error::new(kind, format!("{code:?}: {code}")).remedy(remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_fits_counts() {
        let text = "[kafka]\nbrokers = 'b:1'\n[[topic]]\ninclude = ['p\\.a\\..*']\nexclude = ['.*secret']\n\
                    partitions = 3\n[[topic]]\n";
        let overrides = shared::config::Overrides { env_prefix: "NONE", set: &[] };
        let config: SinkConfig = shared::config::parse(text, &overrides).expect("valid");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let topics = Topics::new(&config, runtime.handle().clone()).expect("valid");
        let partitions =
            |topic: &str| topics.rules.iter().find(|rule| rule.fits(topic)).map(|rule| rule.given.partitions);
        for (topic, want) in [("p.a.t", 3), ("p.a.secret", -1), ("p.ab", -1), ("xp.a.t", -1)] {
            assert_eq!(partitions(topic), Some(want), "{topic}");
        }
    }
}
