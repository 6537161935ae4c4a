//! A topic is deleted when all of it is at the centre, and made again: what is new arrives, each record once.

use crate::world::{self, LIMIT, Ports};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::types::RDKafkaErrorCode;
use support::eventually;

fn delete(door: &str) -> Result<(), RDKafkaErrorCode> {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", door).create().expect("an admin client");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let asked = runtime.block_on(admin.delete_topics(&["t"], &AdminOptions::new()));
    asked.expect("it answers").pop().expect("an answer").map(drop).map_err(|(_, code)| code)
}

#[test]
fn what_waits_for_the_centre_is_not_deleted_and_a_new_topic_goes_on() {
    let (mut kafka, registry) = (world::kafka(1), world::registry());
    let ports = Ports::free();
    let mut launch = world::agent(&ports, &kafka.bootstrap(), &registry.url());
    launch.allow(&["forward_waits"]);
    let mut agent = world::started(&launch);
    let producer = world::producer(&ports.door());
    let send = |numbers: std::ops::Range<u64>| {
        numbers.for_each(|n| world::send(&producer, &world::made("t", n, 5)));
        world::flush(&producer);
    };
    send(0..1_000);
    world::all_gone(&mut agent);
    kafka.kill().expect("kill -9");
    send(1_000..1_500);
    assert_eq!(delete(&ports.door()), Err(RDKafkaErrorCode::PolicyViolation));
    kafka.start_again().expect("Kafka starts again");
    // Also noted as there, which comes a moment later.
    eventually(LIMIT, "it may be deleted", || delete(&ports.door()).ok());
    send(1_500..1_600);
    world::all_gone(&mut agent);
    agent.kill().expect("kill -9");
    let mut agent = world::started(&launch);
    send(1_600..2_000);
    let arrived = world::read_all(&mut agent, &kafka.bootstrap(), "t");
    assert_eq!(arrived.iter().map(world::number).collect::<Vec<_>>(), (0..2_000).collect::<Vec<_>>());
    let local = world::read(&ports.door(), "t");
    assert_eq!(local.iter().map(world::number).collect::<Vec<_>>(), (1_500..2_000).collect::<Vec<_>>());
    assert_eq!(agent.stop().expect("it stops"), 0);
}
