//! The log → central Kafka: what arrives there is what its producers would have written there themselves.
//!
//! ```text
//! log ─> open a batch ─> schema ids rewritten ─> producer ─┐ one transaction
//!        (by priority)      └─ central registry            ├───────────────> central Kafka
//!                                       how far we are ────┘   … and then noted in the file
//! ```
//! A thread of its own hands records over in pieces, by priority, as fast as schedule, bandwidth and link
//! allow; what is on its way is bounded in bytes. How far we are moves in the transaction of the records
//! themselves, as the offset of a group that is named after this node: whatever is killed, each record is
//! there once for readers of what is committed. The file's own note comes after; the higher of the two
//! counts at the start, and a checksum tells another file's record at that offset from ours. (Groups are
//! forgotten after days of silence; the note is not.) A group that says less than it was told in a transaction
//! that was acknowledged has lost it: what came after is brought again.
//!
//! When the link is away, the log keeps everything and the rest of the agent goes on. A schema that the
//! centre refuses, or an id that nobody knows, holds its partition alone.

mod central;
mod centre;
mod choice;
mod client;
mod committed;
mod cursor;
mod flight;
mod limiter;
mod link;
mod pace;
mod piece;
mod place;
pub mod progress;
mod record;
mod reference;
mod refusal;
mod report;
mod schedule;
mod schema_id;
mod session;

pub use centre::{Centre, Make, Outgoing, Position, kafka};
pub use flight::Mark;
pub use schema_id::{Asked, Known, Schema};

use crate::buffer::Log;
use crate::config::forward::ForwardConfig;
use crate::db::Db;
use crate::metrics;
use crate::model::batch::PartitionId;
use central::Topics;
use choice::Choice;
use client::Client;
use cursor::Noted;
use flight::Flight;
use limiter::Limiter;
use link::Link;
use pace::Pace;
use piece::Reading;
use place::Place;
use progress::{Kept, Rates, Watch};
use rusqlite::Connection;
use schedule::Schedule;
use schema_id::Schemas;
use shared::error::{Error, Kind, Result};
use shared::registry::Registry;
use shared::retry::Backoff;
use shared::shutdown::Shutdown;
use shared::time::Clock;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;

const RETRY_FIRST: Duration = Duration::from_millis(250);
/// How long a wait for acknowledgements sleeps at most before it looks again.
const SLICE: Duration = Duration::from_millis(5);
/// With nothing to do, the client is served this often, and the schedule looked at.
const IDLE: Duration = Duration::from_millis(500);
/// Partitions that are new are looked for this often, and progress is shown.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long a stop waits for what is on its way.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// The thread's parts.
pub struct Forward {
    config: ForwardConfig,
    choice: Choice,
    schedule: Schedule,
    db: Db,
    log: Arc<Log>,
    reader: Connection,
    clock: Clock,
    /// Of this node at the centre: its transactions and its group.
    name: String,
    topics: Topics,
    schemas: Schemas,
    make: Make,
    client: Option<Box<dyn Centre>>,
    started: bool,
    /// The central cluster, as far as is known.
    cluster: String,
    /// What the file says of it.
    noted: HashMap<PartitionId, Noted>,
    places: Vec<Place>,
    reading: Option<Reading>,
    flight: Flight,
    pace: Pace,
    limiter: Option<Limiter>,
    /// Records and bytes acknowledged in the open transaction.
    uncommitted: (u64, u64),
    acknowledged: Vec<(u64, u64)>,
    /// On the monotonic clock, as are the next ones.
    last_arrival: Duration,
    last_note: Duration,
    next_look: Option<Duration>,
    /// The central registry does not answer.
    registry_waits: bool,
    link: Link,
    was_open: bool,
    stop_by: Option<Duration>,
    rates: Rates,
    kept: Kept,
    watch: Watch,
    shutdown: Shutdown,
}

/// What it stands on.
pub struct Ground<'a> {
    pub db: &'a Db,
    pub log: Arc<Log>,
    pub known: Known,
    pub make: Make,
    pub watch: Watch,
    pub clock: &'a Clock,
    pub shutdown: Shutdown,
}

/// What the thread does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    More,
    /// Nothing to send; waits for news this long.
    Idle(Duration),
}

