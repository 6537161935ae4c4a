//! Schedule, bandwidth and priority, in effect.

use crate::world::{self, LIMIT, Ports, Whole};
use std::time::{Duration, Instant};
use support::{eventually, topics};

fn noise(topic: &str, n: u64, bytes: usize) -> Whole {
    let value: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(1..)).take(bytes).collect();
    Whole { value: Some(value), ..world::made(topic, n, 5) }
}

/// Minutes of the day in UTC, some seconds before the next one begins.
fn next_minute() -> (u64, u64) {
    loop {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        let left = 60 - now.as_secs() % 60;
        if (6..=50).contains(&left) {
            return ((now.as_secs() / 60 + 1) % 1_440, left);
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}

#[test]
fn records_wait_for_the_schedule() {
    let (kafka, registry) = (world::kafka(1), world::registry());
    let ports = Ports::free();
    let mut launch = world::agent(&ports, &kafka.bootstrap(), &registry.url());
    let (minute, _) = next_minute();
    let clock = |minute: u64| format!("{:02}:{:02}", minute / 60 % 24, minute % 60);
    launch.set("forward.time_zone", "UTC");
    launch.set("forward.schedule", format!("[\"{}-{}\"]", clock(minute), clock(minute + 5)));
    let mut agent = world::started(&launch);
    let producer = world::producer(&ports.door());
    (0..1_000).for_each(|n| world::send(&producer, &world::made("t", n, 5)));
    world::flush(&producer);
    let status = eventually(LIMIT, "the status shows them", || {
        let status = agent.status().ok()?;
        (status["forward"]["records_to_go"] == 1_000).then_some(status)
    });
    assert_eq!(status["forward"]["open"], false, "{status}");
    agent.wait_event("forward_closed", LIMIT).expect("it says so");
    assert_eq!(topics::total(&kafka.bootstrap(), "t"), 0);
    let line = agent.wait_event("forward_opened", LIMIT).expect("it says so");
    println!("{}", line.text());
    assert_eq!(world::read_all(&mut agent, &kafka.bootstrap(), "t").len(), 1_000);
    assert_eq!(agent.stop().expect("it stops"), 0);
}

#[test]
fn the_link_gets_no_more_than_was_said_and_the_important_goes_first() {
    let (kafka, registry) = (world::kafka(1), world::registry());
    let ports = Ports::free();
    let mut launch = world::agent(&ports, &kafka.bootstrap(), &registry.url());
    launch.set("forward.bandwidth", "1 Mbit/s").set("forward.priority", "[\"important\"]");
    launch.set("forward.commit_interval", "200ms");
    let mut agent = world::started(&launch);
    let producer = world::producer(&ports.door());
    (0..2_000).for_each(|n| world::send(&producer, &noise("other", n, 1_000)));
    world::flush(&producer);
    let start = Instant::now();
    let total = |topic: &str| topics::total(&kafka.bootstrap(), topic);
    eventually(LIMIT, "some are there", || (total("other") > 200).then_some(()));
    (0..100).for_each(|n| world::send(&producer, &noise("important", n, 1_000)));
    world::flush(&producer);
    let asked = Instant::now();
    eventually(LIMIT, "the important are there", || (total("important") >= 100).then_some(()));
    let (waited, others) = (asked.elapsed(), total("other"));
    assert!(others < 1_600, "{others} others came before");
    world::all_gone(&mut agent);
    let rate = 2_100_000.0 / start.elapsed().as_secs_f64();
    println!("{rate:.0} bytes/s of 125000; the important came after {waited:?}, {others} others before");
    assert!((87_500.0..150_000.0).contains(&rate), "{rate} bytes/s");
    assert_eq!(agent.stop().expect("it stops"), 0);
}
