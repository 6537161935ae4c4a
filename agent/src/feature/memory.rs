//! What a view keeps at hand: its entities' windows, bounded in bytes, and the places of rows that are
//! not yet filed by entity.
//!
//! It follows the file: each transaction that changes a view's rows gives the view's `revision` the next
//! number, and memory whose number is another one is thrown away. So a transaction that was undone, or
//! a program that was killed, needs no care here. An entity that is not at hand is read from its rows.

use super::accumulator::Accumulator;
use super::chunk::Place;
use std::collections::HashMap;

/// Memory of an entry beside its accumulators: the map's slot, the name, the box.
const ENTRY_BYTES: usize = 120;

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
    pub accumulators: Box<[Accumulator]>,
    /// Its values are asked for at the end of the transaction.
    pub touched: bool,
    bytes: usize,
}

/// Two generations: what was not touched while the younger filled up goes with the older.
#[derive(Debug)]
pub struct Memory {
    limits: Limits,
    /// `None`: follows nothing yet.
    pub revision: Option<i64>,
    young: HashMap<Box<[u8]>, Windows>,
    old: HashMap<Box<[u8]>, Windows>,
    young_bytes: usize,
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
            young: HashMap::new(),
            old: HashMap::new(),
            young_bytes: 0,
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

    /// Forgets the windows, but not the places.
    pub fn forget_windows(&mut self) {
        self.young.clear();
        self.old.clear();
        self.young_bytes = 0;
    }

    pub fn get(&mut self, entity: &[u8]) -> Option<&mut Windows> {
        if !self.old.is_empty()
            && !self.young.contains_key(entity)
            && let Some((name, windows)) = self.old.remove_entry(entity)
        {
            self.young_bytes += windows.bytes;
            self.young.insert(name, windows);
        }
        self.young.get_mut(entity)
    }

    pub fn put(&mut self, entity: &[u8], accumulators: Box<[Accumulator]>) {
        self.forget(entity);
        let windows = Windows { accumulators, touched: false, bytes: 0 };
        self.young.insert(entity.into(), windows);
        self.weigh(entity);
    }

    pub fn forget(&mut self, entity: &[u8]) {
        self.old.remove(entity);
        if let Some(gone) = self.young.remove(entity) {
            self.young_bytes -= gone.bytes.min(self.young_bytes);
        }
    }

    /// Counts an entity's bytes anew, after it was changed.
    pub fn weigh(&mut self, entity: &[u8]) {
        let Some(windows) = self.young.get_mut(entity) else { return };
        let of = |a: &Accumulator| size_of::<Accumulator>() + a.bytes();
        let bytes = ENTRY_BYTES + entity.len() + windows.accumulators.iter().map(of).sum::<usize>();
        self.young_bytes = self.young_bytes.saturating_sub(windows.bytes) + bytes;
        windows.bytes = bytes;
        if self.young_bytes > self.limits.cache_bytes / 2 {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
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

    #[test]
    fn stays_within_its_bytes_and_keeps_what_is_used() {
        let mut memory = Memory::new(Limits::with_cache(100_000));
        for n in 0..10_000u32 {
            assert!(memory.get(b"often").is_some() || n == 0);
            memory.put(&n.to_be_bytes(), Box::new([Accumulator::start(Aggregate::Count, false)]));
            if n == 0 {
                memory.put(b"often", Box::new([Accumulator::start(Aggregate::Count, false)]));
            }
            let bytes: usize = memory.young.values().chain(memory.old.values()).map(|w| w.bytes).sum();
            assert!(bytes <= 100_000 + 1_000, "{bytes}");
        }
        assert!(memory.get(&9_999u32.to_be_bytes()).is_some() && memory.get(&1u32.to_be_bytes()).is_none());
    }
}
