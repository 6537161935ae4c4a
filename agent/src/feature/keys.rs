//! Keys as they lie in the file: many in one blob, in order, each with its row's place. Pure.
//!
//! ```text
//! run:    entry entry …
//! entry:  bytes shared with the key before │ bytes of its own │ chunk, less the one before │ slot
//! ```
//! Keys that rise, as most do, go to the end of the last run: a hundred of them cost as much as one.

use super::chunk::Place;
use shared::avro::wire::{put_long, take_long};

/// A run is divided above this.
pub const MAX_KEYS: usize = 128;
/// … or this, if keys are long.
const MAX_BYTES: usize = 4_000;

/// A key and its row's place.
pub type Entry<'a> = (&'a [u8], Place);
/// A key's new place, or that it goes.
pub type Change<'a> = (&'a [u8], Option<Place>);

/// Some entries as one run.
pub fn put(entries: &[Entry<'_>]) -> Vec<u8> {
    let (mut out, mut before, mut chunk) = (Vec::with_capacity(entries.len() * 10), &[][..], 0i64);
    for (key, place) in entries {
        let shared = before.iter().zip(*key).take_while(|(a, b)| a == b).count();
        let own = key.get(shared..).unwrap_or_default();
        put_long(&mut out, shared as i64);
        put_long(&mut out, own.len() as i64);
        out.extend_from_slice(own);
        put_long(&mut out, place.chunk.wrapping_sub(chunk));
        put_long(&mut out, i64::from(place.slot));
        (before, chunk) = (key, place.chunk);
    }
    out
}

/// Calls `each` with every entry until it says false; `None` if the bytes are damaged.
fn walk(mut bytes: &[u8], mut each: impl FnMut(&[u8], Place) -> bool) -> Option<()> {
    let (mut key, mut chunk) = (Vec::new(), 0i64);
    while !bytes.is_empty() {
        let shared = usize::try_from(take_long(&mut bytes)?).ok()?;
        let own = usize::try_from(take_long(&mut bytes)?).ok()?;
        let (own, rest) = bytes.split_at_checked(own)?;
        bytes = rest;
        key.get(..shared)?;
        key.truncate(shared);
        key.extend_from_slice(own);
        chunk = chunk.wrapping_add(take_long(&mut bytes)?);
        let slot = u16::try_from(take_long(&mut bytes)?).ok()?;
        if !each(&key, Place { chunk, slot }) {
            break;
        }
    }
    Some(())
}

/// Where a key's row is, if the run has it; `Err` if the bytes are damaged.
pub fn find(bytes: &[u8], wanted: &[u8]) -> Result<Option<Place>, Damaged> {
    let mut found = None;
    let walked = walk(bytes, |key, place| {
        found = (key == wanted).then_some(place);
        key < wanted
    });
    walked.map(|()| found).ok_or(Damaged)
}

/// Bytes that [`put`] did not write.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Damaged;

/// A run's keys, one behind the other, with where each ends.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entries {
    keys: Vec<u8>,
    ends: Vec<(usize, Place)>,
}

impl Entries {
    /// Reads what [`put`] wrote.
    pub fn read(bytes: &[u8]) -> Result<Entries, Damaged> {
        let (mut keys, mut ends) = (Vec::with_capacity(bytes.len() * 2), Vec::with_capacity(MAX_KEYS));
        let walked = walk(bytes, |key, place| {
            keys.extend_from_slice(key);
            ends.push((keys.len(), place));
            true
        });
        walked.map(|()| Entries { keys, ends }).ok_or(Damaged)
    }

    /// In the order of keys.
    pub fn iter(&self) -> impl Iterator<Item = Entry<'_>> {
        let mut from = 0;
        self.ends.iter().map(move |(end, place)| {
            let key = self.keys.get(from..*end).unwrap_or_default();
            from = *end;
            (key, *place)
        })
    }
}

