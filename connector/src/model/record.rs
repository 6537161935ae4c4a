//! A record before it is encoded.

use super::change::Op;
use super::table::Table;
use super::value::Row;
use shared::time::Instant;
use std::sync::Arc;

/// What goes to one topic as one message.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    pub topic: &'a str,
    /// The schemas of key and value follow from topic and table.
    pub table: &'a Arc<Table>,
    /// The row whose key columns make the key; `None` when the table has no key.
    pub key: Option<Row<'a>>,
    /// `None` is a tombstone.
    pub value: Option<Envelope<'a>>,
    pub link: Option<Link<'a>>,
    /// Headers that are the same on every record of a run.
    pub context: &'a [ContextHeader],
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

/// A changed key makes records that point to each other by a header: the delete (and its
/// tombstone) to the new key, the create to the old one.
#[derive(Clone, Copy, Debug)]
pub struct Link<'a> {
    pub header: &'static str,
    /// The row whose key columns make the header's value.
    pub key: Row<'a>,
}

/// A header's name and text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContextHeader {
    pub name: &'static str,
    pub value: String,
}
