//! Exact decimals with PostgreSQL's arithmetic, so that a feature equals the SQL on the source.
//!
//! A number is `unscaled * 10^-scale`. Most fit 128 bits; what does not falls back to a big
//! integer, so nothing overflows and nothing is rounded before the one conversion to a double.

use num_bigint::{BigInt, Sign};
use std::cmp::Ordering;
use std::fmt;

/// PostgreSQL's `numeric` holds at most this many digits after the point.
pub const MAX_SCALE: u32 = 16_383;
/// The longest unscaled value read, in bytes: 150,000 digits, a little above PostgreSQL's limit.
const MAX_UNSCALED_BYTES: usize = 62_500;
/// PostgreSQL gives a quotient at least this many significant digits.
const MIN_SIGNIFICANT_DIGITS: i64 = 16;
/// … and at most this many after the point.
const MAX_DISPLAY_SCALE: i64 = 1_000;
/// PostgreSQL's digits are four decimal ones each.
const DIGITS_PER_WEIGHT: i64 = 4;
/// 2^53 and 10^22 are the last that a double holds exactly.
const EXACT_INTEGER: u128 = 1 << 53;
const EXACT_POWER: u32 = 22;
/// A 128-bit number over 10^21 has at least 57 bits: enough to round once.
const ROUNDED_POWER: u32 = 21;

/// 10^0 to 10^38.
const POWERS: [i128; 39] = {
    let mut powers = [1; 39];
    let mut at = 1;
    while at < powers.len() {
        powers[at] = powers[at - 1] * 10;
        at += 1;
    }
    powers
};

fn power_of_ten(power: u32) -> Option<i128> {
    POWERS.get(power as usize).copied()
}

/// An exact decimal number.
#[derive(Clone, Debug)]
pub struct Decimal {
    unscaled: Unscaled,
    scale: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Unscaled {
    Small(i128),
    Big(Box<BigInt>),
}

impl Unscaled {
    fn of(big: BigInt) -> Self {
        match i128::try_from(&big) {
            Ok(small) => Unscaled::Small(small),
            Err(_) => Unscaled::Big(Box::new(big)),
        }
    }

    fn big(&self) -> BigInt {
        match self {
            Unscaled::Small(small) => BigInt::from(*small),
            Unscaled::Big(big) => (**big).clone(),
        }
    }

    fn times_ten_to(&self, power: u32) -> Unscaled {
        if power == 0 {
            return self.clone();
        }
        if let (Unscaled::Small(small), Some(factor)) = (self, power_of_ten(power))
            && let Some(product) = small.checked_mul(factor)
        {
            return Unscaled::Small(product);
        }
        Unscaled::of(self.big() * BigInt::from(10).pow(power))
    }

    fn plus(&self, other: &Unscaled) -> Unscaled {
        if let (Unscaled::Small(a), Unscaled::Small(b)) = (self, other)
            && let Some(sum) = a.checked_add(*b)
        {
            return Unscaled::Small(sum);
        }
        Unscaled::of(self.big() + other.big())
    }

    /// Rounds half away from zero, as PostgreSQL's `numeric` does.
    fn over(&self, divisor: &Unscaled) -> Unscaled {
        if let (Unscaled::Small(n), Unscaled::Small(d)) = (self, divisor)
            && let Some(quotient) = n.checked_div(*d)
        {
            let rest = n - quotient * d;
            let up = rest.unsigned_abs() >= d.unsigned_abs() - rest.unsigned_abs();
            let away = if (*n < 0) == (*d < 0) { 1 } else { -1 };
            return Unscaled::Small(if up { quotient + away } else { quotient });
        }
        let (n, d) = (self.big(), divisor.big());
        if d.sign() == Sign::NoSign {
            return Unscaled::Small(0);
        }
        let (quotient, rest) = (&n / &d, &n % &d);
        let up = rest.magnitude() * 2u32 >= *d.magnitude();
        let away = if (n.sign() == Sign::Minus) == (d.sign() == Sign::Minus) { 1 } else { -1 };
        Unscaled::of(if up { quotient + away } else { quotient })
    }