impl Forward {
    /// Reaches nothing yet: the agent starts without the centre. `consumed`: topics that came from there.
    ///
    /// # Errors
    /// `Config`: an expression, window or property that is none, or unusable TLS files.
    pub fn new(config: &ForwardConfig, consumed: &[String], ground: Ground<'_>) -> Result<Forward> {
        let Ground { db, log, known, make, watch, clock, shutdown } = ground;
        let (reader, clock) = (db.reader()?, clock.clone());
        let now = clock.monotonic();
        let choice = Choice::new(config, consumed)?;
        let central = Registry::new(config.registry.clone())?;
        let schemas = Schemas::open(db, central, config.registry.url.join(" "), known)?;
        let cluster = cursor::target(&reader, &config.kafka.brokers)?.unwrap_or_default();
        let noted = cursor::load(&reader, &cluster)?;
        let limiter = config.bandwidth.map(|limit| Limiter::new(limit, clock.monotonic()));
        Ok(Forward {
            schedule: Schedule::parse(&config.schedule, &config.time_zone)?,
            name: format!("tidegate-agent-{}", log.cluster_id()),
            topics: Topics::new(config)?,
            kept: Kept::new(choice.clone(), &noted),
            pace: Pace::new(config.queue_bytes as usize, config.bandwidth.is_some()),
            config: config.clone(),
            choice,
            db: db.clone(),
            log,
            reader,
            clock,
            schemas,
            make,
            client: None,
            started: false,
            cluster,
            noted,
            places: Vec::new(),
            reading: None,
            flight: Flight::default(),
            limiter,
            uncommitted: (0, 0),
            acknowledged: Vec::new(),
            last_arrival: now,
            last_note: now,
            next_look: None,
            registry_waits: false,
            link: Link::new(watch.clone()),
            was_open: true,
            stop_by: None,
            rates: Rates::default(),
            watch,
            shutdown,
        })
    }

    /// What the log must keep for it.
    pub fn kept(&self) -> Kept {
        self.kept.clone()
    }

    /// Sends until the program stops.
    pub fn run(mut self, runtime: &Handle) -> Result<()> {
        let mut backoff = Backoff::new(RETRY_FIRST, self.config.retry_ceiling);
        let mut news = self.log.news();
        while !self.shutdown.requested() {
            match self.turn(runtime) {
                Ok(Next::More) => backoff.reset(),
                Ok(Next::Idle(pause)) => {
                    backoff.reset();
                    self.idle(pause, &mut news, runtime);
                }
                Err(_) if self.shutdown.requested() => {
                    self.abort();
                    break;
                }
                Err(error) if matches!(error.kind(), Kind::Lost | Kind::Rejected) => {
                    self.end(&error, runtime);
                    return Ok(());
                }
                Err(error) => {
                    self.link.waits(&error);
                    self.leave(&error);
                    self.pause(runtime, backoff.delay());
                }
            }
        }
        self.finish();
        Ok(())
    }

    /// One step: makes ready what is missing, or hands over a piece, or sees to what is on its way.
    ///
    /// # Errors
    /// The client is to be given up ([`Forward::leave`]); what is on its way is not known then.
    pub fn turn(&mut self, runtime: &Handle) -> Result<Next> {
        if self.next_look.is_none_or(|at| self.clock.monotonic() >= at) {
            self.look();
        }
        if !self.opened()? {
            return Ok(Next::Idle(IDLE));
        }
        self.connect()?;
        self.poll(Duration::ZERO)?;
        if self.client()?.transaction_age().is_some_and(|age| age >= self.config.commit_interval) {
            self.settle()?;
        }
        self.note(false);
        let Some(at) = self.choose() else {
            let now = self.clock.monotonic();
            if self.places.iter().any(|place| place.wants(now) && self.is_busy(place)) {
                self.poll(SLICE)?;
                return Ok(Next::More);
            }
            if !self.flight.is_empty() || self.client()?.transaction_age().is_some() {
                self.settle()?;
                return Ok(Next::More);
            }
            self.link.works();
            self.note(true);
            let held = self.places.iter().any(|place| place.held.is_some());
            return Ok(Next::Idle(if held { LOOK_EVERY.min(IDLE) } else { IDLE }));
        };
        if !self.resolve(at, runtime)? {
            return Ok(Next::More);
        }
        if self.flight.bytes() >= self.pace.window() {
            self.poll(SLICE)?;
            return Ok(Next::More);
        }
        if let Some(wait) = self.limited() {
            self.poll(wait.min(SLICE * 10))?;
            return Ok(Next::More);
        }
        self.hand_over(at, runtime)?;
        Ok(Next::More)
    }

    /// Whether the schedule lets it send; when it ends, what is on its way is seen home.
    fn opened(&mut self) -> Result<bool> {
        let now = self.clock.now();
        let open = self.schedule.is_open(now);
        if open != self.was_open {
            if open {
                tracing::info!(event = "forward_opened", "the schedule lets records go to the centre");
            } else {
                if self.started {
                    self.settle()?;
                    self.note(true);
                }
                let minutes = self.schedule.opens_at(now).map(|at| (at.millis() - now.millis()) / 60_000);
                tracing::info!(
                    event = "forward_closed",
                    opens_in_minutes = minutes,
                    "the schedule keeps records here"
                );
                self.drop_client();
            }
            self.was_open = open;
        }
        Ok(open)
    }

    /// How long the bandwidth's limit wants it to wait, if it does.
    fn limited(&mut self) -> Option<Duration> {
        let limiter = self.limiter.as_mut()?;
        if let Some(bytes) = self.client.as_ref().and_then(|client| client.take_sent_bytes()) {
            limiter.measured(bytes);
        }
        Some(limiter.wait(self.clock.monotonic())).filter(|wait| !wait.is_zero())
    }

