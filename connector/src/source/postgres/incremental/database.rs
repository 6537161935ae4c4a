//! What an incremental snapshot asks of the database, and how the server is asked.

use super::statement::{Keyed, Range, mark, unmark};
use crate::config::source::SourceConfig;
use crate::model::position::Lsn;
use crate::model::table::TableId;
use crate::source::postgres::connect;
use crate::source::postgres::failure::ServerError;
use crate::source::postgres::wire::{Wire, protocol};
use shared::error::Context;
use shared::{Error, Kind, Result};

/// The point in time of a chunk that no marks surround, and the end of log as it then was.
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT CASE WHEN pg_is_in_recovery() \
    THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END::text";
/// The log's end may lie unflushed, or at the head of an empty page, so that the stream does not come to it;
/// a numbered transaction that ends behind it moves it on.
const NUDGE: &str = "SELECT CASE WHEN NOT pg_is_in_recovery() THEN txid_current() END";

/// A key's cells as the database prints them; `None` is NULL.
pub type KeyTexts = Vec<Option<String>>;

/// The database beside the stream. A server stands behind it, or a test's memory.
///
/// All of it fails with `Unreachable` when the connection broke: the stream is then opened anew. What is wrong
/// with a statement is `Data`, `Denied` or `Config`: then only the table is given up.
pub trait Database {
    /// Begins a point in time. Everything that it sees was committed before the end of log that this gives.
    fn begin(&mut self) -> Result<Lsn>;

    /// Ends the point in time.
    fn end(&mut self) -> Result<()>;

    /// The largest key; `None` if there is no row.
    fn maximum(&mut self, of: &Keyed<'_>) -> Result<Option<KeyTexts>>;

    /// Hands over the rows of a range, upwards by key, each as a line of `COPY`'s text form.
    fn rows(
        &mut self,
        of: &Keyed<'_>,
        range: &Range<'_>,
        line: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()>;

    /// Writes a row into the table of marks, committed when this returns.
    fn mark(&mut self, table: &TableId, id: &str, kind: &str, data: &str) -> Result<()>;

    /// Takes it out again, committed when this returns.
    fn unmark(&mut self, table: &TableId, id: &str) -> Result<()>;

    /// Moves an idle log on.
    fn nudge(&mut self) -> Result<()>;

    /// Nothing more is asked for now.
    fn close(&mut self);
}

/// A server, connected to when it is first asked.
pub struct Server {
    source: SourceConfig,
    wire: Option<Wire>,
}

impl Server {
    pub fn new(source: &SourceConfig) -> Self {
        Server { source: source.clone(), wire: None }
    }

    fn wire(&mut self) -> Result<&mut Wire> {
        if self.wire.is_none() {
            self.wire = Some(connect::connect(&self.source, connect::Purpose::Sql)?);
        }
        self.wire.as_mut().ok_or_else(|| Error::new(Kind::Bug, "the connection vanished"))
    }

    fn run(&mut self, statement: &str) -> Result<()> {
        self.wire()?.query(statement).map(drop)
    }
}

impl Database for Server {
    fn begin(&mut self) -> Result<Lsn> {
        let rows = self.wire()?.query(BEGIN)?;
        let end = rows.first().and_then(|row| row.first()).and_then(|cell| cell.as_deref()?.parse().ok());
        end.ok_or_else(|| Error::new(Kind::Data, "the end of log is no LSN"))
    }

    fn end(&mut self) -> Result<()> {
        self.run("COMMIT")
    }

    fn maximum(&mut self, of: &Keyed<'_>) -> Result<Option<KeyTexts>> {
        Ok(self.wire()?.query(&of.maximum())?.into_iter().next())
    }

    fn rows(
        &mut self,
        of: &Keyed<'_>,
        range: &Range<'_>,
        line: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let wire = self.wire()?;
        wire.send_query(&of.chunk(range))?;
        let mut failure = None;
        loop {
            let frame = wire.answer()?;
            match frame.tag {
                b'd' => line(frame.body)?,
                b'E' => failure = Some(ServerError::parse(frame.body).map_err(protocol)?.into_error()),
                b'Z' => return failure.map_or(Ok(()), Err),
                _ => {}
            }
        }
    }

    fn mark(&mut self, table: &TableId, id: &str, kind: &str, data: &str) -> Result<()> {
        self.run(&mark(table, id, kind, data)).map_err(|error| match error.kind() {
            Kind::Denied => error.remedy(format!(
                "GRANT INSERT, DELETE ON {table} TO the connector's role; or set signal.read_only = true"
            )),
            _ => error,
        })
    }

    fn unmark(&mut self, table: &TableId, id: &str) -> Result<()> {
        self.run(&unmark(table, id))
    }

    fn nudge(&mut self) -> Result<()> {
        self.run(NUDGE).doing(|| "move the log on")
    }

    fn close(&mut self) {
        self.wire = None;
    }
}
