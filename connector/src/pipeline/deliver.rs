//! What Kafka acknowledged moves the position: it is stored, then confirmed to the database.

use super::run::{IDLE_WAIT, Pipeline};
use super::way::note;
use shared::Result;
use std::time::Duration;

/// How long a stop waits for Kafka's acknowledgements.
const STOP_FLUSH: Duration = Duration::from_secs(6);

impl Pipeline<'_> {
    /// Counts what Kafka acknowledged, for up to `wait`.
    pub(super) fn serve(&mut self, wait: Duration) -> Result<()> {
        let (tracker, mut counted) = (&mut self.tracker, Ok(()));
        self.sink.poll(wait, &mut |unit, count| note(&mut counted, tracker.acked(unit, count)))?;
        counted
    }

    /// Waits until all that was sent is acknowledged, and takes the position that follows.
    pub(super) fn flush(&mut self) -> Result<()> {
        let (tracker, mut counted) = (&mut self.tracker, Ok(()));
        let flushed =
            self.sink.flush(STOP_FLUSH, &mut |unit, count| note(&mut counted, tracker.acked(unit, count)));
        self.advance();
        flushed.and(counted)
    }

    pub(super) fn advance(&mut self) {
        if let Some(position) = self.tracker.take() {
            self.gauges.durable(&position);
            self.durable = Some(position.clone());
            self.unsaved = Some(position);
        }
    }

    /// Stores and confirms the highest durable position, at most once an interval while busy.
    pub(super) fn settle(&mut self, busy: bool) -> Result<()> {
        self.advance();
        if !busy && self.sink.outstanding() == 0 && self.unit.sent == 0 && self.source.streaming() {
            self.gauges.caught_up();
        }
        let due = self.since(self.saved_at) >= Duration::from_millis(self.config.offset.interval_ms.into());
        if self.unsaved.is_some() && (due || !busy && self.sink.outstanding() == 0 && self.idle_long_enough())
        {
            self.save()?;
        }
        Ok(())
    }

    /// An idle moment is a good one to store the position, but not after each single transaction.
    fn idle_long_enough(&self) -> bool {
        self.since(self.saved_at) >= IDLE_WAIT
    }

    pub(super) fn save(&mut self) -> Result<()> {
        let Some(position) = self.unsaved.take() else { return Ok(()) };
        if let Err(error) = self.offsets.save(&position) {
            self.unsaved = Some(position);
            return Err(error);
        }
        self.source.confirm(&position)?;
        self.progress.confirmed(&position);
        self.saved_at = self.clock.monotonic();
        Ok(())
    }
}
