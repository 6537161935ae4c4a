//! The hot path: chooses what is next, and hands a piece of it over.

use super::centre::{Centre, Outgoing};
use super::flight::{Flight, Mark};
use super::place::{Place, Tone};
use super::record::{Opened, Record};
use super::schema_id::{Role, Schemas};
use super::{Forward, SLICE};
use crate::buffer::OFFSETS_AHEAD;
use crate::config::forward::{ForwardConfig, Partitioning};
use crate::metrics;
use crate::model::batch::Batch;
use rdkafka::message::{Header, OwnedHeaders};
use shared::error::{Error, Kind, Result};
use tokio::runtime::Handle;

/// Bytes of the log that one read takes: reads are short, the log's file is not held up by them.
const READ_BYTES: usize = 1 << 20;

/// What was read of a place and is not handed over yet.
pub struct Reading {
    place: usize,
    batches: std::vec::IntoIter<Batch>,
    opened: Option<Opened>,
}

/// Why handing over paused before the piece was full.
enum Pause {
    /// The piece is full, or there is nothing more.
    Done,
    /// The client's queue is full.
    Full,
    /// This record cannot go; the place waits.
    Held(Error),
}

impl Forward {
    /// The most important place with something to send; among equals the one being read, then the next.
    pub(super) fn choose(&self) -> Option<usize> {
        let now = self.clock.monotonic();
        let current = self.reading.as_ref().map(|reading| reading.place);
        let begin = current.map_or(0, |at| at + 1);
        let count = self.places.len();
        let order = (0..count).map(|n| (begin + n) % count);
        let may =
            |at: &usize| self.places.get(*at).is_some_and(|place| place.wants(now) && !self.is_busy(place));
        let wanting = order.filter(may);
        let rank = |at: &usize| self.places.get(*at).map_or(usize::MAX, |place| place.rank);
        let best = wanting.min_by_key(rank)?;
        let unread = |reading: &Reading| reading.opened.is_some() || reading.batches.len() > 0;
        let stays = self.reading.as_ref().filter(|reading| unread(reading)).map(|reading| reading.place);
        let stays = stays.filter(may);
        Some(stays.filter(|at| rank(at) <= rank(&best)).unwrap_or(best))
    }

    /// Whether its next piece waits for the one that is under way.
    pub(super) fn is_busy(&self, place: &Place) -> bool {
        place.under_way > 0 && self.pace.one_by_one()
    }

    /// Hands over a piece of this place.
    pub(super) fn hand_over(&mut self, at: usize, runtime: &Handle) -> Result<()> {
        let Some(client) = &mut self.client else { return Ok(()) };
        let Some(place) = self.places.get_mut(at) else { return Ok(()) };
        if self.reading.as_ref().is_none_or(|reading| reading.place != at) {
            self.reading = Some(Reading { place: at, batches: Vec::new().into_iter(), opened: None });
        }
        let Some(reading) = &mut self.reading else { return Ok(()) };
        if reading.opened.is_none() && reading.batches.len() == 0 {
            let batches = self.log.read(&self.reader, place.local.id, place.sent.next_offset, READ_BYTES)?;
            skipped(place, batches.first());
            reading.batches = batches.into_iter();
        }
        client.begin()?;
        let number = self.flight.begin(at, place.sent, self.clock.monotonic(), place.under_way == 0);
        place.under_way += 1;
        let limit = self.pace.piece(self.config.batch_bytes as usize);
        let mut hand = Hand {
            config: &self.config,
            client: &**client,
            place,
            schemas: &mut self.schemas,
            flight: &mut self.flight,
            number,
            bytes: 0,
        };
        let pause = hand.piece(reading, limit, runtime);
        let (mark, bytes) = (hand.place.sent, hand.bytes);
        self.flight.end(mark);
        if let Some(limiter) = &mut self.limiter {
            limiter.take(bytes);
        }
        match pause? {
            Pause::Done => Ok(()),
            Pause::Full => self.poll(SLICE),
            Pause::Held(error) => {
                self.hold(at, &error);
                Ok(())
            }
        }
    }

    fn hold(&mut self, at: usize, error: &Error) {
        self.reading = None;
        let away = error.retryable();
        if away && !std::mem::replace(&mut self.registry_waits, true) {
            tracing::warn!(
                event = "forward_registry_waits", %error, remedy = error.hint(),
                "a schema cannot be registered at the centre for now; its topics wait, others go on"
            );
        }
        if let Some(place) = self.places.get_mut(at) {
            let until = place.sent.next_offset.saturating_add(1);
            let tone = if away { Tone::Silent } else { Tone::Warn };
            place.hold(error, until, tone, self.clock.monotonic());
        }
    }
}

/// Something was trimmed before it was brought.
fn skipped(place: &Place, first: Option<&Batch>) {
    let Some(first) = first.map(|batch| batch.base_offset) else { return };
    let records = first.saturating_sub(place.sent.next_offset);
    // A copy's offsets go on far ahead; nothing lay between.
    if records <= 0 || records >= OFFSETS_AHEAD {
        return;
    }
    let (topic, partition) = (place.topic(), place.local.index);
    if place.sent.next_offset == 0 {
        tracing::info!(
            event = "forward_begins_behind",
            topic,
            partition,
            offset = first,
            "what the log no longer has of this partition is not brought to the centre"
        );
    } else {
        metrics::FORWARD_SKIPPED.inc_by(records.unsigned_abs());
        tracing::warn!(
            event = "forward_skipped",
            topic,
            partition,
            records,
            remedy = "raise buffer.max_bytes",
            "records were removed from the log before they were brought to the centre"
        );
    }
}

