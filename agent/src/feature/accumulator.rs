//! One window's state of one feature for one entity, kept up while rows come and go. Pure.
//!
//! | state | for | rows come | the oldest leaves | another is taken back |
//! | --- | --- | --- | --- | --- |
//! | `Count`, `Total` | count; sum, avg of integers and decimals | any order | exact | exact |
//! | `Distinct` | count_distinct | any order | exact | exact |
//! | `Extreme` | min, max: rows that no later one beats | any order | exact | exact unless it is one of them |
//! | `Last` | last | any order | exact | exact unless it is the last |
//! | `Kept` | everything else, and doubles | any order | exact | exact |
//!
//! Where something is not exact the method says false, and the entity is computed anew from its rows.

use super::aggregate::Aggregate;
use super::kept;
use super::total::Total;
use crate::model::value::Value;
use hashbrown::HashMap;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::collections::VecDeque;

/// A row's place in window order, and its value.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    pub time_us: i64,
    pub key: &'a [u8],
    pub value: &'a Value,
}

#[derive(Clone, Debug)]
pub enum Accumulator {
    Count(i64),
    Total(Aggregate, Total),
    Distinct(Distinct),
    Extreme(Ordering, VecDeque<(i64, Value)>),
    Last(Option<(i64, Box<[u8]>, Value)>),
    Kept(Aggregate, VecDeque<(i64, Box<[u8]>, Value)>),
}

/// How many rows have each value; a value is in one of the three. Small integers are by far the most common.
#[derive(Clone, Debug, Default)]
pub struct Distinct {
    small: HashMap<i32, u32>,
    large: BTreeMap<i64, u32>,
    others: BTreeMap<Box<[u8]>, u32>,
}

impl Distinct {
    fn change(&mut self, value: &Value, by: i32) {
        // 1.00 is 1, whatever type the column had when.
        let whole = match value {
            Value::Int(n) => Some(*n),
            Value::Decimal(n) => n.to_i64(),
            _ => None,
        };
        match whole.map(|n| i32::try_from(n).map_err(|_| n)) {
            Some(Ok(n)) => self.change_small(n, by),
            Some(Err(n)) => count(&mut self.large, n, by),
            None => count(&mut self.others, value.identity().into(), by),
        }
    }

    fn change_small(&mut self, n: i32, by: i32) {
        use hashbrown::hash_map::Entry;
        match self.small.entry(n) {
            Entry::Vacant(entry) if by > 0 => drop(entry.insert(by.unsigned_abs())),
            Entry::Vacant(_) => {}
            Entry::Occupied(mut entry) => match entry.get().checked_add_signed(by) {
                Some(left @ 1..) => *entry.get_mut() = left,
                _ => drop(entry.remove()),
            },
        }
        // Whoever had many once may have few now.
        if by < 0 && self.small.len() < self.small.capacity() / 8 {
            self.small.shrink_to(2 * self.small.len());
        }
    }

    fn len(&self) -> usize {
        self.small.len() + self.large.len() + self.others.len()
    }

    fn bytes(&self) -> usize {
        self.small.allocation_size() + self.large.len() * 20 + self.others.len() * 64
    }
}

fn count<K: Ord>(counts: &mut BTreeMap<K, u32>, key: K, by: i32) {
    use std::collections::btree_map::Entry;
    match counts.entry(key) {
        Entry::Vacant(entry) if by > 0 => drop(entry.insert(by.unsigned_abs())),
        Entry::Vacant(_) => {}
        Entry::Occupied(mut entry) => match entry.get().checked_add_signed(by) {
            Some(left @ 1..) => drop(entry.insert(left)),
            _ => drop(entry.remove()),
        },
    }
}

impl Accumulator {
    /// `keep`: hold the values whatever the aggregate is.
    pub fn start(aggregate: Aggregate, keep: bool) -> Accumulator {
        match aggregate {
            _ if keep => Accumulator::Kept(aggregate, VecDeque::new()),
            Aggregate::Count => Accumulator::Count(0),
            Aggregate::Sum | Aggregate::Average => Accumulator::Total(aggregate, Total::default()),
            Aggregate::Distinct => Accumulator::Distinct(Distinct::default()),
            Aggregate::Min => Accumulator::Extreme(Ordering::Less, VecDeque::new()),
            Aggregate::Max => Accumulator::Extreme(Ordering::Greater, VecDeque::new()),
            Aggregate::Last => Accumulator::Last(None),
            _ => Accumulator::Kept(aggregate, VecDeque::new()),
        }
    }

