//! A record as bytes: what `avro` makes and `sink` takes.

use super::record::{Header, HeaderValue};

/// One message, borrowed from the encoder's buffers until the next one.
#[derive(Clone, Copy, Debug)]
pub struct Encoded<'a> {
    pub topic: &'a str,
    pub partition: Option<i32>,
    pub key: Option<&'a [u8]>,
    /// `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    pub headers: Headers<'a>,
    pub timestamp_ms: Option<i64>,
}

/// A message's headers, without a vector per message: texts stay where they are, everything else
/// was printed one after the other into one buffer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Headers<'a> {
    list: &'a [Header<'a>],
    printed: &'a [u8],
    /// Where each printed header ends; `None` has no value.
    ends: &'a [Option<usize>],
}

impl<'a> Headers<'a> {
    /// `ends` has one end in `printed` for each header of `list` that is not a text.
    pub fn new(list: &'a [Header<'a>], printed: &'a [u8], ends: &'a [Option<usize>]) -> Self {
        Headers { list, printed, ends }
    }

    /// Names and values in the order in which they are sent.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, Option<&'a [u8]>)> + use<'a> {
        let (printed, mut ends, mut start) = (self.printed, self.ends.iter(), 0);
        self.list.iter().map(move |header| match header.value {
            HeaderValue::Text(text) => (header.name, Some(text.as_bytes())),
            HeaderValue::Datum(_) => {
                let bytes = ends.next().copied().flatten().and_then(|end| {
                    let bytes = printed.get(start..end);
                    start = end;
                    bytes
                });
                (header.name, bytes)
            }
        })
    }

    pub fn len(&self) -> usize {
        self.list.len()
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

impl Encoded<'_> {
    /// Bytes of key and value alone.
    pub fn body_size(&self) -> usize {
        self.key.map_or(0, <[u8]>::len) + self.value.map_or(0, <[u8]>::len)
    }

    /// Bytes that the message takes: key, value, and headers with their names.
    pub fn size(&self) -> usize {
        let headers: usize =
            self.headers.iter().map(|(name, value)| name.len() + value.map_or(0, <[u8]>::len)).sum();
        self.body_size() + headers
    }
}
