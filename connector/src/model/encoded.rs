//! A record as bytes: what `avro` makes and `sink` takes.

use super::record::ContextHeader;

/// One message, borrowed from the encoder's buffers until the next one.
#[derive(Clone, Copy, Debug)]
pub struct Encoded<'a> {
    pub topic: &'a str,
    pub key: Option<&'a [u8]>,
    /// `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    pub headers: Headers<'a>,
}

/// A message's headers, without a vector per message.
#[derive(Clone, Copy, Debug, Default)]
pub struct Headers<'a> {
    pub link: Option<(&'static str, &'a [u8])>,
    pub context: &'a [ContextHeader],
}

impl<'a> Headers<'a> {
    /// Names and values in the order in which they are sent: the link first.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &'a [u8])> + use<'a> {
        let context: &'a [ContextHeader] = self.context;
        self.link.into_iter().chain(context.iter().map(|h| (h.name, h.value.as_bytes())))
    }

    pub fn len(&self) -> usize {
        usize::from(self.link.is_some()) + self.context.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Encoded<'_> {
    /// Bytes that the message takes: key, value, and headers with their names.
    pub fn size(&self) -> usize {
        let headers: usize = self.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        self.key.map_or(0, <[u8]>::len) + self.value.map_or(0, <[u8]>::len) + headers
    }
}
