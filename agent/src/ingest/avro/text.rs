//! Texts that mean dates, times and decimals. Pure.

use jiff::civil::{Date, DateTime, Time};
use num_bigint::BigInt;

const NANOS_PER_SECOND: i64 = 1_000_000_000;
/// Digits of a decimal; PostgreSQL's own limit is far above, and nobody has as many.
const MAX_DIGITS: usize = 2_000;

/// Days since 1970.
pub fn days(text: &str) -> Option<i64> {
    let date: Date = text.parse().ok()?;
    let since = date.since(Date::constant(1970, 1, 1)).ok()?;
    Some(i64::from(since.get_days()))
}

/// Nanoseconds since midnight.
pub fn time_nanos(text: &str) -> Option<i64> {
    let time: Time = text.parse().ok()?;
    let seconds = i64::from(time.hour()) * 3_600 + i64::from(time.minute()) * 60 + i64::from(time.second());
    Some(seconds * NANOS_PER_SECOND + i64::from(time.subsec_nanosecond()))
}

/// Nanoseconds since 1970 of an ISO date with time; without a zone it is UTC.
pub fn moment_nanos(text: &str) -> Option<i64> {
    let is_moment = text.len() >= 16 && matches!(text.as_bytes().get(10), Some(b'T' | b't' | b' '));
    if !is_moment {
        return None;
    }
    let nanos = match text.parse::<jiff::Timestamp>() {
        Ok(moment) => moment.as_nanosecond(),
        Err(_) => {
            let local: DateTime = text.parse().ok()?;
            jiff::tz::TimeZone::UTC.to_timestamp(local).ok()?.as_nanosecond()
        }
    };
    i64::try_from(nanos).ok()
}

/// A decimal's digits as an integer of this scale; never rounded.
pub fn unscaled(text: &str, scale: usize) -> Result<BigInt, String> {
    let wrong = || "the text is no decimal".to_owned();
    if text.len() > MAX_DIGITS || scale > MAX_DIGITS {
        return Err("the decimal is too long".to_owned());
    }
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().map_err(|_| wrong())?),
        None => (text, 0),
    };
    let (negative, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut digits: String = [whole, fraction].concat();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    // How far the point moves to the right.
    let shift = i64::try_from(scale).unwrap_or(0) - i64::try_from(fraction.len()).unwrap_or(0);
    let shift = shift + i64::from(exponent);
    if shift.unsigned_abs() > MAX_DIGITS as u64 {
        return Err("the decimal is too long".to_owned());
    }
    for _ in 0..shift {
        digits.push('0');
    }
    for _ in shift..0 {
        match digits.pop() {
            Some('0') | None => {}
            Some(_) => return Err(format!("the decimal has more than {scale} digits behind the point")),
        }
    }
    let number: BigInt =
        if digits.is_empty() { BigInt::from(0) } else { digits.parse().map_err(|_| wrong())? };
    Ok(if negative { -number } else { number })
}
