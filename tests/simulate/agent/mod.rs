//! The agent's file, log and processing in memory, from a seed: idempotent and other producers, commits in
//! groups, processing, trims, and a disk that keeps what is durable apart from what is there.
//!
//! The process is killed between two steps, in the midst of a group, or the power is cut in any commit.
//! Then it starts again from what the disk kept, and the producers send again what nobody acknowledged.

pub mod batch;
mod check;
mod client;
pub mod disk;
mod forward;
mod normal;
mod process;
mod transactor;

use crate::seeds::{each, number};
use agent::buffer::{Denial, Outcome, Refusal};
use check::Model;
use client::{Client, Sent};
use disk::{Image, torn};
use fastrand::Rng;
use process::{PARTITIONS, Process, Settings};
use shared::time::Clock;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;
use tokio::runtime::Runtime;
use transactor::{Transactor, Wish};

/// Steps of a run before the world behaves.
const MOST_STEPS: u32 = 120;
/// Rounds until all is sent and processed; more is no progress.
const MOST_ROUNDS: u32 = 10_000;
const BEGAN_NS: i64 = 1_700_000_000_000_000_000;

struct Run<'r> {
    rng: Rng,
    clock: Clock,
    settings: Settings,
    clients: Vec<Client>,
    transactor: Transactor,
    all: Vec<Sent>,
    model: Model,
    process: Option<Process>,
    runtime: &'r Runtime,
    trace: DefaultHasher,
}

/// How a step ends.
enum End {
    Well,
    /// The process is gone, and this is left.
    Left(Image),
}

impl<'r> Run<'r> {
    fn new(seed: u64, empty: &Image, runtime: &'r Runtime) -> Run<'r> {
        let mut rng = Rng::with_seed(seed);
        let clock = Clock::manual(BEGAN_NS);
        let settings = Settings {
            checkpoint_bytes: [16_384, 65_536, 1 << 20][rng.usize(0..3)],
            cache_bytes: [65_536, 1 << 20][rng.usize(0..2)],
            batch_bytes: [4_096, 65_536][rng.usize(0..2)],
            normal: false,
        };
        let clients = (0..rng.usize(1..4)).map(|number| Client::new(number, PARTITIONS, &mut rng)).collect();
        let process = Some(Process::start(empty, settings, &clock, runtime));
        let (transactor, all, model) = (Transactor::default(), Vec::new(), Model::default());
        let trace = DefaultHasher::new();
        Run { rng, clock, settings, clients, transactor, all, model, process, runtime, trace }
    }

    fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("it runs")
    }

    /// The power goes in the commit of `act`, or nothing happens to it.
    fn commit(&mut self, act: impl FnOnce(&mut Process)) -> End {
        let cut = self.rng.u32(0..12) == 0;
        let before = if cut { self.process().disk.image() } else { Image::default() };
        act(self.process());
        match cut {
            true => {
                let after = self.process().disk.image();
                End::Left(torn(&before, &after, &mut self.rng))
            }
            false => End::Well,
        }
    }

    fn step(&mut self) -> End {
        match self.rng.u32(0..30) {
            0..8 => self.send(),
            8..13 => self.commit(|process| {
                process.processor.round().expect("processed");
            }),
            13..15 => self.commit(|process| process.processor.tick().expect("looked at")),
            15..17 => self.commit(|process| process.trim()),
            17 => {
                let pause = self.rng.u64(0..20_000_000);
                self.clock.sleep(Duration::from_micros(pause));
                End::Well
            }
            18 => End::Left(self.process().disk.image()),
            20..28 => self.transact(),
            28 => {
                self.transactor.crash();
                End::Well
            }
            29 => {
                let runtime = self.runtime;
                self.commit(|process| {
                    runtime.block_on(process.log.expire_transactions()).expect("looked at");
                })
            }
            _ => End::Left(self.process.take().expect("it runs").stop()),
        }
    }

