//! The whole pipeline in memory, from a seed: the connector's own loop, events, encoder, tracker and
//! decisions about snapshots, the reader of its stream and its snapshots beside that, between a database and a
//! Kafka that are made to misbehave.
//!
//! The process crashes at any call into source, sink and offset store, before or after its effect. Between
//! two of those nothing that lasts changes, so that is any place at all. Then it starts again from what is
//! durable.

mod asked;
mod beside;
mod broker;
mod check;
mod database;
mod message;
mod record;
mod source;
mod stream;
mod world;

use crate::seeds::{each, number};
use asked::Channel;
use broker::{Offsets, Producer};
use connector::config::{Config, parse};
use connector::encode::Encoder;
use connector::model::position::Position;
use connector::pipeline::progress::Progress;
use connector::pipeline::run::{Pipeline, Rooms};
use shared::Result;
use shared::shutdown::Shutdown;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Once};
use tokio::runtime::Runtime;
use world::{Crash, Shared, World};

/// After so many starts of one run the world behaves.
const MOST_STARTS: u32 = 12;
/// Rows of a chunk that is read beside the stream.
const CHUNK_ROWS: usize = 4;
/// A run that makes no progress is a failure, too.
const MOST_CALLS: u64 = 200_000;

/// How a connector is set up. Each seed has one.
#[derive(Clone, Copy)]
struct Setup {
    exactly_once: bool,
    channel: Channel,
    /// Lines of `[signal]`.
    signal: &'static str,
    /// Nothing is read at the start: what was there before is read when somebody asks for it.
    fills: bool,
}

/// Where signals come from and how chunks end: by marks, or by the log's end.
const SIGNALS: [(Channel, &str, bool); 8] = [
    (Channel::Nowhere, "", false),
    (Channel::Table, "table = 's.signals'", false),
    (Channel::Table, "table = 's.signals'\nwatermarking = 'insert_delete'", false),
    (Channel::Table, "table = 's.signals'\nread_only = true", false),
    (Channel::Inbox, "", false),
    (Channel::Table, "table = 's.signals'", true),
    (Channel::Table, "table = 's.signals'\nwatermarking = 'insert_delete'", true),
    (Channel::Table, "table = 's.signals'\nread_only = true", true),
];

/// Each of them, at least and exactly once.
const SETUPS: u64 = 2 * SIGNALS.len() as u64;

impl Setup {
    /// Half of the seeds deliver exactly once.
    fn of(seed: u64) -> Setup {
        let (channel, signal, fills) = SIGNALS[(seed / 2) as usize % SIGNALS.len()];
        Setup { exactly_once: seed % 2 == 1, channel, signal, fills }
    }

    fn config(self) -> Config {
        let Setup { exactly_once, signal, fills, .. } = self;
        let delivery = if exactly_once { "exactly_once" } else { "at_least_once" };
        let (kind, mode) =
            (if exactly_once { "kafka" } else { "file" }, if fills { "no_data" } else { "initial" });
        let text = format!(
            "[source]\ndatabase = 'memory'\nuser = 'nobody'\n[snapshot]\nmode = '{mode}'\n\
             [signal]\nchunk_rows = {CHUNK_ROWS}\n{signal}\n[event]\ntopic_prefix = '{}'\n\
             [encode.key]\nformat = 'json'\nschemas = false\n[encode.value]\nformat = 'json'\nschemas = false\n\
             [sink]\ndelivery = '{delivery}'\ncommit_interval_ms = 5\n[sink.kafka]\nbrokers = 'memory'\n\
             [offset]\nkind = '{kind}'\ninterval_ms = 10\n",
            record::PREFIX
        );
        parse(&text, &[]).expect("valid")
    }
}

/// One process, from its start to its end.
fn process(world: &Shared, config: &Config, runtime: &Runtime) -> Result<()> {
    let shutdown = Shutdown::default();
    let (clock, inbox) = {
        let mut world = world.borrow();
        world.shutdown = shutdown.clone();
        world.asked.begin();
        (world.clock.clone(), world.asked.inbox.clone())
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
        inbox,
    };
    Pipeline::start(rooms, &Arc::new(Progress::default()), &shutdown)?.run()
}

/// Runs until all is read, through crashes, and checks what came of it. Gives the trace.
fn simulate(seed: u64, config: &Config, runtime: &Runtime) -> u64 {
    let Setup { channel, fills, .. } = Setup::of(seed);
    let world = Shared::new(seed, channel, fills);
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
        let altered = rng.usize(0..80);
        if altered < database.tables.len() && database.to_do > 0 {
            database.alter(altered);
        }
        self.ask();
    }

    fn all_is_done(&self) -> bool {
        let last = self.database.log.last().map_or(0, |commit| commit.end.0);
        let confirmed = self.database.slot.is_some_and(|confirmed| confirmed.0 >= last);
        self.database.to_do == 0 && confirmed && self.all_is_delivered()
    }

    /// Others write into the log.
    pub fn move_on(&mut self) {
        let World { database, rng, .. } = self;
        database.advance(rng);
    }

    pub fn is_stored(&mut self, position: &Position) {
        let tables: Vec<String> = self.database.tables.iter().map(|table| table.id.to_string()).collect();
        self.asked.stored(position, &tables);
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
    let configs: Vec<Config> = (0..SETUPS).map(|setup| Setup::of(setup).config()).collect();
    each("connector", seeds, |seed| {
        simulate(seed, &configs[(seed % SETUPS) as usize], &runtime);
    });
}

#[test]
fn whatever_happens_nothing_is_lost_and_exactly_once_is_once() {
    run(0..number("SEEDS", 1_200));
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
        let config = Setup::of(seed).config();
        let [one, two] = [(); 2].map(|()| simulate(seed, &config, &runtime));
        assert_eq!(one, two, "seed {seed}");
        traces.insert(one);
    }
    assert_eq!(traces.len(), 50, "different seeds are different runs");
}
