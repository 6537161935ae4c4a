//! A distant centre: however long a request takes, the machine beside the database is left alone.

use crate::world::{self, Ports, Whole};
use stack::Kafka;
use stack::proxy::{Network, Proxy};
use std::time::{Duration, Instant};

/// Large ones: what each costs is not asked here.
const RECORDS: u64 = 3_000;
const RECORD_BYTES: usize = 10_000;
/// Of every 16 KiB.
const LATE: Duration = Duration::from_millis(5);
/// Of one core, even of a build that is not optimised.
const BUSY: f64 = 0.5;

#[test]
fn catching_up_with_a_distant_centre_leaves_the_processor_alone() {
    for delivery in ["exactly_once", "at_least_once"] {
        let uplink = Proxy::start(stack::port::free().expect("a port")).expect("a proxy");
        let (_kafka, registry) =
            (Kafka::behind(&uplink, Default::default()).expect("Kafka"), world::registry());
        let ports = Ports::free();
        let mut launch = world::agent(&ports, &uplink.address(), &registry.url());
        launch.set("forward.delivery", delivery).set("forward.compression", "none").allow(&["forward_waits"]);
        uplink.set(Network::Down);
        let mut agent = world::started(&launch);
        let producer = world::producer(&ports.door());
        for n in 0..RECORDS {
            let value = Some(format!("{n} {}", "x".repeat(RECORD_BYTES)).into_bytes());
            world::send(&producer, &Whole { value, ..world::made("t", n, 5) });
        }
        world::flush(&producer);
        // An outage that nobody noticed does not end either.
        agent.wait_event("forward_waits", world::LIMIT).expect("the link is away");
        uplink.set(Network::Slow(LATE));
        agent.wait_event("forward_works", world::LIMIT).expect("the link is back");
        let (begun, before) = (Instant::now(), agent.cpu().expect("its time"));
        world::all_gone(&mut agent);
        let (wall, used) = (begun.elapsed().as_secs_f64(), agent.cpu().expect("its time") - before);
        println!("{delivery}: {wall:.1} s, {used:?} of CPU");
        assert!(wall > 5.0, "it was not distant: {wall} s");
        assert!(used.as_secs_f64() < BUSY * wall, "{delivery}: {used:?} of CPU in {wall} s");
        assert_eq!(agent.stop().expect("it stops"), 0);
    }
}
