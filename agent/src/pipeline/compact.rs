//! Compaction: of a topic that was made with `cleanup.policy=compact`, batches go whose records all have a
//! newer one with the same key. What is left has gaps between offsets, as at any broker.
//!
//! A batch is kept or removed whole: it is stored as its producer sent it. So a few outdated records stay
//! beside newer ones of other keys, which readers of such topics expect anyway.

use crate::buffer::{Log, Partition};
use crate::decode;
use crate::model::batch::PartitionId;
use rusqlite::Connection;
use shared::error::Result;
use shared::shutdown::Shutdown;
use std::collections::HashMap;

/// Looked at again when it has grown to twice what was left, and by so much.
const WORTH_BYTES: u64 = 1 << 20;
/// Keys held in memory meanwhile; a partition with more is left as it is.
const MAX_KEY_BYTES: usize = 16 << 20;
const ENTRY_BYTES: usize = 64;
/// One read: reads are short, the log's file is not held up by them.
const READ_BYTES: usize = 1 << 20;

#[derive(Default)]
pub struct Compaction {
    /// What was left of each partition.
    left_bytes: HashMap<PartitionId, u64>,
}

impl Compaction {
    /// Removes what is outdated below an offset, if there may be enough of it.
    pub fn look(
        &mut self,
        log: &Log,
        reader: &Connection,
        partition: &Partition,
        below: i64,
        unpacked_bytes: usize,
        shutdown: &Shutdown,
    ) -> Result<()> {
        let left = self.left_bytes.get(&partition.id).copied().unwrap_or(0);
        if partition.bytes() < left.saturating_mul(2).saturating_add(WORTH_BYTES) {
            return Ok(());
        }
        let (mut newest, mut key_bytes) = (HashMap::<Vec<u8>, i64>::new(), 0);
        each_piece(log, reader, partition, shutdown, |base_offset, _, records| {
            decode::each_key(base_offset, records, unpacked_bytes, |offset, key| {
                let Some(key) = key.filter(|_| key_bytes <= MAX_KEY_BYTES) else { return };
                if let Some(newest) = newest.get_mut(key) {
                    *newest = offset;
                } else {
                    key_bytes += key.len() + ENTRY_BYTES;
                    newest.insert(key.to_vec(), offset);
                }
            });
            Ok(())
        })?;
        if key_bytes <= MAX_KEY_BYTES {
            each_piece(log, reader, partition, shutdown, |base_offset, last_offset, records| {
                let mut outdated = last_offset < below;
                outdated &= decode::each_key(base_offset, records, unpacked_bytes, |offset, key| {
                    outdated &= key.and_then(|key| newest.get(key)).is_some_and(|newest| *newest > offset);
                });
                if outdated { log.remove(partition.id, base_offset) } else { Ok(()) }
            })?;
        }
        self.left_bytes.insert(partition.id, partition.bytes());
        Ok(())
    }
}

/// Base offset, last offset and bytes of every batch that is there now.
fn each_piece(
    log: &Log,
    reader: &Connection,
    partition: &Partition,
    shutdown: &Shutdown,
    mut each: impl FnMut(i64, i64, &[u8]) -> Result<()>,
) -> Result<()> {
    let (mut from, end) = (partition.start(), partition.end());
    while from < end && !shutdown.requested() {
        let batches = log.read(reader, partition.id, from, READ_BYTES)?;
        let Some(last) = batches.last() else { return Ok(()) };
        from = last.last_offset.saturating_add(1);
        for batch in &batches {
            each(batch.base_offset, batch.last_offset, &batch.records)?;
        }
    }
    Ok(())
}
