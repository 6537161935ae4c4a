//! librdkafka as a plain reader: assigned by hand, no group, nothing stored at the brokers.

use crate::config::consume::{ConsumeConfig, Lost, Start};
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::{Offset, TopicPartitionList};
use shared::error::{Error, Kind, OrKind, Result};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// A broker that takes longer is away; a stop waits this long at most for each question under way.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);

/// What librdkafka tells from within `poll`.
#[derive(Default)]
struct Words {
    /// Why no broker can be reached.
    lost: Mutex<Option<String>>,
}

impl ClientContext for Words {
    /// Its lines are details of what we say ourselves, once.
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error
            | RDKafkaLogLevel::Warning => {
                tracing::info!(event = "librdkafka", facility, text, "librdkafka says");
            }
            _ => tracing::debug!(event = "librdkafka", facility, text, "librdkafka says"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(event = "consume_error", %error, reason, "librdkafka reports an error");
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            *self.lost.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
        }
    }
}

impl ConsumerContext for Words {}

pub(super) struct Client(BaseConsumer<Words>);

/// What a poll brought.
pub(super) enum Polled<'a> {
    Record(BorrowedMessage<'a>),
    /// Some partition's place is gone from the brokers.
    PlaceGone,
    /// The end of a partition of this number, if ends were asked for.
    End(i32),
    /// Nothing to be done about it.
    Nothing,
}

impl Client {
    /// Reaches no broker yet.
    ///
    /// # Errors
    /// `Config`: librdkafka does not take a property.
    pub fn new(config: &ConsumeConfig) -> Result<Client> {
        Client::with_ends(config, false)
    }

    /// That tells of each partition's end as it is reached, or not.
    pub fn with_ends(config: &ConsumeConfig, ends: bool) -> Result<Client> {
        let mut client = ClientConfig::new();
        client.set_log_level(RDKafkaLogLevel::Info);
        let queue_kib = (config.queue_bytes / 1024).max(1);
        let fetch_bytes = config.queue_bytes.max(1_000_000);
        for (name, value) in [
            ("client.id", "tidegate-agent".to_owned()),
            ("queued.max.messages.kbytes", queue_kib.to_string()),
            ("fetch.max.bytes", fetch_bytes.to_string()),
            ("max.partition.fetch.bytes", config.batch_bytes.to_string()),
            ("fetch.queue.backoff.ms", "20".to_owned()),
            ("fetch.wait.max.ms", "100".to_owned()),
            ("socket.keepalive.enable", "true".to_owned()),
        ] {
            client.set(name, value);
        }
        for (name, value) in config.kafka.client_properties() {
            client.set(name, value);
        }
        let when_lost = match config.lost {
            Lost::Stop => "error",
            Lost::Earliest => "earliest",
        };
        // These are not the operator's to change: positions are kept here, exactly.
        for (name, value) in [
            ("group.id", "tidegate-agent"), // asked for by librdkafka, never joined
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("enable.partition.eof", if ends { "true" } else { "false" }),
            ("allow.auto.create.topics", "false"),
            ("auto.offset.reset", when_lost),
        ] {
            client.set(name, value);
        }
        let consumer = client.create_with_context(Words::default()).or_kind(Kind::Config);
        consumer.map(Client).map_err(|error| error.doing("prepare the reader of central Kafka"))
    }

    /// Why no broker can be reached, said once.
    pub fn take_lost(&self) -> Option<String> {
        self.0.context().lost.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The cluster's name, which its offsets belong to.
    pub fn cluster(&self) -> Result<String> {
        self.0
            .client()
            .fetch_cluster_id(ANSWER_LIMIT)
            .ok_or_else(|| Error::new(Kind::Unreachable, "no broker of central Kafka answers"))
    }

    /// The topics that begin so, but those that Kafka keeps for itself.
    pub fn topics_with(&self, beginning: &str) -> Result<Vec<String>> {
        let metadata = self.0.fetch_metadata(None, ANSWER_LIMIT).map_err(said)?;
        let names = metadata.topics().iter().map(|topic| topic.name().to_owned());
        let meant = |name: &String| name.starts_with(beginning) && !name.starts_with("__");
        let mut names: Vec<String> = names.filter(meant).collect();
        names.sort();
        Ok(names)
    }

    /// Where a partition begins that was never read; `None`: at its beginning.
    pub fn start(&self, start: &Start, topic: &str, partition: i32) -> Result<Option<i64>> {
        let high =
            || self.0.fetch_watermarks(topic, partition, ANSWER_LIMIT).map(|(_, high)| high).map_err(said);
        let time_ms = match start {
            Start::Earliest => return Ok(None),
            Start::Latest => return high().map(Some),
            Start::At(time_ms) => *time_ms,
        };
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(time_ms)).or_kind(Kind::Bug)?;
        let found = self.0.offsets_for_times(list, ANSWER_LIMIT).map_err(said)?;
        match found.find_partition(topic, partition).map(|found| found.offset()) {
            Some(Offset::Offset(offset)) => Ok(Some(offset)),
            // Nothing is as young.
            _ => high().map(Some),
        }
    }

