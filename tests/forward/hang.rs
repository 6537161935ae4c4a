//! A transaction that hangs at the centre with how far we are in it: only a person can end it, so a person is told.

use crate::world::{self, LIMIT, Ports, Whole};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use std::ops::Range;
use std::time::Duration;
use support::{Program, eventually, topics};

const RECORDS: u64 = 500;

#[test]
fn a_transaction_that_hangs_at_the_centre_is_said_once_with_its_remedy() {
    let (kafka, registry, ports) = (world::kafka(1), world::registry(), Ports::free());
    let brokers = kafka.bootstrap();
    topics::create(&brokers, "t", 1);
    let mut launch = world::agent(&ports, &brokers, &registry.url());
    launch.set("forward.delivery", "exactly-once").allow(&["forward_waits"]);
    let mut agent = world::started(&launch);
    let producer = world::producer(&ports.door());
    let other = hanging(&brokers, &group(&brokers, &producer));
    (0..RECORDS).for_each(|n| world::send(&producer, &world::made("t", n, 5)));
    world::flush(&producer);
    let line = agent.wait_event("forward_waits", LIMIT).expect("it says so");
    assert!(line.field("remedy").contains("kafka-transactions.sh find-hanging"), "{line:?}");
    // Some sessions later.
    std::thread::sleep(Duration::from_secs(12));
    let forward = agent.status().expect("its status")["forward"].clone();
    assert_eq!(
        (&forward["connected"], &forward["records_to_go"]),
        (&false.into(), &RECORDS.into()),
        "{forward}"
    );
    assert_eq!(forward["remedy"], line.field("remedy"), "{forward}");
    let said = |event| agent.log().iter().filter(|line| line.event() == event).count();
    assert_eq!((said("forward_waits"), said("forward_works")), (1, 0), "once an outage");
    other.abort_transaction(LIMIT).expect("it is ended");
    let arrived = world::read_all(&mut agent, &brokers, "t");
    let wanted: Vec<Whole> = (0..RECORDS).map(|n| Whole { partition: 0, ..world::made("t", n, 5) }).collect();
    assert_eq!(arrived, wanted);
    eventually(LIMIT, "it says that it works", || {
        (agent.status().ok()?["forward"]["connected"] == true).then_some(())
    });
    agent.wait_event("forward_works", LIMIT).expect("it says so");
    assert_eq!(agent.stop().expect("it stops"), 0);
}

/// What aborting leaves behind if the agent's transaction was acknowledged: a group that says less than it was told.
#[test]
fn what_the_centre_acknowledged_and_lost_is_brought_again() {
    let (kafka, registry, ports) = (world::kafka(1), world::registry(), Ports::free());
    let brokers = kafka.bootstrap();
    let mut launch = world::agent(&ports, &brokers, &registry.url());
    launch.set("forward.delivery", "exactly-once").allow(&["forward_taken_back"]);
    let mut agent = world::started(&launch);
    let producer = world::producer(&ports.door());
    let group = group(&brokers, &producer);
    let bring = |agent: &mut Program, numbers: Range<u64>| {
        numbers.for_each(|n| world::send(&producer, &world::made("t", n, 5)));
        world::flush(&producer);
        world::all_gone(agent);
    };
    bring(&mut agent, 0..RECORDS);
    let mut places = TopicPartitionList::new();
    places.add_partition("t", 0);
    let before = group.committed_offsets(places, LIMIT).expect("a place");
    bring(&mut agent, RECORDS..2 * RECORDS);
    assert_eq!(agent.stop().expect("it stops"), 0);
    group.commit(&before, CommitMode::Sync).expect("the place is set back");
    let mut agent = launch.start().expect("it starts again");
    bring(&mut agent, 2 * RECORDS..2 * RECORDS + 1);
    let line = agent.wait_event("forward_taken_back", LIMIT).expect("it says so");
    let places = format!(r#""offset":{RECORDS},"acknowledged":{}"#, 2 * RECORDS);
    assert!(line.text().contains(&places), "{line:?}");
    let wanted = (0..2 * RECORDS).chain(RECORDS..2 * RECORDS + 1);
    let arrived = world::read(&brokers, "t");
    assert_eq!(arrived.iter().map(world::number).collect::<Vec<_>>(), wanted.collect::<Vec<_>>());
    // It is over: nothing is brought a third time.
    assert_eq!(agent.stop().expect("it stops"), 0);
    let mut agent = launch.start().expect("it starts again");
    bring(&mut agent, 2 * RECORDS + 1..2 * RECORDS + 2);
    assert_eq!(world::read(&brokers, "t").len() as u64, 3 * RECORDS + 2);
    assert_eq!(agent.stop().expect("it stops"), 0);
}

/// A member of the group in which the agent behind this door keeps how far it is.
fn group(brokers: &str, door: &BaseProducer) -> BaseConsumer {
    let node = door.client().fetch_cluster_id(LIMIT).expect("the agent's name");
    ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", format!("tidegate-agent-{node}"))
        .create()
        .expect("a consumer can be made")
}

/// An open transaction of another producer that holds a place of this group.
fn hanging(brokers: &str, group: &BaseConsumer) -> BaseProducer {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("transactional.id", "hangs")
        .create()
        .expect("a producer can be made");
    producer.init_transactions(LIMIT).expect("transactions");
    producer.begin_transaction().expect("one begins");
    let mut places = TopicPartitionList::new();
    places.add_partition_offset("t", 0, Offset::Offset(0)).expect("once");
    let group = group.group_metadata().expect("a group");
    producer.send_offsets_to_transaction(&places, &group, LIMIT).expect("a place is in it");
    producer
}
