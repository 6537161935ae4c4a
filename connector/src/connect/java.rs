//! Numbers and texts as Java prints them: they stand in schemas and in headers. Pure.

use std::fmt::Write;

/// `Double.toString`.
pub fn double(number: f64) -> String {
    special(number).unwrap_or_else(|| java(&format!("{number:e}"), number.abs()))
}

/// `Float.toString`.
pub fn float(number: f32) -> String {
    special(f64::from(number)).unwrap_or_else(|| java(&format!("{number:e}"), f64::from(number.abs())))
}

fn special(number: f64) -> Option<String> {
    let word = match number {
        n if n.is_nan() => "NaN",
        f64::INFINITY => "Infinity",
        f64::NEG_INFINITY => "-Infinity",
        _ => return None,
    };
    Some(word.to_owned())
}

/// From Rust's shortest `1.25e3` to Java's `1250.0`, or `1.25E10` outside of 10^-3 to 10^7.
fn java(shortest: &str, magnitude: f64) -> String {
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((shortest, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if magnitude != 0.0 && !(1e-3..1e7).contains(&magnitude) {
        let point = if mantissa.contains('.') { "" } else { ".0" };
        return format!("{mantissa}{point}E{exponent}");
    }
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let plain = plain(&digits, digits.len() as i64 - 1 - i64::from(exponent));
    let point = if plain.contains('.') { "" } else { ".0" };
    format!("{sign}{plain}{point}")
}

/// `BigDecimal.toString` of an unscaled number and its scale.
pub fn big_decimal(negative: bool, digits: &str, scale: i64) -> String {
    let sign = if negative { "-" } else { "" };
    let adjusted = digits.len() as i64 - 1 - scale;
    if scale >= 0 && adjusted >= -6 {
        return format!("{sign}{}", plain(digits, scale));
    }
    let (first, rest) = digits.split_at_checked(1).unwrap_or((digits, ""));
    let point = if rest.is_empty() { "" } else { "." };
    let plus = if adjusted > 0 { "+" } else { "" };
    format!("{sign}{first}{point}{rest}E{plus}{adjusted}")
}

/// Digits with a point `scale` digits before the end; a negative scale appends zeros.
fn plain(digits: &str, scale: i64) -> String {
    let Ok(scale) = usize::try_from(scale) else {
        let zeros = usize::try_from(scale.unsigned_abs()).unwrap_or(0);
        return format!("{digits}{}", "0".repeat(zeros));
    };
    if scale == 0 {
        return digits.to_owned();
    }
    let padded = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = padded.split_at_checked(padded.len() - scale).unwrap_or((&padded, ""));
    format!("{whole}.{fraction}")
}

/// A JSON string as Jackson writes it.
pub fn json_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            c if u32::from(c) < 0x20 => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles() {
        for (number, want) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.5, "1.5"),
            (-2.25, "-2.25"),
            (100.0, "100.0"),
            (1_234_567.0, "1234567.0"),
            (1e7, "1.0E7"),
            (1.25e10, "1.25E10"),
            (0.001, "0.001"),
            (0.000_5, "5.0E-4"),
            (-1e300, "-1.0E300"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(double(number), want);
        }
        assert_eq!(float(0.1), "0.1");
    }

    #[test]
    fn decimals() {
        for (negative, digits, scale, want) in [
            (false, "150", 2, "1.50"),
            (true, "1", 2, "-0.01"),
            (false, "0", 2, "0.00"),
            (false, "5", 0, "5"),
            (false, "1", 7, "1E-7"),
            (false, "12", 8, "1.2E-7"),
            (false, "1", 6, "0.000001"),
        ] {
            assert_eq!(big_decimal(negative, digits, scale), want);
        }
    }
}
