//! What could not be converted, with all that is needed to find it and to repair it.

use super::change::Origin;
use super::record::Record;
use super::table::{Table, TableId};
use shared::Error;
use std::sync::Arc;

/// A cell as the database sent it, under its column's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawCell<'a> {
    pub column: &'a str,
    pub content: RawContent<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RawContent<'a> {
    Null,
    /// The database did not send it.
    Unavailable,
    Text(&'a [u8]),
}

/// A row that the source could not read.
#[derive(Clone, Copy, Debug)]
pub struct RawRow<'a> {
    /// Debezium's letter of the operation.
    pub op: &'static str,
    pub table: &'a Arc<Table>,
    pub before: Option<&'a [RawCell<'a>]>,
    pub after: Option<&'a [RawCell<'a>]>,
    pub origin: Origin<'a>,
    pub error: &'a Error,
}

/// Something that could not be converted, and why.
#[derive(Clone, Copy, Debug)]
pub struct Refusal<'a> {
    pub error: &'a Error,
    /// `None` where it is about no table: messages, heartbeats, a transaction's beginning and end.
    pub table: Option<&'a TableId>,
    pub op: Option<&'static str>,
    pub origin: Option<Origin<'a>>,
    pub content: Content<'a>,
}

#[derive(Clone, Copy, Debug)]
pub enum Content<'a> {
    Row { before: Option<&'a [RawCell<'a>]>, after: Option<&'a [RawCell<'a>]> },
    Record(&'a Record<'a>),
}

impl<'a> From<&RawRow<'a>> for Refusal<'a> {
    fn from(row: &RawRow<'a>) -> Self {
        let &RawRow { op, table, before, after, origin, error } = row;
        let content = Content::Row { before, after };
        Refusal { error, table: Some(&table.id), op: Some(op), origin: Some(origin), content }
    }
}
