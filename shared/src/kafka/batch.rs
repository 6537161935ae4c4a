//! The head of a Kafka record batch (magic 2), as it is sent and as it lies in a log.
//!
//! ```text
//!  0 base offset   8 │ 12 leader epoch 4 │ 21 attributes   2 │ 43 producer id    8
//!  8 length        4 │ 16 magic        1 │ 23 last delta   4 │ 51 producer epoch 2
//!                    │ 17 CRC32-C      4 │ 27 first time   8 │ 53 first sequence 4
//!                    │                   │ 35 max time     8 │ 57 record count   4 │ 61 records
//! ```
//! Base offset and leader epoch stand before what the CRC covers (from byte 21 on), so they are
//! patched in place and the batch keeps its checksum.

use super::Compression;

/// How many bytes stand in front of the records.
pub const HEAD_BYTES: usize = 61;

/// Where the CRC's cover begins.
const CHECKED_FROM: usize = 21;

const MAGIC: u8 = 2;

/// Bits of the attributes; the lowest three name the compression.
const COMPRESSION: i16 = 0x07;
const APPEND_TIME: i16 = 0x08;
const TRANSACTIONAL: i16 = 0x10;
const CONTROL: i16 = 0x20;

const CUT_OFF: &str = "record batch cut off";

/// Bytes of base offset and length, which the batch's own length does not count.
const LENGTH_FROM: usize = 12;

/// Who sent a batch and in which turn, if the producer is idempotent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    pub producer: i64,
    pub epoch: i16,
    pub first_sequence: i32,
}

/// What a batch says of its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub compression: Compression,
    /// Records minus one.
    pub last_delta: i32,
    /// Milliseconds since 1970; -1 if the first record has no time.
    pub first_time_ms: i64,
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
            Some(&MAGIC) => {}
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
        let named = CODECS.iter().find(|(number, _)| *number == attributes & COMPRESSION);
        let (_, compression) = *named.ok_or(Unsound::Codec)?;
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
        let (first_time_ms, max_time_ms) = (field.i64(27)?, field.i64(35)?);
        Ok(Head { compression, last_delta, first_time_ms, max_time_ms, turn, transactional })
    }

    /// Writes itself into the first [`HEAD_BYTES`] of a batch, whose records stand behind them. Its base offset is
    /// zero, and it has no leader's epoch yet: both are the leader's to give.
    pub fn write(&self, batch: &mut [u8]) {
        let number = CODECS.iter().find(|(_, compression)| *compression == self.compression);
        let mark = if self.transactional { TRANSACTIONAL } else { 0 };
        let turn = self.turn.unwrap_or(Turn { producer: -1, epoch: -1, first_sequence: -1 });
        // No batch is so large: whoever makes one bounds it.
        let length = i32::try_from(batch.len().saturating_sub(LENGTH_FROM)).unwrap_or(i32::MAX);
        put(batch, 0, 0i64.to_be_bytes());
        put(batch, 8, length.to_be_bytes());
        put(batch, 12, (-1i32).to_be_bytes());
        put(batch, 16, [MAGIC]);
        put(batch, 21, (number.map_or(0, |(number, _)| *number) | mark).to_be_bytes());
        put(batch, 23, self.last_delta.to_be_bytes());
        put(batch, 27, self.first_time_ms.to_be_bytes());
        put(batch, 35, self.max_time_ms.to_be_bytes());
        put(batch, 43, turn.producer.to_be_bytes());
        put(batch, 51, turn.epoch.to_be_bytes());
        put(batch, 53, turn.first_sequence.to_be_bytes());
        put(batch, 57, self.last_delta.saturating_add(1).to_be_bytes());
        check_anew(batch);
    }
}

/// The numbers by which the attributes name a compression.
const CODECS: [(i16, Compression); 5] = [
    (0, Compression::None),
    (1, Compression::Gzip),
    (2, Compression::Snappy),
    (3, Compression::Lz4),
    (4, Compression::Zstd),
];

fn put<const N: usize>(batch: &mut [u8], place: usize, field: [u8; N]) {
    if let Some(to) = batch.get_mut(place..place + N) {
        to.copy_from_slice(&field);
    }
}

/// Makes the checksum fit what it covers.
fn check_anew(batch: &mut [u8]) {
    let checksum = crc32c::crc32c(batch.get(CHECKED_FROM..).unwrap_or_default());
    put(batch, 17, checksum.to_be_bytes());
}

/// A batch as it lies in a log, whose checksum is not asked again.
#[derive(Clone, Copy, Debug)]
pub struct Stored<'a> {
    /// By this number the attributes name the compression; it may be unknown.
    pub codec: u8,
    /// It ends a transaction, and holds no record of a producer's.
    pub control: bool,
    /// The broker's time, one for the whole batch, if that is what its records have.
    pub append_time_ms: Option<i64>,
    pub count: i32,
    pub first_time_ms: i64,
    /// The records, packed or not.
    pub body: &'a [u8],
}

impl Stored<'_> {
    /// # Errors
    /// What is wrong, in words: it is cut off, or older than format 2.
    pub fn read(batch: &[u8]) -> Result<Stored<'_>, &'static str> {
        let (head, body) = batch.split_at_checked(HEAD_BYTES).ok_or(CUT_OFF)?;
        if head.get(16) != Some(&MAGIC) {
            return Err("record batch is not of format 2");
        }
        Stored::of(&Fields(head), body).map_err(|_| CUT_OFF)
    }

    fn of<'a>(field: &Fields<'_>, body: &'a [u8]) -> Result<Stored<'a>, Unsound> {
        let attributes = field.i16(21)?;
        let max_time_ms = field.i64(35)?;
        Ok(Stored {
            codec: (attributes & COMPRESSION) as u8,
            control: attributes & CONTROL != 0,
            append_time_ms: (attributes & APPEND_TIME != 0).then_some(max_time_ms),
            count: field.i32(57)?,
            first_time_ms: field.i64(27)?,
            body,
        })
    }
}

