//! Progress in a compacted Kafka topic, as a distributed Kafka Connect worker keeps it.

use super::{Message, OffsetStore, format};
use crate::config::offset::OffsetConfig;
use crate::metrics;
use crate::model::finding::Finding;
use crate::model::position::Position;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::{ClientConfig, ClientContext, Offset, TopicPartitionList};
use shared::error::{Context, Error, Kind, OrKind, Result};
use shared::kafka::KafkaConfig;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// For each request. A broker that was just started may take seconds for its first topic.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Reading the whole topic: it is compacted, so a few thousand records at most.
const LOAD_TIMEOUT: Duration = Duration::from_secs(60);
const SLICE: Duration = Duration::from_millis(100);
/// A stored position is waited for by the thread that reads changes.
const REPORT_SLICE: Duration = Duration::from_millis(2);

/// The topic, the key, and a producer kept for the next save.
pub struct KafkaOffsets {
    topic: String,
    partitions: i32,
    replicas: i32,
    /// Whether to make a topic that is not there.
    makes: bool,
    key: String,
    client: ClientConfig,
    producer: BaseProducer<Outcome>,
    runtime: Handle,
}

/// The result of the one record on its way.
#[derive(Default)]
struct Outcome(Mutex<Option<std::result::Result<(), KafkaError>>>);

impl ClientContext for Outcome {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(event = "kafka_error", %error, reason, "librdkafka reports an error");
    }
}

impl ProducerContext for Outcome {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let result = result.as_ref().map(|_| ()).map_err(|(error, _)| error.clone());
        if let Ok(mut outcome) = self.0.lock() {
            *outcome = Some(result);
        }
    }
}

impl KafkaOffsets {
    /// `server` is the topic prefix. Nothing is asked yet.
    pub fn new(config: &OffsetConfig, kafka: &KafkaConfig, server: &str, runtime: Handle) -> Result<Self> {
        let mut client = ClientConfig::new();
        client.set("client.id", "tidegate-connector-offsets").set("log.connection.close", "false");
        let mut writing = client.clone();
        // Connect reads the partition that Java's partitioner gives for the key's bytes.
        writing.set("partitioner", "murmur2_random").set("acks", "all").set("enable.idempotence", "true");
        writing.set("linger.ms", "0").set("message.timeout.ms", TIMEOUT.as_millis().to_string());
        for (name, value) in kafka.client_properties() {
            client.set(&name, &value);
            writing.set(name, value);
        }
        let producer = writing
            .create_with_context(Outcome::default())
            .or_kind(Kind::Config)
            .doing(|| "prepare the producer of offsets")?;
        Ok(KafkaOffsets {
            topic: config.topic.clone(),
            partitions: i32::try_from(config.topic_partitions).or_kind(Kind::Config)?,
            replicas: config.topic_replicas,
            makes: true,
            key: format::key(&config.connector, server),
            client,
            producer,
            runtime,
        })
    }

    /// A topic that a worker made already; one that is not there is an error.
    pub fn existing(
        config: &OffsetConfig,
        kafka: &KafkaConfig,
        server: &str,
        runtime: Handle,
    ) -> Result<Self> {
        Ok(KafkaOffsets { makes: false, ..KafkaOffsets::new(config, kafka, server, runtime)? })
    }

    /// Whether the topic keeps the newest position for ever.
    pub fn compacted(&self) -> Finding {
        let ask = || -> Result<Option<String>> {
            let admin: AdminClient<DefaultClientContext> = self.client.create().or_kind(Kind::Config)?;
            let options = AdminOptions::new().request_timeout(Some(TIMEOUT));
            let wanted = [ResourceSpecifier::Topic(&self.topic)];
            let answers = self.runtime.block_on(admin.describe_configs(&wanted, &options));
            let answers = answers.or_kind(Kind::Unreachable)?;
            let policy =
                answers.iter().flatten().find_map(|topic| topic.get("cleanup.policy")?.value.clone());
            Ok(policy)
        };
        let topic = &self.topic;
        match ask() {
            Ok(Some(policy)) if policy != "compact" => Finding::error(
                "offset",
                format!("topic {topic} has cleanup.policy={policy}: positions are forgotten after a while"),
                "set cleanup.policy=compact on the topic",
            ),
            _ => Finding::ok("offset", format!("progress is stored in topic {topic}")),
        }
    }

