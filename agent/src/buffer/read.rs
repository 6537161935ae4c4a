//! Reading the log: a floor seek on the clustered key, then onwards.

use super::catalogue::Partition;
use crate::db::OrDb;
use crate::model::batch::Batch;
use bytes::{Bytes, BytesMut};
use rusqlite::{Connection, OptionalExtension, params};
use shared::Result;
use std::sync::Arc;

pub(super) fn batches(
    reader: &Connection,
    partition: &Partition,
    from_offset: i64,
    max_bytes: usize,
) -> Result<Vec<Batch>> {
    let mut out = Vec::new();
    each(reader, partition, from_offset, max_bytes, |base_offset, last_offset, records| {
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
    partition: &Partition,
    from_offset: i64,
    max_bytes: usize,
) -> Result<BytesMut> {
    let mut out = BytesMut::new();
    each(reader, partition, from_offset, max_bytes, |_, _, records| out.extend_from_slice(records))?;
    Ok(out)
}

/// At least one batch, then as many as fit into `max_bytes`. Sizes stand before the blob, so the
/// batch that does not fit is not read.
fn each(
    reader: &Connection,
    partition: &Partition,
    from_offset: i64,
    max_bytes: usize,
    mut take: impl FnMut(i64, i64, &[u8]),
) -> Result<()> {
    let (first, after) = partition.places();
    let wanted = partition.place(from_offset);
    let mut read = || -> rusqlite::Result<()> {
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
        let (mut taken_bytes, mut taken) = (0usize, false);
        while let Some(row) = rows.next()? {
            let last_offset: i64 = row.get(1)?;
            if last_offset < from_offset {
                continue;
            }
            taken_bytes = taken_bytes.saturating_add(row.get::<_, u32>(2)? as usize);
            if taken && taken_bytes > max_bytes {
                break;
            }
            taken = true;
            take(Partition::offset(row.get(0)?), last_offset, row.get_ref(3)?.as_blob()?);
        }
        Ok(())
    };
    read().or_db("read the log")
}

pub(super) fn offset_at(
    reader: &Connection,
    partition: &Partition,
    time_ms: i64,
) -> Result<Option<(i64, i64)>> {
    let (first, after) = partition.places();
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
