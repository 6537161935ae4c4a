//! The centre in memory: brokers with transactions and a group's positions, behind a link that breaks.
//!
//! What was sent is on the link; it arrives in its order when the client is served. A link that breaks brings a
//! part of it, and loses the acknowledgements; a commit may take place although its answer is lost. Some clients
//! take records and say nothing of them any more.

use agent::forward::{Centre, Make, Mark, Outgoing, Position};
use fastrand::Rng;
use shared::error::{Error, Kind, Result};
use shared::time::Clock;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// One client of so many.
const MUTE: u32 = 20;
/// No transaction takes so long.
const FOR_EVER: Duration = Duration::from_secs(600);

/// A record as a consumer gets it.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub struct Seen {
    pub topic: String,
    pub partition: i32,
    pub key: Vec<u8>,
    pub value: Vec<u8>,
}

/// Shared by a run and the clients that it makes.
#[derive(Clone)]
pub struct World(Arc<Mutex<Brokers>>);

pub struct Brokers {
    rng: Rng,
    clock: Clock,
    transactions: bool,
    partitions: i32,
    /// One call of so many fails; 0: none.
    pub faults: u32,
    epoch: u64,
    /// Of the transaction that is open.
    pending: Vec<Seen>,
    /// For consumers that read what is committed.
    pub visible: Vec<Seen>,
    /// A group's positions, by topic and central partition.
    positions: BTreeMap<(String, i32), Vec<(i32, Mark)>>,
    pub commits: u32,
}

impl World {
    pub fn new(seed: u64, clock: &Clock, transactions: bool, partitions: i32) -> World {
        World(Arc::new(Mutex::new(Brokers {
            rng: Rng::with_seed(seed),
            clock: clock.clone(),
            transactions,
            partitions,
            faults: 12,
            epoch: 0,
            pending: Vec::new(),
            visible: Vec::new(),
            positions: BTreeMap::new(),
            commits: 0,
        })))
    }

    pub fn brokers(&self) -> MutexGuard<'_, Brokers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes clients that reach this world.
    pub fn make(&self) -> Make {
        let world = self.clone();
        Box::new(move |_, _, _| {
            let link = Mutex::new(Link { on_its_way: VecDeque::new(), acknowledged: Vec::new() });
            let brokers = &mut *world.brokers();
            let mute = brokers.transactions && brokers.faults > 0 && brokers.rng.u32(0..MUTE) == 0;
            Ok(Box::new(Client { world: world.clone(), epoch: 0, open: None, mute, link }))
        })
    }
}

impl Brokers {
    fn fails(&mut self) -> Result<()> {
        match self.faults > 0 && self.rng.u32(0..self.faults) == 0 {
            true => Err(Error::new(Kind::Unreachable, "the link is away")),
            false => Ok(()),
        }
    }

    fn arrives(&mut self, epoch: u64, seen: Seen) {
        match self.transactions {
            // What an ended client sent late is turned away.
            true if epoch != self.epoch => {}
            true => self.pending.push(seen),
            false => self.visible.push(seen),
        }
    }
}

struct Client {
    world: World,
    epoch: u64,
    open: Option<Duration>,
    /// Neither acknowledges a record nor gives it up.
    mute: bool,
    link: Mutex<Link>,
}

struct Link {
    on_its_way: VecDeque<(u64, Seen)>,
    acknowledged: Vec<(u64, u64)>,
}

impl Client {
    fn link(&self) -> MutexGuard<'_, Link> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first `count` records on the link are at the brokers.
    fn deliver(&self, brokers: &mut Brokers, count: usize, answered: bool) {
        let mut link = self.link();
        let count = count.min(link.on_its_way.len());
        let Link { on_its_way, acknowledged } = &mut *link;
        for (number, seen) in on_its_way.drain(..count) {
            brokers.arrives(self.epoch, seen);
            if answered {
                acknowledged.push((number, 1));
            }
        }
    }
}

impl Centre for Client {
    fn cluster(&self) -> Result<String> {
        self.world.brokers().fails().map(|()| "one".to_owned())
    }

