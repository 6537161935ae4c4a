//! Transactions of producers: what is sent in one lies apart until it is committed.
//!
//! ```text
//! begin ─> open ─> append … append ─> end(commit) ─> batches move into the log, at its end
//!   │       │         staged_batch  └> end(abort), time-out, a newer incarnation ─> deleted
//!   └ a new epoch: the older incarnation is fenced, what it left open is aborted
//! ```
//! A broker of many nodes writes a transaction's batches at once, marks their end later, and leaves
//! it to each reader to pass over what was aborted. One node with one file needs neither marks nor
//! lists: the commit moves the batches in one transaction of the file, so every reader sees
//! committed records only, and a transaction is whole or absent after any crash.
//!
//! A staged batch is durable when its sender is told so, counts in the disk budget, and its
//! producer's turn is judged and remembered as for any other. Its offset is not known before the
//! commit, see [`super::tail::Tail::provisional`].
//!
//! The file is the only memory of who has which epoch: nothing has to be undone with it.

mod end;
mod identity;
mod stage;
#[cfg(test)]
mod tests;

pub use identity::Incarnation;
pub(super) use stage::{Staging, put, stored_bytes};

use super::Log;
use super::catalogue::Catalogue;
use super::tail::{SharedTail, Tail, lock};
use crate::db::Job;
use rusqlite::Transaction;
use shared::error::Context;
use shared::{Error, Kind, Result};
use std::sync::Arc;
use tokio::sync::oneshot;

/// The longest name; Kafka has no limit, and every name is kept for days.
pub const MAX_NAME_BYTES: usize = 1_024;

/// Why a producer's wish is not granted. Nothing is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// A newer incarnation has taken over, or the transaction timed out.
    Fenced,
    /// The id belongs to another producer, or to none (any more).
    Unknown,
    /// There is no such transaction, or it ended the other way.
    State,
    /// The time limit is none, or above the configured one.
    Timeout,
    /// Too many transactional ids have an open transaction.
    TooMany,
    Name,
}

/// What else ends with a transaction, in the same commit: producer, and whether it is committed.
pub type Ended = dyn Fn(&Transaction<'_>, i64, bool) -> Result<()> + Send + Sync;

/// What a step of a transaction works with.
struct Step<'a> {
    tx: &'a Transaction<'a>,
    tail: &'a mut Tail,
    catalogue: &'a Catalogue,
    ended: Option<&'a Ended>,
    now_ms: i64,
}

impl Log {
    /// Who else wants to know of a transaction's end; once, before any begins.
    pub fn when_transactions_end(&self, ended: Box<Ended>) {
        let _ = self.ended.set(ended);
    }

    /// A producer's first step: the name's producer id with an epoch that nobody had. What an
    /// earlier incarnation left open is aborted. `had` is what a producer that goes on after an
    /// error has; it is refused if another has taken over.
    pub async fn begin_incarnation(
        &self,
        name: &str,
        timeout_ms: i32,
        had: Option<Incarnation>,
    ) -> Result<std::result::Result<Incarnation, Denial>> {
        if name.is_empty() || name.len() > MAX_NAME_BYTES {
            return Ok(Err(Denial::Name));
        }
        let limit = self.config.transaction_max_timeout.as_millis();
        if !u128::try_from(timeout_ms).is_ok_and(|wanted| (1..=limit).contains(&wanted)) {
            return Ok(Err(Denial::Timeout));
        }
        // Taken beforehand, because ids are reserved by the writer, which is busy with us later.
        let fresh = self.producer_id().await?;
        let (owned, max_ids) = (name.to_owned(), self.config.max_transactional_ids);
        self.step(move |step| identity::begin(step, &owned, timeout_ms, had, fresh, max_ids))
            .await
            .doing(|| format!("begin with transactional id {name}"))
    }