    /// How many partitions a topic has; 0 if there is no such topic.
    pub fn partitions(&self, topic: &str) -> Result<u32> {
        let metadata = self.0.fetch_metadata(Some(topic), ANSWER_LIMIT).map_err(said)?;
        let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else { return Ok(0) };
        match found.error().map(RDKafkaErrorCode::from) {
            None => Ok(u32::try_from(found.partitions().len()).unwrap_or(0)),
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => Ok(0),
            Some(code) => Err(said(KafkaError::MetadataFetch(code)).doing(format!("ask for topic {topic}"))),
        }
    }

    /// Reads these partitions from these offsets on (`None`: from the beginning), and no others.
    pub fn assign<'a>(&self, places: impl Iterator<Item = (&'a str, i32, Option<i64>)>) -> Result<()> {
        let mut list = TopicPartitionList::new();
        for (topic, partition, next_offset) in places {
            let offset = next_offset.map_or(Offset::Beginning, Offset::Offset);
            list.add_partition_offset(topic, partition, offset).or_kind(Kind::Bug)?;
        }
        self.0.assign(&list).map_err(said)
    }

    /// The next record, waiting at most `limit`; `None` if there is none.
    pub fn poll(&self, limit: Duration) -> Result<Option<Polled<'_>>> {
        use RDKafkaErrorCode as Code;
        match self.0.poll(limit) {
            None => Ok(None),
            Some(Ok(message)) => Ok(Some(Polled::Record(message))),
            Some(Err(KafkaError::PartitionEOF(partition))) => Ok(Some(Polled::End(partition))),
            Some(Err(error)) => match error.rdkafka_error_code() {
                Some(Code::AutoOffsetReset | Code::OffsetOutOfRange) => Ok(Some(Polled::PlaceGone)),
                // Of the group, which is never joined; of one broker, which librdkafka comes back to.
                Some(
                    Code::GroupAuthorizationFailed
                    | Code::CoordinatorNotAvailable
                    | Code::NotCoordinator
                    | Code::BrokerTransportFailure
                    | Code::Resolve
                    | Code::AllBrokersDown,
                ) => Ok(Some(Polled::Nothing)),
                _ => Err(said(error)),
            },
        }
    }

    /// Whether the brokers no longer have a partition's first record.
    pub fn is_cut(&self, topic: &str, partition: i32) -> Result<bool> {
        self.0.fetch_watermarks(topic, partition, ANSWER_LIMIT).map(|(low, _)| low > 0).map_err(said)
    }

    /// Whether the brokers still have (or will have next) this offset.
    pub fn has(&self, topic: &str, partition: i32, offset: i64) -> Result<bool> {
        let (low, high) = self.0.fetch_watermarks(topic, partition, ANSWER_LIMIT).map_err(said)?;
        Ok((low..=high).contains(&offset))
    }
}

/// Gives the brokers' words their kind.
fn said(error: KafkaError) -> Error {
    use RDKafkaErrorCode as Code;
    let (kind, remedy) = match error.rdkafka_error_code() {
        Some(Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed) => {
            (Kind::Denied, "grant READ and DESCRIBE on the topic")
        }
        Some(Code::SaslAuthenticationFailed | Code::Authentication) => {
            (Kind::Denied, "check consume.kafka.security")
        }
        _ => (Kind::Unreachable, "check consume.kafka.brokers, and that the brokers run"),
    };
    Error::from_source(kind, error).remedy(remedy)
}
