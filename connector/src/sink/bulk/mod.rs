//! A producer for many records, of our own: it writes record batches as they stand in Kafka's log.
//!
//! librdkafka keeps a node, several allocations and locks for each record and for each of its headers; under
//! load that is half of what this program works on a row. Here a record is bytes at the end of a batch.
//!
//! ```text
//! pipeline's thread   record ─> its partition's open batch ─┐ full, or old enough
//!                                                           v
//! own thread          acknowledged <── leader <── compressed, numbered
//!                     (again, in order and under the same numbers, until a leader says that they are written)
//! ```
//! Brokers know a batch that comes twice by its numbers. Where only librdkafka can do what the operator asks for,
//! it sends many records too; few, and exactly once, it always does.

mod access;
mod batch;
mod control;
mod link;
mod outcome;
mod partition;
mod partitioner;
mod sender;
mod wire;

use crate::config::sink::SinkConfig;
use crate::model::encoded::Encoded;
pub use access::Access;
use batch::{Open, Unplaced};
use partitioner::Aim;
use rdkafka::error::RDKafkaErrorCode as Code;
use shared::Kind;
use shared::error::{OrKind, Result};
use shared::kafka::Compression;
use shared::kafka::records::RECORD_BYTES;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

/// How long a batch that is not full waits for more.
const LINGER: Duration = Duration::from_millis(50);
/// Emptied buffers kept, each of about a batch.
const SPARES: usize = 4;

/// What the sending thread is told. What waits there is bounded by the sink's queue.
enum Order {
    /// A topic gets the next number.
    Topic(Arc<str>),
    Batch {
        topic: usize,
        partition: usize,
        batch: Open,
    },
}

/// What it tells.
enum Report {
    Ready,
    /// This cluster is not for it.
    Unfit(String),
    Partitions {
        topic: usize,
        count: usize,
    },
    /// A buffer to be used again.
    Emptied(Vec<u8>),
    /// Records of each unit, and bytes of their keys and values.
    Acknowledged {
        units: Vec<(u64, u64)>,
        bytes: usize,
    },
    Failed(Failure),
}

/// What no further try can help, and the topic.
pub struct Failure(pub Code, pub String);

/// The pipeline's side.
pub struct Bulk {
    orders: UnboundedSender<Order>,
    reports: UnboundedReceiver<Report>,
    topics: Vec<Topic>,
    numbers: HashMap<Arc<str>, usize>,
    latest: usize,
    spares: Vec<Vec<u8>>,
    batch_bytes: usize,
    message_max_bytes: usize,
    queue_bytes: usize,
    /// Since when the oldest open batch waits.
    opened: Option<Instant>,
    state: State,
    failure: Option<Failure>,
}

struct Topic {
    name: Arc<str>,
    /// None are known at first.
    partitions: Vec<Option<Open>>,
    /// What waits for them.
    unplaced: Unplaced,
    /// Where records without a key go until that batch is full.
    turn: usize,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Begins,
    Ready,
    Unfit(String),
}

/// The way to the brokers, if this producer can do what the operator asked for.
pub fn access(config: &SinkConfig) -> Option<Access> {
    let fits = config.kafka.properties.is_empty()
        && matches!(config.compression, Compression::None | Compression::Lz4);
    if fits { Access::of(&config.kafka.security) } else { None }
}

impl Bulk {
    /// Begins to look for the cluster.
    ///
    /// # Errors
    /// `Unreachable`, if the system gives no thread.
    pub fn start(config: &SinkConfig, access: Access) -> Result<Bulk> {
        let (orders, taken) = mpsc::unbounded_channel();
        let (tell, reports) = mpsc::unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.or_kind(Kind::Unreachable)?;
        let (brokers, compression) = (config.kafka.brokers.clone(), config.compression);
        let request_bytes = config.batch_bytes as usize;
        std::thread::Builder::new()
            .name("bulk".to_owned())
            .spawn(move || {
                runtime.block_on(sender::run(access, &brokers, compression, request_bytes, taken, tell))
            })
            .or_kind(Kind::Unreachable)?;
        Ok(Bulk {
            orders,
            reports,
            topics: Vec::new(),
            numbers: HashMap::new(),
            latest: 0,
            spares: Vec::new(),
            batch_bytes: config.batch_bytes as usize,
            message_max_bytes: config.message_max_bytes as usize,
            queue_bytes: config.queue_bytes() as usize,
            opened: None,
            state: State::Begins,
            failure: None,
        })
    }

    pub fn is_ready(&self) -> bool {
        self.state == State::Ready
    }

    /// Why it will never be.
    pub fn unfit(&self) -> Option<&str> {
        match &self.state {
            State::Unfit(why) => Some(why),
            State::Begins | State::Ready => None,
        }
    }

    pub fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    /// Takes a message of `unit`. `waiting`: bytes of keys and values not acknowledged yet. `false`: there is no
    /// room.
    ///
    /// # Errors
    /// Too large, or for a partition that the topic does not have.
    #[inline]
    pub fn offer(
        &mut self,
        message: &Encoded<'_>,
        unit: u64,
        now_ms: i64,
        waiting: usize,
    ) -> std::result::Result<bool, Code> {
        let content_size = batch::content_size(message);
        if content_size + RECORD_BYTES > self.message_max_bytes {
            return Err(Code::MessageSizeTooLarge);
        }
        if waiting > 0 && waiting + message.body_size() > self.queue_bytes {
            return Ok(false);
        }
        let number = self.number(message.topic);
        if let Some(topic) = self.topics.get_mut(number).filter(|topic| topic.partitions.is_empty()) {
            topic.unplaced.push(message, unit, now_ms);
            return Ok(true);
        }
        let push = |open: &mut Open| open.push(message, content_size, unit, now_ms);
        self.put(number, Aim::of(message), content_size, push).map(|()| true)
    }

