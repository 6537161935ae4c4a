//! Records → a batch as it stands in Kafka's log (magic 2). Pure.

use super::partitioner::Aim;
use crate::model::encoded::Encoded;
use bytes::Bytes;
// Kafka's varints are written as Avro's.
use shared::avro::wire::put_long as put_varint;
use shared::kafka::Compression;
use std::io::Write;

/// Up to the records.
const HEAD_BYTES: usize = 61;
/// Where what the length counts, and what the checksum covers, begins.
const LENGTH_FROM: usize = 12;
const CHECKED_FROM: usize = 21;
const MAGIC: u8 = 2;
const LZ4: i16 = 3;
/// The most that a record takes beside key, value and headers.
const RECORD_BYTES: usize = 36;

/// Who sends, and which number its first record has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    pub producer: i64,
    pub epoch: i16,
    pub sequence: i32,
}

/// A batch that takes records.
pub struct Open {
    records: Vec<u8>,
    count: i32,
    first_ms: i64,
    last_ms: i64,
    /// How many records of each unit.
    units: Vec<(u64, u64)>,
    /// Of keys and values.
    body_bytes: usize,
}

/// Records of a topic whose partitions are not known yet.
#[derive(Default)]
pub struct Unplaced {
    contents: Vec<u8>,
    records: Vec<Kept>,
}

struct Kept {
    /// Where its content ends.
    end: usize,
    aim: Aim,
    time_ms: i64,
    unit: u64,
    body_bytes: usize,
}

/// A batch on its way.
#[derive(Debug)]
pub struct Sealed {
    pub bytes: Bytes,
    pub sequence: i32,
    pub units: Vec<(u64, u64)>,
    pub body_bytes: usize,
}

/// What the message takes at most, as librdkafka counts it.
pub fn size(message: &Encoded<'_>) -> usize {
    RECORD_BYTES + message.body_size() + headers_size(message)
}

fn headers_size(message: &Encoded<'_>) -> usize {
    let one = |(name, value): (&str, Option<&[u8]>)| part_size(Some(name.as_bytes())) + part_size(value);
    message.headers.iter().map(one).sum()
}

/// With its length in front; -1 stands for none.
fn part_size(part: Option<&[u8]>) -> usize {
    let length = part.map_or(0, <[u8]>::len);
    varint_size(part.map_or(-1, |part| part.len() as i64)) + length
}

fn varint_size(value: i64) -> usize {
    (64 - (zigzag(value) | 1).leading_zeros() as usize).div_ceil(7)
}

fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63).cast_unsigned()
}

fn put_part(out: &mut Vec<u8>, part: Option<&[u8]>) {
    put_varint(out, part.map_or(-1, |part| part.len() as i64));
    out.extend_from_slice(part.unwrap_or_default());
}

/// Key, value and headers: what stays the same wherever the record stands.
fn put_content(out: &mut Vec<u8>, message: &Encoded<'_>) {
    put_part(out, message.key);
    put_part(out, message.value);
    put_varint(out, message.headers.len() as i64);
    for (name, value) in message.headers.iter() {
        put_part(out, Some(name.as_bytes()));
        put_part(out, value);
    }
}

fn content_size(message: &Encoded<'_>) -> usize {
    let headers = varint_size(message.headers.len() as i64) + headers_size(message);
    part_size(message.key) + part_size(message.value) + headers
}

impl Open {
    /// In a buffer that is used again.
    pub fn new(mut records: Vec<u8>) -> Open {
        records.clear();
        Open { records, count: 0, first_ms: 0, last_ms: 0, units: Vec::new(), body_bytes: 0 }
    }

    /// Whether a message of this size may join.
    #[inline]
    pub fn takes(&self, size: usize, limit: usize) -> bool {
        self.count == 0 || self.records.len() + size < limit
    }

    #[inline]
    pub fn push(&mut self, message: &Encoded<'_>, unit: u64, now_ms: i64) {
        self.begin(message.timestamp_ms.unwrap_or(now_ms), content_size(message));
        put_content(&mut self.records, message);
        self.count_in(unit, message.body_size());
    }

    /// The same of what [`Unplaced`] kept.
    fn push_content(&mut self, content: &[u8], of: &Kept) {
        self.begin(of.time_ms, content.len());
        self.records.extend_from_slice(content);
        self.count_in(of.unit, of.body_bytes);
    }

