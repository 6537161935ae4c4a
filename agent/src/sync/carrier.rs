//! One store's loop: take, send, note; backs off while the store is away.

use super::outbox::{self, Waiting};
use super::{Answer, Row, Shown, Target, View, Views, Watch, refused};
use crate::config::sync::{Common, SyncConfig};
use crate::db::{Db, Readers};
use crate::metrics;
use crate::model::feature::ViewId;
use shared::error::{Context, Error, Kind, Result};
use shared::retry::Backoff;
use shared::shutdown::Shutdown;
use shared::time::Clock;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

const RETRY_FIRST: Duration = Duration::from_millis(100);
/// A round under way may end when the program stops; else its rows are sent again at the next start.
const STOP_GRACE: Duration = Duration::from_secs(3);
/// The queue is counted so often while it is long, because counting reads it.
const COUNT_PAUSE: Duration = Duration::from_secs(5);

/// Where a carrier stands, for the status page.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub connected: bool,
    /// Rows that the store has, older ones included.
    pub sent: u64,
    /// Why it is not connected, in words without values.
    pub error: Option<String>,
}

/// The loop's parts.
pub struct Carrier {
    name: String,
    db: Db,
    readers: Readers,
    target: Box<dyn Target>,
    /// Those that go to this store.
    views: HashMap<ViewId, Arc<View>>,
    common: Common,
    watch: Watch,
    news: watch::Receiver<u64>,
    clock: Clock,
    /// How far the store is, once it was read.
    confirmed: Option<i64>,
    /// Whether rows of this store are kept as refused.
    has_refused: bool,
    counted: Option<Instant>,
}

/// What came of a round.
enum Round {
    Empty,
    Sent,
}

impl Carrier {
    pub fn new(
        db: &Db,
        target: Box<dyn Target>,
        config: &SyncConfig,
        views: &Views,
        shown: Shown,
        (news, clock): (watch::Receiver<u64>, Clock),
    ) -> Carrier {
        let wanted = views.iter().filter(|view| super::wants(config, view));
        Carrier {
            name: shown.name,
            db: db.clone(),
            readers: db.readers(1),
            target,
            views: wanted.map(|view| (view.id(), Arc::clone(view))).collect(),
            common: config.common.clone(),
            watch: shown.watch,
            news,
            clock,
            confirmed: None,
            has_refused: true,
            counted: None,
        }
    }

    /// Sends until the program stops.
    pub async fn run(mut self, shutdown: Shutdown) {
        let seed = self.name.bytes().fold(u64::from(std::process::id()), |seed, b| seed * 31 + u64::from(b));
        let mut backoff = Backoff::seeded(RETRY_FIRST, self.common.retry_ceiling, seed);
        while !shutdown.requested() {
            self.news.mark_unchanged();
            let round = tokio::select! {
                round = self.round() => round,
                () = stopped(&shutdown) => break,
            };
            let pause = match round {
                Ok(Round::Empty) => None,
                Ok(Round::Sent) => {
                    self.arrived(&mut backoff);
                    continue;
                }
                Err(error) => {
                    self.failed(&error);
                    Some(backoff.delay())
                }
            };
            let failed = pause.is_some();
            tokio::select! {
                () = shutdown.wait() => break,
                () = sleep(pause) => {}
                // New rows do not bring an absent store back.
                changed = self.news.changed(), if !failed => if changed.is_err() { break },
            }
        }
    }

    async fn round(&mut self) -> Result<Round> {
        let taken = self.take().await?;
        self.show_queue(&taken).await?;
        let Some(last) = taken.last().map(|waiting| waiting.sequence) else { return Ok(Round::Empty) };
        let (mut rows, mut places, mut bad) = (Vec::new(), Vec::new(), Vec::new());
        for (place, waiting) in taken.iter().enumerate() {
            // Of a view that goes elsewhere, or is no longer defined: nothing to bring.
            let Some(view) = self.views.get(&waiting.view) else { continue };
            match Row::of(view, waiting) {
                Ok(row) => {
                    rows.push(row);
                    places.push(place);
                }
                Err(why) => bad.push((place, why.to_owned())),
            }
        }
        let answers = if rows.is_empty() { Vec::new() } else { self.target.send(&rows).await? };
        if answers.len() != rows.len() {
            return Err(Error::new(Kind::Bug, "a target answered for another number of rows"));
        }
        let (mut done, mut older, mut again) = (Vec::new(), 0, None);
        for (place, answer) in places.into_iter().zip(answers) {
            match answer {
                Answer::Stored => done.push(place),
                Answer::Older => {
                    older += 1;
                    done.push(place);
                }
                Answer::Refused(why) => bad.push((place, why)),
                Answer::Again(why) => {
                    // What lies behind it is sent once more, which changes nothing.
                    again = Some((place, why));
                    break;
                }
            }
        }
        let end = again.as_ref().map_or(taken.len(), |(place, _)| *place);
        bad.retain(|(place, _)| *place < end);
        let before = |end: usize| end.checked_sub(1).and_then(|at| taken.get(at)).map(|w| w.sequence);
        let confirmed = if again.is_some() { before(end) } else { Some(last) };
        self.note(taken, &done, older, bad, confirmed).await?;
        match again {
            Some((_, why)) => Err(Error::new(Kind::Unreachable, why)),
            None => Ok(Round::Sent),
        }
    }

