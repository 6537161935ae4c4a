//! Acknowledgements → the highest position below which everything is durable. Pure.
//!
//! Work is cut into units (a transaction, a piece of a snapshot), numbered upwards. A unit is done
//! when it is closed with its position and each of its records is acknowledged; a position may be
//! confirmed when its unit and all before it are done.

use crate::model::position::Position;
use shared::error::{Error, Kind, Result};
use std::collections::VecDeque;

/// Only this type tells what may be confirmed.
#[derive(Debug, Default)]
pub struct Tracker {
    /// Units not yet done, the oldest first. No longer than there are records outstanding, but
    /// for one: a closed unit without records joins the one before it.
    units: VecDeque<Unit>,
    durable: Option<Position>,
}

#[derive(Debug)]
struct Unit {
    number: u64,
    outstanding: u64,
    closed: Option<Position>,
}

impl Tracker {
    /// `count` records of `unit` have been handed to the sink.
    ///
    /// # Errors
    /// `Bug` if the unit is older than the newest, or closed.
    pub fn sent(&mut self, unit: u64, count: u64) -> Result<()> {
        let newest = self.open(unit)?;
        newest.outstanding += count;
        Ok(())
    }

    /// `count` records of `unit` are durable.
    ///
    /// # Errors
    /// `Bug` if more are acknowledged than were sent.
    pub fn acked(&mut self, unit: u64, count: u64) -> Result<()> {
        let at = self.units.binary_search_by_key(&unit, |known| known.number).ok();
        let known = at.and_then(|at| self.units.get_mut(at));
        let left = known.as_ref().and_then(|known| known.outstanding.checked_sub(count));
        let (Some(known), Some(left)) = (known, left) else {
            return Err(Error::new(Kind::Bug, format!("unit {unit} has more acknowledgements than records")));
        };
        known.outstanding = left;
        self.settle();
        Ok(())
    }

    /// `unit` is complete: when it and all before it are durable, `position` is.
    ///
    /// # Errors
    /// `Bug` if the unit is older than the newest, or closed.
    pub fn close(&mut self, unit: u64, position: Position) -> Result<()> {
        self.open(unit)?.closed = Some(position);
        let joins = |unit: &Unit| unit.outstanding == 0;
        if self.units.len() > 1 && self.units.back().is_some_and(joins) {
            let empty = self.units.pop_back().and_then(|unit| unit.closed);
            if let Some(before) = self.units.back_mut() {
                before.closed = empty;
            }
        }
        self.settle();
        Ok(())
    }

    /// The newest position that became durable since the last call.
    pub fn take(&mut self) -> Option<Position> {
        self.durable.take()
    }

    /// Nothing is sent, unacknowledged or open.
    pub fn idle(&self) -> bool {
        self.units.is_empty()
    }

    /// The newest unit, which must be this one; a new number begins a new unit.
    fn open(&mut self, number: u64) -> Result<&mut Unit> {
        if self.units.back().is_none_or(|newest| newest.number < number) {
            self.units.push_back(Unit { number, outstanding: 0, closed: None });
        }
        match self.units.back_mut() {
            Some(unit) if unit.number == number && unit.closed.is_none() => Ok(unit),
            _ => Err(Error::new(Kind::Bug, format!("unit {number} is closed already"))),
        }
    }

    fn settle(&mut self) {
        while let Some(unit) = self.units.pop_front_if(|unit| unit.outstanding == 0 && unit.closed.is_some())
        {
            self.durable = unit.closed;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::position::{Lsn, PostgresPosition};

    #[derive(Clone, Copy)]
    enum Step {
        Sent(u64, u64),
        Acked(u64, u64),
        Close(u64),
    }
    use Step::{Acked, Close, Sent};

    fn at(lsn: u64) -> Position {
        Position::Postgres(PostgresPosition { lsn: Lsn(lsn), ..PostgresPosition::default() })
    }

    /// Runs steps; a unit's position is its number. Gives what was durable after each step.
    fn run(tracker: &mut Tracker, steps: &[Step]) -> Result<Vec<Option<u64>>> {
        let one = |step: &Step| {
            match *step {
                Sent(unit, count) => tracker.sent(unit, count)?,
                Acked(unit, count) => tracker.acked(unit, count)?,
                Close(unit) => tracker.close(unit, at(unit))?,
            }
            Ok(tracker.take().map(|position| position.lsn().0))
        };
        steps.iter().map(one).collect()
    }

    #[test]
    fn positions_become_durable_in_order_only() {
        for (name, steps, want) in [
            ("acks before the end", &[Sent(1, 2), Acked(1, 2), Close(1)][..], vec![None, None, Some(1)]),
            (
                "acks after the end",
                &[Sent(1, 2), Close(1), Acked(1, 1), Acked(1, 1)],
                vec![None, None, None, Some(1)],
            ),
            (
                "a later one waits",
                &[Sent(1, 1), Close(1), Sent(2, 1), Close(2), Acked(2, 1), Acked(1, 1)],
                vec![None, None, None, None, None, Some(2)],
            ),
            ("nothing sent", &[Close(1), Close(2)], vec![Some(1), Some(2)]),
            (
                "nothing sent behind a pending one",
                &[Sent(1, 1), Close(1), Close(2), Close(3), Acked(1, 1)],
                vec![None, None, None, None, Some(3)],
            ),
            (
                "an open one holds back",
                &[Sent(1, 1), Close(1), Sent(2, 1), Acked(2, 1), Acked(1, 1), Close(2)],
                vec![None, None, None, None, Some(1), Some(2)],
            ),
        ] {
            let mut tracker = Tracker::default();
            assert_eq!(run(&mut tracker, steps).expect("valid steps"), want, "{name}");
            assert!(tracker.idle(), "{name}");
        }
    }

    #[test]
    fn empty_units_take_no_memory() {
        let mut tracker = Tracker::default();
        run(&mut tracker, &[Sent(1, 1), Close(1)]).expect("valid");
        for unit in 2..10_000 {
            tracker.close(unit, at(unit)).expect("valid");
        }
        assert!(tracker.units.len() <= 2);
    }

    #[test]
    fn what_cannot_be_is_said() {
        for steps in [
            &[Acked(1, 1)][..],
            &[Sent(1, 1), Acked(1, 2)],
            &[Sent(1, 1), Close(1), Sent(1, 1)],
            &[Sent(2, 1), Sent(1, 1)],
            &[Sent(1, 1), Close(1), Close(1)],
        ] {
            let error = run(&mut Tracker::default(), steps).expect_err("impossible");
            assert_eq!(error.kind(), Kind::Bug);
        }
    }
}
