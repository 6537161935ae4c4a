//! The writer thread: takes whatever waits, runs it in one transaction, commits, then answers.
//!
//! A group fails as a whole when the disk does. Memory that mirrors what is stored (offsets,
//! producers) belongs to a [`Follower`], which learns of every commit and every rollback before
//! anybody is answered.

use super::OrDb;
use super::mark::Mark;
use super::open;
use super::space::Space;
use crate::config::db::DbConfig;
use crate::metrics;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use shared::error::OrKind;
use shared::{Error, Kind, Result};
use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// Jobs that may wait; who comes later waits to be queued.
const QUEUE_JOBS: usize = 1_024;

/// A group is committed when it has grown to this, whatever still waits.
const GROUP_BYTES: usize = 4 * 1024 * 1024;

/// The log is emptied by force when it has grown to so many times the size of a checkpoint.
const LOG_LIMIT_CHECKPOINTS: u64 = 4;
/// A log that is shorter is not worth holding writers up for.
const LOG_LIMIT_LEAST: u64 = 1024 * 1024;

/// A read that lasts, as a backup does, must not make every group wait for it.
const LOG_PAUSE: Duration = Duration::from_secs(5);

/// How long an ordinary read may hold that up.
const LOG_WAIT: Duration = Duration::from_millis(200);

