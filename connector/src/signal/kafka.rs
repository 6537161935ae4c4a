//! Signals as records of a Kafka topic: the key is the topic prefix, the value `{"type": …, "data": …}`.
//!
//! Debezium reads the topic's one partition; so do we. What was taken is remembered in the group's offset,
//! so that a signal sent while we were away is found at the start.

use super::file::object;
use crate::config::signal::SignalConfig;
use crate::model::request::Request;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use shared::error::{Context, Kind, OrKind, Result};
use shared::kafka::KafkaConfig;
use std::time::Duration;

/// Nothing else goes on meanwhile; it is tried again.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Records taken at once.
const AT_ONCE: usize = 64;

pub struct KafkaChannel {
    client: ClientConfig,
    topic: String,
    key: String,
    consumer: Option<BaseConsumer>,
    /// The next record after those that were taken.
    next: Option<i64>,
}

impl KafkaChannel {
    pub fn new(config: &SignalConfig, kafka: &KafkaConfig, topic_prefix: &str) -> Result<Self> {
        let mut client = ClientConfig::new();
        client
            .set("client.id", "tidegate-connector-signals")
            .set("log.connection.close", "false")
            .set("group.id", &config.group)
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "latest")
            .set("isolation.level", "read_committed")
            .set("allow.auto.create.topics", "true");
        for (name, value) in kafka.client_properties() {
            client.set(name, value);
        }
        let topic = config.topic.clone().unwrap_or_else(|| format!("{topic_prefix}-signal"));
        Ok(KafkaChannel { client, topic, key: topic_prefix.to_owned(), consumer: None, next: None })
    }

    /// Where the group stands, or else the end as it is now; a topic that is yet to be made is read from its
    /// beginning.
    fn open(&mut self) -> Result<BaseConsumer> {
        let consumer: BaseConsumer = self.client.create().or_kind(Kind::Config)?;
        let mut wanted = TopicPartitionList::new();
        wanted.add_partition(&self.topic, 0);
        let committed = consumer.committed_offsets(wanted, TIMEOUT).or_kind(Kind::Unreachable)?;
        let stored = committed.find_partition(&self.topic, 0).map(|found| found.offset());
        let from = match (stored, consumer.fetch_watermarks(&self.topic, 0, TIMEOUT)) {
            (Some(Offset::Offset(offset)), _) => Offset::Offset(offset),
            (_, Ok((_, end))) => {
                // Remembered at once: a signal that is sent while we are away is found.
                self.next = Some(end);
                Offset::Offset(end)
            }
            (_, Err(_)) => Offset::Beginning,
        };
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition_offset(&self.topic, 0, from).or_kind(Kind::Bug)?;
        consumer.assign(&assignment).or_kind(Kind::Unreachable)?;
        Ok(consumer)
    }

    pub fn poll(&mut self) -> Result<Vec<Request>> {
        if self.consumer.is_none() {
            let doing = format!("read signals from topic {}", self.topic);
            self.consumer = Some(self.open().doing(|| doing)?);
        }
        let mut requests = Vec::new();
        let Some(consumer) = &self.consumer else { return Ok(requests) };
        for _ in 0..AT_ONCE {
            match consumer.poll(Duration::ZERO) {
                None => break,
                Some(Err(error)) => {
                    tracing::debug!(event = "kafka_error", %error, "librdkafka reports an error");
                }
                Some(Ok(message)) => {
                    self.next = Some(message.offset() + 1);
                    requests.extend(self.read(&message));
                }
            }
        }
        Ok(requests)
    }

    /// Records of other connectors, and what is not understood, are passed over.
    fn read(&self, message: &BorrowedMessage<'_>) -> Option<Request> {
        if message.key() != Some(self.key.as_bytes()) {
            return None;
        }
        let value = serde_json::from_slice(message.payload().unwrap_or_default());
        let request = value.or_kind(Kind::Config).and_then(|value| object(&value));
        match request {
            Ok(mut request) => {
                if request.id.is_empty() {
                    request.id = format!("{}-{}", self.topic, message.offset());
                }
                Some(request)
            }
            Err(error) => {
                tracing::warn!(event = "signal_refused", %error, remedy = error.hint(), "a signal is passed over");
                None
            }
        }
    }

    pub fn commit(&mut self) {
        let (Some(consumer), Some(next)) = (&self.consumer, self.next.take()) else { return };
        let mut offsets = TopicPartitionList::new();
        let added = offsets.add_partition_offset(&self.topic, 0, Offset::Offset(next));
        if let Err(error) = added.and_then(|()| consumer.commit(&offsets, CommitMode::Async)) {
            tracing::debug!(event = "kafka_error", %error, "signals may be read again at the next start");
        }
    }
}
