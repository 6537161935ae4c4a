//! Aggregates that need their window's values, in the order of (event time, key). Pure.
//!
//! Doubles are added in that order, as `sum(x ORDER BY time, key)` adds them: a sum that is taken back
//! from would differ in its last bits. Spread follows PostgreSQL: exact for integers and decimals,
//! Youngs and Cramer's recurrence for doubles.

use super::aggregate::Aggregate;
use super::total::Total;
use crate::model::decimal::Decimal;
use crate::model::value::{Value, order_floats};
use std::cmp::Ordering;

/// What is aggregated over `values`, which are in order; nulls are in.
pub fn finish<'a>(aggregate: Aggregate, values: impl DoubleEndedIterator<Item = &'a Value> + Clone) -> Value {
    let present = values.clone().filter(|value| !value.is_null());
    match aggregate {
        Aggregate::Count => Value::Int(present.count() as i64),
        Aggregate::Sum => sum(present),
        Aggregate::Average => average(present),
        Aggregate::First => values.clone().next().cloned().unwrap_or(Value::Null),
        Aggregate::Last => values.clone().next_back().cloned().unwrap_or(Value::Null),
        Aggregate::Min => extreme(present, Ordering::Less),
        Aggregate::Max => extreme(present, Ordering::Greater),
        Aggregate::FirstN(n) => list(present.take(n).cloned()),
        Aggregate::LastN(n) => list(present.rev().take(n).cloned()),
        Aggregate::LastDistinctN(n) => list(distinct(present.rev(), n)),
        Aggregate::Distinct => Value::Int(distinct(present, usize::MAX).len() as i64),
        Aggregate::Spread { sample, root } => spread(present, sample, root),
        Aggregate::Percentile(p) => percentile(present, p),
    }
}

fn sum<'a>(values: impl Iterator<Item = &'a Value> + Clone) -> Value {
    let mut total = Total::default();
    if values.clone().all(|value| total.add(value)) {
        return total.sum();
    }
    // The first double is taken as it is, so that a sum of only -0.0 keeps its sign.
    let sum = values.filter_map(Value::to_f64).reduce(|sum, value| sum + value);
    sum.map_or(Value::Null, Value::Float)
}

fn average<'a>(values: impl Iterator<Item = &'a Value> + Clone) -> Value {
    let mut total = Total::default();
    if values.clone().all(|value| total.add(value)) {
        return total.average();
    }
    // PostgreSQL's avg starts from +0.0, so that the average of only -0.0 is 0.0.
    let (count, sum) = values.filter_map(Value::to_f64).fold((0u64, 0.0), |(n, sum), v| (n + 1, sum + v));
    Value::Float(sum / count as f64)
}

fn extreme<'a>(values: impl Iterator<Item = &'a Value>, wanted: Ordering) -> Value {
    let better = |best: &'a Value, value: &'a Value| match value.order(best) {
        Some(order) if order == wanted || order.is_eq() => value,
        _ => best,
    };
    values.reduce(better).cloned().unwrap_or(Value::Null)
}

fn list(values: impl IntoIterator<Item = Value>) -> Value {
    let values: Vec<Value> = values.into_iter().collect();
    if values.is_empty() { Value::Null } else { Value::List(values) }
}

/// Each value once, at its first place; equal by value: 1.0 is 1.00.
fn distinct<'a>(values: impl Iterator<Item = &'a Value>, limit: usize) -> Vec<Value> {
    let mut seen = std::collections::HashSet::new();
    values.filter(|value| seen.insert(value.identity())).take(limit).cloned().collect()
}

fn spread<'a>(values: impl Iterator<Item = &'a Value> + Clone, sample: bool, root: bool) -> Value {
    if values.clone().all(|value| !matches!(value, Value::Float(_))) {
        return exact_spread(values, sample, root);
    }
    let (mut count, mut sum, mut squares) = (0.0, 0.0, 0.0);
    for value in values.filter_map(Value::to_f64) {
        let before = count;
        count += 1.0;
        sum += value;
        if count > 1.0 {
            let gap = value * count - sum;
            squares += gap * gap / (count * before);
        } else if !value.is_finite() {
            squares = f64::NAN;
        }
    }
    let divisor = if sample { count - 1.0 } else { count };
    if divisor <= 0.0 {
        return Value::Null;
    }
    let variance: f64 = squares / divisor;
    Value::Float(if root { variance.sqrt() } else { variance })
}

fn exact_spread<'a>(values: impl Iterator<Item = &'a Value>, sample: bool, root: bool) -> Value {
    let (mut count, mut sum, mut squares) = (0u64, Decimal::new(0, 0), Decimal::new(0, 0));
    for value in values {
        let value = match value {
            Value::Int(n) => Decimal::new(i128::from(*n), 0),
            Value::Decimal(n) => n.clone(),
            _ => continue,
        };
        count += 1;
        sum = sum.plus(&value);
        squares = squares.plus(&value.times(&value));
    }
    let divisor = if sample { count.saturating_sub(1) } else { count };
    if divisor == 0 {
        return Value::Null;
    }
    let apart = squares.times(&Decimal::new(i128::from(count), 0)).plus(&sum.times(&sum).negated());
    if apart.cmp(&Decimal::new(0, 0)).is_le() {
        return Value::Decimal(Decimal::new(0, 0));
    }
    let variance = apart.divided_by(count.saturating_mul(divisor));
    Value::Decimal(if root { variance.root() } else { variance })
}

/// `percentile_cont(p) WITHIN GROUP (ORDER BY x::float8)`.
fn percentile<'a>(values: impl Iterator<Item = &'a Value>, p: f64) -> Value {
    let mut sorted: Vec<f64> = values.filter_map(Value::to_f64).collect();
    sorted.sort_by(|a, b| order_floats(*a, *b));
    let Some(last) = sorted.len().checked_sub(1) else { return Value::Null };
    let place = p * last as f64;
    let at = |place: f64| sorted.get(place as usize).copied().unwrap_or(f64::NAN);
    let (low, high) = (place.floor(), place.ceil());
    Value::Float(if low == high { at(low) } else { at(low) + (place - low) * (at(high) - at(low)) })
}
