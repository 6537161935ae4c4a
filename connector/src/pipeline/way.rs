//! The way out: a record goes through transforms and encoder to the sink, and its position follows it.
//!
//! At least once: acknowledgements move the position, which is stored now and then, and confirmed.
//!
//! Exactly once: records and the position behind them become visible together, by the sink's
//! transaction. It holds whole units, so it is committed between two of them: at a boundary once the
//! interval has passed, or when the source has nothing more. What a failure leaves is taken back, and the
//! stored position says where to go on.

use super::letters::Letters;
use super::run::{IDLE_WAIT, Watch};
use crate::config::Config;
use crate::encode::Encoder;
use crate::metrics;
use crate::model::change::Event;
use crate::model::encoded::{Encoded, Headers};
use crate::model::position::Position;
use crate::model::record::Record;
use crate::model::refusal::{Content, Refusal};
use crate::offset::{OffsetStore, Tracker};
use crate::sink::Sink;
use crate::transform::Transforms;
use shared::shutdown::Shutdown;
use shared::time::Clock;
use shared::{Error, Kind, Result};
use std::time::Duration;

/// How long acknowledgements are waited for before a full queue is tried again.
const ROOM_WAIT: Duration = Duration::from_millis(5);
/// How long Kafka may take to acknowledge what is in flight, or to end a transaction.
const FLUSH_LIMIT: Duration = Duration::from_secs(6);
const COMMIT_LIMIT: Duration = Duration::from_secs(30);

/// The unit being filled.
#[derive(Debug, Default)]
pub(super) struct Unit {
    number: u64,
    /// Records sent since the last boundary.
    pub sent: u64,
}

pub(super) struct Way<'c> {
    pub config: &'c Config,
    pub clock: Clock,
    pub transforms: Transforms,
    pub encoder: Encoder,
    pub gate: Gate<'c>,
    pub letters: Letters,
    pub offsets: Box<dyn OffsetStore + 'c>,
    pub unit: Unit,
    /// Records sent, for whoever counts them.
    pub records: u64,
    /// Everything at or below it is durable: where a new source starts.
    pub durable: Option<Position>,
    /// At least once: durable but not yet stored. Exactly once: the last boundary, not yet committed.
    pub unsaved: Option<Position>,
    /// Stored but not yet confirmed to the source.
    pub unconfirmed: Option<Position>,
    /// When a position was stored last, as the monotonic clock tells.
    pub saved_at: Duration,
    /// Exactly once: when the first record since the last commit was sent.
    pub began: Option<Duration>,
    /// Something failed: what is in the sink may be less than the position says.
    pub broken: bool,
}

/// The way's end: the sink, what it still owes, and what ends the waiting for it.
pub(super) struct Gate<'c> {
    pub sink: Box<dyn Sink + 'c>,
    pub tracker: Tracker,
    pub shutdown: Shutdown,
    pub watch: Watch<'c>,
}

