//! The read buffer: bytes from the socket → whole protocol messages, borrowed. Pure.

use super::cursor::Malformed;

/// Room that a read is always given; the buffer is moved or grown for it.
const LEAST_ROOM: usize = 64 * 1024;
const FIRST_SIZE: usize = 256 * 1024;
/// A buffer that a huge row has grown beyond this is given back once it is empty.
const KEPT_SIZE: usize = 4 * 1024 * 1024;
/// PostgreSQL's own bound on a message is 1 GiB.
const LARGEST_FRAME: usize = (1 << 30) + 4;

/// One message: its kind and what follows the length.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    pub tag: u8,
    pub body: &'a [u8],
}

#[derive(Debug)]
pub struct FrameBuffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Default for FrameBuffer {
    fn default() -> Self {
        FrameBuffer { bytes: vec![0; FIRST_SIZE], start: 0, end: 0 }
    }
}

impl FrameBuffer {
    /// Where to read to. The buffer only grows when it is full of one unfinished message, so a
    /// false length cannot make it large.
    pub fn room(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.bytes.len() > KEPT_SIZE {
                self.bytes = vec![0; FIRST_SIZE];
            }
        } else if self.bytes.len().saturating_sub(self.end) < LEAST_ROOM {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            if self.bytes.len().saturating_sub(self.end) < LEAST_ROOM {
                let larger = self.bytes.len().saturating_mul(2);
                self.bytes.resize(larger, 0);
            }
        }
        self.bytes.get_mut(self.end..).unwrap_or_default()
    }

    /// Takes note of `count` bytes read into [`FrameBuffer::room`].
    pub fn filled(&mut self, count: usize) {
        self.end = self.end.saturating_add(count).min(self.bytes.len());
    }

    /// Length of the first message with its kind and length, if it is there in full.
    fn first_length(&self) -> Result<Option<usize>, Malformed> {
        let held = self.bytes.get(self.start..self.end).unwrap_or_default();
        let Some([_, a, b, c, d]) = held.first_chunk::<5>() else { return Ok(None) };
        let length = usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])).unwrap_or(usize::MAX);
        if !(4..=LARGEST_FRAME).contains(&length) {
            return Err(Malformed("message length"));
        }
        Ok((held.len() > length).then_some(length + 1))
    }

    pub fn has_frame(&self) -> Result<bool, Malformed> {
        Ok(self.first_length()?.is_some())
    }

    /// The next whole message, if there is one.
    #[inline]
    pub fn next(&mut self) -> Result<Option<Frame<'_>>, Malformed> {
        let Some(length) = self.first_length()? else { return Ok(None) };
        let from = self.start;
        self.start += length;
        match self.bytes.get(from..self.start) {
            Some([tag, _, _, _, _, body @ ..]) => Ok(Some(Frame { tag: *tag, body })),
            _ => Err(Malformed("message length")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(buffer: &mut FrameBuffer, bytes: &[u8]) {
        let mut bytes = bytes;
        while !bytes.is_empty() {
            let room = buffer.room();
            let (now, later) = bytes.split_at(room.len().min(bytes.len()));
            room[..now.len()].copy_from_slice(now);
            buffer.filled(now.len());
            bytes = later;
        }
    }

    fn frame(length: usize) -> Vec<u8> {
        let mut bytes = vec![b'd'];
        bytes.extend_from_slice(&u32::try_from(length + 4).expect("small").to_be_bytes());
        bytes.extend((0..length).map(|at| (at % 251) as u8));
        bytes
    }

    #[test]
    fn messages_come_out_whole_however_they_arrive() {
        for length in [0, 1, 1000, FIRST_SIZE, KEPT_SIZE + 7] {
            let mut buffer = FrameBuffer::default();
            let bytes = [frame(length), frame(3)].concat();
            for piece in bytes.chunks(60_000) {
                put(&mut buffer, piece);
            }
            let first = buffer.next().expect("well formed").expect("there");
            assert_eq!((first.tag, first.body.len()), (b'd', length));
            assert_eq!(buffer.next().expect("well formed").expect("there").body, [0, 1, 2]);
            assert!(buffer.next().expect("well formed").is_none());
            assert!(buffer.room().len() <= KEPT_SIZE);
        }
    }

    #[test]
    fn an_unfinished_message_waits_and_a_false_length_is_refused() {
        let mut buffer = FrameBuffer::default();
        put(&mut buffer, b"d\0\0\0");
        assert_eq!(buffer.has_frame(), Ok(false));
        put(&mut buffer, b"\x05");
        assert_eq!(buffer.has_frame(), Ok(false));
        put(&mut buffer, b"x");
        assert_eq!(buffer.has_frame(), Ok(true));
        for length in [0u32, 3, u32::MAX] {
            let mut buffer = FrameBuffer::default();
            put(&mut buffer, &[&b"d"[..], &length.to_be_bytes()].concat());
            assert!(buffer.has_frame().is_err(), "{length}");
        }
    }
}
