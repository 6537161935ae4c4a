//! Records → a record batch, as a producer makes it. Pure.

use super::Compression;
use super::batch::{HEAD_BYTES, Head, Turn};
// Kafka's varints are written as Avro's.
use crate::avro::wire::put_long as put_varint;
use std::io::Write;

/// The most that a record takes beside its content: its length, attributes, time and place.
pub const RECORD_BYTES: usize = 5 + 1 + 10 + 5;

/// Below this packing gains nothing.
const PACK_FROM_BYTES: usize = 512;

/// The records of a batch, one after the other.
#[derive(Debug, Default)]
pub struct Records {
    bytes: Vec<u8>,
    count: i32,
    first_time_ms: i64,
    max_time_ms: i64,
}

impl Records {
    /// In a buffer that is used again.
    pub fn new(mut buffer: Vec<u8>) -> Records {
        buffer.clear();
        Records { bytes: buffer, ..Records::default() }
    }

    pub fn count(&self) -> i32 {
        self.count
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Begins a record: its length, attributes (which stand for nothing yet), time (milliseconds since 1970, -1 for
    /// none) and place. Its content (key, value, number of headers, headers: see [`put_part`]), which takes
    /// `content_bytes`, is to be written behind it.
    #[inline]
    pub fn begin(&mut self, time_ms: i64, content_bytes: usize) -> &mut Vec<u8> {
        if self.count == 0 {
            (self.first_time_ms, self.max_time_ms) = (time_ms, time_ms);
        }
        self.max_time_ms = self.max_time_ms.max(time_ms);
        let (later_ms, place) = (time_ms.wrapping_sub(self.first_time_ms), i64::from(self.count));
        let length = 1 + varint_size(later_ms) + varint_size(place) + content_bytes;
        put_varint(&mut self.bytes, length as i64);
        self.bytes.push(0);
        put_varint(&mut self.bytes, later_ms);
        put_varint(&mut self.bytes, place);
        self.count += 1;
        &mut self.bytes
    }

    /// The batch, and the buffer. Of the compressions only lz4 is done here; for any other, and where it makes
    /// nothing smaller, the records stand there as they are.
    pub fn seal(self, compression: Compression, turn: Option<Turn>) -> (Vec<u8>, Vec<u8>) {
        let mut batch = Vec::with_capacity(HEAD_BYTES + self.bytes.len() / 2);
        batch.resize(HEAD_BYTES, 0);
        let packed = compression == Compression::Lz4 && pack(&mut batch, &self.bytes);
        if !packed {
            batch.truncate(HEAD_BYTES);
            batch.extend_from_slice(&self.bytes);
        }
        let head = Head {
            compression: if packed { Compression::Lz4 } else { Compression::None },
            last_delta: self.count - 1,
            first_time_ms: self.first_time_ms,
            max_time_ms: self.max_time_ms,
            turn,
            transactional: false,
        };
        head.write(&mut batch);
        (batch, self.bytes)
    }
}

/// Key, value, or a header's name or value, with its length in front; -1 stands for none.
#[inline]
pub fn put_part(out: &mut Vec<u8>, part: Option<&[u8]>) {
    put_varint(out, part.map_or(-1, |part| part.len() as i64));
    out.extend_from_slice(part.unwrap_or_default());
}

/// What that takes.
#[inline]
pub fn part_size(part: Option<&[u8]>) -> usize {
    let length = part.map_or(0, <[u8]>::len);
    varint_size(part.map_or(-1, |part| part.len() as i64)) + length
}

#[inline]
pub fn varint_size(value: i64) -> usize {
    let zigzag = (value << 1 ^ value >> 63).cast_unsigned();
    (64 - (zigzag | 1).leading_zeros() as usize).div_ceil(7)
}

/// Appends the records compressed, and says whether that makes them smaller. The Java client reads independent
/// blocks only.
fn pack(out: &mut Vec<u8>, records: &[u8]) -> bool {
    use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
    if records.len() < PACK_FROM_BYTES {
        return false;
    }
    let info = FrameInfo::new().block_mode(BlockMode::Independent).block_size(BlockSize::Max64KB);
    let before = out.len();
    let mut encoder = FrameEncoder::with_frame_info(info, &mut *out);
    let done = encoder.write_all(records).is_ok() && encoder.finish().is_ok();
    done && out.len() - before < records.len()
}
