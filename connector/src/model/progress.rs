//! What an unfinished snapshot has read: stored with the position, so that a restart goes on.

use super::position::Lsn;
use super::table::TableId;
use std::collections::BTreeMap;

/// Which tables, and which of their pages, were read at which points in time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotProgress {
    /// One per start: a crash ends the server's snapshot, so what is left is read at a later one.
    pub views: Vec<View>,
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
    /// The oldest view that rows were read at; an index into [`SnapshotProgress::views`].
    pub view: usize,
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
    /// Drops views that no table was read at, so that starts in vain add nothing.
    pub fn keep_used_views(&mut self) {
        let used: Vec<usize> = (0..self.views.len())
            .filter(|view| self.tables.values().any(|table| table.view == *view))
            .collect();
        for table in self.tables.values_mut() {
            table.view = used.binary_search(&table.view).unwrap_or_default();
        }
        let mut at = 0;
        self.views.retain(|_| {
            at += 1;
            used.binary_search(&(at - 1)).is_ok()
        });
    }

    /// What is not listed was read at the last view: for most snapshots that is all.
    pub fn forget_tables_of_last_view(&mut self) {
        let last = self.views.len().saturating_sub(1);
        self.tables.retain(|_, table| table.view != last);
    }

    pub fn finished(&self, table: &TableId) -> bool {
        self.tables.get(table).is_some_and(|table| table.pages == Pages::All)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_without_tables_go() {
        let view = |seen: &str| View { seen: seen.to_owned(), end: Lsn(1) };
        let id = |name: &str| TableId { schema: "s".to_owned(), name: name.to_owned() };
        let table = |view| TableProgress { view, ..TableProgress::default() };
        let mut progress = SnapshotProgress {
            views: vec![view("a"), view("b"), view("c"), view("d")],
            tables: [(id("x"), table(1)), (id("y"), table(3))].into(),
            request: None,
        };
        progress.keep_used_views();
        assert_eq!(progress.views, [view("b"), view("d")]);
        assert_eq!((progress.tables[&id("x")].view, progress.tables[&id("y")].view), (0, 1));
        progress.forget_tables_of_last_view();
        assert_eq!(progress.tables.keys().collect::<Vec<_>>(), [&id("x")]);
    }
}
