//! A file that is a copy: a restored backup, or what was saved of a damaged file.
//!
//! The log that it was copied from may have gone on: it gave out offsets and producer ids that the copy
//! knows nothing of. If the copy gave them out again, a reader would take new records for those that it
//! has read, and a producer's batch could be taken for another's. So a copy carries a mark, and the
//! first agent that opens it moves on to numbers that nobody can have seen.
//!
//! ```text
//! offsets        … 41 │ 42 … given out by the lost log │ 42 + 1,000,000,000 …
//! producer ids   a new random span; producers that the copy remembers are forgotten, for they may have
//!                gone on, and would be told that they are out of order; open transactions with them
//! ```
//! Until something is written, readers are told that the log ends where the copy ends: nobody lags behind
//! what is not there. Those that are further on already wait for what is new.
//! The mark goes when the other rooms have done the same with their numbers ([`settled`]).
//!
//! The cluster's id stays: no offset stands for two records. Two live copies of one file would break that.

use crate::db::{Db, OrDb};
use rusqlite::{Connection, OptionalExtension, Transaction};
use shared::Result;
use shared::error::Context;

/// No log gets further than this behind a copy; there is room for 17,000 copies.
pub const OFFSETS_AHEAD: i64 = 1_000_000_000;

const NAME: &str = "copied";
/// The mark's value once the log has moved on.
const MOVED_ON: i64 = 2;

/// Marks a closed file as a copy.
pub fn mark_copy(copy: &Connection) -> Result<()> {
    copy.execute("INSERT OR REPLACE INTO buffer_meta (name, value) VALUES (?, 1)", [NAME])
        .map(drop)
        .or_db("mark the copy")
}

/// The rooms have moved on: from now on the file is like any other.
pub fn settled(transaction: &Transaction<'_>) -> Result<()> {
    transaction
        .execute("DELETE FROM buffer_meta WHERE name = ?", [NAME])
        .map(drop)
        .or_db("take a copy's mark away")
}

/// If the file is marked, moves the log on, once; says whether it is.
pub(super) fn settle(db: &Db, now_ms: i64) -> Result<bool> {
    let copied = db.write(move |transaction| move_on(transaction, now_ms)).doing(|| "take over a copy")?;
    if copied {
        tracing::warn!(
            event = "buffer_copied",
            offsets_ahead = OFFSETS_AHEAD,
            remedy = "what was stored after the copy was made is missing: take a new snapshot of the source",
            "the file is a copy: offsets and producer ids go on where nobody can have seen them"
        );
    }
    Ok(copied)
}

fn move_on(transaction: &Transaction<'_>, now_ms: i64) -> Result<bool> {
    let marked: Option<i64> = transaction
        .query_row("SELECT value FROM buffer_meta WHERE name = ?", [NAME], |row| row.get(0))
        .optional()
        .or_db("look for a copy's mark")?;
    match marked {
        None => return Ok(false),
        Some(MOVED_ON) => return Ok(true),
        Some(_) => {}
    }
    // First what the batches say, then ahead of it. As far as views are concerned, what the copy lacks was
    // trimmed just now.
    for text in [
        "UPDATE topic_partition AS p SET
            bytes = bytes + (SELECT coalesce(sum(b.bytes), 0) FROM log_batch b
                WHERE place >= ((p.id << 44) | p.next_offset) AND place < ((p.id + 1) << 44)),
            next_offset = max(next_offset, coalesce((SELECT last_offset + 1 FROM log_batch
                WHERE place >= (p.id << 44) AND place < ((p.id + 1) << 44) ORDER BY place DESC LIMIT 1), 0))",
        "UPDATE topic_partition SET next_offset = next_offset + ?1, trimmed_ms = max(trimmed_ms, ?2)",
        "DELETE FROM producer",
        "DELETE FROM staged_batch",
        "DELETE FROM transactional_id",
        "DELETE FROM buffer_meta WHERE name = 'next_producer_id'",
        "UPDATE buffer_meta SET value = 2 WHERE name = 'copied'",
    ] {
        let mut statement = transaction.prepare(text).or_db("move a copy on")?;
        let parameters: [i64; 2] = [OFFSETS_AHEAD, now_ms];
        let wanted = statement.parameter_count();
        let given = parameters.get(..wanted).unwrap_or_default();
        statement.execute(rusqlite::params_from_iter(given)).or_db("move a copy on")?;
    }
    Ok(true)
}
