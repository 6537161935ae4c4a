//! How far we are, as text beside a group's offset. Pure.
//!
//! A group has an offset per central partition, and only of partitions that exist; a local topic may have
//! more of them than the central one. So each central partition carries the places of the local partitions
//! that have its number, counted round: `0=1234:9ae0daaf 4=77:00000000` (partition, next offset, checksum).

use super::flight::Mark;
use std::collections::BTreeMap;
use std::fmt::Write;

/// The text for one central partition.
pub fn write(marks: impl Iterator<Item = (i32, Mark)>) -> String {
    let mut out = String::new();
    for (partition, mark) in marks {
        let space = if out.is_empty() { "" } else { " " };
        let _ = write!(out, "{space}{partition}={}:{:08x}", mark.next_offset, mark.checksum);
    }
    out
}

/// Takes the highest of what is there and what is read; `false` if the text is not ours.
pub fn read(text: &str, into: &mut BTreeMap<i32, Mark>) -> bool {
    text.split_whitespace().all(|part| {
        let Some((partition, mark)) = read_one(part) else { return false };
        let known = into.entry(partition).or_insert(mark);
        if mark.next_offset > known.next_offset {
            *known = mark;
        }
        true
    })
}

fn read_one(text: &str) -> Option<(i32, Mark)> {
    let (partition, mark) = text.split_once('=')?;
    let (next_offset, checksum) = mark.split_once(':')?;
    let checksum = u32::from_str_radix(checksum, 16).ok()?;
    Some((partition.parse().ok()?, Mark { next_offset: next_offset.parse().ok()?, checksum }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_the_highest_counts() {
        let mark = |next_offset, checksum| Mark { next_offset, checksum };
        let text = write([(0, mark(1_234, 0x9ae0_daaf)), (4, mark(77, 0))].into_iter());
        assert_eq!(text, "0=1234:9ae0daaf 4=77:00000000");
        let mut found = BTreeMap::from([(4, mark(78, 5)), (9, mark(1, 1))]);
        assert!(read(&text, &mut found));
        let want = [(0, mark(1_234, 0x9ae0_daaf)), (4, mark(78, 5)), (9, mark(1, 1))];
        assert_eq!(found, BTreeMap::from(want));
    }

    #[test]
    fn what_is_not_ours_is_told() {
        for text in ["x", "0=1", "0=1:zz", "=1:0", "0=:0", "0=1:0 x"] {
            assert!(!read(text, &mut BTreeMap::new()), "{text}");
        }
        assert!(read("", &mut BTreeMap::new()));
    }
}
