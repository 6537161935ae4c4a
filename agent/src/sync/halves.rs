//! Finds the rows that a store refuses when it only says that it refuses a batch: halves, and halves of
//! those. Pure: the caller sends, this says what to send next.
//!
//! Some stores answer alike to a bad row and to a trouble of their own (Feast's server says 500 to both).
//! Such an answer counts against a row only if it comes twice and the store takes others before and after;
//! a store that takes nothing at all is in trouble, whatever it says.

use super::Answer;
use shared::error::{Error, Kind, Result};
use std::ops::Range;

/// A store's way of not taking some rows.
#[derive(Debug)]
pub enum Failure {
    /// Its state; nothing is known of the rows.
    State(Error),
    /// It refuses one of the rows at least.
    Rows(String),
    /// Either; the words, which may quote a row, are for whoever looks at the row.
    Unclear(Error, String),
}

/// A batch on its way, in parts.
#[derive(Debug)]
pub struct Halves {
    todo: Vec<Range<usize>>,
    answers: Vec<Option<Answer>>,
    /// Rows that are in doubt, once more.
    doubted: Vec<usize>,
    again: bool,
    /// A part that was taken: sent once more it tells whether the store lives.
    taken: Option<Range<usize>>,
    /// Parts in doubt since the store last took something.
    silent: usize,
    /// How often it was begun anew from the other end, as nothing was taken.
    turns: usize,
    /// `taken` is on its way once more.
    probing: bool,
}

/// A store that takes nothing from either end, twice each, is in trouble.
const TURNS: usize = 3;

impl Halves {
    pub fn of(rows: usize) -> Halves {
        let whole = 0..rows;
        Halves {
            todo: if rows == 0 { Vec::new() } else { vec![whole] },
            answers: vec![None; rows],
            doubted: Vec::new(),
            again: false,
            taken: None,
            silent: 0,
            turns: 0,
            probing: false,
        }
    }

    /// What to send next; `None`: all is answered.
    pub fn next_part(&mut self) -> Option<Range<usize>> {
        if let Some(part) = self.todo.pop() {
            return Some(part);
        }
        if self.again || self.doubted.is_empty() {
            return None;
        }
        // Each doubted row again, then what is known to be good.
        self.again = true;
        self.todo.extend(self.taken.clone());
        self.todo.extend(self.doubted.drain(..).map(|at| at..at + 1));
        self.todo.pop()
    }

    /// Takes the store's answer to a part: one for each of its rows, if it took it.
    ///
    /// # Errors
    /// The store's state.
    pub fn note(
        &mut self,
        part: Range<usize>,
        outcome: std::result::Result<Vec<Answer>, Failure>,
    ) -> Result<()> {
        match outcome {
            Ok(answers) => {
                (self.silent, self.probing) = (0, false);
                self.taken = Some(part.clone());
                for (at, answer) in part.zip(answers) {
                    self.answer(at, answer);
                }
                Ok(())
            }
            Err(Failure::State(error)) => Err(error),
            Err(Failure::Rows(words)) if part.len() <= 1 => {
                self.answer(part.start, Answer::Refused(words));
                Ok(())
            }
            Err(Failure::Rows(_)) => {
                self.split(part);
                Ok(())
            }
            Err(Failure::Unclear(error, words)) => self.doubt(part, error, words),
        }
    }

    fn doubt(&mut self, part: Range<usize>, error: Error, words: String) -> Result<()> {
        let known = self.taken.as_ref() == Some(&part);
        if known && (self.probing || self.again) {
            return Err(error);
        }
        self.silent += 1;
        if part.len() > 1 {
            self.split(part);
        } else if self.again {
            self.answer(part.start, Answer::Refused(words));
        } else if self.answers.len() == 1 {
            return Err(error);
        } else {
            self.doubted.push(part.start);
        }
        // Deep enough to reach single rows and a neighbour of each.
        if self.silent > 2 * (self.answers.len().max(2).ilog2() as usize + 2) {
            self.silent = 0;
            match &self.taken {
                Some(good) => {
                    self.probing = true;
                    self.todo.push(good.clone());
                }
                None if self.turns < TURNS => {
                    self.turns += 1;
                    self.todo.reverse();
                }
                None => return Err(error),
            }
        }
        Ok(())
    }

