//! Which transactions a snapshot has seen: `pg_current_snapshot()`'s text. Pure.

use crate::model::position::Lsn;
use crate::model::progress::SnapshotProgress;
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

/// What the stream passes over because a snapshot has read it: the transactions that it saw.
pub struct Seen {
    progress: Arc<SnapshotProgress>,
    view: Visible,
}

impl Seen {
    /// `None` if there is no view, or its text is no snapshot.
    pub fn new(progress: Arc<SnapshotProgress>) -> Option<Self> {
        let view = progress.view.as_ref()?;
        let view = Visible::parse(&view.seen, view.end)?;
        Some(Seen { progress, view })
    }

    pub fn contains(&self, transaction_id: u32) -> bool {
        self.view.contains(transaction_id)
    }

    /// What is stored as long as something may have to be passed over.
    pub fn progress(&self) -> &Arc<SnapshotProgress> {
        &self.progress
    }

    /// Beyond this all transactions are new.
    pub fn end(&self) -> Lsn {
        self.view.end
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
    fn refuses_other_texts() {
        for text in ["", "1", "1:2", "1:2:x", "1:2:3:4"] {
            assert_eq!(Visible::parse(text, Lsn(1)), None, "{text}");
        }
    }
}
