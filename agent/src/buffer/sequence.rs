//! What an idempotent producer may append next; pure.
//!
//! Per producer and partition the last five batches are remembered, because that many may be in
//! flight and be sent again. Rules, in this order: an older epoch is refused; a newer epoch begins
//! at sequence 0; a remembered batch is a duplicate and keeps its old offset; what lies before is a
//! duplicate whose offset is forgotten; the next in turn is appended; anything else is out of
//! order. A producer that is not known may begin anywhere (as in Kafka since KIP-360).

use shared::kafka::batch::Turn;

/// Batches remembered per producer: a client's limit of requests in flight.
const REMEMBERED: usize = 5;

/// Bytes of one remembered batch, as stored.
const ENTRY_BYTES: usize = 16;

/// Sequences count from 0 to 2^31-1 and begin again.
fn advance(sequence: i32, by: i32) -> i32 {
    sequence.wrapping_add(by) & i32::MAX
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    first: i32,
    last: i32,
    base_offset: i64,
}

/// One producer's state in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Producer {
    epoch: i16,
    /// Oldest first.
    recent: Vec<Entry>,
    /// With nothing remembered: the sequence that was refused or undone. Without it, a batch in
    /// flight behind a refused one would be let in as the first of an unknown producer.
    owed: Option<i32>,
    pub seen_ms: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    Append,
    /// Stored already, at this base offset.
    Duplicate(i64),
    /// Stored already, so long ago that the offset is forgotten.
    Forgotten,
    OutOfOrder,
    StaleEpoch,
}

impl Producer {
    /// A producer never seen before.
    pub fn unknown(turn: &Turn) -> Self {
        Producer { epoch: turn.epoch, recent: Vec::with_capacity(REMEMBERED), owed: None, seen_ms: 0 }
    }

    pub fn judge(&self, turn: &Turn, last_delta: i32) -> Judgement {
        if turn.epoch < self.epoch {
            return Judgement::StaleEpoch;
        }
        if turn.epoch > self.epoch {
            return if turn.first_sequence == 0 { Judgement::Append } else { Judgement::OutOfOrder };
        }
        let (first, last) = (turn.first_sequence, advance(turn.first_sequence, last_delta));
        if let Some(entry) = self.recent.iter().find(|entry| (entry.first, entry.last) == (first, last)) {
            return Judgement::Duplicate(entry.base_offset);
        }
        match (self.recent.last(), self.owed) {
            (None, None) => Judgement::Append,
            (None, Some(owed)) if owed == first => Judgement::Append,
            (None, Some(_)) => Judgement::OutOfOrder,
            (Some(newest), _) if advance(newest.last, 1) == first => Judgement::Append,
            (Some(newest), _) if is_before(last, newest.last) => Judgement::Forgotten,
            (Some(_), _) => Judgement::OutOfOrder,
        }
    }

    /// Notes a batch that was judged [`Judgement::Append`].
    pub fn appended(&mut self, turn: &Turn, last_delta: i32, base_offset: i64) {
        if turn.epoch > self.epoch {
            self.epoch = turn.epoch;
            self.recent.clear();
            self.owed = None;
        }
        if self.recent.is_empty() {
            self.owed = Some(turn.first_sequence);
        }
        if self.recent.len() >= REMEMBERED {
            self.recent.remove(0);
        }
        let last = advance(turn.first_sequence, last_delta);
        self.recent.push(Entry { first: turn.first_sequence, last, base_offset });
    }

    /// A batch judged [`Judgement::Append`] is refused for another reason: it must come first.
    pub fn refused(&mut self, turn: &Turn) {
        if turn.epoch > self.epoch {
            self.epoch = turn.epoch;
            self.recent.clear();
            self.owed = None;
        }
        if self.recent.is_empty() {
            self.owed.get_or_insert(turn.first_sequence);
        }
    }

    /// What is left when everything staged on top of `stored` is undone.
    pub fn undone(self, stored: Option<Producer>) -> Producer {
        match stored {
            Some(stored) if stored.epoch == self.epoch && !stored.recent.is_empty() => stored,
            _ => Producer { recent: Vec::with_capacity(REMEMBERED), ..self },
        }
    }

    pub fn epoch(&self) -> i16 {
        self.epoch
    }

    /// As kept in the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.recent.len() * ENTRY_BYTES);
        for entry in &self.recent {
            out.extend_from_slice(&entry.first.to_be_bytes());
            out.extend_from_slice(&entry.last.to_be_bytes());
            out.extend_from_slice(&entry.base_offset.to_be_bytes());
        }
        out
    }

    /// As read from the file; `None` if the bytes are not what [`Producer::to_bytes`] makes.
    pub fn from_bytes(epoch: i16, seen_ms: i64, bytes: &[u8]) -> Option<Producer> {
        let (entries, rest) = bytes.as_chunks::<ENTRY_BYTES>();
        if !rest.is_empty() || entries.len() > REMEMBERED {
            return None;
        }
        let entry = |bytes: &[u8; ENTRY_BYTES]| {
            let (first, rest) = bytes.split_first_chunk()?;
            let (last, rest) = rest.split_first_chunk()?;
            Some(Entry {
                first: i32::from_be_bytes(*first),
                last: i32::from_be_bytes(*last),
                base_offset: i64::from_be_bytes(*rest.first_chunk()?),
            })
        };
        Some(Producer {
            epoch,
            recent: entries.iter().map(entry).collect::<Option<_>>()?,
            owed: None,
            seen_ms,
        })
    }
}