/// The checksum that a batch carries; 0 if it is cut off.
pub fn checksum(batch: &[u8]) -> u32 {
    Fields(batch).i32(17).map_or(0, i32::cast_unsigned)
}

/// Whether a stored batch has still the bytes that its checksum stands for: its last offset delta if so.
pub fn intact_last_delta(bytes: &[u8]) -> Option<i32> {
    let field = Fields(bytes);
    let length = usize::try_from(field.i32(8).ok()?).ok()?;
    let checked = bytes.get(CHECKED_FROM..)?;
    let sound = bytes.len() >= HEAD_BYTES
        && bytes.get(16) == Some(&MAGIC)
        && length == bytes.len() - LENGTH_FROM
        && crc32c::crc32c(checked) == field.i32(17).ok()?.cast_unsigned();
    if sound { field.i32(23).ok() } else { None }
}

/// Gives a batch its place in the log. Neither field is covered by the checksum.
pub fn patch(batch: &mut [u8], base_offset: i64, leader_epoch: i32) {
    put(batch, 0, base_offset.to_be_bytes());
    put(batch, 12, leader_epoch.to_be_bytes());
}

/// Takes the mark of a transaction off a batch: once committed it is a batch like any other, for
/// whoever reads it. The checksum covers the mark and is made anew.
pub fn unmark(batch: &mut [u8]) {
    let Some(attributes) = batch.get_mut(22) else { return };
    *attributes &= !(TRANSACTIONAL as u8);
    check_anew(batch);
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
mod tests {
    use super::*;

    const HEAD: Head = Head {
        compression: Compression::None,
        last_delta: 2,
        first_time_ms: 1_000,
        max_time_ms: 2_000,
        turn: Some(Turn { producer: 7, epoch: 1, first_sequence: 5 }),
        transactional: false,
    };

    /// A sound batch; the records themselves are filler.
    fn sample(head: Head) -> Vec<u8> {
        let mut batch = vec![b'r'; HEAD_BYTES + 20];
        head.write(&mut batch);
        batch
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
            let mut batch = sample(HEAD);
            change(&mut batch);
            assert_eq!(Head::read(&batch).err(), *want, "{name}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for (_, compression) in CODECS {
            for (turn, transactional) in [(None, false), (HEAD.turn, false), (HEAD.turn, true)] {
                let head = Head { compression, turn, transactional, ..HEAD };
                assert_eq!(Head::read(&sample(head)), Ok(head));
            }
        }
        let nobody = Head { turn: None, transactional: true, ..HEAD };
        assert_eq!(Head::read(&sample(nobody)), Err(Unsound::Invalid), "a transaction has a producer");
    }

    /// Kafka's numbers, not ours: reader and writer here would agree on any others too.
    #[test]
    fn attributes_have_the_bits_that_kafka_gives_them() {
        let of =
            |compression, transactional| sample(Head { compression, transactional, ..HEAD })[21..23].to_vec();
        let codecs =
            [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];
        for (number, compression) in (0..).zip(codecs) {
            assert_eq!(of(compression, false), [0, number], "{compression:?}");
            assert_eq!(of(compression, true), [0, 0x10 | number], "{compression:?}");
        }
    }

    #[test]
    fn an_unmarked_batch_is_as_if_it_had_never_been_part_of_a_transaction() {
        let mut marked = sample(Head { transactional: true, ..HEAD });
        unmark(&mut marked);
        assert_eq!(marked, sample(HEAD));
    }

    #[test]
    fn what_is_stored() {
        for (attributes, codec, control, append_time_ms) in [
            (0, 0, false, None),
            (0x08 | 3, 3, false, Some(2_000)),
            (0x20 | 0x10, 0, true, None),
            (5, 5, false, None),
        ] {
            let mut batch = sample(HEAD);
            with_attributes(&mut batch, attributes);
            let stored = Stored::read(&batch).expect("whole");
            assert_eq!((stored.codec, stored.control), (codec, control), "{attributes}");
            assert_eq!(stored.append_time_ms, append_time_ms, "{attributes}");
            assert_eq!((stored.count, stored.first_time_ms, stored.body), (3, 1_000, &[b'r'; 20][..]));
            assert_eq!(checksum(&batch), crc32c::crc32c(&batch[CHECKED_FROM..]));
        }
        let mut old = sample(HEAD);
        old[16] = 1;
        assert_eq!(Stored::read(&old).err(), Some("record batch is not of format 2"));
        assert_eq!(Stored::read(&old[..60]).err(), Some(CUT_OFF));
        assert_eq!(checksum(&old[..20]), 0);
    }

    fn with_attributes(batch: &mut [u8], attributes: u8) {
        batch[22] = attributes;
        check_anew(batch);
    }

    fn with_count(batch: &mut [u8], count: i32) {
        batch[57..61].copy_from_slice(&count.to_be_bytes());
        check_anew(batch);
    }

    fn with_sequence(batch: &mut [u8], sequence: i32) {
        batch[53..57].copy_from_slice(&sequence.to_be_bytes());
        check_anew(batch);
    }
}
