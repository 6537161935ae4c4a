//! One partition's batches on their way: in order, each until the leader says that it is written. Pure.

use super::batch::{Open, Sealed};
use super::outcome::Outcome;
use rdkafka::error::RDKafkaErrorCode as Code;
use shared::kafka::Compression;
use shared::kafka::batch::Turn;
use std::collections::VecDeque;

/// Brokers remember the numbers of so many batches of a producer: one that may have to be sent again must be among
/// the last so many that were sent.
const REMEMBERED: u64 = 5;

#[derive(Debug, Default)]
pub struct Partition {
    pub leader: Option<i32>,
    /// It is in its leader's list of those that have something to send.
    pub listed: bool,
    next_sequence: i32,
    /// Batches up to now.
    pushed: u64,
    /// Not acknowledged yet, the oldest first; the how manieth each is.
    batches: VecDeque<(u64, Sealed)>,
    /// So many of them were sent, and so many answers are awaited.
    sent: usize,
    under_way: usize,
    /// One is to be sent again: the answers to those behind it are awaited first.
    again: bool,
    /// The leader knows our numbers, and takes no batch before its turn. One that knows none of them takes any:
    /// until it has answered to one, it gets no other.
    known: bool,
}

/// What an answer means.
#[derive(Debug)]
pub enum Step {
    Acknowledged(Sealed),
    Nothing,
    /// All are to be sent again, to whoever leads now.
    Anew,
    Failed(Code),
}

impl Partition {
    /// Adds a batch; gives back its buffer.
    pub fn push(&mut self, batch: Open, compression: Compression, producer: (i64, i16)) -> Vec<u8> {
        let (producer, epoch) = producer;
        let turn = Turn { producer, epoch, first_sequence: self.next_sequence };
        // After the largest number comes zero.
        self.next_sequence = self.next_sequence.wrapping_add(batch.count()) & i32::MAX;
        let (sealed, emptied) = batch.seal(compression, turn);
        self.batches.push_back((self.pushed, sealed));
        self.pushed += 1;
        emptied
    }

    /// Whether there is something to send now.
    pub fn wants(&self) -> bool {
        self.peek().is_some()
    }

    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// What would be sent next.
    pub fn peek(&self) -> Option<&Sealed> {
        let (oldest, _) = self.batches.front().filter(|_| !self.again)?;
        let (next, batch) = self.batches.get(self.sent)?;
        let limit = if self.known { REMEMBERED } else { 1 };
        (next - oldest < limit).then_some(batch)
    }

    /// It is sent.
    pub fn depart(&mut self) {
        self.sent += 1;
        self.under_way += 1;
    }

    /// The answer to the batch with this number.
    pub fn arrive(&mut self, sequence: i32, outcome: Outcome) -> Step {
        self.under_way = self.under_way.saturating_sub(1);
        let mut step = Step::Nothing;
        match outcome {
            Outcome::Written => {
                self.known = true;
                let place = self.batches.iter().position(|(_, batch)| batch.sequence == sequence);
                if let Some((_, sealed)) = place.and_then(|place| self.batches.remove(place)) {
                    self.sent = self.sent.saturating_sub(1);
                    step = Step::Acknowledged(sealed);
                }
            }
            Outcome::Again => self.again = true,
            // Behind one that was not written.
            Outcome::OutOfOrder if self.again => {}
            Outcome::OutOfOrder => return Step::Failed(Code::OutOfOrderSequenceNumber),
            Outcome::Refused(code) => return Step::Failed(code),
        }
        if self.again && self.under_way == 0 {
            (self.again, self.sent, self.leader, self.known) = (false, 0, None, false);
            // One that is written after all need not be told twice.
            if matches!(step, Step::Nothing) {
                step = Step::Anew;
            }
        }
        step
    }
}

#[cfg(test)]
mod tests {
    use super::super::batch::content_size;
    use super::super::batch::tests::message;
    use super::*;
    use crate::model::encoded::Headers;
    use fastrand::Rng;

