//! What keeps the file well while the agent runs, at low priority: checksums are gone through, damaged
//! batches moved aside if the operator wants that, free room given back to the disk, time noted.

use crate::buffer::{Log, Scrub};
use crate::db::{Db, Ended};
use rusqlite::Connection;
use shared::error::{Context, Error, Result};
use shared::shutdown::Shutdown;
use shared::time::Clock;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::Instant;

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A whole pass over the checksums begins this often.
const SCRUB_EVERY: Duration = Duration::from_secs(86_400);
/// The log's time goes on by at most this much that a crash could forget.
const NOTE_EVERY: Duration = Duration::from_secs(300);
/// Given back at once: appends wait behind it.
const SHRINK_STEP_BYTES: u64 = 1024 * 1024;
/// Given back in a second.
const SHRINK_SECOND_BYTES: u64 = 32 * 1024 * 1024;
/// More than this arriving in a second means that the free room is about to be used.
const BUSY_BYTES: u64 = 4 * 1024 * 1024;

const MEAN_OVER_S: f64 = 60.0;

/// What the status page says of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// When checksums were last gone through wholly, in milliseconds since 1970.
    pub scrubbed_ms: Option<i64>,
    /// Whether a pass is under way, and how many bytes of it are done.
    pub scrubbing_bytes: Option<u64>,
    /// Whether the last agent ended cleanly.
    pub clean_start: bool,
    /// How fast the log grows, trims counted; about a minute's mean.
    pub growth_bytes_per_s: f64,
}

/// What a source of time corrects by the way is less.
const CLOCK_MOVED_MS: i64 = 60_000;

/// Shared with the admin server.
pub type Watch = crate::model::watch::Watch<State>;

/// The thread's parts.
pub struct Upkeep {
    pub db: Db,
    pub log: Arc<Log>,
    pub reader: Connection,
    pub watch: Watch,
    pub clock: Clock,
    pub shutdown: Shutdown,
}

struct Turn {
    pass: Option<(Scrub, u64)>,
    next_pass: Instant,
    next_note: Instant,
    arrived_bytes: u64,
    used_bytes: u64,
    looked: Instant,
    failed: bool,
    times: Times,
}

/// The wall clock, and one that nobody can set, read together.
#[derive(Clone, Copy)]
struct Times {
    wall_ms: i64,
    passed: Duration,
}

impl Times {
    fn read(clock: &Clock) -> Times {
        Times { wall_ms: clock.now().millis(), passed: clock.monotonic() }
    }

    /// How far the wall clock was moved since, in milliseconds; time switched off counts as moved.
    fn moved_ms(self, before: Times) -> i64 {
        let passed = self.passed.saturating_sub(before.passed);
        let passed_ms = i64::try_from(passed.as_millis()).unwrap_or(i64::MAX);
        self.wall_ms.saturating_sub(before.wall_ms).saturating_sub(passed_ms)
    }
}

impl Upkeep {
    /// Works until the program stops.
    pub fn run(self, runtime: &Handle) {
        self.watch.update(|state| state.clean_start = self.db.ended() == Ended::Cleanly);
        let now = Instant::now();
        let arrived_bytes = self.log.arrived_bytes();
        let mut turn = Turn {
            pass: None,
            next_pass: now,
            next_note: now + NOTE_EVERY,
            arrived_bytes,
            used_bytes: self.log.used_bytes(),
            looked: now,
            failed: false,
            times: Times::read(&self.clock),
        };
        loop {
            let stop = async { tokio::time::timeout(LOOK_EVERY, self.shutdown.wait()).await.is_ok() };
            if runtime.block_on(stop) {
                break;
            }
            self.growth(&mut turn);
            self.watch_clock(&mut turn);
            let done = self.look(&mut turn);
            tell(done, &mut turn.failed);
        }
        if let Err(error) = self.log.note_time() {
            tell(Err(error), &mut turn.failed);
        }
    }

    fn growth(&self, turn: &mut Turn) {
        let used_bytes = self.log.used_bytes();
        let seconds = turn.looked.elapsed().as_secs_f64().max(0.001);
        let now = (used_bytes as f64 - turn.used_bytes as f64) / seconds;
        (turn.used_bytes, turn.looked) = (used_bytes, Instant::now());
        let weight = (seconds / MEAN_OVER_S).min(1.0);
        self.watch.update(|state| state.growth_bytes_per_s += (now - state.growth_bytes_per_s) * weight);
    }