    fn sign(&self) -> Ordering {
        match self {
            Unscaled::Small(small) => small.cmp(&0),
            Unscaled::Big(big) => big.sign().cmp(&Sign::NoSign),
        }
    }

    /// Decimal digits of the magnitude; one for zero.
    fn digits(&self) -> String {
        match self {
            Unscaled::Small(small) => small.unsigned_abs().to_string(),
            Unscaled::Big(big) => big.magnitude().to_string(),
        }
    }
}

impl Decimal {
    pub const fn new(unscaled: i128, scale: u32) -> Self {
        Decimal { unscaled: Unscaled::Small(unscaled), scale }
    }

    /// Reads a two's complement big-endian number; a negative scale multiplies.
    /// `None` beyond the digits that PostgreSQL can hold.
    pub fn from_bytes(bytes: &[u8], scale: i64) -> Option<Self> {
        if bytes.len() > MAX_UNSCALED_BYTES || scale.unsigned_abs() > u64::from(MAX_SCALE) {
            return None;
        }
        let unscaled = if bytes.len() <= 16 {
            let fill = if bytes.first().is_some_and(|b| b & 0x80 != 0) { 0xff } else { 0 };
            let mut wide = [fill; 16];
            wide.get_mut(16 - bytes.len()..)?.copy_from_slice(bytes);
            Unscaled::Small(i128::from_be_bytes(wide))
        } else {
            Unscaled::of(BigInt::from_signed_bytes_be(bytes))
        };
        let power = u32::try_from(scale.unsigned_abs()).ok()?;
        Some(if scale < 0 {
            Decimal { unscaled: unscaled.times_ten_to(power), scale: 0 }
        } else {
            Decimal { unscaled, scale: power }
        })
    }

    /// Two's complement, big endian, no longer than needed.
    pub fn unscaled_bytes(&self) -> Vec<u8> {
        self.with_unscaled_bytes(<[u8]>::to_vec)
    }

    /// The same without a copy.
    pub fn with_unscaled_bytes<T>(&self, take: impl FnOnce(&[u8]) -> T) -> T {
        match &self.unscaled {
            Unscaled::Small(small) => {
                // A leading byte says nothing that the sign bit behind it does not.
                let spare = if *small < 0 { small.leading_ones() } else { small.leading_zeros() } - 1;
                let bytes = small.to_be_bytes();
                take(bytes.get(spare as usize / 8..).unwrap_or(&bytes))
            }
            Unscaled::Big(big) => take(&big.to_signed_bytes_be()),
        }
    }

    pub fn scale(&self) -> u32 {
        self.scale
    }

    /// Reads `-12.340`; no exponent.
    pub fn parse(text: &str) -> Option<Self> {
        let (sign, digits) = match text.strip_prefix('-') {
            Some(rest) => ("-", rest),
            None => ("", text),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all = format!("{sign}{whole}{fraction}");
        let only_digits = whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit());
        if !only_digits || (whole.is_empty() && fraction.is_empty()) || all.len() > 150_000 {
            return None;
        }
        let scale = u32::try_from(fraction.len()).ok().filter(|s| *s <= MAX_SCALE)?;
        let unscaled = match all.parse::<i128>() {
            Ok(small) => Unscaled::Small(small),
            Err(_) => Unscaled::of(all.parse::<BigInt>().ok()?),
        };
        Some(Decimal { unscaled, scale })
    }

    /// The exact sum, with the larger of both scales.
    #[must_use]
    pub fn plus(&self, other: &Decimal) -> Decimal {
        if let (Unscaled::Small(a), Unscaled::Small(b)) = (&self.unscaled, &other.unscaled)
            && self.scale == other.scale
            && let Some(sum) = a.checked_add(*b)
        {
            return Decimal { unscaled: Unscaled::Small(sum), scale: self.scale };
        }
        let scale = self.scale.max(other.scale);
        let a = self.unscaled.times_ten_to(scale - self.scale);
        let b = other.unscaled.times_ten_to(scale - other.scale);
        Decimal { unscaled: a.plus(&b), scale }
    }

