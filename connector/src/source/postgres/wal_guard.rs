//! Watches how much log the slot makes the server keep, whatever the pipeline is doing.
//!
//! While Kafka is away nothing is confirmed, and the server keeps its log until its disk is full and
//! it stops. The pipeline then waits for Kafka and can say nothing; so this is a task with a
//! connection of its own. It warns; and only if the operator said so it drops the slot, which costs a
//! new snapshot and saves the database.

use super::failure::of_sql;
use super::sql::Sql;
use crate::config::source::SourceConfig;
use crate::config::wal_guard::{Act, WalGuardConfig};
use crate::metrics;
use shared::error::{Context, Error, Kind, Result};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_postgres::Client;

/// The same warning is given again after this long.
const WARN_INTERVAL: Duration = Duration::from_secs(300);
/// How often, and how long each time, the slot's reader is ended before the slot can go.
const DROP_TRIES: u32 = 100;
const DROP_PAUSE: Duration = Duration::from_millis(50);
/// What `wal_status` may say.
const STATUSES: [&str; 4] = ["reserved", "extended", "unreserved", "lost"];

/// `to_jsonb` gives nulls for what PostgreSQL 12 does not have.
const LOOK: &str = "
    WITH here AS (SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END AS lsn)
    SELECT (here.lsn - s.restart_lsn)::bigint, (here.lsn - s.confirmed_flush_lsn)::bigint,
           to_jsonb(s) ->> 'wal_status', (to_jsonb(s) ->> 'safe_wal_size')::bigint, s.confirmed_flush_lsn::text,
           (here.lsn - '0/0'::pg_lsn)::bigint
      FROM pg_catalog.pg_replication_slots s, here WHERE s.slot_name::text = $1";

/// The running task; it ends when this is dropped.
pub struct WalGuard {
    task: Option<JoinHandle<()>>,
    dropped: Arc<OnceLock<u64>>,
    slot: String,
    act_bytes: u64,
}

impl WalGuard {
    /// Begins to watch, if the operator did not switch it off. `goes_on`: whoever loses the slot makes
    /// another one, which is then watched.
    pub fn watch(source: &SourceConfig, goes_on: bool, runtime: &Handle) -> Result<WalGuard> {
        let dropped = Arc::<OnceLock<u64>>::default();
        let config = source.wal_guard.clone();
        let (slot, act_bytes) = (source.slot.clone(), config.act_bytes);
        let task = if config.interval_ms == 0 {
            None
        } else {
            let sql = Sql::new(source, runtime.clone())?;
            let judge = Judge::new(config.clone());
            let gone = (!goes_on).then(|| dropped.clone());
            let watch = Watch { sql, client: None, slot: slot.clone(), config, judge, gone };
            Some(runtime.spawn(watch.run()))
        };
        Ok(WalGuard { task, dropped, slot, act_bytes })
    }

    /// Whether the slot is still there, as far as this guard is concerned.
    ///
    /// # Errors
    /// `Lost` once it has dropped the slot and nobody makes another one.
    pub fn check(&self) -> Result<()> {
        let Some(retained) = self.dropped.get() else { return Ok(()) };
        let what = format!(
            "slot {} was dropped: it made the server keep {retained} bytes of log, more than \
             source.wal_guard.act_bytes = {}",
            self.slot, self.act_bytes
        );
        Err(Error::new(Kind::Lost, what).remedy(
            "the changes since the stored position are lost: remove the stored offset and start again for a new \
             snapshot, or set snapshot.mode = \"when_needed\", which does so by itself",
        ))
    }
}

impl Drop for WalGuard {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// What the server says of the slot.
#[derive(Clone, Debug, Default, PartialEq)]
struct Slot {
    /// Log that the server keeps for it, in bytes.
    retained: u64,
    /// Log that is not confirmed, in bytes.
    unconfirmed: i64,
    status: String,
    /// What may still be written before the server gives the slot up; `None` if it never does.
    safe: Option<i64>,
    /// Where it is confirmed to.
    confirmed: String,
    /// Where the server's log ends.
    server_end: i64,
}

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Quiet,
    Warn,
    /// It is over.
    Calm,
    Act,
}