/// Entries with changes brought in; both are in the order of keys, and no key is changed twice.
pub fn merged<'a>(entries: &'a Entries, changes: &[Change<'a>]) -> Vec<Entry<'a>> {
    let mut out = Vec::with_capacity(entries.ends.len() + changes.len());
    let mut entries = entries.iter().peekable();
    for (key, place) in changes {
        while let Some(earlier) = entries.next_if(|(other, _)| other < key) {
            out.push(earlier);
        }
        entries.next_if(|(other, _)| other == key);
        out.extend(place.map(|place| (*key, place)));
    }
    out.extend(entries);
    out
}

/// Divides entries into runs: full ones where keys come at the end, else with room for those to come.
pub fn runs<'e, 'a>(entries: &'e [Entry<'a>], at_the_end: bool) -> Vec<&'e [Entry<'a>]> {
    let size = |entries: &[Entry<'_>]| entries.iter().map(|(key, _)| key.len() + 4).sum::<usize>();
    let fits = |entries: &[Entry<'_>]| entries.len() <= MAX_KEYS && size(entries) <= MAX_BYTES;
    if entries.is_empty() || fits(entries) {
        return entries.chunks(MAX_KEYS).collect();
    }
    let part = if at_the_end { 1 } else { 2 };
    let (mut runs, mut rest) = (Vec::new(), entries);
    while !rest.is_empty() {
        let mut bytes = 0;
        let fit = rest.iter().take(MAX_KEYS / part).take_while(|(key, _)| {
            bytes += key.len() + 4;
            bytes <= MAX_BYTES / part
        });
        let (run, others) = rest.split_at(fit.count().max(1));
        runs.push(run);
        rest = others;
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn key(n: u64) -> Vec<u8> {
        n.to_be_bytes().to_vec()
    }

    #[test]
    fn runs_come_back_and_keys_are_found() {
        let keys: Vec<Vec<u8>> = (0..100u64).map(|n| key(n * n * 7)).collect();
        let place = |n: usize| Place { chunk: 900 - n as i64 * 5, slot: n as u16 };
        let all: Vec<Entry<'_>> = keys.iter().enumerate().map(|(n, key)| (&key[..], place(n))).collect();
        let bytes = put(&all);
        assert!(Entries::read(&bytes).expect("written by us").iter().eq(all.iter().copied()));
        for (key, place) in &all {
            assert_eq!(find(&bytes, key), Ok(Some(*place)));
        }
        for n in [1, 50, 1 << 60] {
            assert_eq!(find(&bytes, &key(n)), Ok(None));
        }
        assert!(bytes.len() < all.len() * 9, "{}", bytes.len());
        for end in 0..bytes.len() {
            let _ = (Entries::read(&bytes[..end]), find(&bytes[..end], &key(700)));
        }
        assert_eq!(Entries::read(&[2, 2, 1, 0, 0]), Err(Damaged), "shared with nothing");
    }

    #[test]
    fn changes_as_a_map_takes_them() {
        let mut random = fastrand::Rng::with_seed(3);
        let (mut entries, mut model) = (Entries::default(), BTreeMap::new());
        for _ in 0..300 {
            let mut changes = BTreeMap::new();
            for _ in 0..random.usize(0..30) {
                let place = Place { chunk: random.i64(0..99), slot: random.u16(0..9) };
                changes.insert(key(random.u64(0..400)), (random.u8(0..3) > 0).then_some(place));
            }
            let changed: Vec<Change<'_>> = changes.iter().map(|(key, place)| (&key[..], *place)).collect();
            for (key, place) in &changes {
                match place {
                    Some(place) => drop(model.insert(key.clone(), *place)),
                    None => drop(model.remove(key)),
                }
            }
            let merged = merged(&entries, &changed);
            assert!(merged.iter().copied().eq(model.iter().map(|(key, place)| (&key[..], *place))));
            for at_the_end in [false, true] {
                let runs = runs(&merged, at_the_end);
                assert_eq!(runs.concat(), merged);
                assert!(runs.iter().all(|run| !run.is_empty() && run.len() <= MAX_KEYS));
            }
            let bytes = put(&merged);
            entries = Entries::read(&bytes).expect("written by us");
        }
        let keys: Vec<Vec<u8>> = (0..9).map(|n| vec![n; 3_000]).collect();
        let long: Vec<Entry<'_>> = keys.iter().map(|key| (&key[..], Place { chunk: 1, slot: 1 })).collect();
        assert_eq!(runs(&long, true).len(), 9);
    }
}
