//! Everything that outlives the connector, in memory, and the dice that decide what happens to it.

use super::asked::{Asked, Channel};
use super::broker::Broker;
use super::database::Database;
use connector::model::position::Position;
use fastrand::Rng;
use shared::shutdown::Shutdown;
use shared::time::Clock;
use shared::{Error, Kind, Result};
use std::cell::{RefCell, RefMut};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;
use std::time::Duration;

/// What a crash unwinds with.
pub struct Crash;

/// How often things go wrong, one in so many calls; 0 is never.
#[derive(Clone, Copy, Debug, Default)]
pub struct Odds {
    pub lost_connection: u32,
    pub refused: u32,
    pub unanswered: u32,
    /// The database hands over nothing for a while.
    pub silence: u32,
    /// Somebody asks the process to stop.
    pub asked_to_stop: u32,
}

pub struct World {
    pub rng: Rng,
    pub clock: Clock,
    pub database: Database,
    pub broker: Broker,
    pub asked: Asked,
    /// The file of an at-least-once connector.
    pub stored: Option<Position>,
    pub odds: Odds,
    pub shutdown: Shutdown,
    /// Calls until the process crashes, if it does.
    pub crash_in: Option<u32>,
    pub calls: u64,
    trace: DefaultHasher,
}

/// The world as its parts share it.
#[derive(Clone)]
pub struct Shared(Rc<RefCell<World>>);

impl Shared {
    pub fn new(seed: u64, channel: Channel, fills: bool) -> Shared {
        let mut rng = Rng::with_seed(seed);
        let calm = rng.u32(0..4) == 0;
        let odds = match calm {
            true => Odds::default(),
            false => {
                Odds { lost_connection: 60, refused: 150, unanswered: 12, asked_to_stop: 300, silence: 50 }
            }
        };
        Shared(Rc::new(RefCell::new(World {
            database: Database::new(&mut rng),
            broker: Broker::new(&mut rng),
            asked: Asked::new(channel, fills, 2, rng.u32(1..6)),
            clock: Clock::manual(1_000_000_000),
            rng,
            stored: None,
            odds,
            shutdown: Shutdown::default(),
            crash_in: None,
            calls: 0,
            trace: DefaultHasher::new(),
        })))
    }

    pub fn borrow(&self) -> RefMut<'_, World> {
        self.0.borrow_mut()
    }

    /// A call from the connector: time passes, and it may be the last thing that happens.
    pub fn call(&self, what: &str) -> RefMut<'_, World> {
        let mut world = self.borrow();
        world.calls += 1;
        world.note(what);
        let pause = world.rng.u64(0..300);
        world.clock.sleep(Duration::from_micros(pause));
        let once_in = world.odds.asked_to_stop;
        if world.happens(once_in) {
            world.shutdown.request();
        }
        let crash = match world.crash_in {
            Some(0) => true,
            Some(left) => {
                world.crash_in = Some(left - 1);
                false
            }
            None => false,
        };
        if crash {
            world.crash_in = None;
            drop(world);
            std::panic::panic_any(Crash);
        }
        world
    }
}

impl World {
    /// Adds to what a run is recognised by.
    pub fn note(&mut self, what: impl Hash) {
        what.hash(&mut self.trace);
    }

    pub fn trace(&self) -> u64 {
        let mut trace = self.trace.clone();
        self.clock.now().nanos().hash(&mut trace);
        trace.finish()
    }

    /// Once in so many times.
    pub fn happens(&mut self, once_in: u32) -> bool {
        once_in > 0 && self.rng.u32(0..once_in) == 0
    }
}

pub fn unreachable<T>(what: &'static str) -> Result<T> {
    Err(Error::new(Kind::Unreachable, what))
}
