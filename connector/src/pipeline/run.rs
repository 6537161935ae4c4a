//! The loop: what the source read goes through event, avro and sink on this one thread; what Kafka
//! acknowledged comes back and moves the position.
//!
//! ```text
//!   source.poll ─ Change ─> events ─ Record ─> encoder ─ bytes ─> sink ──> librdkafka's threads
//!        ^      ─ Boundary ─> tracker.close                         │
//!        └── confirm <── offsets.save <── tracker.take <── acked <──┘ sink.poll
//! ```
//!
//! A unit is what lies between two boundaries: a transaction, or the snapshot. Its position may be
//! stored only when each of its records, and of all units before it, is acknowledged.
//!
//! A failure that may heal (the database away, the registry away) is met in one way: wait for what
//! is in flight, keep the position that follows from it, open the source anew from there. At most
//! the unfinished transaction is sent again.

use super::gauges::Gauges;
use super::progress::Progress;
use super::way::Way;
use crate::config::Config;
use crate::encode::Encoder;
use crate::event::Events;
use crate::model::change::Event;
use crate::model::position::Position;
use crate::offset::{OffsetStore, Tracker};
use crate::sink::Sink;
use crate::source::{Open, Source};
use crate::transform::Transforms;
use shared::registry::Registry;
use shared::retry::Backoff;
use shared::shutdown::Shutdown;
use shared::time::Clock;
use shared::{Error, Result};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// Longest wait for the database while nothing is in flight; a signal is noticed this late.
pub(super) const IDLE_WAIT: Duration = Duration::from_millis(100);
/// Wait while acknowledgements are expected, so that they move the position soon.
const BUSY_WAIT: Duration = Duration::from_millis(5);
/// How long a stop waits for the end of the running transaction.
const STOP_TRANSACTION: Duration = Duration::from_secs(2);

/// The unit being filled.
#[derive(Debug, Default)]
pub struct Unit {
    pub number: u64,
    /// Records sent since the last boundary.
    pub sent: u64,
}

pub struct Pipeline<'c> {
    pub(super) config: &'c Config,
    pub(super) clock: Clock,
    pub(super) open: Open<'c>,
    pub(super) source: Box<dyn Source + 'c>,
    pub(super) events: Events,
    pub(super) transforms: Transforms,
    pub(super) encoder: Encoder,
    pub(super) sink: Box<dyn Sink + 'c>,
    pub(super) tracker: Tracker,
    pub(super) offsets: Box<dyn OffsetStore + 'c>,
    pub(super) progress: Arc<Progress>,
    pub(super) gauges: Gauges,
    pub(super) shutdown: Shutdown,
    pub(super) unit: Unit,
    /// Everything at or below it is acknowledged: where a new source starts.
    pub(super) durable: Option<Position>,
    /// Durable but not yet stored.
    pub(super) unsaved: Option<Position>,
    /// When that was done last, as the monotonic clock tells.
    pub(super) saved_at: Duration,
    pub(super) beat_at: Duration,
}

/// What a pipeline is made of; all of it may be in memory.
pub struct Rooms<'c> {
    pub config: &'c Config,
    pub clock: Clock,
    pub open: Open<'c>,
    pub sink: Box<dyn Sink + 'c>,
    pub offsets: Box<dyn OffsetStore + 'c>,
    /// Needed if any record is written as Avro, and asked from `runtime`.
    pub registry: Option<Registry>,
    pub runtime: Handle,
}

impl<'c> Pipeline<'c> {
    /// Reads the stored position, and opens the source behind it.
    ///
    /// # Errors
    /// Whatever keeps one of the rooms from starting.
    pub fn start(rooms: Rooms<'c>, progress: &Arc<Progress>, shutdown: &Shutdown) -> Result<Pipeline<'c>> {
        let Rooms { config, clock, mut open, sink, mut offsets, registry, runtime } = rooms;
        let stored = offsets.load()?;
        let source = open(stored.as_ref())?;
        progress.started(stored.as_ref());
        let now = clock.monotonic();
        Ok(Pipeline {
            config,
            open,
            source,
            events: Events::new(&config.event, clock.clone())?,
            clock,
            transforms: Transforms::new(config)?,
            encoder: Encoder::new(config, registry, runtime)?,
            sink,
            tracker: Tracker::default(),
            offsets,
            progress: progress.clone(),
            gauges: Gauges::default(),
            shutdown: shutdown.clone(),
            unit: Unit::default(),
            durable: stored,
            unsaved: None,
            saved_at: now,
            beat_at: now,
        })
    }
}

impl Pipeline<'_> {
    /// Runs until shutdown is requested or something happens that needs a person.
    ///
    /// # Errors
    /// What no further try can help.
    pub fn run(&mut self) -> Result<()> {
        while !self.shutdown.requested() {
            match self.turn() {
                Ok(()) => {}
                Err(_) if self.shutdown.requested() => break,
                Err(error) if error.retryable() => self.recover(error)?,
                Err(error) => {
                    self.settle_before_leaving();
                    return Err(error);
                }
            }
        }
        self.stop()
    }

