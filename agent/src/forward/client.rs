//! librdkafka as a producer: with transactions that carry how far we are, or idempotent without.
//!
//! The plain producer, polled by this room's own thread. What a transaction left open by an earlier
//! process (or by an earlier client of this one) held is taken back when the next client begins.

use super::centre::{Centre, Outgoing, Position};
use super::committed;
use super::flight::Mark;
use super::refusal;
use super::report::{Quiet, Reports};
use crate::config::forward::ForwardConfig;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use shared::error::{Context, Error, Kind, OrKind, Result};
use shared::time::{Clock, Instant};
use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// A broker that takes longer is away; a stop waits this long at most for each question under way.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(3);
/// The producer's own waiting lasts for all of its time, whatever comes, and turns without rest at its end: it is
/// asked this often instead.
const NAP: Duration = Duration::from_millis(1);
/// librdkafka should have answered by [`ANSWER_LIMIT`], or said that it cannot; a stop may not wait for so long.
const TELL_LIMIT: Duration = Duration::from_secs(10);
/// A group's coordinator that has just moved is looked for this often.
const MOVES: Duration = Duration::from_millis(100);
/// What librdkafka keeps of a message beside its key and value, roughly, with a small message in it.
const MESSAGE_BYTES: u32 = 512;

pub struct Client {
    /// Shared with a question to librdkafka that is not answered.
    producer: Arc<BaseProducer<Reports>>,
    /// None at least once.
    group: Option<Group>,
    /// Since when a transaction is open.
    open: Option<Opened>,
    timeout: Duration,
    clock: Clock,
}

/// Where transactions keep how far we are; never joined.
struct Group {
    consumer: BaseConsumer<Quiet>,
    metadata: Arc<ConsumerGroupMetadata>,
}

#[derive(Clone, Copy)]
struct Opened {
    at: Duration,
    /// A machine that sleeps stops the monotonic clock.
    wall: Instant,
}

impl Client {
    /// Reaches no broker yet. `name` is this agent's own: whoever begins with it ends those before.
    ///
    /// # Errors
    /// `Config`: librdkafka does not take a property.
    pub fn new(config: &ForwardConfig, name: &str, clock: &Clock) -> Result<Client> {
        let exactly_once = config.exactly_once();
        let mut client = settings(config);
        if exactly_once {
            let timeout = config.transaction_timeout.as_millis().to_string();
            client.set("transactional.id", name).set("transaction.timeout.ms", &timeout);
            // No record may be waited for longer than its transaction.
            client.set("message.timeout.ms", timeout);
        }
        let producer = client.create_with_context(Reports::default());
        let producer = producer.or_kind(Kind::Config).doing(|| "prepare the producer of central Kafka")?;
        let producer = Arc::new(producer);
        let group = if exactly_once { Some(Group::new(config, name)?) } else { None };
        let (timeout, clock) = (config.transaction_timeout, clock.clone());
        Ok(Client { producer, group, open: None, timeout, clock })
    }

    /// Tells the group how far we are, within the transaction. librdkafka says that it does so in time, but waits for
    /// ever for a request that it lost while the coordinator went away: then the question is left to itself, with
    /// the client that the brokers will not hear any more once the next one has begun.
    fn tell(&self, places: &TopicPartitionList, group: &Group, limit: Duration) -> KafkaResult<()> {
        let (producer, metadata) = (Arc::clone(&self.producer), Arc::clone(&group.metadata));
        let places = places.clone();
        let (answer, answered) = mpsc::sync_channel(1);
        let ask = move || {
            let told = producer.send_offsets_to_transaction(&places, &metadata, ANSWER_LIMIT);
            // Nobody waits for it any more if it took too long.
            let _ = answer.send(told);
        };
        std::thread::Builder::new()
            .name("forward-tell".to_owned())
            .spawn(ask)
            .map_err(|error| KafkaError::ClientCreation(format!("no thread for the question: {error}")))?;
        let told = answered.recv_timeout(limit.clamp(ANSWER_LIMIT, TELL_LIMIT));
        told.unwrap_or(Err(KafkaError::ConsumerCommit(Code::OperationTimedOut)))
    }

    fn reports(&self) -> &Reports {
        self.producer.context()
    }

    fn refused_record(&self, error: &KafkaError, topic: &str) -> Error {
        match self.producer.client().fatal_error() {
            Some((code, _)) => self.refused(&KafkaError::MessageProduction(code), "go on with"),
            None => refusal::of_record(error, topic),
        }
    }

    fn refused(&self, error: &KafkaError, step: &str) -> Error {
        refusal::of_transaction(error, step, self.outlived())
    }

    /// Whether the brokers have ended the open transaction for its age.
    fn outlived(&self) -> bool {
        let wall = |open: &Opened| {
            let nanos = self.clock.now().nanos().saturating_sub(open.wall.nanos());
            Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
        };
        let passed = |open: &Opened| wall(open).max(self.clock.monotonic().saturating_sub(open.at));
        self.open.is_some_and(|open| passed(&open) >= self.timeout)
    }
}

