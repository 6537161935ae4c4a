//! How a snapshot comes on, for whoever wants to be told.

use super::table::TableId;
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    pub of: Reading,
    pub news: News,
    /// The request's id, if somebody asked for it.
    pub id: Option<String>,
}

/// The kind of snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Whole tables before, or instead of, the stream.
    Initial,
    /// In chunks beside it.
    Incremental,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    Started {
        tables: Arc<[TableId]>,
    },
    /// A table, or a chunk of it, is being read.
    Table {
        table: TableId,
        tables: Arc<[TableId]>,
        keys: Option<Keys>,
    },
    Read {
        table: TableId,
        tables: Arc<[TableId]>,
        rows: u64,
        outcome: Outcome,
    },
    Paused {
        tables: Arc<[TableId]>,
    },
    Resumed {
        tables: Arc<[TableId]>,
    },
    Completed,
    Aborted,
    /// Nothing had to be read.
    Skipped,
}

/// The key up to which a table is read, and the one read last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    pub maximum: String,
    pub last: String,
}

/// What became of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Succeeded,
    Empty,
    NoKey,
    Unknown,
    Failed,
}
