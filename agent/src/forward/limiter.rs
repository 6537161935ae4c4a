//! At most so many bytes a second on the link. Pure: time is given.
//!
//! What is handed to the client library is counted before it is compressed, and the link is what is
//! limited: the library says from time to time how much it really sent, and the ratio of the two is
//! learned from that. Sending may go into debt by one piece, and then waits until it is paid.

use std::time::Duration;

/// What may be saved up while nothing is sent.
const BURST: Duration = Duration::from_millis(250);
/// A ratio outside of this is a measurement's mistake.
const RATIOS: std::ops::RangeInclusive<f64> = 0.01..=4.0;
/// How much a new measurement counts.
const WEIGHT: f64 = 0.5;

#[derive(Debug)]
pub struct Limiter {
    bytes_per_second: f64,
    /// Bytes that may be sent now; negative: debt.
    balance: f64,
    at: Duration,
    /// Bytes on the link per byte handed over.
    ratio: f64,
    handed: f64,
    sent: Option<f64>,
}

impl Limiter {
    pub fn new(bytes_per_second: u64, now: Duration) -> Limiter {
        let bytes_per_second = bytes_per_second.max(1) as f64;
        Limiter { bytes_per_second, balance: 0.0, at: now, ratio: 1.0, handed: 0.0, sent: None }
    }

    /// How long to wait before the next piece.
    pub fn wait(&mut self, now: Duration) -> Duration {
        let passed = now.saturating_sub(self.at).as_secs_f64();
        self.at = self.at.max(now);
        let most = self.bytes_per_second * BURST.as_secs_f64();
        self.balance = (self.balance + passed * self.bytes_per_second).min(most);
        match self.balance < 0.0 {
            true => Duration::from_secs_f64((-self.balance / self.bytes_per_second).min(3_600.0)),
            false => Duration::ZERO,
        }
    }

    /// So many bytes were handed over.
    pub fn take(&mut self, bytes: usize) {
        self.handed += bytes as f64;
        self.balance -= bytes as f64 * self.ratio;
    }

    /// The library says how many bytes it has sent since it was made. What is on its way is counted
    /// with the next measurement, so that short ones are of no use.
    pub fn measured(&mut self, sent_total: u64) {
        let total = sent_total as f64;
        let Some(before) = self.sent.filter(|before| *before <= total) else {
            (self.sent, self.handed) = (Some(total), 0.0);
            return;
        };
        if self.handed >= self.bytes_per_second / 2.0 {
            let ratio = (total - before) / self.handed;
            if RATIOS.contains(&ratio) {
                self.ratio += (ratio - self.ratio) * WEIGHT;
            }
            (self.sent, self.handed) = (Some(total), 0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::time::Clock;

    /// Sends pieces for ten minutes; gives bytes a second on the link.
    fn rate(limit: u64, piece: usize, packs: f64) -> f64 {
        let clock = Clock::manual(0);
        let mut limiter = Limiter::new(limit, clock.monotonic());
        let (mut sent, mut told) = (0.0, Duration::ZERO);
        while clock.monotonic() < Duration::from_secs(600) {
            let wait = limiter.wait(clock.monotonic());
            if wait.is_zero() {
                limiter.take(piece);
                sent += piece as f64 * packs;
            } else {
                clock.sleep(wait + Duration::from_nanos(1));
            }
            if clock.monotonic() - told >= Duration::from_secs(1) {
                told = clock.monotonic();
                limiter.measured(sent as u64);
            }
        }
        sent / clock.monotonic().as_secs_f64()
    }

    #[test]
    fn the_link_gets_what_was_said_whatever_compression_does() {
        for (limit, piece, packs) in
            [(250_000, 1_000, 1.0), (250_000, 1_000_000, 1.0), (250_000, 30_000, 0.1), (8_000, 30_000, 1.1)]
        {
            let got = rate(limit, piece, packs) / limit as f64;
            assert!((0.93..1.07).contains(&got), "{limit} B/s in pieces of {piece}, {packs}: {got}");
        }
    }

    #[test]
    fn idling_saves_a_quarter_of_a_second_at_most() {
        let mut limiter = Limiter::new(1_000, Duration::ZERO);
        assert_eq!(limiter.wait(Duration::from_secs(3_600)), Duration::ZERO);
        limiter.take(1_250);
        assert_eq!(limiter.wait(Duration::from_secs(3_600)), Duration::from_secs(1));
    }

    /// A new client counts from zero.
    #[test]
    fn a_total_that_falls_is_a_beginning() {
        let mut limiter = Limiter::new(1_000, Duration::ZERO);
        limiter.measured(5_000_000);
        limiter.take(10_000);
        limiter.measured(10);
        assert!((limiter.ratio - 1.0).abs() < 1e-9);
    }
}
