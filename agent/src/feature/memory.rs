//! What a view keeps at hand: its entities' windows, bounded in bytes, and the places of rows that are
//! not yet filed by entity.
//!
//! It follows the file: each transaction that changes a view's rows gives the view's `revision` the next
//! number, and memory whose number is another one is thrown away. So a transaction that was undone, or
//! a program that was killed, needs no care here. An entity that is not at hand is read from its rows.

use super::accumulator::Accumulator;
use super::chunk::Place;
use super::waiting::Waiting;
use crate::model::pack;
use hashbrown::{DefaultHashBuilder, HashTable};
use smallvec::SmallVec;
use std::hash::BuildHasher;

/// Memory of an entity beside a long name and its state: its slot, and the table's.
const ENTRY_BYTES: usize = size_of::<Windows>() + 16;
/// Of the bytes for entities, one in so many is for what was given of those that went, and as many for tables
/// to grow in.
const GIVEN_PART: usize = 16;
/// What is looked through lies in one cache line.
const SHARE_A_PLACE: usize = 8;
/// A row whose place waits takes a quarter of this; the rest is for the tables to grow in.
const WAITING_ROW_BYTES: usize = 64;
const LEAST_WAITING_ROWS: usize = 64 * 1024;
/// No entity.
const NONE: u32 = u32::MAX;

/// What memory may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of entities at hand, shared equally by the views.
    pub cache_bytes: usize,
    /// Rows of a view whose places wait before they are filed by entity: enough that an entity gets many
    /// at once, few enough to be read back at a start.
    pub unplaced_rows: usize,
}

impl Limits {
    pub fn with_cache(cache_bytes: usize) -> Limits {
        Limits { cache_bytes, unplaced_rows: (cache_bytes / WAITING_ROW_BYTES).max(LEAST_WAITING_ROWS) }
    }

    /// The part of one of so many views.
    pub fn shared_by(self, views: usize) -> Limits {
        let views = views.max(1);
        let unplaced_rows = (self.unplaced_rows / views).max(LEAST_WAITING_ROWS.min(self.unplaced_rows));
        Limits { cache_bytes: self.cache_bytes / views, unplaced_rows }
    }
}

/// Most names are a number or a short text: they lie in the slot itself, which is one line of cache less to wait
/// for, and an allocation.
pub type Name = SmallVec<[u8; 16]>;

/// An entity's windows, as of the moment up to which the view's were looked at.
#[derive(Debug)]
pub struct Windows {
    pub name: Name,
    pub state: State,
    /// A hash of the values given last; 0 if it is not known.
    pub given: u32,
    bytes: u32,
    newer: u32,
    older: u32,
    /// Its values are asked for at the end of the transaction.
    touched: bool,
}

/// What is at hand of an entity.
#[derive(Debug)]
pub enum State {
    /// To be computed from the rows in the file.
    Unknown,
    /// All of its rows that are not out for good, as a chunk has them, without entity and with only the
    /// columns that are aggregated: most entities have a few, and no more than that is needed.
    Few(Box<[u8]>),
    /// Kept up row by row.
    Full(Box<[Accumulator]>),
}

/// Those touched longest ago go first. Whatever a transaction touches stays until it has been asked for.
#[derive(Debug)]
pub struct Memory {
    limits: Limits,
    /// `None`: follows nothing yet.
    pub revision: Option<i64>,
    hasher: DefaultHashBuilder,
    by_name: HashTable<u32>,
    slots: Vec<Windows>,
    free: Vec<u32>,
    touched: Vec<u32>,
    newest: u32,
    oldest: u32,
    bytes: usize,
    /// What was given last of entities that went, a hash of each, by a hash of their names; the newest first of
    /// those that share a place.
    given: Vec<[(u32, u32); SHARE_A_PLACE]>,
    /// Places that are not in the file's index by entity yet.
    pub waiting: Waiting,
    /// Whether the file's index by entity may have something.
    pub filed: bool,
    /// The hash of the values of an entity without rows.
    pub nothing: u32,
    pub last_chunk: i64,
    /// The greatest key that was ever stored: a greater one is new, without a look.
    pub greatest_key: Vec<u8>,
}

