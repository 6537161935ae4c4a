//! Decimal text → the bytes of Java's `BigInteger.toByteArray`: two's complement, big endian, as
//! few as can be. Up to 38 digits in one machine number, above that in reused limbs. Pure.

use super::bytes::put_bytes;
use crate::connect::Fault;
use shared::avro::wire::{put_long, take_long};

/// 10^38 is below 2^127.
const MAX_NARROW_DIGITS: usize = 38;
/// Digits that are taken at once: 10^9 fits into 32 bits.
const GROUP: usize = 9;

/// A decimal's text taken apart.
#[derive(Clone, Copy, Debug)]
struct Parts<'a> {
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
}

fn parts(text: &str) -> Result<Parts<'_>, Fault> {
    let bytes = text.as_bytes();
    let (negative, digits) = match bytes {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if matches!(digits, b"NaN" | b"Infinity") {
        return Err(Fault::Unfit);
    }
    let point = digits.iter().position(|b| *b == b'.').unwrap_or(digits.len());
    let (whole, rest) = digits.split_at_checked(point).unwrap_or((digits, &[]));
    let fraction = rest.strip_prefix(b".").unwrap_or(rest);
    let number = whole.iter().chain(fraction).all(u8::is_ascii_digit) && whole.len() + fraction.len() > 0;
    if number { Ok(Parts { negative, whole, fraction }) } else { Err(Fault::NoNumber) }
}

/// Appends the unscaled value at the column's scale, with its length.
pub fn put_scaled(out: &mut Vec<u8>, text: &str, scale: u32, limbs: &mut Vec<u32>) -> Result<(), Fault> {
    let parts = parts(text)?;
    let zeros = (scale as usize).checked_sub(parts.fraction.len()).ok_or(Fault::TooManyDigits)?;
    put_unscaled(out, &parts, zeros, limbs);
    Ok(())
}

/// Appends Debezium's VariableScaleDecimal: the value's own scale without trailing zeros, then
/// the unscaled value.
pub fn put_variable(out: &mut Vec<u8>, text: &str, limbs: &mut Vec<u32>) -> Result<(), Fault> {
    let mut parts = parts(text)?;
    while let [rest @ .., b'0'] = parts.fraction {
        parts.fraction = rest;
    }
    put_long(out, parts.fraction.len() as i64);
    put_unscaled(out, &parts, 0, limbs);
    Ok(())
}

fn put_unscaled(out: &mut Vec<u8>, parts: &Parts<'_>, zeros: usize, limbs: &mut Vec<u32>) {
    let Parts { negative, whole, fraction } = *parts;
    if whole.len() + fraction.len() + zeros > MAX_NARROW_DIGITS {
        return put_wide(out, parts, zeros, limbs);
    }
    let mut magnitude = 0_i128;
    if whole.len() + fraction.len() <= 18 {
        let narrow = whole.iter().chain(fraction).fold(0_u64, |n, digit| n * 10 + u64::from(digit - b'0'));
        magnitude = i128::from(narrow);
    } else {
        for digit in whole.iter().chain(fraction) {
            magnitude = magnitude * 10 + i128::from(digit - b'0');
        }
    }
    if zeros > 0 {
        // At most 38 digits in all: no overflow.
        magnitude *= 10_i128.pow(zeros as u32);
    }
    let number = if negative { -magnitude } else { magnitude };
    let sign_bits = if number < 0 { number.leading_ones() } else { number.leading_zeros() };
    let len = 1 + (128 - sign_bits as usize) / 8;
    let bytes = number.to_be_bytes();
    put_bytes(out, bytes.get(bytes.len() - len..).unwrap_or(&bytes));
}

/// The unscaled value at the column's scale.
pub fn scaled(text: &str, scale: u32) -> Result<Vec<u8>, Fault> {
    let mut out = Vec::new();
    put_scaled(&mut out, text, scale, &mut Vec::new())?;
    let mut rest = out.as_slice();
    take_long(&mut rest).ok_or(Fault::NoNumber)?;
    Ok(rest.to_vec())
}

/// A value's own scale and the unscaled value.
pub fn variable(text: &str) -> Result<(i64, Vec<u8>), Fault> {
    let mut out = Vec::new();
    put_variable(&mut out, text, &mut Vec::new())?;
    let mut rest = out.as_slice();
    let scale = take_long(&mut rest).ok_or(Fault::NoNumber)?;
    take_long(&mut rest).ok_or(Fault::NoNumber)?;
    Ok((scale, rest.to_vec()))
}

/// Any number of digits: limbs of 32 bits, the lowest first.
fn put_wide(out: &mut Vec<u8>, parts: &Parts<'_>, zeros: usize, limbs: &mut Vec<u32>) {
    limbs.clear();
    let mut digits = parts.whole.iter().chain(parts.fraction).map(|digit| u32::from(digit - b'0'));
    let mut left = parts.whole.len() + parts.fraction.len() + zeros;
    while left > 0 {
        let count = if left.is_multiple_of(GROUP) { GROUP } else { left % GROUP };
        let group = (0..count).fold(0, |n, _| n * 10 + digits.next().unwrap_or(0));
        multiply_add(limbs, 10_u32.pow(count as u32), group);
        left -= count;
    }
    while limbs.last() == Some(&0) {
        limbs.pop();
    }
    if parts.negative {
        negate(limbs);
    }
    put_limbs(out, limbs, parts.negative);
}

fn multiply_add(limbs: &mut Vec<u32>, factor: u32, add: u32) {
    let mut carry = u64::from(add);
    for limb in limbs.iter_mut() {
        carry += u64::from(*limb) * u64::from(factor);
        *limb = carry as u32;
        carry >>= 32;
    }
    if carry > 0 {
        limbs.push(carry as u32);
    }
}

