//! Rows as they lie in the file: many in one blob that fits a page. Pure.
//!
//! ```text
//! chunk:  row row row …                     by time, so that a window's edge passes chunk after chunk
//! row:    length │ time │ entity │ key │ columns      a length of 0: the row was taken back
//! ```
//! Storing a row in a blob costs a tenth of a table row with its indexes; a row's place is the chunk's
//! number and its slot, which stays what it is as long as the row is there.

use super::intake::Kept;
use crate::model::pack;
use crate::model::value::Value;
use shared::avro::wire::{put_long, take_long};

/// A chunk is closed at this size: it fits a page of the default size beside its head.
pub const MAX_BYTES: usize = 7_500;
pub const MAX_ROWS: usize = 256;

/// Where a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    pub chunk: i64,
    pub slot: u16,
}

/// A row inside a chunk's bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stored<'a> {
    pub time_us: i64,
    pub entity: &'a [u8],
    pub key: &'a [u8],
    columns: &'a [u8],
}

impl Stored<'_> {
    /// `None` if the bytes are damaged.
    pub fn columns(&self) -> Option<Vec<Value>> {
        pack::unpack(self.columns)
    }

    /// Some of them, nulls in place of the others; `None` if the bytes are damaged.
    pub fn columns_into(&self, wanted: &[bool], out: &mut Vec<Value>) -> Option<()> {
        pack::unpack_wanted(self.columns, wanted, out)
    }

    pub fn kept(&self) -> Option<Kept> {
        Some(Kept { entity: self.entity.to_vec(), time_us: self.time_us, columns: self.columns()? })
    }
}

/// Appends a row as [`read`] reads it.
pub fn encode(out: &mut Vec<u8>, key: &[u8], kept: &Kept) {
    put_long(out, kept.time_us);
    for bytes in [&kept.entity[..], key] {
        put_long(out, bytes.len() as i64);
        out.extend_from_slice(bytes);
    }
    pack::pack_into(out, &kept.columns);
}

/// [`encode`] without entity, and with only the wanted columns: nulls stand in place of the others.
pub fn encode_some(out: &mut Vec<u8>, key: &[u8], kept: &Kept, wanted: &[bool]) {
    encode_parts(out, key, (kept.time_us, &kept.columns), wanted);
}

/// [`encode_some`] of a time and columns.
pub fn encode_parts(out: &mut Vec<u8>, key: &[u8], (time_us, columns): (i64, &[Value]), wanted: &[bool]) {
    put_long(out, time_us);
    put_long(out, 0);
    put_long(out, key.len() as i64);
    out.extend_from_slice(key);
    let some = columns.iter().zip(wanted).map(|(column, wanted)| if *wanted { column } else { &Value::Null });
    pack::pack_into(out, some);
}

/// Takes a key's row out; false if it is not there.
pub fn remove(bytes: &mut Vec<u8>, key: &[u8]) -> bool {
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let from = bytes.len() - rest.len();
        let Some(row) = block(&mut rest) else { return false };
        let to = bytes.len() - rest.len();
        if read(row).is_some_and(|row| row.key == key) {
            bytes.drain(from..to);
            return true;
        }
    }
    false
}

/// Appends an encoded row to a chunk.
pub fn put(out: &mut Vec<u8>, row: &[u8]) {
    put_long(out, row.len() as i64);
    out.extend_from_slice(row);
}

/// The slots in order; `None` inside for a row that was taken back. Ends early on damage, which
/// [`sound`] tells.
pub fn rows(mut bytes: &[u8]) -> impl Iterator<Item = Option<Stored<'_>>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let row = block(&mut bytes)?;
        if row.is_empty() { Some(None) } else { read(row).map(Some) }
    })
}

/// Whether every byte belongs to a row.
pub fn sound(mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        match block(&mut bytes) {
            Some(row) if row.is_empty() || read(row).is_some() => {}
            _ => return false,
        }
    }
    true
}

/// Reads what [`encode`] wrote; `None` if the bytes are damaged.
pub fn read(mut row: &[u8]) -> Option<Stored<'_>> {
    let time_us = take_long(&mut row)?;
    let entity = block(&mut row)?;
    let key = block(&mut row)?;
    Some(Stored { time_us, entity, key, columns: row })
}

fn block<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(take_long(bytes)?).ok()?;
    let (block, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(block)
}

