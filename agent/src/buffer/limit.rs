//! Whether there is room: the budget, the disk, and one log line per episode.
//!
//! Producers are refused before SQLite is touched, while there is still room for trims and
//! positions to be committed. Once full, room must grow noticeably before it is open again, so
//! that producers are not let in and out with each batch.

use crate::config::buffer::BufferConfig;
use crate::db::Space;
use crate::metrics;
use shared::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How often the disk is asked.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// After the disk itself failed, producers knock in vain for this long, then one may try.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(500);

/// Of a file that may not grow, at most this part is kept for processing and trims.
const FILE_RESERVE_SHARE: u64 = 8;

/// Open again when this many hundredths of the budget are used.
const REOPEN_PERCENT: u64 = 95;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Budget,
    /// `db.max_file_bytes`, but for the reserve.
    File,
    Disk,
    Failed,
}

/// What others may know of it without waiting for the writer.
#[derive(Debug, Default)]
pub(super) struct Level {
    pub used_bytes: AtomicU64,
    /// Since the start.
    pub arrived_bytes: AtomicU64,
    pub full: AtomicBool,
    /// Full, and the budget is why.
    pub over_budget: AtomicBool,
}

pub(super) struct Limit {
    level: Arc<Level>,
    max_bytes: u64,
    reserve_free_bytes: u64,
    folder: PathBuf,
    space: Arc<Space>,
    closed: Option<Why>,
    looked: Option<(Instant, bool)>,
    failed_at: Option<Instant>,
}

impl Limit {
    pub fn new(config: &BufferConfig, folder: PathBuf, space: Arc<Space>, level: Arc<Level>) -> Self {
        Limit {
            level,
            max_bytes: config.max_bytes,
            reserve_free_bytes: config.reserve_free_bytes,
            folder,
            space,
            closed: None,
            looked: None,
            failed_at: None,
        }
    }

    /// Whether `more_bytes` may be added to `used_bytes`.
    pub fn admits(&mut self, used_bytes: u64, more_bytes: u64) -> bool {
        if self.failed_at.is_some_and(|at| at.elapsed() < PAUSE_AFTER_FAILURE) {
            return false;
        }
        let why = self.reason(used_bytes, more_bytes);
        match (why, self.closed) {
            (Some(why), None) => self.close(why, used_bytes),
            // A failure ends with the first commit that holds batches, see `stored`.
            (None, Some(Why::Budget | Why::File | Why::Disk)) => self.open(used_bytes),
            _ => {}
        }
        why.is_none()
    }

    fn reason(&mut self, used_bytes: u64, more_bytes: u64) -> Option<Why> {
        let limit = match self.closed {
            Some(Why::Budget) => self.max_bytes / 100 * REOPEN_PERCENT,
            _ => self.max_bytes,
        };
        if used_bytes.saturating_add(more_bytes) > limit {
            return Some(Why::Budget);
        }
        if self.file_is_short() {
            return Some(Why::File);
        }
        self.disk_is_short().then_some(Why::Disk)
    }

    /// Processing and trims need pages too, when the log may not take any more.
    fn file_is_short(&self) -> bool {
        self.space.left_bytes().is_some_and(|left| {
            let reserve = self.reserve_free_bytes.min(self.space.max_file_bytes() / FILE_RESERVE_SHARE);
            left < reserve
        })
    }

    fn disk_is_short(&mut self) -> bool {
        if self.reserve_free_bytes == 0 {
            return false;
        }
        match self.looked {
            Some((at, short)) if at.elapsed() < LOOK_EVERY => short,
            _ => {
                // A disk that cannot be asked will say so itself when it is written to. Free room in
                // the file is as good as room on the disk.
                let free =
                    disk_free_bytes(&self.folder).map(|bytes| bytes.saturating_add(self.space.free_bytes()));
                let short = free.is_some_and(|bytes| bytes < self.reserve_free_bytes);
                self.looked = Some((Instant::now(), short));
                short
            }
        }
    }

    /// A commit with batches failed.
    pub fn failed(&mut self, error: &Error, used_bytes: u64) {
        self.failed_at = Some(Instant::now());
        if self.closed.is_none() {
            tracing::warn!(
                event = "buffer_commit_failed", %error, remedy = error.hint(), used_bytes,
                "could not store batches; producers are told to try again"
            );
            self.set(Some(Why::Failed));
        }
    }

    /// A commit with batches succeeded.
    pub fn stored(&mut self, used_bytes: u64) {
        self.failed_at = None;
        if self.closed == Some(Why::Failed) {
            self.open(used_bytes);
        }
    }

    fn close(&mut self, why: Why, used_bytes: u64) {
        let remedy = match why {
            Why::Budget => "raise buffer.max_bytes, or let what reads the log catch up",
            Why::File => "raise db.max_file_bytes, or let what reads the log catch up",
            Why::Disk | Why::Failed => "free disk space, or lower buffer.reserve_free_bytes",
        };
        tracing::warn!(
            event = "buffer_full", used_bytes, limit_bytes = self.max_bytes,
            reserve_free_bytes = self.reserve_free_bytes, reason = ?why, remedy,
            "no room for more; producers are told to try again"
        );
        self.set(Some(why));
    }

    fn open(&mut self, used_bytes: u64) {
        tracing::info!(event = "buffer_open_again", used_bytes, "there is room again");
        self.set(None);
    }

    fn set(&mut self, closed: Option<Why>) {
        self.closed = closed;
        self.level.full.store(closed.is_some(), Ordering::Release);
        self.level.over_budget.store(closed == Some(Why::Budget), Ordering::Release);
        metrics::BUFFER_FULL.set(i64::from(closed.is_some()));
    }
}

/// What the disk under a folder has left for us; `None` if it cannot be asked.
pub fn disk_free_bytes(folder: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::db::DbConfig;

    fn limit(max_bytes: u64, reserve_free_bytes: u64) -> Limit {
        let config = BufferConfig { max_bytes, reserve_free_bytes, ..BufferConfig::default() };
        let space = Arc::new(Space::new(&DbConfig::default()));
        Limit::new(&config, std::env::temp_dir(), space, Arc::default())
    }

    #[test]
    fn closes_at_the_budget_and_opens_with_room_to_spare() {
        let mut limit = limit(1_000, 0);
        for (used, more, want) in [(0, 1_000, true), (900, 101, false), (900, 51, false), (890, 60, true)] {
            assert_eq!(limit.admits(used, more), want, "{used} + {more}");
        }
        assert!(limit.admits(950, 50), "open again up to the whole budget");
    }

    #[test]
    fn a_short_disk_closes() {
        assert!(limit(u64::MAX, 1).admits(0, 1));
        assert!(!limit(u64::MAX, u64::MAX).admits(0, 1));
    }

    #[test]
    fn a_failing_disk_pauses_and_ends_with_a_commit() {
        let mut limit = limit(1_000, 0);
        limit.failed(&Error::new(shared::Kind::Full, "disk full"), 0);
        assert!(!limit.admits(0, 1), "paused");
        limit.failed_at = None;
        assert!(limit.admits(0, 1) && limit.closed.is_some(), "one may try, the episode lasts");
        limit.stored(1);
        assert_eq!(limit.closed, None);
    }
}
