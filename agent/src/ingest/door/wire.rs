//! Kafka's field encodings, read from a request; pure, bounded, fuzzed.
//!
//! Own code, because the protocol crate allocates by the counts it finds on the wire and so lets a
//! request of 14 bytes end the process. Here a count is a promise that the bytes must keep: lists
//! grow as elements are read, and a request may hold so many elements and no more.

use bytes::Bytes;
use std::ops::Range;
use uuid::Uuid;

/// Elements of all lists of one request together: topics, partitions. A list's element takes more
/// memory than bytes on the wire, so the frame's limit alone would not bound it.
const MAX_ELEMENTS: u32 = 100_000;

/// The request breaks the protocol; what was being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed(pub &'static str);

pub(super) type Read<T> = Result<T, Malformed>;

/// A cursor over a frame.
pub(super) struct Fields<'a> {
    frame: &'a [u8],
    at: usize,
    /// Whether lengths are compact and tagged fields follow.
    flexible: bool,
    elements_left: u32,
}

impl<'a> Fields<'a> {
    pub fn new(frame: &'a [u8]) -> Self {
        Fields { frame, at: 0, flexible: false, elements_left: MAX_ELEMENTS }
    }

    /// From here on, the newer encodings or the older.
    pub fn set_flexible(&mut self, flexible: bool) {
        self.flexible = flexible;
    }

    #[cfg(any(test, fuzzing))]
    pub fn is_at_end(&self) -> bool {
        self.at == self.frame.len()
    }

    fn range(&mut self, length: usize, what: &'static str) -> Read<Range<usize>> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.frame.len());
        let range = self.at..end.ok_or(Malformed(what))?;
        self.at = range.end;
        Ok(range)
    }

    fn take(&mut self, length: usize, what: &'static str) -> Read<&'a [u8]> {
        let range = self.range(length, what)?;
        self.frame.get(range).ok_or(Malformed(what))
    }

    fn fixed<const N: usize>(&mut self, what: &'static str) -> Read<[u8; N]> {
        self.take(N, what)?.first_chunk().copied().ok_or(Malformed(what))
    }

    pub fn i8(&mut self) -> Read<i8> {
        self.fixed("int8").map(i8::from_be_bytes)
    }

    pub fn bool(&mut self) -> Read<bool> {
        self.i8().map(|byte| byte != 0)
    }

    pub fn i16(&mut self) -> Read<i16> {
        self.fixed("int16").map(i16::from_be_bytes)
    }

    pub fn i32(&mut self) -> Read<i32> {
        self.fixed("int32").map(i32::from_be_bytes)
    }

    pub fn i64(&mut self) -> Read<i64> {
        self.fixed("int64").map(i64::from_be_bytes)
    }

    pub fn uuid(&mut self) -> Read<Uuid> {
        self.fixed("uuid").map(Uuid::from_bytes)
    }

    /// An unsigned number of at most 32 bits, seven a byte.
    fn varint(&mut self) -> Read<u32> {
        let mut value = 0u32;
        for shift in (0..35).step_by(7) {
            let [byte] = self.fixed("varint")?;
            let bits = u32::from(byte & 0x7f);
            if shift == 28 && bits > 0x0f {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed("varint"))
    }

    /// A compact length counts from 1, 0 is null; an older one counts from 0, -1 is null.
    fn compact_length(&mut self) -> Read<Option<usize>> {
        Ok(self.varint()?.checked_sub(1).map(|length| length as usize))
    }

    fn plain_length(length: i64, what: &'static str) -> Read<Option<usize>> {
        match length {
            -1 => Ok(None),
            length => usize::try_from(length).map(Some).map_err(|_| Malformed(what)),
        }
    }

    pub fn nullable_string(&mut self) -> Read<Option<&'a str>> {
        let length = match self.flexible {
            true => self.compact_length()?,
            false => Self::plain_length(self.i16()?.into(), "string")?,
        };
        let Some(length) = length else { return Ok(None) };
        std::str::from_utf8(self.take(length, "string")?).map(Some).map_err(|_| Malformed("UTF-8"))
    }

    pub fn string(&mut self) -> Read<&'a str> {
        self.nullable_string()?.ok_or(Malformed("string that may not be null"))
    }

