//! What the central store has not confirmed: the latest values per view and entity, in the order of
//! their change. This room's tables: `sync_outbox`, `sync_target`.
//!
//! A newer value takes the older one's place with a new sequence, so the outbox never holds more rows
//! than there are entities, however long the store is away, and confirming what was sent does not
//! drop what came meanwhile.

use crate::db::OrDb;
use crate::model::feature::{AsOf, FeatureRow, StoredRow, ViewId};
use crate::model::pack;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use shared::error::{Error, Kind, Result};

const DOING: &str = "use the outbox";

/// A row of the outbox.
#[derive(Clone, Debug, PartialEq)]
pub struct Waiting {
    pub sequence: i64,
    pub stored: StoredRow,
}

/// Queues values.
pub fn put(tx: &Transaction<'_>, stored: &[StoredRow]) -> Result<()> {
    let sql = "INSERT INTO sync_outbox (view, entity, as_of_ns, vals) VALUES (?1, ?2, ?3, ?4)";
    for StoredRow { row, as_of } in stored {
        tx.prepare_cached(sql)
            .and_then(|mut statement| {
                statement.execute(params![row.view.0, row.entity, as_of.0, pack::pack(&row.values)])
            })
            .or_db(DOING)?;
    }
    Ok(())
}

/// The oldest rows, at most `limit`.
pub fn take(connection: &Connection, limit: usize) -> Result<Vec<Waiting>> {
    let sql = "SELECT sequence, view, entity, as_of_ns, vals FROM sync_outbox ORDER BY sequence LIMIT ?1";
    let mut statement = connection.prepare_cached(sql).or_db(DOING)?;
    let mut rows = statement.query([i64::try_from(limit).unwrap_or(i64::MAX)]).or_db(DOING)?;
    let mut taken = Vec::new();
    while let Some(row) = rows.next().or_db(DOING)? {
        let packed: Vec<u8> = row.get(4).or_db(DOING)?;
        let values =
            pack::unpack(&packed).ok_or_else(|| Error::new(Kind::Data, "a row of the outbox is damaged"))?;
        let entity = row.get(2).or_db(DOING)?;
        let feature = FeatureRow { view: ViewId(row.get(1).or_db(DOING)?), entity, values };
        let stored = StoredRow { row: feature, as_of: AsOf(row.get(3).or_db(DOING)?) };
        taken.push(Waiting { sequence: row.get(0).or_db(DOING)?, stored });
    }
    Ok(taken)
}

/// Forgets what was confirmed, and puts what was refused to the end, unless newer values came.
pub fn confirm(tx: &Transaction<'_>, confirmed: &[i64], refused: &[Waiting]) -> Result<()> {
    let mut delete = tx.prepare_cached("DELETE FROM sync_outbox WHERE sequence = ?1").or_db(DOING)?;
    for sequence in confirmed {
        delete.execute([sequence]).or_db(DOING)?;
    }
    for waiting in refused {
        if delete.execute([waiting.sequence]).or_db(DOING)? > 0 {
            put(tx, std::slice::from_ref(&waiting.stored))?;
        }
    }
    Ok(())
}

/// Forgets a view's rows.
pub fn clear(tx: &Transaction<'_>, view: ViewId) -> Result<()> {
    tx.prepare_cached("DELETE FROM sync_outbox WHERE view = ?1")
        .and_then(|mut statement| statement.execute([view.0]))
        .or_db(DOING)
        .map(drop)
}

/// Rows that wait.
pub fn size(connection: &Connection) -> Result<i64> {
    connection
        .prepare_cached("SELECT count(*) FROM sync_outbox")
        .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
        .or_db(DOING)
}

/// Notes the target; true if it is another than before, and so needs everything. No target empties
/// the outbox.
pub fn retarget(tx: &Transaction<'_>, target: Option<&str>) -> Result<bool> {
    let before: Option<String> =
        tx.query_row("SELECT target FROM sync_target", [], |row| row.get(0)).optional().or_db(DOING)?;
    if before.as_deref() == target {
        return Ok(false);
    }
    tx.execute_batch("DELETE FROM sync_target; DELETE FROM sync_outbox;").or_db(DOING)?;
    if let Some(target) = target {
        tx.execute("INSERT INTO sync_target (only_row, target) VALUES (1, ?1)", [target]).or_db(DOING)?;
    }
    Ok(target.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::value::Value;

    fn stored(entity: u8, value: i64) -> StoredRow {
        let row = FeatureRow { view: ViewId(1), entity: vec![entity], values: vec![Value::Int(value)] };
        StoredRow { row, as_of: AsOf(value) }
    }

    #[test]
    fn holds_the_latest_per_entity_and_confirms_only_what_was_sent() {
        let mut connection = Connection::open_in_memory().expect("in memory");
        connection.execute_batch(include_str!("../db/migrations/0013_sync.sql")).expect("the layout");
        let tx = connection.transaction().expect("begins");
        put(&tx, &[stored(1, 10), stored(2, 20), stored(1, 11)]).expect("queued");
        let sent = take(&tx, 10).expect("reads");
        assert_eq!(sent.iter().map(|w| w.stored.clone()).collect::<Vec<_>>(), [stored(2, 20), stored(1, 11)]);
        put(&tx, &[stored(2, 21)]).expect("queued");
        let sequences: Vec<i64> = sent.iter().map(|w| w.sequence).collect();
        confirm(&tx, &sequences, &[]).expect("confirmed");
        let left = take(&tx, 10).expect("reads");
        assert_eq!(left.iter().map(|w| w.stored.clone()).collect::<Vec<_>>(), [stored(2, 21)]);
        put(&tx, &[stored(3, 30)]).expect("queued");
        confirm(&tx, &[], &left).expect("put back");
        let order: Vec<_> = take(&tx, 10).expect("reads").into_iter().map(|w| w.stored).collect();
        assert_eq!(order, [stored(3, 30), stored(2, 21)], "a refused row waits behind the others");
        assert_eq!(size(&tx).expect("reads"), 2);
        assert!(retarget(&tx, Some("a")).expect("noted"));
        assert!(!retarget(&tx, Some("a")).expect("noted"));
        assert_eq!(size(&tx).expect("reads"), 0);
        assert!(retarget(&tx, Some("b")).expect("noted"));
        assert!(!retarget(&tx, None).expect("noted"));
    }
}