/// Slot and time → verdict.
struct Judge {
    config: WalGuardConfig,
    warned: Option<(Instant, String)>,
    /// Where the slot was confirmed to at the last look.
    confirmed: Option<String>,
}

impl Judge {
    fn new(config: WalGuardConfig) -> Judge {
        Judge { config, warned: None, confirmed: None }
    }

    fn judge(&mut self, slot: &Slot, now: Instant) -> Verdict {
        let endangered = matches!(slot.status.as_str(), "unreserved" | "lost");
        // Whoever catches up after a long stop is not stopped again.
        let stands = self.confirmed.replace(slot.confirmed.clone()).as_ref() == Some(&slot.confirmed);
        if self.config.act == Act::DropSlot && slot.retained > self.config.act_bytes && stands {
            return Verdict::Act;
        }
        if slot.retained <= self.config.warn_bytes && !endangered {
            return if self.warned.take().is_some() { Verdict::Calm } else { Verdict::Quiet };
        }
        let known = self.warned.as_ref();
        let fresh = known.is_some_and(|(at, status)| now - *at < WARN_INTERVAL && *status == slot.status);
        if fresh {
            return Verdict::Quiet;
        }
        self.warned = Some((now, slot.status.clone()));
        Verdict::Warn
    }
}

struct Watch {
    sql: Sql,
    client: Option<Client>,
    slot: String,
    config: WalGuardConfig,
    judge: Judge,
    /// Where it is noted that the slot was dropped; `None` if another one will be made.
    gone: Option<Arc<OnceLock<u64>>>,
}

impl Watch {
    async fn run(mut self) {
        let mut blind = false;
        while self.gone.as_ref().is_none_or(|gone| gone.get().is_none()) {
            tokio::time::sleep(Duration::from_millis(self.config.interval_ms)).await;
            match self.look().await {
                Ok(()) => blind = false,
                Err(error) => {
                    self.client = None;
                    if !std::mem::replace(&mut blind, true) {
                        tracing::info!(event = "wal_guard_blind", %error, "the slot cannot be watched for the time being");
                    }
                }
            }
        }
    }

    async fn look(&mut self) -> Result<()> {
        let Some(slot) = self.read().await? else { return Ok(()) };
        publish(&slot);
        let Slot { retained, unconfirmed, status, safe, .. } = &slot;
        match self.judge.judge(&slot, Instant::now()) {
            Verdict::Quiet => {}
            Verdict::Warn => tracing::warn!(
                event = "wal_growth",
                slot = self.slot,
                retained,
                unconfirmed,
                wal_status = status,
                safe_wal_size = safe,
                remedy = self.remedy(status),
                "the slot makes the server keep much log"
            ),
            Verdict::Calm => {
                tracing::info!(
                    event = "wal_growth_over",
                    slot = self.slot,
                    retained,
                    "the server keeps little log again"
                );
            }
            Verdict::Act => self.act(*retained).await?,
        }
        Ok(())
    }

