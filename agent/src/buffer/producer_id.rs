//! Producer ids: unique for ever in this file, and unlikely to meet those of another file, as a
//! restored copy or a second node would give them out.

use crate::db::{Db, OrDb};
use rusqlite::{OptionalExtension, Transaction};
use shared::Result;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use uuid::Uuid;

/// Reserved in the file at once; a restart skips what is left.
const RESERVED: i64 = 1_000;

/// Each file begins at a random multiple of this.
const FILE_SPAN: i64 = 1 << 32;

#[derive(Default)]
pub(super) struct Ids(Mutex<Range<i64>>);

impl Ids {
    pub async fn next(&self, db: &Db) -> Result<i64> {
        if let Some(id) = self.take(None) {
            return Ok(id);
        }
        let reserved = db.write_async(reserve).await?;
        let first = reserved.start;
        Ok(self.take(Some(reserved)).unwrap_or(first))
    }

    fn take(&self, more: Option<Range<i64>>) -> Option<i64> {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(more) = more {
            *left = more;
        }
        left.next()
    }
}

fn reserve(transaction: &Transaction<'_>) -> Result<Range<i64>> {
    let known: Option<i64> = transaction
        .query_row("SELECT value FROM buffer_meta WHERE name = 'next_producer_id'", [], |row| row.get(0))
        .optional()
        .or_db("read the next producer id")?;
    let first = known.unwrap_or_else(|| {
        let (random, _) = Uuid::new_v4().as_u64_pair();
        // 30 random bits, and not zero: ids near 0 are what every fresh broker gives out.
        (i64::try_from(random & 0x3fff_ffff).unwrap_or(0) + 1) * FILE_SPAN
    });
    transaction
        .execute(
            "INSERT INTO buffer_meta (name, value) VALUES ('next_producer_id', ?1)
             ON CONFLICT (name) DO UPDATE SET value = ?1",
            [first + RESERVED],
        )
        .or_db("reserve producer ids")?;
    Ok(first..first + RESERVED)
}
