//! Where a record belongs: as the Java client decides, so that a take-over leaves each key where it is.

use crate::model::encoded::Encoded;
use shared::kafka::partitioner;

/// Where a record belongs, whatever the number of partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aim {
    Given(i32),
    Hash(u32),
    /// Anywhere.
    Any,
}

impl Aim {
    #[inline]
    pub fn of(message: &Encoded<'_>) -> Aim {
        match (message.partition, message.key) {
            (Some(given), _) => Aim::Given(given),
            (None, Some(key)) => Aim::Hash(partitioner::hash(key)),
            (None, None) => Aim::Any,
        }
    }

    /// Among so many partitions, of which there is at least one; `turn` is where records without a key go now.
    #[inline]
    pub fn among(self, partitions: usize, turn: usize) -> usize {
        match self {
            Aim::Given(given) => usize::try_from(given).unwrap_or(usize::MAX),
            Aim::Hash(hash) => hash as usize % partitions.max(1),
            Aim::Any => turn % partitions.max(1),
        }
    }
}