    /// Time that has passed since.
    pub(super) fn since(&self, moment: Duration) -> Duration {
        self.clock.monotonic().saturating_sub(moment)
    }

    /// Takes in what there is, and passes on what Kafka acknowledged.
    fn turn(&mut self) -> Result<()> {
        let wait = if self.sink.outstanding() > 0 { BUSY_WAIT } else { IDLE_WAIT };
        let busy = self.pull(wait)?;
        self.beat()?;
        self.serve(Duration::ZERO)?;
        self.progress.sink(self.sink.health());
        self.settle(busy)
    }

    /// One read of the source, all the way into the producer's queue.
    fn pull(&mut self, wait: Duration) -> Result<bool> {
        let Pipeline { source, events, progress, .. } = self;
        let mut way = Way {
            transforms: &mut self.transforms,
            encoder: &mut self.encoder,
            sink: &mut *self.sink,
            tracker: &mut self.tracker,
            shutdown: &self.shutdown,
        };
        let unit = &mut self.unit;
        // Counted apart: `unit.sent` begins anew at each boundary, of which one read may hold many.
        let mut records = 0;
        let busy = source.poll(wait, &mut |event| match event {
            Event::Boundary(position) => {
                way.tracker.close(unit.number, position)?;
                unit.number += 1;
                unit.sent = 0;
                Ok(())
            }
            event => events.records(&event, &mut |record| {
                let sent = way.send(record, unit.number)?;
                unit.sent += sent;
                records += sent;
                Ok(())
            }),
        })?;
        events.publish();
        self.gauges.pulled(&source.progress(), source.streaming());
        progress.pulled(&**source, records);
        Ok(busy)
    }

    /// Says that we are alive, if it is asked for and time. Not counted in the unit: a stop need not
    /// wait for the end of a transaction that has not begun.
    fn beat(&mut self) -> Result<()> {
        let interval = Duration::from_millis(self.config.event.heartbeat_interval_ms);
        if interval.is_zero() || !self.source.streaming() || self.since(self.beat_at) < interval {
            return Ok(());
        }
        self.beat_at = self.clock.monotonic();
        self.source.run_heartbeat_query();
        let mut way = Way {
            transforms: &mut self.transforms,
            encoder: &mut self.encoder,
            sink: &mut *self.sink,
            tracker: &mut self.tracker,
            shutdown: &self.shutdown,
        };
        let unit = self.unit.number;
        self.events.heartbeat(&mut |record| way.send(record, unit).map(drop))
    }

    /// Waits for what is in flight and opens the source anew behind it.
    fn recover(&mut self, error: Error) -> Result<()> {
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
        let mut error = error;
        loop {
            tracing::warn!(event = "connection_lost", %error, remedy = error.hint(), "waiting, then going on from the last durable position");
            self.progress.failed(&error);
            self.gauges.broke_off();
            if self.pause(backoff.delay()) {
                return Ok(());
            }
            match self.reopen() {
                Ok(()) => {
                    tracing::info!(event = "connection_restored", "going on from the last durable position");
                    self.progress.recovered();
                    return Ok(());
                }
                Err(next) if next.retryable() => error = next,
                Err(next) => return Err(next),
            }
        }
    }

    fn reopen(&mut self) -> Result<()> {
        self.flush()?;
        // Nothing is in flight any more; what is left open is the transaction to be read again.
        self.tracker = Tracker::default();
        self.unit = Unit { number: self.unit.number + 1, sent: 0 };
        self.source = (self.open)(self.durable.as_ref())?;
        self.save()
    }

    /// Sleeps, serving Kafka meanwhile; true when shutdown was requested.
    fn pause(&mut self, delay: Duration) -> bool {
        let until = self.clock.monotonic() + delay;
        while self.clock.monotonic() < until && !self.shutdown.requested() {
            if self.serve(Duration::from_millis(50)).is_err() {
                self.clock.sleep(Duration::from_millis(50));
            }
        }
        self.shutdown.requested()
    }

    /// Ends at a transaction's end if that is near, so that nothing is sent twice after a restart.
    fn stop(&mut self) -> Result<()> {
        let until = self.clock.monotonic() + STOP_TRANSACTION;
        while self.unit.sent > 0 && self.source.streaming() && self.clock.monotonic() < until {
            if self.pull(BUSY_WAIT).is_err() {
                break;
            }
        }
        let flushed = self.flush();
        let saved = self.save();
        let stopped = self.source.stop();
        if let Err(error) = flushed.and(saved).and(stopped) {
            tracing::warn!(event = "stop_incomplete", %error, "what was not acknowledged will be sent again at the next start");
        }
        Ok(())
    }

    /// Before leaving with an error: what is durable is stored, so that the next start repeats little.
    fn settle_before_leaving(&mut self) {
        let flushed = self.flush();
        if let Err(error) = flushed.and(self.save()) {
            tracing::info!(event = "stop_incomplete", %error, "what was not acknowledged will be sent again at the next start");
        }
    }
}