    fn start(&mut self) -> Result<()> {
        let brokers = &mut *self.world.brokers();
        if brokers.transactions {
            brokers.fails()?;
            brokers.epoch += 1;
            brokers.pending.clear();
            self.epoch = brokers.epoch;
        }
        brokers.fails()
    }

    fn partitions(&self, _: &str) -> Result<u32> {
        let brokers = &mut *self.world.brokers();
        brokers.fails().map(|()| brokers.partitions.unsigned_abs())
    }

    fn committed(&self, topic: &str, partitions: u32) -> Result<BTreeMap<i32, Mark>> {
        let brokers = &mut *self.world.brokers();
        brokers.fails()?;
        let all =
            (0..partitions.cast_signed()).filter_map(|at| brokers.positions.get(&(topic.to_owned(), at)));
        Ok(all.flatten().copied().collect())
    }

    fn begin(&mut self) -> Result<()> {
        let brokers = self.world.brokers();
        if brokers.transactions {
            self.open.get_or_insert(brokers.clock.monotonic());
        }
        Ok(())
    }

    fn send(&self, outgoing: Outgoing<'_>) -> Result<bool> {
        let brokers = &mut *self.world.brokers();
        if brokers.rng.u32(0..40) == 0 {
            return Ok(false);
        }
        let key = outgoing.key.unwrap_or_default().to_vec();
        let by_key = || i32::from(*key.last().unwrap_or(&0)) % brokers.partitions;
        let partition = outgoing.partition.unwrap_or_else(by_key);
        let value = outgoing.value.unwrap_or_default().to_vec();
        let seen = Seen { topic: outgoing.topic.to_owned(), partition, key, value };
        self.link().on_its_way.push_back((outgoing.number, seen));
        Ok(true)
    }

    fn poll(&self, wait: Duration) -> std::result::Result<(), (Error, Option<String>)> {
        let brokers = &mut *self.world.brokers();
        brokers.clock.sleep(wait);
        if self.mute {
            let age = self.open.map(|since| brokers.clock.monotonic().saturating_sub(since));
            assert!(age.is_none_or(|age| age < FOR_EVER), "a client that says nothing is waited for");
            return Ok(());
        }
        let waiting = self.link().on_its_way.len();
        let count = brokers.rng.usize(0..=waiting);
        if let Err(error) = brokers.fails() {
            self.deliver(brokers, count, false);
            return Err((error, None));
        }
        self.deliver(brokers, count, true);
        Ok(())
    }

    fn take(&self, out: &mut Vec<(u64, u64)>) {
        out.append(&mut self.link().acknowledged);
    }

    fn lost(&self) -> Option<String> {
        None
    }

    fn take_sent_bytes(&self) -> Option<u64> {
        None
    }

    fn transaction_age(&self) -> Option<Duration> {
        let now = self.world.brokers().clock.monotonic();
        self.open.map(|since| now.saturating_sub(since))
    }

    fn commit(&mut self, positions: &[Position], _: Duration) -> Result<()> {
        let brokers = &mut *self.world.brokers();
        assert!(self.link().on_its_way.is_empty(), "a commit before all was acknowledged");
        assert_eq!(self.epoch, brokers.epoch, "there is one process");
        brokers.fails()?;
        let shown = std::mem::take(&mut brokers.pending);
        brokers.visible.extend(shown);
        for position in positions {
            let place = (position.topic.clone(), position.partition);
            brokers.positions.insert(place, position.marks.clone());
        }
        brokers.commits += 1;
        self.open = None;
        brokers.fails()
    }

    fn abort(&mut self, _: Duration) {
        if self.open.take().is_some() {
            self.world.brokers().pending.clear();
        }
    }
}

/// What was on the link may arrive after the end of the process that sent it.
impl Drop for Client {
    fn drop(&mut self) {
        let world = self.world.clone();
        let brokers = &mut *world.brokers();
        let waiting = self.link().on_its_way.len();
        let count = brokers.rng.usize(0..=waiting);
        self.deliver(brokers, count, false);
    }
}