    #[must_use]
    pub fn negated(&self) -> Decimal {
        let unscaled = match &self.unscaled {
            Unscaled::Small(n) if *n != i128::MIN => Unscaled::Small(-n),
            other => Unscaled::of(-other.big()),
        };
        Decimal { unscaled, scale: self.scale }
    }

    /// The exact product.
    #[must_use]
    pub fn times(&self, other: &Decimal) -> Decimal {
        let scale = self.scale + other.scale;
        if let (Unscaled::Small(a), Unscaled::Small(b)) = (&self.unscaled, &other.unscaled)
            && let Some(product) = a.checked_mul(*b)
        {
            return Decimal { unscaled: Unscaled::Small(product), scale };
        }
        Decimal { unscaled: Unscaled::of(self.unscaled.big() * other.unscaled.big()), scale }
    }

    /// The square root with as many digits after the point as the number has, rounded half away from
    /// zero, as PostgreSQL's `stddev` of a variance; zero for what is negative.
    #[must_use]
    pub fn root(&self) -> Decimal {
        let big = self.unscaled.big();
        if big.sign() != Sign::Plus {
            return Decimal::new(0, self.scale);
        }
        // One digit more, to round by it.
        let scaled = big * BigInt::from(10).pow(self.scale + 2);
        let longer = Unscaled::of(scaled.sqrt());
        Decimal { unscaled: longer.over(&Unscaled::Small(10)), scale: self.scale }
    }

    /// Without zeros at the end: equal numbers get the same form.
    #[must_use]
    pub fn trimmed(&self) -> Decimal {
        let (ten, mut short) = (Unscaled::Small(10), self.clone());
        while short.scale > 0 {
            let next = short.unscaled.over(&ten);
            if next.times_ten_to(1) != short.unscaled {
                break;
            }
            short = Decimal { unscaled: next, scale: short.scale - 1 };
        }
        short
    }

    /// `self / count` as PostgreSQL's `numeric` divides: `select_div_scale` decides how many digits
    /// the quotient keeps, and the last one is rounded half away from zero.
    #[must_use]
    pub fn divided_by(&self, count: u64) -> Decimal {
        let divisor = Decimal::new(i128::from(count.max(1)), 0);
        let (weight, first) = self.leading();
        let (divisor_weight, divisor_first) = divisor.leading();
        let mut quotient_weight = weight - divisor_weight;
        if first <= divisor_first {
            quotient_weight -= 1;
        }
        let scale = (MIN_SIGNIFICANT_DIGITS - quotient_weight * DIGITS_PER_WEIGHT)
            .max(i64::from(self.scale))
            .clamp(0, MAX_DISPLAY_SCALE);
        let scale = u32::try_from(scale).unwrap_or(0);
        let unscaled = if scale >= self.scale {
            self.unscaled.times_ten_to(scale - self.scale).over(&divisor.unscaled)
        } else {
            self.unscaled.over(&divisor.unscaled.times_ten_to(self.scale - scale))
        };
        Decimal { unscaled, scale }
    }

    /// Weight and value of the first base-10000 digit; zeros for zero.
    fn leading(&self) -> (i64, u32) {
        if self.is_zero() {
            return (0, 0);
        }
        if let Unscaled::Small(small) = self.unscaled {
            let magnitude = small.unsigned_abs();
            let after_first = magnitude.ilog10();
            let exponent = i64::from(after_first) - i64::from(self.scale);
            let wanted = exponent.rem_euclid(DIGITS_PER_WEIGHT) as u32;
            let power = |n: u32| power_of_ten(n).map_or(1, i128::unsigned_abs);
            let first = match after_first.checked_sub(wanted) {
                Some(behind) => magnitude / power(behind),
                None => magnitude * power(wanted - after_first),
            };
            return (exponent.div_euclid(DIGITS_PER_WEIGHT), first as u32);
        }
        let digits = self.unscaled.digits();
        let exponent = digits.len() as i64 - i64::from(self.scale) - 1;
        let weight = exponent.div_euclid(DIGITS_PER_WEIGHT);
        let wanted = usize::try_from(exponent.rem_euclid(DIGITS_PER_WEIGHT) + 1).unwrap_or(1);
        let first = digits
            .bytes()
            .chain(std::iter::repeat(b'0'))
            .take(wanted)
            .fold(0, |n, b| n * 10 + u32::from(b - b'0'));
        (weight, first)
    }