    fn remedy(&self, status: &str) -> &'static str {
        match (status, self.config.act) {
            ("lost", _) => "the server has removed log that the slot needs: a new snapshot is needed",
            (_, Act::DropSlot) => {
                "see why changes are not confirmed (Kafka away? a snapshot?); above act_bytes the slot is dropped"
            }
            (_, Act::Warn) => {
                "see why changes are not confirmed (Kafka away? a snapshot?), and watch the server's disk: \
                 max_slot_wal_keep_size bounds it, or source.wal_guard.act = \"drop_slot\""
            }
        }
    }

    async fn client(&mut self) -> Result<&Client> {
        if self.client.as_ref().is_none_or(Client::is_closed) {
            self.client = Some(self.sql.open().await?);
        }
        self.client.as_ref().ok_or_else(|| Error::new(Kind::Bug, "the connection vanished"))
    }

    async fn read(&mut self) -> Result<Option<Slot>> {
        let slot = self.slot.clone();
        let row = self.client().await?.query_opt(LOOK, &[&slot]).await;
        let row = row.map_err(|e| of_sql(&e)).doing(|| format!("watch slot {slot}"))?;
        Ok(row.map(|row| Slot {
            retained: row
                .get::<_, Option<i64>>(0)
                .and_then(|bytes| bytes.try_into().ok())
                .unwrap_or_default(),
            unconfirmed: row.get::<_, Option<i64>>(1).unwrap_or_default(),
            status: row.get::<_, Option<String>>(2).unwrap_or_default(),
            safe: row.get(3),
            confirmed: row.get::<_, Option<String>>(4).unwrap_or_default(),
            server_end: row.get(5),
        }))
    }

    /// Ends the slot's reader and drops the slot. Whoever asks [`WalGuard::check`] then knows.
    async fn act(&mut self, retained: u64) -> Result<()> {
        let slot = self.slot.clone();
        let act_bytes = self.config.act_bytes;
        let client = self.client().await?;
        for attempt in 1..=DROP_TRIES {
            let end = "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name::text = $1";
            client
                .query(end, &[&slot])
                .await
                .map_err(|e| of_sql(&e))
                .doing(|| format!("end the reader of slot {slot}"))?;
            tokio::time::sleep(DROP_PAUSE).await;
            let done = client.query("SELECT pg_drop_replication_slot($1::text::name)", &[&slot]).await;
            match done.map_err(|e| of_sql(&e)) {
                Ok(_) => break,
                // Its reader is not gone yet.
                Err(error) if error.kind() == Kind::Unreachable && attempt < DROP_TRIES => {}
                Err(error) => return Err(error.doing(format!("drop slot {slot}"))),
            }
        }
        tracing::error!(
            event = "slot_given_up",
            slot,
            retained,
            act_bytes,
            remedy = "a new snapshot is needed: by itself with snapshot.mode = \"when_needed\"",
            "the slot was dropped so that the server's disk does not fill"
        );
        if let Some(gone) = &self.gone {
            gone.get_or_init(|| retained);
        }
        Ok(())
    }
}

fn publish(slot: &Slot) {
    let gauge = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    metrics::SOURCE_SLOT_RETAINED_BYTES.set(gauge(slot.retained));
    metrics::SOURCE_SLOT_SAFE_BYTES.set(slot.safe.unwrap_or(-1));
    metrics::server_log_ends(slot.server_end);
    for status in STATUSES {
        metrics::SOURCE_SLOT_STATUS.with_label_values(&[status]).set((status == slot.status).into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Verdict::{Act as Drop, Calm, Quiet, Warn};

    fn slot(retained: u64, status: &str) -> Slot {
        Slot { retained, status: status.to_owned(), ..Slot::default() }
    }

    #[test]
    fn warns_once_and_again_only_when_it_is_news() {
        let config = WalGuardConfig { warn_bytes: 100, ..WalGuardConfig::default() };
        let (mut judge, start) = (Judge::new(config), Instant::now());
        for (at_s, retained, status, expected) in [
            (0, 100, "reserved", Quiet),
            (10, 101, "reserved", Warn),
            (20, 5_000, "reserved", Quiet),
            (30, 5_000, "extended", Warn),
            (40, 5_000, "extended", Quiet),
            (331, 5_000, "extended", Warn),
            (340, 5, "reserved", Calm),
            (350, 5, "reserved", Quiet),
            (360, 5, "unreserved", Warn),
            (370, 5, "lost", Warn),
        ] {
            let verdict = judge.judge(&slot(retained, status), start + Duration::from_secs(at_s));
            assert_eq!(verdict, expected, "after {at_s} s");
        }
    }

    #[test]
    fn acts_only_if_told_to() {
        for (act, expected) in [(Act::Warn, Warn), (Act::DropSlot, Drop)] {
            let config = WalGuardConfig { warn_bytes: 100, act_bytes: 200, act, ..WalGuardConfig::default() };
            let mut judge = Judge::new(config);
            let mut look = |confirmed: &str| {
                judge.warned = None;
                let slot = Slot { confirmed: confirmed.to_owned(), ..slot(201, "reserved") };
                judge.judge(&slot, Instant::now())
            };
            // As long as it catches up it is let be.
            assert_eq!([look("0/1"), look("0/2"), look("0/2")], [Warn, Warn, expected]);
        }
    }
}
