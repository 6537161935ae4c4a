//! The centre, the agent before it, producers of known records, and readers that see all of a record.

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::{Value, json};
use stack::{HOST, Kafka, Registry, http};
use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use support::{Binary, Launch, Program, topics};

pub const LIMIT: Duration = Duration::from_secs(120);

/// The agent's ports, which outlive a restart.
#[derive(Clone, Copy)]
pub struct Ports {
    pub door: u16,
    pub registry: u16,
    features: u16,
}

impl Ports {
    pub fn free() -> Ports {
        let free = || stack::port::free().expect("a free port");
        Ports { door: free(), registry: free(), features: free() }
    }

    pub fn door(&self) -> String {
        format!("{HOST}:{}", self.door)
    }

    pub fn registry(&self) -> String {
        format!("http://{HOST}:{}", self.registry)
    }
}

/// An agent that brings its log to these brokers.
pub fn agent(ports: &Ports, brokers: &str, registry: &str) -> Launch {
    beside(ports, "forward", brokers, registry)
}

/// An agent that reads a topic of these brokers.
pub fn consumer(ports: &Ports, brokers: &str, registry: &str, topic: &str) -> Launch {
    let mut launch = beside(ports, "consume", brokers, registry);
    launch.set("consume.topics", format!("[\"{topic}\"]"));
    launch
}

fn beside(ports: &Ports, way: &str, brokers: &str, registry: &str) -> Launch {
    let mut launch = Launch::new(Binary::Agent, "[db]\npath = \"agent.db\"\n").expect("a launch");
    launch
        .set("door.listen", ports.door())
        .set("registry.listen", format!("{HOST}:{}", ports.registry))
        .set("features.listen", format!("{HOST}:{}", ports.features))
        .set(&format!("{way}.kafka.brokers"), brokers)
        .set(&format!("{way}.registry.url"), format!("[\"{registry}\"]"))
        .set(&format!("{way}.retry_ceiling"), "1s")
        // Our own readers name a group, which the door does not keep.
        .allow(&["door_coordinator_refused"]);
    launch
}

pub fn started(launch: &Launch) -> Program {
    let mut program = launch.start().expect("the agent starts");
    program.wait_ready(LIMIT).expect("the agent is ready");
    program
}

pub fn kafka(partitions: u32) -> Kafka {
    Kafka::start(stack::kafka::Options { partitions, ..Default::default() }).expect("Kafka")
}

/// In good order, where there are transactions. A lone broker of Kafka 4.4 that is killed while it ends one skips
/// the marks that are missing once it is back, for it holds itself not to lead the partitions yet: the
/// transaction hangs, with the places in it, until a person aborts it.
pub fn stop(kafka: &mut Kafka) {
    kafka.stop().expect("Kafka stops");
}

pub fn registry() -> Registry {
    Registry::start().expect("the registry")
}

/// Registers a text and gives its id.
pub fn register(registry: &str, subject: &str, text: &str) -> u32 {
    let url = format!("{registry}/subjects/{subject}/versions");
    let answer =
        http::post(&url, &json!({ "schema": text })).expect("it answers").json().expect("it takes it");
    u32::try_from(answer["id"].as_u64().expect("an id")).expect("a small id")
}

/// The text behind an id.
pub fn text(registry: &str, id: u32) -> String {
    let answer =
        http::get(&format!("{registry}/schemas/ids/{id}")).expect("it answers").json().expect("known");
    answer["schema"].as_str().expect("a text").to_owned()
}

/// Everything of a record but its offset.
#[derive(Clone, Debug, PartialEq)]
pub struct Whole {
    pub topic: String,
    pub partition: i32,
    pub time_ms: Option<i64>,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

/// Hands over each committed record of topics that begin so, of a partition in order, up to the ends that the
/// topics have now.
pub fn each(bootstrap: &str, prefix: &str, mut take: impl FnMut(Whole)) {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "reader")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "error")
        .set("isolation.level", "read_committed")
        .set("queued.max.messages.kbytes", "16384")
        .create()
        .expect("a consumer can be made");
    let metadata = consumer.fetch_metadata(None, LIMIT).expect("the broker answers");
    let (mut list, mut ends) = (TopicPartitionList::new(), Vec::new());
    for topic in metadata.topics().iter().filter(|topic| topic.name().starts_with(prefix)) {
        for partition in topic.partitions() {
            list.add_partition_offset(topic.name(), partition.id(), Offset::Beginning).expect("once");
            let (low, high) = topics::watermarks(&consumer, topic.name(), partition.id());
            if low < high {
                ends.push((topic.name().to_owned(), partition.id(), high));
            }
        }
    }
    consumer.assign(&list).expect("assign");
    let mut last = Instant::now();
    loop {
        // By positions, as transactions leave marks that are no records.
        let at = consumer.position().expect("positions");
        let left: Vec<_> = ends
            .iter()
            .filter(|(topic, partition, end)| {
                let at = at.find_partition(topic, *partition).map(|found| found.offset());
                !matches!(at, Some(Offset::Offset(at)) if at >= *end)
            })
            .collect();
        if left.is_empty() {
            return;
        }
        assert!(last.elapsed() < LIMIT, "nothing comes any more; {left:?} of {at:?}");
        for _ in 0..1_000 {
            match consumer.poll(Duration::from_millis(100)) {
                None => break,
                Some(Err(KafkaError::MessageConsumption(RDKafkaErrorCode::GroupAuthorizationFailed))) => {}
                Some(message) => {
                    take(whole(&message.expect("a record can be read")));
                    last = Instant::now();
                }
            }
        }
    }
}

