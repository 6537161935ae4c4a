//! Encoded records → Kafka, by librdkafka's idempotent producer.
//!
//! The plain producer, polled by the pipeline's own thread: no future, no channel and no box per
//! record. A record's delivery report carries one number, its unit; reports of one unit are
//! counted together. Broker failures are librdkafka's to retry, for ever and in order; only what
//! no retry can help is an error here.

use super::bulk::{Bulk, Failure};
use super::gears::{self, Gears};
use super::report::{Reports, refused};
use super::topics::Topics;
use super::transaction::Transactions;
use super::{Acked, Sink};
use crate::config::sink::SinkConfig;
use crate::metrics;
use crate::model::encoded::Encoded;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use shared::error::{Context, Error, Kind, OrKind, Result};
use shared::time::Clock;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// A twelve-column row with its headers and librdkafka's own bookkeeping; the queue's limit in
/// messages is derived from it, because librdkafka counts only keys and values as bytes.
const MESSAGE_BYTES: u32 = 1_024;
/// The producer's own waiting lasts for all of its time, whatever comes, and turns without rest at its end: it is
/// asked this often instead.
const NAP: Duration = Duration::from_millis(1);
/// A cluster that was lost is asked again this often.
const HEALTH_INTERVAL: Duration = Duration::from_secs(5);
/// How long it takes at most to ask for something.
const ASKING: Duration = Duration::from_millis(1);
/// For so long librdkafka's own question is waited for.
const FIRST_ANSWER: Duration = Duration::from_secs(1);
/// How long the cluster may take to answer before the source is opened.
const ANSWER: Duration = Duration::from_secs(2);
const HEALTH_TIMEOUT: Duration = Duration::from_secs(1);
/// How long taking back an unfinished transaction may take before a new producer does it.
const ABORT_LIMIT: Duration = Duration::from_secs(10);

/// The one sink: a producer.
pub struct Kafka {
    config: SinkConfig,
    client: ClientConfig,
    producer: BaseProducer<Reports>,
    /// None if the one producer does for few records and many.
    gears: Option<Gears>,
    /// None at least once.
    transactions: Option<Transactions>,
    started: bool,
    topics: Topics,
    brokers: String,
    outstanding: usize,
    /// Keys and values of them, in bytes.
    outstanding_bytes: usize,
    /// Records handed to a producer, and their bytes, of which the metrics do not know yet.
    handed: (u64, u64),
    asked: Option<Instant>,
    /// Moved out of the producer's context while they are handed on.
    acknowledged: Vec<(u64, u64)>,
}

impl Kafka {
    /// Makes the producer; nothing is sent yet, so this succeeds without a cluster. `runtime` runs the
    /// calls that make topics; [`Sink::offer`] waits for them, so it must not be called from its tasks.
    /// With a `transactional_id` it delivers exactly once.
    ///
    /// # Errors
    /// `Config`, if librdkafka refuses a property.
    pub fn new(config: &SinkConfig, transactional_id: Option<&str>, runtime: Handle) -> Result<Kafka> {
        let transactions = transactional_id.map(|id| Transactions::new(id, config));
        let client = client(config, transactions.as_ref());
        metrics::SINK_LIMIT.with_label_values(&["bytes"]).set(config.queue_bytes().into());
        metrics::SINK_LIMIT.with_label_values(&["records"]).set(queue_messages(config).into());
        Ok(Kafka {
            producer: producer(&client)?,
            gears: (transactions.is_none() && !waits_as_told(config)).then(|| Gears::new(&client, config)),
            config: config.clone(),
            client,
            transactions,
            started: false,
            topics: Topics::new(config, runtime)?,
            brokers: config.kafka.brokers.clone(),
            outstanding: 0,
            outstanding_bytes: 0,
            handed: (0, 0),
            asked: None,
            acknowledged: Vec::new(),
        })
    }

