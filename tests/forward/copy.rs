//! Two agents with the same file: the later one ends the earlier one, and what each says is told from the other's.

use crate::world::{self, LIMIT, Ports};
use std::path::Path;
use support::Launch;

fn copy(from: &Launch, to: &Launch) {
    for file in ["agent.db", "agent.db-wal"] {
        let (from, to): (_, &Path) = (from.folder().join(file), &to.folder().join(file));
        if from.exists() {
            std::fs::copy(from, to).expect("a copy");
        }
    }
}

#[test]
fn the_later_of_two_agents_ends_the_earlier_one() {
    let (kafka, registry) = (world::kafka(1), world::registry());
    let (ports, later_ports) = (Ports::free(), Ports::free());
    let mut launch = world::agent(&ports, &kafka.bootstrap(), &registry.url());
    launch.allow(&["forward_ended"]);
    let mut earlier = world::started(&launch);
    let producer = world::producer(&ports.door());
    (0..1_000).for_each(|n| world::send(&producer, &world::made("t", n, 5)));
    world::flush(&producer);
    world::all_gone(&mut earlier);
    // What was brought is noted by then, and the file is at rest.
    std::thread::sleep(std::time::Duration::from_secs(2));
    let later_launch = world::agent(&later_ports, &kafka.bootstrap(), &registry.url());
    copy(&launch, &later_launch);
    let mut later = world::started(&later_launch);
    let second = world::producer(&later_ports.door());
    (1_000..1_500).for_each(|n| world::send(&second, &world::made("t", n, 5)));
    world::flush(&second);
    world::all_gone(&mut later);
    world::send(&producer, &world::made("t", 9_999, 5));
    world::flush(&producer);
    let line = earlier.wait_event("forward_ended", LIMIT).expect("it says why");
    assert!(line.field("error").contains("copy of this one's file"), "{line:?}");
    let status = earlier.status().expect("it goes on otherwise");
    assert_eq!((&status["forward"]["ended"], &status["forward"]["records_to_go"]), (&true.into(), &1.into()));
    let arrived = world::read(&kafka.bootstrap(), "t");
    assert_eq!(arrived.iter().map(world::number).collect::<Vec<_>>(), (0..1_500).collect::<Vec<_>>());
    assert_eq!(later.stop().expect("it stops"), 0);
    // Started again, the earlier one finds records there that its own file does not have.
    assert_eq!(earlier.stop().expect("it stops"), 0);
    let mut earlier = world::started(&launch);
    let producer = world::producer(&ports.door());
    (0..700).for_each(|n| world::send(&producer, &world::made("t", 20_000 + n, 5)));
    world::flush(&producer);
    let ended = |line: &support::Line| {
        line.event() == "forward_ended" && line.field("error").contains("not in this file")
    };
    support::eventually(LIMIT, "it stops before it sends", || {
        earlier.log().iter().find(|l| ended(l)).cloned()
    });
    assert_eq!(world::read(&kafka.bootstrap(), "t").len(), 1_500, "nothing was added");
    assert_eq!(earlier.stop().expect("it stops"), 0);
}