    /// A record's length, attributes (which stand for nothing yet), time and place.
    fn begin(&mut self, time_ms: i64, content_size: usize) {
        if self.count == 0 {
            (self.first_ms, self.last_ms) = (time_ms, time_ms);
        }
        self.last_ms = self.last_ms.max(time_ms);
        let (later_ms, place) = (time_ms - self.first_ms, i64::from(self.count));
        let length = 1 + varint_size(later_ms) + varint_size(place) + content_size;
        put_varint(&mut self.records, length as i64);
        self.records.push(0);
        put_varint(&mut self.records, later_ms);
        put_varint(&mut self.records, place);
    }

    fn count_in(&mut self, unit: u64, body_bytes: usize) {
        self.count += 1;
        self.body_bytes += body_bytes;
        match self.units.last_mut() {
            Some((last, count)) if *last == unit => *count += 1,
            _ => self.units.push((unit, 1)),
        }
    }

    pub fn count(&self) -> i32 {
        self.count
    }

    /// Complete, and the emptied buffer.
    pub fn seal(self, compression: Compression, turn: Turn) -> (Sealed, Vec<u8>) {
        let mut bytes = Vec::with_capacity(HEAD_BYTES + self.records.len() / 2);
        bytes.resize(HEAD_BYTES, 0);
        let codec = match compression {
            Compression::Lz4 => pack(&mut bytes, &self.records),
            _ => 0,
        };
        if codec == 0 {
            bytes.truncate(HEAD_BYTES);
            bytes.extend_from_slice(&self.records);
        }
        let mut head = Vec::with_capacity(HEAD_BYTES);
        head.extend(0i64.to_be_bytes());
        head.extend(((bytes.len() - LENGTH_FROM) as i32).to_be_bytes());
        // The leader's epoch is the leader's to write.
        head.extend((-1i32).to_be_bytes());
        head.push(MAGIC);
        head.extend([0; 4]);
        head.extend(codec.to_be_bytes());
        head.extend((self.count - 1).to_be_bytes());
        head.extend(self.first_ms.to_be_bytes());
        head.extend(self.last_ms.to_be_bytes());
        head.extend(turn.producer.to_be_bytes());
        head.extend(turn.epoch.to_be_bytes());
        head.extend(turn.sequence.to_be_bytes());
        head.extend(self.count.to_be_bytes());
        if let Some(place) = bytes.get_mut(..HEAD_BYTES) {
            place.copy_from_slice(&head);
        }
        let checksum = crc32c::crc32c(bytes.get(CHECKED_FROM..).unwrap_or_default());
        if let Some(place) = bytes.get_mut(CHECKED_FROM - 4..CHECKED_FROM) {
            place.copy_from_slice(&checksum.to_be_bytes());
        }
        let Open { records, units, body_bytes, .. } = self;
        (Sealed { bytes: bytes.into(), sequence: turn.sequence, units, body_bytes }, records)
    }
}

impl Unplaced {
    pub fn push(&mut self, message: &Encoded<'_>, unit: u64, now_ms: i64) {
        put_content(&mut self.contents, message);
        let (time_ms, body_bytes) = (message.timestamp_ms.unwrap_or(now_ms), message.body_size());
        let (end, aim) = (self.contents.len(), Aim::of(message));
        self.records.push(Kept { end, aim, time_ms, unit, body_bytes });
    }

    /// Each record, in order: where it belongs, how large it is, and how it is put into a batch.
    pub fn place(self, mut take: impl FnMut(Aim, usize, &mut dyn FnMut(&mut Open))) {
        let mut start = 0;
        for kept in &self.records {
            let content = self.contents.get(start..kept.end).unwrap_or_default();
            take(kept.aim, RECORD_BYTES + content.len(), &mut |open| open.push_content(content, kept));
            start = kept.end;
        }
    }
}

