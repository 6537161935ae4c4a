//! How far each central partition has been read. This room's table: `consume_position`.

use crate::db::OrDb;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use shared::error::Result;

/// The next offset to read; `None` if the partition was never read.
pub fn load(reader: &Connection, cluster: &str, topic: &str, partition: i32) -> Result<Option<i64>> {
    reader
        .prepare_cached(
            "SELECT next_offset FROM consume_position WHERE cluster = ? AND topic = ? AND partition = ?",
        )
        .and_then(|mut s| s.query_row(params![cluster, topic, partition], |row| row.get(0)).optional())
        .or_db("read a central position")
}

pub fn set(tx: &Transaction<'_>, cluster: &str, topic: &str, partition: i32, next_offset: i64) -> Result<()> {
    tx.prepare_cached(
        "INSERT OR REPLACE INTO consume_position (cluster, topic, partition, next_offset)
         VALUES (?, ?, ?, ?)",
    )
    .and_then(|mut s| s.execute(params![cluster, topic, partition, next_offset]))
    .or_db("store a central position")
    .map(drop)
}
