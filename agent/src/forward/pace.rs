//! How much may be on its way at once. Pure.
//!
//! On a fast link as much as the configuration allows. On a slow one less: what is on its way cannot be
//! overtaken by what is more important, and a transaction must be through before the brokers end it.
//!
//! Of a partition librdkafka has one request under way at a time, and its thread turns without rest while a
//! record behind that waits longer than it should for others. Unless that is over soon, what belongs to one
//! partition goes to it in one piece, and the next when that has arrived.

use std::time::Duration;

/// Acknowledged sooner than this, there may be more on its way …
const QUICK: Duration = Duration::from_millis(500);
/// … and later than this, there should be less.
const SLOW: Duration = Duration::from_secs(3);
/// A piece that takes longer once those before it have arrived makes the next ones go one by one …
const BRISK: Duration = Duration::from_millis(30);
const LEAST_BYTES: usize = 32 * 1024;
const FIRST_BYTES: usize = 512 * 1024;

#[derive(Clone, Copy, Debug)]
pub struct Pace {
    window: usize,
    most: usize,
    /// Somebody else sees to it that little is on its way.
    limited: bool,
    brisk: bool,
}

impl Pace {
    /// `limited`: what goes out is measured already.
    pub fn new(most: usize, limited: bool) -> Pace {
        Pace { window: FIRST_BYTES.min(most), most, limited, brisk: true }
    }

    /// Bytes that may be on their way.
    pub fn window(&self) -> usize {
        self.window
    }

    /// Whether a partition's next piece waits until the one before has arrived.
    pub fn one_by_one(&self) -> bool {
        !self.brisk
    }

    /// Bytes that are handed over in one go; `request`: what one request holds. Half of that, as what would be
    /// left over would wait behind it.
    pub fn piece(&self, request: usize) -> usize {
        match self.brisk {
            true => (self.window / 4).clamp(LEAST_BYTES / 4, 256 * 1024),
            false => self.window.min(request / 2),
        }
    }

    /// A piece was acknowledged after so long.
    pub fn acknowledged(&mut self, after: Duration) {
        if after > SLOW {
            self.window = (self.window / 2).max(LEAST_BYTES);
        } else if after < QUICK {
            self.window = (self.window + self.window / 4).min(self.most);
        }
    }

    /// Of its partition it was the first that had not arrived for so long; `alone`: none other was under way.
    pub fn served(&mut self, within: Duration, alone: bool) {
        self.brisk = match self.brisk {
            true => within <= BRISK || self.limited,
            // … until one that went alone was quick.
            false => alone && within < BRISK / 2,
        };
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
        let mut pace = Pace::new(8 << 20, false);
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
    fn a_slow_request_makes_pieces_go_one_by_one_until_a_lone_one_is_quick() {
        let mut pace = Pace::new(8 << 20, false);
        let mut after = |ms, alone| {
            pace.served(Duration::from_millis(ms), alone);
            (pace.one_by_one(), pace.piece(1_000_000))
        };
        assert_eq!(after(30, false), (false, 128 * 1024));
        assert_eq!(after(31, false), (true, 500_000), "half a request");
        assert_eq!(after(0, false), (true, 500_000), "it came with the one before");
        assert_eq!(after(20, true), (true, 500_000));
        assert_eq!(after(10, true), (false, 128 * 1024));
    }

    #[test]
    fn failing_shrinks_to_a_bound() {
        let mut pace = Pace::new(8 << 20, false);
        (0..10).for_each(|_| pace.failed());
        assert_eq!(pace.window(), LEAST_BYTES);
    }
}
