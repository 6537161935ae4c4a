//! Waiting for what comes by itself, with a limit and a message that says what did not come.

use std::fmt::Display;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// Looks until `look` finds something, and gives it.
///
/// # Panics
/// When `limit` has passed; the message names `what` was waited for.
#[track_caller]
pub fn eventually<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    until(limit, || look().ok_or(what))
}

/// [`eventually`], with a look that says what it finds instead.
///
/// # Panics
/// When `limit` has passed; the message has what the last look found.
#[track_caller]
pub fn until<T, E: Display>(limit: Duration, mut look: impl FnMut() -> Result<T, E>) -> T {
    let start = Instant::now();
    loop {
        let instead = match look() {
            Ok(found) => return found,
            Err(instead) => instead,
        };
        assert!(start.elapsed() < limit, "not within {} s: {instead}", limit.as_secs());
        sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_what_it_found() {
        let mut looks = 0;
        let found = eventually(Duration::from_secs(5), "a third look", || {
            looks += 1;
            (looks == 3).then_some(looks)
        });
        assert_eq!(found, 3);
    }

    #[test]
    #[should_panic(expected = "not within 0 s: a miracle")]
    fn says_what_it_waited_for() {
        eventually(Duration::ZERO, "a miracle", || None::<()>);
    }
}
