//! The client's life: begun, asked how far we are, seen home, dropped when it failed.

use super::centre::{Centre, Position};
use super::client::ANSWER_LIMIT;
use super::cursor::Noted;
use super::flight::Mark;
use super::place::{Place, Tone};
use super::{Forward, SLICE, STOP_LIMIT, cursor, refusal};
use crate::metrics;
use crate::model::batch::PartitionId;
use rusqlite::Connection;
use shared::error::{Error, Kind, Result};
use shared::kafka::batch::checksum;
use std::time::Duration;
use tokio::runtime::Handle;

/// The file's note is written this often: each is a synced commit.
const NOTE_EVERY: Duration = Duration::from_secs(1);
/// With something on its way and no acknowledgement for so long, the link is taken to be away.
const SILENCE: Duration = Duration::from_secs(10);

impl Forward {
    fn since(&self, moment: Duration) -> Duration {
        self.clock.monotonic().saturating_sub(moment)
    }

    pub(super) fn client(&self) -> Result<&dyn Centre> {
        self.client.as_deref().ok_or_else(|| Error::new(Kind::Bug, "there is no client"))
    }

    /// Makes a client if there is none, and begins.
    pub(super) fn connect(&mut self) -> Result<()> {
        if self.started {
            return Ok(());
        }
        let client = match &mut self.client {
            Some(client) => client,
            none => none.insert((self.make)(&self.config, &self.name, &self.clock)?),
        };
        let cluster = client.cluster()?;
        client.start()?;
        if cluster != self.cluster || self.noted.is_empty() {
            self.retarget(cluster)?;
        }
        self.places.iter_mut().for_each(Place::restart);
        self.flight.forget();
        self.uncommitted = (0, 0);
        self.reading = None;
        self.last_arrival = self.clock.monotonic();
        self.started = true;
        Ok(())
    }

    /// Another cluster has nothing of what the log still holds, or what its own note says.
    fn retarget(&mut self, cluster: String) -> Result<()> {
        self.noted = cursor::load(&self.reader, &cluster)?;
        let (brokers, named) = (self.config.kafka.brokers.clone(), cluster.clone());
        self.db.write(move |tx| cursor::set_target(tx, &brokers, &named))?;
        self.kept.replace(&self.noted);
        if cluster != self.cluster {
            for place in &mut self.places {
                place.noted = self.noted.get(&place.local.id).copied().unwrap_or_default();
                place.told = place.noted.told;
                place.done = Mark { next_offset: place.noted.next_offset, checksum: 0 };
            }
        }
        self.cluster = cluster;
        Ok(())
    }

    /// After an error: a client that had begun may be of no use any more.
    pub fn leave(&mut self, error: &Error) {
        tracing::debug!(event = "forward_left", %error, "the client is given up");
        if self.started || !error.retryable() {
            self.drop_client();
            self.pace.failed();
        }
    }

    pub(super) fn drop_client(&mut self) {
        self.started = false;
        self.client = None;
        self.reading = None;
        self.flight.forget();
    }

    /// Asks how far the place's topic is at the centre, if that is not known. `false`: not now.
    pub(super) fn resolve(&mut self, at: usize, runtime: &Handle) -> Result<bool> {
        let Some(place) = self.places.get(at).filter(|place| place.central.is_none()) else {
            return Ok(true);
        };
        let topic = place.topic().to_owned();
        let client = self.client.as_deref().ok_or_else(|| Error::new(Kind::Bug, "there is no client"))?;
        let partitions = match self.topics.partitions(client, &topic, runtime) {
            Ok(Some(partitions)) => partitions,
            Ok(None) => {
                let error = Error::new(Kind::Rejected, "the centre has no such topic").remedy(
                    "create it there, or add a rule for it (forward.topic), or allow the brokers to make it",
                );
                self.hold_topic(&topic, &error, Tone::Patient);
                return Ok(false);
            }
            Err(error) if error.retryable() => return Err(error),
            Err(error) => {
                self.hold_topic(&topic, &error, Tone::Warn);
                return Ok(false);
            }
        };
        let committed = client.committed(&topic, partitions)?;
        for place in self.places.iter_mut().filter(|place| place.topic() == topic) {
            match committed.get(&place.local.index) {
                Some(mark) if mark.next_offset > place.done.next_offset => {
                    verify(&self.log, &self.reader, place, *mark)?;
                    place.done = *mark;
                }
                Some(mark) if mark.next_offset < place.told => {
                    verify(&self.log, &self.reader, place, *mark)?;
                    let (cluster, partition, next) = (self.cluster.clone(), place.local.id, mark.next_offset);
                    self.db.write(move |tx| cursor::take_back(tx, &cluster, partition, next))?;
                    let noted = place.take_back(*mark);
                    self.noted.insert(partition, noted);
                    self.kept.set(&[(partition, noted)]);
                }
                _ => {}
            }
            place.sent = place.done;
            place.central = Some(partitions);
        }
        Ok(true)
    }

