//! The only place that reads the clock, so that tests can hold it still.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What [`Clock::monotonic`] counts from.
static ORIGIN: LazyLock<std::time::Instant> = LazyLock::new(std::time::Instant::now);

/// Wall-clock time as nanoseconds since 1970 (good until 2262).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(i64);

impl Instant {
    pub const fn from_nanos(nanos: i64) -> Self {
        Instant(nanos)
    }
    pub const fn from_micros(micros: i64) -> Self {
        Instant(micros.saturating_mul(1_000))
    }
    pub const fn nanos(self) -> i64 {
        self.0
    }
    pub const fn micros(self) -> i64 {
        self.0.div_euclid(1_000)
    }
    pub const fn millis(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }
}

/// Tells the time: the system's, or one that a test moves by hand.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    #[default]
    System,
    Manual(Arc<Manual>),
}

/// A clock moved by hand: the time on the wall, and the time that really passes.
#[derive(Debug)]
pub struct Manual {
    wall: AtomicI64,
    steady: AtomicI64,
}

impl Clock {
    /// A clock that stands still at `nanos` until it is set.
    pub fn manual(nanos: i64) -> Self {
        Clock::Manual(Arc::new(Manual { wall: AtomicI64::new(nanos), steady: AtomicI64::new(nanos) }))
    }

    pub fn now(&self) -> Instant {
        match self {
            Clock::System => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Instant(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
            }
            Clock::Manual(manual) => Instant(manual.wall.load(Ordering::Acquire)),
        }
    }

    /// Time since a moment that stays the same while the program runs: for intervals and limits, as
    /// nobody can set it back.
    pub fn monotonic(&self) -> Duration {
        match self {
            Clock::System => ORIGIN.elapsed(),
            Clock::Manual(manual) => {
                let nanos = manual.steady.load(Ordering::Acquire);
                Duration::from_nanos(u64::try_from(nanos).unwrap_or_default())
            }
        }
    }

    /// Waits; a manual clock moves on by as much instead.
    pub fn sleep(&self, duration: Duration) {
        match self {
            Clock::System => std::thread::sleep(duration),
            Clock::Manual(manual) => {
                let nanoseconds = i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
                manual.wall.fetch_add(nanoseconds, Ordering::AcqRel);
                manual.steady.fetch_add(nanoseconds, Ordering::AcqRel);
            }
        }
    }

    /// Moves a manual clock as time does; the system's clock is not moved.
    pub fn set(&self, now: Instant) {
        if let Clock::Manual(manual) = self {
            manual.wall.store(now.nanos(), Ordering::Release);
            manual.steady.store(now.nanos(), Ordering::Release);
        }
    }

    /// Sets a manual clock's wall time alone, as a person or a time server does: no time passes.
    pub fn set_wall(&self, now: Instant) {
        if let Clock::Manual(manual) = self {
            manual.wall.store(now.nanos(), Ordering::Release);
        }
    }
}

/// Reads `250ms`, `30s`, `10m`, `2h`, `7d`.
pub fn parse_duration(text: &str) -> Option<std::time::Duration> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(split);
    let number: u64 = number.parse().ok()?;
    let millis = match unit.trim() {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(millis).map(std::time::Duration::from_millis)
}

/// A duration in a configuration file, written as [`parse_duration`] reads it.
pub mod duration {
    use serde::{Deserialize, Deserializer, de::Error};
    use std::time::Duration;

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(d)?;
        super::parse_duration(&text).ok_or_else(|| {
            D::Error::custom(format!("{text:?} is no duration: write 250ms, 30s, 10m, 2h or 7d"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_by_what_is_waited() {
        let clock = Clock::manual(5);
        clock.sleep(Duration::from_nanos(7));
        assert_eq!((clock.now().nanos(), clock.monotonic()), (12, Duration::from_nanos(12)));
        clock.set_wall(Instant::from_nanos(1));
        assert_eq!((clock.now().nanos(), clock.monotonic()), (1, Duration::from_nanos(12)), "no time passed");
        let before = Clock::System.monotonic();
        Clock::System.sleep(Duration::from_millis(1));
        assert!(Clock::System.monotonic() - before >= Duration::from_millis(1));
    }

    #[test]
    fn durations() {
        for (text, want) in [
            ("250ms", Some(250)),
            ("30s", Some(30_000)),
            ("10m", Some(600_000)),
            ("7d", Some(604_800_000)),
            ("10", None),
            ("m", None),
            ("1y", None),
        ] {
            assert_eq!(parse_duration(text), want.map(Duration::from_millis), "{text}");
        }
    }
}
