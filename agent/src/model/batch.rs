//! A producer's records as they came: one Kafka record batch, never opened by the log.

use bytes::Bytes;
use std::sync::Arc;

/// A partition's number in this node's file; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartitionId(pub i64);

impl std::fmt::Display for PartitionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// One record batch as stored, with the offsets of its first and last record.
#[derive(Clone, Debug)]
pub struct Batch {
    pub partition: PartitionId,
    pub topic: Arc<str>,
    pub base_offset: i64,
    pub last_offset: i64,
    /// The whole magic-2 batch, head included.
    pub records: Bytes,
}

#[cfg(test)]
pub mod tests {
    use shared::kafka::Compression;
    use shared::kafka::batch::{HEAD_BYTES, Head, Turn};

    /// A sound batch of `count` records; the records themselves are filler of `filler` bytes.
    pub fn sample(turn: Option<Turn>, count: i32, filler: usize) -> Vec<u8> {
        made(turn, count, filler, false)
    }

    /// The same as a part of a transaction.
    pub fn staged(turn: Turn, count: i32, filler: usize) -> Vec<u8> {
        made(Some(turn), count, filler, true)
    }

    fn made(turn: Option<Turn>, count: i32, filler: usize, transactional: bool) -> Vec<u8> {
        let (last_delta, first_time_ms, max_time_ms) = (count - 1, 1_000, 2_000);
        let compression = Compression::None;
        let mut batch = vec![b'r'; HEAD_BYTES + filler];
        Head { compression, last_delta, first_time_ms, max_time_ms, turn, transactional }.write(&mut batch);
        batch
    }
}
