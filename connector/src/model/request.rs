//! What somebody outside asks of a running connector.

use super::position::Lsn;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Who asked, for notifications.
    pub id: String,
    pub action: Action,
    /// Where in the log it was asked, if it was asked there.
    pub at: Option<At>,
}

/// The place of a row in the signal table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    pub lsn: Lsn,
    pub last_commit_lsn: Option<Lsn>,
    pub transaction_id: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Read these tables again, beside the stream.
    Incremental(Tables),
    /// Read these tables again, while the stream waits.
    Blocking(Tables),
    /// Incremental snapshots: end of these tables, or of all if there is none.
    Stop(Vec<String>),
    Pause,
    Resume,
    /// Write a line to the log.
    Log(String),
}

/// Tables to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    /// Regular expressions on `schema.table`.
    pub patterns: Vec<String>,
    /// Pattern of tables → the condition on their rows (incremental), the SELECT that gives them (blocking).
    pub filters: Vec<(String, String)>,
    /// The column to read by instead of the key.
    pub surrogate_key: Option<String>,
}
