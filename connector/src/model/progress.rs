//! What an unfinished snapshot has read: stored with the position, so that a restart goes on.

use super::position::Lsn;
use super::table::TableId;
use std::collections::BTreeMap;

/// Which tables, and which of their pages, are read, and since when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotProgress {
    /// The point in time that was read at first. A crash ends the server's snapshot, and what is left is read
    /// at a later one; but rows may have gone out of which nothing is stored, so the stream passes over no
    /// more than what this one has seen.
    pub view: Option<View>,
    /// Tables that were begun.
    pub tables: BTreeMap<TableId, TableProgress>,
    /// Asked for while streaming: these tables, each with the SELECT that gives its rows, if it has one.
    pub request: Option<Vec<(TableId, Option<String>)>>,
}

/// A point in time that rows were read at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// `xmin:xmax:xip,…`: which transactions it has seen.
    pub seen: String,
    /// End of the log beyond which it has seen none.
    pub end: Lsn,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableProgress {
    /// Number of the table's file. Another one now means that its pages are others.
    pub file: u32,
    pub pages: Pages,
}

/// Which of a table's pages are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pages {
    All,
    /// From, to (exclusive); ascending, apart from each other.
    Some(Vec<(u32, u32)>),
}

impl Default for Pages {
    fn default() -> Self {
        Pages::Some(Vec::new())
    }
}

impl SnapshotProgress {
    pub fn finished(&self, table: &TableId) -> bool {
        self.tables.get(table).is_some_and(|table| table.pages == Pages::All)
    }
}
