//! Values as they lie in the file: those of many entities in one block, in the order of entities. Pure.
//!
//! ```text
//! block:  entry entry …
//! entry:  length │ entity │ as of │ length │ values
//! ```
//! What a row of a table would cost for each entity, a descent and a cell, a block costs for all of its
//! entities that a transaction changed.

use shared::avro::wire::{put_long, take_long};

/// A block is divided above this: four of them fit a page of the default size, none spills over.
pub const MAX_BYTES: usize = 1_800;
/// What an entry has beside entity and values, at most.
const HEAD_BYTES: usize = 20;

/// An entity's values inside a block's bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Entry<'a> {
    pub entity: &'a [u8],
    pub as_of_ns: i64,
    pub values: &'a [u8],
}

/// Bytes that [`put`] did not write.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Damaged;

/// Appends an entry.
pub fn put(out: &mut Vec<u8>, entry: &Entry<'_>) {
    put_long(out, entry.entity.len() as i64);
    out.extend_from_slice(entry.entity);
    put_long(out, entry.as_of_ns);
    put_long(out, entry.values.len() as i64);
    out.extend_from_slice(entry.values);
}

/// Takes the first entry off; `None` at the end.
pub fn next<'a>(bytes: &mut &'a [u8]) -> Result<Option<Entry<'a>>, Damaged> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let mut taken = || {
        let entity = part(bytes)?;
        let as_of_ns = take_long(bytes)?;
        Some(Entry { entity, as_of_ns, values: part(bytes)? })
    };
    taken().map(Some).ok_or(Damaged)
}

fn part<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(take_long(bytes)?).ok()?;
    let (part, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(part)
}

/// An entity's entry, if the block has it.
pub fn find<'a>(mut bytes: &'a [u8], entity: &[u8]) -> Result<Option<Entry<'a>>, Damaged> {
    while let Some(entry) = next(&mut bytes)? {
        if entry.entity >= entity {
            return Ok((entry.entity == entity).then_some(entry));
        }
    }
    Ok(None)
}

/// A block's entries with others in place of those of the same entities; the others are in order, each entity
/// once.
pub fn merged(bytes: &[u8], others: &[Entry<'_>]) -> Result<Blocks, Damaged> {
    let more: usize = others.iter().map(|other| other.entity.len() + other.values.len() + HEAD_BYTES).sum();
    let mut out = Blocks { bytes: Vec::with_capacity(bytes.len() + more), starts: Vec::new() };
    let mut others = others.iter().peekable();
    let mut rest = bytes;
    loop {
        let from = rest;
        let Some(entry) = next(&mut rest)? else { break };
        let mut stays = true;
        while let Some(other) = others.next_if(|other| other.entity <= entry.entity) {
            stays = other.entity != entry.entity;
            out.put(other);
        }
        if stays {
            // As it lies there.
            out.copy(from.get(..from.len() - rest.len()).unwrap_or_default());
        }
    }
    others.for_each(|other| out.put(other));
    Ok(out)
}

/// Entries in order, with where each begins.
#[derive(Clone, Debug, Default)]
pub struct Blocks {
    bytes: Vec<u8>,
    starts: Vec<usize>,
}

impl Blocks {
    pub fn put(&mut self, entry: &Entry<'_>) {
        self.starts.push(self.bytes.len());
        put(&mut self.bytes, entry);
    }

    fn copy(&mut self, entry: &[u8]) {
        self.starts.push(self.bytes.len());
        self.bytes.extend_from_slice(entry);
    }

    /// As blocks, each with its first entity; with room for what is still to come, unless it comes at the end.
    pub fn divided(&self, at_the_end: bool) -> Vec<(&[u8], &[u8])> {
        let whole = self.bytes.len();
        if whole <= MAX_BYTES {
            return self.starts.first().map(|_| (self.first(0), &self.bytes[..])).into_iter().collect();
        }
        let wanted = if at_the_end { MAX_BYTES } else { whole / whole.div_ceil(MAX_BYTES * 2 / 3) };
        let (mut blocks, mut from) = (Vec::new(), 0);
        for (start, end) in self.starts.iter().zip(self.starts.iter().skip(1).chain([&whole])) {
            if *end - from > wanted && *start > from {
                blocks.push((self.first(from), self.bytes.get(from..*start).unwrap_or_default()));
                from = *start;
            }
        }
        blocks.push((self.first(from), self.bytes.get(from..).unwrap_or_default()));
        blocks
    }

    fn first(&self, from: usize) -> &[u8] {
        let mut bytes = self.bytes.get(from..).unwrap_or_default();
        next(&mut bytes).ok().flatten().map(|entry| entry.entity).unwrap_or_default()
    }
}
