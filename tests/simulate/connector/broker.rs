//! Kafka in memory: topics with transactions, a producer that queues, and both kinds of offset store.

use super::database::Entry;
use super::record::{Record, wanted};
use super::world::{Shared, World, unreachable};
use connector::model::encoded::Encoded;
use connector::model::position::{Lsn, Position};
use connector::offset::{Message, OffsetStore, as_stored, from_stored};
use connector::sink::{Acked, Sink};
use fastrand::Rng;
use shared::Result;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

pub const OFFSETS: &str = "offsets";

/// A message as it lies in a topic.
#[derive(Clone)]
pub struct Stored {
    pub value: Option<Vec<u8>>,
    /// `None` for a tombstone, and for what is no change.
    pub record: Option<Record>,
    transaction: Option<u64>,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Open,
    Committed,
    Aborted,
}

pub struct Broker {
    topics: BTreeMap<String, Vec<Stored>>,
    transactions: BTreeMap<u64, State>,
    /// What a consumer that reads committed records can see.
    pub visible: BTreeSet<Record>,
    /// Places of changes that the source passed over, as a snapshot has them.
    pub hidden: BTreeSet<Lsn>,
    queue_limit: usize,
}

impl Broker {
    pub fn new(rng: &mut Rng) -> Broker {
        Broker {
            topics: BTreeMap::new(),
            transactions: BTreeMap::new(),
            visible: BTreeSet::new(),
            hidden: BTreeSet::new(),
            queue_limit: rng.usize(1..20),
        }
    }

    pub fn expect_no(&mut self, entry: &Entry) {
        self.hidden.insert(entry.lsn);
    }

    fn write(&mut self, queued: Queued, transaction: Option<u64>) {
        let Queued { topic, key, value, .. } = queued;
        let record = Record::read(&topic, &key, value.as_deref());
        let seen = transaction.is_none_or(|id| self.transactions.get(&id) == Some(&State::Committed));
        self.visible.extend(record.clone().filter(|_| seen));
        self.topics.entry(topic).or_default().push(Stored { value, record, transaction });
    }

    fn end(&mut self, transaction: u64, state: State) {
        self.transactions.insert(transaction, state);
        let of = |stored: &&Stored| stored.transaction == Some(transaction);
        if state == State::Committed {
            let records =
                self.topics.values().flatten().filter(of).filter_map(|stored| stored.record.clone());
            self.visible.extend(records);
        }
    }

    /// What a consumer of committed records reads from a topic.
    pub fn read(&self, topic: &str) -> impl Iterator<Item = &Stored> {
        let committed = |stored: &&Stored| {
            stored.transaction.is_none_or(|id| self.transactions.get(&id) == Some(&State::Committed))
        };
        self.topics.get(topic).into_iter().flatten().filter(committed)
    }

    /// The position committed last.
    pub fn position(&self) -> Option<Position> {
        let newest = self.read(OFFSETS).last().and_then(|stored| stored.value.as_deref());
        newest.map(|value| from_stored(value).expect("what was stored is read"))
    }
}

struct Queued {
    topic: String,
    key: Vec<u8>,
    value: Option<Vec<u8>>,
    unit: u64,
}

/// The producer of one process.
pub struct Producer {
    world: Shared,
    transactional: bool,
    transaction: Option<u64>,
    queue: VecDeque<Queued>,
    /// Units of records that are written, but not yet acknowledged.
    written: VecDeque<u64>,
    failed: bool,
}

impl Producer {
    pub fn new(world: Shared, transactional: bool) -> Producer {
        let (queue, written) = (VecDeque::new(), VecDeque::new());
        Producer { world, transactional, transaction: None, queue, written, failed: false }
    }

