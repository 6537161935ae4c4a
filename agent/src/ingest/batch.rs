//! Records → one record batch of Kafka's format 2, as a producer without idempotence would make it. Pure.

use crate::buffer::{Append, Partition};
use crate::model::batch::Head;
use bytes::BytesMut;
use shared::avro::wire::{self, PREFIX_LEN, SchemaId, put_long};
use shared::error::{Error, Kind, Result};
use std::io::Write;
use std::sync::Arc;

/// Below this packing gains nothing.
const PACK_FROM_BYTES: usize = 512;
const LZ4: i16 = 3;
const CHECKED_FROM: usize = 21;
const LENGTH_FROM: usize = 12;

/// A key, value or header's bytes, with another prefix in place of the first five if need be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    prefix: Option<[u8; PREFIX_LEN]>,
    rest: &'a [u8],
}

impl<'a> Message<'a> {
    pub fn plain(rest: &'a [u8]) -> Self {
        Message { prefix: None, rest }
    }

    /// Confluent's form: the schema's id in front.
    pub fn framed(id: SchemaId, rest: &'a [u8]) -> Self {
        Message { prefix: Some(wire::prefix(id)), rest }
    }

    pub(crate) fn len(&self) -> usize {
        self.prefix.map_or(0, |prefix| prefix.len()) + self.rest.len()
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.prefix.as_ref().map_or(&[], |prefix| &prefix[..]));
        out.extend_from_slice(self.rest);
    }
}

/// A record as it was read.
pub struct Incoming<'a> {
    /// Milliseconds since 1970; -1 if the record has no time.
    pub time_ms: i64,
    pub key: Option<Message<'a>>,
    pub value: Option<Message<'a>>,
    pub headers: Vec<(&'a str, Option<&'a [u8]>)>,
}

impl Incoming<'_> {
    pub fn bytes(&self) -> usize {
        let message = |message: &Option<Message<'_>>| message.as_ref().map_or(0, Message::len);
        let headers = self.headers.iter().map(|(name, value)| name.len() + value.map_or(0, <[u8]>::len));
        message(&self.key) + message(&self.value) + headers.sum::<usize>()
    }
}

/// Collects the records of one partition.
#[derive(Default)]
pub struct Writer {
    count: i32,
    first_time_ms: i64,
    max_time_ms: i64,
    records: Vec<u8>,
    /// The record being written, whose length stands before it.
    record: Vec<u8>,
}

impl Writer {
    pub fn count(&self) -> i32 {
        self.count
    }

    pub fn push(&mut self, incoming: &Incoming<'_>) {
        if self.count == 0 {
            (self.first_time_ms, self.max_time_ms) = (incoming.time_ms, incoming.time_ms);
        }
        self.max_time_ms = self.max_time_ms.max(incoming.time_ms);
        let record = &mut self.record;
        record.clear();
        record.push(0); // attributes: none are defined
        put_long(record, incoming.time_ms.wrapping_sub(self.first_time_ms));
        put_long(record, i64::from(self.count));
        put_message(record, incoming.key.as_ref());
        put_message(record, incoming.value.as_ref());
        put_length(record, incoming.headers.len());
        for (name, value) in &incoming.headers {
            put_length(record, name.len());
            record.extend_from_slice(name.as_bytes());
            put_message(record, value.map(Message::plain).as_ref());
        }
        put_length(&mut self.records, self.record.len());
        self.records.extend_from_slice(&self.record);
        self.count += 1;
    }

    /// The batch; the writer is empty again.
    pub fn finish(&mut self) -> Vec<u8> {
        let (codec, body) = match pack(&self.records) {
            Some(packed) => (LZ4, packed),
            None => (0, std::mem::take(&mut self.records)),
        };
        let mut out = Vec::with_capacity(61 + body.len());
        out.extend_from_slice(&0i64.to_be_bytes());
        // A body of 2 GiB cannot come about: batches are bounded.
        let length = i32::try_from(61 - LENGTH_FROM + body.len()).unwrap_or(i32::MAX);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&0i32.to_be_bytes());
        out.push(2);
        let checked = self.checked(codec, &body);
        out.extend_from_slice(&crc32c::crc32c(&checked).to_be_bytes());
        debug_assert_eq!(out.len(), CHECKED_FROM, "the head is laid out as Kafka's");
        out.extend_from_slice(&checked);
        self.records.clear();
        self.count = 0;
        out
    }

    /// What the checksum covers.
    fn checked(&self, codec: i16, body: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(40 + body.len());
        out.extend_from_slice(&codec.to_be_bytes());
        out.extend_from_slice(&(self.count - 1).to_be_bytes());
        out.extend_from_slice(&self.first_time_ms.to_be_bytes());
        out.extend_from_slice(&self.max_time_ms.to_be_bytes());
        out.extend_from_slice(&(-1i64).to_be_bytes()); // no producer id,
        out.extend_from_slice(&(-1i16).to_be_bytes()); // no epoch,
        out.extend_from_slice(&(-1i32).to_be_bytes()); // no sequence
        out.extend_from_slice(&self.count.to_be_bytes());
        out.extend_from_slice(body);
        out
    }
}

/// Batches of our own, laid into one frame for the log.
///
/// # Errors
/// `Bug`: one of them is unsound.
pub fn frame(batches: &[(Arc<Partition>, Vec<u8>)]) -> Result<(BytesMut, Vec<Append>)> {
    let mut frame = BytesMut::with_capacity(batches.iter().map(|(_, batch)| batch.len()).sum());
    let mut appends = Vec::with_capacity(batches.len());
    for (partition, batch) in batches {
        let unsound = |why| Error::new(Kind::Bug, format!("a batch of our own is unsound: {why:?}"));
        let head = Head::read(batch).map_err(unsound)?;
        let range = frame.len()..frame.len() + batch.len();
        frame.extend_from_slice(batch);
        appends.push(Append { partition: Arc::clone(partition), head, range });
    }
    Ok((frame, appends))
}

