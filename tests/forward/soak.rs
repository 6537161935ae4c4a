//! Everything at once, for long: producers that never stop, an agent on a small disk, a central Kafka, and
//! kills, cuts and full disks at random. At the end each record is at the centre once, in order per key.
//!
//! `SOAK_SECONDS=1800 SEED=7 cargo dev test forward soak` does it for half an hour.

use crate::world::{self, LIMIT, Ports};
use fastrand::Rng;
use stack::Kafka;
use stack::proxy::{Network, Proxy};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use support::small_disk::SmallDisk;
use support::{Launch, Program};

const KEYS: u64 = 30;
const TOPICS: [&str; 3] = ["s.a", "s.b", "s.c"];
/// Room for the backlog of some seconds; what is at the centre leaves the log.
const DISK_MIB: u32 = 96;
/// Records a second and producer, roughly: the machine is to be left to those who break things.
const PAUSE_EVERY: u64 = 20;
const PAUSE: Duration = Duration::from_millis(10);

/// What warns while things are broken.
const WARNINGS: &[&str] = &[
    "buffer_commit_failed",
    "buffer_full",
    "db_checkpoint_failed",
    "db_group_undone",
    "door_cut",
    "door_refused",
    "forward_waits",
    "pipeline_waits",
    "retention_waits",
];

struct World {
    disk: SmallDisk,
    door: Proxy,
    uplink: Proxy,
    kafka: Kafka,
    launch: Launch,
    agent: Program,
}

fn start(ports: &Ports, disk: SmallDisk) -> World {
    let free = || Proxy::start(stack::port::free().expect("a port")).expect("a proxy");
    let (door, uplink) = (free(), free());
    door.aim(ports.door);
    let options = stack::kafka::Options { partitions: 2, ..Default::default() };
    let kafka = Kafka::behind(&uplink, options).expect("Kafka");
    let registry = world::registry();
    let mut launch = world::agent(ports, &uplink.address(), &registry.url());
    launch
        .set("db.path", disk.path().join("agent.db").display())
        .set("door.advertised_port", door.port())
        .set("buffer.partitions", 2)
        .set("buffer.keep", "0s")
        .set("buffer.max_bytes", 48 << 20)
        .set("buffer.reserve_free_bytes", 8 << 20)
        .set("forward.transaction_timeout", "20s")
        .allow(WARNINGS);
    let agent = world::started(&launch);
    World { disk, door, uplink, kafka, launch, agent }
}

/// Producers that send the next record until told to stop, and then until all is acknowledged.
fn produce(door: &str, topic: &str, stop: &AtomicBool, sent: &AtomicU64) {
    let producer = world::producer(door);
    while !stop.load(Ordering::Acquire) {
        let n = sent.fetch_add(1, Ordering::AcqRel);
        world::send(&producer, &world::made(topic, n, KEYS));
        if n.is_multiple_of(PAUSE_EVERY) {
            std::thread::sleep(PAUSE);
        }
    }
    world::flush(&producer);
}

impl World {
    /// Breaks something, and mends it.
    fn torment(&mut self, rng: &mut Rng) -> &'static str {
        let moment = Duration::from_millis(rng.u64(100..4_000));
        let network = || [Network::Silent, Network::Down, Network::Slow(Duration::from_millis(80))];
        match rng.u32(0..12) {
            0..4 => {
                self.agent.kill().expect("kill -9");
                std::thread::sleep(moment / 4);
                self.agent = self.launch.start().expect("it starts again");
                "kill -9"
            }
            4..6 => {
                self.door.reset();
                "the producers' connections reset"
            }
            6 => {
                self.door.set(network()[rng.usize(0..3)]);
                std::thread::sleep(moment);
                self.door.set(Network::Well);
                "the producers' network"
            }
            7..9 => {
                self.uplink.set(network()[rng.usize(0..3)]);
                std::thread::sleep(moment);
                self.uplink.set(Network::Well);
                "the uplink"
            }
            9..11 => {
                self.disk.fill().expect("filled");
                std::thread::sleep(moment);
                self.disk.free().expect("freed");
                "a full disk"
            }
            _ => {
                world::stop(&mut self.kafka);
                std::thread::sleep(moment);
                self.kafka.start_again().expect("Kafka starts again");
                "central Kafka restarted"
            }
        }
    }

    /// Each of the records of a topic is at the centre once, and those of a key in order.
    fn check(&self, topic: &str, sent: u64) {
        let (mut last, mut count) = (HashMap::<Vec<u8>, u64>::new(), 0);
        world::each(&self.kafka.bootstrap(), topic, |record| {
            let n = world::number(&record);
            let wanted = world::made(topic, n, KEYS);
            assert_eq!((&record.key, &record.value), (&wanted.key, &wanted.value));
            let before = last.insert(record.key.unwrap_or_default(), n);
            let follows = before.map_or(n < KEYS, |before| n == before + KEYS);
            assert!(follows, "{topic}: {n} comes after {before:?}");
            count += 1;
        });
        assert_eq!(count, sent, "{topic}: each record once");
    }
}

#[test]
fn soak() {
    let seconds = world::setting("SOAK_SECONDS", 40);
    let seed = world::setting("SEED", fastrand::u64(..));
    println!("SEED={seed} SOAK_SECONDS={seconds}");
    let Some(disk) = SmallDisk::new(DISK_MIB).expect("a folder") else { return };
    let (mut rng, ports) = (Rng::with_seed(seed), Ports::free());
    let mut world = start(&ports, disk);
    let (stop, sent) = (AtomicBool::new(false), TOPICS.map(|_| AtomicU64::new(0)));
    let mut faults: HashMap<&str, u32> = HashMap::new();
    std::thread::scope(|scope| {
        let door = world.door.address();
        for (topic, sent) in TOPICS.iter().zip(&sent) {
            let (door, stop) = (door.clone(), &stop);
            scope.spawn(move || produce(&door, topic, stop, sent));
        }
        let until = Instant::now() + Duration::from_secs(seconds);
        while Instant::now() < until {
            std::thread::sleep(Duration::from_millis(rng.u64(200..3_000)));
            *faults.entry(world.torment(&mut rng)).or_default() += 1;
        }
        stop.store(true, Ordering::Release);
    });
    assert!(!world.agent.ended(), "the agent goes on");
    world.agent.wait_ready(LIMIT).expect("ready");
    world::all_gone(&mut world.agent);
    for (topic, sent) in TOPICS.iter().zip(&sent) {
        world.check(topic, sent.load(Ordering::Acquire));
    }
    println!("{sent:?} records, each once, in spite of {faults:?}");
    assert_eq!(world.agent.stop().expect("it stops"), 0);
}
