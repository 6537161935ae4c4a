//! The log → the centre, from a seed: the link breaks in any call, commits take place unheard, the process is
//! killed or the power cut, the log is trimmed behind what has arrived. In the end the centre has what the log
//! took: exactly once each record once, at least once none missing, always in order.

mod centre;
mod node;

use super::BEGAN_NS;
use super::disk::{Image, torn};
use crate::seeds::{each, number};
use agent::forward::Next;
use centre::{Seen, World};
use fastrand::Rng;
use node::{Node, Settings, TOPICS};
use shared::time::Clock;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;
use tokio::runtime::Runtime;

const KEYS: u8 = 5;
/// Turns until all has arrived, once the world behaves; more is no progress.
const MOST_TURNS: u32 = 10_000;

/// Where records were appended: topic and local partition.
type Place = (usize, i32);

struct Run<'r> {
    rng: Rng,
    clock: Clock,
    settings: Settings,
    world: World,
    node: Option<Node>,
    /// What the log holds of each place, by offset: key and value.
    held: BTreeMap<Place, Vec<[Vec<u8>; 2]>>,
    made: u64,
    runtime: &'r Runtime,
}

impl<'r> Run<'r> {
    fn new(seed: u64, runtime: &'r Runtime) -> Run<'r> {
        let mut rng = Rng::with_seed(seed);
        let clock = Clock::manual(BEGAN_NS);
        let delivery = if rng.u32(0..3) > 0 { "exactly_once" } else { "at_least_once" };
        // The centre may have fewer partitions, but where each record keeps its own.
        let partition = if rng.bool() { "key" } else { "same" };
        let partitions = rng.i32(1..4);
        let central = if partition == "key" { rng.i32(1..4) } else { partitions };
        let queue_bytes = [1 << 20, 2 << 20, 8 << 20][rng.usize(0..3)];
        let settings = Settings { delivery, partition, partitions, queue_bytes };
        let world = World::new(rng.u64(..), &clock, delivery == "exactly_once", central);
        let node = Some(Node::start(&Image::default(), &settings, &world, &clock, runtime));
        Run { rng, clock, settings, world, node, held: BTreeMap::new(), made: 0, runtime }
    }

    fn node(&mut self) -> &mut Node {
        self.node.as_mut().expect("it runs")
    }

    fn step(&mut self) {
        match self.rng.u32(0..40) {
            0..10 => self.append(),
            10..36 => {
                for _ in 0..self.rng.u32(1..8) {
                    self.turn();
                }
            }
            36 => self.clock.sleep(Duration::from_millis(self.rng.u64(0..20_000))),
            37 => TOPICS.iter().for_each(|topic| self.node().trim(topic)),
            _ => {
                let image = self.node().disk.image();
                self.start(&image);
            }
        }
    }

    fn turn(&mut self) -> Next {
        let (clock, runtime) = (self.clock.clone(), self.runtime);
        let next = self.node().turn(&clock, runtime);
        if let Next::Idle(pause) = next {
            clock.sleep(pause);
        }
        next
    }

    /// A producer's batch; the power may go in its commit.
    fn append(&mut self) {
        let (topic, partition) = (self.rng.usize(0..TOPICS.len()), self.rng.i32(0..self.settings.partitions));
        let mut pairs = Vec::new();
        for _ in 0..self.rng.u32(1..20) {
            self.made += 1;
            let filler = "x".repeat(self.rng.usize(0..300));
            let value = format!("{topic}/{partition}/{} {filler}", self.made).into_bytes();
            pairs.push([vec![b'k', self.rng.u8(0..KEYS)], value]);
        }
        let cut = self.rng.u32(0..10) == 0;
        let before = if cut { self.node().disk.image() } else { Image::default() };
        let (now_ms, runtime) = (self.clock.now().millis(), self.runtime);
        let base = self.node().append(TOPICS[topic], partition, pairs.clone(), now_ms, runtime);
        let held = self.held.entry((topic, partition)).or_default();
        assert_eq!(base, held.len() as i64, "offsets follow each other");
        held.extend(pairs);
        if cut {
            let after = self.node().disk.image();
            let image = torn(&before, &after, &mut self.rng);
            self.start(&image);
        }
    }

    /// The old process is gone, what the disk kept is there.
    fn start(&mut self, image: &Image) {
        self.node = None;
        let node = Node::start(image, &self.settings, &self.world, &self.clock, self.runtime);
        for (at, topic) in TOPICS.iter().enumerate() {
            for (partition, end) in (0..).zip(node.ends(topic)) {
                // The batch whose commit the power cut nobody was told of.
                let held = self.held.entry((at, partition)).or_default();
                assert!(end <= held.len() as i64, "{end} is more than was sent");
                held.truncate(usize::try_from(end).expect("no less than nothing"));
            }
        }
        self.node = Some(node);
    }

    /// Of what consumers may see, nothing is wrong at any time.
    fn check(&self, whole: bool) {
        let brokers = self.world.brokers();
        let once = self.settings.delivery == "exactly_once";
        let mut seen: BTreeMap<Place, Vec<&Seen>> = BTreeMap::new();
        for record in &brokers.visible {
            let text = String::from_utf8_lossy(&record.value);
            let mut parts = text.split('/');
            let mut number = || parts.next().expect("a part").parse::<i32>().expect("a number");
            let place = (usize::try_from(number()).expect("small"), number());
            assert_eq!(record.topic, TOPICS[place.0]);
            if self.settings.partition == "same" {
                assert_eq!(record.partition, place.1);
            }
            seen.entry(place).or_default().push(record);
        }
        for (place, held) in &self.held {
            let got = seen.remove(place).unwrap_or_default();
            for key in 0..KEYS {
                let of_key = |pair: &&[Vec<u8>; 2]| pair[0][1] == key;
                let wanted: Vec<&[u8]> = held.iter().filter(of_key).map(|pair| &pair[1][..]).collect();
                let found: Vec<&[u8]> =
                    got.iter().filter(|s| s.key[1] == key).map(|s| &s.value[..]).collect();
                follows(&wanted, &found, once, whole);
            }
        }
        assert!(seen.values().all(Vec::is_empty), "the centre has what the log never took");
    }

    fn end(mut self) -> u64 {
        self.world.brokers().faults = 0;
        let mut turns = 0;
        loop {
            let to_go = matches!(self.turn(), Next::More);
            // Idle also means that it waits for its next look.
            let quiet = !to_go && !matches!(self.turn(), Next::More);
            if quiet && self.arrived() {
                break;
            }
            turns += 1;
            assert!(turns < MOST_TURNS, "not all arrives");
        }
        self.check(true);
        let mut trace = DefaultHasher::new();
        let brokers = self.world.brokers();
        (&brokers.visible, brokers.commits, self.clock.now().millis()).hash(&mut trace);
        trace.finish()
    }

    fn arrived(&mut self) -> bool {
        let node = self.node.as_ref().expect("it runs");
        TOPICS.iter().all(|topic| {
            let ends = node.log.partitions(topic).into_iter().zip(node.ends(topic));
            let below = |partition| node.kept().below(topic, partition).unwrap_or(0);
            ends.into_iter().all(|(partition, end)| below(partition) >= end)
        })
    }
}

/// `found` of one key in the order of `wanted`: a beginning of it, or all; at least once with repeats, each of
/// which goes back to something that was there and on from there.
fn follows(wanted: &[&[u8]], found: &[&[u8]], once: bool, whole: bool) {
    let mut next = 0;
    for value in found {
        let at = wanted.iter().position(|other| other == value);
        let at = at.expect("the centre has what the log does not");
        assert!(at <= next, "{} before {next}: something is missing", at);
        assert!(!once || at == next, "{} came twice", String::from_utf8_lossy(value));
        next = at + 1;
    }
    if whole {
        assert_eq!(next, wanted.len(), "not all came");
    }
}

fn simulate(seed: u64, runtime: &Runtime) -> u64 {
    let mut run = Run::new(seed, runtime);
    for _ in 0..run.rng.u32(20..200) {
        run.step();
        run.check(false);
    }
    run.end()
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

#[test]
fn whatever_breaks_the_centre_has_each_record_in_order() {
    let runtime = runtime();
    each("forward", 0..number("SEEDS", 100), |seed| {
        simulate(seed, &runtime);
    });
}

#[test]
fn one_seed() {
    let runtime = runtime();
    let seed = number("SEED", 0);
    each("forward", seed..=seed, |seed| {
        simulate(seed, &runtime);
    });
}

#[test]
fn the_same_seed_is_the_same_run() {
    let runtime = runtime();
    let traces: Vec<u64> = (0..20).map(|seed| simulate(seed, &runtime)).collect();
    let again: Vec<u64> = (0..20).map(|seed| simulate(seed, &runtime)).collect();
    assert_eq!(traces, again);
    let different: std::collections::BTreeSet<u64> = traces.into_iter().collect();
    assert_eq!(different.len(), 20, "different seeds are different runs");
}
