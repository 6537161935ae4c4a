//! `Idempotency-Key`: a request that is sent again is told what the first was told, and stored once.
//!
//! The name, a checksum of the request and its answer are written in the transaction that appends the
//! records. Two requests of one name at the same time: the second is told to wait. This room's table:
//! `push_request`.

use super::answer::{No, Stored};
use crate::config::push::PushConfig;
use crate::db::{Db, OrDb, Readers};
use axum::http::{HeaderMap, HeaderName};
use rusqlite::{OptionalExtension, Transaction, params};
use shared::error::{Kind, OrKind, Result};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

const HEADER: HeaderName = HeaderName::from_static("idempotency-key");
const MAX_NAME_LEN: usize = 255;
const READERS: usize = 2;

type Busy = Arc<Mutex<HashSet<String>>>;

pub struct Once {
    readers: Readers,
    busy: Busy,
    keep_ms: i64,
    max: u32,
}

impl Once {
    pub fn new(db: &Db, config: &PushConfig) -> Once {
        let keep_ms = i64::try_from(config.retry_memory.as_millis()).unwrap_or(i64::MAX);
        Once { readers: db.readers(READERS), busy: Busy::default(), keep_ms, max: config.max_retry_keys }
    }

    /// The turn of a request that has a name; `None` if it has none.
    pub fn turn(
        &self,
        headers: &HeaderMap,
        topic: &str,
        body: &[u8],
    ) -> std::result::Result<Option<Turn>, No> {
        let Some(name) = headers.get(HEADER) else { return Ok(None) };
        let name = name.to_str().ok().filter(|name| (1..=MAX_NAME_LEN).contains(&name.len()));
        let name = name.ok_or(No::KeyTooLong)?.to_owned();
        if !lock(&self.busy).insert(name.clone()) {
            return Err(No::KeyBusy);
        }
        let checksum = crc32c::crc32c_append(crc32c::crc32c(topic.as_bytes()), body);
        let (readers, busy) = (self.readers.clone(), Arc::clone(&self.busy));
        Ok(Some(Turn { name, checksum, readers, busy, keep_ms: self.keep_ms, max: self.max }))
    }
}

fn lock(busy: &Busy) -> std::sync::MutexGuard<'_, HashSet<String>> {
    busy.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A named request under way.
pub struct Turn {
    name: String,
    checksum: u32,
    readers: Readers,
    busy: Busy,
    keep_ms: i64,
    max: u32,
}

impl Drop for Turn {
    fn drop(&mut self) {
        lock(&self.busy).remove(&self.name);
    }
}

impl Turn {
    /// What was answered before, if it was.
    pub async fn answered(&self) -> std::result::Result<Option<Stored>, No> {
        let name = self.name.clone();
        let found: Option<(u32, String)> = self
            .readers
            .run(move |reader| {
                reader
                    .prepare_cached("SELECT checksum, answer FROM push_request WHERE name = ?")
                    .and_then(|mut s| s.query_row([name], |row| Ok((row.get(0)?, row.get(1)?))).optional())
                    .or_db("look for a pushed request")
            })
            .await?;
        let Some((checksum, answer)) = found else { return Ok(None) };
        if checksum != self.checksum {
            return Err(No::KeyUsed);
        }
        let mut stored: Stored = serde_json::from_str(&answer).or_kind(Kind::Bug)?;
        stored.repeated = true;
        Ok(Some(stored))
    }

    /// What is to be written with the records.
    pub fn note(&self, now_ms: i64) -> Note {
        let (name, checksum) = (self.name.clone(), self.checksum);
        Note { name, checksum, now_ms, before_ms: now_ms.saturating_sub(self.keep_ms), max: self.max }
    }
}

pub struct Note {
    name: String,
    checksum: u32,
    now_ms: i64,
    before_ms: i64,
    max: u32,
}

impl Note {
    pub fn write(self, tx: &Transaction<'_>, answer: &Stored) -> Result<()> {
        let doing = "remember a pushed request";
        let answer = serde_json::to_string(answer).or_kind(Kind::Bug)?;
        // A name that was forgotten in time may come again.
        tx.prepare_cached(
            "INSERT OR REPLACE INTO push_request (name, checksum, answer, at_ms) VALUES (?, ?, ?, ?)",
        )
        .and_then(|mut s| s.execute(params![self.name, self.checksum, answer, self.now_ms]))
        .or_db(doing)?;
        // The rows' ids grow with time: the oldest are the smallest.
        tx.prepare_cached(
            "DELETE FROM push_request WHERE id IN (SELECT id FROM push_request ORDER BY id LIMIT 16)
             AND (at_ms < ?1 OR id <= (SELECT max(id) FROM push_request) - ?2)",
        )
        .and_then(|mut s| s.execute(params![self.before_ms, self.max]))
        .or_db(doing)
        .map(drop)
    }
}
