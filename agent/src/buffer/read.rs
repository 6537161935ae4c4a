//! Reading the log: a floor seek on the clustered key, then onwards.

use super::catalogue::Partition;
use super::damage::{self, Damage};
use crate::db::OrDb;
use crate::model::batch::Batch;
use bytes::{Bytes, BytesMut};
use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, params};
use shared::Result;
use std::sync::Arc;

pub(super) fn batches(
    reader: &Connection,
    damage: &Damage,
    partition: &Partition,
    from_offset: i64,
    max_bytes: usize,
) -> Result<Vec<Batch>> {
    let mut out = Vec::new();
    each(reader, damage, partition, from_offset, max_bytes, |base_offset, last_offset, records| {
        out.push(Batch {
            partition: partition.id,
            topic: Arc::clone(&partition.topic),
            base_offset,
            last_offset,
            records: Bytes::copy_from_slice(records),
        });
    })?;
    Ok(out)
}

pub(super) fn bytes(
    reader: &Connection,
    damage: &Damage,
    partition: &Partition,
    from_offset: i64,
    max_bytes: usize,
) -> Result<BytesMut> {
    let mut out = BytesMut::new();
    each(reader, damage, partition, from_offset, max_bytes, |_, _, records| out.extend_from_slice(records))?;
    Ok(out)
}

/// At least one batch, then as many as fit into `max_bytes`. Sizes stand before the blob, so the
/// batch that does not fit is not read. What comes before a damaged batch is given; who begins at it
/// gets the error.
fn each(
    reader: &Connection,
    damage: &Damage,
    partition: &Partition,
    from_offset: i64,
    max_bytes: usize,
    mut take: impl FnMut(i64, i64, &[u8]),
) -> Result<()> {
    // What is before the start may still lie in the file.
    let from_offset = from_offset.max(partition.start());
    let (mut taken_bytes, mut taken, mut next) = (0usize, false, from_offset);
    let mut one = |row: &Row<'_>| -> rusqlite::Result<Step> {
        let last_offset: i64 = row.get(1)?;
        if last_offset < from_offset {
            return Ok(Step::On);
        }
        taken_bytes = taken_bytes.saturating_add(row.get::<_, u32>(2)? as usize);
        if taken && taken_bytes > max_bytes {
            return Ok(Step::Enough);
        }
        let base_offset = Partition::offset(row.get(0)?);
        next = base_offset;
        let records = row.get_ref(3)?.as_blob()?;
        if let Some(why) = damage::flaw(base_offset, last_offset, records) {
            return Ok(Step::Damaged(why));
        }
        taken = true;
        next = last_offset.saturating_add(1);
        take(base_offset, last_offset, records);
        Ok(Step::On)
    };
    let flaw = match walk(reader, partition, from_offset, &mut one) {
        Ok(Step::Damaged(why)) => why,
        Ok(_) => return Ok(()),
        Err(error) if matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt) | None) => {
            damage::PAGES
        }
        Err(error) => return Err(error).or_db("read the log"),
    };
    let error = damage.note(partition, next, flaw);
    if taken { Ok(()) } else { Err(error) }
}

/// Whether to read on.
enum Step {
    On,
    Enough,
    Damaged(&'static str),
}

fn walk(
    reader: &Connection,
    partition: &Partition,
    from_offset: i64,
    one: &mut dyn FnMut(&Row<'_>) -> rusqlite::Result<Step>,
) -> rusqlite::Result<Step> {
    let (first, after) = partition.places();
    let wanted = partition.place(from_offset);
    let floor: Option<i64> = reader
        .prepare_cached(
            "SELECT place FROM log_batch WHERE place <= ? AND place >= ? ORDER BY place DESC LIMIT 1",
        )?
        .query_row(params![wanted, first], |row| row.get(0))
        .optional()?;
    let mut statement = reader.prepare_cached(
        "SELECT place, last_offset, bytes, records FROM log_batch
         WHERE place >= ? AND place < ? ORDER BY place",
    )?;
    let mut rows = statement.query(params![floor.unwrap_or(wanted), after])?;
    while let Some(row) = rows.next()? {
        match one(row)? {
            Step::On => {}
            step => return Ok(step),
        }
    }
    Ok(Step::On)
}

pub(super) fn offset_at(
    reader: &Connection,
    partition: &Partition,
    time_ms: i64,
) -> Result<Option<(i64, i64)>> {
    let (first, after) = (partition.place(partition.start()), partition.places().1);
    reader
        .prepare_cached(
            "SELECT place, max_time_ms FROM log_batch
             WHERE place >= ? AND place < ? AND max_time_ms >= ? ORDER BY place LIMIT 1",
        )
        .and_then(|mut statement| {
            let found = |row: &rusqlite::Row<'_>| Ok((Partition::offset(row.get(0)?), row.get(1)?));
            statement.query_row(params![first, after, time_ms], found).optional()
        })
        .or_db("look for a time in the log")
}