impl Memory {
    pub fn new(limits: Limits) -> Memory {
        Memory {
            limits,
            revision: None,
            hasher: DefaultHashBuilder::default(),
            by_name: HashTable::new(),
            slots: Vec::new(),
            free: Vec::new(),
            touched: Vec::new(),
            newest: NONE,
            oldest: NONE,
            bytes: 0,
            given: Vec::new(),
            waiting: Waiting::default(),
            filed: true,
            nothing: 0,
            last_chunk: 0,
            greatest_key: Vec::new(),
        }
    }

    pub fn reset(&mut self) {
        *self = Memory { nothing: self.nothing, ..Memory::new(self.limits) };
    }

    /// Whether it is time to file.
    pub fn is_full(&self) -> bool {
        self.waiting.len() >= self.limits.unplaced_rows
    }

    /// Forgets what is in the windows; who was touched stays so.
    pub fn forget_windows(&mut self) {
        for slot in &mut self.slots {
            slot.state = State::Unknown;
        }
    }

    /// The view has no rows any more.
    pub fn empty(&mut self) {
        self.forget_windows();
        self.waiting.clear();
        self.greatest_key.clear();
    }

    /// Notes that an entity's values will be asked for; gives its windows.
    pub fn touch(&mut self, entity: &[u8]) -> Option<&mut Windows> {
        let hash = self.hasher.hash_one(entity);
        let named = |id: &u32| self.slots.get(*id as usize).is_some_and(|slot| *slot.name == *entity);
        let id = match self.by_name.find(hash, named).copied() {
            Some(id) => id,
            None => self.add(entity, hash),
        };
        let new = self.slots.get(id as usize).is_some_and(|slot| !slot.touched);
        if new {
            self.unlink(id);
            self.link(id);
            self.touched.push(id);
        }
        let slot = self.slots.get_mut(id as usize)?;
        slot.touched = true;
        Some(slot)
    }

    fn add(&mut self, entity: &[u8], hash: u64) -> u32 {
        let name = Name::from_slice(entity);
        let bytes = ENTRY_BYTES + outside(&name);
        // Without a row anywhere: nothing has to be looked up.
        let (state, given) = match self.filed || self.waiting.has(hash as u32) {
            true => (State::Unknown, self.take_given(hash)),
            false => (State::Few(Box::default()), self.nothing),
        };
        self.bytes += bytes;
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let slot = Windows { name, state, given, bytes, newer: NONE, older: NONE, touched: false };
        let id = self.free.pop().unwrap_or(self.slots.len() as u32);
        match self.slots.get_mut(id as usize) {
            Some(place) => *place = slot,
            None => self.slots.push(slot),
        }
        let (slots, hasher) = (&self.slots, &self.hasher);
        let again = |id: &u32| hasher.hash_one(slots.get(*id as usize).map_or(&[][..], |slot| &slot.name));
        self.by_name.insert_unique(hash, id, again);
        self.link(id);
        id
    }

    /// Makes it the newest.
    fn link(&mut self, id: u32) {
        let before = std::mem::replace(&mut self.newest, id);
        if let Some(slot) = self.slots.get_mut(id as usize) {
            (slot.newer, slot.older) = (NONE, before);
        }
        match self.slots.get_mut(before as usize) {
            Some(slot) => slot.newer = id,
            None => self.oldest = id,
        }
    }

    fn unlink(&mut self, id: u32) {
        let Some((newer, older)) = self.slots.get(id as usize).map(|slot| (slot.newer, slot.older)) else {
            return;
        };
        match self.slots.get_mut(newer as usize) {
            Some(slot) => slot.older = older,
            None => self.newest = older,
        }
        match self.slots.get_mut(older as usize) {
            Some(slot) => slot.newer = newer,
            None => self.oldest = newer,
        }
    }

