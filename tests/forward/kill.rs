//! The agent and central Kafka killed in loops: each record once for readers of what is committed, in order.
//!
//! `KILLS=60 cargo dev test forward kills` kills as often.

use crate::world::{self, Ports};
use fastrand::Rng;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use support::topics;

const KEYS: u64 = 40;
const TOPICS: [&str; 2] = ["k.a", "k.b"];

#[test]
fn each_record_once_in_spite_of_kills() {
    killed("exactly-once", |bootstrap, topic, sent| {
        each_once(bootstrap, topic, sent);
        0
    });
}

/// Nothing is missing; what comes again comes after what it repeats.
#[test]
fn each_record_at_least_once_in_spite_of_kills() {
    let repeated = killed("at-least-once", at_least_once);
    println!("{repeated} records came more than once");
}

/// Kills the agent and Kafka while records are sent; the sum of what `check` gives for each topic.
fn killed(delivery: &str, check: impl Fn(&str, &str, u64) -> u64) -> u64 {
    let seed = world::setting("SEED", fastrand::u64(..));
    let kills = world::setting("KILLS", 8);
    println!("SEED={seed} KILLS={kills}");
    let mut rng = Rng::with_seed(seed);
    let (mut kafka, registry) = (world::kafka(3), world::registry());
    let ports = Ports::free();
    let mut launch = world::agent(&ports, &kafka.bootstrap(), &registry.url());
    launch.set("buffer.partitions", 2).set("forward.commit_interval", "200ms");
    launch.set("forward.transaction_timeout", "10s").allow(&["forward_waits"]);
    launch.set("forward.delivery", delivery);
    let mut agent = world::started(&launch);
    let (stop, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let producer = world::producer(&ports.door());
            while !stop.load(Ordering::Acquire) {
                let n = sent.fetch_add(1, Ordering::AcqRel);
                TOPICS.iter().for_each(|topic| world::send(&producer, &world::made(topic, n, KEYS)));
                if n.is_multiple_of(50) {
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
            world::flush(&producer);
        });
        for _ in 0..kills {
            std::thread::sleep(Duration::from_millis(rng.u64(300..2_500)));
            if rng.u8(0..3) > 0 {
                agent.kill().expect("kill -9");
                agent = launch.start().expect("it starts again");
            } else {
                match delivery {
                    "at-least-once" => kafka.kill().expect("kill -9"),
                    _ => world::stop(&mut kafka),
                }
                std::thread::sleep(Duration::from_millis(rng.u64(0..3_000)));
                kafka.start_again().expect("Kafka starts again");
            }
        }
        stop.store(true, Ordering::Release);
    });
    let sent = sent.load(Ordering::Acquire);
    for topic in TOPICS {
        assert_eq!(topics::total(&ports.door(), topic), sent as i64, "{topic}: the log has all of it");
    }
    world::all_gone(&mut agent);
    println!("{}", agent.status().expect("its status")["forward"]);
    let found = TOPICS.iter().map(|topic| check(&kafka.bootstrap(), topic, sent)).sum();
    println!("{sent} records in each of {} topics", TOPICS.len());
    assert_eq!(agent.stop().expect("it stops"), 0);
    found
}

/// Each key's records are there without a gap, in order but for repeats; how many came again.
fn at_least_once(bootstrap: &str, topic: &str, sent: u64) -> u64 {
    let mut next: HashMap<Vec<u8>, u64> = HashMap::new();
    let (mut fresh, mut repeated) = (0, 0);
    world::each(bootstrap, topic, |record| {
        let n = world::number(&record);
        let wanted = world::made(topic, n, KEYS);
        assert_eq!((&record.value, record.time_ms), (&wanted.value, wanted.time_ms));
        let next = next.entry(record.key.expect("a key")).or_insert(n % KEYS);
        assert!(n <= *next, "{topic}: {n} came, {next} did not");
        match n == *next {
            true => (*next, fresh) = (n + KEYS, fresh + 1),
            false => repeated += 1,
        }
    });
    assert_eq!(fresh, sent, "{topic}: each record");
    repeated
}

/// The topic holds the records from the first to the last, each key's in order.
fn each_once(bootstrap: &str, topic: &str, sent: u64) {
    let mut seen: HashMap<Vec<u8>, Vec<u64>> = HashMap::new();
    let mut count = 0;
    world::each(bootstrap, topic, |record| {
        let n = world::number(&record);
        let wanted = world::made(topic, n, KEYS);
        assert_eq!(
            (&record.value, record.time_ms, &record.headers),
            (&wanted.value, wanted.time_ms, &wanted.headers)
        );
        seen.entry(record.key.expect("a key")).or_default().push(n);
        count += 1;
    });
    assert_eq!(seen.len() as u64, KEYS, "{topic}");
    for (key, numbers) in seen {
        assert!(numbers[0] < KEYS, "{topic}: the first is there");
        let wrong: Vec<_> = numbers.windows(2).filter(|pair| pair[1] != pair[0] + KEYS).take(5).collect();
        let key = String::from_utf8_lossy(&key);
        assert!(
            wrong.is_empty(),
            "{topic}: {key} in order, once, without a gap, but {wrong:?}; {count} of {sent}"
        );
    }
    assert_eq!(count, sent, "{topic}: each record once");
}