impl Centre for Client {
    fn cluster(&self) -> Result<String> {
        self.producer.client().fetch_cluster_id(ANSWER_LIMIT).ok_or_else(|| {
            let words = self.reports().last_words();
            let words = words.unwrap_or_else(|| "no broker of central Kafka answers".to_owned());
            Error::new(Kind::Unreachable, words).remedy(refusal::AWAY)
        })
    }

    fn start(&mut self) -> Result<()> {
        if self.group.is_none() {
            return Ok(());
        }
        self.producer.init_transactions(ANSWER_LIMIT).map_err(|error| self.refused(&error, "begin"))
    }

    fn partitions(&self, topic: &str) -> Result<u32> {
        let asked = self.producer.client().fetch_metadata(Some(topic), ANSWER_LIMIT);
        let metadata = asked.map_err(|error| refusal::of_record(&error, topic))?;
        let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else { return Ok(0) };
        match found.error().map(Code::from) {
            None => Ok(u32::try_from(found.partitions().len()).unwrap_or(0)),
            Some(Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::LeaderNotAvailable) => Ok(0),
            Some(code) => Err(refusal::of_record(&KafkaError::MetadataFetch(code), topic)),
        }
    }

    fn committed(&self, topic: &str, partitions: u32) -> Result<BTreeMap<i32, Mark>> {
        let mut found = BTreeMap::new();
        let Some(group) = &self.group else { return Ok(found) };
        let mut list = TopicPartitionList::new();
        for partition in (0i32..).take(partitions as usize) {
            list.add_partition(topic, partition);
        }
        let doing = || format!("read how far topic {topic} is at the centre");
        let list = group.committed(&list, &self.clock);
        let list = list.map_err(|error| refusal::of_group(&error)).doing(doing)?;
        for element in list.elements() {
            element.error().map_err(|error| refusal::of_group(&error)).doing(doing)?;
            if !committed::read(element.metadata(), &mut found) {
                let what = format!("the group of this agent holds other words: {:?}", element.metadata());
                return Err(Error::new(Kind::Lost, what).doing(doing()).remedy(
                    "another program writes to this group: end it, then delete the group at the centre",
                ));
            }
        }
        Ok(found)
    }

    #[inline]
    fn begin(&mut self) -> Result<()> {
        if self.group.is_none() || self.open.is_some() {
            return Ok(());
        }
        self.producer.begin_transaction().map_err(|error| self.refused(&error, "begin"))?;
        self.open = Some(Opened { at: self.clock.monotonic(), wall: self.clock.now() });
        Ok(())
    }

    #[inline]
    fn send(&self, outgoing: Outgoing<'_>) -> Result<bool> {
        let number = usize::try_from(outgoing.number).or_kind(Kind::Bug)?;
        let mut record = BaseRecord::<[u8], [u8], usize>::with_opaque_to(outgoing.topic, number);
        record.partition = outgoing.partition;
        record.timestamp = Some(outgoing.time_ms);
        record.key = outgoing.key;
        record.payload = outgoing.value;
        record.headers = outgoing.headers;
        match self.producer.send(record) {
            Ok(()) => Ok(true),
            Err((KafkaError::MessageProduction(Code::QueueFull), _)) => Ok(false),
            Err((error, _)) => Err(self.refused_record(&error, outgoing.topic)),
        }
    }

    fn poll(&self, wait: Duration) -> std::result::Result<(), (Error, Option<String>)> {
        let end = std::time::Instant::now() + wait;
        let (error, topic) = loop {
            self.producer.poll(Duration::ZERO);
            if let Some(failure) = self.reports().failure() {
                break failure;
            }
            let left = end.saturating_duration_since(std::time::Instant::now());
            if left.is_zero() || self.reports().has_news() {
                return Ok(());
            }
            std::thread::sleep(left.min(NAP));
        };
        if self.producer.client().fatal_error().is_some() {
            return Err((self.refused_record(&error, &topic), None));
        }
        let error = refusal::of_record(&error, &topic);
        let alone = !error.retryable();
        Err((error, alone.then_some(topic)))
    }

    fn take(&self, out: &mut Vec<(u64, u64)>) {
        self.reports().take(out);
    }

    fn lost(&self) -> Option<String> {
        self.reports().lost()
    }

    fn take_sent_bytes(&self) -> Option<u64> {
        self.reports().take_sent_bytes()
    }

    fn transaction_age(&self) -> Option<Duration> {
        self.open.map(|open| self.clock.monotonic().saturating_sub(open.at))
    }

