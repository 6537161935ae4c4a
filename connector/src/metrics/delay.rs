//! How the delay of streamed changes was distributed since the start: what Debezium tells of
//! `MilliSecondsBehindSource` beside its last value.
//!
//! Counts per class of delays; a class is 2 % wide, so that a quantile is known to 1 %, as Debezium's is. The
//! classes up to ten years are made once, 11 KiB, whatever is counted.

use std::sync::{LazyLock, Mutex, PoisonError};

/// Where one class ends and the next begins, as a ratio: (1 + 1 %) / (1 - 1 %).
const RATIO: f64 = 1.01 / 0.99;
/// The first class holds what is below a millisecond, the last one what is above ten years.
const CLASSES: usize = 1_340;

static DELAYS: LazyLock<Mutex<Delays>> = LazyLock::new(Mutex::default);

/// Of a span of time, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Statistics {
    pub minimum: f64,
    pub maximum: f64,
    pub average: f64,
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
}

/// Counts `changes` that were delayed by so many milliseconds each. Told per transaction and read, not per row.
pub fn note(changes: &[(i64, u64)]) {
    // A poisoned lock only means that a panic happened elsewhere; counts are whole.
    let mut delays = DELAYS.lock().unwrap_or_else(PoisonError::into_inner);
    changes.iter().for_each(|(ms, count)| delays.add(*ms, *count));
}

/// `None` before the first.
pub fn statistics() -> Option<Statistics> {
    DELAYS.lock().unwrap_or_else(PoisonError::into_inner).statistics()
}

struct Delays {
    classes: Vec<u64>,
    count: u64,
    sum: u128,
    minimum: u64,
    maximum: u64,
}

impl Default for Delays {
    fn default() -> Self {
        Delays { classes: vec![0; CLASSES], count: 0, sum: 0, minimum: u64::MAX, maximum: 0 }
    }
}

impl Delays {
    /// A change from the future (the servers' clocks differ) was not delayed.
    fn add(&mut self, ms: i64, count: u64) {
        let ms = u64::try_from(ms).unwrap_or_default();
        if let Some(class) = self.classes.get_mut(class_of(ms)) {
            *class += count;
        }
        self.count += count;
        self.sum += u128::from(ms) * u128::from(count);
        self.minimum = self.minimum.min(ms);
        self.maximum = self.maximum.max(ms);
    }

    fn statistics(&self) -> Option<Statistics> {
        (self.count > 0).then(|| Statistics {
            minimum: self.minimum as f64,
            maximum: self.maximum as f64,
            average: (self.sum as f64 / self.count as f64).floor(),
            p50: self.quantile(0.50),
            p95: self.quantile(0.95),
            p99: self.quantile(0.99),
        })
    }

    fn quantile(&self, of: f64) -> f64 {
        let rank = (of * (self.count - 1) as f64) as u64;
        let mut below = 0;
        let class = self.classes.iter().position(|count| {
            below += count;
            below > rank
        });
        class.map_or(0.0, middle).clamp(self.minimum as f64, self.maximum as f64)
    }
}

/// Class `n` holds what is above `RATIO^(n - 2)` and not above `RATIO^(n - 1)`; the first one holds zero.
fn class_of(ms: u64) -> usize {
    match ms {
        0 => 0,
        ms => (((ms as f64).ln() / RATIO.ln()).ceil() as usize + 1).min(CLASSES - 1),
    }
}

/// At most 1 % from everything in the class.
fn middle(class: usize) -> f64 {
    let Some(power) = class.checked_sub(1).and_then(|power| i32::try_from(power).ok()) else { return 0.0 };
    2.0 * RATIO.powi(power) / (RATIO + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_known_to_a_hundredth() {
        fastrand::seed(3);
        for spread in [1, 50, 10_000, 300_000_000_000] {
            let mut values: Vec<i64> = (0..2_000).map(|_| fastrand::i64(0..spread)).collect();
            let mut delays = Delays::default();
            values.iter().for_each(|ms| delays.add(*ms, 1));
            values.sort_unstable();
            let got = delays.statistics().expect("there are some");
            let at = |of: f64| values[(of * (values.len() - 1) as f64) as usize] as f64;
            for (of, got) in [(0.5, got.p50), (0.95, got.p95), (0.99, got.p99)] {
                assert!(
                    (got - at(of)).abs() <= at(of) * 0.010_001,
                    "{of} of {spread}: {got}, not {}",
                    at(of)
                );
            }
            assert_eq!((got.minimum, got.maximum), (at(0.0), at(1.0)));
            let average = values.iter().sum::<i64>() as f64 / values.len() as f64;
            assert_eq!(got.average, average.floor());
        }
    }

    #[test]
    fn nothing_is_known_of_nothing_and_all_of_one() {
        let mut delays = Delays::default();
        assert_eq!(delays.statistics(), None);
        delays.add(7, 3);
        let seven = 7.0;
        let all =
            Statistics { minimum: seven, maximum: seven, average: seven, p50: seven, p95: seven, p99: seven };
        assert_eq!(delays.statistics(), Some(all));
        for strange in [-5, i64::MAX] {
            delays.add(strange, 1);
        }
        let got = delays.statistics().expect("there are some");
        assert_eq!((got.minimum, got.maximum), (0.0, i64::MAX as f64));
        assert!((got.p50 - seven).abs() <= 0.07);
        assert_eq!(delays.classes.len(), CLASSES);
    }
}
