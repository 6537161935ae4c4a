//! Where the pipeline stands, as metrics; told once per read.

use crate::metrics;
use crate::model::position::{Position, SnapshotState};
use crate::source::{Progress, SnapshotProgress};
use std::time::Instant;

#[derive(Debug, Default)]
pub(super) struct Gauges {
    /// Since when the snapshot runs.
    snapshot_began: Option<Instant>,
    /// When the last snapshot began, seconds since 1970: what was committed by then is in it.
    seen_by_snapshot: f64,
}

impl Gauges {
    /// Everything at or below what is stored is in Kafka.
    pub fn at(stored: Option<&Position>) -> Gauges {
        let gauges = Gauges::default();
        stored.iter().for_each(|position| gauges.durable(position));
        gauges
    }

    /// One read is done.
    pub fn pulled(&mut self, at: &Progress, streaming: bool) {
        metrics::SOURCE_STREAMING.set(streaming.into());
        match at.snapshot {
            Some(snapshot) => self.snapshot(snapshot),
            None if self.snapshot_began.take().is_some() => {
                metrics::SNAPSHOT_RUNNING.set(0);
                metrics::SNAPSHOT_TABLES_REMAINING.set(0);
                metrics::SNAPSHOT_COMPLETED.set(1);
            }
            None => {
                let snapshot_here = metrics::SNAPSHOT_COMPLETED.get() == 1;
                metrics::SNAPSHOT_SKIPPED.set((streaming && !snapshot_here).into());
            }
        }
    }

    fn snapshot(&mut self, at: SnapshotProgress) {
        let began = *self.snapshot_began.get_or_insert_with(|| {
            self.seen_by_snapshot = metrics::now_seconds();
            Instant::now()
        });
        let count = |tables: usize| i64::try_from(tables).unwrap_or(i64::MAX);
        metrics::SNAPSHOT_RUNNING.set(1);
        metrics::SNAPSHOT_ABORTED.set(0);
        metrics::SNAPSHOT_TABLES.set(count(at.tables));
        metrics::SNAPSHOT_TABLES_REMAINING.set(count(at.tables.saturating_sub(at.tables_done)));
        metrics::SNAPSHOT_SECONDS.set(began.elapsed().as_secs_f64());
    }

    /// The source is gone; what it was doing will begin again.
    pub fn broke_off(&mut self) {
        metrics::SOURCE_STREAMING.set(0);
        metrics::SNAPSHOT_RUNNING.set(0);
        if self.snapshot_began.take().is_some() {
            metrics::SNAPSHOT_ABORTED.set(1);
        }
    }

    /// Everything at or below `position` is in Kafka.
    pub fn durable(&self, position: &Position) {
        let Position::Postgres(position) = position;
        if position.snapshot == Some(SnapshotState::Running) {
            return;
        }
        let up_to = self.seen_by_snapshot.max(position.commit_time_us as f64 / 1e6);
        metrics::SOURCE_UP_TO_DATE.set(metrics::SOURCE_UP_TO_DATE.get().max(up_to));
    }

    /// The database has nothing more, and everything is in Kafka.
    pub fn caught_up(&self) {
        metrics::SOURCE_UP_TO_DATE.set(metrics::now_seconds());
    }
}
