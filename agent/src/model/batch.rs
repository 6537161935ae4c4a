//! A producer's records as they came: one Kafka record batch (magic 2), never opened by the log.
//!
//! ```text
//!  0 base offset   8 │ 12 leader epoch 4 │ 21 attributes   2 │ 43 producer id    8
//!  8 length        4 │ 16 magic        1 │ 23 last delta   4 │ 51 producer epoch 2
//!                    │ 17 CRC32-C      4 │ 27 first time   8 │ 53 first sequence 4
//!                    │                   │ 35 max time     8 │ 57 record count   4 │ 61 records
//! ```
//! Base offset and leader epoch stand before what the CRC covers (from byte 21 on), so they are
//! patched in place and the batch keeps its checksum.

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

/// How many bytes stand in front of the records.
pub const HEAD_BYTES: usize = 61;

/// Where the CRC's cover begins.
const CHECKED_FROM: usize = 21;

/// Bits of the attributes.
const TRANSACTIONAL: i16 = 0x10;
const CONTROL: i16 = 0x20;

/// Bytes of base offset and length, which the batch's own length does not count.
const LENGTH_FROM: usize = 12;

/// The compression of a batch, as its attributes name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

/// Who sent a batch and in which turn, if the producer is idempotent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    pub producer: i64,
    pub epoch: i16,
    pub first_sequence: i32,
}

/// What the log must know of a batch, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub codec: Codec,
    /// Records minus one.
    pub last_delta: i32,
    /// Milliseconds since 1970.
    pub max_time_ms: i64,
    pub turn: Option<Turn>,
    /// Part of a transaction: to be kept apart until that is committed.
    pub transactional: bool,
}

/// Why a producer's bytes are not one sound record batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsound {
    /// Cut off, or the checksum does not fit.
    Corrupt,
    /// A message format older than magic 2.
    Format,
    /// A compression that Kafka does not know.
    Codec,
    /// Not exactly one batch, or its counts contradict each other.
    Invalid,
}

impl Head {
    pub fn record_count(&self) -> u64 {
        u64::from(self.last_delta.unsigned_abs()) + 1
    }

    /// Checks that `bytes` are exactly one sound batch.
    pub fn read(bytes: &[u8]) -> Result<Head, Unsound> {
        let field = Fields(bytes);
        // The magic stands at the same place in every format, so an old one is told from garbage.
        match bytes.get(16) {
            None => return Err(Unsound::Corrupt),
            Some(2) => {}
            Some(_) => return Err(Unsound::Format),
        }
        if bytes.len() < HEAD_BYTES {
            return Err(Unsound::Corrupt);
        }
        if usize::try_from(field.i32(8)?).ok() != Some(bytes.len() - LENGTH_FROM) {
            return Err(Unsound::Invalid);
        }
        let checked = bytes.get(CHECKED_FROM..).ok_or(Unsound::Corrupt)?;
        if crc32c::crc32c(checked) != field.i32(17)?.cast_unsigned() {
            return Err(Unsound::Corrupt);
        }
        Self::after_checksum(&field)
    }

    fn after_checksum(field: &Fields<'_>) -> Result<Head, Unsound> {
        let attributes = field.i16(21)?;
        let (last_delta, count) = (field.i32(23)?, field.i32(57)?);
        if attributes & CONTROL != 0 || count < 1 || last_delta != count - 1 {
            return Err(Unsound::Invalid);
        }
        let codec = match attributes & 0x07 {
            0 => Codec::None,
            1 => Codec::Gzip,
            2 => Codec::Snappy,
            3 => Codec::Lz4,
            4 => Codec::Zstd,
            _ => return Err(Unsound::Codec),
        };
        let turn = Turn { producer: field.i64(43)?, epoch: field.i16(51)?, first_sequence: field.i32(53)? };
        let turn = match turn {
            Turn { producer: ..0, .. } => None,
            Turn { epoch: 0.., first_sequence: 0.., .. } => Some(turn),
            _ => return Err(Unsound::Invalid),
        };
        let transactional = attributes & TRANSACTIONAL != 0;
        if transactional && turn.is_none() {
            return Err(Unsound::Invalid);
        }
        Ok(Head { codec, last_delta, max_time_ms: field.i64(35)?, turn, transactional })
    }
}

/// Whether a stored batch has still the bytes that its checksum stands for: its last offset delta if so.
pub fn intact_last_delta(bytes: &[u8]) -> Option<i32> {
    let field = Fields(bytes);
    let length = usize::try_from(field.i32(8).ok()?).ok()?;
    let checked = bytes.get(CHECKED_FROM..)?;
    let sound = bytes.len() >= HEAD_BYTES
        && bytes.get(16) == Some(&2)
        && length == bytes.len() - LENGTH_FROM
        && crc32c::crc32c(checked) == field.i32(17).ok()?.cast_unsigned();
    if sound { field.i32(23).ok() } else { None }
}

/// Gives a batch its place in the log. Neither field is covered by the checksum.
pub fn patch(batch: &mut [u8], base_offset: i64, leader_epoch: i32) {
    if let Some(field) = batch.get_mut(0..8) {
        field.copy_from_slice(&base_offset.to_be_bytes());
    }
    if let Some(field) = batch.get_mut(12..16) {
        field.copy_from_slice(&leader_epoch.to_be_bytes());
    }
}

