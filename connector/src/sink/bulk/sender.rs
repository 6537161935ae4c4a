//! The thread that sends: batches to their leaders, answers back to the pipeline.
//!
//! It owns all that changes; tasks beside it hold a connection each and only carry.

use super::control::Question;
use super::outcome::{self, Outcome};
use super::partition::{Partition, Step};
use super::{Failure, Order, Report, access::Access, batch::Open, control, link::Link};
use bytes::Bytes;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{MetadataResponse, ProduceResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use rdkafka::error::RDKafkaErrorCode as Code;
use shared::Error;
use shared::kafka::Compression;
use shared::retry::Backoff;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::time::MissedTickBehavior;

const TICK: Duration = Duration::from_millis(50);
/// A leader that could not be reached is tried again after so long.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_CEILING: Duration = Duration::from_secs(5);
/// For so long a topic may be unknown: brokers that are to make it need their time.
const UNKNOWN_LIMIT: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 15 });
/// Topics may get more partitions.
const REFRESH: Duration = Duration::from_secs(300);

/// What the tasks tell.
pub enum Answer {
    Producer(i64, i16),
    Unfit(String),
    Metadata(Box<MetadataResponse>),
    /// A connection stands.
    Up(u64),
    Lost(u64, Error),
    Produced(u64, i32, ProduceResponse),
}

struct Topic {
    name: Arc<str>,
    partitions: Vec<Partition>,
    /// Its leaders are to be asked for.
    wanted: bool,
    unknown_since: Option<Instant>,
}

impl Topic {
    /// Something waits for it, or is about to.
    fn is_needed(&self) -> bool {
        self.partitions.iter().any(|partition| !partition.is_empty()) || self.partitions.is_empty()
    }

    /// Called whenever a broker does not know it.
    fn is_long_unknown(&mut self) -> bool {
        self.unknown_since.get_or_insert_with(Instant::now).elapsed() >= UNKNOWN_LIMIT
    }
}

struct Sender {
    access: Access,
    compression: Compression,
    request_bytes: usize,
    reports: UnboundedSender<Report>,
    answers: UnboundedSender<Answer>,
    ask: UnboundedSender<Question>,
    asked: bool,
    ask_at: Instant,
    ask_pause: Backoff,
    refresh_at: Instant,
    producer: Option<(i64, i16)>,
    topics: Vec<Topic>,
    numbers: HashMap<Arc<str>, usize>,
    addresses: HashMap<i32, String>,
    links: HashMap<i32, Link>,
    /// When those that were lost may be tried again.
    pauses: HashMap<i32, (Backoff, Instant)>,
    serial: u64,
}

/// Sends until the pipeline's side is gone.
pub async fn run(
    access: Access,
    brokers: &str,
    compression: Compression,
    request_bytes: usize,
    mut orders: UnboundedReceiver<Order>,
    reports: UnboundedSender<Report>,
) {
    let (answers, mut answered) = mpsc::unbounded_channel();
    let (ask, asked) = mpsc::unbounded_channel();
    let (brokers, to_control, now) = (brokers.to_owned(), answers.clone(), Instant::now());
    let ours = access.clone();
    tokio::spawn(async move { control::run(ours, &brokers, asked, to_control).await });
    let mut sender = Sender {
        access,
        compression,
        request_bytes,
        reports,
        answers,
        ask,
        asked: false,
        ask_at: now,
        ask_pause: Backoff::new(RETRY_FIRST, Duration::from_secs(1)),
        refresh_at: now + REFRESH,
        producer: None,
        topics: Vec::new(),
        numbers: HashMap::new(),
        addresses: HashMap::new(),
        links: HashMap::new(),
        pauses: HashMap::new(),
        serial: 0,
    };
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            order = orders.recv() => match order {
                Some(order) => sender.take(order),
                None => return,
            },
            Some(answer) = answered.recv() => sender.hear(answer),
            _ = tick.tick() => sender.look(),
        }
    }
}

impl Sender {
    fn report(&self, report: Report) {
        // Nobody listens any more: the next order is the last.
        let _ = self.reports.send(report);
    }

