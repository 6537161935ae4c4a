//! Which partition a key belongs to: as the Java client decides, so that a take-over leaves each key where it is.

use crate::model::encoded::Encoded;

const SEED: u32 = 0x9747_b28c;
const FACTOR: u32 = 0x5bd1_e995;
const SHIFT: u32 = 24;

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
            (None, Some(key)) => Aim::Hash(murmur2(key) & 0x7fff_ffff),
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

/// MurmurHash2 with Kafka's seed.
fn murmur2(data: &[u8]) -> u32 {
    let mut hash = SEED ^ data.len() as u32;
    let (words, tail) = data.as_chunks::<4>();
    for word in words {
        let mut mixed = u32::from_le_bytes(*word).wrapping_mul(FACTOR);
        mixed ^= mixed >> SHIFT;
        hash = hash.wrapping_mul(FACTOR) ^ mixed.wrapping_mul(FACTOR);
    }
    if !tail.is_empty() {
        let rest = tail.iter().rev().fold(0u32, |rest, byte| rest << 8 | u32::from(*byte));
        hash = (hash ^ rest).wrapping_mul(FACTOR);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(FACTOR);
    hash ^ hash >> 15
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vectors of Kafka's own test of its hash.
    #[test]
    fn as_the_java_client() {
        for (key, want) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()).cast_signed(), want, "{key}");
        }
    }
}