    fn commit(&mut self, positions: &[Position], limit: Duration) -> Result<()> {
        let Some(group) = self.group.as_ref().filter(|_| self.open.is_some()) else { return Ok(()) };
        let places = places(positions)?;
        let end = self.clock.monotonic() + limit;
        let again = |step: &dyn Fn() -> KafkaResult<()>| loop {
            match step() {
                Err(KafkaError::Transaction(error))
                    if error.is_retriable() && self.clock.monotonic() < end =>
                {
                    self.producer.poll(Duration::ZERO);
                }
                done => return done,
            }
        };
        again(&|| self.tell(&places, group, limit))
            .and_then(|()| again(&|| self.producer.commit_transaction(ANSWER_LIMIT)))
            .map_err(|error| self.refused(&error, "commit"))?;
        self.open = None;
        Ok(())
    }

    fn abort(&mut self, limit: Duration) {
        if self.open.take().is_some() {
            let done = self.producer.abort_transaction(limit);
            tracing::debug!(event = "forward_aborted", ?done, "took back what was not committed");
        }
    }
}

impl Group {
    fn new(config: &ForwardConfig, name: &str) -> Result<Group> {
        let mut client = ClientConfig::new();
        client.set("client.id", "tidegate-agent").set("log.connection.close", "false");
        // It is asked when the producer was answered: it should not have slept through that.
        client.set("reconnect.backoff.max.ms", "500");
        for (name, value) in config.kafka.client_properties() {
            client.set(name, value);
        }
        client.set("group.id", name).set("enable.auto.commit", "false");
        // Places of a transaction that is still being ended are waited for.
        client.set("isolation.level", "read_committed");
        let consumer: BaseConsumer<Quiet> = client.create_with_context(Quiet).or_kind(Kind::Config)?;
        let metadata = consumer.group_metadata();
        let metadata = metadata.ok_or_else(|| Error::new(Kind::Bug, "a consumer without a group"))?;
        Ok(Group { consumer, metadata: Arc::new(metadata) })
    }

    /// librdkafka looks for the group's coordinator by itself, but gives up when the one that it knew says that it
    /// is another; when it is asked again it knows.
    fn committed(&self, list: &TopicPartitionList, clock: &Clock) -> KafkaResult<TopicPartitionList> {
        let end = clock.monotonic() + ANSWER_LIMIT;
        loop {
            match self.consumer.committed_offsets(list.clone(), ANSWER_LIMIT) {
                Err(error) if moves(&error) && clock.monotonic() < end => std::thread::sleep(MOVES),
                answer => return answer,
            }
        }
    }
}

fn moves(error: &KafkaError) -> bool {
    use Code::{CoordinatorLoadInProgress, CoordinatorNotAvailable, NotCoordinator};
    let codes = [NotCoordinator, CoordinatorLoadInProgress, CoordinatorNotAvailable];
    error.rdkafka_error_code().is_some_and(|code| codes.contains(&code))
}

/// As librdkafka's list; how far the local partitions are is the text beside the offset.
fn places(positions: &[Position]) -> Result<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for position in positions {
        let mut element = list.add_partition(&position.topic, position.partition);
        element.set_offset(Offset::Offset(position.next_offset)).or_kind(Kind::Bug)?;
        element.set_metadata(committed::write(position.marks.iter().copied()));
    }
    Ok(list)
}

/// Ours, then what the operator set for librdkafka.
fn settings(config: &ForwardConfig) -> ClientConfig {
    let mut client = ClientConfig::new();
    client.set_log_level(rdkafka::config::RDKafkaLogLevel::Info);
    let backoff_ms = config.retry_ceiling.as_millis().clamp(100, 10_000).to_string();
    let measured = if config.bandwidth.is_some() { "1000" } else { "0" };
    for (name, value) in [
        ("client.id", "tidegate-agent".to_owned()),
        // Once and in order, on all in-sync replicas.
        ("enable.idempotence", "true".to_owned()),
        ("acks", "all".to_owned()),
        // For ever: the log keeps what is not acknowledged, giving up helps nobody.
        ("message.timeout.ms", "0".to_owned()),
        // As the Java client puts keys.
        ("partitioner", "murmur2_random".to_owned()),
        ("compression.type", config.compression.text().to_owned()),
        ("linger.ms", "5".to_owned()),
        ("batch.size", config.batch_bytes.to_string()),
        ("batch.num.messages", "100000".to_owned()),
        ("message.max.bytes", config.message_max_bytes.to_string()),
        ("queue.buffering.max.kbytes", (config.queue_bytes / 512).to_string()),
        ("queue.buffering.max.messages", (config.queue_bytes / MESSAGE_BYTES * 4).max(1_000).to_string()),
        ("topic.metadata.propagation.max.ms", "15000".to_owned()),
        ("reconnect.backoff.max.ms", backoff_ms),
        ("statistics.interval.ms", measured.to_owned()),
        ("socket.keepalive.enable", "true".to_owned()),
        ("log.connection.close", "false".to_owned()),
    ] {
        client.set(name, value);
    }
    for (name, value) in config.kafka.client_properties() {
        client.set(name, value);
    }
    client
}
