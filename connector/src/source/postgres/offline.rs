//! The slot's stream without a connection: its messages are handed in, and what is asked of the database goes
//! to whatever stands in for it. The simulation runs the stream's reader and the incremental snapshots by it.

pub use super::catalog::{ColumnFacts, Describes, TableFacts};
pub use super::incremental::{Database, KeyTexts, Keyed, Range};

use super::filter::{Names, TableFilter};
use super::incremental::Beside;
use super::reader::{Reader, Start};
use super::relation::Relations;
use crate::config::signal::SignalConfig;
use crate::config::source::SourceConfig;
use crate::model::position::PostgresPosition;
use crate::model::request::Request;
use crate::source::Take;
use shared::Result;
use shared::time::Clock;

/// What stands in for the server.
pub struct Standin<D> {
    pub catalog: Box<dyn Describes>,
    pub database: D,
    /// What chunks tell the time by.
    pub clock: Clock,
}

/// A stream that begins at a position.
pub struct Offline<D> {
    reader: Reader<D>,
    relations: Relations,
    catalog: Box<dyn Describes>,
}

impl<D: Database> Offline<D> {
    /// # Errors
    /// `Config`, for a pattern of names that is none.
    pub fn new(
        source: &SourceConfig,
        signal: &SignalConfig,
        position: PostgresPosition,
        standin: Standin<D>,
    ) -> Result<Self> {
        let Standin { catalog, database, clock } = standin;
        let filter = TableFilter::new(source)?.with_signals(signal.table.as_deref());
        let beside = Beside::new(database, signal, clock, position.incremental.clone());
        let start = Start {
            slot_confirmed: position.lsn,
            position,
            messages: Names::new("message_prefixes", &[], &[])?,
            flushes: true,
            beside: Some(Box::new(beside)),
        };
        let reader = Reader::new(source.database.clone(), start);
        Ok(Offline { reader, relations: Relations::new(filter, source.unknown_types), catalog })
    }

    /// The last boundary, if no transaction is being read.
    pub fn between(&self) -> Option<&PostgresPosition> {
        self.reader.between()
    }

    /// Does what was asked of incremental snapshots; only between two transactions.
    ///
    /// # Errors
    /// `Config`, for a pattern of tables that is none.
    pub fn follow(&mut self, request: &Request) -> Result<()> {
        let captured = self.relations.captured(self.catalog.tables()?);
        let Some(beside) = &mut self.reader.beside else { return Ok(()) };
        beside.follow(&request.id, &request.action, &captured)
    }

    /// What is done before the next messages are read: a chunk may be. `followed`: no signal waits that came
    /// before. Whether the end of an idle log is waited for.
    ///
    /// # Errors
    /// As [`Source::poll`](crate::source::Source::poll).
    pub fn turn(&mut self, followed: bool, take: Take<'_>) -> Result<bool> {
        self.reader.between_messages(followed, &mut self.relations, &mut *self.catalog, take)
    }

    /// One message of the replication protocol, from its letter on (`w`, `k`). True if anything was handed
    /// over.
    ///
    /// # Errors
    /// As [`Source::poll`](crate::source::Source::poll).
    pub fn message(&mut self, body: &[u8], take: Take<'_>) -> Result<bool> {
        self.reader.copy_data(body, &mut self.relations, &mut *self.catalog, take)
    }
}
