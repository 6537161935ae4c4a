//! What happened to one row, borrowed from the buffer it was read into.

use super::position::{Lsn, Position};
use super::table::Table;
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
            Marker::Streamed => "false",
        }
    }
}

/// What a source hands to the pipeline, one after the other.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    Change(Change<'a>),
    /// Everything handed over before this is one finished unit (a transaction, a snapshot):
    /// once it is durable, `Position` may be stored and confirmed.
    Boundary(Position),
}