    /// Writes some of the queue: in order within a topic, in any order among topics.
    fn write(&mut self, world: &mut World, most: usize) {
        for _ in 0..most {
            if self.queue.is_empty() {
                return;
            }
            let topic = self.queue[world.rng.usize(0..self.queue.len())].topic.clone();
            let first = self.queue.iter().position(|queued| queued.topic == topic);
            let Some(queued) = first.and_then(|at| self.queue.remove(at)) else { return };
            self.written.push_back(queued.unit);
            world.broker.write(queued, self.transaction);
        }
    }

    fn acknowledge(&mut self, most: usize, acked: Acked<'_>) {
        for _ in 0..most.min(self.written.len()) {
            if let Some(unit) = self.written.pop_front() {
                acked(unit, 1);
            }
        }
    }

    fn forget(&mut self, world: &mut World) {
        let most = world.rng.usize(0..=self.queue.len());
        self.write(world, most);
        self.queue.clear();
        self.written.clear();
        self.failed = false;
    }

    fn failure(&self) -> Result<()> {
        if self.failed { unreachable("a record was refused for good") } else { Ok(()) }
    }
}

impl Sink for Producer {
    fn start(&mut self) -> Result<()> {
        let shared = self.world.clone();
        let mut world = shared.call("start the sink");
        let once_in = world.odds.unanswered;
        if world.happens(once_in) {
            return unreachable("no broker answers");
        }
        if self.transactional {
            self.forget(&mut world);
            self.transaction = None;
            let open: Vec<u64> = world
                .broker
                .transactions
                .iter()
                .filter(|(_, s)| **s == State::Open)
                .map(|(id, _)| *id)
                .collect();
            for id in open {
                world.broker.end(id, State::Aborted);
            }
        } else if self.failed {
            self.forget(&mut world);
        }
        Ok(())
    }

    fn offer(&mut self, message: &Encoded<'_>, unit: u64) -> Result<bool> {
        let shared = self.world.clone();
        let mut world = shared.call("offer");
        self.failure()?;
        if self.queue.len() + self.written.len() >= world.broker.queue_limit {
            return Ok(false);
        }
        if self.transactional && self.transaction.is_none() {
            let id = world.broker.transactions.len() as u64;
            world.broker.transactions.insert(id, State::Open);
            self.transaction = Some(id);
        }
        let (topic, key) = (message.topic.to_owned(), message.key.unwrap_or_default().to_vec());
        // Marks have names by chance.
        let by_chance = topic.ends_with(".signals");
        world.note((&topic, (!by_chance).then_some((&key, message.value))));
        self.queue.push_back(Queued { topic, key, value: message.value.map(<[u8]>::to_vec), unit });
        Ok(true)
    }

    fn poll(&mut self, wait: Duration, acked: Acked<'_>) -> Result<()> {
        let shared = self.world.clone();
        let mut world = shared.call("poll the sink");
        let once_in = world.odds.refused;
        self.failed |= !self.queue.is_empty() && world.happens(once_in);
        self.failure()?;
        let (write, told) = (world.rng.usize(0..8), world.rng.usize(0..8));
        self.write(&mut world, write);
        if self.written.is_empty() || told == 0 {
            world.clock.sleep(wait);
        }
        drop(world);
        self.acknowledge(told, acked);
        Ok(())
    }

    fn flush(&mut self, limit: Duration, acked: Acked<'_>) -> Result<()> {
        let shared = self.world.clone();
        let mut world = shared.call("flush");
        self.failure()?;
        let once_in = world.odds.unanswered;
        let late = self.outstanding() > 0 && world.happens(once_in);
        let most = if late { world.rng.usize(0..=self.queue.len()) } else { self.queue.len() };
        self.write(&mut world, most);
        let told = if late { world.rng.usize(0..=self.written.len()) } else { self.written.len() };
        if late {
            world.clock.sleep(limit);
        }
        drop(world);
        self.acknowledge(told, acked);
        if self.outstanding() > 0 { unreachable("not all is acknowledged in time") } else { Ok(()) }
    }

