//! Avro `bytes` and `string`: the length, then the content. Pure.

use super::fault::Fault;
use shared::avro::wire::put_long;

/// Length, then the bytes.
#[inline]
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    // A slice is never longer than i64::MAX.
    put_long(out, bytes.len() as i64);
    out.extend_from_slice(bytes);
}

/// Length, then the bytes that hexadecimal digits stand for.
pub fn put_hex(out: &mut Vec<u8>, digits: &[u8]) -> Result<(), Fault> {
    put_long(out, (digits.len() / 2) as i64);
    hex(out, digits)
}

/// The bytes that hexadecimal digits stand for.
pub fn hex(out: &mut Vec<u8>, digits: &[u8]) -> Result<(), Fault> {
    let (pairs, rest) = digits.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(Fault::NoHex);
    }
    out.reserve(pairs.len());
    for [high, low] in pairs {
        out.push(nibble(*high)? << 4 | nibble(*low)?);
    }
    Ok(())
}

#[inline]
fn nibble(digit: u8) -> Result<u8, Fault> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(Fault::NoHex),
    }
}
