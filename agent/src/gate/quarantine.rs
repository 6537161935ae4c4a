//! What was refused, with its bytes and the reason. This room's table: `quarantine`.

use crate::db::OrDb;
use crate::metrics;
use crate::model::batch::PartitionId;
use crate::model::verdict::Reason;
use rusqlite::{Connection, Transaction, params};
use shared::error::Result;

const DOING: &str = "use the quarantine";

/// A record put aside.
#[derive(Clone, Debug)]
pub struct Refused {
    pub topic: String,
    pub partition: PartitionId,
    pub offset: i64,
    pub reason: Reason,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
}

/// Keeps the records; the same record with the same reason is kept once. Beyond `max_records` the
/// oldest go, and are counted.
pub fn put(tx: &Transaction<'_>, refused: &[Refused], now_us: i64, max_records: u64) -> Result<()> {
    let sql = "INSERT INTO quarantine
                   (topic, partition, record_offset, reason, detail, key, value, refused_at_us)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
               ON CONFLICT (partition, record_offset, detail) DO NOTHING";
    for one in refused {
        tx.prepare_cached(sql)
            .and_then(|mut statement| {
                statement.execute(params![
                    one.topic,
                    one.partition.0,
                    one.offset,
                    one.reason.label,
                    one.reason.detail,
                    one.key,
                    one.value,
                    now_us
                ])
            })
            .or_db(DOING)?;
    }
    if refused.is_empty() { Ok(()) } else { trim(tx, max_records) }
}

/// Numbers are given in order and only the oldest are removed, so their span is their count, or a
/// little more where a repeat was left out.
fn trim(tx: &Transaction<'_>, max_records: u64) -> Result<()> {
    let newest: i64 = tx
        .prepare_cached("SELECT coalesce(max(id), 0) FROM quarantine")
        .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
        .or_db(DOING)?;
    let oldest_kept = newest.saturating_sub(i64::try_from(max_records).unwrap_or(i64::MAX));
    let dropped = tx
        .prepare_cached("DELETE FROM quarantine WHERE id <= ?1")
        .and_then(|mut statement| statement.execute([oldest_kept]))
        .or_db(DOING)?;
    metrics::GATE_DROPPED.inc_by(dropped as u64);
    Ok(())
}

/// Records kept, per reason.
pub fn sizes(connection: &Connection) -> Result<Vec<(String, i64)>> {
    let mut statement = connection
        .prepare_cached("SELECT reason, count(*) FROM quarantine GROUP BY reason ORDER BY reason")
        .or_db(DOING)?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).or_db(DOING)?;
    rows.collect::<rusqlite::Result<_>>().or_db(DOING)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_each_once_and_the_newest() {
        let mut connection = Connection::open_in_memory().expect("in memory");
        connection.execute_batch(include_str!("../db/migrations/0011_gate.sql")).expect("the layout");
        let refused = |offset| Refused {
            topic: "t".to_owned(),
            partition: PartitionId(1),
            offset,
            reason: Reason::new("not_null", "column a is null"),
            key: None,
            value: Some(vec![1]),
        };
        let tx = connection.transaction().expect("begins");
        put(&tx, &[refused(1), refused(2), refused(2), refused(3)], 0, 100).expect("kept");
        assert_eq!(sizes(&tx).expect("reads"), [("not_null".to_owned(), 3)]);
        put(&tx, &[refused(9)], 0, 2).expect("kept");
        let left: Vec<i64> = tx
            .prepare("SELECT record_offset FROM quarantine ORDER BY id")
            .and_then(|mut s| s.query_map([], |r| r.get(0))?.collect())
            .expect("reads");
        assert_eq!(left.last(), Some(&9));
        assert!(left.len() <= 2, "{left:?}");
    }
}
