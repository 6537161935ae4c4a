//! Edge → centre: takes from the outbox, sends, confirms; backs off while the store is away.
//!
//! The script at the store lets only newer values in, so that sending twice, after a crash or a lost
//! answer, changes nothing.

pub mod feast;
pub mod outbox;
pub mod redis;
pub mod waits;

use crate::config::sync::SyncConfig;
use crate::db::{Db, Readers};
use crate::metrics;
use crate::model::feature::ViewShape;
use outbox::Waiting;
use redis::{Redis, Sent};
use shared::error::{Error, Result};
use shared::retry::Backoff;
use shared::shutdown::Shutdown;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

const RETRY_FIRST: Duration = Duration::from_millis(100);
/// Refused rows are tried again this much later, if nothing else is to be sent.
const REFUSED_PAUSE: Duration = Duration::from_secs(5);

/// Where sync stands, for the status page.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub connected: bool,
    pub sent: u64,
    /// Why it is not connected, in words without values.
    pub error: Option<String>,
}

/// Sync's hand for others: shows where it stands.
pub type Watch = crate::model::watch::Watch<State>;

/// The loop's parts.
pub struct Sync {
    pub db: Db,
    pub readers: Readers,
    pub views: Arc<[ViewShape]>,
    pub redis: Redis,
    pub batch_rows: usize,
    pub retry_ceiling: Duration,
    pub watch: Watch,
}

impl Sync {
    pub fn new(db: &Db, views: Arc<[ViewShape]>, config: &SyncConfig, watch: Watch) -> Result<Sync> {
        Ok(Sync {
            db: db.clone(),
            readers: db.readers(1),
            views,
            redis: Redis::new(config)?,
            batch_rows: config.batch_rows,
            retry_ceiling: config.retry_ceiling,
            watch,
        })
    }

    /// Sends until the program stops. `news` changes when the outbox got rows.
    pub async fn run(mut self, mut news: watch::Receiver<u64>, shutdown: Shutdown) {
        let mut backoff = Backoff::new(RETRY_FIRST, self.retry_ceiling);
        while !shutdown.requested() {
            news.mark_unchanged();
            let (pause, failed) = match self.round().await {
                Ok(Round::Empty) => (None, false),
                Ok(Round::Sent) => {
                    self.arrived(&mut backoff);
                    continue;
                }
                Ok(Round::OnlyRefused) => (Some(REFUSED_PAUSE), false),
                Err(error) => {
                    self.failed(&error);
                    (Some(backoff.delay()), true)
                }
            };
            tokio::select! {
                () = shutdown.wait() => break,
                () = sleep(pause) => {}
                // New rows do not bring an absent store back.
                changed = news.changed(), if !failed => if changed.is_err() { break },
            }
        }
    }

    async fn round(&mut self) -> Result<Round> {
        let limit = self.batch_rows;
        let waiting = self.readers.run(move |connection| outbox::take(connection, limit)).await?;
        if waiting.is_empty() {
            return Ok(Round::Empty);
        }
        let sent = self.redis.send(waiting, &self.views).await?;
        let round = if sent.confirmed.is_empty() { Round::OnlyRefused } else { Round::Sent };
        self.confirm(sent).await?;
        Ok(round)
    }

    async fn confirm(&self, sent: Sent) -> Result<()> {
        let Sent { confirmed, stale, refused } = sent;
        metrics::SYNC_SENT.inc_by(confirmed.len() as u64);
        metrics::SYNC_STALE.inc_by(stale as u64);
        metrics::SYNC_REFUSED.inc_by(refused.len() as u64);
        self.watch.update(|state| state.sent += confirmed.len() as u64);
        if let Some((_, error)) = refused.first() {
            tracing::warn!(
                event = "sync_rows_refused",
                rows = refused.len(),
                error,
                remedy = "look at the keys at the store; the rows are tried again",
                "the store refused rows"
            );
        }
        let refused: Vec<Waiting> = refused.into_iter().map(|(row, _)| row).collect();
        self.db.write_async(move |tx| outbox::confirm(tx, &confirmed, &refused)).await
    }

    fn arrived(&self, backoff: &mut Backoff) {
        backoff.reset();
        if !self.watch.get().connected {
            tracing::info!(event = "sync_connected", "features reach the central store");
        }
        self.watch.update(|state| {
            state.connected = true;
            state.error = None;
        });
    }

    /// Said once per outage.
    fn failed(&self, error: &Error) {
        metrics::SYNC_FAILED.inc();
        if self.watch.get().error.is_none() {
            tracing::warn!(
                event = "sync_failed", %error, remedy = error.hint(),
                "features wait in the outbox until the central store is back"
            );
        }
        self.watch.update(|state| {
            state.connected = false;
            state.error = Some(error.to_string());
        });
    }
}

enum Round {
    Empty,
    Sent,
    OnlyRefused,
}

async fn sleep(pause: Option<Duration>) {
    match pause {
        Some(pause) => tokio::time::sleep(pause).await,
        None => std::future::pending().await,
    }
}