    /// The client's id in a request's head, which is never compact.
    pub fn client_id(&mut self) -> Read<Option<&'a str>> {
        let flexible = std::mem::replace(&mut self.flexible, false);
        let id = self.nullable_string();
        self.flexible = flexible;
        id
    }

    /// Where the bytes stand in the frame.
    pub fn nullable_bytes(&mut self) -> Read<Option<Range<usize>>> {
        let length = match self.flexible {
            true => self.compact_length()?,
            false => Self::plain_length(self.i32()?.into(), "bytes")?,
        };
        length.map(|length| self.range(length, "bytes")).transpose()
    }

    /// Bytes that outlive the frame.
    pub fn owned_bytes(&mut self) -> Read<Bytes> {
        let range = self.nullable_bytes()?.unwrap_or_default();
        Ok(self.frame.get(range).map(Bytes::copy_from_slice).unwrap_or_default())
    }

    pub fn nullable_list<T>(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Read<T>,
    ) -> Read<Option<Vec<T>>> {
        let length = match self.flexible {
            true => self.compact_length()?,
            false => Self::plain_length(self.i32()?.into(), "list")?,
        };
        let Some(length) = length else { return Ok(None) };
        let mut list = Vec::new();
        for _ in 0..length {
            self.elements_left = self.elements_left.checked_sub(1).ok_or(Malformed("too many elements"))?;
            list.push(element(self)?);
        }
        Ok(Some(list))
    }

    pub fn list<T>(&mut self, element: impl FnMut(&mut Self) -> Read<T>) -> Read<Vec<T>> {
        self.nullable_list(element)?.ok_or(Malformed("list that may not be null"))
    }

    /// Passes over the tagged fields that end a structure in the newer encoding.
    pub fn tags(&mut self) -> Read<()> {
        if self.flexible {
            for _ in 0..self.varint()? {
                self.varint()?;
                let length = self.varint()?;
                self.take(length as usize, "tagged field")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_no_reason_to_allocate() {
        let frame = [0x7f, 0xff, 0xff, 0xff, 0, 0];
        assert_eq!(
            Fields::new(&frame).list(|f| f.string().map(str::to_owned)).err(),
            Some(Malformed("int16"))
        );
        let many = [&i32::MAX.to_be_bytes()[..], &vec![0; 1 << 20]].concat();
        assert_eq!(Fields::new(&many).list(Fields::i8).err(), Some(Malformed("too many elements")));
    }

    #[test]
    fn varints_end() {
        for (bytes, want) in [
            (&[0x00][..], Ok(0)),
            (&[0xac, 0x02], Ok(300)),
            (&[0xff, 0xff, 0xff, 0xff, 0x0f], Ok(u32::MAX)),
            (&[0xff, 0xff, 0xff, 0xff, 0x1f], Err(Malformed("varint"))),
            (&[0x80, 0x80, 0x80, 0x80, 0x80, 0x00], Err(Malformed("varint"))),
            (&[0x80], Err(Malformed("varint"))),
        ] {
            assert_eq!(Fields::new(bytes).varint(), want, "{bytes:02x?}");
        }
    }

    #[test]
    fn lengths_below_null_are_refused() {
        assert_eq!(Fields::new(&[0xff, 0xfe]).nullable_string(), Err(Malformed("string")));
        assert_eq!(Fields::new(&[0xff, 0xff]).nullable_string(), Ok(None));
        assert_eq!(Fields::new(&[0xff, 0xff]).string(), Err(Malformed("string that may not be null")));
        assert_eq!(Fields::new(&[0xff, 0xff, 0xff, 0xfe]).nullable_bytes(), Err(Malformed("bytes")));
    }
}
