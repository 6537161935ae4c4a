//! How much may be on its way at once. Pure.
//!
//! On a fast link as much as the configuration allows. On a slow one less: what is on its way cannot be
//! overtaken by what is more important, and a transaction must be through before the brokers end it.

use std::time::Duration;

/// Acknowledged sooner than this, there may be more on its way …
const QUICK: Duration = Duration::from_millis(500);
/// … and later than this, there should be less.
const SLOW: Duration = Duration::from_secs(3);
const LEAST_BYTES: usize = 32 * 1024;
const FIRST_BYTES: usize = 512 * 1024;

#[derive(Clone, Copy, Debug)]
pub struct Pace {
    window: usize,
    most: usize,
}

impl Pace {
    pub fn new(most: usize) -> Pace {
        Pace { window: FIRST_BYTES.min(most), most }
    }

    /// Bytes that may be on their way.
    pub fn window(&self) -> usize {
        self.window
    }

    /// Bytes that are handed over in one go.
    pub fn piece(&self) -> usize {
        (self.window / 4).clamp(LEAST_BYTES / 4, 256 * 1024)
    }

    /// A piece was acknowledged after so long.
    pub fn acknowledged(&mut self, after: Duration) {
        if after > SLOW {
            self.window = (self.window / 2).max(LEAST_BYTES);
        } else if after < QUICK {
            self.window = (self.window + self.window / 4).min(self.most);
        }
    }

    /// It did not come through at all.
    pub fn failed(&mut self) {
        self.window = (self.window / 8).max(LEAST_BYTES.min(self.most));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A link of a fixed rate: what is on its way takes its turn.
    fn settles_at(bytes_per_second: f64) -> f64 {
        let mut pace = Pace::new(8 << 20);
        for _ in 0..200 {
            pace.acknowledged(Duration::from_secs_f64(pace.window() as f64 / bytes_per_second));
        }
        pace.window() as f64 / bytes_per_second
    }

    #[test]
    fn a_slow_link_has_seconds_on_its_way_and_a_fast_one_all_that_is_allowed() {
        for rate in [16e3, 250e3, 1e6] {
            let seconds = settles_at(rate);
            assert!((0.4..=3.0).contains(&seconds), "{rate}: {seconds} s");
        }
        assert!((settles_at(100e6) * 100e6 - f64::from(8 << 20)).abs() < 1.0);
    }

    #[test]
    fn failing_shrinks_to_a_bound() {
        let mut pace = Pace::new(8 << 20);
        (0..10).for_each(|_| pace.failed());
        assert_eq!(pace.window(), LEAST_BYTES);
    }
}
