//! Databases → [`Change`](crate::model::change::Change)s in commit order, and back the position that is durable.
//!
//! One source runs on one OS thread that the pipeline owns. It reads, decodes in place and hands
//! each row over as borrowed values; no channel and no allocation stand between the socket and the
//! encoder.

pub mod postgres;

use crate::model::change::Event;
use crate::model::position::{Lsn, Position};
use crate::model::request::Request;
use shared::Result;
use std::time::Duration;

/// Takes what was read.
pub type Take<'t> = &'t mut dyn FnMut(Event<'_>) -> Result<()>;

/// Opens a source and positions it behind what is durable: at the start, and after every lost connection.
///
/// # Errors
/// `Unreachable` may be tried again; `Lost` when the position cannot be resumed.
pub type Open<'c> = Box<dyn FnMut(Option<&Position>) -> Result<Box<dyn Source + 'c>> + 'c>;

/// A database that was opened and positioned.
pub trait Source {
    /// What has to be stored before anything that is read goes out: after a crash it says since when that
    /// was read. `None` if what it was opened with is enough.
    fn beginning(&self) -> Option<Position>;

    /// Waits at most `wait` for something to read and hands every complete message to `take`, in
    /// order. True if anything was handed over.
    ///
    /// # Errors
    /// `Unreachable` when the connection broke: open another one. `Data` names the table, the
    /// column and the place of what cannot be read.
    fn poll(&mut self, wait: Duration, take: Take<'_>) -> Result<bool>;

    /// Everything at or below `position` is durable: the database may forget it.
    fn confirm(&mut self, position: &Position) -> Result<()>;

    /// Whether the snapshot is done and the database streams.
    fn streaming(&self) -> bool;

    fn progress(&self) -> Progress;

    /// Takes a request; it is followed as soon as no transaction is being read and no snapshot runs.
    ///
    /// # Errors
    /// `Full` when too many wait.
    fn request(&mut self, request: Request) -> Result<()>;

    /// Runs the query that goes with a heartbeat, if there is one. A failure is told and passed over:
    /// the next heartbeat tries again.
    fn run_heartbeat_query(&mut self);

    /// Ends the stream in good order.
    fn stop(&mut self) -> Result<()>;

    /// Lets go of the database at once: whoever opens another source must not find its place taken.
    fn close(&mut self);
}

/// Where the source stands, for status and metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// LSN of the last message read.
    pub received: Lsn,
    /// End of the server's log as it last told us.
    pub server_end: Lsn,
    /// What the server was told, or will be with the next status, is durable.
    pub confirmed: Lsn,
    /// Commit time of the last transaction read, microseconds since 1970; 0 before the first.
    pub commit_time_us: i64,
    /// While a snapshot is being read.
    pub snapshot: Option<SnapshotProgress>,
}

/// How far a snapshot is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SnapshotProgress {
    pub tables: usize,
    pub tables_done: usize,
    pub rows: u64,
    /// Thousandths of the work that are done, each table counted alike.
    pub permille: u32,
}