    /// A partition's log, kept by brokers that lose answers, refuse for a while, and know the last batches of a
    /// producer by their numbers.
    #[derive(Default)]
    struct Log {
        numbers: Vec<i32>,
        /// A broker that has nothing of a producer yet takes any number.
        next: Option<i32>,
    }

    impl Log {
        fn write(&mut self, sequence: i32) -> Outcome {
            let known = self.numbers.len().saturating_sub(REMEMBERED as usize);
            if self.numbers.iter().skip(known).any(|number| *number == sequence) {
                return Outcome::Written;
            }
            if self.next.is_some_and(|next| sequence != next) {
                return Outcome::OutOfOrder;
            }
            self.numbers.push(sequence);
            self.next = Some(sequence + 1);
            Outcome::Written
        }
    }

    fn batch() -> Open {
        let mut open = Open::new(Vec::new());
        let message = message(None, Some(b"v"), Headers::default());
        open.push(&message, content_size(&message), 1, 0);
        open
    }

    /// Whatever is lost on the way, in either direction: each batch is in the log once and in its place, and is
    /// told once.
    #[test]
    fn each_batch_is_written_once_and_in_order() {
        for seed in 0..2_000 {
            let (mut random, mut log) = (Rng::with_seed(seed), Log::default());
            let (mut partition, mut told) = (Partition::default(), Vec::new());
            let mut sent: VecDeque<i32> = VecDeque::new();
            let (total, mut pushed) = (random.i32(1..60), 0);
            // From some time on nothing is lost any more.
            let mut faults = random.u32(0..200);
            while told.len() < total as usize {
                if pushed < total && random.bool() {
                    partition.push(batch(), Compression::None, (1, 0));
                    pushed += 1;
                }
                if let Some(sequence) = partition.peek().map(|batch| batch.sequence) {
                    partition.depart();
                    sent.push_back(sequence);
                    assert!(sent.len() <= REMEMBERED as usize, "seed {seed}");
                }
                let Some(sequence) = sent.front().copied().filter(|_| random.u8(..3) == 0) else { continue };
                let fails = faults > 0 && random.u8(..4) == 0;
                faults -= u32::from(fails);
                let outcomes: Vec<Outcome> = match random.u8(..3) {
                    // The connection is lost: some of what was sent is written all the same.
                    0 if fails => {
                        let arrived = random.usize(..=sent.len());
                        sent.iter().take(arrived).for_each(|sequence| _ = log.write(*sequence));
                        sent.iter().map(|_| Outcome::Again).collect()
                    }
                    // Written, but not by all replicas in time.
                    1 if fails => {
                        log.write(sequence);
                        vec![Outcome::Again]
                    }
                    _ if fails => vec![Outcome::Again],
                    _ => vec![log.write(sequence)],
                };
                for outcome in outcomes {
                    let sequence = sent.pop_front().expect("it was sent");
                    match partition.arrive(sequence, outcome) {
                        Step::Acknowledged(batch) => told.push(batch.sequence),
                        Step::Failed(code) => panic!("seed {seed}: {code}"),
                        Step::Nothing | Step::Anew => {}
                    }
                }
            }
            assert!(log.numbers.iter().copied().eq(0..total), "seed {seed}: {:?}", log.numbers);
            told.sort_unstable();
            assert!(told.iter().copied().eq(0..total), "seed {seed}: told {told:?}");
            assert!(partition.is_empty() && sent.is_empty(), "seed {seed}");
        }
    }

    #[test]
    fn after_the_largest_number_comes_zero() {
        let mut partition = Partition { next_sequence: i32::MAX, ..Partition::default() };
        for want in [i32::MAX, 0, 1] {
            partition.push(batch(), Compression::None, (1, 0));
            assert_eq!(partition.batches.back().map(|(_, batch)| batch.sequence), Some(want));
        }
    }

    #[test]
    fn a_gap_that_nobody_made_is_not_sent_again_for_ever() {
        let mut partition = Partition::default();
        partition.push(batch(), Compression::None, (1, 0));
        partition.depart();
        assert!(matches!(partition.arrive(0, Outcome::OutOfOrder), Step::Failed(_)));
    }
}
