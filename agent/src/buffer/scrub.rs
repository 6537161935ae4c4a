//! Goes through the checksums of stored batches, a little at a time: damage is found while a backup
//! or the source still has the data, and not on the day when a reader needs it.

use super::catalogue::Partition;
use super::damage::{self, Damage};
use crate::db::OrDb;
use crate::metrics;
use crate::model::batch::PartitionId;
use rusqlite::{Connection, ErrorCode, params};
use shared::Result;
use std::sync::Arc;

/// Where a pass stands; begin with the default one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scrub {
    partition: Option<PartitionId>,
    offset: i64,
    /// Whether everything was gone through.
    pub done: bool,
}

/// Reads on from `at`; gives back how many bytes it read.
pub(super) fn step(
    reader: &Connection,
    damage: &Damage,
    partitions: &[Arc<Partition>],
    at: &mut Scrub,
    max_bytes: u64,
) -> Result<u64> {
    let mut partitions: Vec<&Arc<Partition>> = partitions.iter().collect();
    partitions.sort_by_key(|partition| partition.id);
    let mut read = 0;
    let from = at.partition;
    for partition in partitions.into_iter().filter(|p| from.is_none_or(|id| p.id >= id)) {
        if at.partition != Some(partition.id) {
            (at.partition, at.offset) = (Some(partition.id), 0);
        }
        read += one(reader, damage, partition, at, max_bytes.saturating_sub(read))?;
        if read >= max_bytes {
            metrics::BUFFER_SCRUBBED_BYTES.inc_by(read);
            return Ok(read);
        }
    }
    metrics::BUFFER_SCRUBBED_BYTES.inc_by(read);
    at.done = true;
    Ok(read)
}

/// Up to `max_bytes` of one partition.
fn one(
    reader: &Connection,
    damage: &Damage,
    partition: &Partition,
    at: &mut Scrub,
    max_bytes: u64,
) -> Result<u64> {
    let mut bytes = 0;
    let mut walk = || -> rusqlite::Result<()> {
        let (_, after) = partition.places();
        let mut statement = reader.prepare_cached(
            "SELECT place, last_offset, bytes, records FROM log_batch
             WHERE place >= ? AND place < ? ORDER BY place",
        )?;
        let mut rows = statement.query(params![partition.place(at.offset.max(partition.start())), after])?;
        while bytes < max_bytes
            && let Some(row) = rows.next()?
        {
            let base_offset = Partition::offset(row.get(0)?);
            at.offset = base_offset;
            let last_offset: i64 = row.get(1)?;
            bytes += u64::from(row.get::<_, u32>(2)?);
            if let Some(flaw) = damage::flaw(base_offset, last_offset, row.get_ref(3)?.as_blob()?) {
                damage.note(partition, base_offset, flaw);
            }
            at.offset = base_offset.saturating_add(1);
        }
        Ok(())
    };
    match walk() {
        Ok(()) => Ok(bytes),
        // Where the next sound batch lies cannot be said; what is behind is found by its readers.
        Err(error) if matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt) | None) => {
            damage.note(partition, at.offset, damage::PAGES);
            Ok(bytes)
        }
        Err(error) => Err(error).or_db("read the log through"),
    }
}
