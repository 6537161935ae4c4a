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

use super::control;
use super::gauges::Gauges;
use super::letters::Letters;
use super::progress::Progress;
use super::way::{Gate, Unit, Way};
use crate::config::Config;
use crate::config::signal::Channel;
use crate::encode::Encoder;
use crate::event::Events;
use crate::model::change::Event;
use crate::model::refusal::Refusal;
use crate::model::request::Request;
use crate::offset::{OffsetStore, Tracker};
use crate::signal::{Inbox, Signals};
use crate::sink::Sink;
use crate::snapshot::mode;
use crate::source::{Open, Source};
use crate::transform::Transforms;
use shared::retry::Backoff;
use shared::shutdown::Shutdown;
use shared::time::Clock;
use shared::{Error, Kind, Result};
use std::sync::Arc;
use std::time::Duration;

/// Longest wait for the database while nothing is in flight; a signal is noticed this late.
pub(super) const IDLE_WAIT: Duration = Duration::from_millis(100);
/// Wait while acknowledgements are expected, so that they move the position soon.
const BUSY_WAIT: Duration = Duration::from_millis(5);
/// Between tries to go on after a failure: from here, doubling, up to there.
const FIRST_RETRY: Duration = Duration::from_millis(200);
const SLOWEST_RETRY: Duration = Duration::from_secs(10);
/// How long a stop waits for the end of the running transaction.
const STOP_TRANSACTION: Duration = Duration::from_secs(2);

/// Says if something has happened that ends all waiting: the database had to let the log go.
pub type Watch<'c> = Box<dyn Fn() -> Result<()> + 'c>;

pub struct Pipeline<'c> {
    pub(super) config: &'c Config,
    clock: Clock,
    open: Open<'c>,
    pub(super) source: Box<dyn Source + 'c>,
    pub(super) signals: Signals,
    /// What rows of the signal table ask for.
    pub(super) asked: Vec<Request>,
    events: Events,
    way: Way<'c>,
    progress: Arc<Progress>,
    gauges: Gauges,
    shutdown: Shutdown,
    beat_at: Duration,
}

/// What a pipeline is made of; all of it may be in memory.
pub struct Rooms<'c> {
    pub config: &'c Config,
    pub clock: Clock,
    pub open: Open<'c>,
    pub sink: Box<dyn Sink + 'c>,
    pub offsets: Box<dyn OffsetStore + 'c>,
    pub encoder: Encoder,
    pub watch: Watch<'c>,
    /// Where other threads put requests.
    pub inbox: Inbox,
}

impl<'c> Pipeline<'c> {
    /// Makes the sink ready, reads the stored position, and opens the source behind it: in this order, so
    /// that with transactions an earlier process is at its end when the position is read.
    ///
    /// # Errors
    /// Whatever keeps one of the rooms from starting.
    pub fn start(rooms: Rooms<'c>, progress: &Arc<Progress>, shutdown: &Shutdown) -> Result<Pipeline<'c>> {
        let Rooms { config, clock, mut open, mut sink, mut offsets, encoder, watch, inbox } = rooms;
        sink.start()?;
        let stored = offsets.load()?;
        let source = open(stored.as_ref())?;
        progress.started(stored.as_ref());
        let gauges = Gauges::at(stored.as_ref());
        let now = clock.monotonic();
        let way = Way {
            config,
            clock: clock.clone(),
            transforms: Transforms::new(config)?,
            encoder,
            gate: Gate { sink, tracker: Tracker::default(), shutdown: shutdown.clone(), watch },
            letters: Letters::new(config),
            offsets,
            unit: Unit::default(),
            records: 0,
            durable: stored,
            unsaved: None,
            unconfirmed: None,
            saved_at: now,
            began: None,
            broken: false,
        };
        let mut pipeline = Pipeline {
            config,
            open,
            source,
            signals: Signals::new(config, inbox)?,
            asked: Vec::new(),
            events: Events::new(&config.event, clock.clone())?,
            clock,
            way,
            progress: progress.clone(),
            gauges,
            shutdown: shutdown.clone(),
            beat_at: now,
        };
        pipeline.begin()?;
        Ok(pipeline)
    }
}

impl Pipeline<'_> {
    /// Runs until shutdown is requested or something happens that needs a person.
    ///
    /// # Errors
    /// What no further try can help.
    pub fn run(&mut self) -> Result<()> {
        while !self.shutdown.requested() {
            let Err(error) = self.turn() else { continue };
            self.way.broken = true;
            if self.shutdown.requested() {
                break;
            }
            if !self.heals(&error) {
                self.leave();
                return Err(error);
            }
            self.recover(error)?;
        }
        self.stop()
    }

    /// Takes in what there is, and passes on what Kafka acknowledged.
    fn turn(&mut self) -> Result<()> {
        (self.way.gate.watch)()?;
        let waiting = self.way.gate.sink.outstanding() > 0 || self.way.began.is_some();
        let busy = self.pull(if waiting { BUSY_WAIT } else { IDLE_WAIT })?;
        self.control();
        self.beat()?;
        self.way.serve(Duration::ZERO)?;
        self.progress.sink(self.way.gate.sink.health());
        self.settle(busy)
    }

