//! How large the file, its log and the free room in it are, for those who decide about room.

use crate::config::db::DbConfig;
use crate::metrics;
use rusqlite::Connection;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Often enough for limits, seldom enough not to be felt at a thousand commits a second.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Written by the writer thread, read by all.
#[derive(Debug)]
pub struct Space {
    log: PathBuf,
    max_file_bytes: u64,
    page_bytes: AtomicU64,
    file_bytes: AtomicU64,
    free_bytes: AtomicU64,
    log_bytes: AtomicU64,
    looked: Mutex<Option<Instant>>,
}

impl Space {
    /// Nothing known of it yet.
    pub fn new(config: &DbConfig) -> Space {
        Space {
            log: super::open::beside(&config.path, "-wal"),
            max_file_bytes: config.max_file_bytes,
            page_bytes: AtomicU64::new(u64::from(config.page_bytes)),
            file_bytes: AtomicU64::new(0),
            free_bytes: AtomicU64::new(0),
            log_bytes: AtomicU64::new(0),
            looked: Mutex::default(),
        }
    }

    pub fn page_bytes(&self) -> u64 {
        self.page_bytes.load(Ordering::Relaxed)
    }

    /// Of the database, free room included.
    pub fn file_bytes(&self) -> u64 {
        self.file_bytes.load(Ordering::Relaxed)
    }

    /// Room in the file that is filled before the file grows.
    pub fn free_bytes(&self) -> u64 {
        self.free_bytes.load(Ordering::Relaxed)
    }

    /// Of the write-ahead log.
    pub fn log_bytes(&self) -> u64 {
        self.log_bytes.load(Ordering::Relaxed)
    }

    /// 0: as far as the disk goes.
    pub fn max_file_bytes(&self) -> u64 {
        self.max_file_bytes
    }

    /// What `db.max_file_bytes` still leaves, free room included; `None` without such a limit.
    pub fn left_bytes(&self) -> Option<u64> {
        let used = self.file_bytes().saturating_sub(self.free_bytes());
        (self.max_file_bytes > 0).then(|| self.max_file_bytes.saturating_sub(used))
    }

    /// Looks if it is time again; says whether it did.
    pub(super) fn look_now_and_then(&self, connection: &Connection) -> bool {
        let looked = *self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        if looked.is_some_and(|at| at.elapsed() < LOOK_EVERY) {
            return false;
        }
        self.look(connection);
        true
    }

    pub(super) fn look(&self, connection: &Connection) {
        let number = |name: &str| {
            connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_or(0, i64::unsigned_abs)
        };
        let page = number("page_size");
        let log = std::fs::metadata(&self.log).map_or(0, |metadata| metadata.len());
        self.page_bytes.store(page, Ordering::Relaxed);
        self.file_bytes.store(number("page_count") * page, Ordering::Relaxed);
        self.free_bytes.store(number("freelist_count") * page, Ordering::Relaxed);
        self.log_bytes.store(log, Ordering::Relaxed);
        let gauge = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        metrics::DB_FILE_BYTES.set(gauge(self.file_bytes()));
        metrics::DB_FREE_BYTES.set(gauge(self.free_bytes()));
        metrics::DB_LOG_BYTES.set(gauge(log));
        *self.looked.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}
