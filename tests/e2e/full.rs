//! A log that is full, or a topic that is: what a real producer feels, by what the operator chose.

use rdkafka::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::time::Duration;
use support::edge::Agent;
use support::{eventually, topics};

const LIMIT: Duration = Duration::from_secs(60);
/// The least that the log may hold.
const MIB: &str = "1048576";

fn producer(agent: &Agent) -> BaseProducer {
    ClientConfig::new()
        .set("bootstrap.servers", agent.brokers())
        .set("enable.idempotence", "true")
        .set("message.timeout.ms", "0")
        .set("linger.ms", "5")
        .set("batch.size", "50000")
        .create()
        .expect("a producer")
}

/// Numbers in 1,000 bytes each that nothing packs.
fn send(producer: &BaseProducer, topic: &str, numbers: std::ops::Range<u32>) {
    for n in numbers {
        let noise: String = std::iter::repeat_with(fastrand::alphanumeric).take(1_000).collect();
        let value = format!("{n} {noise}");
        let mut next = BaseRecord::<str, str>::to(topic).payload(&value);
        while let Err((error, back)) = producer.send(next) {
            assert_eq!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::QueueFull), "{error}");
            producer.poll(Duration::from_millis(20));
            next = back;
        }
        producer.poll(Duration::ZERO);
    }
}

fn numbers(agent: &Agent, topic: &str) -> Vec<u32> {
    let records = topics::read(&agent.brokers(), topic).remove(topic).unwrap_or_default();
    let number = |record: topics::Record| {
        let text = String::from_utf8(record.value.expect("a value")).expect("text");
        text.split(' ').next().expect("a number").parse().expect("a number")
    };
    records.into_iter().map(number).collect()
}

/// The producer waits, without an error and without losing its place, and goes on when there is room again.
#[test]
fn refuse_makes_the_producer_wait() {
    let mut agent = Agent::start(&[
        ("buffer.max_bytes", MIB),
        ("buffer.when_full", "refuse"),
        ("buffer.keep", "4s"),
        ("buffer.reserve_free_bytes", "0"),
    ]);
    agent.launch.allow(&["buffer_full"]);
    let producer = producer(&agent);
    send(&producer, "t", 0..3_000);
    agent.program.wait_event("buffer_full", LIMIT).expect("it says so");
    assert!(producer.in_flight_count() > 500, "it waits");
    let full = agent.program.status().expect("its status")["buffer"]["used_bytes"].as_u64().expect("bytes");
    assert!((500_000..=1_048_576).contains(&full), "{full}");
    producer.flush(LIMIT).expect("it goes on when the oldest have had their time");
    agent.program.wait_event("buffer_open_again", LIMIT).expect("it says so");
    assert!(agent.program.metric("tidegate_agent_buffer_refused_batches_total").expect("a metric") > 0.0);
    let dropped = agent.program.metric("tidegate_agent_buffer_dropped_records_total");
    assert_eq!(dropped.expect("a metric"), 0.0, "none was lost");
    // In order, each once: what is still kept is the end of it.
    let kept = numbers(&agent, "t");
    let first = *kept.first().expect("some are kept");
    assert_eq!(kept, (first..3_000).collect::<Vec<_>>());
    assert_eq!(agent.program.stop().expect("it stops"), 0);
}

/// Of a topic of little worth the oldest go and are counted; nobody waits, and other topics lose nothing.
#[test]
fn drop_oldest_drops_and_counts() {
    let mut agent = Agent::start(&[
        ("buffer.max_bytes", MIB),
        ("buffer.when_full", "refuse"),
        ("buffer.reserve_free_bytes", "0"),
        ("topic", "[{ name = \"metrics.*\", when_full = \"drop_oldest\" }]"),
    ]);
    agent.launch.allow(&["buffer_full", "buffer_dropping"]);
    let producer = producer(&agent);
    send(&producer, "orders", 0..100);
    producer.flush(LIMIT).expect("acknowledged");
    send(&producer, "metrics.a", 0..5_000);
    producer.flush(LIMIT).expect("nobody waits for long");
    agent.program.wait_event("buffer_dropping", LIMIT).expect("it says so");
    let kept = numbers(&agent, "metrics.a");
    let first = *kept.first().expect("some are kept");
    assert_eq!(kept, (first..5_000).collect::<Vec<_>>(), "the newest, without a gap");
    let dropped = agent.program.metric("tidegate_agent_buffer_dropped_records_total").expect("a metric");
    assert_eq!(dropped, f64::from(first), "each that went is counted");
    assert_eq!(numbers(&agent, "orders"), (0..100).collect::<Vec<_>>());
    assert_eq!(agent.program.stop().expect("it stops"), 0);
}

/// A topic may have a share of its own; beyond it the oldest that nobody needs go, also from an empty log.
#[test]
fn a_topics_own_bytes_are_held() {
    let mut agent =
        Agent::start(&[("topic", "[{ name = \"small\", max_bytes = 200000 }]"), ("buffer.keep", "1h")]);
    let producer = producer(&agent);
    for topic in ["small", "large"] {
        send(&producer, topic, 0..2_000);
    }
    producer.flush(LIMIT).expect("acknowledged");
    let kept = eventually(LIMIT, "the small one is trimmed", || {
        let kept = numbers(&agent, "small");
        (kept.len() < 300).then_some(kept)
    });
    assert!(!kept.is_empty(), "not more than that goes");
    let first = kept[0];
    assert_eq!(kept, (first..2_000).collect::<Vec<_>>());
    assert_eq!(numbers(&agent, "large"), (0..2_000).collect::<Vec<_>>());
    assert_eq!(agent.program.stop().expect("it stops"), 0);
}
