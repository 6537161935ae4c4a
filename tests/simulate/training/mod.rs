//! What a training set is, against what was served: a shop's rows come, change, go, and come late; readers
//! ask the feature server while it runs. For the same entities and instants the training set that is made
//! afterwards from the log has the same values, bit for bit. Two in three times views look up rows of another
//! table, which come and go as well.

mod compare;
mod files;
mod goods;
mod shop;

use crate::agent::disk::{Disk, Image};
use crate::seeds::{each, number};
use agent::buffer::{Append, Log, Outcome};
use agent::db::Db;
use agent::pipeline::{Agent, Processor};
use agent::store::{self, Serving};
use agent::training::{self, Made, Request, Rows};
use bytes::BytesMut;
use compare::{Served, Tally};
use fastrand::Rng;
use goods::Goods;
use serde_json::{Value as Json, json};
use shared::kafka::batch::Head;
use shared::shutdown::Shutdown;
use shared::time::{Clock, Instant};
use shop::Shop;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

const BEGAN_NS: i64 = 1_700_000_000_000_000_000;
/// `features.tick`: the clock stops at each, and windows are looked at.
const TICK_US: i64 = 250_000;

/// Whether there is another table, and whether views look it up.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Looks {
    Never,
    /// Its rows come, and nobody reads them.
    NotYet,
    Up,
}

struct World<'r> {
    // In this order they go: the file's writer ends last.
    processor: Processor,
    log: Arc<Log>,
    db: Db,
    disk: Disk,
    clock: Clock,
    shop: Shop,
    /// Only where views look something up.
    goods: Option<Goods>,
    features: Vec<&'static str>,
    rng: Rng,
    served: Vec<Served>,
    address: SocketAddr,
    stop: Shutdown,
    runtime: &'r Runtime,
}

impl Drop for World<'_> {
    fn drop(&mut self) {
        self.stop.request();
    }
}