/// What a piece is handed over with.
struct Hand<'a> {
    config: &'a ForwardConfig,
    client: &'a dyn Centre,
    place: &'a mut Place,
    schemas: &'a mut Schemas,
    flight: &'a mut Flight,
    number: u64,
    bytes: usize,
}

impl Hand<'_> {
    fn piece(&mut self, reading: &mut Reading, limit: usize, runtime: &Handle) -> Result<Pause> {
        while self.bytes < limit {
            let Some(opened) = &mut reading.opened else {
                let Some(batch) = reading.batches.next() else { return Ok(Pause::Done) };
                match Opened::open(&batch, self.config.unpacked_bytes) {
                    Ok(opened) => reading.opened = Some(opened),
                    Err(why) => return Ok(Pause::Held(damaged(why))),
                }
                continue;
            };
            let at = opened.at();
            match opened.next() {
                None => {
                    self.place.sent = Mark { next_offset: opened.next_offset, checksum: opened.checksum };
                    reading.opened = None;
                }
                Some(Err(why)) => return Ok(Pause::Held(damaged(why))),
                Some(Ok(record)) if record.offset < self.place.sent.next_offset => {}
                Some(Ok(record)) => match self.record(opened, &record, runtime) {
                    Ok(true) => {
                        let next_offset = record.offset.saturating_add(1);
                        self.place.sent = Mark { next_offset, checksum: opened.checksum };
                    }
                    Ok(false) => {
                        opened.put_back(at);
                        return Ok(Pause::Full);
                    }
                    Err(Refused::Record(error)) => return Ok(Pause::Held(error)),
                    Err(Refused::All(error)) => return Err(error),
                },
            }
        }
        Ok(Pause::Done)
    }

    /// `false`: not now.
    fn record(&mut self, opened: &mut Opened, record: &Record, runtime: &Handle) -> Sent {
        let (plain_key, plain_value) = self.place.plain;
        for (role, part, plain) in
            [(Role::Key, &record.key, plain_key), (Role::Value, &record.value, plain_value)]
        {
            let Some(part) = part.as_ref().filter(|_| !plain && !opened.is_rewritten) else { continue };
            match opened.schema(part) {
                Some(local) => {
                    let central = self.central(role, local, runtime).map_err(Refused::Record)?;
                    opened.set_schema(part, central);
                }
                None => metrics::FORWARD_PLAIN.inc(),
            }
        }
        let headers = headers(opened, record).map_err(|why| Refused::Record(damaged(why)))?;
        let outgoing = Outgoing {
            topic: &self.place.local.topic,
            partition: self.partition(record.key.is_some()).map_err(Refused::Record)?,
            time_ms: record.time_ms,
            key: record.key.as_ref().map(|part| opened.slice(part)),
            value: record.value.as_ref().map(|part| opened.slice(part)),
            headers,
            number: self.number,
        };
        match self.client.send(outgoing) {
            Ok(true) => {
                let bytes = record.bytes();
                self.flight.add(bytes);
                self.bytes += bytes;
                Ok(true)
            }
            Ok(false) => Ok(false),
            Err(error) if matches!(error.kind(), Kind::Data) => Err(Refused::Record(error)),
            Err(error) => Err(Refused::All(error)),
        }
    }

    #[inline]
    fn central(
        &mut self,
        role: Role,
        local: shared::avro::wire::SchemaId,
        runtime: &Handle,
    ) -> Result<shared::avro::wire::SchemaId> {
        if let Some(central) = self.place.id(role, local) {
            return Ok(central);
        }
        let central = self.schemas.central(&self.place.local.topic, role, local, runtime)?;
        self.place.set_id(role, local, central);
        Ok(central)
    }

    /// Keys go where the Java client puts them, by the bytes that arrive: so all agents of a fleet, and a
    /// connector beside them, put a key into one partition, whatever their local ids are. What has no key
    /// keeps its number if there is such a partition.
    fn partition(&self, has_key: bool) -> Result<Option<i32>> {
        let local = self.place.local.index;
        let central = self.place.central.unwrap_or(0);
        let exists = u32::try_from(local).is_ok_and(|local| local < central);
        match (self.config.partition, has_key) {
            (Partitioning::Key, true) => Ok(None),
            (Partitioning::Key, false) => Ok(exists.then_some(local)),
            (Partitioning::Same, _) if exists => Ok(Some(local)),
            (Partitioning::Same, _) => {
                let what =
                    format!("the central topic has {central} partitions, there is no partition {local}");
                Err(Error::new(Kind::Rejected, what)
                    .remedy("add partitions to it, or set forward.partition = \"key\""))
            }
        }
    }
}

/// Whether a record was taken, and if not, whom that concerns.
type Sent = std::result::Result<bool, Refused>;

enum Refused {
    Record(Error),
    All(Error),
}

fn damaged(why: &'static str) -> Error {
    Error::new(Kind::Data, why).remedy("the batch cannot be opened; nothing behind it is sent")
}

fn headers(opened: &Opened, record: &Record) -> std::result::Result<Option<OwnedHeaders>, &'static str> {
    let mut out = None;
    for header in opened.headers(record) {
        let (key, value) = header?;
        let headers = out.unwrap_or_else(OwnedHeaders::new);
        out = Some(headers.insert(Header { key, value }));
    }
    Ok(out)
}