    fn fail(&self, code: Code, topic: usize) {
        let name = self.topics.get(topic).map_or_else(String::new, |topic| topic.name.to_string());
        self.report(Report::Failed(Failure(code, name)));
    }

    fn take(&mut self, order: Order) {
        match order {
            Order::Topic(name) => {
                self.numbers.insert(Arc::clone(&name), self.topics.len());
                self.topics.push(Topic { name, partitions: Vec::new(), wanted: true, unknown_since: None });
                self.ask_leaders();
            }
            Order::Batch { topic, partition, batch } => self.queue(topic, partition, batch),
        }
    }

    fn queue(&mut self, topic: usize, place: usize, batch: Open) {
        let partition = self.topics.get_mut(topic).and_then(|topic| topic.partitions.get_mut(place));
        let (Some(partition), Some(producer)) = (partition, self.producer) else {
            return self.fail(Code::Fail, topic);
        };
        let emptied = partition.push(batch, self.compression, producer);
        self.report(Report::Emptied(emptied));
        self.list(topic, place);
    }

    /// Puts a partition that has something to send into its leader's list.
    fn list(&mut self, number: usize, place: usize) {
        let Some(topic) = self.topics.get_mut(number) else { return };
        let Some(partition) = topic.partitions.get_mut(place) else { return };
        if partition.listed || !partition.wants() {
            return;
        }
        let Some(leader) = partition.leader else {
            topic.wanted = true;
            return self.ask_leaders();
        };
        partition.listed = true;
        self.link(leader);
        if let Some(link) = self.links.get_mut(&leader) {
            link.ready.push_back((number, place));
        } else if let Some(partition) = self.partition(number, place) {
            // It is looked at again at the next tick.
            partition.listed = false;
        }
        self.pump(leader);
    }

    fn partition(&mut self, topic: usize, place: usize) -> Option<&mut Partition> {
        self.topics.get_mut(topic)?.partitions.get_mut(place)
    }

    /// Connects to a leader, if that is not done and not too soon.
    fn link(&mut self, leader: i32) {
        let soon = self.pauses.get(&leader).is_some_and(|(_, until)| Instant::now() < *until);
        let (false, false, Some(address)) =
            (soon, self.links.contains_key(&leader), self.addresses.get(&leader))
        else {
            return;
        };
        self.serial += 1;
        let link = Link::start(self.serial, self.access.clone(), address.clone(), self.answers.clone());
        self.links.insert(leader, link);
    }

    /// Sends to a leader what it may be sent now.
    fn pump(&mut self, leader: i32) {
        let Sender { links, topics, request_bytes, .. } = self;
        let Some(link) = links.get_mut(&leader) else { return };
        while link.has_room() {
            let (mut batches, mut data, mut bytes) = (Vec::new(), Vec::new(), 0);
            for _ in 0..link.ready.len() {
                let Some((number, place)) = link.ready.front().copied() else { break };
                let Some(topic) = topics.get_mut(number) else { break };
                let Some(partition) = topic.partitions.get_mut(place) else { break };
                let next = partition.peek().map(|batch| (batch.sequence, batch.bytes.clone()));
                if next.as_ref().is_some_and(|(_, next)| bytes > 0 && bytes + next.len() > *request_bytes) {
                    break;
                }
                link.ready.pop_front();
                partition.listed = false;
                let Some((sequence, content)) = next else { continue };
                bytes += content.len();
                partition.depart();
                if partition.wants() {
                    partition.listed = true;
                    link.ready.push_back((number, place));
                }
                batches.push((number, place, sequence));
                data.push((number, place, content));
            }
            let Some((topic, ..)) = batches.first().copied() else { return };
            if link.send(grouped(topics, data), batches).is_err() {
                return self.fail(Code::Fail, topic);
            }
        }
    }

    fn hear(&mut self, answer: Answer) {
        match answer {
            Answer::Producer(id, epoch) => {
                self.producer = Some((id, epoch));
                tracing::debug!(event = "bulk_ready", producer = id, "the producer for many is ready");
                self.report(Report::Ready);
            }
            Answer::Unfit(why) => self.report(Report::Unfit(why)),
            Answer::Metadata(metadata) => self.learn(&metadata),
            Answer::Up(serial) => {
                if let Some((leader, link)) = self.links.iter_mut().find(|(_, link)| link.serial == serial) {
                    link.up = true;
                    let leader = *leader;
                    self.pump(leader);
                }
            }
            Answer::Lost(serial, error) => self.lose(serial, &error),
            Answer::Produced(serial, correlation, response) => self.produced(serial, correlation, &response),
        }
    }

