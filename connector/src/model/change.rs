//! What happened to one row, borrowed from the buffer it was read into.

use super::notice::Notice;
use super::position::{Lsn, Position};
use super::refusal::RawRow;
use super::table::{Table, TableId};
use super::value::Row;
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Read by a snapshot.
    Read,
    Create,
    Update,
    Delete,
}

impl Op {
    /// Debezium's letter.
    pub const fn code(self) -> &'static str {
        match self {
            Op::Read => "r",
            Op::Create => "c",
            Op::Update => "u",
            Op::Delete => "d",
        }
    }
}

/// One changed (or read) row, in commit order, with its table's version attached.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    pub op: Op,
    pub table: &'a Arc<Table>,
    /// The row before: whole with replica identity FULL; with DEFAULT only the key's columns,
    /// and only if the key changed (updates) or the row went away; the others are `Null`.
    pub before: Option<Row<'a>>,
    pub after: Option<Row<'a>>,
    pub origin: Origin<'a>,
}

/// Where a change comes from: what the `source` block of its record says.
#[derive(Clone, Copy, Debug)]
pub enum Origin<'a> {
    Postgres(PostgresOrigin<'a>),
}

#[derive(Clone, Copy, Debug)]
pub struct PostgresOrigin<'a> {
    pub database: &'a str,
    pub transaction_id: Option<u32>,
    /// Start LSN of the message that carried the change, as the server sent it.
    pub lsn: Lsn,
    /// LSN of the last commit before this transaction; `None` if none was seen since the snapshot.
    pub last_commit_lsn: Option<Lsn>,
    /// Commit time, or the snapshot's time: microseconds since 1970.
    pub time_us: i64,
    /// The slot's `xmin`, if it is asked for.
    pub xmin: Option<i64>,
    /// Another server that the change was replicated from, and its position there.
    pub replicated_from: Option<(&'a str, Lsn)>,
    pub snapshot: Marker,
}

/// Debezium's `source.snapshot`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marker {
    First,
    FirstInTable,
    Middle,
    LastInTable,
    Last,
    /// Read while the stream goes on.
    Incremental,
    /// Not from a snapshot.
    Streamed,
}

impl Marker {
    pub const fn text(self) -> &'static str {
        match self {
            Marker::First => "first",
            Marker::FirstInTable => "first_in_data_collection",
            Marker::Middle => "true",
            Marker::LastInTable => "last_in_data_collection",
            Marker::Last => "last",
            Marker::Incremental => "incremental",
            Marker::Streamed => "false",
        }
    }
}

/// A table was emptied at once.
#[derive(Clone, Copy, Debug)]
pub struct Truncate<'a> {
    pub table: &'a Arc<Table>,
    pub origin: Origin<'a>,
}

/// What an application wrote into the log itself (`pg_logical_emit_message`).
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    pub prefix: &'a str,
    pub content: &'a [u8],
    /// Outside a transaction: sent although that may have been rolled back.
    pub transactional: bool,
    pub origin: Origin<'a>,
}

/// A transaction's beginning or end.
#[derive(Clone, Copy, Debug)]
pub struct Transaction {
    pub id: u32,
    /// LSN of the message that told of it.
    pub lsn: Lsn,
    /// Commit time, microseconds since 1970.
    pub time_us: i64,
}

/// What a source hands to the pipeline, one after the other.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    Begin(Transaction),
    Change(Change<'a>),
    Truncate(Truncate<'a>),
    Message(Message<'a>),
    /// A row that cannot be read. Whoever takes it decides whether that stops the connector.
    Refused(RawRow<'a>),
    End(Transaction),
    /// How a snapshot comes on.
    Notice(&'a Notice),
    /// Everything handed over before this is one finished unit (a transaction, a snapshot):
    /// once it is durable, `Position` may be stored and confirmed.
    Boundary(Position),
}

impl<'a> Event<'a> {
    /// Table, Debezium's letter of the operation, and origin, of events that have them.
    pub fn subject(&self) -> (Option<&'a TableId>, Option<&'static str>, Option<Origin<'a>>) {
        match *self {
            Event::Change(Change { op, table, origin, .. }) => {
                (Some(&table.id), Some(op.code()), Some(origin))
            }
            Event::Truncate(Truncate { table, origin }) => (Some(&table.id), Some("t"), Some(origin)),
            Event::Message(Message { origin, .. }) => (None, Some("m"), Some(origin)),
            Event::Refused(RawRow { op, table, origin, .. }) => (Some(&table.id), Some(op), Some(origin)),
            Event::Begin(_) | Event::End(_) | Event::Notice(_) | Event::Boundary(_) => (None, None, None),
        }
    }
}
