//! How far each partition has been brought, durably. This room's tables: `forward_cursor`,
//! `forward_target`.

use crate::db::OrDb;
use crate::model::batch::PartitionId;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use shared::error::Result;
use std::collections::HashMap;

const DOING: &str = "use the positions at the centre";

/// The next offset per partition, of those that were ever brought to this cluster.
pub fn load(reader: &Connection, cluster: &str) -> Result<HashMap<PartitionId, i64>> {
    let mut statement = reader
        .prepare_cached("SELECT partition, next_offset FROM forward_cursor WHERE cluster = ?")
        .or_db(DOING)?;
    let rows =
        statement.query_map([cluster], |row| Ok((PartitionId(row.get(0)?), row.get(1)?))).or_db(DOING)?;
    rows.collect::<rusqlite::Result<_>>().or_db(DOING)
}

/// Never backwards.
pub fn set(tx: &Transaction<'_>, cluster: &str, partition: PartitionId, next_offset: i64) -> Result<()> {
    tx.prepare_cached(
        "INSERT INTO forward_cursor (cluster, partition, next_offset) VALUES (?1, ?2, ?3)
         ON CONFLICT (cluster, partition) DO UPDATE SET next_offset = max(next_offset, excluded.next_offset)",
    )
    .and_then(|mut s| s.execute(params![cluster, partition.0, next_offset]))
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