/// Appends the records compressed, and says by what; by nothing if that makes them no smaller. The Java client
/// reads independent blocks only.
fn pack(out: &mut Vec<u8>, records: &[u8]) -> i16 {
    use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
    let info = FrameInfo::new().block_mode(BlockMode::Independent).block_size(BlockSize::Max64KB);
    let before = out.len();
    let mut encoder = FrameEncoder::with_frame_info(info, &mut *out);
    let done = encoder.write_all(records).is_ok() && encoder.finish().is_ok();
    if done && out.len() - before < records.len() { LZ4 } else { 0 }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::model::encoded::Headers;
    use crate::model::record::{Header, HeaderValue};
    use kafka_protocol::records::{Compression as Packed, RecordBatchDecoder};
    use lz4_flex::frame::FrameDecoder;
    use std::io::Read;

    pub fn message<'a>(key: Option<&'a [u8]>, value: Option<&'a [u8]>, headers: Headers<'a>) -> Encoded<'a> {
        Encoded { topic: "t", partition: None, key, value, headers, timestamp_ms: None }
    }

    /// Another implementation reads what is written, checksum included.
    #[test]
    fn a_batch_holds_its_records() {
        let given = [
            Header { name: "__debezium.context.connectorLogicalName", value: HeaderValue::Text("shop") },
            Header { name: "empty", value: HeaderValue::Text("") },
        ];
        let headers = Headers::new(&given, b"", &[]);
        let long = vec![b'x'; 70_000];
        type Part<'a> = Option<&'a [u8]>;
        let records: [(Part<'_>, Part<'_>, Headers<'_>, i64); 5] = [
            (Some(b"k"), Some(b"v"), headers, 1_000),
            (Some(b""), Some(b""), Headers::default(), 1_000),
            (None, None, headers, 900),
            (Some(&[7; 64]), Some(&long), headers, 1_000_000),
            (Some(&[7; 63]), None, Headers::default(), 1_001),
        ];
        let turn = Turn { producer: 9_000, epoch: 3, sequence: i32::MAX };
        for compression in [Compression::None, Compression::Lz4] {
            let mut open = Open::new(vec![1, 2, 3]);
            for (key, value, headers, now_ms) in records {
                let message = message(key, value, headers);
                let before = open.records.len();
                open.push(&message, 5, now_ms);
                assert!(open.records.len() - before <= size(&message));
            }
            let (sealed, emptied) = open.seal(compression, turn);
            assert!(emptied.capacity() > long.len());
            assert_eq!((sealed.units, sealed.body_bytes), (vec![(5, 5)], 2 + 64 + long.len() + 63));
            assert_eq!(sealed.bytes.len() < 10_000, compression == Compression::Lz4);
            let mut bytes = sealed.bytes;
            let unpacked = |bytes: &mut Bytes, packed| {
                let mut plain = Vec::new();
                let read = match packed {
                    Packed::Lz4 => FrameDecoder::new(&bytes[..]).read_to_end(&mut plain),
                    _ => bytes.as_ref().read_to_end(&mut plain),
                };
                assert!(read.is_ok());
                Ok(Bytes::from(plain))
            };
            let read = RecordBatchDecoder::decode_with_custom_compression(&mut bytes, Some(unpacked));
            let read = read.expect("sound").records;
            assert_eq!(read.len(), records.len());
            for (at, (record, (key, value, headers, now_ms))) in (0..).zip(read.iter().zip(records)) {
                assert_eq!((record.key.as_deref(), record.value.as_deref()), (key, value));
                assert_eq!((record.timestamp, record.offset), (now_ms, at));
                assert_eq!((record.producer_id, record.producer_epoch), (9_000, 3));
                let got = record.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref()));
                assert!(got.eq(headers.iter()));
            }
        }
    }

    #[test]
    fn a_record_that_waited_for_its_place_is_the_same() {
        let given = [Header { name: "h", value: HeaderValue::Text("1") }];
        let headers = Headers::new(&given, b"", &[]);
        let records = [
            message(Some(b"21"), Some(b"v"), headers),
            message(None, None, headers),
            message(Some(b""), None, headers),
        ];
        let (mut at_once, mut later) = (Open::new(Vec::new()), Open::new(Vec::new()));
        let (mut unplaced, mut aims) = (Unplaced::default(), Vec::new());
        for (at, record) in (0..).zip(&records) {
            at_once.push(record, at / 2, 1_000 + at.cast_signed());
            unplaced.push(record, at / 2, 1_000 + at.cast_signed());
        }
        unplaced.place(|aim, bytes, push| {
            // No less than at once, and hardly more.
            let size = records.get(aims.len()).map_or(0, size);
            assert!((size..size + 16).contains(&bytes), "{bytes} for {size}");
            aims.push(aim);
            push(&mut later);
        });
        assert!(aims.iter().copied().eq(records.iter().map(Aim::of)));
        assert_eq!((&at_once.records, &at_once.units), (&later.records, &later.units));
        assert_eq!((at_once.count, at_once.body_bytes), (later.count, later.body_bytes));
        assert_eq!((at_once.first_ms, at_once.last_ms), (later.first_ms, later.last_ms));
    }

    /// What cannot be made smaller goes as it is.
    #[test]
    fn noise_is_not_packed() {
        let noise: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(5_000).collect();
        let mut open = Open::new(Vec::new());
        open.push(&message(None, Some(&noise), Headers::default()), 1, 0);
        let (sealed, _) = open.seal(Compression::Lz4, Turn { producer: 1, epoch: 0, sequence: 0 });
        assert_eq!(sealed.bytes.get(21..23), Some(&[0, 0][..]));
        assert!(sealed.bytes.ends_with(&[&noise[..], &[0]].concat()));
    }
}
