//! Records → one record batch of Kafka's format 2, as a producer without idempotence would make it. Pure.

use crate::buffer::{Append, Partition};
use bytes::BytesMut;
use shared::avro::wire::{self, PREFIX_LEN, SchemaId, put_long};
use shared::error::{Error, Kind, Result};
use shared::kafka::Compression;
use shared::kafka::batch::Head;
use shared::kafka::records::{Records, put_part};
use std::sync::Arc;

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
    records: Records,
    /// Of the record being written, whose length stands before it.
    content: Vec<u8>,
}

impl Writer {
    pub fn count(&self) -> i32 {
        self.records.count()
    }

    pub fn push(&mut self, incoming: &Incoming<'_>) {
        let content = &mut self.content;
        content.clear();
        put_message(content, incoming.key.as_ref());
        put_message(content, incoming.value.as_ref());
        put_length(content, incoming.headers.len());
        for (name, value) in &incoming.headers {
            put_part(content, Some(name.as_bytes()));
            put_part(content, *value);
        }
        self.records.begin(incoming.time_ms, content.len()).extend_from_slice(content);
    }

    /// The batch; the writer is empty again.
    pub fn finish(&mut self) -> Vec<u8> {
        let (batch, emptied) = std::mem::take(&mut self.records).seal(Compression::Lz4, None);
        self.records = Records::new(emptied);
        batch
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

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use kafka_protocol::records::{Compression as Packed, RecordBatchDecoder};

    /// The records of a batch, by another reader of the format.
    pub fn read(batch: Vec<u8>) -> Vec<kafka_protocol::records::Record> {
        let mut bytes = bytes::Bytes::from(batch);
        let set = RecordBatchDecoder::decode_with_custom_compression(
            &mut bytes,
            Some(|packed: &mut bytes::Bytes, codec: Packed| {
                if codec == Packed::None {
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
            let packed = if count == 300 { Compression::Lz4 } else { Compression::None };
            assert_eq!(head.compression, packed);
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