    fn outstanding(&self) -> usize {
        self.queue.len() + self.written.len()
    }

    fn health(&mut self) -> Result<()> {
        Ok(())
    }

    fn commit(&mut self, limit: Duration) -> Result<()> {
        let shared = self.world.clone();
        let mut world = shared.call("commit");
        assert_eq!(self.outstanding(), 0, "all is acknowledged before a commit");
        let Some(transaction) = self.transaction else { return Ok(()) };
        let once_in = world.odds.unanswered;
        let unanswered = world.happens(once_in);
        if unanswered && world.happens(2) {
            world.clock.sleep(limit);
            return unreachable("nobody answered, and nothing happened");
        }
        world.broker.end(transaction, State::Committed);
        if let Some(position) = world.broker.position() {
            world.is_stored(&position);
        }
        self.transaction = None;
        drop(world);
        drop(shared.call("committed"));
        if unanswered { unreachable("nobody answered, but it happened") } else { Ok(()) }
    }

    fn abort(&mut self, _limit: Duration) -> Result<()> {
        let shared = self.world.clone();
        let mut world = shared.call("abort");
        self.forget(&mut world);
        if let Some(transaction) = self.transaction.take() {
            world.broker.end(transaction, State::Aborted);
        }
        Ok(())
    }
}

/// What a dying process has in flight may still arrive.
impl Drop for Producer {
    fn drop(&mut self) {
        let shared = self.world.clone();
        self.forget(&mut shared.borrow());
    }
}

/// Where progress is kept: with the records, or apart from them.
pub struct Offsets {
    pub world: Shared,
    pub with_records: bool,
}

impl OffsetStore for Offsets {
    fn load(&mut self) -> Result<Option<Position>> {
        let mut world = self.world.call("load");
        let once_in = world.odds.unanswered;
        if world.happens(once_in) {
            return unreachable("the position cannot be read now");
        }
        Ok(if self.with_records { world.broker.position() } else { world.stored.clone() })
    }

    fn save(&mut self, position: &Position) -> Result<()> {
        assert!(!self.with_records, "progress is stored with the records only");
        let mut world = self.world.call("save");
        let once_in = world.odds.unanswered;
        let unanswered = world.happens(once_in);
        if unanswered && world.happens(2) {
            return unreachable("the position was not stored");
        }
        // As it is when it is read again.
        let position = from_stored(as_stored(position).as_bytes())?;
        world.is_stored(&position);
        world.stored = Some(position);
        drop(world);
        drop(self.world.call("saved"));
        if unanswered { unreachable("the position was stored, but nobody said so") } else { Ok(()) }
    }

    fn place(&self) -> String {
        "memory".to_owned()
    }

    fn message(&self, position: &Position) -> Option<Message> {
        let (topic, key) = (OFFSETS.to_owned(), b"key".to_vec());
        self.with_records.then(|| Message { topic, key, value: as_stored(position).into_bytes() })
    }
}

impl World {
    /// Nothing is confirmed that is not durable: in the sink, and as a position to go on from.
    pub fn confirm(&mut self, lsn: Lsn) {
        let from = self.database.slot.unwrap_or_default();
        if lsn <= from {
            return;
        }
        let stored = self.broker.position().or_else(|| self.stored.clone());
        let stored = stored.map_or(Lsn(0), |position| position.lsn());
        assert!(stored >= lsn, "{lsn} is confirmed, but only {stored} is stored");
        let confirmed = self.database.log.iter().filter(|commit| from < commit.end && commit.end <= lsn);
        for record in
            confirmed.flat_map(|commit| &commit.changes).flat_map(|entry| wanted(&self.database, entry))
        {
            let durable = self.broker.visible.contains(&record) || self.broker.hidden.contains(&record.lsn);
            assert!(durable, "{lsn} is confirmed, but {record:?} is not durable");
        }
        self.database.slot = Some(lsn);
    }
}
