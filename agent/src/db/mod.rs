//! The one SQLite file: connections, migrations, and a single writer with group commit.
//!
//! ```text
//! write(work) ──┐                         ┌─ reply to each, after the commit
//! submit(job) ──┼─> queue ─> writer thread ┤  BEGIN; everything that waits; COMMIT (synced)
//! write_async ──┘  bounded                └─ followers: memory that goes with the commit
//! ```
//! There is no fixed wait: while one commit is synced, the next group gathers by itself.
//! Each table has one owner room which alone writes it; the SQL stands in that room.

mod aside;
pub mod backup;
mod check;
mod copy;
mod mark;
mod migrate;
mod open;
mod readers;
mod space;
#[cfg(test)]
mod tests;
mod wal;
mod writer;

pub use copy::{Copied, copy_table, open_damaged};
pub use mark::Ended;
#[cfg(test)]
pub use migrate::migrate;
pub use readers::Readers;
pub use space::Space;
pub use writer::{Follower, Job};

use crate::config::db::{DbConfig, OnDamage};
use rusqlite::{Connection, ErrorCode, OptionalExtension, Params, Row, Transaction};
use shared::{Error, Kind, Result};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;
use writer::{Closure, Command, Handle};

/// Statements that are kept ready on a scratch file.
const SCRATCH_STATEMENTS: usize = 64;

/// The file; cheap to clone. The last clone to go waits for the writer to finish and brings the
/// write-ahead log into the file.
#[derive(Clone)]
pub struct Db {
    config: Arc<DbConfig>,
    writer: Arc<Handle>,
    space: Arc<Space>,
    mark: Arc<Mutex<mark::Mark>>,
    ended: Ended,
    aside: Option<PathBuf>,
}

impl Db {
    /// Opens the file, brings its layout up to date, and starts the writer.
    ///
    /// # Errors
    /// `Config` (not ours, in use, newer layout), `Lost` (damaged or removed), `Full`.
    pub fn open(config: &DbConfig) -> Result<Db> {
        let open::Opened { connection, mark, ended, aside } = open::writer(config)?;
        let config = Arc::new(config.clone());
        let space = Arc::new(Space::new(&config));
        let mark = Arc::new(Mutex::new(mark));
        let writer = writer::start(connection, Arc::clone(&mark), &config, Arc::clone(&space))?;
        Ok(Db { config, writer: Arc::new(writer), space, mark, ended, aside })
    }

    /// How the last agent left the file.
    pub fn ended(&self) -> Ended {
        self.ended
    }

    /// What is sound is in this file: it is whole from now on.
    pub fn recovered(&self) -> Result<()> {
        self.mark.lock().unwrap_or_else(PoisonError::into_inner).running()
    }

    /// Where the damaged file was moved, if this one has still to be filled from it.
    pub fn aside(&self) -> Option<&Path> {
        self.aside.as_deref()
    }

    /// What the operator wants done about damage.
    pub fn on_damage(&self) -> OnDamage {
        self.config.on_damage
    }

    pub fn config(&self) -> &DbConfig {
        &self.config
    }

    /// Sizes of the file, as of a moment ago.
    pub fn space(&self) -> &Arc<Space> {
        &self.space
    }

    /// Gives at most `bytes` of free room at the file's end back to the disk. Blocks.
    pub fn shrink(&self, bytes: u64) -> Result<()> {
        let pages = bytes / self.space.page_bytes().max(1);
        self.write(move |transaction| {
            // A row for each page: a statement that is stepped once gives back one.
            let text = format!("PRAGMA incremental_vacuum({})", pages.max(1));
            let mut give = transaction.prepare_cached(&text).or_db("give room back to the disk")?;
            let mut rows = give.query([]).or_db("give room back to the disk")?;
            while rows.next().or_db("give room back to the disk")?.is_some() {}
            Ok(())
        })
    }

    /// Runs `work` in the writer's current group, inside its own savepoint, and returns after the
    /// commit that holds it is durable. If `work` fails, only its own changes are undone.
    ///
    /// Blocks; in async code use [`Db::write_async`].
    ///
    /// # Errors
    /// Those of `work`; `Full` if the disk is full; in both cases nothing of it is stored.
    pub fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (job, answer) = closure(work);
        self.writer.send(Command::Run(job))?;
        answer.blocking_recv().unwrap_or_else(|_| Err(writer::gone()))
    }

    /// [`Db::write`] for async code.
    pub async fn write_async<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (job, answer) = closure(work);
        self.submit(job).await?;
        answer.await.unwrap_or_else(|_| Err(writer::gone()))
    }

    /// Queues a job; returns once it is queued, not once it ran.
    pub async fn submit(&self, job: Box<dyn Job>) -> Result<()> {
        self.writer.send_async(Command::Run(job)).await
    }

    /// Lets `follower` take part in every group from now on.
    pub fn follow(&self, follower: Box<dyn Follower>) -> Result<()> {
        self.writer.send(Command::Follow(follower))
    }

    /// A connection of its own for reading; it sees commits only.
    pub fn reader(&self) -> Result<Connection> {
        open::reader(&self.config)
    }

    /// At most `limit` connections for reading, opened when needed and kept.
    pub fn readers(&self, limit: usize) -> Readers {
        Readers::new(Arc::clone(&self.config), limit)
    }

    /// The folder that the file is in.
    pub fn folder(&self) -> PathBuf {
        let folder = self.config.path.parent().filter(|p| !p.as_os_str().is_empty());
        folder.unwrap_or(Path::new(".")).to_owned()
    }
}

