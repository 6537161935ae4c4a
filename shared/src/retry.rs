//! Back-off with jitter and a ceiling; pure, the caller sleeps.

use std::time::Duration;

/// Delays that double from `first` to `ceiling`, each shortened at random by up to a half,
/// so that many clients of one server do not come back together.
#[derive(Clone, Debug)]
pub struct Backoff {
    next: Duration,
    first: Duration,
    ceiling: Duration,
    seed: u64,
}

impl Backoff {
    pub fn new(first: Duration, ceiling: Duration) -> Self {
        Backoff::seeded(first, ceiling, std::process::id().into())
    }

    /// The same seed gives the same delays.
    pub fn seeded(first: Duration, ceiling: Duration, seed: u64) -> Self {
        Backoff { next: first, first, ceiling, seed: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1 }
    }

    /// How long to wait before the next try.
    pub fn delay(&mut self) -> Duration {
        let full = self.next;
        self.next = (full * 2).min(self.ceiling);
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        let share = (self.seed % 512) as u32;
        full - full * share / 1024
    }

    /// After a success the next failure waits the shortest delay again.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_to_the_ceiling_with_at_most_half_taken_off() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        for full in [100, 200, 400, 800, 1000, 1000] {
            let delay = backoff.delay().as_millis();
            assert!((full / 2..=full).contains(&delay), "{delay} of {full}");
        }
        backoff.reset();
        assert!(backoff.delay() <= Duration::from_millis(100));
    }
}
