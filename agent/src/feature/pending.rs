//! Rows of a transaction that are in no chunk yet, as bytes, found by their key. Pure.

use super::chunk::{self, Stored};
use super::intake::Kept;
use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::BuildHasher;
use std::ops::Range;

/// A key that came in this transaction.
#[derive(Clone, Debug)]
struct Slot {
    time_us: i64,
    row: Range<usize>,
    /// False: the row was taken back, and an older one in the file is not to be found either.
    alive: bool,
}

/// The rows, each key once.
#[derive(Debug, Default)]
pub struct Pending {
    bytes: Vec<u8>,
    slots: Vec<Slot>,
    /// Empty while keys rise, as most do: then the slots are in their order.
    by_key: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

/// What a transaction says of a key.
#[derive(Debug, PartialEq)]
pub enum Said<'a> {
    Nothing,
    /// It has no row any more.
    Gone,
    Row(Stored<'a>),
}

fn encoded<'a>(bytes: &'a [u8], slot: &Slot) -> Option<Stored<'a>> {
    chunk::read(bytes.get(slot.row.clone())?)
}

impl Pending {
    fn key(&self, at: u32) -> &[u8] {
        let row = self.slots.get(at as usize).and_then(|slot| encoded(&self.bytes, slot));
        row.map_or(&[], |row| row.key)
    }

    fn place(&self, key: &[u8]) -> Option<u32> {
        let last = self.slots.len().checked_sub(1)? as u32;
        if !self.by_key.is_empty() {
            return self.by_key.find(self.hasher.hash_one(key), |at| self.key(*at) == key).copied();
        }
        if self.key(last) < key {
            return None;
        }
        let of = |slot: &Slot| encoded(&self.bytes, slot).map_or(&[][..], |row| row.key);
        self.slots.binary_search_by(|slot| of(slot).cmp(key)).ok().map(|at| at as u32)
    }

    /// A key that is new got a slot.
    fn note(&mut self, at: u32) {
        let rises = at.checked_sub(1).is_none_or(|before| self.key(before) < self.key(at));
        let from = match self.by_key.is_empty() {
            true if rises => return,
            true => 0,
            false => at,
        };
        for at in from..=at {
            let hash = self.hasher.hash_one(self.key(at));
            let (bytes, slots, hasher) = (&self.bytes, &self.slots, &self.hasher);
            let again = |at: &u32| {
                let row = slots.get(*at as usize).and_then(|slot| encoded(bytes, slot));
                hasher.hash_one(row.map_or(&[][..], |row| row.key))
            };
            self.by_key.insert_unique(hash, at, again);
        }
    }

    pub fn find(&self, key: &[u8]) -> Said<'_> {
        let Some(slot) = self.place(key).and_then(|at| self.slots.get(at as usize)) else {
            return Said::Nothing;
        };
        match encoded(&self.bytes, slot) {
            Some(row) if slot.alive => Said::Row(row),
            _ => Said::Gone,
        }
    }

    /// A key's newest row.
    pub fn put(&mut self, key: &[u8], kept: &Kept) {
        self.set(key, kept, true);
    }

    /// A key without a row; `kept` is the one it had.
    pub fn bury(&mut self, key: &[u8], kept: &Kept) {
        self.set(key, kept, false);
    }

    fn set(&mut self, key: &[u8], kept: &Kept, alive: bool) {
        let place = self.place(key);
        let from = self.bytes.len();
        chunk::encode(&mut self.bytes, key, kept);
        let slot = Slot { time_us: kept.time_us, row: from..self.bytes.len(), alive };
        match place.and_then(|at| self.slots.get_mut(at as usize)) {
            Some(there) => *there = slot,
            None => {
                let at = self.slots.len() as u32;
                self.slots.push(slot);
                self.note(at);
            }
        }
    }

    /// The rows by time, with their bytes; those of one time as they came.
    pub fn by_time(&self) -> Vec<(i64, &[u8])> {
        let alive = self.slots.iter().filter(|slot| slot.alive);
        let mut rows: Vec<(i64, &[u8])> =
            alive.filter_map(|slot| Some((slot.time_us, self.bytes.get(slot.row.clone())?))).collect();
        rows.sort_by_key(|(time_us, _)| *time_us);
        rows
    }

    /// Keys that have no row any more.
    pub fn gone(&self) -> impl Iterator<Item = &[u8]> {
        let gone = self.slots.iter().filter(|slot| !slot.alive);
        gone.filter_map(|slot| encoded(&self.bytes, slot)).map(|row| row.key)
    }

    /// Every entity that has a row here.
    pub fn entities(&self) -> impl Iterator<Item = &[u8]> {
        let alive = self.slots.iter().filter(|slot| slot.alive);
        alive.filter_map(|slot| encoded(&self.bytes, slot)).map(|row| row.entity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::value::Value;

    fn kept(n: i64, time_us: i64) -> Kept {
        Kept { entity: vec![n as u8; 3], time_us, columns: vec![Value::Int(n)] }
    }

    #[test]
    fn each_key_has_its_newest_row() {
        let mut pending = Pending::default();
        assert_eq!(pending.find(b"1"), Said::Nothing);
        for n in 0..200i64 {
            pending.put(&n.to_be_bytes(), &kept(n, 1_000 - n));
        }
        pending.put(&7i64.to_be_bytes(), &kept(70, 5));
        pending.bury(&8i64.to_be_bytes(), &kept(8, 0));
        pending.bury(b"stored", &kept(9, 0));
        match pending.find(&7i64.to_be_bytes()) {
            Said::Row(row) => assert_eq!(row.kept(), Some(kept(70, 5))),
            other => panic!("{other:?}"),
        }
        assert_eq!((pending.find(&8i64.to_be_bytes()), pending.find(b"stored")), (Said::Gone, Said::Gone));
        let rows = pending.by_time();
        assert!(rows.len() == 199 && rows.is_sorted_by_key(|(time_us, _)| *time_us));
        assert_eq!(pending.gone().count(), 2);
        assert_eq!(pending.entities().count(), 199);
        pending.put(b"stored", &kept(9, 3));
        assert!(matches!(pending.find(b"stored"), Said::Row(_)) && pending.by_key.is_empty());
        for n in (300..500i64).rev() {
            assert_eq!(pending.find(&n.to_be_bytes()), Said::Nothing);
            pending.put(&n.to_be_bytes(), &kept(n, n));
        }
        for n in (0..500i64).filter(|n| *n != 8) {
            let found =
                matches!(pending.find(&n.to_be_bytes()), Said::Row(row) if row.key == n.to_be_bytes());
            assert_eq!(found, !(200..300).contains(&n), "{n}");
        }
    }
}
