//! A record before it is encoded.

use super::change::Op;
use super::table::Table;
use super::value::Row;
use shared::time::Instant;
use std::sync::Arc;

/// What goes to one topic as one message.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// The topic follows from the table; so do the schemas of key and value.
    pub table: &'a Arc<Table>,
    /// The row whose key columns make the key; `None` when the table has no key.
    pub key: Option<Row<'a>>,
    /// `None` is a tombstone.
    pub value: Option<Envelope<'a>>,
    pub link: Link<'a>,
}

/// Debezium's envelope.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    pub before: Option<Row<'a>>,
    pub after: Option<Row<'a>>,
    /// The `source` block: one value per field, in the order of its schema.
    pub source: Row<'a>,
    pub op: Op,
    /// When the connector made the record.
    pub time: Instant,
}

/// A changed key makes two records that point to each other by a header.
#[derive(Clone, Copy, Debug, Default)]
pub enum Link<'a> {
    #[default]
    None,
    /// On the delete (and its tombstone): the row with the new key.
    NewKey(Row<'a>),
    /// On the create: the row with the old key.
    OldKey(Row<'a>),
}
