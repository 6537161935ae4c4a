//! The one SQLite file: connections, migrations, and a single writer with group commit.
//!
//! ```text
//! write(work) ──┐                         ┌─ reply to each, after the commit
//! submit(job) ──┼─> queue ─> writer thread ┤  BEGIN; everything that waits; COMMIT (synced)
//! write_async ──┘  bounded                └─ followers: memory that goes with the commit
//! ```
//! There is no fixed wait: while one commit is synced, the next group gathers by itself.
//! Each table has one owner room which alone writes it; the SQL stands in that room.

mod migrate;
mod open;
mod readers;
#[cfg(test)]
mod tests;
mod writer;

pub use readers::Readers;
pub use writer::{Follower, Job};

use crate::config::db::DbConfig;
use rusqlite::{Connection, ErrorCode, Transaction};
use shared::{Error, Kind, Result};
use std::sync::Arc;
use tokio::sync::oneshot;
use writer::{Closure, Command, Handle};

/// The file; cheap to clone. The last clone to go waits for the writer to finish and brings the
/// write-ahead log into the file.
#[derive(Clone)]
pub struct Db {
    config: Arc<DbConfig>,
    writer: Arc<Handle>,
}

impl Db {
    /// Opens the file, brings its layout up to date, and starts the writer.
    ///
    /// # Errors
    /// `Config` (not ours, in use, newer layout), `Lost` (damaged or removed), `Full`.
    pub fn open(config: &DbConfig) -> Result<Db> {
        let (connection, lock) = open::writer(config)?;
        let delay = std::time::Duration::from_millis(config.max_commit_delay_ms);
        Ok(Db { config: Arc::new(config.clone()), writer: Arc::new(writer::start(connection, lock, delay)?) })
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
    pub fn folder(&self) -> std::path::PathBuf {
        let folder = self.config.path.parent().filter(|p| !p.as_os_str().is_empty());
        folder.unwrap_or(std::path::Path::new(".")).to_owned()
    }
}

fn closure<T: Send + 'static>(
    work: impl FnOnce(&Transaction<'_>) -> Result<T> + Send + 'static,
) -> (Box<dyn Job>, oneshot::Receiver<Result<T>>) {
    let (reply, answer) = oneshot::channel();
    (Box::new(Closure::new(work, reply)), answer)
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
