//! Reads whole topics from a broker.

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A record as it lies in a topic.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub partition: i32,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

const LIMIT: Duration = Duration::from_secs(20);

/// Every committed record of every topic that begins with `prefix`, by topic, in order of partition and offset.
pub fn read(bootstrap: &str, prefix: &str) -> BTreeMap<String, Vec<Record>> {
    let mut topics: BTreeMap<String, Vec<Record>> = BTreeMap::new();
    each(bootstrap, prefix, |topic, record| {
        topics.entry(topic.to_owned()).or_default().extend(record);
    });
    for records in topics.values_mut() {
        // Stable: within a partition the order is the broker's.
        records.sort_by_key(|record: &Record| record.partition);
    }
    topics
}

/// Hands over each of these records, and keeps none: of a partition in order; and each topic once without.
pub fn each(bootstrap: &str, prefix: &str, mut take: impl FnMut(&str, Option<Record>)) {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "reader")
        .set("enable.auto.commit", "false")
        .create()
        .expect("a consumer can be made");
    let metadata = consumer.fetch_metadata(None, LIMIT).expect("the broker answers");
    let mut ends = Vec::new();
    let mut assignment = TopicPartitionList::new();
    for topic in metadata.topics().iter().filter(|topic| topic.name().starts_with(prefix)) {
        take(topic.name(), None);
        for partition in topic.partitions() {
            let (low, high) = watermarks(&consumer, topic.name(), partition.id());
            if low < high {
                ends.push((topic.name().to_owned(), partition.id(), high));
            }
            assignment
                .add_partition_offset(topic.name(), partition.id(), Offset::Beginning)
                .expect("a partition is assigned once");
        }
    }
    consumer.assign(&assignment).expect("assign");
    let mut until = Instant::now() + LIMIT;
    while !reached(&consumer, &ends) {
        assert!(Instant::now() < until, "no record of {prefix}* came for {LIMIT:?}");
        let Some(message) = consumer.poll(Duration::from_millis(200)) else { continue };
        let message = message.expect("a record can be read");
        until = Instant::now() + LIMIT;
        take(message.topic(), Some(record(&message)));
    }
}

/// Where a partition begins and ends. A broker that has just made it, or just started, may be its leader only
/// a moment later.
pub fn watermarks(consumer: &BaseConsumer, topic: &str, partition: i32) -> (i64, i64) {
    let until = Instant::now() + LIMIT;
    loop {
        match consumer.fetch_watermarks(topic, partition, LIMIT) {
            Ok(found) => return found,
            Err(error) => assert!(Instant::now() < until, "no ends of {topic}: {error}"),
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// By positions, as transactions leave marks that are no records.
fn reached(consumer: &BaseConsumer, ends: &[(String, i32, i64)]) -> bool {
    let positions = consumer.position().expect("positions are known here");
    ends.iter().all(|(topic, partition, end)| {
        let at = positions.find_partition(topic, *partition).map(|found| found.offset());
        matches!(at, Some(Offset::Offset(at)) if at >= *end)
    })
}

/// How many records all those topics hold.
pub fn count(topics: &BTreeMap<String, Vec<Record>>) -> usize {
    topics.values().map(Vec::len).sum()
}

fn record(message: &rdkafka::message::BorrowedMessage<'_>) -> Record {
    let headers = message
        .headers()
        .map(|headers| headers.iter().map(|h| (h.key.to_owned(), h.value.map(<[u8]>::to_vec))).collect());
    Record {
        partition: message.partition(),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers: headers.unwrap_or_default(),
    }
}

/// How many records lie in all topics that begin with `prefix`. A broker that just came back is asked again.
pub fn total(bootstrap: &str, prefix: &str) -> i64 {
    let consumer: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", bootstrap).create().expect("a consumer can be made");
    let until = Instant::now() + LIMIT;
    loop {
        match count_now(&consumer, prefix) {
            Ok(total) => return total,
            Err(error) => assert!(Instant::now() < until, "the broker does not tell: {error}"),
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn count_now(consumer: &BaseConsumer, prefix: &str) -> Result<i64, KafkaError> {
    let metadata = consumer.fetch_metadata(None, LIMIT)?;
    let mut total = 0;
    for topic in metadata.topics().iter().filter(|topic| topic.name().starts_with(prefix)) {
        for partition in topic.partitions() {
            let (low, high) = consumer.fetch_watermarks(topic.name(), partition.id(), LIMIT)?;
            total += high - low;
        }
    }
    Ok(total)
}

/// How many partitions a topic has.
pub fn partitions(bootstrap: &str, topic: &str) -> usize {
    let consumer: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", bootstrap).create().expect("a consumer can be made");
    let metadata = consumer.fetch_metadata(Some(topic), LIMIT).expect("the broker answers");
    metadata.topics().iter().map(|topic| topic.partitions().len()).sum()
}

/// Makes a topic before anybody writes to it.
pub fn create(bootstrap: &str, topic: &str, partitions: i32) {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .create()
        .expect("an admin client can be made");
    let wanted = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let made =
        runtime.block_on(admin.create_topics([&wanted], &AdminOptions::new())).expect("the broker answers");
    assert!(made.iter().all(Result::is_ok), "{made:?}");
}