    /// Who was touched, in the order of their names; each is to be settled.
    pub fn take_touched(&mut self) -> Vec<u32> {
        let name = |id: u32| self.slots.get(id as usize).map_or(&[][..], |slot| &slot.name);
        // Most names are told apart by their first bytes, which lie together here.
        let first = |id: &u32| (pack::first_16(name(*id)), *id);
        let mut touched: Vec<(u128, u32)> = self.touched.iter().map(first).collect();
        touched.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| name(a.1).cmp(name(b.1))));
        self.touched.clear();
        touched.into_iter().map(|(_, id)| id).collect()
    }

    pub fn at(&mut self, id: u32) -> Option<&mut Windows> {
        self.slots.get_mut(id as usize)
    }

    /// After an entity's values were given: counts its bytes anew, and makes room.
    pub fn settle(&mut self, id: u32) {
        let Some(slot) = self.slots.get_mut(id as usize) else { return };
        let of = |a: &Accumulator| size_of::<Accumulator>() + a.bytes();
        let state = match &slot.state {
            State::Unknown => 0,
            State::Few(rows) => rows.len() + 16,
            State::Full(accumulators) => accumulators.iter().map(of).sum(),
        };
        let bytes = u32::try_from(ENTRY_BYTES + outside(&slot.name) + state).unwrap_or(u32::MAX);
        self.bytes = self.bytes.saturating_sub(slot.bytes as usize) + bytes as usize;
        slot.bytes = bytes;
        slot.touched = false;
        // Without rows it is as one that never came.
        if matches!(&slot.state, State::Few(rows) if rows.is_empty()) {
            self.forget(id);
        }
        let limit = self.limits.cache_bytes - 2 * (self.limits.cache_bytes / GIVEN_PART);
        while self.bytes > limit && self.forget_oldest() {}
    }

    /// False if nothing may go.
    fn forget_oldest(&mut self) -> bool {
        let id = self.oldest;
        let may_go = self.slots.get(id as usize).is_some_and(|slot| !slot.touched);
        if may_go {
            self.forget(id);
        }
        may_go
    }

    fn forget(&mut self, id: u32) {
        let Some(slot) = self.slots.get_mut(id as usize) else { return };
        slot.state = State::Unknown;
        self.bytes = self.bytes.saturating_sub(slot.bytes as usize);
        let (name, given) = (std::mem::take(&mut slot.name), slot.given);
        let hash = self.hasher.hash_one(&*name);
        if let Ok(entry) = self.by_name.find_entry(hash, |other| *other == id) {
            entry.remove();
        }
        self.unlink(id);
        self.free.push(id);
        self.keep_given(hash, given);
    }

    pub fn add_place(&mut self, entity: &[u8], place: Place, time_us: i64) {
        self.waiting.add(self.hasher.hash_one(entity) as u32, place, time_us);
        self.last_chunk = self.last_chunk.max(place.chunk);
    }

    /// Places that wait and may be an entity's.
    pub fn places(&self, entity: &[u8]) -> impl Iterator<Item = Place> {
        self.waiting.places(self.hasher.hash_one(entity) as u32)
    }

    pub fn hash(&self, bytes: &[u8]) -> u32 {
        // 0 says that it is not known.
        (self.hasher.hash_one(bytes) as u32).max(1)
    }

    fn given_place(&self, hash: u64) -> usize {
        (hash >> 32) as usize % self.given.len().max(1)
    }

    /// A hash of what was given last of an entity that went, if it is known; its place is free from now on.
    fn take_given(&mut self, hash: u64) -> u32 {
        let place = self.given_place(hash);
        let all = self.given.get_mut(place).map_or(&mut [][..], |all| &mut all[..]);
        let known = all.iter_mut().find(|(name, _)| *name == hash as u32);
        known.map_or(0, |known| std::mem::take(known).1)
    }

    fn keep_given(&mut self, hash: u64, given: u32) {
        if self.given.is_empty() {
            let places = self.limits.cache_bytes / GIVEN_PART / size_of::<[(u32, u32); SHARE_A_PLACE]>();
            self.given = vec![Default::default(); places];
        }
        let place = self.given_place(hash);
        let Some(all) = self.given.get_mut(place) else { return };
        // Into the first free one, or instead of the oldest.
        let to = all.iter().position(|(_, given)| *given == 0).unwrap_or(SHARE_A_PLACE - 1);
        all[..=to].rotate_right(1);
        all[0] = (hash as u32, given);
    }
}