/// A file that no agent has open; none can open it while this is held.
pub struct AtRest {
    config: DbConfig,
    pub ended: Ended,
    _mark: mark::Mark,
}

/// Keeps agents out of the file; `None` if one has it open.
pub fn at_rest(config: &DbConfig) -> Result<Option<AtRest>> {
    match mark::Mark::take(&open::beside(&config.path, ".lock"), open::length(&config.path)?) {
        Ok(mark) => Ok(Some(AtRest { config: config.clone(), ended: mark.ended(), _mark: mark })),
        Err(error) if error.kind() == Kind::Config && open::length(&config.path)? > 0 => Ok(None),
        Err(error) => Err(error),
    }
}

impl AtRest {
    /// For reading. After a stop that was not clean nobody may read before an agent has examined the
    /// write-ahead log: reading would wipe out traces of damage.
    pub fn reader(&self) -> Result<Connection> {
        if matches!(self.ended, Ended::Abruptly { .. }) {
            return Err(Error::new(Kind::Unreachable, "the agent did not stop cleanly")
                .remedy("start the agent, which examines the file; then try again"));
        }
        open::reader(&self.config)
    }

    /// Size of the database file.
    pub fn bytes(&self) -> Result<u64> {
        open::length(&self.config.path)
    }
}

/// A connection for reading, beside a running agent or while none runs. Reads must be short: while one
/// lasts, a running agent cannot reset its write-ahead log.
///
/// # Errors
/// `Unreachable` if the last agent did not stop cleanly; `Config` if there is no file.
pub fn beside(config: &DbConfig) -> Result<Connection> {
    match at_rest(config)? {
        Some(file) if file.bytes()? == 0 => {
            Err(Error::new(Kind::Config, format!("there is no file {}", config.path.display()))
                .remedy("db.path must be the file of the agent"))
        }
        Some(file) => file.reader(),
        None => open::reader(config),
    }
}

/// A file with our tables for work that is thrown away: nothing in it is durable, its pages in memory
/// are bounded by `cache_bytes`.
pub fn scratch(path: &Path, cache_bytes: u64) -> Result<Connection> {
    let mut connection = Connection::open(path).or_db("make a scratch file")?;
    for (name, value) in [("journal_mode", "OFF"), ("synchronous", "OFF"), ("locking_mode", "EXCLUSIVE")] {
        connection.pragma_update(None, name, value).or_db("set up a scratch file")?;
    }
    let kibibytes = i64::try_from(cache_bytes / 1024).unwrap_or(i64::MAX);
    connection.pragma_update(None, "cache_size", -kibibytes).or_db("set up a scratch file")?;
    connection.set_prepared_statement_cache_capacity(SCRATCH_STATEMENTS);
    migrate::lay(&mut connection)?;
    Ok(connection)
}

/// Moves the file aside while no agent runs; gives back its new name.
///
/// # Errors
/// `Config` if an agent has it open.
pub fn set_aside(config: &DbConfig) -> Result<PathBuf> {
    let mut mark = mark::Mark::take(&open::beside(&config.path, ".lock"), open::length(&config.path)?)?;
    let moved = aside::move_away(&config.path)?;
    mark.recover(&moved)?;
    Ok(moved)
}

fn closure<T: Send + 'static>(
    work: impl FnOnce(&Transaction<'_>) -> Result<T> + Send + 'static,
) -> (Box<dyn Job>, oneshot::Receiver<Result<T>>) {
    let (reply, answer) = oneshot::channel();
    (Box::new(Closure::new(work, reply)), answer)
}

/// Runs a statement that is kept prepared; gives how many rows it changed.
pub fn execute(
    connection: &Connection,
    doing: &'static str,
    sql: &str,
    params: impl Params,
) -> Result<usize> {
    connection.prepare_cached(sql).and_then(|mut s| s.execute(params)).or_db(doing)
}

/// What `read` makes of the first row of a statement that is kept prepared, if there is one.
pub fn one<T>(
    connection: &Connection,
    doing: &'static str,
    sql: &str,
    params: impl Params,
    read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Option<T>> {
    connection.prepare_cached(sql).and_then(|mut s| s.query_row(params, read).optional()).or_db(doing)
}

/// What `read` makes of each row of a statement that is kept prepared.
pub fn all<T>(
    connection: &Connection,
    doing: &'static str,
    sql: &str,
    params: impl Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>> {
    let mut statement = connection.prepare_cached(sql).or_db(doing)?;
    let rows = statement.query_map(params, read).or_db(doing)?;
    rows.collect::<rusqlite::Result<_>>().or_db(doing)
}

/// Gives SQLite's errors their kind.
pub trait OrDb<T> {
    /// `phrase` says what was being done, as for [`shared::error::Context::doing`].
    fn or_db(self, phrase: &'static str) -> Result<T>;
}

impl<T> OrDb<T> for rusqlite::Result<T> {
    fn or_db(self, phrase: &'static str) -> Result<T> {
        self.map_err(|error| Error::from_source(kind(&error), error).doing(phrase))
    }
}

fn kind(error: &rusqlite::Error) -> Kind {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Kind::Full,
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Kind::Lost,
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => Kind::Config,
        Some(ErrorCode::SystemIoFailure | ErrorCode::DatabaseBusy | ErrorCode::OutOfMemory) => {
            Kind::Unreachable
        }
        _ => Kind::Bug,
    }
}
