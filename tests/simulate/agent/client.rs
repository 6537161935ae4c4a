//! Producers: each sends its batches in order to one partition, and again what nobody acknowledged.

use super::batch::{Change, Row, Schemas, batch};
use fastrand::Rng;

/// As Java and librdkafka.
const IN_FLIGHT: usize = 5;
/// Rows that a table has at most.
const IDS: i64 = 12;
const OWNERS: i64 = 3;

/// A batch from its making to its acknowledgement, and after.
pub struct Sent {
    /// `None`: part of a transaction.
    pub client: Option<usize>,
    pub partition: i32,
    pub changes: Vec<Change>,
    pub bytes: Vec<u8>,
    /// Different for each batch, so that no two are alike.
    pub committed_us: i64,
    /// The offset that was acknowledged.
    pub acknowledged: Option<i64>,
}

pub struct Client {
    pub idempotent: bool,
    partition: i32,
    number: usize,
    next_sequence: i32,
    /// Not acknowledged, oldest first: places in the list of all batches.
    pub waiting: Vec<usize>,
}

impl Client {
    pub fn new(number: usize, partitions: i32, rng: &mut Rng) -> Client {
        let partition = rng.i32(0..partitions);
        Client { idempotent: rng.u32(0..4) > 0, partition, number, next_sequence: 0, waiting: Vec::new() }
    }

    /// Makes new batches, if it may, and gives all that it sends now: from the oldest that waits on.
    pub fn send(&mut self, all: &mut Vec<Sent>, schemas: Schemas, now_us: i64, rng: &mut Rng) -> Vec<usize> {
        let room = IN_FLIGHT - self.waiting.len();
        for _ in 0..rng.usize(0..=room) {
            let changes = Client::changes(self.partition, rng);
            // Producer ids are chosen here: the agent's are random.
            let producer = 1_000 + i64::try_from(self.number).expect("few");
            let turn = self.idempotent.then_some((producer, self.next_sequence));
            self.next_sequence += i32::try_from(changes.len()).expect("few");
            let committed_us = now_us + i64::try_from(all.len()).expect("few");
            let bytes = batch(&changes, turn, schemas, committed_us, rng);
            self.waiting.push(all.len());
            all.push(Sent {
                client: Some(self.number),
                partition: self.partition,
                changes,
                bytes,
                committed_us,
                acknowledged: None,
            });
        }
        self.waiting.clone()
    }

    pub fn changes(partition: i32, rng: &mut Rng) -> Vec<Change> {
        (0..rng.usize(1..8)).map(|_| Self::change(partition, rng)).collect()
    }

    /// Keys belong to partitions, as with any producer.
    fn change(partition: i32, rng: &mut Rng) -> Change {
        let id = rng.i64(0..IDS) * 100 + i64::from(partition);
        let row = Row { owner: rng.i64(0..OWNERS), amount: rng.i64(-50..1_000) };
        Change { id, row: (rng.u32(0..5) > 0).then_some(row) }
    }
}
