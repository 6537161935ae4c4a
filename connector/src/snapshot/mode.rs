//! `snapshot.mode` and the stored position → what to do at start: one table.
//!
//! | mode           | nothing stored | snapshot interrupted | snapshot done | streaming | position lost |
//! |----------------|----------------|----------------------|---------------|-----------|---------------|
//! | `initial`      | snapshot       | snapshot, on         | stream        | stream    | error         |
//! | `initial_only` | snapshot       | snapshot, on         | rest          | rest      | rest          |
//! | `no_data`      | stream         | stream               | stream        | stream    | error         |
//! | `always`       | snapshot       | snapshot, on         | snapshot      | snapshot  | snapshot      |
//! | `when_needed`  | snapshot       | snapshot, on         | stream        | stream    | snapshot      |
//!
//! `configuration_based` is any of these, put together by hand. An interrupted snapshot of ours goes on
//! where it stood; Debezium's begins anew. A stored position needs its slot: without it the changes
//! since then are lost, and only the operator may decide to go on.

use crate::config::snapshot::{SnapshotConfig, SnapshotMode};
use crate::model::position::{PostgresPosition, SnapshotState};

/// What a mode does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steps {
    /// Reads the tables if that was never done.
    pub data: bool,
    /// Reads them at every start.
    pub again: bool,
    /// Reads them if the stored position can not be resumed.
    pub on_lost: bool,
    /// Streams changes.
    pub stream: bool,
}

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

pub fn steps(config: &SnapshotConfig) -> Steps {
    let base = Steps { data: true, again: false, on_lost: false, stream: true };
    match config.mode {
        SnapshotMode::Initial => base,
        SnapshotMode::InitialOnly => Steps { stream: false, ..base },
        SnapshotMode::NoData => Steps { data: false, ..base },
        SnapshotMode::Always => Steps { again: true, on_lost: true, ..base },
        SnapshotMode::WhenNeeded => Steps { on_lost: true, ..base },
        SnapshotMode::ConfigurationBased => {
            let given = config.configuration_based;
            Steps { data: given.data, again: given.data, on_lost: given.on_data_error, stream: given.stream }
        }
    }
}

pub fn plan(steps: Steps, stored: Option<&PostgresPosition>) -> Plan {
    let unfinished = stored.is_none_or(|position| position.snapshot == Some(SnapshotState::Running));
    match (steps, unfinished) {
        (Steps { data: true, .. }, true) | (Steps { again: true, .. }, _) => Plan::Snapshot,
        (Steps { stream: false, .. }, _) => Plan::Rest,
        (_, true) => Plan::StreamFromSlot,
        (_, false) => Plan::Resume,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::snapshot::ConfigurationBased;

    #[test]
    fn the_table() {
        use Plan::{Rest, Resume, Snapshot, StreamFromSlot};
        use SnapshotMode::{Always, Initial, InitialOnly, NoData, WhenNeeded};
        let at = |snapshot| Some(PostgresPosition { snapshot, ..PostgresPosition::default() });
        let states = [None, at(Some(SnapshotState::Running)), at(Some(SnapshotState::Completed)), at(None)];
        for (mode, want, on_lost) in [
            (Initial, [Snapshot, Snapshot, Resume, Resume], false),
            (InitialOnly, [Snapshot, Snapshot, Rest, Rest], false),
            (NoData, [StreamFromSlot, StreamFromSlot, Resume, Resume], false),
            (Always, [Snapshot; 4], true),
            (WhenNeeded, [Snapshot, Snapshot, Resume, Resume], true),
        ] {
            let steps = steps(&SnapshotConfig { mode, ..SnapshotConfig::default() });
            assert_eq!(states.each_ref().map(|stored| plan(steps, stored.as_ref())), want, "{mode:?}");
            assert_eq!(steps.on_lost, on_lost, "{mode:?}");
        }
        for (given, want) in [((false, false), Rest), ((false, true), Resume), ((true, false), Snapshot)] {
            let configuration_based =
                ConfigurationBased { data: given.0, stream: given.1, ..ConfigurationBased::default() };
            let mode = SnapshotMode::ConfigurationBased;
            let steps = steps(&SnapshotConfig { mode, configuration_based, ..SnapshotConfig::default() });
            assert_eq!(plan(steps, at(None).as_ref()), want, "{given:?}");
        }
    }
}