    /// Windows follow the wall clock, as the SQL that they equal does: who sets it moves their rows out, or back.
    fn watch_clock(&self, turn: &mut Turn) {
        let now = Times::read(&self.clock);
        let moved_ms = now.moved_ms(std::mem::replace(&mut turn.times, now));
        if moved_ms.abs() >= CLOCK_MOVED_MS {
            tracing::warn!(
                event = "clock_moved",
                seconds = moved_ms / 1_000,
                remedy = "if nobody meant that, see to the machine's source of time",
                "the machine's clock was moved, or it slept: windows of features follow it, ages in the log do not"
            );
        }
    }

    fn look(&self, turn: &mut Turn) -> Result<()> {
        self.scrub(turn)?;
        self.log.set_damaged_aside()?;
        if Instant::now() >= turn.next_note {
            turn.next_note = Instant::now() + NOTE_EVERY;
            self.log.note_time()?;
        }
        let arrived = self.log.arrived_bytes();
        let busy = arrived.saturating_sub(std::mem::replace(&mut turn.arrived_bytes, arrived)) > BUSY_BYTES;
        // While the disk is short, free room in the file is what processing lives on.
        if busy || self.log.is_full() { Ok(()) } else { self.shrink() }
    }

    fn scrub(&self, turn: &mut Turn) -> Result<()> {
        let per_second = self.db.config().scrub_bytes_per_second;
        if per_second == 0 {
            return Ok(());
        }
        if turn.pass.is_none() && Instant::now() >= turn.next_pass {
            turn.next_pass = Instant::now() + SCRUB_EVERY;
            turn.pass = Some(Default::default());
        }
        let Some((at, bytes)) = &mut turn.pass else { return Ok(()) };
        *bytes += self.log.scrub(&self.reader, at, per_second).doing(|| "go through checksums")?;
        if at.done {
            let (bytes, damaged) = (*bytes, self.log.damaged().len());
            turn.pass = None;
            let now_ms = self.clock.now().millis();
            self.watch.update(|state| (state.scrubbed_ms, state.scrubbing_bytes) = (Some(now_ms), None));
            tracing::debug!(event = "buffer_scrubbed", bytes, damaged, "went through all checksums");
        } else {
            self.watch.update(|state| state.scrubbing_bytes = Some(*bytes));
        }
        Ok(())
    }

    fn shrink(&self) -> Result<()> {
        let space = self.db.space();
        let mut given = 0;
        while given < SHRINK_SECOND_BYTES && !self.shutdown.requested() {
            let surplus = space.free_bytes().saturating_sub(self.db.config().keep_free_bytes);
            if surplus.saturating_sub(given) < SHRINK_STEP_BYTES {
                break;
            }
            self.db.shrink(SHRINK_STEP_BYTES)?;
            given += SHRINK_STEP_BYTES;
        }
        if given > 0 {
            tracing::debug!(event = "db_shrunk", bytes = given, "gave free room back to the disk");
        }
        Ok(())
    }
}

/// Said once per episode.
fn tell(done: Result<()>, failed: &mut bool) {
    match done {
        Err(error) if !std::mem::replace(failed, true) => warn(&error),
        Ok(()) => *failed = false,
        Err(_) => {}
    }
}

fn warn(error: &Error) {
    tracing::warn!(event = "upkeep_waits", %error, remedy = error.hint(), "could not look after the file, tries again");
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::time::Instant as Wall;

    #[test]
    fn a_clock_that_is_moved_is_told_from_time_that_passes() {
        let clock = Clock::manual(1_700_000_000_000_000_000);
        let start = Times::read(&clock);
        clock.sleep(Duration::from_secs(3_600));
        let later = Times::read(&clock);
        assert_eq!(later.moved_ms(start), 0);
        clock.set_wall(Wall::from_nanos(clock.now().nanos() - 7_200_000_000_000));
        clock.sleep(Duration::from_secs(1));
        assert_eq!(Times::read(&clock).moved_ms(later), -7_200_000);
    }
}
