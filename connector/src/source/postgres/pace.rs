//! When to nap before reading, so that reads are large while rows flood in and prompt otherwise.
//!
//! The server sends row by row. A reader that wakes for each piece makes many small reads, and
//! each wake-up costs the server's sender too. While bytes come at a flood's rate, a nap lets them
//! gather: the reader's CPU falls several times over and the sender's by a quarter. At the first
//! slower stretch the naps end, so that an idle stream's row is read at once. Pure: told the time.

use std::time::{Duration, Instant};

/// From this rate on rows are a backlog, not single commits: 8 MB/s, some 30,000 rows/s.
const FLOOD_BYTES_PER_MS: usize = 8_000;
/// The rate is measured over at least this long.
const WINDOW: Duration = Duration::from_millis(2);
/// A read of this size was worth its call: no nap before the next one.
const LARGE_READ: usize = 64 * 1024;

#[derive(Debug)]
pub struct Pace {
    nap: Duration,
    window_start: Instant,
    window_bytes: usize,
    last_read: Instant,
    last_bytes: usize,
    flooding: bool,
}

impl Pace {
    /// `nap` is how long bytes gather at most between two reads.
    pub fn new(nap: Duration, now: Instant) -> Self {
        Pace { nap, window_start: now, window_bytes: 0, last_read: now, last_bytes: 0, flooding: false }
    }

    #[cfg(test)]
    fn flooding(&self) -> bool {
        self.flooding
    }

    /// How long to sleep before the next read; the time spent on the last rows counts.
    pub fn nap(&self, now: Instant) -> Duration {
        if !self.flooding || self.last_bytes >= LARGE_READ {
            return Duration::ZERO;
        }
        self.nap.saturating_sub(now.saturating_duration_since(self.last_read))
    }

    pub fn read(&mut self, bytes: usize, now: Instant) {
        self.last_read = now;
        self.last_bytes = bytes;
        self.window_bytes = self.window_bytes.saturating_add(bytes);
        let elapsed = now.saturating_duration_since(self.window_start);
        if elapsed >= WINDOW {
            let needed = usize::try_from(elapsed.as_micros()).unwrap_or(usize::MAX) / 1000;
            self.flooding = self.window_bytes / FLOOD_BYTES_PER_MS >= needed.max(1);
            self.window_start = now;
            self.window_bytes = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads of `bytes` every `gap_us`, for ten milliseconds.
    fn after(bytes: usize, gap_us: u64) -> (Pace, Instant) {
        let mut now = Instant::now();
        let mut pace = Pace::new(Duration::from_micros(500), now);
        for _ in 0..10_000 / gap_us {
            now += Duration::from_micros(gap_us);
            pace.read(bytes, now);
        }
        (pace, now)
    }

    #[test]
    fn naps_only_in_a_flood() {
        for (bytes, gap_us, naps) in [(1_000, 50, true), (300, 1_000, false), (300, 100, false)] {
            let (pace, now) = after(bytes, gap_us);
            assert_eq!(!pace.nap(now).is_zero(), naps, "{bytes} bytes every {gap_us} us");
        }
    }

    #[test]
    fn one_slow_read_ends_the_flood() {
        let (mut pace, now) = after(1_000, 50);
        assert!(pace.flooding());
        pace.read(300, now + Duration::from_millis(5));
        assert!(!pace.flooding());
    }

    #[test]
    fn a_large_read_and_spent_time_need_no_nap() {
        let (mut pace, now) = after(1_000, 50);
        assert!(pace.nap(now + Duration::from_micros(600)).is_zero());
        pace.read(LARGE_READ, now + Duration::from_micros(100));
        assert!(pace.nap(now + Duration::from_micros(100)).is_zero());
    }
}
