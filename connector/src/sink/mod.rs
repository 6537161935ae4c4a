//! Bytes → outside. One sink stands: Kafka, or whatever speaks its protocol.

mod bulk;
mod check;
mod gears;
mod kafka;
mod report;
mod topics;
mod transaction;

pub use bulk::{Bulk, access};
pub use check::check;
pub use kafka::Kafka;

use crate::model::encoded::Encoded;
use shared::Result;
use std::time::Duration;

/// Told a unit, and how many of its records are newly durable.
pub type Acked<'t> = &'t mut dyn FnMut(u64, u64);

/// Where records go: in order, and each is told once it is durable.
///
/// With transactions (`sink.delivery = "exactly_once"`) what is offered is seen by nobody until
/// [`Sink::commit`] shows all of it at once.
pub trait Sink {
    /// Makes ready to send, at the start and after a failure: what can never become durable is forgotten.
    /// With transactions, an earlier process of the same connector is at its end then, and what it or we left
    /// open is taken back.
    ///
    /// # Errors
    /// `Unreachable`: try again. `Denied`, `Config`, and `Rejected` if another process took over, are final.
    fn start(&mut self) -> Result<()>;

    /// A record to this topic comes once its schemas are registered: one that is new may be made meanwhile.
    fn expect(&mut self, _topic: &str) {}

    /// Queues a message that belongs to `unit`; units only grow. `false` if the queue is full: poll,
    /// then offer it again.
    ///
    /// # Errors
    /// What no retry can help: see [`Sink::poll`].
    fn offer(&mut self, message: &Encoded<'_>, unit: u64) -> Result<bool>;

    /// Serves delivery reports for up to `wait`, but not after the first ones have come.
    ///
    /// # Errors
    /// A delivery that failed for good, with its topic and the outside's words: `Rejected` (no such
    /// topic), `Data` (too large), `Denied`, `Unreachable` (start again).
    fn poll(&mut self, wait: Duration, acked: Acked<'_>) -> Result<()>;

    /// Waits until everything queued is durable.
    ///
    /// # Errors
    /// As [`Sink::poll`]; `Unreachable` when the limit has passed.
    fn flush(&mut self, limit: Duration, acked: Acked<'_>) -> Result<()>;

    /// Records queued and not yet acknowledged.
    fn outstanding(&self) -> usize;

    /// Whether the outside can be reached, as far as is known. Records wait while it cannot.
    ///
    /// # Errors
    /// `Unreachable`.
    fn health(&mut self) -> Result<()>;

    /// Shows what was offered since the last time, all of which must be acknowledged.
    ///
    /// # Errors
    /// `Unreachable`: whether it took place is not known; [`Sink::start`], then read what is stored. Final ones
    /// as there.
    fn commit(&mut self, limit: Duration) -> Result<()>;

    /// Takes back what was offered since the last commit.
    ///
    /// # Errors
    /// As [`Sink::commit`].
    fn abort(&mut self, limit: Duration) -> Result<()>;
}
