//! The whole pipeline in memory, from a seed: the connector's own loop, events, encoder, tracker and
//! decisions about snapshots, between a database and a Kafka that are made to misbehave.
//!
//! The process crashes at any call into source, sink and offset store, before or after its effect. Between
//! two of those nothing that lasts changes, so that is any place at all. Then it starts again from what is
//! durable.

mod broker;
mod check;
mod database;
mod record;
mod source;
mod world;

use crate::seeds::{each, number};
use broker::{Offsets, Producer};
use connector::config::{Config, parse};
use connector::encode::Encoder;
use connector::pipeline::progress::Progress;
use connector::pipeline::run::{Pipeline, Rooms};
use connector::signal::Inbox;
use shared::Result;
use shared::shutdown::Shutdown;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Once};
use tokio::runtime::Runtime;
use world::{Crash, Shared, World};

/// After so many starts of one run the world behaves.
const MOST_STARTS: u32 = 12;
/// A run that makes no progress is a failure, too.
const MOST_CALLS: u64 = 200_000;

fn config(exactly_once: bool) -> Config {
    let (delivery, kind) = if exactly_once { ("exactly_once", "kafka") } else { ("at_least_once", "file") };
    let text = format!(
        "[source]\ndatabase = 'memory'\nuser = 'nobody'\n[event]\ntopic_prefix = '{}'\n\
         [encode.key]\nformat = 'json'\nschemas = false\n[encode.value]\nformat = 'json'\nschemas = false\n\
         [sink]\ndelivery = '{delivery}'\ncommit_interval_ms = 5\n[sink.kafka]\nbrokers = 'memory'\n\
         [offset]\nkind = '{kind}'\ninterval_ms = 10\n",
        record::PREFIX
    );
    parse(&text, &[]).expect("valid")
}

/// Half of the seeds deliver exactly once.
fn exactly_once(seed: u64) -> bool {
    seed % 2 == 1
}

/// One process, from its start to its end.
fn process(world: &Shared, config: &Config, runtime: &Runtime) -> Result<()> {
    let shutdown = Shutdown::default();
    let clock = {
        let mut world = world.borrow();
        world.shutdown = shutdown.clone();
        world.clock.clone()
    };
    let once = config.sink.exactly_once();
    let rooms = Rooms {
        config,
        clock,
        open: source::open(config, world.clone()),
        sink: Box::new(Producer::new(world.clone(), once)),
        offsets: Box::new(Offsets { world: world.clone(), with_records: once }),
        encoder: Encoder::new(config, None, runtime.handle().clone())?,
        watch: Box::new(|| Ok(())),
        inbox: Inbox::default(),
    };
    Pipeline::start(rooms, &Arc::new(Progress::default()), &shutdown)?.run()
}

/// Runs until all is read, through crashes, and checks what came of it. Gives the trace.
fn simulate(seed: u64, config: &Config, runtime: &Runtime) -> u64 {
    let world = Shared::new(seed);
    let mut starts = 0;
    loop {
        starts += 1;
        world.borrow().prepare(starts);
        let ended = catch_unwind(AssertUnwindSafe(|| process(&world, config, runtime)));
        match ended {
            Ok(Ok(())) if world.borrow().all_is_done() => break,
            // Asked to stop early, or it could not start.
            Ok(Ok(())) => {}
            Ok(Err(error)) => assert!(error.retryable(), "it ended for good: {error:?}"),
            Err(cause) if cause.is::<Crash>() => {}
            Err(cause) => resume_unwind(cause),
        }
        world.borrow().while_it_is_down();
    }
    world.borrow().check_end(config.sink.exactly_once());
    world.borrow().trace()
}

impl World {
    /// What a start will meet.
    fn prepare(&mut self, starts: u32) {
        let limit = if self.rng.u32(0..3) == 0 { 30 } else { 600 };
        let crashes = starts < MOST_STARTS && self.rng.u32(0..6) > 0;
        self.crash_in = crashes.then(|| self.rng.u32(0..limit));
        if starts >= MOST_STARTS {
            self.odds = world::Odds::default();
        }
    }

    fn while_it_is_down(&mut self) {
        let acts = self.rng.u32(0..6);
        for _ in 0..acts {
            self.go_on();
        }
        for table in 0..self.database.tables.len() {
            if self.happens(10) {
                let World { database, rng, .. } = self;
                database.rewrite(table, rng);
            }
        }
    }

    /// Writers go on, a little.
    pub fn go_on(&mut self) {
        assert!(self.calls < MOST_CALLS, "it makes no progress beyond {:?}", self.database.slot);
        let World { database, rng, .. } = self;
        if database.to_do > 0 && rng.u32(0..2) == 0 {
            database.to_do -= 1;
            database.act(rng);
        }
        if database.to_do == 0 {
            database.come_to_rest(rng);
        }
    }

    fn all_is_done(&self) -> bool {
        let last = self.database.log.last().map_or(0, |commit| commit.end.0);
        self.database.to_do == 0 && self.database.slot.is_some_and(|confirmed| confirmed.0 >= last)
    }

    /// The source has nothing more: if nobody will write any more, that is the end.
    pub fn stop_if_all_is_done(&self) {
        if self.all_is_done() {
            self.shutdown.request();
        }
    }
}

/// A crash is no failure of the test, so it says nothing.
fn crash_in_silence() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !panic.payload().is::<Crash>() {
                usual(panic);
            }
        }));
    });
}

fn run(seeds: impl Iterator<Item = u64>) {
    crash_in_silence();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let configs = [false, true].map(config);
    each("connector", seeds, |seed| {
        simulate(seed, &configs[usize::from(exactly_once(seed))], &runtime);
    });
}

#[test]
fn whatever_happens_nothing_is_lost_and_exactly_once_is_once() {
    run(0..number("SEEDS", 2_000));
}

#[test]
fn one_seed() {
    let seed = number("SEED", 0);
    run(seed..=seed);
}

#[test]
fn the_same_seed_is_the_same_run() {
    crash_in_silence();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let mut traces = std::collections::BTreeSet::new();
    for seed in 0..50 {
        let config = config(exactly_once(seed));
        let [one, two] = [(); 2].map(|()| simulate(seed, &config, &runtime));
        assert_eq!(one, two, "seed {seed}");
        traces.insert(one);
    }
    assert_eq!(traces.len(), 50, "different seeds are different runs");
}