impl<'r> World<'r> {
    fn new(seed: u64, runtime: &'r Runtime) -> World<'r> {
        World::start(&Image::default(), &Clock::manual(BEGAN_NS), Rng::with_seed(seed), Looks::Never, runtime)
    }

    /// The agent on what a disk holds.
    fn start(image: &Image, clock: &Clock, rng: Rng, looks: Looks, runtime: &'r Runtime) -> World<'r> {
        let disk = Disk::new(image);
        let file = disk.path().with_file_name("agent.toml");
        let more = if looks == Looks::Up { goods::VIEWS } else { "" };
        std::fs::write(&file, shop::settings(&disk.path(), more)).expect("written");
        let config = agent::config::load(&file).expect("a configuration");
        let agent = runtime.block_on(Agent::open_at(config, clock.clone())).expect("it opens");
        let (db, log, stop) = (agent.db(), agent.log(), Shutdown::default());
        runtime.block_on(log.topic_or_new(shop::TOPIC)).expect("stored").expect("a topic");
        let shop = Shop::new(&agent.registry());
        let goods = (looks != Looks::Never).then(|| {
            runtime.block_on(log.topic_or_new(goods::TOPIC)).expect("stored").expect("a topic");
            Goods::new(&agent.registry())
        });
        let more = if looks == Looks::Up { &goods::FEATURES[..] } else { &[] };
        let features = [&shop::FEATURES[..], more].concat();
        let serving = Serving { known: agent.known(), readers: db.readers(2), clock: clock.clone() };
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listens = store::serve(any, serving, Default::default(), stop.clone());
        let address = runtime.block_on(listens).expect("it listens");
        let mut processor = agent.processor(None, Shutdown::default()).expect("a processor");
        processor.build().expect("built");
        let (clock, served) = (clock.clone(), Vec::new());
        World { processor, log, db, disk, clock, shop, goods, features, rng, served, address, stop, runtime }
    }

    /// The agent is killed, and another one starts on what it left.
    fn again(mut self, looks: Looks) -> World<'r> {
        let image = self.disk.image();
        let mut next = World::start(&image, &self.clock, self.rng.clone(), looks, self.runtime);
        std::mem::swap(&mut next.shop, &mut self.shop);
        std::mem::swap(&mut next.served, &mut self.served);
        next
    }

    /// Lets time pass, and looks at windows as often as the running agent does.
    fn pass(&mut self, micros: i64) {
        let until = self.clock.now().micros() + micros;
        loop {
            let tick = (self.clock.now().micros() / TICK_US + 1) * TICK_US;
            if tick > until {
                break;
            }
            self.clock.set(Instant::from_micros(tick));
            self.processor.tick().expect("looked at");
        }
        self.clock.set(Instant::from_micros(until));
    }

    /// Some rows change at the source; the agent has them at once.
    fn change(&mut self) {
        for name in [shop::TOPIC, goods::TOPIC] {
            let Some(topic) = self.log.topic(name) else { continue };
            for partition in &topic.partitions {
                let (index, now_us) = (partition.index, self.clock.now().micros());
                let batch = match (&mut self.goods, name == goods::TOPIC) {
                    (Some(goods), true) => goods.batch(index, now_us, &mut self.rng),
                    _ => self.shop.batch(index, now_us, &mut self.rng),
                };
                let Some(bytes) = batch else { continue };
                let head = Head::read(&bytes).expect("sound");
                let appends = vec![Append { partition: Arc::clone(partition), head, range: 0..bytes.len() }];
                let memory = Arc::new(Semaphore::new(1)).try_acquire_owned().expect("free");
                let append = self.log.append(BytesMut::from(&bytes[..]), appends, memory);
                let answer = self.runtime.block_on(append).expect("queued");
                let outcomes = self.runtime.block_on(answer).expect("an answer").expect("stored");
                assert!(matches!(outcomes[0], Outcome::Stored { .. }), "{outcomes:?}");
            }
        }
        while self.processor.round().expect("processed") {}
    }

    /// A reader asks for some entities.
    fn ask(&mut self) {
        self.processor.tick().expect("looked at");
        let keys: Vec<(Json, Json)> =
            (0..self.rng.usize(1..5)).map(|_| shop::entity(&mut self.rng)).collect();
        let body = json!({
            "features": self.features, "full_feature_names": true,
            "entities": {
                "user_id": keys.iter().map(|(user, _)| user.clone()).collect::<Vec<_>>(),
                "shop": keys.iter().map(|(_, shop)| shop.clone()).collect::<Vec<_>>(),
            }
        });
        let url = format!("http://{}/get-online-features", self.address);
        let answer = stack::http::post(&url, &body).and_then(stack::http::Answer::json).expect("answered");
        let at_us = self.clock.now().micros();
        for (place, (user, shop)) in keys.into_iter().enumerate() {
            self.served.push(Served::read(at_us, user, shop, &answer, place));
        }
    }

    fn step(&mut self) {
        match self.rng.u32(0..10) {
            0..5 => self.change(),
            5..8 => self.ask(),
            _ => {
                let micros = [300, 40_000, 3_000_000, 20_000_000][self.rng.usize(0..4)];
                let micros = self.rng.i64(1..micros);
                self.pass(micros);
            }
        }
        // No two things happen at one instant, and none on a tick.
        self.pass(1);
        if self.shop.written.is_some() {
            self.pass(files::to_millisecond(self.clock.now().micros()));
        }
    }

    /// The training set for all that was served, in an order of its own.
    fn train(&mut self, csv: bool, partial: bool) -> (shared::Result<Made>, PathBuf) {
        self.train_from(csv, partial, None)
    }

    fn train_from(
        &mut self,
        csv: bool,
        partial: bool,
        from: Option<Rows>,
    ) -> (shared::Result<Made>, PathBuf) {
        self.rng.shuffle(&mut self.served);
        let folder = self.disk.path().parent().expect("a folder").to_owned();
        let spine = folder.join(if csv { "spine.csv" } else { "spine.parquet" });
        match csv {
            true => compare::write_csv(&spine, &self.served),
            false => compare::write_parquet(&spine, &self.served),
        }
        let out = folder.join("train.parquet");
        let config = agent::config::load(&folder.join("agent.toml")).expect("a configuration");
        let request = Request { spine, out: out.clone(), time: None, views: Vec::new(), partial, from };
        let shutdown = Shutdown::default();
        (training::make(&config, &request, self.clock.clone(), &shutdown, &mut |_, _, _| {}), out)
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
}

fn simulate(seed: u64, runtime: &Runtime, tally: &mut Tally) {
    let looks = if seed.is_multiple_of(3) { Looks::Never } else { Looks::Up };
    let (clock, rng) = (Clock::manual(BEGAN_NS), Rng::with_seed(seed));
    let mut world = World::start(&Image::default(), &clock, rng, looks, runtime);
    for _ in 0..world.rng.u32(50..250) {
        world.step();
        if world.rng.u32(0..60) == 0 {
            world = world.again(looks);
        }
    }
    world.ask();
    world.pass(1_000_000);
    let (made, out) = world.train(seed.is_multiple_of(2), false);
    let made = made.expect("a training set");
    assert_eq!((made.rows, made.incomplete), (world.served.len() as u64, 0));
    let names: Vec<String> = world.features.iter().map(|name| name.replace(':', "__")).collect();
    assert_eq!(made.features, names);
    compare::equal(&out, &world.served, tally);
}

#[test]
fn a_training_set_equals_what_was_served() {
    let (runtime, mut tally) = (runtime(), Tally::default());
    let seeds = number("SEEDS", 25);
    each("training", 0..seeds, |seed| simulate(seed, &runtime, &mut tally));
    assert!(seeds < 20 || tally.is_telling(), "{tally:?}");
}

/// Both tables' rows are in the log when views that look them up are defined; one of them nobody has read.
fn grow(seed: u64, runtime: &Runtime, tally: &mut Tally) {
    let (clock, rng) = (Clock::manual(BEGAN_NS), Rng::with_seed(seed));
    let mut world = World::start(&Image::default(), &clock, rng, Looks::NotYet, runtime);
    for _ in 0..world.rng.u32(20..100) {
        world.step();
    }
    world = world.again(Looks::Up);
    world.served.clear();
    // No row came since: what is served is what the views were filled with.
    for _ in 0..4 {
        world.ask();
        world.pass(1);
    }
    for _ in 0..world.rng.u32(0..30) {
        world.step();
    }
    world.ask();
    world.pass(1_000_000);
    let (made, out) = world.train(false, false);
    assert_eq!(made.expect("a training set").incomplete, 0);
    // A view that is new has never heard of an entity whose rows were gone by then.
    world.served.iter_mut().for_each(|one| one.values.retain(|(_, _, status)| status != "NOT_FOUND"));
    compare::equal(&out, &world.served, tally);
}

#[test]
fn views_that_begin_to_look_up_are_filled_before_they_are_served() {
    let (runtime, mut tally) = (runtime(), Tally::default());
    each("training", 0..number("SEEDS", 15), |seed| grow(seed, &runtime, &mut tally));
}

#[test]
fn one_seed() {
    let runtime = runtime();
    let seed = number("SEED", 0);
    each("training", seed..=seed, |seed| simulate(seed, &runtime, &mut Tally::default()));
}

#[test]
fn what_the_log_no_longer_has_is_said() {
    let runtime = runtime();
    let mut world = World::new(7, &runtime);
    for _ in 0..40 {
        world.change();
        world.pass(100_001);
    }
    world.ask();
    let partition = world.log.partitions(shop::TOPIC)[0];
    let reader = world.db.reader().expect("opens");
    let oldest = world.log.oldest(&reader, partition, i64::MAX, i64::MAX).expect("reads").expect("has some");
    world.log.trim(partition, oldest.up_to).expect("trimmed");
    let (refused, _) = world.train(false, false);
    let error = refused.expect_err("rows are missing");
    assert!(error.to_string().contains("does not reach back far enough"), "{error}");
    assert!(error.hint().contains("--partial"), "{error:?}");
    let (made, out) = world.train(false, true);
    let made = made.expect("a training set");
    assert_eq!(made.incomplete, made.rows);
    // The lifetime view is lost for ever, and the others until the rows have left their windows.
    assert!(compare::rows(&out).iter().all(|row| row["recent__total"].is_null()));
    world.pass(120_000_000);
    world.served.clear();
    for _ in 0..20 {
        world.change();
        world.pass(1_001);
        world.ask();
    }
    let (made, out) = world.train(false, true);
    assert_eq!(
        made.expect("a training set").incomplete,
        world.served.len() as u64,
        "some views lack rows for ever"
    );
    let rows = compare::rows(&out);
    assert!(rows.iter().all(|row| row["recent__total"].is_null()));
    assert!(rows.iter().any(|row| !row["aging__rows"].is_null()), "a view of six seconds is whole again");
}