    /// Opens the producer's transaction if it is not open.
    pub async fn open_transaction(
        &self,
        name: &str,
        who: Incarnation,
    ) -> Result<std::result::Result<(), Denial>> {
        let owned = name.to_owned();
        let open = move |step: &mut Step<'_>| {
            Ok(match identity::check(step.tx, &owned, who)? {
                Ok(identity) => Ok(identity::open(step.tx, &identity, step.now_ms)?),
                Err(denial) => Err(denial),
            })
        };
        self.step(open).await.doing(|| format!("open the transaction of {name}"))
    }

    /// Writes something that is part of the producer's open transaction; [`Ended`] hears of its end.
    pub async fn within_transaction<T: Send + 'static>(
        &self,
        name: &str,
        who: Incarnation,
        work: impl FnOnce(&Transaction<'_>) -> Result<T> + Send + 'static,
    ) -> Result<std::result::Result<T, Denial>> {
        let owned = name.to_owned();
        let write = move |step: &mut Step<'_>| {
            Ok(match identity::check(step.tx, &owned, who)? {
                Ok(identity) if identity.state == identity::State::Open => Ok(work(step.tx)?),
                Ok(_) => Err(Denial::State),
                Err(denial) => Err(denial),
            })
        };
        self.step(write).await.doing(|| format!("write into the transaction of {name}"))
    }

    /// Commits or aborts. Asked again, as after a lost answer, it answers as the first time.
    pub async fn end_transaction(
        &self,
        name: &str,
        who: Incarnation,
        commit: bool,
    ) -> Result<std::result::Result<(), Denial>> {
        let owned = name.to_owned();
        let ask = move |step: &mut Step<'_>| {
            Ok(match identity::check(step.tx, &owned, who)? {
                Ok(identity) => end::asked(step, &identity, commit)?,
                Err(denial) => Err(denial),
            })
        };
        self.step(ask).await.doing(|| format!("end the transaction of {name}"))
    }

    /// Aborts what was open for too long, and forgets names that were not used for long. The number
    /// of those aborted.
    pub async fn expire_transactions(&self) -> Result<u64> {
        let retention = self.config.transactional_id_retention;
        let retention_ms = i64::try_from(retention.as_millis()).unwrap_or(i64::MAX);
        let now_ms = lock(&self.tail).now_ms();
        let look = move |reader: &rusqlite::Connection| identity::any_due(reader, now_ms, retention_ms);
        if !self.readers.run(look).await? {
            return Ok(0);
        }
        self.step(move |step| end::expire(step, retention_ms)).await.doing(|| "abort expired transactions")
    }

    /// Runs `work` in the writer's group.
    async fn step<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Step<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        let (tail, catalogue) = (Arc::clone(&self.tail), Arc::clone(&self.catalogue));
        let ended = Arc::clone(&self.ended);
        let job = StepJob { work: Some(work), value: None, tail, catalogue, ended, reply };
        self.db.submit(Box::new(job)).await?;
        let stopped = || Err(Error::new(Kind::Bug, "the database's writer has stopped"));
        answer.await.unwrap_or_else(|_| stopped())
    }
}

/// A step as a job. It changes the tail, which follows whole groups, so it fails with its group.
struct StepJob<F, T> {
    work: Option<F>,
    value: Option<T>,
    tail: SharedTail,
    catalogue: Arc<Catalogue>,
    ended: Arc<std::sync::OnceLock<Box<Ended>>>,
    reply: oneshot::Sender<Result<T>>,
}

impl<F, T> Job for StepJob<F, T>
where
    T: Send,
    F: FnOnce(&mut Step<'_>) -> Result<T> + Send,
{
    fn run(&mut self, transaction: &Transaction<'_>) -> Result<()> {
        let Some(work) = self.work.take() else { return Ok(()) };
        let tail = &mut *lock(&self.tail);
        let now_ms = tail.now_ms();
        let ended = self.ended.get().map(AsRef::as_ref);
        let mut step = Step { tx: transaction, tail, catalogue: &self.catalogue, ended, now_ms };
        self.value = Some(work(&mut step)?);
        Ok(())
    }

    fn done(self: Box<Self>, outcome: Result<()>) {
        let StepJob { value, reply, .. } = *self;
        let gone = || Error::new(Kind::Bug, "a step of a transaction did not run");
        // Whoever asked may be gone; what was done is done.
        let _ = reply.send(outcome.and_then(|()| value.ok_or_else(gone)));
    }

    fn isolated(&self) -> bool {
        false
    }
}