/// Whether `one` lies at or before `other`, on the circle of sequences.
fn is_before(one: i32, other: i32) -> bool {
    other.wrapping_sub(one) & i32::MAX < 1 << 30
}

#[cfg(test)]
mod tests {
    use super::Judgement::{Append, Duplicate, Forgotten, OutOfOrder, StaleEpoch};
    use super::*;

    fn turn(epoch: i16, first_sequence: i32) -> Turn {
        Turn { producer: 9, epoch, first_sequence }
    }

    /// A producer at epoch 3 that appended batches of ten from `first` on, at offsets 100, 110, ….
    fn producer(first: i32, batches: i32) -> Producer {
        let mut producer = Producer::unknown(&turn(3, first));
        for n in 0..batches {
            let turn = turn(3, advance(first, n * 10));
            assert_eq!(producer.judge(&turn, 9), Append);
            producer.appended(&turn, 9, 100 + i64::from(n) * 10);
        }
        producer
    }

    #[test]
    fn rules() {
        const TOP: i32 = i32::MAX;
        let cases = [
            // (first sequence and batches before, epoch, sequence, last delta, want)
            ((0, 0), 3, 0, 9, Append),
            ((0, 0), 3, 777, 9, Append),
            ((0, 1), 3, 10, 0, Append),
            ((0, 1), 3, 11, 0, OutOfOrder),
            ((0, 7), 3, 60, 9, Duplicate(160)),
            ((0, 7), 3, 20, 9, Duplicate(120)),
            ((0, 7), 3, 10, 9, Forgotten),
            ((0, 7), 3, 60, 4, Forgotten),
            ((0, 7), 3, 60, 20, OutOfOrder),
            ((0, 7), 3, 80, 9, OutOfOrder),
            ((0, 7), 2, 70, 9, StaleEpoch),
            ((0, 7), 4, 0, 9, Append),
            ((0, 7), 4, 70, 9, OutOfOrder),
            // the next after 2^31-1 is 0, also inside a batch
            ((TOP - 9, 1), 3, 0, 9, Append),
            ((TOP - 4, 1), 3, 5, 9, Append),
            ((TOP - 4, 1), 3, TOP - 4, 9, Duplicate(100)),
            ((TOP - 4, 7), 3, TOP - 4, 9, Forgotten),
            ((TOP - 4, 1), 3, 6, 9, OutOfOrder),
        ];
        for ((first, batches), epoch, sequence, delta, want) in cases {
            let got = producer(first, batches).judge(&turn(epoch, sequence), delta);
            assert_eq!(got, want, "after {batches} from {first}: epoch {epoch} sequence {sequence}");
        }
    }

    #[test]
    fn a_new_epoch_forgets_the_old() {
        let mut producer = producer(0, 7);
        producer.appended(&turn(4, 0), 9, 500);
        assert_eq!(producer.judge(&turn(4, 0), 9), Duplicate(500));
        assert_eq!(producer.judge(&turn(3, 60), 9), StaleEpoch);
        assert_eq!(producer.judge(&turn(4, 10), 9), Append);
    }

    /// The first batch of a producer is refused because the disk is full, and the second, already
    /// in flight, arrives when there is room again: letting it in would lose the first for good.
    #[test]
    fn nobody_overtakes_a_refused_first_batch() {
        let mut refused = Producer::unknown(&turn(0, 0));
        refused.refused(&turn(0, 0));
        refused.refused(&turn(0, 10));
        let undone = producer(0, 7).undone(None);
        for producer in [refused.clone(), undone] {
            let epoch = producer.epoch();
            assert_eq!(producer.judge(&turn(epoch, 10), 9), OutOfOrder);
            assert_eq!(producer.judge(&turn(epoch, 0), 9), Append);
        }
        assert_eq!(refused.judge(&turn(1, 0), 9), Append, "a new epoch is free");
    }

    #[test]
    fn undone_goes_back_to_what_is_stored() {
        let stored = producer(0, 3);
        let mut staged = stored.clone();
        staged.appended(&turn(3, 30), 9, 130);
        assert_eq!(staged.undone(Some(stored.clone())), stored);
    }

    #[test]
    fn bytes_round_trip() {
        let before = producer(5, 7);
        let after = Producer::from_bytes(3, 0, &before.to_bytes()).expect("as written");
        assert_eq!(after.recent, before.recent);
        assert_eq!(Producer::from_bytes(3, 0, &[0; 15]), None);
        assert_eq!(Producer::from_bytes(3, 0, &[0; 96]), None);
    }
}
