//! A Kafka record batch of format 2 → its records, as slices. Pure; every length is checked.

use crate::model::compression::{self, Unpack};
use shared::avro::wire::take_long;
use shared::kafka::batch::Stored;
use std::borrow::Cow;

/// One record's key and value; absent is Kafka's null.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Distance from the batch's first offset.
    pub delta: i64,
    /// Milliseconds since 1970, as its producer says; -1 if it says nothing.
    pub time_ms: i64,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
}

/// A batch whose records are unpacked.
#[derive(Debug)]
pub struct Unpacked<'a> {
    bytes: Cow<'a, [u8]>,
    count: usize,
    first_time_ms: i64,
}

/// Checks the head and unpacks the records, to at most `limit` bytes. A control batch has none.
pub fn unpack(batch: &[u8], limit: usize) -> Result<Unpacked<'_>, &'static str> {
    let Stored { codec, control, count, first_time_ms, body, .. } = Stored::read(batch)?;
    let count = usize::try_from(count).map_err(|_| "negative record count")?;
    if control {
        return Ok(Unpacked { bytes: Cow::Borrowed(&[]), count: 0, first_time_ms });
    }
    let bytes = compression::unpack(codec, body, limit).map_err(|why| match why {
        Unpack::UnknownCodec => "unknown compression codec",
        Unpack::Damaged => "compressed records are damaged",
        Unpack::TooLarge => "compressed records are larger than features.unpacked_bytes",
    })?;
    Ok(Unpacked { bytes, count, first_time_ms })
}

impl Unpacked<'_> {
    /// The records in order; after an error there are no more.
    pub fn records(&self) -> impl Iterator<Item = Result<Record<'_>, &'static str>> {
        let mut rest: &[u8] = &self.bytes;
        let mut left = self.count;
        std::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            let record = take_record(&mut rest, self.first_time_ms).ok_or("record cut off");
            if record.is_err() {
                left = 0;
            }
            Some(record)
        })
    }
}

fn take_record<'a>(rest: &mut &'a [u8], first_time_ms: i64) -> Option<Record<'a>> {
    let length = usize::try_from(take_long(rest)?).ok()?;
    let (mut body, after) = rest.split_at_checked(length)?;
    *rest = after;
    let body = &mut body;
    take(body, 1)?;
    let time_ms = first_time_ms.saturating_add(take_long(body)?);
    let delta = take_long(body)?;
    let key = take_nullable(body)?;
    let value = take_nullable(body)?;
    Some(Record { delta, time_ms, key, value })
}

/// Length -1 is null; `None` if cut off.
fn take_nullable<'a>(rest: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    match take_long(rest)? {
        -1 => Some(None),
        length => take(rest, usize::try_from(length).ok()?).map(Some),
    }
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(taken)
}