    /// Waits for a broker's first answer, which librdkafka asks for as soon as it is connected. It is known by the
    /// cluster's id; a cluster that has none is asked outright.
    ///
    /// # Errors
    /// `Unreachable` when none answered within `limit`.
    pub fn check(&self, limit: Duration) -> Result<()> {
        let start = Instant::now();
        while start.elapsed() < FIRST_ANSWER.min(limit / 2) {
            if self.producer.client().fetch_cluster_id(Duration::ZERO).is_some() {
                return Ok(());
            }
            std::thread::sleep(NAP);
        }
        self.ask(limit.saturating_sub(start.elapsed()))
    }

    /// Asks the cluster anew, for all that it has.
    fn ask(&self, limit: Duration) -> Result<()> {
        let answer = self.producer.client().fetch_metadata(None, limit);
        answer.map(drop).map_err(|error| self.unreachable(&error))
    }

    fn unreachable(&self, error: &KafkaError) -> Error {
        let words = self.producer.context().last_words().unwrap_or_else(|| error.to_string());
        Error::new(Kind::Unreachable, words)
            .remedy("check that the brokers run, that sink.kafka.brokers is right, and sink.kafka.security")
            .doing(format!("reach Kafka at {}", self.brokers))
    }

    /// Our own producer, if it is there.
    fn bulk(&mut self) -> Option<&mut Bulk> {
        self.gears.as_mut()?.bulk()
    }

    fn failure(&mut self) -> Result<()> {
        if let Some(Failure(code, topic)) = self.bulk().and_then(|bulk| bulk.failure()) {
            return Err(refused(&KafkaError::MessageProduction(*code), topic));
        }
        let Some((error, topic)) = self.producer.context().failure() else { return Ok(()) };
        Err(self.refused(&error, &topic))
    }

    /// A record that failed in a transaction may have failed because of it: then a fatal error says why.
    fn refused(&self, error: &KafkaError, topic: &str) -> Error {
        match (&self.transactions, self.producer.client().fatal_error()) {
            (Some(transactions), Some((code, _))) => {
                transactions.refused(&KafkaError::MessageProduction(code), "go on with")
            }
            _ => refused(error, topic),
        }
    }

    fn forget(&mut self) {
        self.acknowledged.clear();
        (self.outstanding, self.outstanding_bytes) = (0, 0);
    }

    /// A producer that failed for good is of no use any more.
    fn renew(&mut self) -> Result<()> {
        self.producer = producer(&self.client)?;
        if self.gears.is_some() {
            self.gears = Some(Gears::new(&self.client, &self.config));
        }
        self.forget();
        Ok(())
    }

    fn begin_transactions(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.started, true) {
            match self.abort(ABORT_LIMIT) {
                Ok(()) => return Ok(()),
                Err(error) if error.retryable() => self.renew()?,
                Err(error) => return Err(error),
            }
        }
        let Kafka { producer, transactions, .. } = self;
        transactions.as_mut().map_or(Ok(()), |transactions| transactions.start(producer))
    }
}

pub(super) fn producer(client: &ClientConfig) -> Result<BaseProducer<Reports>> {
    let made = client.create_with_context(Reports::default());
    made.or_kind(Kind::Config).doing(|| "prepare the Kafka producer")
}

fn no_transactions() -> Error {
    Error::new(Kind::Bug, "this producer has no transactions")
}

impl Kafka {
    /// Counts what a producer took, or did not take.
    #[inline]
    fn taken(&mut self, message: &Encoded<'_>, taken: std::result::Result<bool, KafkaError>) -> Result<bool> {
        match taken {
            Ok(true) => {
                self.outstanding += 1;
                self.outstanding_bytes += message.body_size();
                let (records, bytes) = self.handed;
                self.handed = (records + 1, bytes + message.size() as u64);
                Ok(true)
            }
            Ok(false) => {
                metrics::SINK_QUEUE_FULL.inc();
                Ok(false)
            }
            Err(error) => {
                metrics::SINK_FAILED.inc();
                Err(self.refused(&error, message.topic))
            }
        }
    }