    /// A leader's answer: one code for each batch of the request.
    fn produced(&mut self, serial: u64, correlation: i32, response: &ProduceResponse) {
        let Some((leader, link)) = self.links.iter_mut().find(|(_, link)| link.serial == serial) else {
            return;
        };
        let leader = *leader;
        let Some(batches) = link.answered(correlation) else {
            return self.lose(serial, &Error::new(shared::Kind::Unreachable, "an answer to no question"));
        };
        self.pauses.remove(&leader);
        let mut codes = HashMap::new();
        for topic in &response.responses {
            let number = self.numbers.get(topic.name.0.as_str()).copied();
            for part in &topic.partition_responses {
                codes.insert((number, usize::try_from(part.index).ok()), part.error_code);
            }
        }
        for (number, place, sequence) in batches {
            // What nothing is said of is not written.
            let code = codes.get(&(Some(number), Some(place))).copied().unwrap_or(outcome::UNKNOWN_TOPIC);
            self.arrive(number, place, sequence, code);
        }
        self.pump(leader);
    }

    fn arrive(&mut self, number: usize, place: usize, sequence: i32, code: i16) {
        let outcome = Outcome::of(code);
        if outcome != Outcome::Written {
            tracing::debug!(
                event = "bulk_not_written",
                topic = number,
                place,
                code,
                "a batch is not written"
            );
        }
        let Some(topic) = self.topics.get_mut(number) else { return };
        if outcome == Outcome::Written {
            topic.unknown_since = None;
        } else if code == outcome::UNKNOWN_TOPIC && topic.is_long_unknown() {
            return self.fail(outcome::named(code), number);
        }
        let Some(partition) = topic.partitions.get_mut(place) else { return };
        match partition.arrive(sequence, outcome) {
            Step::Acknowledged(batch) => {
                self.ask_pause.reset();
                self.report(Report::Acknowledged { units: batch.units, bytes: batch.body_bytes });
            }
            Step::Nothing => {}
            // Whoever leads needs a moment to know it.
            Step::Anew => self.ask_at = Instant::now() + self.ask_pause.delay(),
            Step::Failed(code) => return self.fail(code, number),
        }
        self.list(number, place);
    }

    /// What was under way on a lost connection is sent again, to whoever leads then.
    fn lose(&mut self, serial: u64, error: &Error) {
        let found = self.links.iter().find(|(_, link)| link.serial == serial).map(|(leader, _)| *leader);
        let Some(leader) = found else { return };
        let Some(link) = self.links.remove(&leader) else { return };
        tracing::debug!(event = "bulk_link_lost", leader, %error, "a leader is connected to again");
        let fresh = || (Backoff::new(RETRY_FIRST, RETRY_CEILING), Instant::now());
        let (backoff, until) = self.pauses.entry(leader).or_insert_with(fresh);
        *until = Instant::now() + backoff.delay();
        let (ready, under_way) = link.left();
        for (number, place) in ready {
            if let Some(partition) = self.partition(number, place) {
                partition.listed = false;
                partition.leader = None;
            }
            self.list(number, place);
        }
        for (number, place, sequence) in under_way {
            self.arrive(number, place, sequence, outcome::LEADER_NOT_AVAILABLE);
        }
    }

    /// Asks for the leaders of topics that want one, one question at a time and not too often.
    fn ask_leaders(&mut self) {
        if self.asked || self.producer.is_none() || Instant::now() < self.ask_at {
            return;
        }
        let wanted = self.topics.iter().filter(|topic| topic.wanted);
        let names: Vec<Arc<str>> = wanted.clone().map(|topic| Arc::clone(&topic.name)).collect();
        if !names.is_empty() {
            let make = wanted.clone().any(Topic::is_needed);
            self.asked = self.ask.send(Question { names, make }).is_ok();
        }
    }

