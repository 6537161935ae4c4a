//! A producer with a transactional id: batches that are there all or not at all. Its own process crashes too.

use super::batch::{Schemas, batch_of};
use super::client::{Client, Sent};
use super::process::PARTITIONS;
use agent::buffer::Incarnation;
use fastrand::Rng;

pub const NAME: &str = "shop";
/// Of a transaction, by the agent's clock.
pub const TIMEOUT_MS: i32 = 20_000;
const MOST_BATCHES: usize = 5;

/// What is known of a transaction's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Nothing was asked.
    Open,
    /// To be committed (or not), and no answer came.
    Asked(bool),
    /// Who asked for a commit is gone.
    Forgotten,
    Known(bool),
}

pub struct Transaction {
    /// Places in the list of all batches.
    pub batches: Vec<usize>,
    pub end: End,
}

/// What it does next.
pub enum Wish {
    Begin,
    Open,
    /// These, in one group.
    Append(Vec<usize>),
    End(bool),
}

#[derive(Default)]
pub struct Transactor {
    pub who: Option<Incarnation>,
    /// Whether the agent has said that the last transaction is open.
    pub open: bool,
    next_sequence: [i32; PARTITIONS as usize],
    /// Of the open transaction, not acknowledged.
    pub waiting: Vec<usize>,
    pub transactions: Vec<Transaction>,
}

impl Transactor {
    pub fn last(&mut self) -> Option<&mut Transaction> {
        self.transactions.last_mut()
    }

    pub fn wish(&mut self, all: &mut Vec<Sent>, schemas: Schemas, now_us: i64, rng: &mut Rng) -> Wish {
        let Some(who) = self.who else { return Wish::Begin };
        let asked = self.last().map(|last| (last.end, last.batches.len()));
        let (end, batches) = asked.unwrap_or((End::Known(true), 0));
        match end {
            End::Asked(commit) => return Wish::End(commit),
            End::Open if self.open => {}
            End::Open => return Wish::Open,
            End::Forgotten | End::Known(_) => {
                self.transactions.push(Transaction { batches: Vec::new(), end: End::Open });
                self.open = false;
                return Wish::Open;
            }
        }
        if self.waiting.is_empty() && (batches >= MOST_BATCHES || rng.u32(0..3) == 0) {
            return Wish::End(rng.u32(0..4) > 0);
        }
        if self.waiting.is_empty() || rng.bool() {
            self.make(who, all, schemas, now_us, rng);
        }
        Wish::Append(self.waiting.clone())
    }

    fn make(&mut self, who: Incarnation, all: &mut Vec<Sent>, schemas: Schemas, now_us: i64, rng: &mut Rng) {
        if self.last().is_none_or(|last| last.batches.len() >= MOST_BATCHES) {
            return;
        }
        let partition = rng.usize(0..self.next_sequence.len());
        let index = i32::try_from(partition).expect("few");
        let changes = Client::changes(index, rng);
        let (at, committed_us) = (all.len(), now_us + i64::try_from(all.len()).expect("few"));
        let Some(sequence) = self.next_sequence.get_mut(partition) else { return };
        let bytes = batch_of(&changes, (who.producer, who.epoch, *sequence), schemas, committed_us, rng);
        *sequence += i32::try_from(changes.len()).expect("few");
        all.push(Sent { client: None, partition: index, changes, bytes, committed_us, acknowledged: None });
        self.waiting.push(at);
        if let Some(last) = self.last() {
            last.batches.push(at);
        }
    }

    /// The agent has given it an epoch: what an earlier one left open is gone.
    pub fn begun(&mut self, who: Incarnation) {
        if let Some(last) = self.last()
            && last.end == End::Open
        {
            last.end = End::Known(false);
        }
        self.who = Some(who);
        self.next_sequence = Default::default();
        self.waiting.clear();
        self.open = false;
    }

    pub fn ended(&mut self, committed: bool) {
        if let Some(last) = self.last() {
            last.end = End::Known(committed);
        }
        self.waiting.clear();
        self.open = false;
    }

    /// Its process is gone, and what it knew.
    pub fn crash(&mut self) {
        if let Some(last) = self.last() {
            last.end = match last.end {
                End::Asked(true) => End::Forgotten,
                End::Asked(false) => End::Known(false),
                end => end,
            };
        }
        self.who = None;
        self.waiting.clear();
    }
}
