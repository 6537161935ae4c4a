//! A batch of the log, opened: its records in order, and their schema ids rewritten in place. Pure.
//!
//! Both ids are five bytes, so that a record keeps its length and nothing is copied.

use crate::model::batch::Batch;
use crate::model::compression::{self, Unpack};
use shared::avro::wire::{self, PREFIX_LEN, SchemaId, take_long};
use shared::kafka::batch::{Stored, checksum};
use std::ops::Range;

const CUT_OFF: &str = "record cut off";

/// A batch whose records are taken one by one.
#[derive(Debug, Default)]
pub struct Opened {
    bytes: Vec<u8>,
    at: usize,
    left: u32,
    base_offset: i64,
    first_time_ms: i64,
    append_time_ms: Option<i64>,
    was_put_back: bool,
    /// The record at hand has its central ids already.
    pub is_rewritten: bool,
    /// The batch's own.
    pub checksum: u32,
    /// The offset after its last record.
    pub next_offset: i64,
}

/// Where a record's parts lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub offset: i64,
    pub time_ms: i64,
    /// Absent is Kafka's null.
    pub key: Option<Range<usize>>,
    pub value: Option<Range<usize>>,
    headers: Range<usize>,
}

impl Record {
    /// Bytes of key and value.
    pub fn bytes(&self) -> usize {
        let length = |part: &Option<Range<usize>>| part.as_ref().map_or(0, ExactSizeIterator::len);
        length(&self.key) + length(&self.value)
    }
}

impl Opened {
    /// Unpacks the records, to at most `limit` bytes. A control batch has none.
    pub fn open(batch: &Batch, limit: usize) -> Result<Opened, &'static str> {
        let stored = Stored::read(&batch.records)?;
        let mut opened = Opened {
            base_offset: batch.base_offset,
            first_time_ms: stored.first_time_ms,
            append_time_ms: stored.append_time_ms,
            checksum: checksum(&batch.records),
            next_offset: batch.last_offset + 1,
            ..Opened::default()
        };
        if stored.control {
            return Ok(opened);
        }
        opened.left = u32::try_from(stored.count).map_err(|_| "negative record count")?;
        let unpacked = compression::unpack(stored.codec, stored.body, limit).map_err(|why| match why {
            Unpack::UnknownCodec => "unknown compression codec",
            Unpack::Damaged => "compressed records are damaged",
            Unpack::TooLarge => "compressed records are larger than forward.unpacked_bytes",
        })?;
        opened.bytes = unpacked.into_owned();
        Ok(opened)
    }

    /// The next record; after an error there are no more.
    pub fn next(&mut self) -> Option<Result<Record, &'static str>> {
        self.left = self.left.checked_sub(1)?;
        self.is_rewritten = std::mem::take(&mut self.was_put_back);
        let record = self.take().ok_or(CUT_OFF);
        if record.is_err() {
            self.left = 0;
        }
        Some(record)
    }

    /// The record just taken, which began `at`, is the next again, with the ids that it has now.
    pub fn put_back(&mut self, at: usize) {
        self.at = at;
        self.was_put_back = true;
        self.left += 1;
    }

    /// Where the next record begins.
    pub fn at(&self) -> usize {
        self.at
    }

    fn take(&mut self) -> Option<Record> {
        let whole = self.bytes.len();
        let mut rest = self.bytes.get(self.at..)?;
        let length = usize::try_from(take_long(&mut rest)?).ok()?;
        let (mut body, after) = rest.split_at_checked(length)?;
        let end = whole - after.len();
        let (_attributes, mut fields) = body.split_first()?;
        let time_delta = take_long(&mut fields)?;
        let offset_delta = take_long(&mut fields)?;
        body = fields;
        let key = take_part(&mut body, end)?;
        let value = take_part(&mut body, end)?;
        let headers = end - body.len()..end;
        self.at = end;
        Some(Record {
            offset: self.base_offset.checked_add(offset_delta)?,
            time_ms: self.append_time_ms.unwrap_or(self.first_time_ms.wrapping_add(time_delta)),
            key,
            value,
            headers,
        })
    }

    pub fn slice(&self, part: &Range<usize>) -> &[u8] {
        self.bytes.get(part.clone()).unwrap_or_default()
    }

    /// The schema id in front of a key or value; `None` if there is no such prefix.
    pub fn schema(&self, part: &Range<usize>) -> Option<SchemaId> {
        wire::split(self.slice(part)).map(|(id, _)| id)
    }

    pub fn set_schema(&mut self, part: &Range<usize>, id: SchemaId) {
        if let Some(prefix) = self.bytes.get_mut(part.start..part.start.saturating_add(PREFIX_LEN)) {
            prefix.copy_from_slice(&wire::prefix(id));
        }
    }

    /// Names and values of a record's headers; after an error there are no more.
    pub fn headers(&self, record: &Record) -> Headers<'_> {
        let mut rest = self.slice(&record.headers);
        let left = take_long(&mut rest).and_then(|count| usize::try_from(count).ok());
        Headers { rest, left: left.unwrap_or(0), whole: left.is_some() }
    }
}