    fn publish(&mut self) {
        let (records, bytes) = std::mem::take(&mut self.handed);
        metrics::SINK_RECORDS.inc_by(records);
        metrics::SINK_BYTES.inc_by(bytes);
        let gauge = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        metrics::SINK_OUTSTANDING.set(gauge(self.outstanding));
        metrics::SINK_OUTSTANDING_BYTES.set(gauge(self.outstanding_bytes));
    }
}

impl Sink for Kafka {
    fn start(&mut self) -> Result<()> {
        if self.transactions.is_some() {
            return self.begin_transactions();
        }
        // At first it has just been asked, by `check`.
        if !std::mem::replace(&mut self.started, true) {
            return Ok(());
        }
        if self.failure().is_err() {
            self.renew()?;
        }
        // A snapshot or a stream that nobody takes would only hold the database's log.
        self.ask(ANSWER)
    }

    fn expect(&mut self, topic: &str) {
        if !self.topics.is_the_brokers(topic) {
            return;
        }
        // The answer is not waited for: asking is what has the topic made.
        match self.gears.as_mut().and_then(Gears::bulk_in_use) {
            Some(bulk) => bulk.expect(topic),
            None => _ = self.producer.client().fetch_metadata(Some(topic), ASKING),
        }
    }

    fn offer(&mut self, message: &Encoded<'_>, unit: u64) -> Result<bool> {
        self.topics.ensure(message.topic)?;
        if let Some(gears) = &mut self.gears {
            if !gears.shift(&mut self.producer, self.outstanding) {
                return Ok(false);
            }
            if let Some(bulk) = gears.bulk_in_use() {
                let now_ms = Clock::System.now().millis();
                let taken = bulk.offer(message, unit, now_ms, self.outstanding_bytes);
                return self.taken(message, taken.map_err(KafkaError::MessageProduction));
            }
        }
        if let Some(transactions) = &mut self.transactions {
            transactions.begin(&self.producer)?;
        }
        let token = usize::try_from(unit).or_kind(Kind::Bug)?;
        let mut record = BaseRecord::<[u8], [u8], usize>::with_opaque_to(message.topic, token);
        record.partition = message.partition;
        record.timestamp = message.timestamp_ms;
        record.key = message.key;
        record.payload = message.value;
        if !message.headers.is_empty() {
            let mut headers = OwnedHeaders::new_with_capacity(message.headers.len());
            for (key, value) in message.headers.iter() {
                headers = headers.insert(Header { key, value });
            }
            record.headers = Some(headers);
        }
        let taken = match self.producer.send(record) {
            Ok(()) => Ok(true),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => Ok(false),
            Err((error, _)) => Err(error),
        };
        self.taken(message, taken)
    }

    fn poll(&mut self, wait: Duration, acked: Acked<'_>) -> Result<()> {
        let end = Instant::now() + wait;
        if let Some(gears) = &mut self.gears {
            gears.look(&mut self.producer, self.outstanding)?;
        }
        loop {
            self.producer.poll(Duration::ZERO);
            let bulk = self.gears.as_mut().and_then(Gears::bulk);
            let of_bulk = bulk.and_then(|bulk| bulk.poll(&mut self.acknowledged));
            self.failure()?;
            let bytes = self.producer.context().take(&mut self.acknowledged) + of_bulk.unwrap_or(0);
            self.outstanding_bytes = self.outstanding_bytes.saturating_sub(bytes);
            if !self.acknowledged.is_empty() || of_bulk.is_some() {
                break;
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                self.publish();
                return Ok(());
            }
            std::thread::sleep(left.min(NAP));
        }
        for (unit, count) in self.acknowledged.drain(..) {
            self.outstanding = self.outstanding.saturating_sub(usize::try_from(count).unwrap_or(0));
            metrics::SINK_ACKNOWLEDGED.inc_by(count);
            acked(unit, count);
        }
        self.publish();
        Ok(())
    }

