//! How far each partition has been processed. This room's table: `pipeline_cursor`.

use crate::db::OrDb;
use crate::model::batch::PartitionId;
use rusqlite::{Connection, Transaction, params};
use shared::error::Result;
use std::collections::HashMap;

const DOING: &str = "use the cursors";

/// The next offset to process, per partition that was ever processed.
pub fn load(connection: &Connection) -> Result<HashMap<PartitionId, i64>> {
    let mut statement =
        connection.prepare_cached("SELECT partition, next_offset FROM pipeline_cursor").or_db(DOING)?;
    let rows = statement.query_map([], |row| Ok((PartitionId(row.get(0)?), row.get(1)?))).or_db(DOING)?;
    rows.collect::<rusqlite::Result<_>>().or_db(DOING)
}

pub fn set(tx: &Transaction<'_>, partition: PartitionId, next_offset: i64) -> Result<()> {
    let sql = "INSERT INTO pipeline_cursor (partition, next_offset) VALUES (?1, ?2)
               ON CONFLICT (partition) DO UPDATE SET next_offset = excluded.next_offset";
    tx.prepare_cached(sql)
        .and_then(|mut statement| statement.execute(params![partition.0, next_offset]))
        .or_db(DOING)
        .map(drop)
}
