//! When to send: hours of weekdays. Pure over the time it is given.
//!
//! A window belongs to the weekday on which it begins: `fri 22:00-06:00` ends on Saturday morning.

use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use shared::error::{Error, Kind, OrKind, Result};
use shared::time::Instant;

const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];
const DAY_MINUTES: u16 = 24 * 60;
const MINUTE_NANOS: i64 = 60_000_000_000;
/// A week, and the day on which clocks are changed.
const LOOK_AHEAD_MINUTES: i64 = 8 * 24 * 60;

/// Windows in which to send; none: always.
#[derive(Clone, Debug)]
pub struct Schedule {
    windows: Vec<Window>,
    zone: TimeZone,
}

/// Minutes of the day, on the days of the week (Monday first) on which it begins.
#[derive(Clone, Debug)]
struct Window {
    days: [bool; 7],
    from: u16,
    to: u16,
}

impl Schedule {
    /// # Errors
    /// `Config`: a window or time zone that is none.
    pub fn parse(windows: &[String], zone: &str) -> Result<Schedule> {
        let zone = match zone {
            "local" => TimeZone::system(),
            "UTC" | "utc" => TimeZone::UTC,
            name => TimeZone::get(name).or_kind(Kind::Config).map_err(|error| {
                error
                    .doing("read forward.time_zone")
                    .remedy("write \"local\", \"UTC\" or a name such as \"Europe/Berlin\"")
            })?,
        };
        let windows = windows.iter().map(|text| Window::parse(text).ok_or_else(|| wrong(text)));
        Ok(Schedule { windows: windows.collect::<Result<_>>()?, zone })
    }

    pub fn is_open(&self, now: Instant) -> bool {
        if self.windows.is_empty() {
            return true;
        }
        let Ok(now) = jiff::Timestamp::from_nanosecond(now.nanos().into()) else { return true };
        let local = now.to_zoned(self.zone.clone());
        let minute = u16::from(local.hour().unsigned_abs()) * 60 + u16::from(local.minute().unsigned_abs());
        let day = usize::from(local.weekday().to_monday_zero_offset().unsigned_abs());
        self.windows.iter().any(|window| window.holds(day, minute))
    }

    /// The first full minute after `now` at which it is open; `None` if there is none within a week.
    pub fn opens_at(&self, now: Instant) -> Option<Instant> {
        let minute = now.nanos().div_euclid(MINUTE_NANOS);
        let later = (1..=LOOK_AHEAD_MINUTES).map(|n| Instant::from_nanos((minute + n) * MINUTE_NANOS));
        later.into_iter().find(|at| self.is_open(*at))
    }
}

fn wrong(text: &str) -> Error {
    Error::new(Kind::Config, format!("forward.schedule: {text:?} is no window"))
        .remedy("write \"22:00-06:00\", \"mon-fri 22:00-06:00\", \"sat,sun\" or \"mon,wed 12:30-13:00\"")
}

impl Window {
    fn parse(text: &str) -> Option<Window> {
        let mut words = text.split_whitespace();
        let (first, second) = (words.next()?, words.next());
        if words.next().is_some() {
            return None;
        }
        match (parse_days(first), second) {
            (Some(days), None) => Some(Window { days, from: 0, to: DAY_MINUTES }),
            (Some(days), Some(hours)) => parse_hours(hours).map(|(from, to)| Window { days, from, to }),
            (None, None) => parse_hours(first).map(|(from, to)| Window { days: [true; 7], from, to }),
            (None, Some(_)) => None,
        }
    }

    fn holds(&self, day: usize, minute: u16) -> bool {
        let on = |day: usize| self.days.get(day % 7).copied().unwrap_or(false);
        match self.from < self.to {
            true => on(day) && (self.from..self.to).contains(&minute),
            false => (on(day) && minute >= self.from) || (on(day + 6) && minute < self.to),
        }
    }
}

/// `mon`, `mon-fri`, `fri-mon`, `sat,sun`.
fn parse_days(text: &str) -> Option<[bool; 7]> {
    let day = |name: &str| DAYS.iter().position(|(known, _)| name.eq_ignore_ascii_case(known));
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (day(first)?, day(last)?);
        for n in first..=(if last < first { last + 7 } else { last }) {
            *days.get_mut(n % 7)? = true;
        }
    }
    Some(days)
}

/// `22:00-06:00`; the end may be 24:00, and may not be the beginning.
fn parse_hours(text: &str) -> Option<(u16, u16)> {
    let (from, to) = text.split_once('-')?;
    let (from, to) = (parse_minute(from)?, parse_minute(to)?);
    (from < DAY_MINUTES && from != to).then_some((from, to))
}

