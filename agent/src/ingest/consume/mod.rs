//! Central Kafka as a source: what others wrote there goes into the log here, exactly once.
//!
//! ```text
//! central Kafka ─> poll ─> schema ids rewritten ─> batches ─┐ one transaction
//!                          │      └─ local registry         ├──────────────> log
//!                          └─ central registry              └ position
//! ```
//! A thread of its own reads partitions assigned by hand, without a group: positions lie in the file
//! and move in the transaction that appends what was read, so that a crash anywhere repeats nothing
//! and skips nothing. When brokers or registry are away, or the log is full, it waits and reads no
//! further; the rest of the agent goes on. A schema id that cannot be translated stops its partition.

mod client;
mod place;
mod position;
pub mod progress;
mod reference;
mod schema_id;

pub use schema_id::Adopt;

use crate::buffer::{Append, CannotCreate, Log, Outcome, With};
use crate::config::consume::ConsumeConfig;
use crate::db::Db;
use crate::metrics;
use bytes::BytesMut;
use client::{Client, Polled};
use place::{Packed, Place};
use progress::Watch;
use rdkafka::message::Message;
use rusqlite::Connection;
use schema_id::Schemas;
use shared::error::{Context, Error, Kind, Result};
use shared::kafka::batch::Head;
use shared::registry::Registry;
use shared::retry::Backoff;
use shared::shutdown::Shutdown;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

/// A stop is noticed this late at most.
const POLL_LIMIT: Duration = Duration::from_millis(100);
const RETRY_FIRST: Duration = Duration::from_millis(250);
/// New partitions are looked for this often …
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// … and topics that are not there this often.
const LOOK_MISSING_EVERY: Duration = Duration::from_secs(2);

/// The thread's parts.
pub struct Consumer {
    config: ConsumeConfig,
    db: Db,
    log: Arc<Log>,
    reader: Connection,
    client: Client,
    schemas: Schemas,
    cluster: String,
    places: Vec<Place>,
    missing: Vec<String>,
    /// When to look at the topics again; `None`: before anything else.
    next_look: Option<Instant>,
    waiting: bool,
    /// One transaction's worth is under way at a time.
    memory: Arc<Semaphore>,
    watch: Watch,
    shutdown: Shutdown,
}

impl Consumer {
    /// Reaches nothing yet: the agent starts without the centre.
    ///
    /// # Errors
    /// `Config`: a property that librdkafka does not take, or unusable TLS files.
    pub fn new(
        config: &ConsumeConfig,
        db: &Db,
        log: Arc<Log>,
        adopt: Adopt,
        watch: Watch,
        shutdown: Shutdown,
    ) -> Result<Consumer> {
        let central = Registry::new(config.registry.clone())?;
        let address = config.registry.url.join(" ");
        Ok(Consumer {
            client: Client::new(config)?,
            schemas: Schemas::open(db, central, address, adopt)?,
            reader: db.reader()?,
            db: db.clone(),
            config: config.clone(),
            log,
            cluster: String::new(),
            places: Vec::new(),
            missing: Vec::new(),
            next_look: None,
            waiting: false,
            memory: Arc::new(Semaphore::new(1)),
            watch,
            shutdown,
        })
    }

    /// Reads until the program stops.
    pub fn run(mut self, runtime: &Handle) -> Result<()> {
        let mut backoff = Backoff::new(RETRY_FIRST, self.config.retry_ceiling);
        while !self.shutdown.requested() {
            match self.turn(runtime) {
                Ok(()) => {
                    backoff.reset();
                    self.works();
                }
                Err(error) => self.again(&error, backoff.delay(), runtime),
            }
            self.show();
        }
        Ok(())
    }

    /// Reads one topic to where it ends now, for whoever has no agent; `show` is told how many records came. True
    /// if the brokers no longer have the first ones. Blocks; waits while they are away, until the program stops.
    ///
    /// # Errors
    /// `Config` if there is no such topic; `Data` for a record that cannot be taken.
    pub fn run_to_end(mut self, runtime: &Handle, show: &mut dyn FnMut(u64)) -> Result<bool> {
        self.client = Client::with_ends(&self.config, true)?;
        let mut backoff = Backoff::new(RETRY_FIRST, self.config.retry_ceiling);
        while !self.shutdown.requested() {
            match self.turn(runtime) {
                Ok(()) => {
                    backoff.reset();
                    self.works();
                    if self.is_at_end()? {
                        break;
                    }
                }
                Err(error) if error.retryable() => self.again(&error, backoff.delay(), runtime),
                Err(error) => return Err(error),
            }
            show(self.watch.get().records);
        }
        let mut cut = false;
        for place in &self.places {
            cut |= self.client.is_cut(&place.topic, place.partition)?;
        }
        Ok(cut)
    }