    /// The rows of the next round; a few wait a moment for others.
    async fn take(&mut self) -> Result<Vec<Waiting>> {
        let after = match self.confirmed {
            Some(after) => after,
            None => {
                let name = self.name.clone();
                let read = move |connection: &_| {
                    Ok((outbox::confirmed(connection, &name)?, refused::any(connection, &name)?))
                };
                let (after, has_refused) = self.readers.run(read).await?;
                self.has_refused = has_refused;
                *self.confirmed.insert(after)
            }
        };
        let (rows, bytes) = (self.common.batch_rows, self.common.batch_bytes);
        let taken = self.readers.run(move |connection| outbox::take(connection, after, rows, bytes)).await?;
        if taken.is_empty() || taken.len() >= rows || self.common.linger.is_zero() {
            return Ok(taken);
        }
        tokio::time::sleep(self.common.linger).await;
        self.readers.run(move |connection| outbox::take(connection, after, rows, bytes)).await
    }

    /// Notes what the store did, in one transaction.
    async fn note(
        &mut self,
        taken: Vec<Waiting>,
        done: &[usize],
        older: u64,
        bad: Vec<(usize, String)>,
        confirmed: Option<i64>,
    ) -> Result<()> {
        let labels = [self.name.as_str()];
        metrics::SYNC_SENT.with_label_values(&labels).inc_by(done.len() as u64);
        metrics::SYNC_STALE.with_label_values(&labels).inc_by(older);
        metrics::SYNC_REFUSED.with_label_values(&labels).inc_by(bad.len() as u64);
        self.watch.update(|state| state.sent += done.len() as u64);
        // Not the reason: a store's words may quote the row.
        if !bad.is_empty() {
            tracing::warn!(
                event = "sync_rows_refused",
                target_name = self.name,
                rows = bad.len(),
                remedy = "`tidegate-agent sync list` names them, `sync retry` has them tried again",
                "the store refused rows, which are kept aside"
            );
        }
        let Some(confirmed) = confirmed else { return Ok(()) };
        let settled: Vec<(ViewId, Vec<u8>)> = match self.has_refused {
            true => done.iter().filter_map(|at| taken.get(*at)).map(|w| (w.view, w.entity.clone())).collect(),
            false => Vec::new(),
        };
        self.has_refused |= !bad.is_empty();
        let (name, now_ms) = (self.name.clone(), self.clock.now().millis());
        let noted = self.db.write_async(move |tx| {
            for (view, entity) in &settled {
                refused::settled(tx, &name, *view, entity)?;
            }
            for (at, reason) in &bad {
                if let Some(row) = taken.get(*at) {
                    refused::put(tx, &name, row, reason, now_ms)?;
                }
            }
            outbox::confirm(tx, &name, confirmed)?;
            refused::any(tx, &name)
        });
        self.has_refused = noted.await.doing(|| "note what the store has")?;
        self.confirmed = Some(confirmed);
        Ok(())
    }

    /// How long the queue is, and how old its oldest row.
    async fn show_queue(&mut self, taken: &[Waiting]) -> Result<()> {
        let labels = [self.name.as_str()];
        let now = self.clock.now().nanos();
        let lag = taken.first().map_or(0, |waiting| now.saturating_sub(waiting.as_of.0).max(0));
        metrics::SYNC_LAG.with_label_values(&labels).set(lag as f64 / 1e9);
        let few = taken.len() < self.common.batch_rows;
        if few {
            let waiting = i64::try_from(taken.len()).unwrap_or(i64::MAX);
            metrics::SYNC_WAITING.with_label_values(&labels).set(waiting);
        } else if self.counted.is_none_or(|at| at.elapsed() > COUNT_PAUSE) {
            let name = self.name.clone();
            let (count, _) = self.readers.run(move |connection| outbox::size(connection, &name)).await?;
            metrics::SYNC_WAITING.with_label_values(&[&self.name]).set(count);
            self.counted = Some(Instant::now());
        }
        Ok(())
    }

    fn arrived(&self, backoff: &mut Backoff) {
        backoff.reset();
        if !self.watch.get().connected {
            tracing::info!(
                event = "sync_connected",
                target_name = self.name,
                "features reach the central store"
            );
        }
        self.watch.update(|state| {
            state.connected = true;
            state.error = None;
        });
    }

    /// Said once per outage.
    fn failed(&self, error: &Error) {
        metrics::SYNC_FAILED.with_label_values(&[&self.name]).inc();
        if self.watch.get().error.is_none() {
            tracing::warn!(
                event = "sync_failed", target_name = self.name, %error, remedy = error.hint(),
                "features wait in the outbox until the central store is back"
            );
        }
        self.watch.update(|state| {
            state.connected = false;
            state.error = Some(error.to_string());
        });
    }
}

async fn stopped(shutdown: &Shutdown) {
    shutdown.wait().await;
    tokio::time::sleep(STOP_GRACE).await;
}

async fn sleep(pause: Option<Duration>) {
    match pause {
        Some(pause) => tokio::time::sleep(pause).await,
        None => std::future::pending().await,
    }
}
