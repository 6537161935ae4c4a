//! Signals as records of a Kafka topic: the key is the topic prefix, the value `{"type": …, "data": …}`.
//!
//! Debezium reads the topic's one partition; so do we. What was taken is remembered in the group's offset,
//! so that a signal sent while we were away is found at the start.

use super::file::object;
use crate::config::signal::SignalConfig;
use crate::model::request::Request;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use shared::error::{Error, Kind, OrKind, Result};
use shared::kafka::KafkaConfig;
use std::time::{Duration, Instant};

/// Nothing else goes on meanwhile; it is tried again.
const TIMEOUT: Duration = Duration::from_secs(3);
/// A group's coordinator that moves, or a broker that restarts, is not worth a word.
const UNSAID: Duration = Duration::from_secs(5);
/// Records taken at once.
const AT_ONCE: usize = 64;

pub struct KafkaChannel {
    client: ClientConfig,
    topic: String,
    key: String,
    consumer: Option<BaseConsumer>,
    /// The next record after those that were taken.
    next: Option<i64>,
    outage: Option<Outage>,
}

/// The topic cannot be read.
struct Outage {
    since: Instant,
    said: bool,
}

impl Outage {
    /// True once: when it has lasted for a while.
    fn is_to_be_said(&mut self, now: Instant) -> bool {
        let due = !self.said && now.duration_since(self.since) >= UNSAID;
        self.said |= due;
        due
    }
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
        Ok(KafkaChannel {
            client,
            topic,
            key: topic_prefix.to_owned(),
            consumer: None,
            next: None,
            outage: None,
        })
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
            (_, Err(error)) if is_yet_to_be_made(&error) => Offset::Beginning,
            (_, Err(error)) => return Err(Error::from_source(Kind::Unreachable, error)),
        };
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition_offset(&self.topic, 0, from).or_kind(Kind::Bug)?;
        consumer.assign(&assignment).or_kind(Kind::Unreachable)?;
        Ok(consumer)
    }

    /// What was asked since the last call. Records of the source go on while the topic cannot be read.
    pub fn poll(&mut self) -> Vec<Request> {
        let mut requests = Vec::new();
        if self.consumer.is_none() {
            match self.open() {
                Ok(consumer) => self.opened(consumer),
                Err(error) => self.waits(error),
            }
        }
        let Some(consumer) = &self.consumer else { return requests };
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
        requests
    }

    fn opened(&mut self, consumer: BaseConsumer) {
        self.consumer = Some(consumer);
        if self.outage.take().is_some_and(|outage| outage.said) {
            tracing::info!(event = "signals_readable", topic = self.topic.as_str(), "signals are read again");
        }
    }

    fn waits(&mut self, error: Error) {
        let outage = self.outage.get_or_insert_with(|| Outage { since: Instant::now(), said: false });
        if !outage.is_to_be_said(Instant::now()) {
            tracing::debug!(event = "kafka_error", %error, "the topic of signals is asked for again");
            return;
        }
        let error = error.doing(format!("read signals from topic {}", self.topic));
        tracing::warn!(event = "signals_unreadable", %error, remedy = error.hint(), "signals by Kafka wait");
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

/// The question itself makes the topic, where brokers do that.
fn is_yet_to_be_made(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{LeaderNotAvailable, UnknownPartition, UnknownTopic, UnknownTopicOrPartition};
    let codes = [UnknownPartition, UnknownTopic, UnknownTopicOrPartition, LeaderNotAvailable];
    error.rdkafka_error_code().is_some_and(|code| codes.contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_said_once_and_not_at_once() {
        let since = Instant::now();
        let mut outage = Outage { since, said: false };
        let said = [UNSAID / 2, UNSAID, UNSAID * 2].map(|lasts| outage.is_to_be_said(since + lasts));
        assert_eq!(said, [false, true, false]);
    }

    #[test]
    fn only_a_missing_topic_is_yet_to_be_made() {
        let fetched = |code| is_yet_to_be_made(&KafkaError::MetadataFetch(code));
        assert!(fetched(RDKafkaErrorCode::UnknownTopicOrPartition));
        assert!(!fetched(RDKafkaErrorCode::OperationTimedOut));
    }
}
