//! What a view keeps at hand: its entities' windows, bounded in bytes, and the places of rows that are
//! not yet filed by entity.
//!
//! It follows the file: each transaction that changes a view's rows gives the view's `revision` the next
//! number, and memory whose number is another one is thrown away. So a transaction that was undone, or
//! a program that was killed, needs no care here. An entity that is not at hand is read from its rows.

use super::accumulator::Accumulator;
use super::chunk::Place;
use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use std::hash::BuildHasher;

/// Memory of an entity beside its name and accumulators: its slot, the table's, and what allocating costs.
const ENTRY_BYTES: usize = 140;
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
    /// With as many rows waiting as measured well: those of 10,000 entities take 3 MiB.
    pub fn with_cache(cache_bytes: usize) -> Limits {
        Limits { cache_bytes, unplaced_rows: 64 * 1024 }
    }
}

/// An entity's windows, as of the moment up to which the view's were looked at.
#[derive(Debug)]
pub struct Windows {
    pub name: Box<[u8]>,
    /// `None`: to be computed from the rows.
    pub accumulators: Option<Box<[Accumulator]>>,
    /// Its values are asked for at the end of the transaction.
    touched: bool,
    bytes: usize,
    newer: u32,
    older: u32,
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
    /// Places that are not in the file's index by entity yet.
    pub unplaced: HashMap<Box<[u8]>, Vec<Place>>,
    pub unplaced_rows: usize,
    /// The latest time among their rows.
    pub unplaced_last_us: i64,
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
            unplaced: HashMap::new(),
            unplaced_rows: 0,
            unplaced_last_us: i64::MIN,
            last_chunk: 0,
            greatest_key: Vec::new(),
        }
    }

    pub fn reset(&mut self) {
        *self = Memory::new(self.limits);
    }

    /// Whether it is time to file.
    pub fn is_full(&self) -> bool {
        self.unplaced_rows >= self.limits.unplaced_rows
    }

    /// Forgets what is in the windows; who was touched stays so.
    pub fn forget_windows(&mut self) {
        for slot in &mut self.slots {
            slot.accumulators = None;
        }
    }

    /// The view has no rows any more.
    pub fn empty(&mut self) {
        self.forget_windows();
        self.unplaced.clear();
        (self.unplaced_rows, self.unplaced_last_us) = (0, i64::MIN);
        self.greatest_key.clear();
    }

    /// Touches every entity whose rows' places wait.
    pub fn touch_unplaced(&mut self) {
        let unplaced = std::mem::take(&mut self.unplaced);
        for entity in unplaced.keys() {
            self.touch(entity);
        }
        self.unplaced = unplaced;
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
        let (name, bytes) = (Box::from(entity), ENTRY_BYTES + entity.len());
        let slot = Windows { name, accumulators: None, touched: false, bytes, newer: NONE, older: NONE };
        self.bytes += bytes;
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
        let first = |id: u32| {
            let (name, mut first) = (name(id), [0; 16]);
            first.iter_mut().zip(name).for_each(|(to, from)| *to = *from);
            (u128::from_be_bytes(first), id)
        };
        let mut touched: Vec<(u128, u32)> = self.touched.iter().copied().map(first).collect();
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
        let accumulators = slot.accumulators.iter().flatten().map(of).sum::<usize>();
        let bytes = ENTRY_BYTES + slot.name.len() + accumulators;
        self.bytes = self.bytes.saturating_sub(slot.bytes) + bytes;
        slot.bytes = bytes;
        slot.touched = false;
        while self.bytes > self.limits.cache_bytes && self.forget_oldest() {}
    }

    /// False if nothing may go.
    fn forget_oldest(&mut self) -> bool {
        let id = self.oldest;
        let Some(slot) = self.slots.get_mut(id as usize).filter(|slot| !slot.touched) else { return false };
        slot.accumulators = None;
        self.bytes = self.bytes.saturating_sub(slot.bytes);
        let name = std::mem::take(&mut slot.name);
        let hash = self.hasher.hash_one(&*name);
        if let Ok(entry) = self.by_name.find_entry(hash, |other| *other == id) {
            entry.remove();
        }
        self.unlink(id);
        self.free.push(id);
        true
    }

    pub fn add_place(&mut self, entity: &[u8], place: Place, time_us: i64) {
        match self.unplaced.get_mut(entity) {
            Some(places) => places.push(place),
            None => drop(self.unplaced.insert(entity.into(), vec![place])),
        }
        self.unplaced_rows += 1;
        self.unplaced_last_us = self.unplaced_last_us.max(time_us);
        self.last_chunk = self.last_chunk.max(place.chunk);
    }

    /// Gives out what is to be filed, by entity.
    pub fn take_unplaced(&mut self) -> Vec<(Box<[u8]>, Vec<Place>)> {
        let mut all: Vec<_> = std::mem::take(&mut self.unplaced).into_iter().collect();
        all.sort_unstable();
        (self.unplaced_rows, self.unplaced_last_us) = (0, i64::MIN);
        all
    }
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
                windows.accumulators = Some(Box::new([Accumulator::start(Aggregate::Count, false)]));
                assert!(windows.touched);
            }
            for id in memory.take_touched() {
                memory.settle(id);
            }
            let bytes: usize = memory.by_name.iter().map(|id| memory.slots[*id as usize].bytes).sum();
            assert!(bytes == memory.bytes && bytes <= 100_000, "{bytes}, {}", memory.bytes);
        }
        assert!(known(&memory, &9_999u32.to_be_bytes()) && !known(&memory, &1u32.to_be_bytes()));
        assert!(memory.slots.len() < 1_000, "slots are used again: {}", memory.slots.len());
    }

    #[test]
    fn what_a_transaction_touches_stays_until_it_is_settled() {
        let mut memory = Memory::new(Limits::with_cache(1_000));
        for n in 0..100u32 {
            memory.touch(&n.to_be_bytes());
        }
        let touched = memory.take_touched();
        assert_eq!(touched.len(), 100);
        for (n, id) in (0..100u32).zip(touched) {
            assert_eq!(memory.at(id).map(|windows| windows.name.to_vec()), Some(n.to_be_bytes().to_vec()));
            memory.settle(id);
        }
        assert!(memory.bytes <= 1_000);
    }
}
