//! Points and PostGIS's geometries → structs of coordinates and well-known binary. Pure.

use super::cursor::Malformed;
use crate::connect::java;
use crate::model::value::Value;
use bumpalo::Bump;

const WRONG_POINT: Malformed = Malformed("point");
const WRONG: Malformed = Malformed("geometry");

/// Bit of a geometry's type that says that a reference system follows.
const HAS_SRID: u32 = 0x2000_0000;

/// `(1.5,-2.5)` → x, y, well-known binary, no reference system.
///
/// # Errors
/// When the text is no point.
pub fn point<'a>(text: &[u8], arena: &'a Bump) -> Result<Value<'a>, Malformed> {
    let text = std::str::from_utf8(text).map_err(|_| WRONG_POINT)?;
    let inner = text.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).ok_or(WRONG_POINT)?;
    let (x, y) = inner.split_once(',').ok_or(WRONG_POINT)?;
    let number = |text: &str| text.parse::<f64>().map_err(|_| WRONG_POINT);
    let (x, y) = (number(x)?, number(y)?);
    // Little-endian, type 1, the coordinates.
    let mut binary = [0; 21];
    let mut parts = binary.iter_mut();
    let content = [1, 1, 0, 0, 0].into_iter().chain(x.to_le_bytes()).chain(y.to_le_bytes());
    content.for_each(|byte| {
        if let Some(slot) = parts.next() {
            *slot = byte;
        }
    });
    let binary: &[u8] = arena.alloc_slice_copy(&binary);
    let values = [Value::Float64(x), Value::Float64(y), Value::Bytes(binary), Value::Null];
    Ok(Value::Struct(arena.alloc_slice_copy(&values)))
}

/// Extended well-known binary in hexadecimal → its bytes and the reference system that they name.
///
/// # Errors
/// When the text is no such binary.
pub fn geometry<'a>(text: &[u8], arena: &'a Bump) -> Result<Value<'a>, Malformed> {
    let (pairs, rest) = text.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(WRONG);
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok()).ok_or(WRONG);
    let mut bytes = bumpalo::collections::Vec::with_capacity_in(pairs.len(), arena);
    for [high, low] in pairs {
        bytes.push(digit(*high)? << 4 | digit(*low)?);
    }
    let bytes: &[u8] = bytes.into_bump_slice();
    let (order, body) = bytes.split_first().ok_or(WRONG)?;
    let (kind, body) = body.split_first_chunk::<4>().ok_or(WRONG)?;
    let little = *order == 1;
    let read = |bytes: [u8; 4]| if little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) };
    let kind = read(*kind);
    if kind & HAS_SRID == 0 {
        let values = [Value::Bytes(bytes), Value::Null];
        return Ok(Value::Struct(arena.alloc_slice_copy(&values)));
    }
    let (srid, _) = body.split_first_chunk::<4>().ok_or(WRONG)?;
    let values = [Value::Bytes(bytes), Value::Int(i64::from(read(*srid).cast_signed()))];
    Ok(Value::Struct(arena.alloc_slice_copy(&values)))
}

/// A line, box, path, polygon or circle with its numbers as Java prints them; what is no number
/// stays.
pub fn figure<'a>(text: &[u8], arena: &'a Bump) -> &'a [u8] {
    let mut out = bumpalo::collections::Vec::with_capacity_in(text.len() * 2, arena);
    let mut rest = text;
    while let Some(first) = rest.first() {
        let digits =
            rest.iter().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.')).count();
        let Some((word, tail)) = rest.split_at_checked(digits.max(1)) else { break };
        match std::str::from_utf8(word).ok().and_then(|word| word.parse::<f64>().ok()) {
            Some(number) if digits > 0 => out.extend_from_slice(java::double(number).as_bytes()),
            _ if digits > 0 => out.extend_from_slice(word),
            _ => out.push(*first),
        }
        rest = tail;
    }
    out.into_bump_slice()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(digits: &str) -> Vec<u8> {
        let pair = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hex");
        (0..digits.len()).step_by(2).map(pair).collect()
    }

    #[test]
    fn points_and_geometries() {
        let arena = Bump::new();
        let wkb = "0101000000000000000000F83F00000000000004C0";
        let bytes = hex(wkb);
        let want = [Value::Float64(1.5), Value::Float64(-2.5), Value::Bytes(&bytes), Value::Null];
        assert_eq!(point(b"(1.5,-2.5)", &arena), Ok(Value::Struct(&want)));
        let plain = [Value::Bytes(&bytes), Value::Null];
        assert_eq!(geometry(wkb.as_bytes(), &arena), Ok(Value::Struct(&plain)));
        let extended = "0101000020E6100000000000000000F83F00000000000004C0";
        let placed = [Value::Bytes(&hex(extended)), Value::Int(4326)];
        assert_eq!(geometry(extended.as_bytes(), &arena), Ok(Value::Struct(&placed)));
        assert_eq!(figure(b"<(0,1.5),5e+20>", &arena), b"<(0.0,1.5),5.0E20>");
        for bad in ["", "0", "01", "010100002", "0101000020E610", "zz"] {
            assert!(geometry(bad.as_bytes(), &arena).is_err(), "{bad}");
        }
        for bad in ["", "1,2", "(1)", "(a,b)"] {
            assert!(point(bad.as_bytes(), &arena).is_err(), "{bad}");
        }
    }
}