    /// A row came into the window.
    #[must_use]
    pub fn add(&mut self, item: Item<'_>) -> bool {
        match self {
            Accumulator::Last(last) => {
                let newer =
                    |(time, key, _): &(i64, Box<[u8]>, Value)| (*time, &**key) <= (item.time_us, item.key);
                if last.as_ref().is_none_or(newer) {
                    *last = Some((item.time_us, item.key.into(), item.value.clone()));
                }
                true
            }
            Accumulator::Kept(_, rows) => {
                let place = match rows.back() {
                    Some(back) if (back.0, &*back.1) > (item.time_us, item.key) => place(rows, &item),
                    _ => rows.len(),
                };
                rows.insert(place, (item.time_us, item.key.into(), item.value.clone()));
                true
            }
            _ if item.value.is_null() => true,
            Accumulator::Count(count) => {
                *count += 1;
                true
            }
            Accumulator::Total(_, total) => total.add(item.value),
            Accumulator::Distinct(distinct) => {
                distinct.change(item.value, 1);
                true
            }
            Accumulator::Extreme(wanted, best) => extend(best, *wanted, item),
        }
    }

    /// The oldest row of the window left it; those of the same time leave together with it.
    #[must_use]
    pub fn leave(&mut self, item: Item<'_>) -> bool {
        match self {
            Accumulator::Last(last) => {
                if last.as_ref().is_some_and(|(time, ..)| *time <= item.time_us) {
                    *last = None;
                }
                true
            }
            Accumulator::Extreme(_, best) => {
                while best.front().is_some_and(|(time, _)| *time <= item.time_us) {
                    best.pop_front();
                }
                true
            }
            _ => self.remove(item),
        }
    }

    /// A row in the window is taken back.
    #[must_use]
    pub fn remove(&mut self, item: Item<'_>) -> bool {
        match self {
            Accumulator::Last(last) => {
                !last.as_ref().is_some_and(|(time, key, _)| *time == item.time_us && **key == *item.key)
            }
            Accumulator::Kept(_, rows) => {
                let at = place(rows, &item);
                let found =
                    rows.get(at).is_some_and(|(time, key, _)| *time == item.time_us && **key == *item.key);
                if found {
                    rows.remove(at);
                }
                found
            }
            _ if item.value.is_null() => true,
            Accumulator::Count(count) => {
                *count -= 1;
                true
            }
            Accumulator::Total(_, total) => total.remove(item.value),
            Accumulator::Distinct(distinct) => {
                distinct.change(item.value, -1);
                true
            }
            Accumulator::Extreme(_, best) => {
                !best.iter().any(|(time, value)| *time == item.time_us && value.same_bits(item.value))
            }
        }
    }

    pub fn value(&self) -> Value {
        match self {
            Accumulator::Count(count) => Value::Int(*count),
            Accumulator::Total(Aggregate::Sum, total) => total.sum(),
            Accumulator::Total(_, total) => total.average(),
            Accumulator::Distinct(distinct) => Value::Int(distinct.len() as i64),
            Accumulator::Extreme(_, best) => best.front().map_or(Value::Null, |(_, value)| value.clone()),
            Accumulator::Last(last) => last.as_ref().map_or(Value::Null, |(_, _, value)| value.clone()),
            Accumulator::Kept(aggregate, rows) => {
                kept::finish(*aggregate, rows.iter().map(|(.., value)| value))
            }
        }
    }

    /// Memory it takes beyond itself, roughly: its first value stands for the others.
    pub fn bytes(&self) -> usize {
        match self {
            Accumulator::Count(_) | Accumulator::Total(..) => 0,
            Accumulator::Distinct(distinct) => distinct.bytes(),
            Accumulator::Extreme(_, best) => {
                let values = best.front().map_or(0, |(_, value)| value.heap_bytes()) * best.len();
                values + best.capacity() * size_of::<(i64, Value)>()
            }
            Accumulator::Last(last) => {
                last.as_ref().map_or(0, |(_, key, value)| key.len() + value.heap_bytes() + 32)
            }
            Accumulator::Kept(_, rows) => {
                let values = rows.front().map_or(0, |(_, _, value)| value.heap_bytes()) * rows.len();
                values + rows.capacity() * (size_of::<(i64, Box<[u8]>, Value)>() + 24)
            }
        }
    }
}

