//! How far each partition has been brought, durably. This room's tables: `forward_cursor`,
//! `forward_target`.

use crate::db::OrDb;
use crate::model::batch::PartitionId;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use shared::error::Result;
use std::collections::HashMap;

const DOING: &str = "use the positions at the centre";

/// What the file says of a partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Noted {
    pub next_offset: i64,
    /// So far an acknowledged transaction told it to the centre's group; 0 if none did.
    pub told: i64,
}

/// Of those partitions that were ever brought to this cluster.
pub fn load(reader: &Connection, cluster: &str) -> Result<HashMap<PartitionId, Noted>> {
    let mut statement = reader
        .prepare_cached("SELECT partition, next_offset, told FROM forward_cursor WHERE cluster = ?")
        .or_db(DOING)?;
    let noted =
        |row: &Row<'_>| Ok((PartitionId(row.get(0)?), Noted { next_offset: row.get(1)?, told: row.get(2)? }));
    let rows = statement.query_map([cluster], noted).or_db(DOING)?;
    rows.collect::<rusqlite::Result<_>>().or_db(DOING)
}

/// Never backwards.
pub fn set(tx: &Transaction<'_>, cluster: &str, partition: PartitionId, noted: Noted) -> Result<()> {
    tx.prepare_cached(
        "INSERT INTO forward_cursor (cluster, partition, next_offset, told) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (cluster, partition) DO UPDATE
         SET next_offset = max(next_offset, excluded.next_offset), told = max(told, excluded.told)",
    )
    .and_then(|mut s| s.execute(params![cluster, partition.0, noted.next_offset, noted.told]))
    .or_db(DOING)
    .map(drop)
}

/// The centre has lost what came after.
pub fn take_back(
    tx: &Transaction<'_>,
    cluster: &str,
    partition: PartitionId,
    next_offset: i64,
) -> Result<()> {
    tx.execute(
        "UPDATE forward_cursor SET next_offset = ?3, told = ?3 WHERE cluster = ?1 AND partition = ?2",
        params![cluster, partition.0, next_offset],
    )
    .or_db(DOING)
    .map(drop)
}

/// The cluster that these brokers were when they were last reached.
pub fn target(reader: &Connection, brokers: &str) -> Result<Option<String>> {
    reader
        .query_row("SELECT cluster FROM forward_target WHERE brokers = ?", [brokers], |row| row.get(0))
        .optional()
        .or_db(DOING)
}

pub fn set_target(tx: &Transaction<'_>, brokers: &str, cluster: &str) -> Result<()> {
    tx.execute(
        "INSERT INTO forward_target (brokers, cluster) VALUES (?1, ?2)
         ON CONFLICT (brokers) DO UPDATE SET cluster = excluded.cluster",
        params![brokers, cluster],
    )
    .or_db(DOING)
    .map(drop)
}
