//! The log's own time, by which batches and producers grow old. Nobody can set it.
//!
//! A machine at the edge may boot in 1970 and be corrected later, or be set hours wrong by hand. If
//! ages were told by the wall clock, such a step would make everything old at once, or keep it for
//! ever. So the log counts the time that passes while the agent runs: it goes on from the youngest
//! time that is stored, and time during which the agent is stopped does not count.
//!
//! ```text
//! wall   2026-03-01 10:00 … 10:05 │ off │ 1970-01-01 00:00 … 00:03 ║ 2026-03-04 09:00 …
//! log    2026-03-01 10:00 … 10:05 │     │ 10:05            … 10:08 ║ 10:08 …
//! ```
//! A new file begins with the wall's time, so that the numbers mean something to a reader; only their
//! differences are ever used.

use crate::db::OrDb;
use rusqlite::{Connection, OptionalExtension, Transaction};
use shared::Result;
use shared::time::Clock;
use std::time::Duration;

/// Milliseconds of the log's time.
#[derive(Clone, Debug)]
pub(super) struct Age {
    clock: Clock,
    base_ms: i64,
    began: Duration,
}

impl Age {
    /// Goes on from what is stored.
    pub fn load(reader: &Connection, clock: Clock) -> Result<Age> {
        let base_ms = youngest(reader)?.unwrap_or_else(|| clock.now().millis()).max(1);
        Ok(Age { began: clock.monotonic(), clock, base_ms })
    }

    pub fn now_ms(&self) -> i64 {
        let ran = self.clock.monotonic().saturating_sub(self.began);
        self.base_ms.saturating_add(i64::try_from(ran.as_millis()).unwrap_or(i64::MAX))
    }

    /// What the wall clock would have shown then, if it had been as right as it is now.
    pub fn to_wall_ms(&self, log_ms: i64) -> i64 {
        let ago = self.now_ms().saturating_sub(log_ms);
        self.clock.now().millis().saturating_sub(ago).max(1)
    }

    /// Notes the present, for a log in which nothing arrives for long.
    pub fn note(transaction: &Transaction<'_>, now_ms: i64) -> Result<()> {
        transaction
            .execute(
                "INSERT INTO buffer_meta (name, value) VALUES ('log_ms', ?1)
                 ON CONFLICT (name) DO UPDATE SET value = max(value, ?1)",
                [now_ms],
            )
            .map(drop)
            .or_db("note the log's time")
    }
}

/// The youngest time in the file; `None` if it has none yet.
fn youngest(reader: &Connection) -> Result<Option<i64>> {
    // The last batch of each partition is the youngest: within a partition time does not go back.
    let text = "SELECT max(ms) FROM (
        SELECT value AS ms FROM buffer_meta WHERE name = 'log_ms'
        UNION ALL SELECT max(trimmed_ms) FROM topic_partition WHERE trimmed_ms > 0
        UNION ALL SELECT max(seen_ms) FROM producer
        UNION ALL SELECT (SELECT arrived_ms FROM log_batch
            WHERE place >= (p.id << 44) AND place < ((p.id + 1) << 44) ORDER BY place DESC LIMIT 1)
            FROM topic_partition p)";
    reader.query_row(text, [], |row| row.get(0)).optional().map(Option::flatten).or_db("read the log's time")
}