    fn is_at_end(&self) -> Result<bool> {
        if let Some(topic) = self.missing.first() {
            return Err(Error::new(Kind::Config, format!("central Kafka has no topic {topic}")));
        }
        let stopped = |place: &Place| Some((place.partition, place.stopped.as_ref()?.error.clone()));
        match self.places.iter().find_map(stopped) {
            Some((partition, why)) => Err(Error::new(Kind::Data, format!("partition {partition}: {why}"))),
            None => Ok(self.places.iter().all(|place| place.at_end)),
        }
    }

    /// Waits, and looks at everything anew.
    fn again(&mut self, error: &Error, pause: Duration, runtime: &Handle) {
        self.waits(error);
        self.next_look = None;
        self.pause(runtime, pause);
    }

    /// Said once per outage, and once when it is over.
    fn waits(&mut self, error: &Error) {
        if !std::mem::replace(&mut self.waiting, true) {
            tracing::warn!(
                event = "consume_waits", %error, remedy = error.hint(),
                "central Kafka is not read for now; nothing is lost, it is tried again"
            );
        }
        metrics::CONSUME_CONNECTED.set(0);
        self.watch.update(|state| {
            state.connected = false;
            state.error = Some(error.to_string());
        });
    }

    fn works(&mut self) {
        if std::mem::replace(&mut self.waiting, false) {
            tracing::info!(event = "consume_works", "central Kafka is read again");
        }
        metrics::CONSUME_CONNECTED.set(1);
        self.watch.update(|state| {
            state.connected = true;
            state.error = None;
        });
    }

    fn show(&self) {
        let partition = |place: &Place| progress::Partition {
            topic: place.topic.clone(),
            partition: place.partition,
            next_offset: place.next_offset,
            error: place.stopped.as_ref().map(|stopped| stopped.error.clone()),
        };
        let stopped = self.places.iter().filter(|place| place.stopped.is_some()).count();
        metrics::CONSUME_STOPPED.set(i64::try_from(stopped).unwrap_or(i64::MAX));
        self.watch.update(|state| {
            state.partitions = self.places.iter().map(partition).collect();
            state.missing.clone_from(&self.missing);
        });
    }

    /// True if the program stops.
    fn pause(&self, runtime: &Handle, pause: Duration) -> bool {
        runtime.block_on(async { tokio::time::timeout(pause, self.shutdown.wait()).await.is_ok() })
    }

    /// Looks at topics if that is due, reads what is there, stores it.
    fn turn(&mut self, runtime: &Handle) -> Result<()> {
        if self.next_look.is_none_or(|at| Instant::now() >= at) {
            self.look(runtime)?;
        }
        // All that are due, not only the first.
        if self.places.iter_mut().filter_map(|place| place.retry().then_some(())).count() > 0 {
            self.assign()?;
        }
        let gathered = self.gather(runtime);
        self.store(runtime)?;
        gathered?;
        match self.client.take_lost() {
            Some(why) => Err(Error::new(Kind::Unreachable, format!("no broker can be reached: {why}"))),
            None => Ok(()),
        }
    }

    /// Finds the topics' partitions and gives each its local one. After an error, or if any is new,
    /// reading begins anew from the stored positions.
    fn look(&mut self, runtime: &Handle) -> Result<()> {
        let cluster = self.client.cluster()?;
        let mut changed = self.next_look.is_none();
        if cluster != self.cluster {
            self.places.clear();
            self.cluster = cluster;
            changed = true;
        }
        for topic in self.topics()? {
            let partitions = self.client.partitions(&topic)?;
            self.note_missing(&topic, partitions == 0);
            let known = self.places.iter().filter(|place| place.topic == topic).count();
            for partition in (0i32..).take(partitions as usize).skip(known) {
                let place = self.place(&topic, partition, partitions, runtime)?;
                self.places.push(place);
                changed = true;
            }
        }
        if changed {
            self.assign()?;
        }
        let pause = if self.missing.is_empty() { LOOK_EVERY } else { LOOK_MISSING_EVERY };
        self.next_look = Some(Instant::now() + pause);
        Ok(())
    }