/// Two's complement; all higher limbs are understood to be ones.
fn negate(limbs: &mut [u32]) {
    let mut carry = true;
    for limb in limbs {
        let (sum, over) = (!*limb).overflowing_add(u32::from(carry));
        *limb = sum;
        carry = over;
    }
}

/// The fewest bytes whose first bit is the sign.
fn put_limbs(out: &mut Vec<u8>, limbs: &[u32], negative: bool) {
    let fill: u8 = if negative && !limbs.is_empty() { 0xff } else { 0 };
    let start = out.len();
    let bytes = limbs.iter().rev().flat_map(|limb| limb.to_be_bytes());
    let skipped = bytes.clone().take_while(|byte| *byte == fill).count();
    let total = limbs.len() * 4;
    let first = bytes.clone().nth(skipped);
    let sign = usize::from(first.is_none_or(|byte| (byte ^ fill) & 0x80 != 0));
    put_long(out, (total - skipped + sign) as i64);
    out.extend(std::iter::repeat_n(fill, sign));
    out.extend(bytes.skip(skipped));
    debug_assert!(out.len() > start + 1, "a number has a byte");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    fn scaled(text: &str, scale: u32) -> Result<String, Fault> {
        let mut out = Vec::new();
        put_scaled(&mut out, text, scale, &mut Vec::new())?;
        let mut rest = out.as_slice();
        let len = shared::avro::wire::take_long(&mut rest).expect("a length");
        assert_eq!(len, rest.len() as i64, "{text}");
        Ok(hex(rest))
    }

    #[test]
    fn narrow_numbers() {
        for (text, scale, want) in [
            ("0", 2, "00"),
            ("0.00", 2, "00"),
            ("-0.00", 2, "00"),
            ("1.5", 2, "0096"),
            ("-0.01", 2, "ff"),
            ("1.27", 2, "7f"),
            ("1.28", 2, "0080"),
            ("-1.28", 2, "80"),
            ("-1.29", 2, "ff7f"),
            ("999.99", 2, "01869f"),
            ("12345678901234567890.0123456789", 10, "018ee90ff6c373e0ee0c04d515"),
            ("-0.00999", 5, "fc19"),
            ("99999999999999999999999999999999999999", 0, "4b3b4ca85a86c47a098a223fffffffff"),
        ] {
            assert_eq!(scaled(text, scale).as_deref(), Ok(want), "{text}");
        }
    }

    #[test]
    fn what_is_no_number_is_said() {
        for (text, want) in [
            ("", Fault::NoNumber),
            ("-", Fault::NoNumber),
            (".", Fault::NoNumber),
            ("1.2.3", Fault::NoNumber),
            ("1e5", Fault::NoNumber),
            ("１", Fault::NoNumber),
            ("NaN", Fault::Unfit),
            ("-Infinity", Fault::Unfit),
            ("1.234", Fault::TooManyDigits),
        ] {
            assert_eq!(scaled(text, 2), Err(want), "{text:?}");
        }
    }

    /// The narrow path is the oracle of the wide one, where both can go.
    #[test]
    fn wide_numbers_agree_with_narrow_ones() {
        let mut seed = 7_u64;
        let mut limbs = vec![9; 50];
        for round in 0..5_000 {
            let mut text = String::from(if round % 2 == 0 { "-" } else { "" });
            for _ in 0..=round % 37 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                text.push(char::from(b'0' + (seed >> 33) as u8 % 10));
            }
            let parts = parts(&text).expect("digits");
            let (mut narrow, mut wide) = (Vec::new(), Vec::new());
            put_unscaled(&mut narrow, &parts, 0, &mut limbs);
            put_wide(&mut wide, &parts, 0, &mut limbs);
            assert_eq!(hex(&narrow), hex(&wide), "{text}");
        }
        for (text, want) in
            [("128", "0080"), ("-128", "80"), ("4294967296", "0100000000"), ("-4294967296", "ff00000000")]
        {
            let mut out = Vec::new();
            put_wide(&mut out, &parts(text).expect("digits"), 0, &mut limbs);
            assert_eq!(hex(out.get(1..).expect("length")), want, "{text}");
        }
    }

    #[test]
    fn a_thousand_digits() {
        // 2^3320 + 1 has exactly one bit at each end.
        let mut digits = vec![1_u8];
        for _ in 0..3_320 {
            let mut carry = 0;
            for digit in &mut digits {
                let sum = *digit * 2 + carry;
                (*digit, carry) = (sum % 10, sum / 10);
            }
            if carry > 0 {
                digits.push(carry);
            }
        }
        let text: String = digits.iter().rev().map(|d| char::from(b'0' + d)).collect();
        assert_eq!(text.len(), 1_000);
        let want = format!("01{}", "00".repeat(415));
        assert_eq!(scaled(&text, 0).as_deref(), Ok(want.as_str()));
        assert_eq!(scaled(&format!("-{text}"), 0).as_deref(), Ok(format!("ff{}", "00".repeat(415)).as_str()));
    }

    #[test]
    fn variable_scale_drops_trailing_zeros() {
        for (text, scale, want) in [
            ("123.4500", 2, "3039"),
            ("0.000", 0, "00"),
            ("100000000000000000000", 0, "056bc75e2d63100000"),
            ("-0.0000000001", 10, "ff"),
        ] {
            let mut out = Vec::new();
            put_variable(&mut out, text, &mut Vec::new()).expect("a number");
            let mut rest = out.as_slice();
            assert_eq!(shared::avro::wire::take_long(&mut rest), Some(scale), "{text}");
            assert_eq!(hex(rest.get(1..).expect("length")), want, "{text}");
        }
    }
}