    pub(super) fn hold_topic(&mut self, topic: &str, error: &Error, tone: Tone) {
        self.topics.forget(topic);
        let now = self.clock.monotonic();
        for place in self.places.iter_mut().filter(|place| place.topic() == topic) {
            // Those with nothing to send have nothing to stop at.
            if place.wants(now) || place.sent != place.done || place.held.is_some() {
                // What was handed over is to blame, or else what comes next.
                let next = i64::from(place.sent == place.done);
                let until = place.sent.next_offset.saturating_add(next);
                place.hold(error, until, tone, now);
            }
            place.central = None;
        }
    }

    /// Takes acknowledgements, waiting at most `wait` for them.
    pub(super) fn poll(&mut self, wait: Duration) -> Result<()> {
        let client = self.client.as_ref().ok_or_else(|| Error::new(Kind::Bug, "there is no client"))?;
        let polled = client.poll(wait);
        client.take(&mut self.acknowledged);
        for (number, records) in self.acknowledged.drain(..) {
            self.flight.acknowledge(number, records);
        }
        self.arrivals();
        match polled {
            Ok(()) => {}
            Err((error, None)) => return Err(error),
            Err((error, Some(topic))) => {
                self.hold_topic(&topic, &error, Tone::Warn);
                let what = format!("topic {topic} is held: {error}");
                // Others begin anew from what is done.
                self.drop_client();
                tracing::debug!(event = "forward_begins_anew", what, "the client is made anew");
                return self.connect();
            }
        }
        self.silence()
    }

    fn arrivals(&mut self) {
        let transactions = self.config.exactly_once();
        let now = self.clock.monotonic();
        let mut any = false;
        while let Some(arrived) = self.flight.arrived() {
            any = true;
            self.pace.acknowledged(now.saturating_sub(arrived.since));
            self.uncommitted.0 += arrived.records;
            self.uncommitted.1 += arrived.bytes as u64;
            let Some(place) = self.places.get_mut(arrived.place) else { continue };
            let within = place.arrived(&arrived, now);
            self.pace.served(within, arrived.alone);
            if !transactions {
                place.done = arrived.mark;
            }
        }
        if any {
            self.last_arrival = self.clock.monotonic();
            if !transactions {
                self.link.works();
                self.count();
            }
            self.registry_works();
        }
        if self.flight.is_empty() {
            self.last_arrival = self.clock.monotonic();
        }
    }

    /// When nobody waits for the registry any more.
    fn registry_works(&mut self) {
        let silent = |place: &Place| place.held.as_ref().is_some_and(|held| !held.is_said());
        if self.registry_waits && !self.places.iter().any(silent) {
            self.registry_waits = false;
            tracing::info!(event = "forward_registry_works", "schemas are registered at the centre again");
        }
    }

    /// What was acknowledged is there for everybody.
    fn count(&mut self) {
        let (records, bytes) = std::mem::take(&mut self.uncommitted);
        metrics::FORWARDED_RECORDS.inc_by(records);
        metrics::FORWARDED_BYTES.inc_by(bytes);
        self.watch.update(|state| {
            state.records += records;
            state.bytes += bytes;
        });
    }

    /// Says that the link is away when nothing comes back.
    ///
    /// # Errors
    /// `Unreachable`: the brokers have long ended the open transaction, and the client still waits for its records
    /// without giving them up. It is not to be waited for; the next one begins anew.
    fn silence(&mut self) -> Result<()> {
        let Some(client) = self.client.as_ref().filter(|_| !self.flight.is_empty()) else { return Ok(()) };
        if client.transaction_age().is_some_and(|age| age >= self.config.transaction_timeout + SILENCE) {
            let what =
                "the transaction's time is over, and its records are neither acknowledged nor given up";
            return Err(Error::new(Kind::Unreachable, what).remedy(refusal::AWAY));
        }
        if self.link.is_waiting() {
            return Ok(());
        }
        let lost = client.lost();
        if lost.is_some() || self.since(self.last_arrival) >= SILENCE {
            let what = lost.unwrap_or_else(|| format!("no acknowledgement for {} s", SILENCE.as_secs()));
            self.link.waits(&Error::new(Kind::Unreachable, what).remedy(refusal::AWAY));
        }
        Ok(())
    }

