//! Avro `bytes` and `string`: the length, then the content. Pure.

use crate::connect::Fault;
use crate::connect::text::hex;
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
