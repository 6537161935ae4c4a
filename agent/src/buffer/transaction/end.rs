//! The end of a transaction: its batches move into the log, or are deleted.
//!
//! The move takes one batch at a time out of the file and back into it, so a transaction of any
//! size needs the memory of its largest batch and of SQLite's page cache; pages that become free
//! are used again at once. It is one transaction of the file, for which other senders wait.

use super::identity::{self, Identity, State};
use super::{Denial, Step, stage};
use crate::buffer::append;
use crate::buffer::catalogue::LEADER_EPOCH;
use crate::metrics;
use shared::kafka::batch;
use shared::{Error, Kind, Result};

/// What a producer that asks is told, and does.
pub(super) fn asked(
    step: &mut Step<'_>,
    identity: &Identity,
    commit: bool,
) -> Result<std::result::Result<(), Denial>> {
    Ok(match (identity.state, commit) {
        (State::Open, _) => Ok(finish(step, identity, commit)?),
        // The answer to the first time was lost.
        (State::Committed, true) | (State::Aborted, false) => Ok(()),
        _ => Err(Denial::State),
    })
}

pub(super) fn finish(step: &mut Step<'_>, identity: &Identity, commit: bool) -> Result<()> {
    let producer = identity.who.producer;
    if commit {
        while let Some(staged) = stage::first(step.tx, producer)? {
            move_one(step, staged)?;
        }
    } else {
        let bytes = stage::remove_all(step.tx, producer)?;
        step.tail.release(bytes);
    }
    step.tail.forget_provisional(producer);
    if let Some(ended) = step.ended {
        ended(step.tx, producer, commit)?;
    }
    let (state, word) = if commit { (State::Committed, "committed") } else { (State::Aborted, "aborted") };
    metrics::BUFFER_TRANSACTIONS.with_label_values(&[word]).inc();
    identity::ended(step.tx, identity, state, step.now_ms)
}

fn move_one(step: &mut Step<'_>, staged: stage::Staged) -> Result<()> {
    let stage::Staged { id, partition, last_delta, max_time_ms, mut records } = staged;
    let unknown =
        || Error::new(Kind::Lost, format!("a staged batch is for partition {partition}, which is gone"));
    let partition = step.catalogue.partition(partition).ok_or_else(unknown)?;
    let (base_offset, bytes) = (step.tail.next_offset(&partition), records.len() as u64);
    step.tail.stage_moved(&partition, base_offset, last_delta, bytes);
    batch::patch(&mut records, base_offset, LEADER_EPOCH);
    // Removed first, so that its pages serve the insert.
    stage::remove(step.tx, id)?;
    append::insert(step.tx, &partition, base_offset, last_delta, max_time_ms, step.now_ms, &records)
}

/// Aborts what is due, and forgets names.
pub(super) fn expire(step: &mut Step<'_>, retention_ms: i64) -> Result<u64> {
    let due = identity::due(step.tx, step.now_ms)?;
    for identity in &due {
        finish(step, identity, false)?;
        identity::fence(step.tx, identity)?;
        tracing::warn!(
            event = "buffer_transaction_expired",
            transactional_id = identity.name,
            remedy = "raise the producer's transaction.timeout.ms if it is alive",
            "aborted a transaction that was open for too long"
        );
    }
    identity::forget(step.tx, step.now_ms, retention_ms)?;
    Ok(due.len() as u64)
}