    /// Adds a record with so much content to its partition's batch.
    #[inline]
    fn put(
        &mut self,
        number: usize,
        aim: Aim,
        content_size: usize,
        push: impl FnOnce(&mut Open),
    ) -> std::result::Result<(), Code> {
        let limit = self.batch_bytes;
        let topic = self.topics.get(number).ok_or(Code::UnknownTopic)?;
        let place = aim.among(topic.partitions.len(), topic.turn);
        let waits = topic.partitions.get(place).ok_or(Code::UnknownPartition)?;
        if waits.as_ref().is_some_and(|open| !open.takes(content_size, limit)) {
            self.close(number, place);
        }
        let Bulk { topics, spares, .. } = self;
        let open = topics.get_mut(number).and_then(|topic| topic.partitions.get_mut(place));
        let open = open.ok_or(Code::UnknownPartition)?;
        let open = open.get_or_insert_with(|| Open::new(spares.pop().unwrap_or_default()));
        push(open);
        let full = !open.takes(0, limit);
        if self.opened.is_none() {
            self.opened = Some(Instant::now());
        }
        if full {
            self.close(number, place);
        }
        Ok(())
    }

    /// The topic has so many partitions; there are never fewer.
    fn learn(&mut self, number: usize, count: usize) {
        let Some(topic) = self.topics.get_mut(number).filter(|topic| topic.partitions.len() < count) else {
            return;
        };
        topic.partitions.resize_with(count, || None);
        let mut refused = None;
        std::mem::take(&mut topic.unplaced).place(|aim, content_size, push| {
            refused = refused.or(self.put(number, aim, content_size, push).err());
        });
        if let (Some(code), Some(topic)) = (refused, self.topics.get(number)) {
            self.failure = Some(Failure(code, topic.name.to_string()));
        }
    }

    /// A record to this topic is near.
    pub fn expect(&mut self, topic: &str) {
        self.number(topic);
    }

    #[inline]
    fn number(&mut self, topic: &str) -> usize {
        if self.topics.get(self.latest).is_some_and(|latest| &*latest.name == topic) {
            return self.latest;
        }
        self.latest = match self.numbers.get(topic) {
            Some(number) => *number,
            None => self.introduce(topic),
        };
        self.latest
    }

    #[cold]
    fn introduce(&mut self, topic: &str) -> usize {
        let (name, number): (Arc<str>, usize) = (topic.into(), self.topics.len());
        self.numbers.insert(Arc::clone(&name), number);
        self.topics.push(Topic {
            name: Arc::clone(&name),
            partitions: Vec::new(),
            unplaced: Unplaced::default(),
            turn: 0,
        });
        self.order(Order::Topic(name));
        number
    }

    fn close(&mut self, number: usize, place: usize) {
        let Some(topic) = self.topics.get_mut(number) else { return };
        let Some(batch) = topic.partitions.get_mut(place).and_then(Option::take) else { return };
        if topic.turn % topic.partitions.len() == place {
            topic.turn = topic.turn.wrapping_add(1);
        }
        self.order(Order::Batch { topic: number, partition: place, batch });
    }

    /// Sends what is there, full or not.
    pub fn close_all(&mut self) {
        if self.opened.take().is_none() {
            return;
        }
        for number in 0..self.topics.len() {
            for place in 0..self.topics.get(number).map_or(0, |topic| topic.partitions.len()) {
                self.close(number, place);
            }
        }
    }

    /// The thread is there for as long as this is, unless it broke off.
    fn order(&mut self, order: Order) {
        if self.orders.send(order).is_err() && self.failure.is_none() {
            self.failure = Some(Failure(Code::Fail, "any".to_owned()));
        }
    }

    /// Takes acknowledgements, and says of how many bytes of keys and values; none if there is no news at all.
    pub fn poll(&mut self, acknowledged: &mut Vec<(u64, u64)>) -> Option<usize> {
        if self.opened.is_some_and(|since| since.elapsed() >= LINGER) {
            self.close_all();
        }
        let mut news = None;
        while let Ok(report) = self.reports.try_recv() {
            let total = news.get_or_insert(0);
            match report {
                Report::Ready => self.state = State::Ready,
                Report::Unfit(_) if self.is_ready() => {
                    self.failure = Some(Failure(Code::UnsupportedVersion, "any".to_owned()));
                }
                Report::Unfit(why) => self.state = State::Unfit(why),
                Report::Partitions { topic, count } => self.learn(topic, count),
                Report::Emptied(buffer) if self.spares.len() < SPARES => self.spares.push(buffer),
                Report::Emptied(_) => {}
                Report::Acknowledged { units, bytes } => {
                    acknowledged.extend(units);
                    *total += bytes;
                }
                Report::Failed(failure) => self.failure = Some(failure),
            }
        }
        news
    }
}