    /// Some producers send, in one group.
    fn send(&mut self) -> End {
        self.clock.sleep(Duration::from_micros(self.rng.u64(1_000..500_000)));
        let (now_us, schemas) = (self.clock.now().micros(), self.process().schemas);
        let mut places = Vec::new();
        for client in &mut self.clients {
            if self.rng.bool() {
                places.extend(client.send(&mut self.all, schemas, now_us, &mut self.rng));
            }
        }
        let killed = self.rng.u32(0..15) == 0 && !places.is_empty();
        let inside = killed.then(|| self.rng.usize(0..places.len()));
        let cut = self.rng.u32(0..10) == 0;
        let process = self.process.as_mut().expect("it runs");
        let before = if cut { process.disk.image() } else { Image::default() };
        let batches: Vec<&Sent> = places.iter().map(|at| &self.all[*at]).collect();
        let (outcomes, image) = process.append(&batches, inside, self.runtime);
        if let Some(image) = image {
            return End::Left(image);
        }
        if cut {
            return End::Left(torn(&before, &process.disk.image(), &mut self.rng));
        }
        for (at, outcome) in places.into_iter().zip(outcomes) {
            if let Outcome::Stored { base_offset } = outcome.expect("stored") {
                base_offset.hash(&mut self.trace);
                self.model.acknowledged(at, &mut self.all[at], base_offset);
            }
        }
        self.settle();
        End::Well
    }

    fn settle(&mut self) {
        let Run { clients, all, .. } = self;
        for client in clients {
            client.waiting.retain(|at| all[*at].acknowledged.is_none());
        }
    }

    fn check_log(&mut self) {
        let process = self.process.as_ref().expect("it runs");
        self.model.check_log(process, &self.all, &self.clients, &self.transactor.transactions);
    }

    /// The producer with transactions does what it would do next.
    fn transact(&mut self) -> End {
        self.clock.sleep(Duration::from_micros(self.rng.u64(1_000..3_000_000)));
        let (now_us, schemas) = (self.clock.now().micros(), self.process().schemas);
        let wish = self.transactor.wish(&mut self.all, schemas, now_us, &mut self.rng);
        let (runtime, who) = (self.runtime, self.transactor.who);
        match wish {
            Wish::Append(places) => self.append_part(&places),
            Wish::Begin => {
                let mut begun = None;
                let end = self.commit(|process| begun = Some(process.begin(runtime)));
                if let (End::Well, Some(who)) = (&end, begun) {
                    self.transactor.begun(who);
                }
                end
            }
            Wish::Open => {
                let mut answer = Ok(());
                let end = self.commit(|process| answer = process.open(who, runtime));
                if let End::Well = end {
                    self.transactor.open = answer.is_ok();
                    self.fenced(answer);
                }
                end
            }
            Wish::End(commit) => {
                self.transactor.last().expect("there is one").end = transactor::End::Asked(commit);
                let mut answer = Ok(());
                let end = self.commit(|process| answer = process.end(who, commit, runtime));
                if let End::Well = end {
                    if answer.is_ok() {
                        self.transactor.ended(commit);
                        self.check_log();
                    }
                    self.fenced(answer);
                }
                end
            }
        }
    }

    /// It took too long: what was open is gone, and it begins anew.
    fn fenced(&mut self, answer: Result<(), Denial>) {
        match answer {
            Ok(()) => {}
            Err(Denial::Fenced) => {
                self.transactor.ended(false);
                self.transactor.crash();
            }
            Err(other) => panic!("{other:?}"),
        }
    }

    fn append_part(&mut self, places: &[usize]) -> End {
        let cut = self.rng.u32(0..10) == 0;
        let process = self.process.as_ref().expect("it runs");
        let before = if cut { process.disk.image() } else { Image::default() };
        let batches: Vec<&Sent> = places.iter().map(|at| &self.all[*at]).collect();
        let (outcomes, _) = process.append(&batches, None, self.runtime);
        if cut {
            return End::Left(torn(&before, &process.disk.image(), &mut self.rng));
        }
        let mut fenced = Ok(());
        for (at, outcome) in places.iter().zip(outcomes) {
            match outcome.expect("answered") {
                Outcome::Stored { .. } => self.transactor.waiting.retain(|waits| waits != at),
                Outcome::Refused(Refusal::StaleEpoch) => fenced = Err(Denial::Fenced),
                Outcome::Refused(_) => {}
            }
        }
        self.fenced(fenced);
        End::Well
    }

