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
use super::letters::Letters;
use super::progress::Progress;
use super::{control, open_source};
use crate::config::Config;
use crate::config::signal::Channel;
use crate::encode::Encoder;
use crate::event::Events;
use crate::model::change::Event;
use crate::model::encoded::Encoded;
use crate::model::position::Position;
use crate::model::record::Record;
use crate::model::refusal::{Content, Refusal};
use crate::model::request::Request;
use crate::offset::{OffsetStore, Tracker};
use crate::signal::Signals;
use crate::sink::{Kafka, Topics};
use crate::source::postgres::{Postgres, WalGuard};
use crate::transform::Transforms;
use shared::retry::Backoff;
use shared::shutdown::Shutdown;
use shared::{Error, Kind, Result};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// Longest wait for the database while nothing is in flight; a signal is noticed this late.
const IDLE_WAIT: Duration = Duration::from_millis(100);
/// Wait while acknowledgements are expected, so that they move the position soon.
const BUSY_WAIT: Duration = Duration::from_millis(5);
/// How long a stop waits for the end of the running transaction.
const STOP_TRANSACTION: Duration = Duration::from_secs(2);
/// How long a stop waits for Kafka's acknowledgements.
const STOP_FLUSH: Duration = Duration::from_secs(6);

/// How long Kafka may take to answer before the source is opened anew.
const KAFKA_ANSWER: Duration = Duration::from_secs(2);

/// The unit being filled.
#[derive(Debug, Default)]
pub struct Unit {
    pub number: u64,
    /// Records sent since the last boundary.
    pub sent: u64,
}

pub struct Pipeline<'c> {
    pub(super) config: &'c Config,
    pub(super) runtime: Handle,
    pub(super) source: Postgres,
    pub(super) guard: WalGuard,
    pub(super) events: Events,
    pub(super) transforms: Transforms,
    pub(super) encoder: Encoder,
    pub(super) sink: Kafka,
    pub(super) topics: Topics,
    pub(super) letters: Letters,
    pub(super) signals: Signals,
    /// What rows of the signal table ask for.
    pub(super) asked: Vec<Request>,
    pub(super) tracker: Tracker,
    pub(super) offsets: Box<dyn OffsetStore + Send>,
    pub(super) progress: Arc<Progress>,
    pub(super) gauges: Gauges,
    pub(super) shutdown: Shutdown,
    pub(super) unit: Unit,
    /// Everything at or below it is acknowledged: where a new source starts.
    pub(super) durable: Option<Position>,
    /// Durable but not yet stored.
    pub(super) unsaved: Option<Position>,
    pub(super) saved_at: Instant,
    pub(super) beat_at: Instant,
}