    fn learn(&mut self, metadata: &MetadataResponse) {
        self.asked = false;
        for broker in &metadata.brokers {
            self.addresses.insert(broker.node_id.0, control::join(broker.host.as_str(), broker.port));
        }
        let mut missing = false;
        for found in &metadata.topics {
            let name = found.name.as_ref().map_or("", |name| name.0.as_str());
            let Some(number) = self.numbers.get(name).copied() else { continue };
            let Some(topic) = self.topics.get_mut(number) else { continue };
            let count = found.partitions.len();
            match Outcome::of(found.error_code) {
                // One that was made again may have fewer.
                Outcome::Written if count >= topic.partitions.len() => topic.unknown_since = None,
                Outcome::Written => {}
                // It may have been deleted: that is nobody's trouble until there is a record for it.
                _ if !topic.is_needed() => {
                    topic.wanted = false;
                    continue;
                }
                Outcome::Again => {
                    missing = true;
                    if topic.is_long_unknown() {
                        self.fail(outcome::named(found.error_code), number);
                    }
                    continue;
                }
                Outcome::OutOfOrder | Outcome::Refused(_) => {
                    self.fail(outcome::named(found.error_code), number);
                    continue;
                }
            }
            topic.wanted = false;
            if count > topic.partitions.len() {
                topic.partitions.resize_with(count, Partition::default);
                self.report(Report::Partitions { topic: number, count });
            }
            for part in &found.partitions {
                let place = usize::try_from(part.partition_index).unwrap_or(usize::MAX);
                // One that is away has no address.
                let leader = Some(part.leader_id.0).filter(|leader| self.addresses.contains_key(leader));
                missing |= leader.is_none();
                self.lead(number, place, leader);
            }
        }
        if missing {
            self.ask_at = Instant::now() + self.ask_pause.delay();
        }
        self.ask_leaders();
    }

    /// Nobody interrupts what is under way: another leader is heard of when the old one refuses.
    fn lead(&mut self, number: usize, place: usize, leader: Option<i32>) {
        let Some(topic) = self.topics.get_mut(number) else { return };
        let Some(partition) = topic.partitions.get_mut(place) else { return };
        if partition.leader.is_none() {
            partition.leader = leader;
            topic.wanted |= leader.is_none() && !partition.is_empty();
            self.list(number, place);
        }
    }

    /// Now and then: what waits for time to pass.
    fn look(&mut self) {
        let late: Vec<u64> =
            self.links.values().filter(|link| link.is_late()).map(|link| link.serial).collect();
        for serial in late {
            self.lose(serial, &Error::new(shared::Kind::Unreachable, "a leader does not answer"));
        }
        if !self.pauses.is_empty() {
            let places: Vec<(usize, usize)> = self
                .topics
                .iter()
                .enumerate()
                .flat_map(|(number, topic)| (0..topic.partitions.len()).map(move |place| (number, place)))
                .collect();
            places.into_iter().for_each(|(number, place)| self.list(number, place));
        }
        if Instant::now() >= self.refresh_at {
            self.refresh_at = Instant::now() + REFRESH;
            self.topics.iter_mut().for_each(|topic| topic.wanted = true);
        }
        self.ask_leaders();
    }
}

/// Brokers take each topic once in a request, and drop what comes under its name again.
fn grouped(topics: &[Topic], mut data: Vec<(usize, usize, Bytes)>) -> Vec<TopicProduceData> {
    data.sort_by_key(|(number, ..)| *number);
    let part = |(_, place, content): &(usize, usize, Bytes)| {
        let index = i32::try_from(*place).unwrap_or(i32::MAX);
        PartitionProduceData::default().with_index(index).with_records(Some(content.clone()))
    };
    let of_topic = |data: &[(usize, usize, Bytes)]| {
        let topic = data.first().and_then(|(number, ..)| topics.get(*number));
        let name = topic.map_or_else(String::new, |topic| topic.name.to_string());
        TopicProduceData::default()
            .with_name(TopicName(StrBytes::from_string(name)))
            .with_partition_data(data.iter().map(part).collect())
    };
    data.chunk_by(|(one, ..), (other, ..)| one == other).map(of_topic).collect()
}