    /// What every start must find.
    fn start(&mut self, image: &Image) {
        // The old one ends first: its last words go to a folder that nobody reads.
        self.process = None;
        let process = Process::start(image, self.settings, &self.clock, self.runtime);
        self.model.check_log(&process, &self.all, &self.clients, &self.transactor.transactions);
        self.model.check_features(&process, &self.all, None);
        self.process = Some(process);
    }

    fn steps(&mut self) {
        for _ in 0..self.rng.u32(10..MOST_STEPS) {
            if let End::Left(image) = self.step() {
                self.start(&image);
            }
        }
    }

    /// All is sent and processed.
    fn come_to_rest(&mut self) {
        for round in 0.. {
            assert!(round < MOST_ROUNDS, "it comes to no rest");
            let waiting: Vec<usize> = self.clients.iter().flat_map(|client| client.waiting.clone()).collect();
            let busy = self.process().processor.round().expect("processed");
            if waiting.is_empty() && !busy {
                break;
            }
            let process = self.process.as_mut().expect("it runs");
            process.trim();
            let batches: Vec<&Sent> = waiting.iter().map(|at| &self.all[*at]).collect();
            let (outcomes, _) = process.append(&batches, None, self.runtime);
            for (at, outcome) in waiting.into_iter().zip(outcomes) {
                if let Outcome::Stored { base_offset } = outcome.expect("stored") {
                    self.model.acknowledged(at, &mut self.all[at], base_offset);
                }
            }
            self.check_log();
            self.settle();
        }
    }

    fn end(&mut self) -> u64 {
        self.come_to_rest();
        self.process().processor.tick().expect("looked at");
        let now_us = self.clock.now().micros();
        let process = self.process.as_ref().expect("it runs");
        self.model.check_log(process, &self.all, &self.clients, &self.transactor.transactions);
        let features = self.model.check_features(process, &self.all, Some(now_us));
        (features, self.all.len(), now_us).hash(&mut self.trace);
        self.trace.finish()
    }
}

/// Runs a seed and gives its trace.
fn simulate(seed: u64, empty: &Image, runtime: &Runtime) -> u64 {
    let mut run = Run::new(seed, empty, runtime);
    run.steps();
    run.end()
}

/// A runtime, and a file with its tables, from which each run begins.
fn world() -> (Runtime, Image) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let settings =
        Settings { checkpoint_bytes: 1 << 20, cache_bytes: 1 << 20, batch_bytes: 65_536, normal: false };
    let process = Process::start(&Image::default(), settings, &Clock::manual(BEGAN_NS), &runtime);
    let image = process.disk.image();
    (runtime, image)
}

#[test]
fn whatever_happens_what_was_acknowledged_is_there_once_and_counted() {
    let (runtime, empty) = world();
    each("agent", 0..number("SEEDS", 400), |seed| {
        simulate(seed, &empty, &runtime);
    });
}

#[test]
fn one_seed() {
    let (runtime, empty) = world();
    let seed = number("SEED", 0);
    each("agent", seed..=seed, |seed| {
        simulate(seed, &empty, &runtime);
    });
}

#[test]
fn the_same_seed_is_the_same_run() {
    let mut traces = std::collections::BTreeSet::new();
    let worlds = [world(), world()];
    for seed in 0..50 {
        let [one, two] = worlds.each_ref().map(|(runtime, empty)| simulate(seed, empty, runtime));
        assert_eq!(one, two, "seed {seed}");
        traces.insert(one);
    }
    assert_eq!(traces.len(), 50, "different seeds are different runs");
}