/// Bytes of a name that do not lie in the slot.
fn outside(name: &Name) -> usize {
    if name.spilled() { name.len() } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feature::aggregate::Aggregate;

    fn known(memory: &Memory, entity: &[u8]) -> bool {
        let hash = memory.hasher.hash_one(entity);
        memory.by_name.find(hash, |id| *memory.slots[*id as usize].name == *entity).is_some()
    }

    #[test]
    fn stays_within_its_bytes_and_keeps_what_is_used() {
        let mut memory = Memory::new(Limits::with_cache(100_000));
        for n in 0..10_000u32 {
            assert!(known(&memory, b"often") || n == 0);
            for name in [&b"often"[..], &n.to_be_bytes()] {
                let windows = memory.touch(name).expect("there");
                windows.state = State::Full(Box::new([Accumulator::start(Aggregate::Count, false)]));
                assert!(windows.touched);
            }
            for id in memory.take_touched() {
                memory.settle(id);
            }
            let of = |id: &u32| memory.slots[*id as usize].bytes as usize;
            let bytes: usize = memory.by_name.iter().map(of).sum();
            assert!(bytes == memory.bytes && bytes <= 100_000, "{bytes}, {}", memory.bytes);
        }
        assert!(known(&memory, &9_999u32.to_be_bytes()) && !known(&memory, &1u32.to_be_bytes()));
        assert!(memory.slots.len() < 1_000, "slots are used again: {}", memory.slots.len());
    }

    #[test]
    fn what_was_given_of_those_that_went_is_known_once() {
        let mut memory = Memory::new(Limits::with_cache(GIVEN_PART * SHARE_A_PLACE * 8 * 2));
        // Two places; these share the first.
        let hashes: Vec<u64> = (1..=9).map(|name| name | 2 << 32).collect();
        for (hash, given) in hashes.iter().zip(101..) {
            memory.keep_given(*hash, given);
        }
        assert_eq!(memory.take_given(1 | 3 << 32), 0, "another place");
        let take = |memory: &mut Memory| -> Vec<u32> {
            hashes.iter().map(|hash| memory.take_given(*hash)).collect()
        };
        assert_eq!(take(&mut memory), [0, 102, 103, 104, 105, 106, 107, 108, 109], "the oldest of nine went");
        assert_eq!(take(&mut memory), [0; 9]);
        for (hash, given) in hashes.iter().zip(101..).take(8) {
            memory.keep_given(*hash, given);
        }
        assert_eq!(memory.take_given(5 | 2 << 32), 105);
        memory.keep_given(9 | 2 << 32, 109);
        assert_eq!(
            take(&mut memory),
            [101, 102, 103, 104, 0, 106, 107, 108, 109],
            "a free one is taken first"
        );
    }

    #[test]
    fn what_a_transaction_touches_stays_until_it_is_settled() {
        let mut memory = Memory::new(Limits::with_cache(1_000));
        for n in 0..100u32 {
            memory.touch(&n.to_be_bytes());
        }
        assert!(
            memory.slots.iter().all(|slot| matches!(slot.state, State::Unknown)),
            "something may be filed"
        );
        let touched = memory.take_touched();
        assert_eq!(touched.len(), 100);
        for (n, id) in (0..100u32).zip(touched) {
            assert_eq!(memory.at(id).map(|windows| windows.name.to_vec()), Some(n.to_be_bytes().to_vec()));
            memory.settle(id);
        }
        assert!(memory.bytes <= 1_000);
    }
}
