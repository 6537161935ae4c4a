//! A table's pages, cut into pieces that are read one by one. Pure.
//!
//! Pages rather than keys: the server reads them in the order of its disk, a table needs no key, and
//! where a piece begins costs nothing to find.

use crate::model::progress::Pages;

/// Pages from `from` up to, not including, `to`; the last piece is open, `to` is [`END`].
pub type Range = (u32, u32);

pub const END: u32 = u32::MAX;

/// What is left of a table of `pages` pages when those `done` are taken away, in pieces of `size`.
pub fn pieces(pages: u32, size: u32, done: &[Range]) -> Vec<Range> {
    let size = size.max(1);
    let mut left = Vec::new();
    let mut from = 0;
    for (begin, end) in done.iter().copied().chain([(END, END)]) {
        while from < begin {
            let mut to = from.saturating_add(size);
            if begin == END && to >= pages {
                to = END;
            }
            left.push((from, to.min(begin)));
            from = to.min(begin);
        }
        from = from.max(end);
    }
    left
}

/// Adds a piece that was read.
pub fn add(pages: &mut Pages, piece: Range) {
    let Pages::Some(done) = pages else { return };
    let at = done.partition_point(|range| range.0 < piece.0);
    done.insert(at, piece);
    done.dedup_by(|next, last| {
        let joins = next.0 <= last.1;
        if joins {
            last.1 = last.1.max(next.1);
        }
        joins
    });
    if done.first() == Some(&(0, END)) {
        *pages = Pages::All;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_cover_what_is_left_once() {
        for (pages, size, done, want) in [
            (0, 10, &[][..], vec![(0, END)]),
            (10, 10, &[], vec![(0, END)]),
            (25, 10, &[], vec![(0, 10), (10, 20), (20, END)]),
            (25, 10, &[(0, 10)], vec![(10, 20), (20, END)]),
            (25, 10, &[(10, 20)], vec![(0, 10), (20, END)]),
            (25, 10, &[(3, 5), (20, END)], vec![(0, 3), (5, 15), (15, 20)]),
            (25, 10, &[(0, END)], vec![]),
        ] {
            assert_eq!(pieces(pages, size, done), want, "{pages} {done:?}");
        }
    }

    #[test]
    fn pieces_add_up_to_the_whole_in_any_order() {
        fastrand::seed(7);
        for _ in 0..200 {
            let (pages, size) = (fastrand::u32(0..100), fastrand::u32(1..20));
            let mut left = pieces(pages, size, &[]);
            fastrand::shuffle(&mut left);
            let mut done = Pages::default();
            while let Some(piece) = left.pop() {
                assert_ne!(done, Pages::All);
                add(&mut done, piece);
                let Pages::Some(ranges) = &done else { break };
                let mut again = pieces(pages, 1_000, ranges);
                let covered = again
                    .iter()
                    .all(|(from, to)| !ranges.iter().any(|(begin, end)| begin < to && from < end));
                assert!(covered, "{ranges:?} {again:?}");
                again.extend(ranges);
                again.sort_unstable();
                assert!(again.windows(2).all(|pair| pair[0].1 == pair[1].0), "{again:?}");
            }
            assert!(left.is_empty());
            assert_eq!(done, Pages::All);
        }
    }
}