fn place(rows: &VecDeque<(i64, Box<[u8]>, Value)>, item: &Item<'_>) -> usize {
    rows.partition_point(|(time, key, _)| (*time, &**key) < (item.time_us, item.key))
}

/// Keeps only rows that no later one equals or beats: times rise, values fall (for a maximum). False
/// for values that have no order.
fn extend(best: &mut VecDeque<(i64, Value)>, wanted: Ordering, item: Item<'_>) -> bool {
    let mut at = best.len();
    while at > 0 && best.get(at - 1).is_some_and(|(time, _)| *time > item.time_us) {
        at -= 1;
    }
    let beats = |a: &Value, b: &Value| a.order(b).is_none_or(|order| order.is_eq() || order == wanted);
    if best.get(at).is_some_and(|(_, later)| beats(later, item.value)) {
        return true;
    }
    while at > 0 && best.get(at - 1).is_some_and(|(_, earlier)| beats(item.value, earlier)) {
        at -= 1;
        best.remove(at);
    }
    best.insert(at, (item.time_us, item.value.clone()));
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distinct_values_small_and_large() {
        let mut random = fastrand::Rng::with_seed(9);
        let (mut distinct, mut model) = (Distinct::default(), BTreeMap::new());
        for _ in 0..40_000 {
            let n = random.i64(-1_500..1_500) * if random.u8(0..4) == 0 { 1 << 33 } else { 1 };
            let count = model.entry(n).or_insert(0u32);
            let by = if *count > 0 && random.bool() { -1 } else { 1 };
            *count = count.saturating_add_signed(by);
            distinct.change(&Value::Int(n), by);
        }
        assert_eq!(distinct.len(), model.values().filter(|count| **count > 0).count());
        assert!(distinct.small.len() > 100 && distinct.large.len() > 100);
        for (n, count) in model {
            (0..count).for_each(|_| distinct.change(&Value::Int(n), -1));
        }
        assert!(distinct.len() == 0 && distinct.bytes() < 100, "{}", distinct.bytes());
    }

    /// Against the same values aggregated at once.
    #[test]
    fn kept_up_equals_computed_anew() {
        let mut random = fastrand::Rng::with_seed(5);
        let aggregates: Vec<Aggregate> =
            Aggregate::NAMES.iter().map(|(_, aggregate)| aggregate.with_n(3)).collect();
        for round in 0..400 {
            let mut rows: Vec<(i64, Vec<u8>, Value)> = Vec::new();
            let mut states: Vec<Accumulator> =
                aggregates.iter().map(|a| Accumulator::start(*a, false)).collect();
            let anew = |rows: &[(i64, Vec<u8>, Value)], aggregate: Aggregate| {
                let mut state = Accumulator::start(aggregate, true);
                for (time_us, key, value) in rows {
                    assert!(state.add(Item { time_us: *time_us, key, value }));
                }
                state
            };
            for step in 0..40u8 {
                let choice = random.u8(0..10);
                let value = if random.u8(0..8) == 0 { Value::Null } else { Value::Int(random.i64(-4..4)) };
                let (time_us, key) = (random.i64(0..20), vec![step]);
                rows.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
                let gone: Vec<_> = match (choice, rows.len()) {
                    (0..6, _) | (_, 0) => Vec::new(),
                    (6 | 7, _) => rows.extract_if(.., |row| row.0 <= time_us / 2).collect(),
                    (_, n) => vec![rows.remove(random.usize(0..n))],
                };
                for (aggregate, state) in aggregates.iter().zip(&mut states) {
                    let mut exact = gone.iter().all(|(time_us, key, value)| {
                        let item = Item { time_us: *time_us, key, value };
                        if choice < 8 { state.leave(item) } else { state.remove(item) }
                    });
                    if choice < 6 || (gone.is_empty() && rows.is_empty()) {
                        exact &= state.add(Item { time_us, key: &key, value: &value });
                    }
                    if !exact {
                        *state = Accumulator::start(*aggregate, false);
                        for (time_us, key, value) in &rows {
                            assert!(state.add(Item { time_us: *time_us, key, value }));
                        }
                    }
                }
                if choice < 6 || (gone.is_empty() && rows.is_empty()) {
                    rows.push((time_us, key, value));
                }
                for (aggregate, state) in aggregates.iter().zip(&states) {
                    let (got, want) = (state.value(), anew(&rows, *aggregate).value());
                    assert!(got == want, "round {round} step {step}: {aggregate:?}: {got:?}, not {want:?}");
                }
            }
        }
    }
}
