//! What was made, counted in plain numbers and told to the metrics once per read.

use super::shape::Shape;
use crate::metrics;
use crate::model::change::{Marker, Origin, PostgresOrigin};
use prometheus::IntCounter;
use shared::time::Clock;
use std::sync::Arc;

/// The operations that are counted, by Debezium's letter.
const OPS: [&str; 5] = ["r", "c", "u", "d", "t"];

/// Transactions of one read whose delays are told apart.
const COMMITS: usize = 1_024;

/// A table's counters, one for each operation, looked up once.
#[derive(Clone, Debug)]
pub struct Counters(Arc<[IntCounter; 5]>);

impl Counters {
    pub fn of(table: &str) -> Counters {
        let table = metrics::table_label(table);
        Counters(Arc::new(OPS.map(|op| metrics::EVENT_CHANGES.with_label_values(&[table, op]))))
    }
}

/// Counts since the metrics were last told. Of one table at a time: most reads hold few tables.
#[derive(Debug, Default)]
pub struct Tally {
    table: Option<(u64, Counters)>,
    changes: [u64; 5],
    pub records: u64,
    pub unchanged: u64,
    transactions: u64,
    transaction: Option<u32>,
    snapshot: bool,
    /// Commit times of streamed transactions, microseconds since 1970, and how many changes each had.
    committed: Vec<(i64, u64)>,
}

impl Tally {
    /// The changes that follow are of this table.
    #[inline]
    pub fn of(&mut self, shape: &Shape, origin: &Origin<'_>) {
        if self.table.as_ref().is_none_or(|(version, _)| *version != shape.version) {
            self.tell_changes();
            self.table = Some((shape.version, shape.counters.clone()));
        }
        let Origin::Postgres(PostgresOrigin { transaction_id, time_us, snapshot, .. }) = origin;
        if *snapshot == Marker::Streamed {
            self.transactions += u64::from(self.transaction != *transaction_id);
            self.transaction = *transaction_id;
            match self.committed.last_mut() {
                Some((committed_us, changes)) if *committed_us == *time_us => *changes += 1,
                _ => self.commits(*time_us),
            }
        } else {
            self.snapshot = true;
        }
    }

    /// The next transaction. Of more than so many in one read the rest counts with the last one.
    fn commits(&mut self, committed_us: i64) {
        if self.committed.len() < COMMITS {
            self.committed.push((committed_us, 1));
        } else if let Some((last_us, changes)) = self.committed.last_mut() {
            (*last_us, *changes) = (committed_us, *changes + 1);
        }
    }

    /// One record of a change.
    #[inline]
    pub fn count(&mut self, op: &str) {
        if let Some(count) = OPS.iter().position(|known| *known == op).and_then(|at| self.changes.get_mut(at))
        {
            *count += 1;
        }
    }

    fn tell_changes(&mut self) {
        let Some((_, counters)) = &self.table else { return };
        for (counter, count) in counters.0.iter().zip(&mut self.changes) {
            if *count > 0 {
                counter.inc_by(std::mem::take(count));
            }
        }
    }

    /// Tells the metrics.
    pub fn tell(&mut self, clock: &Clock) {
        self.tell_changes();
        metrics::EVENT_RECORDS.inc_by(std::mem::take(&mut self.records));
        metrics::EVENT_UNCHANGED.inc_by(std::mem::take(&mut self.unchanged));
        metrics::EVENT_TRANSACTIONS.inc_by(std::mem::take(&mut self.transactions));
        if std::mem::take(&mut self.snapshot) {
            metrics::seen("snapshot");
        }
        let Some((last_us, _)) = self.committed.last().copied() else { return };
        metrics::seen("stream");
        let now_us = clock.now().micros();
        metrics::EVENT_DELAY.set(now_us.saturating_sub(last_us) as f64 / 1e6);
        for (committed_us, _) in &mut self.committed {
            *committed_us = now_us.saturating_sub(*committed_us).div_euclid(1_000);
        }
        metrics::delay::note(&self.committed);
        self.committed.clear();
    }
}