    /// One read of the source, all the way into the producer's queue.
    fn pull(&mut self, wait: Duration) -> Result<bool> {
        let Pipeline { source, events, way, progress, config, asked, .. } = self;
        let signals = config.signal.table.as_deref().filter(|_| config.signal.uses(Channel::Source));
        let busy = source.poll(wait, &mut |event| match event {
            Event::Boundary(position) => way.close(position),
            Event::Notice(_) => events.records(&event, &mut |record| way.send_apart(record)),
            Event::Refused(row) => way.refuse(&Refusal::from(&row)),
            event => {
                events.records(&event, &mut |record| way.send(record, Some(&event)))?;
                asked.extend(signals.and_then(|table| control::asked(&event, table)));
                Ok(())
            }
        })?;
        events.publish();
        self.gauges.pulled(&source.progress(), source.streaming());
        progress.pulled(&**source, std::mem::take(&mut way.records));
        Ok(busy)
    }

    /// Says that we are alive, if it is asked for and time. Not counted in the unit: a stop need not
    /// wait for the end of a transaction that has not begun.
    fn beat(&mut self) -> Result<()> {
        let interval = Duration::from_millis(self.config.event.heartbeat_interval_ms);
        if interval.is_zero() || !self.source.streaming() || self.way.since(self.beat_at) < interval {
            return Ok(());
        }
        self.beat_at = self.clock.monotonic();
        self.source.run_heartbeat_query();
        let Pipeline { events, way, .. } = self;
        events.heartbeat(&mut |record| way.send_apart(record))
    }

    /// Stores the newest position if it is time, and confirms what is stored.
    fn settle(&mut self, busy: bool) -> Result<()> {
        self.way.advance();
        let idle = !busy && self.way.gate.sink.outstanding() == 0 && self.way.unit.sent == 0;
        if self.way.due(!busy) {
            self.way.save()?;
        }
        if let Some(position) = &self.way.durable {
            self.gauges.durable(position);
        }
        if idle && self.way.began.is_none() && self.source.streaming() {
            self.gauges.caught_up();
        }
        self.confirm()
    }

    fn confirm(&mut self) -> Result<()> {
        let Some(position) = self.way.unconfirmed.take() else { return Ok(()) };
        self.source.confirm(&position)?;
        self.progress.confirmed(&position);
        Ok(())
    }

    /// Waits for what is in flight and opens the source anew behind it.
    fn recover(&mut self, error: Error) -> Result<()> {
        let seed = self.clock.now().nanos().cast_unsigned();
        let mut backoff = Backoff::seeded(FIRST_RETRY, SLOWEST_RETRY, seed);
        let mut error = error;
        loop {
            tracing::warn!(event = "connection_lost", %error, remedy = error.hint(), "waiting, then going on from the last durable position");
            self.progress.failed(&error);
            self.gauges.broke_off();
            if self.pause(backoff.delay()) {
                return Ok(());
            }
            (self.way.gate.watch)()?;
            match self.reopen() {
                Ok(()) => {
                    tracing::info!(event = "connection_restored", "going on from the last durable position");
                    self.progress.recovered();
                    return Ok(());
                }
                Err(next) if self.heals(&next) => error = next,
                Err(next) => return Err(next),
            }
        }
    }

    /// Whether trying again can help: a lost place is then met by a new snapshot, if the mode says so.
    fn heals(&self, error: &Error) -> bool {
        error.retryable() || error.kind() == Kind::Lost && mode::steps(&self.config.snapshot).on_lost
    }

    /// Stores first: where the source begins, the database takes for confirmed.
    fn reopen(&mut self) -> Result<()> {
        self.way.begin_anew()?;
        self.way.save()?;
        self.source.close();
        self.source = (self.open)(self.way.durable.as_ref())?;
        self.begin()
    }

    fn begin(&mut self) -> Result<()> {
        if let Some(position) = self.source.beginning() {
            self.way.close(position)?;
            self.way.advance();
            self.way.save()?;
        }
        self.confirm()
    }

    /// Sleeps, serving Kafka meanwhile; true when shutdown was requested.
    fn pause(&mut self, delay: Duration) -> bool {
        let until = self.clock.monotonic() + delay;
        while self.clock.monotonic() < until && !self.shutdown.requested() {
            if self.way.serve(Duration::from_millis(50)).is_err() {
                self.clock.sleep(Duration::from_millis(50));
            }
        }
        self.shutdown.requested()
    }

    /// Ends at a transaction's end if that is near, so that nothing is sent twice after a restart.
    fn stop(&mut self) -> Result<()> {
        let until = self.clock.monotonic() + STOP_TRANSACTION;
        while !self.way.broken
            && self.way.unit.sent > 0
            && self.source.streaming()
            && self.clock.monotonic() < until
        {
            self.way.broken = self.pull(BUSY_WAIT).is_err();
            self.hand_on_asked();
        }
        let finished = self.way.finish().and_then(|()| self.confirm());
        let stopped = self.source.stop();
        if let Err(error) = finished.and(stopped) {
            tracing::warn!(event = "stop_incomplete", %error, "what was not acknowledged will be sent again at the next start");
        }
        Ok(())
    }

    /// Before leaving with an error: what is durable is stored, so that the next start repeats little.
    fn leave(&mut self) {
        let finished = self.way.finish();
        if let Err(error) = finished.and_then(|()| self.confirm()) {
            tracing::info!(event = "stop_incomplete", %error, "what was not acknowledged will be sent again at the next start");
        }
    }
}