    /// The nearest double, as PostgreSQL's cast through the decimal text gives it.
    pub fn to_f64(&self) -> f64 {
        if let Unscaled::Small(small) = self.unscaled
            && small.unsigned_abs() <= EXACT_INTEGER
            && self.scale <= EXACT_POWER
        {
            // Both operands are exact, so the one division rounds correctly.
            return small as f64 / 10f64.powi(self.scale as i32);
        }
        if let (Unscaled::Small(small), 0..=ROUNDED_POWER) = (&self.unscaled, self.scale)
            && let Some(power) = power_of_ten(self.scale)
        {
            let shift = small.unsigned_abs().leading_zeros() % i128::BITS;
            // The quotient's bits are more than a double has, and the last one says whether more follow,
            // so the conversion rounds as the exact number would; dividing by a power of two is exact.
            let (shifted, power) = (small.unsigned_abs() << shift, power.unsigned_abs());
            let quotient = shifted / power;
            let sticky = quotient | u128::from(quotient * power != shifted);
            let magnitude = sticky as f64 / 2f64.powi(shift as i32);
            return if *small < 0 { -magnitude } else { magnitude };
        }
        self.to_string().parse().unwrap_or(f64::NAN)
    }

    /// The whole number, if it is one and fits.
    pub fn to_i64(&self) -> Option<i64> {
        if let (Unscaled::Small(small), Some(power)) = (&self.unscaled, power_of_ten(self.scale)) {
            let whole = if self.scale == 0 { *small } else { small / power };
            return i64::try_from(whole).ok().filter(|_| whole * power == *small);
        }
        let power = Unscaled::Small(1).times_ten_to(self.scale);
        let whole = Decimal { unscaled: self.unscaled.over(&power), scale: 0 };
        match (&whole.unscaled, whole.cmp(self)) {
            (Unscaled::Small(small), Ordering::Equal) => i64::try_from(*small).ok(),
            _ => None,
        }
    }