impl Pipeline<'_> {
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

    /// Takes in what there is, and passes on what Kafka acknowledged.
    fn turn(&mut self) -> Result<()> {
        self.guard.check()?;
        let wait = if self.sink.outstanding() > 0 { BUSY_WAIT } else { IDLE_WAIT };
        let busy = self.pull(wait)?;
        self.control()?;
        self.beat()?;
        self.serve(Duration::ZERO)?;
        self.progress.sink(self.sink.health());
        self.settle(busy)
    }

    /// One read of the source, all the way into the producer's queue.
    fn pull(&mut self, wait: Duration) -> Result<bool> {
        let Pipeline { source, events, progress, config, asked, .. } = self;
        let signals = config.signal.table.as_deref().filter(|_| config.signal.uses(Channel::Source));
        let mut way = Way {
            transforms: &mut self.transforms,
            encoder: &mut self.encoder,
            sink: &mut self.sink,
            topics: &mut self.topics,
            tracker: &mut self.tracker,
            shutdown: &self.shutdown,
            guard: &self.guard,
            letters: &mut self.letters,
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
            Event::Refused(row) => {
                way.refuse(&Refusal::from(&row), unit.number)?;
                unit.sent += 1;
                records += 1;
                Ok(())
            }
            event => {
                events.records(&event, &mut |record| {
                    let sent = way.send(record, unit.number, Some(&event))?;
                    unit.sent += sent;
                    records += sent;
                    Ok(())
                })?;
                asked.extend(signals.and_then(|table| control::asked(&event, table)));
                Ok(())
            }
        })?;
        events.publish();
        self.gauges.pulled(&source.progress(), source.streaming());
        progress.pulled(source, records);
        Ok(busy)
    }

    /// Says that we are alive, if it is asked for and time. Not counted in the unit: a stop need not
    /// wait for the end of a transaction that has not begun.
    fn beat(&mut self) -> Result<()> {
        let interval = Duration::from_millis(self.config.event.heartbeat_interval_ms);
        if interval.is_zero() || !self.source.streaming() || self.beat_at.elapsed() < interval {
            return Ok(());
        }
        self.beat_at = Instant::now();
        self.source.run_heartbeat_query();
        let mut way = Way {
            transforms: &mut self.transforms,
            encoder: &mut self.encoder,
            sink: &mut self.sink,
            topics: &mut self.topics,
            tracker: &mut self.tracker,
            shutdown: &self.shutdown,
            guard: &self.guard,
            letters: &mut self.letters,
        };
        let unit = self.unit.number;
        self.events.heartbeat(&mut |record| way.send(record, unit, None).map(drop))
    }

    /// Counts what Kafka acknowledged, for up to `wait`.
    fn serve(&mut self, wait: Duration) -> Result<()> {
        let (tracker, mut counted) = (&mut self.tracker, Ok(()));
        self.sink.poll(wait, &mut |unit, count| note(&mut counted, tracker.acked(unit, count)))?;
        counted
    }

    /// Waits until all that was sent is acknowledged, and takes the position that follows.
    fn flush(&mut self) -> Result<()> {
        let (tracker, mut counted) = (&mut self.tracker, Ok(()));
        let flushed =
            self.sink.flush(STOP_FLUSH, &mut |unit, count| note(&mut counted, tracker.acked(unit, count)));
        self.advance();
        flushed.and(counted)
    }

    fn advance(&mut self) {
        if let Some(position) = self.tracker.take() {
            self.gauges.durable(&position);
            self.durable = Some(position.clone());
            self.unsaved = Some(position);
        }
    }

    /// Stores and confirms the highest durable position, at most once an interval while busy.
    fn settle(&mut self, busy: bool) -> Result<()> {
        self.advance();
        if !busy && self.sink.outstanding() == 0 && self.unit.sent == 0 && self.source.streaming() {
            self.gauges.caught_up();
        }
        let due = self.saved_at.elapsed() >= Duration::from_millis(self.config.offset.interval_ms.into());
        if self.unsaved.is_some() && (due || !busy && self.sink.outstanding() == 0 && self.idle_long_enough())
        {
            self.save()?;
        }
        Ok(())
    }

    /// An idle moment is a good one to store the position, but not after each single transaction.
    fn idle_long_enough(&self) -> bool {
        self.saved_at.elapsed() >= IDLE_WAIT
    }

    fn save(&mut self) -> Result<()> {
        let Some(position) = self.unsaved.take() else { return Ok(()) };
        if let Err(error) = self.offsets.save(&position) {
            self.unsaved = Some(position);
            return Err(error);
        }
        self.source.confirm(&position)?;
        self.progress.confirmed(&position);
        self.saved_at = Instant::now();
        Ok(())
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
            self.guard.check()?;
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
        // A snapshot or a stream that nobody takes would only hold the database's log.
        self.sink.check(KAFKA_ANSWER)?;
        // Nothing is in flight any more; what is left open is the transaction to be read again.
        self.tracker = Tracker::default();
        self.unit = Unit { number: self.unit.number + 1, sent: 0 };
        self.source = open_source(self.config, &self.runtime, self.durable.as_ref())?;
        self.save()
    }

    /// Sleeps, serving Kafka meanwhile; true when shutdown was requested.
    fn pause(&mut self, delay: Duration) -> bool {
        let until = Instant::now() + delay;
        while Instant::now() < until && !self.shutdown.requested() {
            if self.serve(Duration::from_millis(50)).is_err() {
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        self.shutdown.requested()
    }

    /// Ends at a transaction's end if that is near, so that nothing is sent twice after a restart.
    fn stop(&mut self) -> Result<()> {
        let until = Instant::now() + STOP_TRANSACTION;
        while self.unit.sent > 0 && self.source.streaming() && Instant::now() < until {
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

/// The way of a record out of here.
struct Way<'p> {
    transforms: &'p mut Transforms,
    encoder: &'p mut Encoder,
    sink: &'p mut Kafka,
    topics: &'p mut Topics,
    tracker: &'p mut Tracker,
    shutdown: &'p Shutdown,
    guard: &'p WalGuard,
    letters: &'p mut Letters,
}

impl Way<'_> {
    /// Into the producer's queue; how many records became of it. What cannot be converted goes to the
    /// dead-letter topic, if there is one. `of` is what the record was made of, if of
    /// anything.
    #[inline]
    fn send(&mut self, record: &Record<'_>, unit: u64, of: Option<&Event<'_>>) -> Result<u64> {
        let Way { transforms, encoder, sink, topics, tracker, shutdown, guard, letters } = self;
        let (mut sent, mut converted) = (0, false);
        let done = transforms.apply(record, &mut |record| {
            let encoded = encoder.encode(record)?;
            converted = true;
            queue(&encoded, unit, topics, sink, tracker, shutdown, guard)?;
            (sent, converted) = (sent + 1, false);
            Ok(())
        });
        match done {
            Ok(()) => Ok(sent),
            Err(error) if !converted && letters.takes(&error) => {
                let (table, op, origin) = of.map_or((None, None, None), Event::subject);
                let content = Content::Record(record);
                self.refuse(&Refusal { error: &error, table, op, origin, content }, unit)?;
                Ok(sent + 1)
            }
            Err(error) if !converted => Err(super::letters::stops(error)),
            Err(error) => Err(error),
        }
    }

    /// Sends a dead letter, as part of the unit.
    fn refuse(&mut self, refusal: &Refusal<'_>, unit: u64) -> Result<()> {
        let Way { sink, topics, tracker, shutdown, guard, letters, .. } = self;
        letters.write(refusal, &mut |encoded| queue(encoded, unit, topics, sink, tracker, shutdown, guard))
    }
}

/// Into the producer's queue, once there is room.
#[inline]
fn queue(
    encoded: &Encoded<'_>,
    unit: u64,
    topics: &mut Topics,
    sink: &mut Kafka,
    tracker: &mut Tracker,
    shutdown: &Shutdown,
    guard: &WalGuard,
) -> Result<()> {
    topics.ensure(encoded.topic)?;
    tracker.sent(unit, 1)?;
    while !sink.offer(encoded, unit)? {
        guard.check()?;
        make_room(sink, tracker, shutdown)?;
    }
    Ok(())
}

/// The producer's queue is full: serves acknowledgements until there is room, or until we are to stop.
fn make_room(sink: &mut Kafka, tracker: &mut Tracker, shutdown: &Shutdown) -> Result<()> {
    if shutdown.requested() {
        return Err(Error::new(Kind::Unreachable, "asked to stop while Kafka takes no records"));
    }
    let mut counted = Ok(());
    sink.poll(BUSY_WAIT, &mut |unit, count| note(&mut counted, tracker.acked(unit, count)))?;
    counted
}

/// Keeps the first failure.
fn note(first: &mut Result<()>, next: Result<()>) {
    if first.is_ok() {
        *first = next;
    }
}
