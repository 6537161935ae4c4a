//! How many changes were in time and how many late, by the time at which that was known. Pure.

use std::collections::VecDeque;
use std::time::Duration;

const STEP_US: i64 = 10_000_000;
const HOUR_US: i64 = 3_600_000_000;
/// An hour of steps, and the one that is being filled.
const STEPS: usize = 361;
/// A year.
const HOURS: usize = 8_785;

/// Counts in steps of ten seconds for an hour, and by the hour for as long as the budget's window.
#[derive(Debug, Default)]
pub struct Account {
    steps: VecDeque<Count>,
    hours: VecDeque<Count>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Count {
    /// Since 1970, in its unit.
    at: i64,
    good: u64,
    late: u64,
}

impl Account {
    pub fn add(&mut self, now_us: i64, late: bool) {
        put(&mut self.steps, now_us.div_euclid(STEP_US), late, STEPS);
        put(&mut self.hours, now_us.div_euclid(HOUR_US), late, HOURS);
    }

    /// In time and late in the last seconds.
    pub fn over(&self, now_us: i64, seconds: i64) -> (u64, u64) {
        let from = now_us.saturating_sub(seconds.saturating_mul(1_000_000)).div_euclid(STEP_US);
        sum(&self.steps, from)
    }

    /// In time and late in the window, as far as this process knows it.
    pub fn over_window(&self, now_us: i64, window: Duration) -> (u64, u64) {
        let window_us = i64::try_from(window.as_micros()).unwrap_or(i64::MAX);
        sum(&self.hours, now_us.saturating_sub(window_us).div_euclid(HOUR_US))
    }
}

fn put(counts: &mut VecDeque<Count>, at: i64, late: bool, most: usize) {
    // A clock that was set back counts into the newest.
    if counts.back().is_none_or(|count| count.at < at) {
        counts.push_back(Count { at, good: 0, late: 0 });
        if counts.len() > most {
            counts.pop_front();
        }
    }
    if let Some(count) = counts.back_mut() {
        count.good += u64::from(!late);
        count.late += u64::from(late);
    }
}

fn sum(counts: &VecDeque<Count>, after: i64) -> (u64, u64) {
    let inside = counts.iter().rev().take_while(|count| count.at > after);
    inside.fold((0, 0), |(good, late), count| (good + count.good, late + count.late))
}

/// How many times faster than allowed the budget was used up; 0 if nothing happened.
pub fn burn((good, late): (u64, u64), objective: f64) -> f64 {
    match good + late {
        0 => 0.0,
        all => late as f64 / all as f64 / (1.0 - objective),
    }
}