    /// Finds partitions that are new, and shows where it stands.
    fn look(&mut self) {
        self.next_look = Some(self.clock.monotonic() + LOOK_EVERY);
        let known: HashMap<PartitionId, usize> =
            self.places.iter().enumerate().map(|(at, place)| (place.local.id, at)).collect();
        for topic in self.log.topics().into_iter().filter(|topic| self.choice.takes(&topic.name)) {
            for local in &topic.partitions {
                if let Some(at) = known.get(&local.id) {
                    if let Some(place) = self.places.get_mut(*at).filter(|place| place.local.is_gone()) {
                        place.revive(Arc::clone(local));
                    }
                    continue;
                }
                let noted = self.noted.get(&local.id).copied().unwrap_or_default();
                let (rank, plain) = (self.choice.rank(&topic.name), self.choice.plain(&topic.name));
                self.places.push(Place::new(Arc::clone(local), rank, plain, noted));
            }
        }
        self.show();
    }

    fn show(&mut self) {
        let partition = |place: &Place| progress::Partition {
            local: Arc::clone(&place.local),
            next_offset: place.done.next_offset,
            error: place.held.as_ref().map(|held| held.error.clone()),
        };
        let to_go: u64 = self.places.iter().map(Place::records_to_go).sum();
        let stopped = self.places.iter().filter(|place| place.held.is_some()).count();
        let end: i64 = self.places.iter().map(|place| place.local.end()).sum();
        let end = u64::try_from(end).unwrap_or(0);
        metrics::FORWARD_STOPPED.set(i64::try_from(stopped).unwrap_or(i64::MAX));
        metrics::FORWARD_TO_GO.set(i64::try_from(to_go).unwrap_or(i64::MAX));
        let kept: u64 =
            self.places.iter().map(|p| u64::try_from(p.local.end() - p.local.start()).unwrap_or(0)).sum();
        let average = self.log.used_bytes() as f64 / kept.max(1) as f64;
        let (now, open) = (self.clock.monotonic().as_secs_f64(), self.was_open);
        let rates = &mut self.rates;
        self.watch.update(|state| {
            rates.measure(now, state.records, end);
            state.open = open;
            state.bytes_per_record = average;
            state.rate = rates.sending;
            state.seconds_to_go = rates.seconds_to_go(to_go);
            state.partitions = self.places.iter().map(partition).collect();
        });
    }

    /// Waits for new batches, and then for some more of them.
    fn idle(&mut self, pause: Duration, news: &mut watch::Receiver<u64>, runtime: &Handle) {
        let linger = self.config.linger;
        runtime.block_on(async {
            tokio::select! {
                () = self.shutdown.wait() => {}
                () = tokio::time::sleep(pause) => {}
                changed = news.changed() => {
                    // Without senders there are no news any more, and the stop is near.
                    let wait = if changed.is_ok() { linger } else { pause };
                    let _ = tokio::time::timeout(wait, self.shutdown.wait()).await;
                }
            }
        });
        // A topic that is new is seen at once.
        let now = self.clock.monotonic();
        if news.has_changed().is_ok() && self.places.iter().all(|place| !place.wants(now)) {
            self.next_look = None;
        }
    }

    fn pause(&self, runtime: &Handle, pause: Duration) {
        runtime.block_on(async {
            let _ = tokio::time::timeout(pause, self.shutdown.wait()).await;
        });
    }

    /// Somebody must decide: it sends nothing any more, the rest of the agent goes on.
    fn end(&mut self, error: &Error, runtime: &Handle) {
        self.drop_client();
        self.link.ends(error);
        while !self.shutdown.requested() {
            self.look();
            self.pause(runtime, IDLE);
        }
    }

    /// Sees home what is on its way, or takes it back.
    fn finish(&mut self) {
        if self.started && self.settle().is_err() {
            self.abort();
        }
        self.note(true);
    }

    /// The last that its client does: readers at the centre need not wait until the transaction's time is over.
    fn abort(&mut self) {
        if let Some(client) = self.client.as_mut().filter(|_| self.started) {
            client.abort(Duration::from_secs(1));
        }
        self.drop_client();
    }
}

/// Asks brokers and registry whether they answer and let us in; blocks. Begins no transaction: that would
/// end the running agent's.
pub fn check(config: &ForwardConfig, runtime: &Handle) -> Result<String> {
    Choice::new(config, &[])?;
    Schedule::parse(&config.schedule, &config.time_zone)?;
    Topics::new(config)?;
    let client = Client::new(config, "tidegate-agent-check", &Clock::System)?;
    client.cluster().map_err(|error| error.doing(format!("reach {}", config.kafka.brokers)))?;
    runtime.block_on(Registry::new(config.registry.clone())?.ping())?;
    Ok(config.kafka.brokers.clone())
}
