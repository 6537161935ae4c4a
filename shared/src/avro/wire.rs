//! Confluent's wire format: a zero byte, the schema id as four bytes big endian, then Avro.

/// The registry's id of a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SchemaId(pub u32);

impl std::fmt::Display for SchemaId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

pub const PREFIX_LEN: usize = 5;

/// The five bytes in front of every message.
pub fn prefix(id: SchemaId) -> [u8; PREFIX_LEN] {
    let [a, b, c, d] = id.0.to_be_bytes();
    [0, a, b, c, d]
}

/// Splits a message into its schema id and its Avro bytes; `None` if it has no such prefix.
pub fn split(message: &[u8]) -> Option<(SchemaId, &[u8])> {
    match message {
        [0, a, b, c, d, rest @ ..] => Some((SchemaId(u32::from_be_bytes([*a, *b, *c, *d])), rest)),
        _ => None,
    }
}

/// Appends an Avro `long` (also `int`, lengths, union branches): zigzag, then seven bits a byte.
#[inline]
pub fn put_long(out: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Takes an Avro `long` from the front; `None` if it is cut off or longer than ten bytes.
#[inline]
pub fn take_long(input: &mut &[u8]) -> Option<i64> {
    let mut raw = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = input.split_first()?;
        *input = rest;
        raw |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((raw >> 1) as i64 ^ -((raw & 1) as i64));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_round_trip() {
        for value in [0, -1, 1, 63, 64, -64, -65, i64::MAX, i64::MIN, 1_795_381_369_456_521_000] {
            let mut out = Vec::new();
            put_long(&mut out, value);
            let mut input = out.as_slice();
            assert_eq!(take_long(&mut input), Some(value));
            assert!(input.is_empty());
        }
    }

    #[test]
    fn hostile_longs_end() {
        assert_eq!(take_long(&mut [0xff; 11].as_slice()), None);
        assert_eq!(take_long(&mut [0x80].as_slice()), None);
        assert_eq!(take_long(&mut [].as_slice()), None);
    }

    #[test]
    fn prefix_round_trip() {
        let mut message = prefix(SchemaId(0x0102_0304)).to_vec();
        message.push(9);
        assert_eq!(split(&message), Some((SchemaId(0x0102_0304), &[9u8][..])));
        assert_eq!(split(&[0, 0, 0]), None);
    }
}