/// The partition that Kafka's clients choose for a key: murmur2 over its bytes.
pub fn partition_of(key: &[u8], partitions: usize) -> usize {
    let positive = (murmur2(key) & 0x7fff_ffff) as usize;
    positive.checked_rem(partitions).unwrap_or(0)
}

fn murmur2(bytes: &[u8]) -> u32 {
    const MULTIPLIER: u32 = 0x5bd1_e995;
    const SEED: u32 = 0x9747_b28c;
    let mix = |word: u32| {
        let word = word.wrapping_mul(MULTIPLIER);
        (word ^ (word >> 24)).wrapping_mul(MULTIPLIER)
    };
    let mut hash = SEED ^ bytes.len() as u32;
    let (words, rest) = bytes.as_chunks::<4>();
    for word in words {
        hash = hash.wrapping_mul(MULTIPLIER) ^ mix(u32::from_le_bytes(*word));
    }
    if !rest.is_empty() {
        for (at, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * at);
        }
        hash = hash.wrapping_mul(MULTIPLIER);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(MULTIPLIER);
    hash ^ (hash >> 15)
}

fn put_length(out: &mut Vec<u8>, length: usize) {
    put_long(out, i64::try_from(length).unwrap_or(i64::MAX));
}

fn put_message(out: &mut Vec<u8>, message: Option<&Message<'_>>) {
    match message {
        None => put_long(out, -1),
        Some(message) => {
            put_length(out, message.len());
            message.write(out);
        }
    }
}

/// `None` if it does not get smaller.
fn pack(plain: &[u8]) -> Option<Vec<u8>> {
    if plain.len() < PACK_FROM_BYTES {
        return None;
    }
    let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::with_capacity(plain.len() / 2));
    encoder.write_all(plain).ok()?;
    let packed = encoder.finish().ok()?;
    (packed.len() < plain.len()).then_some(packed)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::model::batch::{Codec, Head};
    use kafka_protocol::records::{Compression, RecordBatchDecoder};

    /// The records of a batch, by another reader of the format.
    pub fn read(batch: Vec<u8>) -> Vec<kafka_protocol::records::Record> {
        let mut bytes = bytes::Bytes::from(batch);
        let set = RecordBatchDecoder::decode_with_custom_compression(
            &mut bytes,
            Some(|packed: &mut bytes::Bytes, codec: Compression| {
                if codec == Compression::None {
                    return Ok(packed.clone());
                }
                let mut plain = Vec::new();
                std::io::copy(&mut lz4_flex::frame::FrameDecoder::new(&packed[..]), &mut plain)?;
                Ok(bytes::Bytes::from(plain))
            }),
        );
        set.expect("a batch").records
    }

    /// A record's bytes; absent is Kafka's null.
    pub type KeyAndValue = (Option<Vec<u8>>, Option<Vec<u8>>);

    pub fn keys_and_values(batch: &[u8]) -> Vec<KeyAndValue> {
        let part = |part: Option<bytes::Bytes>| part.map(|bytes| bytes.to_vec());
        read(batch.to_vec()).into_iter().map(|record| (part(record.key), part(record.value))).collect()
    }

    /// As Kafka's own tests have them.
    #[test]
    fn keys_go_where_kafkas_clients_send_them() {
        for (key, want) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()).cast_signed(), want, "{key}");
        }
        assert_eq!((partition_of(b"abc", 7), partition_of(b"abc", 0)), (479_470_107 % 7, 0));
    }

    fn incoming(n: usize) -> (i64, Option<String>, Option<String>) {
        let key = (!n.is_multiple_of(5)).then(|| format!("key {n}"));
        let value = (!n.is_multiple_of(3)).then(|| "v".repeat(n * 7 % 300));
        (1_700_000_000_000 + (n as i64 * 37) % 100, key, value)
    }

    /// Held against another reader of the format.
    #[test]
    fn what_is_written_is_read_back() {
        for count in [1usize, 2, 300] {
            let mut writer = Writer::default();
            for n in 0..count {
                let (time_ms, key, value) = incoming(n);
                writer.push(&Incoming {
                    time_ms,
                    key: key.as_deref().map(|text| Message::plain(text.as_bytes())),
                    value: value.as_deref().map(|text| Message::plain(text.as_bytes())),
                    headers: if n % 2 == 0 { vec![("h", Some(b"x")), ("null", None)] } else { vec![] },
                });
            }
            let batch = writer.finish();
            let head = Head::read(&batch).expect("sound");
            assert_eq!((head.record_count(), head.turn), (count as u64, None));
            assert_eq!(head.codec, if count == 300 { Codec::Lz4 } else { Codec::None });
            let read = read(batch);
            assert_eq!(read.len(), count);
            for (n, record) in read.iter().enumerate() {
                let (time_ms, key, value) = incoming(n);
                assert_eq!((record.offset, record.timestamp), (n as i64, time_ms), "{n}");
                assert_eq!(record.key.as_deref(), key.as_deref().map(str::as_bytes), "{n}");
                assert_eq!(record.value.as_deref(), value.as_deref().map(str::as_bytes), "{n}");
                assert_eq!(record.headers.len(), if n % 2 == 0 { 2 } else { 0 }, "{n}");
            }
            assert_eq!(writer.count(), 0);
        }
    }
}
