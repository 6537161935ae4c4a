//! Which transactions a snapshot has seen: `pg_current_snapshot()`'s text. Pure.

use crate::model::position::Lsn;
use crate::model::progress::SnapshotProgress;
use crate::model::table::TableId;
use std::sync::Arc;

/// `xmin:xmax:xip,…`: numbers below `xmin` are done; from `xmax` on not begun; between them those
/// listed were under way. And an end of log beyond which no transaction was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visible {
    oldest: u64,
    next: u64,
    under_way: Vec<u64>,
    end: Lsn,
}

impl Visible {
    /// `end` must be read after the snapshot was taken.
    pub fn parse(text: &str, end: Lsn) -> Option<Self> {
        let mut parts = text.split(':');
        let oldest = parts.next()?.parse().ok()?;
        let next = parts.next()?.parse().ok()?;
        let list = parts.next()?;
        let under_way = list.split(',').filter(|part| !part.is_empty()).map(str::parse);
        let mut under_way = under_way.collect::<Result<Vec<u64>, _>>().ok()?;
        under_way.sort_unstable();
        parts.next().is_none().then_some(Visible { oldest, next, under_way, end })
    }

    /// Whether the snapshot has this committed transaction's rows. The stream has the lower half
    /// of the number; the snapshot is near enough in time to tell the upper half.
    pub fn contains(&self, transaction_id: u32) -> bool {
        let low_of_next = u32::try_from(self.next & u64::from(u32::MAX)).unwrap_or_default();
        let distance = transaction_id.wrapping_sub(low_of_next).cast_signed();
        let whole = self.next.saturating_add_signed(i64::from(distance));
        whole < self.oldest || (whole < self.next && self.under_way.binary_search(&whole).is_err())
    }
}

/// What the stream passes over because snapshots have read it: of each table, the transactions that the
/// oldest view has seen at which rows of it were read.
pub struct Seen {
    progress: Arc<SnapshotProgress>,
    views: Vec<Visible>,
    /// Of the transaction being read: which views have seen it.
    by_view: Vec<bool>,
}

impl Seen {
    /// `None` if a view's text is no snapshot, or there is none.
    pub fn new(progress: Arc<SnapshotProgress>) -> Option<Self> {
        let views = progress.views.iter().map(|view| Visible::parse(&view.seen, view.end));
        let views: Vec<Visible> = views.collect::<Option<_>>()?;
        let by_view = vec![false; views.len()];
        (!views.is_empty()).then_some(Seen { progress, views, by_view })
    }

    /// A transaction begins. Whether all views have seen it.
    pub fn begin(&mut self, transaction_id: u32) -> bool {
        for (seen, view) in self.by_view.iter_mut().zip(&self.views) {
            *seen = view.contains(transaction_id);
        }
        self.by_view.iter().all(|seen| *seen)
    }

    /// Whether the rows of the table that the transaction changed were read already.
    pub fn hides(&self, table: &TableId) -> bool {
        let view = match self.progress.tables.get(table) {
            Some(table) => self.by_view.get(table.view),
            None => self.by_view.last(),
        };
        view.is_some_and(|seen| *seen)
    }

    /// What is stored as long as something may have to be passed over.
    pub fn progress(&self) -> &Arc<SnapshotProgress> {
        &self.progress
    }

    /// Beyond this all transactions are new.
    pub fn end(&self) -> Lsn {
        self.views.iter().map(|view| view.end).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_what_was_committed() {
        let visible = Visible::parse("10:20:10,15", Lsn(1)).expect("a snapshot");
        for (id, want) in
            [(3, true), (10, false), (12, true), (15, false), (19, true), (20, false), (30, false)]
        {
            assert_eq!(visible.contains(id), want, "{id}");
        }
    }

    #[test]
    fn numbers_wrap() {
        let visible = Visible::parse("4294967290:4294967306:", Lsn(1)).expect("a snapshot");
        for (id, want) in [(u32::MAX, true), (9, true), (10, false), (11, false), (4_294_967_000, true)] {
            assert_eq!(visible.contains(id), want, "{id}");
        }
    }

    #[test]
    fn a_table_is_as_old_as_its_oldest_rows() {
        use crate::model::progress::{TableProgress, View};
        let view = |seen: &str| View { seen: seen.to_owned(), end: Lsn(9) };
        let id = |name: &str| TableId { schema: "s".to_owned(), name: name.to_owned() };
        let half = TableProgress { view: 0, ..TableProgress::default() };
        let progress = SnapshotProgress {
            views: vec![view("10:10:"), view("20:20:")],
            tables: [(id("half"), half)].into(),
            request: None,
        };
        let mut seen = Seen::new(Arc::new(progress)).expect("two views");
        for (transaction, whole, half, later) in
            [(5, true, true, true), (15, false, false, true), (25, false, false, false)]
        {
            assert_eq!(seen.begin(transaction), whole, "{transaction}");
            assert_eq!((seen.hides(&id("half")), seen.hides(&id("later"))), (half, later), "{transaction}");
        }
    }

    #[test]
    fn refuses_other_texts() {
        for text in ["", "1", "1:2", "1:2:x", "1:2:3:4"] {
            assert_eq!(Visible::parse(text, Lsn(1)), None, "{text}");
        }
    }
}