/// A walk over headers.
pub struct Headers<'a> {
    rest: &'a [u8],
    left: usize,
    whole: bool,
}

impl<'a> Iterator for Headers<'a> {
    type Item = Result<(&'a str, Option<&'a [u8]>), &'static str>;

    fn next(&mut self) -> Option<Self::Item> {
        if !std::mem::replace(&mut self.whole, true) {
            return Some(Err(CUT_OFF));
        }
        self.left = self.left.checked_sub(1)?;
        let header = take_header(&mut self.rest).ok_or("a header is cut off, or its name is not UTF-8");
        if header.is_err() {
            self.left = 0;
        }
        Some(header)
    }
}

fn take_header<'a>(rest: &mut &'a [u8]) -> Option<(&'a str, Option<&'a [u8]>)> {
    let name = take_bytes(rest)??;
    Some((std::str::from_utf8(name).ok()?, take_bytes(rest)?))
}

/// Length -1 is null; the outer `None`: cut off.
fn take_bytes<'a>(rest: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let length = take_long(rest)?;
    if length == -1 {
        return Some(None);
    }
    let (taken, after) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    *rest = after;
    Some(Some(taken))
}

/// As [`take_bytes`], but where it lies; `end` is where `rest` ends.
fn take_part(rest: &mut &[u8], end: usize) -> Option<Option<Range<usize>>> {
    let taken = take_bytes(rest)?;
    let after = end - rest.len();
    Some(taken.map(|taken| after - taken.len()..after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::batch::PartitionId;
    use bytes::{Bytes, BytesMut};
    use kafka_protocol::records::{
        Compression, Record as Foreign, RecordBatchEncoder, RecordEncodeOptions, TimestampType,
    };

    type Fields = (i64, Option<Vec<u8>>, Option<Vec<u8>>, Vec<(String, Option<Vec<u8>>)>);

    fn fields(n: usize) -> Fields {
        let key = (!n.is_multiple_of(5)).then(|| wire_message(7, n % 9));
        let value = (!n.is_multiple_of(3)).then(|| wire_message(if n.is_multiple_of(2) { 8 } else { 9 }, n));
        let headers = (0..n % 3).map(|h| (format!("h{h}"), (h == 0).then(|| vec![h as u8; n % 4])));
        (1_700_000_000_000 + (n as i64 * 37) % 100, key, value, headers.collect())
    }

    fn wire_message(id: u32, filler: usize) -> Vec<u8> {
        [&wire::prefix(SchemaId(id))[..], &vec![b'x'; filler]].concat()
    }

    /// Made by another writer of the format.
    fn batch(count: usize, compression: Compression) -> Batch {
        let record = |n: usize| {
            let (timestamp, key, value, headers) = fields(n);
            Foreign {
                delete_horizon: false,
                transactional: false,
                control: false,
                partition_leader_epoch: 0,
                producer_id: -1,
                producer_epoch: -1,
                timestamp_type: TimestampType::Creation,
                offset: 100 + n as i64,
                sequence: n as i32,
                timestamp,
                key: key.map(Bytes::from),
                value: value.map(Bytes::from),
                headers: headers
                    .into_iter()
                    .map(|(name, value)| {
                        (kafka_protocol::protocol::StrBytes::from_string(name), value.map(Bytes::from))
                    })
                    .collect(),
            }
        };
        let records: Vec<Foreign> = (0..count).map(record).collect();
        let mut out = BytesMut::new();
        let options = RecordEncodeOptions { version: 2, compression };
        RecordBatchEncoder::encode_with_custom_compression(
            &mut out,
            &records,
            &options,
            Some(|plain: &mut BytesMut, packed: &mut BytesMut, codec| {
                let out = match codec {
                    Compression::Zstd => zstd::stream::encode_all(&plain[..], 1)?,
                    _ => plain.to_vec(),
                };
                packed.extend_from_slice(&out);
                Ok(())
            }),
        )
        .expect("encodes");
        let last_offset = 99 + count as i64;
        let (partition, records) = (PartitionId(1), out.freeze());
        Batch { partition, topic: "t".into(), base_offset: 100, last_offset, records }
    }

    #[test]
    fn every_part_is_found_and_ids_change_in_place() {
        for compression in [Compression::None, Compression::Zstd] {
            let mut opened = Opened::open(&batch(40, compression), 1 << 20).expect("sound");
            for n in 0..40usize {
                let record = opened.next().expect("there is one").expect("sound");
                let (time, key, value, headers) = fields(n);
                assert_eq!((record.offset, record.time_ms), (100 + n as i64, time));
                let bytes = |part: &Option<Range<usize>>| part.as_ref().map(|p| opened.slice(p).to_vec());
                assert_eq!((bytes(&record.key), bytes(&record.value)), (key.clone(), value.clone()), "{n}");
                let found: Vec<_> = opened
                    .headers(&record)
                    .map(|header| header.expect("sound"))
                    .map(|(name, value)| (name.to_owned(), value.map(<[u8]>::to_vec)))
                    .collect();
                assert_eq!(found, headers, "{n}");
                if let Some(part) = &record.value {
                    let id = opened.schema(part).expect("it has one");
                    opened.set_schema(part, SchemaId(id.0 + 1_000));
                    let mut want = value.expect("it has one");
                    want[3..5].copy_from_slice(&(id.0 as u16 + 1_000).to_be_bytes());
                    assert_eq!(opened.slice(part), want);
                }
            }
            assert_eq!(opened.next(), None);
        }
    }

    #[test]
    fn a_record_that_is_put_back_comes_again() {
        let mut opened = Opened::open(&batch(3, Compression::None), 1 << 20).expect("sound");
        let _ = opened.next();
        let at = opened.at();
        let second = opened.next().expect("there is one").expect("sound");
        assert!(!opened.is_rewritten);
        opened.put_back(at);
        assert_eq!(opened.next(), Some(Ok(second)));
        assert!(opened.is_rewritten, "an id is not translated twice");
        assert!(opened.next().is_some_and(|r| r.is_ok()));
        assert_eq!((opened.next(), opened.is_rewritten), (None, false));
    }

    /// Whatever is cut off or changed: an error or other bytes, but never a panic.
    #[test]
    fn damaged_batches_do_not_panic() {
        let sound = batch(12, Compression::None);
        let walk = |records: Bytes| {
            let Ok(mut opened) = Opened::open(&Batch { records, ..sound.clone() }, 1 << 20) else { return };
            while let Some(Ok(record)) = opened.next() {
                opened.headers(&record).for_each(drop);
                if let Some(part) = &record.key {
                    opened.set_schema(part, SchemaId(1));
                }
            }
        };
        for cut in 0..sound.records.len() {
            walk(sound.records.slice(..cut));
        }
        for at in 0..sound.records.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut changed = sound.records.to_vec();
                changed[at] = value;
                walk(changed.into());
            }
        }
    }
}