    /// The topics that are meant, each once. A pattern takes what is there now, and new ones at the next look.
    fn topics(&self) -> Result<Vec<String>> {
        let mut names: Vec<String> = Vec::new();
        for name in &self.config.topics {
            match name.strip_suffix('*') {
                Some(beginning) => names.extend(self.client.topics_with(beginning)?),
                None => names.push(name.clone()),
            }
        }
        let mut seen = std::collections::HashSet::new();
        names.retain(|name| seen.insert(name.clone()));
        Ok(names)
    }

    fn note_missing(&mut self, topic: &str, is_missing: bool) {
        let known = self.missing.iter().position(|missing| missing == topic);
        match (is_missing, known) {
            (true, None) => {
                tracing::warn!(
                    event = "consume_topic_missing",
                    topic,
                    remedy = "is the name right (consume.topics)? else its producer will make it",
                    "central Kafka has no such topic yet; it is looked for again"
                );
                self.missing.push(topic.to_owned());
            }
            (false, Some(at)) => {
                tracing::info!(event = "consume_topic_found", topic, "the topic is there now");
                self.missing.swap_remove(at);
            }
            _ => {}
        }
    }

    /// The local partition has the same number; if the local topic was made with fewer, they share.
    fn place(&self, topic: &str, partition: i32, partitions: u32, runtime: &Handle) -> Result<Place> {
        let refused = |why: CannotCreate| {
            Error::new(Kind::Config, format!("the local topic {topic} cannot be made: {why:?}"))
                .remedy("check the name in consume.topics, and buffer.max_topics")
        };
        let local = runtime.block_on(self.log.create_topic(topic, partitions))?.map_err(refused)?;
        let count = i32::try_from(local.partitions.len()).unwrap_or(i32::MAX).max(1);
        let local = local.partition(partition % count).map(Arc::clone);
        let local = local.ok_or_else(|| Error::new(Kind::Bug, format!("topic {topic} has no partitions")))?;
        let next_offset = match position::load(&self.reader, &self.cluster, topic, partition)? {
            Some(next_offset) => Some(next_offset),
            None => self.begin(topic, partition)?,
        };
        Ok(Place::new(topic, partition, local, next_offset))
    }

    /// The place to begin at, noted at once: after a restart "latest" must mean what it meant before.
    fn begin(&self, topic: &str, partition: i32) -> Result<Option<i64>> {
        let next_offset = self.client.start(&self.config.start, topic, partition)?;
        if let Some(next_offset) = next_offset {
            let (cluster, topic) = (self.cluster.clone(), topic.to_owned());
            self.db.write(move |tx| position::set(tx, &cluster, &topic, partition, next_offset))?;
        }
        Ok(next_offset)
    }

    fn assign(&self) -> Result<()> {
        let read = self.places.iter().filter(|place| place.is_read());
        self.client.assign(read.map(|place| (place.topic.as_str(), place.partition, place.next_offset)))
    }

    /// Takes what has arrived, up to one transaction's worth.
    fn gather(&mut self, runtime: &Handle) -> Result<()> {
        let (mut bytes, mut wait) = (0, POLL_LIMIT);
        let (mut stopped, mut gone) = (false, false);
        while bytes < self.config.batch_bytes
            && let Some(polled) = self.client.poll(wait)?
        {
            wait = Duration::ZERO;
            let message = match polled {
                Polled::Record(message) => message,
                Polled::PlaceGone => {
                    gone = true;
                    continue;
                }
                Polled::End(partition) => {
                    let ended = self.places.iter_mut().filter(|place| place.partition == partition);
                    ended.for_each(|place| place.at_end = true);
                    continue;
                }
                Polled::Nothing => continue,
            };
            let (topic, partition) = (message.topic(), message.partition());
            let found = self.places.iter_mut().find(|p| p.partition == partition && p.topic == topic);
            let Some(place) = found else { continue };
            match place.take(&message, &mut self.schemas, runtime) {
                Ok(taken) => bytes += taken,
                // The registry is away, or our own file does not take the pair: it concerns all.
                Err(error) if error.retryable() => return Err(error),
                Err(error) => {
                    place.stop(&error);
                    stopped = true;
                }
            }
        }
        metrics::CONSUMED_BYTES.inc_by(bytes as u64);
        if gone {
            self.stop_lost()?;
            stopped = true;
        }
        // What librdkafka has read ahead of a stopped partition is dropped.
        if stopped { self.reassign(runtime) } else { Ok(()) }
    }

    /// What was taken is stored first: an assignment begins at stored positions.
    fn reassign(&mut self, runtime: &Handle) -> Result<()> {
        self.store(runtime)?;
        self.assign()
    }

