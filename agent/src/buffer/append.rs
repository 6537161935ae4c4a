//! One request's batches on their way into the log.

use super::catalogue::{LEADER_EPOCH, Partition};
use super::tail::{Admission, SharedTail, Tail, lock};
use super::transaction::{self, Staging};
use crate::db::{Job, OrDb};
use crate::metrics;
use bytes::BytesMut;
use rusqlite::blob::ZeroBlob;
use rusqlite::{MAIN_DB, ToSql, Transaction, params};
use shared::kafka::batch::{self, Head};
use shared::{Error, Kind, Result};
use std::ops::Range;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// From this size on a batch is written straight into its pages: bound to the statement it is copied twice first.
const DIRECT_BYTES: usize = 64 * 1024;

/// One batch inside a frame: checked, not yet placed.
#[derive(Debug)]
pub struct Append {
    pub partition: Arc<Partition>,
    pub head: Head,
    /// Where the batch stands in the frame.
    pub range: Range<usize>,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Durable, with its first record at this offset; also if it was stored by an earlier attempt.
    Stored {
        base_offset: i64,
    },
    Refused(Refusal),
}

/// Why a batch is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No room now; worth trying again.
    Full,
    /// Not the producer's next sequence.
    OutOfOrder,
    /// Stored long ago, its offset forgotten.
    DuplicateSequence,
    /// A newer incarnation of this producer has written.
    StaleEpoch,
    /// Part of a transaction that is not open (any more).
    NoTransaction,
    /// Part of a transaction, but the producer has no transactional id (any more).
    NoTransactionalId,
    /// The topic was deleted; worth looking for it again.
    TopicGone,
}

impl Refusal {
    const fn reason(self) -> &'static str {
        match self {
            Refusal::Full => "full",
            Refusal::OutOfOrder | Refusal::DuplicateSequence => "sequence",
            Refusal::StaleEpoch => "epoch",
            Refusal::NoTransaction | Refusal::NoTransactionalId => "transaction",
            Refusal::TopicGone => "topic",
        }
    }
}

/// What is written in the transaction of the batches, knowing what became of them.
pub type With = Box<dyn FnOnce(&Transaction<'_>, &[Outcome]) -> Result<()> + Send>;

type Reply = oneshot::Sender<Result<Vec<Outcome>>>;

/// The frame is stored from where it was received: batches are patched in place.
pub(super) struct AppendJob {
    frame: BytesMut,
    appends: Vec<Append>,
    outcomes: Vec<Outcome>,
    tail: SharedTail,
    reply: Reply,
    memory: OwnedSemaphorePermit,
    with: Option<With>,
}

impl AppendJob {
    pub fn new(
        frame: BytesMut,
        appends: Vec<Append>,
        tail: SharedTail,
        reply: Reply,
        memory: OwnedSemaphorePermit,
        with: Option<With>,
    ) -> Self {
        let outcomes = Vec::with_capacity(appends.len());
        AppendJob { frame, outcomes, appends, tail, reply, memory, with }
    }
}

impl Job for AppendJob {
    fn run(&mut self, transaction: &Transaction<'_>) -> Result<()> {
        let tail = Arc::clone(&self.tail);
        let mut tail = lock(&tail);
        let mut staging = Staging::default();
        for append in &self.appends {
            let records = self
                .frame
                .get_mut(append.range.clone())
                .ok_or_else(|| Error::new(Kind::Bug, "a batch lies outside of its frame"))?;
            self.outcomes.push(place(transaction, &mut tail, &mut staging, append, records)?);
        }
        match self.with.take() {
            Some(with) => with(transaction, &self.outcomes),
            None => Ok(()),
        }
    }

    fn done(self: Box<Self>, outcome: Result<()>) {
        let AppendJob { frame, outcomes, reply, memory, .. } = *self;
        drop(frame);
        drop(memory);
        // The connection may be gone; the batches are stored all the same.
        let _ = reply.send(outcome.map(|()| outcomes));
    }

    /// Only a failing disk makes an append fail, and that takes the group with it anyway.
    fn isolated(&self) -> bool {
        false
    }

    fn weight_bytes(&self) -> usize {
        self.frame.len()
    }
}

fn place(
    transaction: &Transaction<'_>,
    tail: &mut Tail,
    staging: &mut Staging,
    append: &Append,
    records: &mut [u8],
) -> Result<Outcome> {
    let bytes = records.len() as u64;
    let turn = append.head.turn.filter(|_| append.head.transactional);
    if let Some(turn) = turn
        && let Some(refusal) = staging.refuses(transaction, &turn)?
    {
        metrics::BUFFER_REFUSED.with_label_values(&[refusal.reason()]).inc();
        return Ok(Outcome::Refused(refusal));
    }
    let base_offset = match tail.admit(&append.partition, &append.head, bytes) {
        Admission::Append { base_offset } => base_offset,
        Admission::Duplicate { base_offset } => {
            metrics::BUFFER_DUPLICATES.inc();
            return Ok(Outcome::Stored { base_offset });
        }
        Admission::Refused(refusal) => {
            metrics::BUFFER_REFUSED.with_label_values(&[refusal.reason()]).inc();
            return Ok(Outcome::Refused(refusal));
        }
    };
    // Staged first: if the insert fails, the group is undone and with it what is staged here, and
    // the producer's next batch waits for this one.
    tail.stage(&append.partition, &append.head, base_offset, bytes);
    if let Some(turn) = turn {
        transaction::put(transaction, append, &turn, records)?;
    } else {
        batch::patch(records, base_offset, LEADER_EPOCH);
        let Head { last_delta, max_time_ms, .. } = append.head;
        let now_ms = tail.now_ms();
        insert(transaction, &append.partition, base_offset, last_delta, max_time_ms, now_ms, records)?;
    }
    Ok(Outcome::Stored { base_offset })
}

/// Writes a batch into the log.
pub(super) fn insert(
    transaction: &Transaction<'_>,
    partition: &Partition,
    base_offset: i64,
    last_delta: i32,
    max_time_ms: i64,
    arrived_ms: i64,
    records: &[u8],
) -> Result<()> {
    let place = partition.place(base_offset);
    let last_offset = base_offset + i64::from(last_delta);
    let bytes = records.len() as i64;
    let zeros = (records.len() >= DIRECT_BYTES).then_some(ZeroBlob(records.len() as u64));
    let value: &dyn ToSql = zeros.as_ref().map_or(&records, |zeros| zeros);
    transaction
        .prepare_cached(
            "INSERT INTO log_batch (place, last_offset, max_time_ms, arrived_ms, bytes, records)
             VALUES (?, ?, ?, ?, ?, ?)",
        )
        .and_then(|mut insert| {
            insert.execute(params![place, last_offset, max_time_ms, arrived_ms, bytes, value])
        })
        .and_then(|_| match zeros {
            Some(_) => transaction
                .blob_open(MAIN_DB, c"log_batch", c"records", place, false)?
                .write_all_at(records, 0),
            None => Ok(()),
        })
        .or_db("append a batch")
}
