//! A change of a table's row, as decode hands it to gates and features.

use super::value::Value;

/// What happened to the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Read by a snapshot: counts like an insert.
    Read,
    Create,
    Update,
    Delete,
    /// The whole table was emptied; the row has no key.
    Truncate,
}

/// One change, with the columns that the topic's gates and features asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub op: Op,
    /// The primary key in [`super::pack::sortable`] form; `None` for tables without one.
    pub key: Option<Vec<u8>>,
    /// The asked columns after the change, in the order asked; `None` for deletes and truncates.
    pub after: Option<Vec<Value>>,
    /// When the source committed it, microseconds since 1970.
    pub committed_us: i64,
    /// Place in the agent's log.
    pub offset: i64,
}
