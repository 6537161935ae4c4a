//! What is on its way: pieces in the order in which they were handed over, and what each one's
//! acknowledgement means. Pure.

use std::collections::VecDeque;
use std::time::Duration;

/// A place in a local partition: the next offset, and the checksum of the batch that holds the record
/// before it, by which another file's record at that offset is told from ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    pub next_offset: i64,
    pub checksum: u32,
}

/// Everything of it is durable at the centre.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrived {
    pub place: usize,
    pub mark: Mark,
    pub records: u64,
    pub bytes: usize,
    /// When it was handed over, on the monotonic clock.
    pub since: Duration,
    /// Nothing of its place was under way then.
    pub alone: bool,
}

struct Piece {
    arrived: Arrived,
    left: u64,
    whole: bool,
}

#[derive(Default)]
pub struct Flight {
    /// The number of the front piece; acknowledgements carry numbers.
    front: u64,
    pieces: VecDeque<Piece>,
    bytes: usize,
}

impl Flight {
    /// A new piece; gives the number that its records carry.
    pub fn begin(&mut self, place: usize, mark: Mark, since: Duration, alone: bool) -> u64 {
        let arrived = Arrived { place, mark, records: 0, bytes: 0, since, alone };
        self.pieces.push_back(Piece { arrived, left: 0, whole: false });
        self.front + self.pieces.len() as u64 - 1
    }

    /// A record of the newest piece was handed over.
    #[inline]
    pub fn add(&mut self, bytes: usize) {
        if let Some(piece) = self.pieces.back_mut() {
            piece.left += 1;
            piece.arrived.records += 1;
            piece.arrived.bytes += bytes;
            self.bytes += bytes;
        }
    }

    /// The newest piece is whole, and reaches to here.
    pub fn end(&mut self, mark: Mark) {
        if let Some(piece) = self.pieces.back_mut() {
            piece.whole = true;
            piece.arrived.mark = mark;
        }
    }

    pub fn acknowledge(&mut self, number: u64, records: u64) {
        let at = number.checked_sub(self.front).and_then(|at| usize::try_from(at).ok());
        if let Some(piece) = at.and_then(|at| self.pieces.get_mut(at)) {
            piece.left = piece.left.saturating_sub(records);
        }
    }

    /// The next piece that has arrived, as have all before it.
    pub fn arrived(&mut self) -> Option<Arrived> {
        let piece = self.pieces.pop_front_if(|piece| piece.whole && piece.left == 0)?;
        self.front += 1;
        self.bytes -= piece.arrived.bytes;
        Some(piece.arrived)
    }

    /// Bytes on their way.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Nothing of it will be acknowledged any more.
    pub fn forget(&mut self) {
        self.front += self.pieces.len() as u64;
        self.pieces.clear();
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(next_offset: i64) -> Mark {
        Mark { next_offset, checksum: 0 }
    }

    #[test]
    fn a_piece_has_arrived_when_all_before_it_have() {
        let mut flight = Flight::default();
        let numbers: Vec<u64> = [(0, 3), (1, 2), (0, 0)]
            .into_iter()
            .map(|(place, records)| {
                let number = flight.begin(place, mark(0), Duration::ZERO, true);
                (0..records).for_each(|_| flight.add(10));
                flight.end(mark(records + 100 * place as i64));
                number
            })
            .collect();
        assert_eq!(flight.bytes(), 50);
        flight.acknowledge(numbers[1], 2);
        flight.acknowledge(numbers[0], 2);
        assert_eq!(flight.arrived(), None);
        flight.acknowledge(numbers[0], 1);
        let places: Vec<(usize, i64)> =
            std::iter::from_fn(|| flight.arrived()).map(|a| (a.place, a.mark.next_offset)).collect();
        assert_eq!(places, [(0, 3), (1, 102), (0, 0)]);
        assert!(flight.is_empty() && flight.bytes() == 0);
    }

    #[test]
    fn what_is_forgotten_is_not_mixed_up_with_what_comes() {
        let mut flight = Flight::default();
        let old = flight.begin(0, mark(0), Duration::ZERO, true);
        flight.add(1);
        flight.forget();
        let new = flight.begin(0, mark(0), Duration::ZERO, true);
        flight.add(1);
        flight.end(mark(1));
        flight.acknowledge(old, 1);
        assert_eq!(flight.arrived(), None);
        flight.acknowledge(new, 1);
        assert!(flight.arrived().is_some());
    }

    #[test]
    fn a_piece_still_being_handed_over_has_not_arrived() {
        let mut flight = Flight::default();
        let number = flight.begin(0, mark(0), Duration::ZERO, true);
        flight.add(1);
        flight.acknowledge(number, 1);
        assert_eq!(flight.arrived(), None);
        flight.add(1);
        flight.end(mark(2));
        assert_eq!(flight.arrived(), None);
        flight.acknowledge(number, 1);
        assert_eq!(flight.arrived().map(|a| a.records), Some(2));
    }
}