impl Way<'_> {
    pub fn exactly_once(&self) -> bool {
        self.config.sink.exactly_once()
    }

    /// Time that has passed since.
    pub fn since(&self, moment: Duration) -> Duration {
        self.clock.monotonic().saturating_sub(moment)
    }

    /// Into the sink's queue. What cannot be converted goes to the dead-letter topic, if there is one. `of` is
    /// what the record was made of, if of anything.
    #[inline]
    pub fn send(&mut self, record: &Record<'_>, of: Option<&Event<'_>>) -> Result<()> {
        self.begin();
        let Way { transforms, encoder, gate, letters, unit, records, .. } = self;
        let mut converted = false;
        let done = transforms.apply(record, &mut |record| {
            let encoded = encoder.encode(record, &mut |topic| gate.sink.expect(topic))?;
            (unit.sent, *records, converted) = (unit.sent + 1, *records + 1, true);
            gate.offer(&encoded, unit.number)?;
            converted = false;
            Ok(())
        });
        match done {
            Err(error) if !converted && letters.takes(&error) => {
                let (table, op, origin) = of.map_or((None, None, None), Event::subject);
                let content = Content::Record(record);
                self.refuse(&Refusal { error: &error, table, op, origin, content })
            }
            Err(error) if !converted => Err(super::letters::stops(error)),
            done => done,
        }
    }

    /// Sends a dead letter, as part of the unit.
    pub fn refuse(&mut self, refusal: &Refusal<'_>) -> Result<()> {
        self.begin();
        let Way { gate, letters, unit, records, .. } = self;
        (unit.sent, *records) = (unit.sent + 1, *records + 1);
        letters.write(refusal, &mut |encoded| gate.offer(encoded, unit.number))
    }

    fn begin(&mut self) {
        if self.began.is_none() && self.exactly_once() {
            self.began = Some(self.clock.monotonic());
        }
    }

    /// The same for what belongs to no unit: no boundary need follow it.
    pub fn send_apart(&mut self, record: &Record<'_>) -> Result<()> {
        let sent = self.unit.sent;
        self.send(record, None)?;
        self.unit.sent = sent;
        Ok(())
    }

    /// The unit is complete.
    pub fn close(&mut self, position: Position) -> Result<()> {
        if self.exactly_once() {
            self.unsaved = Some(position.clone());
        }
        self.gate.tracker.close(self.unit.number, position)?;
        self.unit = Unit { number: self.unit.number + 1, sent: 0 };
        match self.began {
            Some(began) if self.since(began) >= self.commit_interval() => self.commit(),
            _ => Ok(()),
        }
    }

    /// Counts what was acknowledged, for up to `wait`.
    pub fn serve(&mut self, wait: Duration) -> Result<()> {
        let (tracker, mut counted) = (&mut self.gate.tracker, Ok(()));
        self.gate.sink.poll(wait, &mut |unit, count| note(&mut counted, tracker.acked(unit, count)))?;
        counted
    }

    /// Waits until all that was sent is acknowledged.
    pub fn flush(&mut self, limit: Duration) -> Result<()> {
        let (tracker, mut counted) = (&mut self.gate.tracker, Ok(()));
        let acked = &mut |unit, count| note(&mut counted, tracker.acked(unit, count));
        self.gate.sink.flush(limit, acked).and(counted)
    }

    /// At least once: takes the position that follows from the acknowledgements.
    pub fn advance(&mut self) {
        if self.exactly_once() {
            return;
        }
        if let Some(position) = self.gate.tracker.take() {
            self.durable = Some(position.clone());
            self.unsaved = Some(position);
        }
    }

    /// Whether it is time to store the position. `idle`: the source has nothing more.
    pub fn due(&self, idle: bool) -> bool {
        let since = self.since(self.saved_at);
        // Not after each single transaction of many that are not far apart.
        let idle = idle && self.gate.sink.outstanding() == 0 && since >= IDLE_WAIT;
        let stale = since >= Duration::from_millis(self.config.offset.interval_ms.into());
        match self.began {
            Some(began) => self.unit.sent == 0 && (idle || self.since(began) >= self.commit_interval()),
            None => self.unsaved.is_some() && (idle || stale) && !(self.exactly_once() && self.unit.sent > 0),
        }
    }

    fn commit_interval(&self) -> Duration {
        Duration::from_millis(self.config.sink.commit_interval_ms.into())
    }

    /// Stores the newest position. Exactly once: commits, which needs the unit to be complete.
    pub fn save(&mut self) -> Result<()> {
        if self.exactly_once() {
            return self.commit();
        }
        let Some(position) = self.unsaved.take() else { return Ok(()) };
        if let Err(error) = self.offsets.save(&position) {
            self.unsaved = Some(position);
            return Err(error);
        }
        self.saved(position);
        Ok(())
    }

    fn saved(&mut self, position: Position) {
        self.unconfirmed = Some(position);
        self.saved_at = self.clock.monotonic();
    }

    /// Between two units: makes what was sent, and the position behind it, visible together.
    fn commit(&mut self) -> Result<()> {
        let position = self.unsaved.take();
        if position.is_none() && self.began.is_none() {
            return Ok(());
        }
        let start = self.clock.monotonic();
        if let Some(position) = &position {
            let message = self.offsets.message(position).ok_or_else(|| {
                Error::new(Kind::Bug, "this offset store cannot store together with records")
            })?;
            let encoded = Encoded {
                topic: &message.topic,
                partition: None,
                key: Some(&message.key),
                value: Some(&message.value),
                headers: Headers::default(),
                timestamp_ms: None,
            };
            self.gate.offer(&encoded, self.unit.number)?;
        }
        self.flush(COMMIT_LIMIT)?;
        self.gate.sink.commit(COMMIT_LIMIT)?;
        self.began = None;
        metrics::SINK_COMMITS.inc();
        metrics::SINK_COMMIT_SECONDS.inc_by(self.since(start).as_secs_f64());
        // All is acknowledged, so what the tracker gives is the last boundary: the position just stored.
        match (self.gate.tracker.take(), position) {
            (Some(_), Some(position)) => {
                metrics::OFFSET_SAVES.inc();
                self.durable = Some(position.clone());
                self.saved(position);
                Ok(())
            }
            (None, None) => Ok(()),
            _ => Err(Error::new(Kind::Bug, "the position committed is not the one acknowledged")),
        }
    }

    /// After a failure: what is in flight is waited for, or taken back; then `durable` says where to go on.
    pub fn begin_anew(&mut self) -> Result<()> {
        self.gate.sink.start()?;
        if self.exactly_once() {
            // Only the store knows whether a commit without an answer took place.
            self.durable = self.offsets.load()?;
            self.unsaved = None;
        } else {
            self.flush(FLUSH_LIMIT)?;
            self.advance();
        }
        // Nothing is in flight any more; what is left open is the unit to be read again.
        self.gate.tracker = Tracker::default();
        self.unit = Unit { number: self.unit.number + 1, sent: 0 };
        self.began = None;
        self.broken = false;
        Ok(())
    }

    /// Before leaving: what is complete is stored. Exactly once: what is not is taken back.
    pub fn finish(&mut self) -> Result<()> {
        if self.exactly_once() && (self.unit.sent > 0 || self.broken) {
            return self.gate.sink.abort(FLUSH_LIMIT);
        }
        let flushed = self.flush(FLUSH_LIMIT);
        self.advance();
        let saved = self.save();
        flushed.and(saved)
    }
}

impl Gate<'_> {
    /// Hands a message over, and waits for room while the queue is full.
    #[inline]
    fn offer(&mut self, message: &Encoded<'_>, unit: u64) -> Result<()> {
        self.tracker.sent(unit, 1)?;
        while !self.sink.offer(message, unit)? {
            (self.watch)()?;
            self.make_room()?;
        }
        Ok(())
    }

    /// The queue is full: serves acknowledgements until there is room, or until we are to stop.
    fn make_room(&mut self) -> Result<()> {
        if self.shutdown.requested() {
            return Err(Error::new(Kind::Unreachable, "asked to stop while Kafka takes no records"));
        }
        let (tracker, mut counted) = (&mut self.tracker, Ok(()));
        self.sink.poll(ROOM_WAIT, &mut |unit, count| note(&mut counted, tracker.acked(unit, count)))?;
        counted
    }
}

/// Keeps the first failure.
fn note(first: &mut Result<()>, next: Result<()>) {
    if first.is_ok() {
        *first = next;
    }
}
