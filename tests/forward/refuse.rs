//! What cannot go holds its own topic, and nothing else.

use crate::world::{self, LIMIT, Ports, Whole};
use serde_json::json;
use shared::avro::wire;
use stack::http;
use support::eventually;

const OLD: &str = r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int"}]}"#;
const NEW: &str = r#"{"type":"record","name":"R","fields":[{"name":"a","type":"string"}]}"#;

fn message(id: u32, n: u64) -> Vec<u8> {
    let mut value = wire::prefix(wire::SchemaId(id)).to_vec();
    value.extend(format!("{n}").bytes());
    value
}

#[test]
fn a_refused_schema_stops_its_topic_alone_and_goes_on_when_mended() {
    let (kafka, registry) = (world::kafka(1), world::registry());
    world::register(&registry.url(), "bad-value", OLD);
    let ports = Ports::free();
    let mut launch = world::agent(&ports, &kafka.bootstrap(), &registry.url());
    launch.allow(&["forward_partition_stopped"]);
    let mut agent = world::started(&launch);
    let id = world::register(&ports.registry(), "bad-value", NEW);
    let good = world::register(&ports.registry(), "good-value", OLD);
    let producer = world::producer(&ports.door());
    for n in 0..100 {
        world::send(&producer, &Whole { value: Some(message(id, n)), ..world::made("bad", n, 5) });
        world::send(&producer, &Whole { value: Some(message(good, n)), ..world::made("good", n, 5) });
    }
    world::flush(&producer);
    let line = agent.wait_event("forward_partition_stopped", LIMIT).expect("it says so");
    assert_eq!(
        (line.field("topic"), line.field("remedy").contains("compatibility")),
        ("bad", true),
        "{line:?}"
    );
    assert!(line.field("error").contains("409"), "the registry's own words: {line:?}");
    eventually(LIMIT, "the other topic is there", || {
        (support::topics::total(&kafka.bootstrap(), "good") >= 100).then_some(())
    });
    // What the brokers acknowledged is noted a moment after it can be read there.
    eventually(LIMIT, "the status knows what waits", || {
        (agent.status().ok()?["forward"]["records_to_go"] == 100).then_some(())
    });
    assert_eq!(world::read(&kafka.bootstrap(), "bad"), []);
    http::put(&format!("{}/config/bad-value", registry.url()), &json!({"compatibility": "NONE"}))
        .expect("set");
    let arrived = world::read_all(&mut agent, &kafka.bootstrap(), "bad");
    assert_eq!(arrived.len(), 100);
    agent.wait_event("forward_partition_works", LIMIT).expect("it says so");
    let stops = agent.log().iter().filter(|line| line.event() == "forward_partition_stopped").count();
    assert_eq!(stops, 1, "one warning an episode");
    assert_eq!(agent.stop().expect("it stops"), 0);
}

/// Never a guess; and nothing is passed over.
#[test]
fn an_unknown_id_stops_its_partition() {
    let (kafka, registry) = (world::kafka(2), world::registry());
    let ports = Ports::free();
    let mut launch = world::agent(&ports, &kafka.bootstrap(), &registry.url());
    launch.allow(&["forward_partition_stopped"]).set("buffer.partitions", 2);
    let mut agent = world::started(&launch);
    let producer = world::producer(&ports.door());
    let at = |partition: i32, value: &[u8]| Whole {
        partition,
        key: None,
        value: Some(value.to_vec()),
        ..world::made("mixed", 0, 1)
    };
    let records = [at(0, b"plain"), at(0, &message(4_711, 1)), at(0, b"behind"), at(1, b"other")];
    records.iter().for_each(|record| world::send(&producer, record));
    world::flush(&producer);
    let line = agent.wait_event("forward_partition_stopped", LIMIT).expect("it says so");
    assert!(
        line.field("error").contains("4711") && line.field("remedy").contains("forward.plain"),
        "{line:?}"
    );
    let arrived = world::read_soon(&kafka.bootstrap(), "mixed", 2);
    assert_eq!(arrived, [records[0].clone(), records[3].clone()]);
    // The operator knows better: these are no schema ids.
    assert_eq!(agent.stop().expect("it stops"), 0);
    let mut agent = world::started(launch.set("forward.plain", "[\"mixed\"]"));
    let arrived = world::read_all(&mut agent, &kafka.bootstrap(), "mixed");
    assert_eq!(arrived, records);
    assert_eq!(agent.stop().expect("it stops"), 0);
}

/// A topic whose records the brokers refuse does not hold up the others.
#[test]
fn a_topic_that_takes_no_such_records_is_held() {
    let (kafka, registry) = (world::kafka(1), world::registry());
    let ports = Ports::free();
    let mut launch = world::agent(&ports, &kafka.bootstrap(), &registry.url());
    launch.allow(&["forward_partition_stopped"]);
    launch.set(
        "forward.topic",
        "[{include=[\"small\"],partitions=1,settings={\"max.message.bytes\"=\"1000\"}}]",
    );
    let mut agent = world::started(&launch);
    let producer = world::producer(&ports.door());
    world::send(&producer, &Whole { value: Some(vec![b'x'; 100]), ..world::made("small", 0, 1) });
    let large: Vec<u8> = (0..5_000).map(|_| fastrand::u8(1..)).collect();
    world::send(&producer, &Whole { value: Some(large), ..world::made("small", 1, 1) });
    (0..500).for_each(|n| world::send(&producer, &world::made("large", n, 5)));
    world::flush(&producer);
    let line = agent.wait_event("forward_partition_stopped", LIMIT).expect("it says so");
    assert_eq!((line.field("topic"), line.field("remedy").contains("max.message.bytes")), ("small", true));
    let arrived = world::read_soon(&kafka.bootstrap(), "large", 500);
    assert_eq!(arrived.iter().map(world::number).collect::<Vec<_>>(), (0..500).collect::<Vec<_>>());
    assert_eq!(agent.stop().expect("it stops"), 0);
}