fn parse_minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let number = |text: &str| text.bytes().all(|c| c.is_ascii_digit()).then(|| text.parse::<u16>().ok())?;
    let (hour, minute) = (number(hour)?, number(minute)?);
    (minute < 60 && hour <= 24).then_some(hour * 60 + minute).filter(|minute| *minute <= DAY_MINUTES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::time::Clock;

    fn schedule(windows: &[&str], zone: &str) -> Result<Schedule> {
        Schedule::parse(&windows.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>(), zone)
    }

    fn at(text: &str) -> Instant {
        let time: jiff::Timestamp = text.parse().expect("a time");
        Instant::from_nanos(i64::try_from(time.as_nanosecond()).expect("in range"))
    }

    /// 2026-11-23 is a Monday; Berlin is one hour ahead of UTC then.
    #[test]
    fn open_and_closed() {
        for (windows, zone, time, want) in [
            (&[][..], "UTC", "2026-11-23T12:00:00Z", true),
            (&["22:00-06:00"], "UTC", "2026-11-23T21:59:59Z", false),
            (&["22:00-06:00"], "UTC", "2026-11-23T22:00:00Z", true),
            (&["22:00-06:00"], "UTC", "2026-11-24T05:59:59Z", true),
            (&["22:00-06:00"], "UTC", "2026-11-24T06:00:00Z", false),
            (&["22:00-06:00"], "Europe/Berlin", "2026-11-23T21:30:00Z", true),
            (&["22:00-06:00"], "Europe/Berlin", "2026-11-24T05:30:00Z", false),
            (&["fri 22:00-06:00"], "UTC", "2026-11-28T05:00:00Z", true),
            (&["fri 22:00-06:00"], "UTC", "2026-11-28T23:00:00Z", false),
            (&["fri 22:00-06:00"], "UTC", "2026-11-27T05:00:00Z", false),
            (&["sun 23:00-01:00"], "UTC", "2026-11-23T00:30:00Z", true),
            (&["sat,sun"], "UTC", "2026-11-29T23:59:00Z", true),
            (&["sat,sun"], "UTC", "2026-11-23T00:00:00Z", false),
            (&["fri-mon"], "UTC", "2026-11-23T12:00:00Z", true),
            (&["fri-mon"], "UTC", "2026-11-24T12:00:00Z", false),
            (&["mon 08:00-09:00", "12:30-13:00"], "UTC", "2026-11-25T12:45:00Z", true),
            (&["mon 08:00-09:00", "12:30-13:00"], "UTC", "2026-11-25T08:30:00Z", false),
            (&["20:00-24:00"], "UTC", "2026-11-25T23:59:59Z", true),
        ] {
            let clock = Clock::manual(at(time).nanos());
            let schedule = schedule(windows, zone).expect("valid");
            assert_eq!(schedule.is_open(clock.now()), want, "{windows:?} {zone} {time}");
        }
    }

    #[test]
    fn the_next_opening_also_when_clocks_are_changed() {
        for (window, zone, time, want) in [
            ("22:00-06:00", "UTC", "2026-11-23T12:00:30Z", Some("2026-11-23T22:00:00Z")),
            ("wed 10:00-11:00", "UTC", "2026-11-25T10:30:00Z", Some("2026-11-25T10:31:00Z")),
            ("wed 10:00-11:00", "UTC", "2026-11-25T11:30:00Z", Some("2026-12-02T10:00:00Z")),
            // On 2026-03-29 Berlin goes from 02:00 to 03:00: the window begins at 03:00.
            ("02:30-04:00", "Europe/Berlin", "2026-03-28T23:00:00Z", Some("2026-03-29T01:00:00Z")),
        ] {
            let schedule = schedule(&[window], zone).expect("valid");
            assert_eq!(schedule.opens_at(at(time)), want.map(at), "{window} {time}");
        }
    }

    #[test]
    fn mistakes() {
        for text in [
            "",
            "22:00",
            "22:00-25:00",
            "24:00-06:00",
            "06:00-06:00",
            "mon 1",
            "mo",
            "mon-",
            "mon 06:00-07:00 x",
            "6:60-7:00",
            "+6:00-7:00",
        ] {
            let error = schedule(&[text], "UTC").expect_err(text);
            assert_eq!((error.kind(), error.hint().contains("22:00-06:00")), (Kind::Config, true), "{text}");
        }
        assert!(schedule(&[], "Nowhere/Else").is_err());
    }
}