    /// The topic's partitions; makes the topic if there is none.
    fn partitions(&self, consumer: &BaseConsumer) -> Result<Vec<i32>> {
        let ask = || -> Result<Vec<i32>> {
            let metadata = consumer.fetch_metadata(Some(&self.topic), TIMEOUT).or_kind(Kind::Unreachable)?;
            let topic = metadata.topics().iter().find(|topic| topic.name() == self.topic);
            Ok(topic.map(|topic| topic.partitions().iter().map(|p| p.id()).collect()).unwrap_or_default())
        };
        let found = ask()?;
        if !found.is_empty() {
            return Ok(found);
        }
        if !self.makes {
            return Err(Error::new(Kind::Config, "there is no such topic")
                .remedy("set offset.topic to the worker's offset.storage.topic"));
        }
        self.create()?;
        let end = Instant::now() + TIMEOUT;
        loop {
            let found = ask()?;
            if !found.is_empty() {
                return Ok(found);
            }
            if Instant::now() >= end {
                return Err(Error::new(Kind::Unreachable, "the topic was made but does not show up"));
            }
            std::thread::sleep(SLICE);
        }
    }

    /// Waits for the record's delivery report. (`flush` would sleep for a tenth of a second.)
    fn outcome(&self) -> Option<std::result::Result<(), KafkaError>> {
        let end = Instant::now() + TIMEOUT + SLICE;
        while Instant::now() < end {
            self.producer.poll(REPORT_SLICE);
            let outcome = self.producer.context().0.lock().ok().and_then(|mut outcome| outcome.take());
            if outcome.is_some() {
                return outcome;
            }
        }
        None
    }

    fn create(&self) -> Result<()> {
        let admin: AdminClient<DefaultClientContext> = self.client.create().or_kind(Kind::Config)?;
        let topic = NewTopic::new(&self.topic, self.partitions, TopicReplication::Fixed(self.replicas))
            .set("cleanup.policy", "compact");
        let options = AdminOptions::new().operation_timeout(Some(TIMEOUT)).request_timeout(Some(TIMEOUT));
        let made = self.runtime.block_on(admin.create_topics([&topic], &options));
        for result in made.or_kind(Kind::Unreachable)? {
            match result {
                Ok(_) => tracing::info!(
                    event = "offset_topic_created",
                    topic = self.topic.as_str(),
                    partitions = self.partitions,
                    "the topic for progress was made"
                ),
                Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((_, code)) => {
                    return Err(Error::new(refusal(code), format!("create it: {code}"))
                        .remedy("create the topic by hand, with cleanup.policy=compact"));
                }
            }
        }
        Ok(())
    }

    /// Reads everything up to the present end; the newest value of our key wins.
    fn read(&self) -> Result<Option<Vec<u8>>> {
        let mut reading = self.client.clone();
        // No group is ever joined; the property must be there.
        reading.set("group.id", "tidegate-connector-offsets").set("enable.auto.commit", "false");
        reading.set("isolation.level", "read_committed").set("enable.partition.eof", "false");
        reading.set("auto.offset.reset", "earliest").set("allow.auto.create.topics", "false");
        let consumer: BaseConsumer = reading.create().or_kind(Kind::Config)?;
        let mut ends = Vec::new();
        let mut assignment = TopicPartitionList::new();
        for partition in self.partitions(&consumer)? {
            let (low, high) = self.watermarks(&consumer, partition)?;
            if low < high {
                ends.push((partition, high));
                let added = assignment.add_partition_offset(&self.topic, partition, Offset::Beginning);
                added.or_kind(Kind::Bug)?;
            }
        }
        if ends.is_empty() {
            return Ok(None);
        }
        consumer.assign(&assignment).or_kind(Kind::Unreachable)?;
        self.newest(&consumer, &ends)
    }

    /// A partition that was just made, or whose broker restarts, has its leader a little later.
    fn watermarks(&self, consumer: &BaseConsumer, partition: i32) -> Result<(i64, i64)> {
        let end = Instant::now() + TIMEOUT;
        loop {
            let error = match consumer.fetch_watermarks(&self.topic, partition, TIMEOUT) {
                Ok(found) => return Ok(found),
                Err(error) => error,
            };
            let leaderless = matches!(
                error.rdkafka_error_code(),
                Some(RDKafkaErrorCode::NotLeaderForPartition | RDKafkaErrorCode::LeaderNotAvailable)
            );
            if !leaderless || Instant::now() >= end {
                return Err(error).or_kind(Kind::Unreachable);
            }
            std::thread::sleep(SLICE);
        }
    }

