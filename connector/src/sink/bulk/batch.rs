//! Messages → a batch, and how many records of each unit it holds. Pure.

use super::partitioner::Aim;
use crate::model::encoded::Encoded;
use bytes::Bytes;
use shared::kafka::Compression;
use shared::kafka::batch::Turn;
use shared::kafka::records::{RECORD_BYTES, Records, part_size, put_part, varint_size};
// Kafka's varints are written as Avro's.
use shared::avro::wire::put_long as put_varint;

/// A batch that takes records.
pub struct Open {
    records: Records,
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

/// What that takes.
pub fn content_size(message: &Encoded<'_>) -> usize {
    let one = |(name, value): (&str, Option<&[u8]>)| part_size(Some(name.as_bytes())) + part_size(value);
    let headers: usize = message.headers.iter().map(one).sum();
    part_size(message.key) + part_size(message.value) + varint_size(message.headers.len() as i64) + headers
}

impl Open {
    /// In a buffer that is used again.
    pub fn new(buffer: Vec<u8>) -> Open {
        Open { records: Records::new(buffer), units: Vec::new(), body_bytes: 0 }
    }

    /// Whether a message with so much content may join.
    #[inline]
    pub fn takes(&self, content_size: usize, limit: usize) -> bool {
        self.count() == 0 || self.records.bytes().len() + RECORD_BYTES + content_size < limit
    }

    /// `content_size`: what [`content_size`] says of it.
    #[inline]
    pub fn push(&mut self, message: &Encoded<'_>, content_size: usize, unit: u64, now_ms: i64) {
        debug_assert_eq!(content_size, self::content_size(message));
        let time_ms = message.timestamp_ms.unwrap_or(now_ms);
        put_content(self.records.begin(time_ms, content_size), message);
        self.count_in(unit, message.body_size());
    }

    /// The same of what [`Unplaced`] kept.
    fn push_content(&mut self, content: &[u8], of: &Kept) {
        self.records.begin(of.time_ms, content.len()).extend_from_slice(content);
        self.count_in(of.unit, of.body_bytes);
    }

    #[inline]
    fn count_in(&mut self, unit: u64, body_bytes: usize) {
        self.body_bytes += body_bytes;
        match self.units.last_mut() {
            Some((last, count)) if *last == unit => *count += 1,
            _ => self.units.push((unit, 1)),
        }
    }

    pub fn count(&self) -> i32 {
        self.records.count()
    }

    /// Complete, and the emptied buffer.
    pub fn seal(self, compression: Compression, turn: Turn) -> (Sealed, Vec<u8>) {
        let Open { records, units, body_bytes } = self;
        let (batch, emptied) = records.seal(compression, Some(turn));
        (Sealed { bytes: batch.into(), sequence: turn.first_sequence, units, body_bytes }, emptied)
    }
}

impl Unplaced {
    pub fn push(&mut self, message: &Encoded<'_>, unit: u64, now_ms: i64) {
        put_content(&mut self.contents, message);
        let (time_ms, body_bytes) = (message.timestamp_ms.unwrap_or(now_ms), message.body_size());
        let (end, aim) = (self.contents.len(), Aim::of(message));
        self.records.push(Kept { end, aim, time_ms, unit, body_bytes });
    }

    /// Each record, in order: where it belongs, how large its content is, and how it is put into a batch.
    pub fn place(self, mut take: impl FnMut(Aim, usize, &mut dyn FnMut(&mut Open))) {
        let mut start = 0;
        for kept in &self.records {
            let content = self.contents.get(start..kept.end).unwrap_or_default();
            take(kept.aim, content.len(), &mut |open| open.push_content(content, kept));
            start = kept.end;
        }
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::model::encoded::Headers;
    use crate::model::record::{Header, HeaderValue};
    use kafka_protocol::records::{Compression as Packed, RecordBatchDecoder};
    use lz4_flex::frame::FrameDecoder;
    use std::io::Read;

    const TURN: Turn = Turn { producer: 9_000, epoch: 3, first_sequence: i32::MAX };

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
        for compression in [Compression::None, Compression::Lz4] {
            let mut open = Open::new(vec![1, 2, 3]);
            for (key, value, headers, now_ms) in records {
                let message = message(key, value, headers);
                let before = open.records.bytes().len();
                let content_size = content_size(&message);
                open.push(&message, content_size, 5, now_ms);
                assert!(open.records.bytes().len() - before <= RECORD_BYTES + content_size);
            }
            let (sealed, emptied) = open.seal(compression, TURN);
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
            at_once.push(record, content_size(record), at / 2, 1_000 + at.cast_signed());
            unplaced.push(record, at / 2, 1_000 + at.cast_signed());
        }
        unplaced.place(|aim, bytes, push| {
            assert_eq!(records.get(aims.len()).map(content_size), Some(bytes));
            aims.push(aim);
            push(&mut later);
        });
        assert!(aims.iter().copied().eq(records.iter().map(Aim::of)));
        assert_eq!((&at_once.units, at_once.body_bytes), (&later.units, later.body_bytes));
        let sealed = |open: Open| open.seal(Compression::None, TURN).0.bytes;
        assert_eq!(sealed(at_once), sealed(later));
    }

    /// What cannot be made smaller goes as it is.
    #[test]
    fn noise_is_not_packed() {
        let noise: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(5_000).collect();
        let mut open = Open::new(Vec::new());
        let message = message(None, Some(&noise), Headers::default());
        open.push(&message, content_size(&message), 1, 0);
        let (sealed, _) = open.seal(Compression::Lz4, TURN);
        assert_eq!(sealed.bytes.get(21..23), Some(&[0, 0][..]));
        assert!(sealed.bytes.ends_with(&[&noise[..], &[0]].concat()));
    }
}