/// Something to be done in the writer's transaction.
pub trait Job: Send {
    /// Makes the changes. An error undoes the job alone if it is [`Job::isolated`], else the group.
    fn run(&mut self, transaction: &Transaction<'_>) -> Result<()>;

    /// Called once, after the commit is durable or after the changes were undone.
    fn done(self: Box<Self>, outcome: Result<()>);

    /// Whether the job gets its own savepoint.
    fn isolated(&self) -> bool {
        true
    }

    /// How many bytes it adds, roughly.
    fn weight_bytes(&self) -> usize {
        0
    }
}

/// Memory that goes with what is committed.
pub trait Follower: Send {
    /// The last words of a group, in its transaction.
    fn before_commit(&mut self, transaction: &Transaction<'_>) -> Result<()>;
    fn committed(&mut self);
    fn rolled_back(&mut self, why: &Error);
}

pub(super) enum Command {
    Run(Box<dyn Job>),
    Follow(Box<dyn Follower>),
}

/// A closure as a job; its value waits for the commit.
pub(super) struct Closure<F, T> {
    work: Option<F>,
    value: Option<T>,
    reply: oneshot::Sender<Result<T>>,
}

impl<F, T> Closure<F, T> {
    pub fn new(work: F, reply: oneshot::Sender<Result<T>>) -> Self {
        Closure { work: Some(work), value: None, reply }
    }
}

impl<F, T> Job for Closure<F, T>
where
    T: Send,
    F: FnOnce(&Transaction<'_>) -> Result<T> + Send,
{
    fn run(&mut self, transaction: &Transaction<'_>) -> Result<()> {
        if let Some(work) = self.work.take() {
            self.value = Some(work(transaction)?);
        }
        Ok(())
    }

    fn done(self: Box<Self>, outcome: Result<()>) {
        let Closure { value, reply, .. } = *self;
        // Whoever asked may have stopped waiting.
        let _ = reply.send(outcome.and_then(|()| value.ok_or_else(gone)));
    }
}

pub(super) fn gone() -> Error {
    Error::new(Kind::Bug, "the database's writer has stopped").remedy("see the log for why, and restart")
}

/// The sending side of the queue, and the thread to wait for.
pub(super) struct Handle {
    queue: Option<mpsc::Sender<Command>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Handle {
    pub fn send(&self, command: Command) -> Result<()> {
        self.queue.as_ref().and_then(|queue| queue.blocking_send(command).ok()).ok_or_else(gone)
    }

    pub async fn send_async(&self, command: Command) -> Result<()> {
        match &self.queue {
            Some(queue) => queue.send(command).await.map_err(|_| gone()),
            None => Err(gone()),
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.queue = None;
        let thread = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.thread().id() != std::thread::current().id()
        {
            // A panic has said so itself.
            let _ = thread.join();
        }
    }
}

pub(super) fn start(
    connection: Connection,
    mark: Arc<Mutex<Mark>>,
    config: &DbConfig,
    space: Arc<Space>,
) -> Result<Handle> {
    let (queue, waiting) = mpsc::channel(QUEUE_JOBS);
    let delay = Duration::from_millis(config.max_commit_delay_ms);
    let log_limit_bytes = config.checkpoint_bytes.saturating_mul(LOG_LIMIT_CHECKPOINTS).max(LOG_LIMIT_LEAST);
    space.look(&connection);
    let held = VecDeque::new();
    let followers = Vec::new();
    let bounded = None;
    let writer = Writer { connection, waiting, held, followers, delay, space, log_limit_bytes, bounded };
    let path = config.path.clone();
    let thread = std::thread::Builder::new()
        .name("db-writer".to_owned())
        .spawn(move || end(writer.run(), &mark, &path))
        .or_kind(Kind::Bug)?;
    Ok(Handle { queue: Some(queue), thread: Mutex::new(Some(thread)) })
}

/// Closes the file; if it is whole, says so to the next start.
fn end(connection: Option<Connection>, mark: &Mutex<Mark>, path: &Path) {
    let mut mark = mark.lock().unwrap_or_else(PoisonError::into_inner);
    let closed = connection.is_some_and(|connection| connection.close().is_ok());
    let mut note = || open::length(path).and_then(|length| mark.stopped(length).or_kind(Kind::Full));
    if closed && let Err(error) = note() {
        tracing::warn!(event = "db_mark_failed", %error, "could not note the clean stop; the next start checks");
    }
}

struct Writer {
    connection: Connection,
    waiting: mpsc::Receiver<Command>,
    /// Taken from the queue, not yet in a group.
    held: VecDeque<Command>,
    followers: Vec<Box<dyn Follower>>,
    delay: Duration,
    space: Arc<Space>,
    log_limit_bytes: u64,
    /// When the log could last not be emptied.
    bounded: Option<Instant>,
}

impl Writer {
    /// Works until nobody is left; gives the connection back if everything is in one file.
    fn run(mut self) -> Option<Connection> {
        while let Some(group) = self.next_group() {
            if !group.is_empty() {
                self.commit(group);
            }
        }
        // A clean stop leaves one file. Failing costs nothing: the next start replays the log.
        match checkpoint(&self.connection) {
            Ok(true) => Some(self.connection),
            Ok(false) => None,
            Err(error) => {
                tracing::warn!(event = "db_checkpoint_failed", %error, "could not shorten the write-ahead log");
                None
            }
        }
    }

    /// Looks at sizes; a log that readers kept from being begun anew is emptied between two groups.
    fn bound_log(&mut self) {
        let due = self.space.look_now_and_then(&self.connection)
            && self.space.log_bytes() >= self.log_limit_bytes
            && self.bounded.is_none_or(|at| at.elapsed() >= LOG_PAUSE);
        if !due {
            return;
        }
        // New readers read the file alone from here on; those that are reading are waited for, shortly.
        let brief = self.connection.busy_timeout(LOG_WAIT);
        let emptied = brief.and_then(|()| checkpoint(&self.connection)).unwrap_or(false);
        // A read that lasts is not waited for again at once.
        self.bounded = (!emptied).then(Instant::now);
        let _ = self.connection.busy_timeout(open::BUSY_TIMEOUT);
        self.space.look(&self.connection);
    }

    /// Everything that waits, up to [`GROUP_BYTES`]; `None` when all senders are gone.
    fn next_group(&mut self) -> Option<Vec<Box<dyn Job>>> {
        if self.held.is_empty() {
            self.held.push_back(self.waiting.blocking_recv()?);
            if !self.delay.is_zero() {
                std::thread::sleep(self.delay);
            }
        }
        let mut group = Vec::new();
        let mut bytes = 0;
        while bytes < GROUP_BYTES {
            match self.held.pop_front().or_else(|| self.waiting.try_recv().ok()) {
                Some(Command::Run(job)) => {
                    bytes += job.weight_bytes();
                    group.push(job);
                }
                Some(Command::Follow(follower)) if group.is_empty() => self.followers.push(follower),
                // A follower takes part in whole groups only.
                Some(follow @ Command::Follow(_)) => {
                    self.held.push_front(follow);
                    break;
                }
                None => break,
            }
        }
        Some(group)
    }

    fn commit(&mut self, mut group: Vec<Box<dyn Job>>) {
        let timer = metrics::DB_COMMIT_SECONDS.start_timer();
        let outcome = transact(&mut self.connection, &mut group, &mut self.followers);
        match &outcome {
            Ok(()) => {
                timer.observe_duration();
                self.followers.iter_mut().for_each(|follower| follower.committed());
            }
            Err(error) => {
                timer.stop_and_discard();
                metrics::DB_ROLLBACKS.inc();
                tracing::debug!(event = "db_group_undone", %error, jobs = group.len(), "undid a group");
                self.followers.iter_mut().for_each(|follower| follower.rolled_back(error));
            }
        }
        for job in group {
            job.done(outcome.as_ref().copied().map_err(again));
        }
        self.bound_log();
    }
}

/// Brings the log into the file and empties it; false if readers did not let it.
fn checkpoint(connection: &Connection) -> rusqlite::Result<bool> {
    connection
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0))
        .map(|busy| busy == 0)
}

/// One transaction over the group. Jobs that failed alone are answered and taken out of it.
fn transact(
    connection: &mut Connection,
    group: &mut Vec<Box<dyn Job>>,
    followers: &mut [Box<dyn Follower>],
) -> Result<()> {
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).or_db("begin a transaction")?;
    let mut at = 0;
    while let Some(job) = group.get_mut(at) {
        match run_one(&transaction, job.as_mut())? {
            Ok(()) => at += 1,
            Err(error) => group.remove(at).done(Err(error)),
        }
    }
    for follower in followers {
        follower.before_commit(&transaction)?;
    }
    transaction.commit().or_db("commit")
}

/// Outer error: the group is lost; inner error: the job alone.
fn run_one(transaction: &Transaction<'_>, job: &mut dyn Job) -> Result<Result<()>> {
    if !job.isolated() {
        return job.run(transaction).map(Ok);
    }
    let statement = |text| transaction.prepare_cached(text).and_then(|mut s| s.execute([]));
    statement("SAVEPOINT job").or_db("set a savepoint")?;
    match job.run(transaction) {
        Ok(()) => {
            statement("RELEASE job").or_db("release a savepoint")?;
            Ok(Ok(()))
        }
        // A full or failing disk ends the whole transaction by itself.
        Err(error) if transaction.is_autocommit() => Err(error),
        Err(error) => {
            statement("ROLLBACK TO job").or_db("go back to a savepoint")?;
            statement("RELEASE job").or_db("release a savepoint")?;
            Ok(Err(error))
        }
    }
}

/// The same error for the next of several who must hear it.
fn again(error: &Error) -> Error {
    Error::new(error.kind(), error.to_string()).remedy(error.hint().to_owned())
}