/// Takes the mark of a transaction off a batch: once committed it is a batch like any other, for
/// whoever reads it. The checksum covers the mark and is made anew.
pub fn unmark(batch: &mut [u8]) {
    let Some(attributes) = batch.get_mut(22) else { return };
    *attributes &= !(TRANSACTIONAL as u8);
    let checksum = batch.get(CHECKED_FROM..).map(crc32c::crc32c);
    if let (Some(checksum), Some(field)) = (checksum, batch.get_mut(17..CHECKED_FROM)) {
        field.copy_from_slice(&checksum.to_be_bytes());
    }
}

/// Big-endian fields at fixed places.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn at<const N: usize>(&self, place: usize) -> Result<[u8; N], Unsound> {
        self.0.get(place..).and_then(|rest| rest.first_chunk()).copied().ok_or(Unsound::Corrupt)
    }
    fn i16(&self, place: usize) -> Result<i16, Unsound> {
        self.at(place).map(i16::from_be_bytes)
    }
    fn i32(&self, place: usize) -> Result<i32, Unsound> {
        self.at(place).map(i32::from_be_bytes)
    }
    fn i64(&self, place: usize) -> Result<i64, Unsound> {
        self.at(place).map(i64::from_be_bytes)
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A sound batch of `count` records; the records themselves are filler of `filler` bytes.
    pub fn sample(turn: Option<Turn>, count: i32, filler: usize) -> Vec<u8> {
        let turn = turn.unwrap_or(Turn { producer: -1, epoch: -1, first_sequence: -1 });
        let mut out = vec![0; 16];
        out.push(2);
        out.extend([0; 4]);
        out.extend(0i16.to_be_bytes());
        out.extend((count - 1).to_be_bytes());
        out.extend(1_000i64.to_be_bytes());
        out.extend(2_000i64.to_be_bytes());
        out.extend(turn.producer.to_be_bytes());
        out.extend(turn.epoch.to_be_bytes());
        out.extend(turn.first_sequence.to_be_bytes());
        out.extend(count.to_be_bytes());
        out.extend(std::iter::repeat_n(b'r', filler));
        seal(&mut out);
        out
    }

    /// Makes length and checksum fit again after a field was changed.
    pub fn seal(batch: &mut [u8]) {
        let length = i32::try_from(batch.len() - LENGTH_FROM).expect("a small batch");
        batch[8..12].copy_from_slice(&length.to_be_bytes());
        let checksum = crc32c::crc32c(&batch[CHECKED_FROM..]);
        batch[17..21].copy_from_slice(&checksum.to_be_bytes());
    }

    #[test]
    fn sound_and_unsound() {
        type Change = fn(&mut Vec<u8>);
        let cases: &[(&str, Change, Option<Unsound>)] = &[
            ("as made", |_| {}, None),
            ("cut inside the head", |b| b.truncate(40), Some(Unsound::Corrupt)),
            ("empty", |b| b.clear(), Some(Unsound::Corrupt)),
            ("cut in the records", |b| b.truncate(70), Some(Unsound::Invalid)),
            ("two batches", |b| b.extend_from_within(..), Some(Unsound::Invalid)),
            ("one bit in the records", |b| b[65] ^= 1, Some(Unsound::Corrupt)),
            ("magic 1", |b| b[16] = 1, Some(Unsound::Format)),
            ("base offset is not covered", |b| patch(b, 77, 3), None),
            ("transactional", |b| with_attributes(b, 0x10), None),
            ("control", |b| with_attributes(b, 0x20), Some(Unsound::Invalid)),
            ("codec 5", |b| with_attributes(b, 5), Some(Unsound::Codec)),
            ("count 0", |b| with_count(b, 0), Some(Unsound::Invalid)),
            ("count against delta", |b| with_count(b, 9), Some(Unsound::Invalid)),
            ("negative sequence", |b| with_sequence(b, -2), Some(Unsound::Invalid)),
        ];
        for (name, change, want) in cases {
            let mut batch = sample(Some(Turn { producer: 7, epoch: 1, first_sequence: 5 }), 3, 20);
            change(&mut batch);
            assert_eq!(Head::read(&batch).err(), *want, "{name}");
        }
    }

    #[test]
    fn reads_turn_and_times() {
        let turn = Turn { producer: 7, epoch: 1, first_sequence: 5 };
        let head = Head::read(&sample(Some(turn), 3, 20)).expect("sound");
        let mut want = Head {
            codec: Codec::None,
            last_delta: 2,
            max_time_ms: 2_000,
            turn: Some(turn),
            transactional: false,
        };
        assert_eq!(head, want);
        let mut marked = sample(Some(turn), 3, 20);
        with_attributes(&mut marked, 0x10);
        want.transactional = true;
        assert_eq!(Head::read(&marked), Ok(want));
        unmark(&mut marked);
        assert_eq!(marked, sample(Some(turn), 3, 20), "as if it had never been part of one");
        let mut nobody = sample(None, 1, 0);
        with_attributes(&mut nobody, 0x10);
        assert_eq!(Head::read(&nobody), Err(Unsound::Invalid), "a transaction has a producer");
        assert_eq!(Head::read(&sample(None, 1, 0)).expect("sound").turn, None);
    }

    fn with_attributes(batch: &mut [u8], attributes: u8) {
        batch[22] = attributes;
        seal(batch);
    }

    fn with_count(batch: &mut [u8], count: i32) {
        batch[57..61].copy_from_slice(&count.to_be_bytes());
        seal(batch);
    }

    fn with_sequence(batch: &mut [u8], sequence: i32) {
        batch[53..57].copy_from_slice(&sequence.to_be_bytes());
        seal(batch);
    }
}