    /// Waits until all that was handed over is acknowledged, and shows it.
    pub(super) fn settle(&mut self) -> Result<()> {
        while !self.flight.is_empty() {
            self.poll(SLICE)?;
            if self.next_look.is_none_or(|at| self.clock.monotonic() >= at) {
                self.look();
            }
            if self.shutdown.requested() {
                let now = self.clock.monotonic();
                if now >= *self.stop_by.get_or_insert(now + STOP_LIMIT) {
                    return Err(Error::new(Kind::Unreachable, "the stop does not wait any longer"));
                }
            }
        }
        self.commit()
    }

    fn commit(&mut self) -> Result<()> {
        let Some(client) = self.client.as_ref().filter(|client| client.transaction_age().is_some()) else {
            return Ok(());
        };
        let begun = client.transaction_age();
        let positions = self.committable();
        let limit = match self.shutdown.requested() {
            true => STOP_LIMIT,
            false => self.config.transaction_timeout.max(ANSWER_LIMIT),
        };
        if let Some(client) = &mut self.client {
            client.commit(&positions, limit)?;
        }
        self.link.works();
        metrics::FORWARD_TRANSACTIONS.inc();
        tracing::debug!(event = "forward_committed", records = self.uncommitted.0, age = ?begun, "committed");
        // Of a topic in which nothing moved the group was told nothing.
        for place in self.places.iter_mut().filter(|place| place.has_moved()) {
            place.done = place.sent;
            place.told = place.done.next_offset;
        }
        self.count();
        Ok(())
    }

    /// How far each topic is that moved, told by all of its partitions.
    fn committable(&self) -> Vec<Position> {
        let moved = self.places.iter().filter(|place| place.has_moved());
        let mut topics: Vec<(&str, u32)> = moved.map(|p| (p.topic(), p.central.unwrap_or(1))).collect();
        topics.sort_unstable();
        topics.dedup();
        let mut positions = Vec::new();
        for (topic, count) in topics {
            let of_topic: Vec<&Place> = self.places.iter().filter(|place| place.topic() == topic).collect();
            for central in (0i32..).take(count as usize) {
                let count = i32::try_from(count).unwrap_or(i32::MAX).max(1);
                let here = of_topic.iter().filter(|place| place.local.index % count == central);
                let marks: Vec<(i32, Mark)> = here.map(|place| (place.local.index, place.sent)).collect();
                if let Some((_, first)) = marks.first() {
                    let (topic, next_offset) = (topic.to_owned(), first.next_offset);
                    positions.push(Position { topic, partition: central, next_offset, marks });
                }
            }
        }
        positions
    }

    /// Notes in the file what is done, if that is due. A disk that is full is somebody else's to say.
    pub(super) fn note(&mut self, now: bool) {
        if self.since(self.last_note) < NOTE_EVERY && !now {
            return;
        }
        let moved: Vec<(PartitionId, Noted)> = self
            .places
            .iter()
            .filter(|place| place.done.next_offset > place.noted.next_offset)
            .map(|place| (place.local.id, place.to_note()))
            .collect();
        self.last_note = self.clock.monotonic();
        if moved.is_empty() {
            return;
        }
        let (cluster, lines) = (self.cluster.clone(), moved.clone());
        let noted = self.db.write(move |tx| {
            lines.iter().try_for_each(|(partition, noted)| cursor::set(tx, &cluster, *partition, *noted))
        });
        if let Err(error) = noted {
            tracing::debug!(event = "forward_not_noted", %error, "positions are noted later");
            return;
        }
        for place in &mut self.places {
            place.noted = place.to_note();
        }
        self.noted.extend(moved.iter().copied());
        self.kept.set(&moved);
    }
}

/// What the centre says of us must be of this very file: its record before the offset is ours.
fn verify(log: &crate::buffer::Log, reader: &Connection, place: &Place, mark: Mark) -> Result<()> {
    let last = mark.next_offset - 1;
    // Nothing before the start is sent, whoever sent it: a deleted topic's records are not here to be compared.
    if mark.next_offset <= place.local.start() {
        return Ok(());
    }
    let found = log.read(reader, place.local.id, last, 1)?;
    let same = found.first().is_some_and(|batch| {
        (batch.base_offset..=batch.last_offset).contains(&last) && checksum(&batch.records) == mark.checksum
    });
    match same {
        true => Ok(()),
        false => Err(Error::new(
            Kind::Lost,
            format!(
                "the centre has records of {} partition {} up to offset {last} that are not in this file: it is \
                 a copy, or an older backup, of the file that sent them",
                place.topic(),
                place.local.index
            ),
        )
        .remedy("begin with a new file (db.path) if what this one holds may be sent as new, and stop the other agent")),
    }
}