    /// Stops the partitions whose place the brokers no longer have.
    fn stop_lost(&mut self) -> Result<()> {
        for place in self.places.iter_mut().filter(|place| place.is_read()) {
            let Some(next) = place.next_offset else { continue };
            if !self.client.has(&place.topic, place.partition, next)? {
                let what = format!("the brokers no longer have offset {next}");
                place.stop(&Error::new(Kind::Lost, what).remedy(
                    "records were lost before they were read: begin with a new file (db.path), or go on with what is left (consume.lost = \"earliest\")",
                ));
            }
        }
        Ok(())
    }

    /// Appends what was taken. A full log makes it wait here, with nothing read meanwhile.
    fn store(&mut self, runtime: &Handle) -> Result<()> {
        let mut packed: Vec<Packed> =
            self.places.iter_mut().enumerate().filter_map(|(at, place)| place.pack(at)).collect();
        let mut backoff = Backoff::new(RETRY_FIRST, self.config.retry_ceiling);
        while !packed.is_empty() {
            let stored = match self.append(&packed, runtime) {
                Ok(outcomes) => outcomes,
                // The log says that it is full, or the disk failing, by itself.
                Err(error) if error.retryable() => vec![false; packed.len()],
                Err(error) => return Err(error),
            };
            let mut stored = stored.into_iter();
            packed.retain(|packed| {
                let is_stored = stored.next().unwrap_or(false);
                if is_stored && let Some(place) = self.places.get_mut(packed.at) {
                    place.stored(packed.next_offset);
                    metrics::CONSUMED_RECORDS.inc_by(packed.records);
                    self.watch.update(|state| state.records += packed.records);
                }
                !is_stored
            });
            if !packed.is_empty() {
                self.watch.update(|state| state.error = Some("waits for room in the log".to_owned()));
                if self.pause(runtime, backoff.delay()) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// One transaction: batches and the positions behind them. Says of each whether it is stored.
    fn append(&self, packed: &[Packed], runtime: &Handle) -> Result<Vec<bool>> {
        let mut frame = BytesMut::new();
        let mut appends = Vec::with_capacity(packed.len());
        let mut moves = Vec::with_capacity(packed.len());
        for one in packed {
            let Some(place) = self.places.get(one.at) else { continue };
            let head = Head::read(&one.batch).map_err(|unsound| {
                Error::new(Kind::Bug, format!("a batch of our own is unsound: {unsound:?}"))
            })?;
            let range = frame.len()..frame.len() + one.batch.len();
            frame.extend_from_slice(&one.batch);
            appends.push(Append { partition: Arc::clone(&place.local), head, range });
            moves.push((place.topic.clone(), place.partition, one.next_offset));
        }
        let cluster = self.cluster.clone();
        let with: With = Box::new(move |tx, outcomes| {
            for ((topic, partition, next), outcome) in moves.iter().zip(outcomes) {
                if matches!(outcome, Outcome::Stored { .. }) {
                    position::set(tx, &cluster, topic, *partition, *next)?;
                }
            }
            Ok(())
        });
        let outcomes = runtime.block_on(async {
            let memory = Arc::clone(&self.memory).acquire_owned().await;
            let memory = memory.map_err(|_| Error::new(Kind::Bug, "the consumer's memory is closed"))?;
            let answer = self.log.append_with(frame, appends, memory, Some(with)).await?;
            answer.await.unwrap_or_else(|_| Err(Error::new(Kind::Bug, "the log did not answer")))
        });
        let stored = |outcome: Outcome| matches!(outcome, Outcome::Stored { .. });
        Ok(outcomes.doing(|| "store records of central Kafka")?.into_iter().map(stored).collect())
    }
}

/// Asks brokers and registry whether they answer and let us in; blocks.
pub fn check(config: &ConsumeConfig, runtime: &Handle) -> Result<String> {
    let client = Client::new(config)?;
    client.cluster().doing(|| format!("reach {}", config.kafka.brokers))?;
    let missing: Vec<&String> = config.topics.iter().filter(|topic| !is_there(&client, topic)).collect();
    runtime.block_on(Registry::new(config.registry.clone())?.ping())?;
    match missing.is_empty() {
        true => Ok(config.kafka.brokers.clone()),
        false => Ok(format!("{} (not there yet: {missing:?})", config.kafka.brokers)),
    }
}

/// Whether a topic, or one that a pattern means, is there; so too if it cannot be asked for.
fn is_there(client: &Client, topic: &str) -> bool {
    match topic.strip_suffix('*') {
        Some(beginning) => client.topics_with(beginning).is_ok_and(|names| !names.is_empty()),
        None => !client.partitions(topic).is_ok_and(|n| n == 0),
    }
}
