//! `snapshot.mode` and the stored position → what to do at start: one table.
//!
//! | mode           | nothing stored | snapshot interrupted | snapshot done | streaming |
//! |----------------|----------------|----------------------|---------------|-----------|
//! | `initial`      | snapshot       | snapshot             | stream        | stream    |
//! | `initial_only` | snapshot       | snapshot             | rest          | rest      |
//! | `no_data`      | stream         | stream               | stream        | stream    |
//!
//! A stored position needs its slot: without it the changes since then are lost, and only the
//! operator may decide to go on.

use crate::config::snapshot::SnapshotMode;
use crate::model::position::{PostgresPosition, SnapshotState};

/// What to do at start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Read the tables, then stream unless the mode says otherwise.
    Snapshot,
    /// Stream from where the slot stands; nothing usable is stored.
    StreamFromSlot,
    /// Go on at the stored position.
    Resume,
    /// Everything asked for is done.
    Rest,
}

pub fn plan(mode: SnapshotMode, stored: Option<&PostgresPosition>) -> Plan {
    let unfinished = stored.is_none_or(|position| position.snapshot == Some(SnapshotState::Running));
    match (mode, unfinished) {
        (SnapshotMode::Initial | SnapshotMode::InitialOnly, true) => Plan::Snapshot,
        (SnapshotMode::NoData, true) => Plan::StreamFromSlot,
        (SnapshotMode::InitialOnly, false) => Plan::Rest,
        (SnapshotMode::Initial | SnapshotMode::NoData, false) => Plan::Resume,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table() {
        use SnapshotMode::{Initial, InitialOnly, NoData};
        let at = |snapshot| Some(PostgresPosition { snapshot, ..PostgresPosition::default() });
        let running = at(Some(SnapshotState::Running));
        let completed = at(Some(SnapshotState::Completed));
        for (mode, stored, want) in [
            (Initial, None, Plan::Snapshot),
            (Initial, running.clone(), Plan::Snapshot),
            (Initial, completed.clone(), Plan::Resume),
            (Initial, at(None), Plan::Resume),
            (InitialOnly, None, Plan::Snapshot),
            (InitialOnly, running.clone(), Plan::Snapshot),
            (InitialOnly, completed.clone(), Plan::Rest),
            (InitialOnly, at(None), Plan::Rest),
            (NoData, None, Plan::StreamFromSlot),
            (NoData, running, Plan::StreamFromSlot),
            (NoData, completed, Plan::Resume),
            (NoData, at(None), Plan::Resume),
        ] {
            assert_eq!(plan(mode, stored.as_ref()), want, "{mode:?} {stored:?}");
        }
    }
}