    fn newest(&self, consumer: &BaseConsumer, ends: &[(i32, i64)]) -> Result<Option<Vec<u8>>> {
        let deadline = Instant::now() + LOAD_TIMEOUT;
        let mut newest: Option<(i64, Option<Vec<u8>>)> = None;
        let mut last_error = None;
        while !reached(consumer, &self.topic, ends)? {
            if Instant::now() >= deadline {
                let words = last_error.unwrap_or_else(|| "its end was not reached in time".to_owned());
                return Err(Error::new(Kind::Unreachable, words));
            }
            match consumer.poll(SLICE) {
                Some(Ok(message)) => self.consider(&message, &mut newest),
                Some(Err(error)) => last_error = Some(error.to_string()),
                None => {}
            }
        }
        Ok(newest.and_then(|(_, value)| value))
    }

    /// A later record wins; between partitions (their number was changed) the younger one.
    fn consider(&self, message: &BorrowedMessage<'_>, newest: &mut Option<(i64, Option<Vec<u8>>)>) {
        if message.key().is_some_and(|key| format::is_key(key, &self.key)) {
            let time = message.timestamp().to_millis().unwrap_or(0);
            if newest.as_ref().is_none_or(|(known, _)| *known <= time) {
                *newest = Some((time, message.payload().map(<[u8]>::to_vec)));
            }
        }
    }
}

/// The consumer stands at or behind each end. Control records count, so go by positions.
fn reached(consumer: &BaseConsumer, topic: &str, ends: &[(i32, i64)]) -> Result<bool> {
    let positions = consumer.position().or_kind(Kind::Bug)?;
    Ok(ends.iter().all(|(partition, end)| {
        let at = positions.find_partition(topic, *partition).map(|found| found.offset());
        matches!(at, Some(Offset::Offset(at)) if at >= *end)
    }))
}

fn refusal(code: RDKafkaErrorCode) -> Kind {
    match code {
        RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::ClusterAuthorizationFailed => {
            Kind::Denied
        }
        RDKafkaErrorCode::InvalidReplicationFactor
        | RDKafkaErrorCode::PolicyViolation
        | RDKafkaErrorCode::InvalidTopic
        | RDKafkaErrorCode::UnknownTopicOrPartition
        | RDKafkaErrorCode::UnknownTopic => Kind::Rejected,
        _ => Kind::Unreachable,
    }
}

impl OffsetStore for KafkaOffsets {
    fn load(&mut self) -> Result<Option<Position>> {
        let doing = || format!("read progress from topic {}", self.topic);
        match self.read().doing(doing)? {
            Some(value) => format::position(&value).map(Some).doing(doing),
            None => Ok(None),
        }
    }

    fn message(&self, position: &Position) -> Option<Message> {
        let (topic, key) = (self.topic.clone(), self.key.clone().into_bytes());
        Some(Message { topic, key, value: format::value(position).to_string().into_bytes() })
    }

    fn save(&mut self, position: &Position) -> Result<()> {
        let doing = || format!("store progress in topic {}", self.topic);
        let value = format::value(position).to_string();
        if let Ok(mut outcome) = self.producer.context().0.lock() {
            *outcome = None;
        }
        let record = BaseRecord::to(&self.topic).key(self.key.as_str()).payload(value.as_str());
        self.producer.send(record).map_err(|(error, _)| failed(&error)).doing(doing)?;
        let outcome = self.outcome();
        match outcome {
            Some(Ok(())) => {
                metrics::OFFSET_SAVES.inc();
                Ok(())
            }
            Some(Err(error)) => Err(failed(&error)).doing(doing),
            None => Err(Error::new(Kind::Unreachable, "no answer in time")).doing(doing),
        }
    }

    fn place(&self) -> String {
        format!("topic {}", self.topic)
    }
}

fn failed(error: &KafkaError) -> Error {
    let kind = error.rdkafka_error_code().map_or(Kind::Unreachable, refusal);
    Error::from_source(kind, error.clone())
}

#[cfg(test)]
mod tests;