/// Calls `each` with the rows at some slots, which rise; those between are passed over unread. `None` if
/// the bytes are damaged.
pub fn pick<'a>(
    mut bytes: &'a [u8],
    slots: impl IntoIterator<Item = u16>,
    mut each: impl FnMut(u16, Stored<'a>),
) -> Option<()> {
    let mut at = 0;
    for slot in slots {
        while at < u32::from(slot) && !bytes.is_empty() {
            block(&mut bytes)?;
            at += 1;
        }
        if bytes.is_empty() {
            break;
        }
        let row = block(&mut bytes)?;
        at += 1;
        if !row.is_empty() {
            each(slot, read(row)?);
        }
    }
    Some(())
}

/// The row at a slot; `None` if it was taken back or there is no such slot.
pub fn row(bytes: &[u8], slot: u16) -> Option<Stored<'_>> {
    rows(bytes).nth(usize::from(slot)).flatten()
}

/// The chunk with another row at a slot, or none; `None` if there is no such slot.
pub fn replaced(bytes: &[u8], slot: u16, row: Option<(&[u8], &Kept)>) -> Option<Vec<u8>> {
    let mut rest = bytes;
    for _ in 0..slot {
        block(&mut rest)?;
    }
    let head = bytes.get(..bytes.len() - rest.len())?;
    block(&mut rest)?;
    let mut out = Vec::with_capacity(bytes.len() + 64);
    out.extend_from_slice(head);
    match row {
        Some((key, kept)) => {
            let mut row = Vec::with_capacity(64);
            encode(&mut row, key, kept);
            put(&mut out, &row);
        }
        None => put_long(&mut out, 0),
    }
    out.extend_from_slice(rest);
    Some(out)
}

/// Places of one entity's rows as bytes: chunk numbers as differences, as they mostly rise.
pub fn put_places(places: &[Place]) -> Vec<u8> {
    let (mut out, mut before) = (Vec::with_capacity(places.len() * 3), 0i64);
    for place in places {
        put_long(&mut out, place.chunk.wrapping_sub(before));
        put_long(&mut out, i64::from(place.slot));
        before = place.chunk;
    }
    out
}

/// Reads what [`put_places`] wrote; `None` if the bytes are damaged.
pub fn places(mut bytes: &[u8]) -> Option<Vec<Place>> {
    let (mut places, mut before) = (Vec::new(), 0i64);
    while !bytes.is_empty() {
        before = before.wrapping_add(take_long(&mut bytes)?);
        places.push(Place { chunk: before, slot: u16::try_from(take_long(&mut bytes)?).ok()? });
    }
    Some(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(n: i64) -> Kept {
        Kept { entity: vec![n as u8; 3], time_us: n * 1_000, columns: vec![Value::Int(n), Value::Null] }
    }

    #[test]
    fn rows_come_back_and_slots_stay() {
        let mut bytes = Vec::new();
        for n in 0..5 {
            let mut row = Vec::new();
            encode(&mut row, &[n as u8], &kept(n));
            put(&mut bytes, &row);
        }
        assert!(sound(&bytes));
        let third = row(&bytes, 3).expect("there");
        assert_eq!((third.time_us, third.entity, third.key), (3_000, &[3u8; 3][..], &[3u8][..]));
        assert_eq!(third.columns(), Some(kept(3).columns));
        let bytes = replaced(&bytes, 1, None).expect("a slot");
        let bytes = replaced(&bytes, 2, Some((&[2], &kept(70)))).expect("a slot");
        assert!(sound(&bytes) && row(&bytes, 1).is_none() && row(&bytes, 5).is_none());
        assert_eq!(row(&bytes, 2).map(|row| row.time_us), Some(70_000));
        assert_eq!(
            rows(&bytes).flatten().map(|row| row.time_us).collect::<Vec<_>>(),
            [0, 70_000, 3_000, 4_000]
        );
        assert!(replaced(&bytes, 5, None).is_none());
        let mut picked = Vec::new();
        pick(&bytes, [0, 1, 2, 4, 9], |slot, row| picked.push((slot, row.time_us))).expect("sound");
        assert_eq!(picked, [(0, 0), (2, 70_000), (4, 4_000)]);
        assert!(pick(&bytes[..bytes.len() - 1], [4], |_, _| {}).is_none());
        for end in 1..bytes.len() {
            let _ = (sound(&bytes[..end]), rows(&bytes[..end]).count());
        }
    }

    #[test]
    fn places_come_back() {
        let all =
            [(1, 0), (1, 255), (900, 3), (7, 1), (i64::MAX, 9)].map(|(chunk, slot)| Place { chunk, slot });
        assert_eq!(places(&put_places(&all)).as_deref(), Some(&all[..]));
        assert!(places(&[1]).is_none());
    }
}