    fn flush(&mut self, limit: Duration, acked: Acked<'_>) -> Result<()> {
        if let Some(bulk) = self.bulk() {
            bulk.close_all();
        }
        let end = Instant::now() + limit;
        while self.outstanding > 0 {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let what = format!("{} records are not acknowledged yet", self.outstanding);
                return Err(Error::new(Kind::Unreachable, what)
                    .doing(format!("flush to Kafka at {}", self.brokers))
                    .remedy("they are sent again at the next start"));
            }
            self.poll(left, acked)?;
        }
        Ok(())
    }

    fn outstanding(&self) -> usize {
        self.outstanding
    }

    fn health(&mut self) -> Result<()> {
        let Some(words) = self.producer.context().lost() else { return Ok(()) };
        if self.asked.is_none_or(|asked| asked.elapsed() >= HEALTH_INTERVAL) {
            self.asked = Some(Instant::now());
            if self.ask(HEALTH_TIMEOUT).is_ok() {
                self.producer.context().found();
                return Ok(());
            }
        }
        Err(Error::new(Kind::Unreachable, words).doing(format!("reach Kafka at {}", self.brokers)))
    }

    fn commit(&mut self, limit: Duration) -> Result<()> {
        let transactions = self.transactions.as_mut().ok_or_else(no_transactions)?;
        transactions.commit(&self.producer, limit)
    }

    fn abort(&mut self, limit: Duration) -> Result<()> {
        let transactions = self.transactions.as_mut().ok_or_else(no_transactions)?;
        transactions.abort(&self.producer, limit)?;
        self.forget();
        Ok(())
    }
}

/// Whether the operator said how long a message may wait, in our words or in librdkafka's.
fn waits_as_told(config: &SinkConfig) -> bool {
    let told = |name: &str| config.kafka.properties.contains_key(name);
    config.linger_ms.is_some() || told("linger.ms") || told("queue.buffering.max.ms")
}

/// How many messages the queue may hold.
fn queue_messages(config: &SinkConfig) -> u32 {
    (config.queue_bytes() / MESSAGE_BYTES).max(1_000)
}

/// Ours, then what the operator set for librdkafka.
fn client(config: &SinkConfig, transactions: Option<&Transactions>) -> ClientConfig {
    // A transaction's end does not wait.
    let linger_ms = if transactions.is_some() { gears::LINGER_MS } else { 0 };
    let mut client = ClientConfig::new();
    for (name, value) in [
        ("client.id", "tidegate-connector".to_owned()),
        // Once and in order, on all in-sync replicas.
        ("enable.idempotence", "true".to_owned()),
        ("acks", "all".to_owned()),
        // For ever: the source keeps what is not acknowledged, giving up helps nobody.
        ("message.timeout.ms", "0".to_owned()),
        // As the Java client does, so that a take-over leaves each key on its partition.
        ("partitioner", "murmur2_random".to_owned()),
        ("compression.type", config.compression.text().to_owned()),
        ("linger.ms", config.linger_ms.unwrap_or(linger_ms).to_string()),
        ("batch.size", config.batch_bytes.to_string()),
        ("batch.num.messages", "100000".to_owned()),
        ("message.max.bytes", config.message_max_bytes.to_string()),
        ("queue.buffering.max.kbytes", (config.queue_bytes() / 1_024).to_string()),
        ("queue.buffering.max.messages", queue_messages(config).to_string()),
        // A topic that does not exist is said soon, but not before auto-creation had its time.
        ("topic.metadata.propagation.max.ms", "15000".to_owned()),
        // The first record to a topic that the broker makes waits for one of these looks; they are ever further apart.
        ("retry.backoff.ms", "5".to_owned()),
        ("topic.metadata.refresh.fast.interval.ms", "5".to_owned()),
        ("statistics.interval.ms", "0".to_owned()),
        ("socket.keepalive.enable", "true".to_owned()),
        // Brokers are connected to when they become known: otherwise the first record waits for that.
        ("enable.sparse.connections", "false".to_owned()),
        ("log.connection.close", "false".to_owned()),
    ] {
        client.set(name, value);
    }
    for (name, value) in config.kafka.client_properties() {
        client.set(name, value);
    }
    if let Some(transactions) = transactions {
        transactions.set(&mut client);
    }
    client
}

#[cfg(test)]
mod tests;
