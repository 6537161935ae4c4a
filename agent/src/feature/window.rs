//! Which rows are in a window at a moment. Pure.
//!
//! ```text
//! sliding             (now - offset - length, now - offset]    without an offset it has no end: a row
//!                                                              whose time lies ahead counts, as in SQL
//! sliding by a step   [end - length, end)     end: the last multiple of the step (since 1970, UTC) that
//!                                             is not later than now - offset
//! tumbling            the same with length = step: the last whole one
//! lifetime            every row; with an offset or a step, up to that end
//! ```
//! Both bounds only move forward while the clock does: [`Edge`]. So the rows whose membership changes
//! between two moments are those whose time an edge passed.

/// A feature's window; lengths in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Window {
    /// `None`: every row since ever.
    pub length_us: Option<i64>,
    pub step_us: Option<i64>,
    pub offset_us: i64,
}

/// A bound of windows: rows at or before [`Edge::at`] are on its far side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Edge {
    back_us: i64,
    step_us: Option<i64>,
    /// How far behind a step's end.
    length_us: i64,
}

impl Edge {
    /// Where the edge stands at this moment.
    pub fn at(&self, now_us: i64) -> i64 {
        let from = now_us.saturating_sub(self.back_us);
        match self.step_us {
            Some(step) => (from.div_euclid(step) * step).saturating_sub(self.length_us).saturating_sub(1),
            None => from.saturating_sub(self.length_us),
        }
    }
}

impl Window {
    fn edge(&self, length_us: i64) -> Edge {
        Edge { back_us: self.offset_us, step_us: self.step_us, length_us }
    }

    /// The edge behind which rows have left; `None` if they never leave.
    pub fn lower(&self) -> Option<Edge> {
        self.length_us.map(|length| self.edge(length))
    }

    /// The edge before which rows have not come in yet; `None` if they come in at once.
    pub fn upper(&self) -> Option<Edge> {
        (self.offset_us > 0 || self.step_us.is_some()).then(|| self.edge(0))
    }

    pub fn contains(&self, time_us: i64, now_us: i64) -> bool {
        self.lower().is_none_or(|edge| time_us > edge.at(now_us))
            && self.upper().is_none_or(|edge| time_us <= edge.at(now_us))
    }

    /// Rows older than this before now are never in it again; `None` if all are.
    pub fn reach_us(&self) -> Option<i64> {
        let reach =
            |length: i64| length.saturating_add(self.offset_us).saturating_add(self.step_us.unwrap_or(0));
        self.length_us.map(reach)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_of_each_kind() {
        let sliding = Window { length_us: Some(10), ..Window::default() };
        let past = Window { offset_us: 5, ..sliding };
        let stepped = Window { step_us: Some(4), ..sliding };
        let tumbling = Window { length_us: Some(4), step_us: Some(4), offset_us: 0 };
        let before = Window { length_us: Some(4), step_us: Some(4), offset_us: 4 };
        let ever = Window::default();
        for (window, first, last) in [
            (sliding, 92, i64::MAX),
            (past, 87, 96),
            (stepped, 90, 99),
            (tumbling, 96, 99),
            (before, 92, 95),
            (ever, i64::MIN, i64::MAX),
        ] {
            let (now, lower) = (101, window.lower());
            assert!(window.contains(first, now) && window.contains(last, now), "{window:?}");
            assert!(lower.is_none() || !window.contains(first - 1, now), "{window:?}");
            assert!(last == i64::MAX || !window.contains(last + 1, now), "{window:?}");
        }
        assert!(tumbling.contains(96, 100) && !tumbling.contains(95, 100) && !tumbling.contains(100, 100));
        assert_eq!(
            [sliding, past, stepped, ever].map(|w| w.reach_us()),
            [Some(10), Some(15), Some(14), None]
        );
    }
}
