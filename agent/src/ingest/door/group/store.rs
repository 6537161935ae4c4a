//! The groups' offsets in the file.

use crate::db::OrDb;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use shared::Result;

/// How far a group has read one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Place {
    pub topic: String,
    pub partition: i32,
    pub next_offset: i64,
    pub leader_epoch: i32,
    pub metadata: Option<String>,
}

/// Writes offsets; `false` if the group would be one too many.
pub(super) fn commit(
    tx: &Transaction<'_>,
    group: &str,
    places: &[Place],
    now_ms: i64,
    max_groups: u32,
) -> Result<bool> {
    if !has_room(tx, group, max_groups)? {
        return Ok(false);
    }
    let mut put = tx
        .prepare_cached(
            "INSERT OR REPLACE INTO group_offset
                (name, topic, partition, next_offset, leader_epoch, metadata, at_ms)
             VALUES (?, ?, ?, ?, ?, ?, ?)",
        )
        .or_db("commit a group's offsets")?;
    for place in places {
        let Place { topic, partition, next_offset, leader_epoch, metadata } = place;
        put.execute(params![group, topic, partition, next_offset, leader_epoch, metadata, now_ms])
            .or_db("commit a group's offsets")?;
    }
    Ok(true)
}

fn has_room(tx: &Transaction<'_>, group: &str, max_groups: u32) -> Result<bool> {
    let known = "SELECT EXISTS (SELECT 1 FROM group_offset WHERE name = ?)";
    let known: bool = tx
        .prepare_cached(known)
        .and_then(|mut statement| statement.query_row([group], |row| row.get(0)))
        .or_db("look for a group")?;
    if known {
        return Ok(true);
    }
    let count: u32 = tx
        .query_row("SELECT count(DISTINCT name) FROM group_offset", [], |row| row.get(0))
        .or_db("count the groups")?;
    Ok(count < max_groups)
}

/// As [`commit`], but they count with the end of the producer's transaction.
pub(super) fn stage(
    tx: &Transaction<'_>,
    producer: i64,
    group: &str,
    places: &[Place],
    now_ms: i64,
    max_groups: u32,
) -> Result<bool> {
    if !has_room(tx, group, max_groups)? {
        return Ok(false);
    }
    for place in places {
        let Place { topic, partition, next_offset, leader_epoch, metadata } = place;
        tx.prepare_cached(
            "INSERT OR REPLACE INTO group_offset_staged
                (producer, name, topic, partition, next_offset, leader_epoch, metadata, at_ms)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .and_then(|mut put| {
            put.execute(params![
                producer,
                group,
                topic,
                partition,
                next_offset,
                leader_epoch,
                metadata,
                now_ms
            ])
        })
        .or_db("stage a group's offsets")?;
    }
    Ok(true)
}

/// The producer's transaction ends: what was staged counts, or is forgotten.
pub(super) fn end(tx: &Transaction<'_>, producer: i64, commit: bool) -> Result<()> {
    if commit {
        tx.prepare_cached(
            "INSERT OR REPLACE INTO group_offset
             SELECT name, topic, partition, next_offset, leader_epoch, metadata, at_ms
             FROM group_offset_staged WHERE producer = ?",
        )
        .and_then(|mut put| put.execute([producer]))
        .or_db("commit a transaction's offsets")?;
    }
    tx.prepare_cached("DELETE FROM group_offset_staged WHERE producer = ?")
        .and_then(|mut delete| delete.execute([producer]))
        .or_db("forget a transaction's offsets")?;
    Ok(())
}

/// Transactions that were open are open no more: the file is a copy, and does not know how they ended.
pub fn forget_open(tx: &Transaction<'_>) -> Result<()> {
    tx.execute("DELETE FROM group_offset_staged", []).map(drop).or_db("forget offsets of open transactions")
}

/// All that a group has committed; bounded by what may be committed.
pub(super) fn all(reader: &Connection, group: &str) -> Result<Vec<Place>> {
    let row = |row: &rusqlite::Row<'_>| {
        Ok(Place {
            topic: row.get(0)?,
            partition: row.get(1)?,
            next_offset: row.get(2)?,
            leader_epoch: row.get(3)?,
            metadata: row.get(4)?,
        })
    };
    reader
        .prepare_cached(
            "SELECT topic, partition, next_offset, leader_epoch, metadata FROM group_offset
             WHERE name = ? ORDER BY topic, partition",
        )
        .and_then(|mut statement| statement.query_map([group], row)?.collect())
        .or_db("read a group's offsets")
}

/// Partitions of a group with offsets that wait for the end of a transaction.
pub(super) fn unsettled(reader: &Connection, group: &str) -> Result<Vec<(String, i32)>> {
    reader
        .prepare_cached("SELECT DISTINCT topic, partition FROM group_offset_staged WHERE name = ?")
        .and_then(|mut statement| {
            statement.query_map([group], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        })
        .or_db("read a group's open offsets")
}

pub(super) fn names(reader: &Connection) -> Result<Vec<String>> {
    reader
        .prepare_cached("SELECT DISTINCT name FROM group_offset ORDER BY name")
        .and_then(|mut statement| statement.query_map([], |row| row.get(0))?.collect())
        .or_db("read the groups")
}

/// Whether there was such a group.
pub(super) fn delete(tx: &Transaction<'_>, group: &str) -> Result<bool> {
    let deleted = tx.execute("DELETE FROM group_offset WHERE name = ?", [group]).or_db("delete a group")?;
    Ok(deleted > 0)
}

/// Forgets groups whose last commit is older than this.
pub(super) fn expire(tx: &Transaction<'_>, before_ms: i64) -> Result<()> {
    tx.execute(
        "DELETE FROM group_offset WHERE name IN
            (SELECT name FROM group_offset GROUP BY name HAVING max(at_ms) < ?)",
        [before_ms],
    )
    .or_db("forget old groups")?;
    Ok(())
}

/// Whether [`expire`] would find any.
pub(super) fn any_old(reader: &Connection, before_ms: i64) -> Result<bool> {
    reader
        .query_row(
            "SELECT 1 FROM group_offset GROUP BY name HAVING max(at_ms) < ? LIMIT 1",
            [before_ms],
            |_| Ok(()),
        )
        .optional()
        .map(|found| found.is_some())
        .or_db("look for old groups")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nobody would ever end them, and who waits for stable offsets would wait for ever.
    #[test]
    fn what_a_copy_holds_of_open_transactions_is_forgotten() {
        let mut connection = Connection::open_in_memory().expect("opens");
        crate::db::migrate(&mut connection).expect("migrates");
        let place =
            Place { topic: "t".to_owned(), partition: 0, next_offset: 7, leader_epoch: 0, metadata: None };
        let tx = connection.transaction().expect("begins");
        assert!(stage(&tx, 1, "g", std::slice::from_ref(&place), 0, 9).expect("stages"));
        assert!(commit(&tx, "g", &[place], 0, 9).expect("commits"));
        assert_eq!(unsettled(&tx, "g").expect("reads"), [("t".to_owned(), 0)]);
        forget_open(&tx).expect("forgets");
        assert_eq!((unsettled(&tx, "g").expect("reads").len(), all(&tx, "g").expect("reads").len()), (0, 1));
    }
}