    fn split(&mut self, part: Range<usize>) {
        let middle = part.start + part.len() / 2;
        self.todo.push(middle..part.end);
        self.todo.push(part.start..middle);
    }

    fn answer(&mut self, at: usize, answer: Answer) {
        if let Some(place) = self.answers.get_mut(at) {
            *place = Some(answer);
        }
    }

    /// All answers.
    ///
    /// # Errors
    /// If the store took none and only may have refused them.
    pub fn finish(self) -> Result<Vec<Answer>> {
        if self.again && self.taken.is_none() {
            return Err(Error::new(Kind::Unreachable, "the store takes none of the rows"));
        }
        let lost = || Error::new(Kind::Bug, "a row was not sent");
        self.answers.into_iter().map(|answer| answer.ok_or_else(lost)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends rows 0 to `count`; `judge` says what is wrong with a part.
    fn run(
        count: usize,
        mut judge: impl FnMut(&Range<usize>) -> Option<Failure>,
    ) -> (Result<Vec<usize>>, usize) {
        let (mut halves, mut sent) = (Halves::of(count), 0);
        while let Some(part) = halves.next_part() {
            sent += 1;
            let outcome = judge(&part).map_or_else(|| Ok(vec![Answer::Stored; part.len()]), Err);
            if let Err(error) = halves.note(part, outcome) {
                return (Err(error), sent);
            }
        }
        let refused = |answers: Vec<Answer>| {
            let of = answers.into_iter().enumerate();
            of.filter(|(_, a)| matches!(a, Answer::Refused(_))).map(|(at, _)| at).collect()
        };
        (halves.finish().map(refused), sent)
    }

    fn unclear() -> Option<Failure> {
        Some(Failure::Unclear(Error::new(Kind::Unreachable, "500"), "bad".into()))
    }

    #[test]
    fn bad_rows_are_found_by_clear_and_by_unclear_words() {
        for bad in [
            vec![],
            vec![0],
            vec![999],
            vec![17, 18, 500],
            vec![3, 250, 251, 777],
            (0..100).collect(),
            (440..560).collect(),
        ] {
            let hit = |part: &Range<usize>| bad.iter().any(|at| part.contains(at));
            let (found, _) = run(1_000, |part| hit(part).then(|| Failure::Rows("bad".into())));
            assert_eq!(found.expect("the store lives"), bad);
            let (found, _) = run(1_000, |part| if hit(part) { unclear() } else { None });
            assert_eq!(found.expect("the store lives"), bad);
        }
        let (found, sent) = run(4, |_| Some(Failure::Rows("bad".into())));
        assert_eq!((found.expect("clear words"), sent), (vec![0, 1, 2, 3], 7));
    }

    #[test]
    fn a_store_in_trouble_is_not_a_bad_row() {
        let (found, sent) = run(1_000, |_| unclear());
        assert!(found.is_err() && sent < 100, "{sent}");
        assert!(run(1, |_| unclear()).0.is_err());
        assert!(run(2, |_| unclear()).0.is_err());
        // It dies in the middle: what it took before does not count.
        let mut calls = 0;
        let (found, _) = run(8, |part| {
            calls += 1;
            if calls > 4 || part.contains(&3) { unclear() } else { None }
        });
        assert!(found.is_err());
        // One passing trouble.
        let mut calls = 0;
        let (found, _) = run(8, |_| {
            calls += 1;
            if calls == 1 { unclear() } else { None }
        });
        assert_eq!(found.expect("it passed"), Vec::<usize>::new());
    }
}
