//! Places of rows that are not yet filed by entity: sixteen bytes a row and a hash an entity. Pure.
//!
//! ```text
//! heads   entity's hash → its newest row
//! rows    hash, the entity's row before, chunk, slot      in the order in which they came
//! chunks  the latest time of each, so that those all of whose rows are out for good go without being filed
//! ```
//! Two entities may share a hash: a place only says where a row may be, whose bytes say whose it is.

use super::chunk::Place;
use hashbrown::HashTable;
use std::collections::VecDeque;

#[derive(Clone, Copy, Debug)]
struct Row {
    hash: u32,
    /// Number of the row before; rows that went have numbers before the first one's.
    before: u32,
    /// Beyond the first chunk of all.
    chunk: u32,
    slot: u16,
}

#[derive(Clone, Copy, Debug)]
struct Chunk {
    rows: u32,
    last_us: i64,
}

/// The rows, which are numbered as they come.
#[derive(Debug, Default)]
pub struct Waiting {
    heads: HashTable<u32>,
    rows: VecDeque<Row>,
    chunks: VecDeque<(i64, Chunk)>,
    /// The number of the first row that is here.
    first: u32,
    origin: i64,
}

impl Waiting {
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn clear(&mut self) {
        *self = Waiting::default();
    }

    /// The latest time among the rows.
    pub fn last_us(&self) -> i64 {
        self.chunks.iter().map(|(_, chunk)| chunk.last_us).max().unwrap_or(i64::MIN)
    }

    fn row(&self, number: u32) -> Option<&Row> {
        self.rows.get(number.wrapping_sub(self.first) as usize)
    }

    /// A row of a chunk; chunks rise.
    pub fn add(&mut self, hash: u32, place: Place, time_us: i64) {
        if self.rows.is_empty() {
            self.origin = place.chunk;
        }
        match self.chunks.back_mut() {
            Some((chunk, last)) if *chunk == place.chunk => {
                last.rows += 1;
                last.last_us = last.last_us.max(time_us);
            }
            _ => self.chunks.push_back((place.chunk, Chunk { rows: 1, last_us: time_us })),
        }
        let number = self.first.wrapping_add(self.rows.len() as u32);
        let (rows, first) = (&self.rows, self.first);
        let of = |number: u32| rows.get(number.wrapping_sub(first) as usize).map_or(0, |row: &Row| row.hash);
        let before = match self.heads.find_mut(spread(hash), |head| of(*head) == hash) {
            Some(head) => std::mem::replace(head, number),
            None => {
                let again = |head: &u32| spread(of(*head));
                self.heads.insert_unique(spread(hash), number, again);
                number
            }
        };
        let chunk = u32::try_from(place.chunk.saturating_sub(self.origin)).unwrap_or(u32::MAX);
        self.rows.push_back(Row { hash, before, chunk, slot: place.slot });
    }

    pub fn has(&self, hash: u32) -> bool {
        self.head(hash).is_some()
    }

    fn head(&self, hash: u32) -> Option<u32> {
        let same = |head: &u32| self.row(*head).is_some_and(|row| row.hash == hash);
        self.heads.find(spread(hash), same).copied()
    }

    /// The places of rows that may be an entity's, the newest first.
    pub fn places(&self, hash: u32) -> impl Iterator<Item = Place> {
        let mut next = self.head(hash);
        std::iter::from_fn(move || {
            let number = next?;
            let row = self.row(number)?;
            next = Some(row.before).filter(|before| *before != number);
            Some(Place { chunk: self.origin + i64::from(row.chunk), slot: row.slot })
        })
    }

    /// Forgets chunks all of whose rows lie at or before `to_us`, as long as the oldest is one.
    pub fn forget_until(&mut self, to_us: i64) {
        while let Some((_, chunk)) = self.chunks.front().copied().filter(|(_, chunk)| chunk.last_us <= to_us)
        {
            self.chunks.pop_front();
            for _ in 0..chunk.rows {
                let Some(row) = self.rows.pop_front() else { break };
                let number = self.first;
                if let Ok(head) = self.heads.find_entry(spread(row.hash), |head| *head == number) {
                    head.remove();
                }
                self.first = self.first.wrapping_add(1);
            }
        }
    }
}

/// Tables look at the upper bits as well.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn as_a_map_of_lists_has_it() {
        let mut random = fastrand::Rng::with_seed(11);
        let (mut waiting, mut model) = (Waiting::default(), BTreeMap::<u32, Vec<(Place, i64)>>::new());
        let mut oldest = 0;
        for chunk in 100..600i64 {
            for slot in 0..random.u16(1..40) {
                let (hash, place) = (random.u32(0..90), Place { chunk, slot });
                waiting.add(hash, place, chunk * 10);
                model.entry(hash).or_default().push((place, chunk * 10));
            }
            if chunk % 7 == 0 {
                oldest = (chunk - random.i64(5..60)) * 10;
                waiting.forget_until(oldest);
                model.values_mut().for_each(|places| places.retain(|(_, time)| *time > oldest));
            }
            for hash in 0..90 {
                let want: Vec<Place> =
                    model.get(&hash).into_iter().flatten().rev().map(|(place, _)| *place).collect();
                assert_eq!(waiting.places(hash).collect::<Vec<_>>(), want);
                assert_eq!(waiting.has(hash), !want.is_empty());
            }
            assert_eq!(waiting.len(), model.values().map(Vec::len).sum::<usize>());
        }
        assert!(oldest > 0 && waiting.last_us() == 5_990);
        waiting.forget_until(i64::MAX);
        assert!(waiting.len() == 0 && waiting.heads.is_empty());
    }
}