pub fn read(bootstrap: &str, prefix: &str) -> Vec<Whole> {
    let mut all = Vec::new();
    each(bootstrap, prefix, |record| all.push(record));
    // Stable: within a partition the order is the broker's.
    all.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
    all
}

/// As [`read`], when so many have come.
pub fn read_soon(bootstrap: &str, prefix: &str, count: usize) -> Vec<Whole> {
    support::eventually(LIMIT, &format!("{count} records of {prefix} are there"), || {
        let all = read(bootstrap, prefix);
        (all.len() >= count).then_some(all)
    })
}

fn whole(message: &rdkafka::message::BorrowedMessage<'_>) -> Whole {
    let headers = message.headers().map(|headers| {
        headers.iter().map(|h| (h.key.to_owned(), h.value.map(<[u8]>::to_vec))).collect::<Vec<_>>()
    });
    Whole {
        topic: message.topic().to_owned(),
        partition: message.partition(),
        time_ms: message.timestamp().to_millis(),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers: headers.unwrap_or_default(),
    }
}

/// An idempotent producer that never gives up.
pub fn producer(bootstrap: &str) -> BaseProducer {
    ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("enable.idempotence", "true")
        .set("message.timeout.ms", "0")
        .set("compression.type", "lz4")
        .set("linger.ms", "5")
        .set("reconnect.backoff.max.ms", "500")
        .set("partitioner", "murmur2_random")
        .create()
        .expect("a producer can be made")
}

/// One record, sent when there is room.
pub fn send(producer: &BaseProducer, record: &Whole) {
    let mut headers = OwnedHeaders::new();
    for (key, value) in &record.headers {
        headers = headers.insert(Header { key, value: value.as_deref() });
    }
    let mut next = BaseRecord::<[u8], [u8]>::to(&record.topic).headers(headers);
    next.partition = (record.partition >= 0).then_some(record.partition);
    next.timestamp = record.time_ms;
    next.key = record.key.as_deref();
    next.payload = record.value.as_deref();
    while let Err((error, back)) = producer.send(next) {
        assert_eq!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::QueueFull), "{error}");
        producer.poll(Duration::from_millis(20));
        next = back;
    }
    producer.poll(Duration::ZERO);
}

pub fn flush(producer: &BaseProducer) {
    producer.flush(LIMIT).expect("everything is acknowledged");
}

/// Not long ago: brokers remove what is older than a week.
static BEGINNING_MS: LazyLock<i64> = LazyLock::new(|| {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_millis()).expect("small") - 3_600_000
});

/// The `n`th record of a topic: key, content, headers and time follow from the number.
pub fn made(topic: &str, n: u64, keys: u64) -> Whole {
    Whole {
        topic: topic.to_owned(),
        partition: -1,
        time_ms: Some(*BEGINNING_MS + i64::try_from(n * 37 % 100_000).expect("small")),
        key: Some(format!("k{}", n % keys).into_bytes()),
        value: Some(format!("{n} {}", "x".repeat((n * 7 % 150) as usize)).into_bytes()),
        headers: if n.is_multiple_of(3) {
            vec![("n".to_owned(), Some(n.to_string().into_bytes()))]
        } else {
            vec![]
        },
    }
}

/// The number that [`made`] put into a value.
pub fn number(record: &Whole) -> u64 {
    let value = record.value.as_deref().expect("a value");
    let digits = value.split(|byte| *byte == b' ').next().expect("a number");
    String::from_utf8_lossy(digits).parse().expect("a number")
}

/// A number from the environment.
pub fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Waits until the agent has nothing to bring any more, and reads what is at the centre.
pub fn read_all(agent: &mut Program, bootstrap: &str, prefix: &str) -> Vec<Whole> {
    all_gone(agent);
    read(bootstrap, prefix)
}

pub fn all_gone(agent: &mut Program) {
    support::until(LIMIT, || {
        let status = agent.status().map_or(Value::Null, |mut status| status["forward"].take());
        let known = status["partitions"].as_array().is_some_and(|partitions| !partitions.is_empty());
        let gone = known && status["records_to_go"] == 0;
        gone.then_some(()).ok_or_else(|| format!("all is at the centre; it says {status:#}"))
    });
}