    pub fn is_zero(&self) -> bool {
        self.unscaled.sign() == Ordering::Equal
    }
}

impl PartialEq for Decimal {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Decimal {}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Decimal {
    /// By value: 1.0 equals 1.00.
    fn cmp(&self, other: &Self) -> Ordering {
        if let (Unscaled::Small(a), Unscaled::Small(b)) = (&self.unscaled, &other.unscaled)
            && self.scale == other.scale
        {
            return a.cmp(b);
        }
        let signs = self.unscaled.sign().cmp(&other.unscaled.sign());
        if signs != Ordering::Equal {
            return signs;
        }
        let scale = self.scale.max(other.scale);
        let a = self.unscaled.times_ten_to(scale - self.scale);
        let b = other.unscaled.times_ten_to(scale - other.scale);
        match (&a, &b) {
            (Unscaled::Small(a), Unscaled::Small(b)) => a.cmp(b),
            _ => a.big().cmp(&b.big()),
        }
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.unscaled.sign() == Ordering::Less {
            f.write_str("-")?;
        }
        let digits = self.unscaled.digits();
        let scale = self.scale as usize;
        if scale == 0 {
            return f.write_str(&digits);
        }
        let padded = format!("{digits:0>width$}", width = scale + 1);
        let (whole, fraction) = padded.split_at_checked(padded.len() - scale).unwrap_or((&padded, ""));
        write!(f, "{whole}.{fraction}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::parse(text).expect("a decimal")
    }

    #[test]
    fn bytes_and_text() {
        for (bytes, scale, want) in [
            (&[0x7b][..], 2, "1.23"),
            (&[0x00, 0xb2, 0x6e], 4, "4.5678"),
            (&[0xff], 0, "-1"),
            (&[], 0, "0"),
            (&[0x7b], -2, "12300"),
            (&[0xff, 0x85], 5, "-0.00123"),
        ] {
            let got = Decimal::from_bytes(bytes, scale).expect("in range");
            assert_eq!(got.to_string(), want);
        }
        assert!(Decimal::from_bytes(&[1], 1 << 20).is_none());
        let long = "123456789012345678901234567890123456789012345.678";
        let read = decimal(long);
        assert_eq!(read.to_string(), long);
        let again = Decimal::from_bytes(&read.unscaled_bytes(), 3).expect("in range");
        assert_eq!(again, read);
    }

    /// Expected texts printed by PostgreSQL 15: `select a::numeric / b`.
    #[test]
    fn divides_as_postgres() {
        for (sum, count, want) in [
            ("10", 3, "3.3333333333333333"),
            ("1", 3, "0.33333333333333333333"),
            ("2", 3, "0.66666666666666666667"),
            ("-2", 3, "-0.66666666666666666667"),
            ("100.00", 4, "25.0000000000000000"),
            ("12345.67", 7, "1763.6671428571428571"),
            ("99999999.99", 7, "14285714.284285714286"),
            ("0.00", 5, "0.00000000000000000000"),
            ("0.0001", 3, "0.000033333333333333333333"),
            ("0.00123", 9, "0.00013666666666666667"),
            ("9999.0", 9999, "1.00000000000000000000"),
            ("10000.0", 9999, "1.0001000100010001"),
            ("0.00000000000000000001", 7, "0.0000000000000000000014285714285714285714"),
            ("123456789012345678901234567890", 7, "17636684144620811271604938270"),
        ] {
            assert_eq!(decimal(sum).divided_by(count).to_string(), want, "{sum} / {count}");
        }
    }

    #[test]
    fn doubles_are_the_nearest() {
        for text in ["0.1", "12345.67", "3.3333333333333333", "123456789012345678.9", "-0.000001"] {
            assert_eq!(decimal(text).to_f64(), text.parse::<f64>().expect("a number"), "{text}");
        }
    }

    /// The short ways against text and big integers.
    #[test]
    fn short_ways_give_what_the_long_ones_give() {
        let mut random = fastrand::Rng::with_seed(11);
        for _ in 0..50_000 {
            let unscaled = random.i128(..) >> random.u32(0..127);
            let n = Decimal::new(unscaled, random.u32(0..30));
            let text = n.to_string();
            let parsed = text.parse::<f64>().expect("a number");
            assert_eq!(n.to_f64().to_bits(), (parsed + 0.0).to_bits(), "{text}");
            let big = Decimal { unscaled: Unscaled::Big(Box::new(BigInt::from(unscaled))), scale: n.scale };
            assert_eq!(n.unscaled_bytes(), BigInt::from(unscaled).to_signed_bytes_be(), "{text}");
            assert_eq!(n.leading(), big.leading(), "{text}");
            assert_eq!(n.to_i64(), big.to_i64(), "{text}");
        }
        // Halfway between two doubles, and a little beside it.
        for text in ["9007199254740993.0", "9007199254740993.1", "9007199254740992.9", "-9007199254740995.0"]
        {
            assert_eq!(decimal(text).to_f64(), text.parse::<f64>().expect("a number"), "{text}");
        }
        for n in [i128::MIN, i128::MAX, -1, -128, -129, 127, 128, 255] {
            let n = Decimal::new(n, 0);
            assert_eq!(n.unscaled_bytes(), n.unscaled.big().to_signed_bytes_be());
            assert_eq!(n.to_f64(), n.to_string().parse::<f64>().expect("a number"));
        }
    }

    #[test]
    fn compares_and_adds_by_value() {
        assert_eq!(decimal("1.0"), decimal("1.00"));
        assert!(decimal("-1.5") < decimal("-1.49"));
        assert_eq!(decimal("0.1").plus(&decimal("0.22")).to_string(), "0.32");
        assert_eq!(decimal("12.00").to_i64(), Some(12));
        assert_eq!(decimal("12.01").to_i64(), None);
        let most = Decimal::new(i128::MAX, 0);
        assert_eq!(most.plus(&most).to_string(), "340282366920938463463374607431768211454");
    }
}
