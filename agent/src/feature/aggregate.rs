//! One accumulator per aggregate. Pure. The rows of a window come in the order of (event time, key).
//!
//! | aggregate | as in PostgreSQL | exactness |
//! | --- | --- | --- |
//! | count | `count(*)`, `count(x)` | exact |
//! | sum | `sum(x)` | exact over integers and decimals; doubles are added in window order |
//! | avg | `avg(x)` | `numeric` division with its digits and rounding, then the nearest double |
//! | min, max | `min(x)`, `max(x)` | exact; text by its bytes |
//! | last | `(array_agg(x ORDER BY time DESC, key DESC))[1]` | exact, null included |
//!
//! Nulls do not count, except for `last` and `count(*)`; without rows, count is 0 and the rest null.

use crate::model::decimal::Decimal;
use crate::model::feature::FeatureType;
use crate::model::value::Value;
use std::cmp::Ordering;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aggregate {
    Count,
    Sum,
    Average,
    Min,
    Max,
    Last,
}

impl Aggregate {
    pub const NAMES: [(&'static str, Aggregate); 6] = [
        ("count", Aggregate::Count),
        ("sum", Aggregate::Sum),
        ("avg", Aggregate::Average),
        ("min", Aggregate::Min),
        ("max", Aggregate::Max),
        ("last", Aggregate::Last),
    ];

    pub fn parse(name: &str) -> Option<Aggregate> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, aggregate)| *aggregate)
    }

    pub fn needs_numbers(self) -> bool {
        matches!(self, Aggregate::Sum | Aggregate::Average)
    }

    /// What its values are when the definition does not say.
    pub fn natural_type(self) -> FeatureType {
        match self {
            Aggregate::Count => FeatureType::Int64,
            Aggregate::Sum | Aggregate::Average => FeatureType::Double,
            Aggregate::Min | Aggregate::Max | Aggregate::Last => FeatureType::Natural,
        }
    }

    pub fn start(self) -> Accumulator {
        match self {
            Aggregate::Count => Accumulator::Count(0),
            Aggregate::Sum => Accumulator::Sum(Total::default()),
            Aggregate::Average => Accumulator::Average(Total::default()),
            Aggregate::Min => Accumulator::Extreme(Ordering::Less, None),
            Aggregate::Max => Accumulator::Extreme(Ordering::Greater, None),
            Aggregate::Last => Accumulator::Last(Value::Null),
        }
    }
}

/// The state of one aggregate over the rows seen so far.
#[derive(Clone, Debug)]
pub enum Accumulator {
    Count(i64),
    Sum(Total),
    Average(Total),
    Extreme(Ordering, Option<Value>),
    Last(Value),
}

impl Accumulator {
    pub fn add(&mut self, value: &Value) {
        match self {
            Accumulator::Last(last) => last.clone_from(value),
            _ if value.is_null() => {}
            Accumulator::Count(count) => *count += 1,
            Accumulator::Sum(total) | Accumulator::Average(total) => total.add(value),
            Accumulator::Extreme(wanted, best) => {
                if best.as_ref().is_none_or(|best| value.order(best) == Some(*wanted)) {
                    *best = Some(value.clone());
                }
            }
        }
    }

    pub fn finish(self) -> Value {
        match self {
            Accumulator::Count(count) => Value::Int(count),
            Accumulator::Sum(total) => total.sum(),
            Accumulator::Average(total) => total.average(),
            Accumulator::Extreme(_, best) => best.unwrap_or(Value::Null),
            Accumulator::Last(last) => last,
        }
    }
}

/// A sum kept twice: exactly, and as doubles in case one of the values is a double.
#[derive(Clone, Debug)]
pub struct Total {
    count: u64,
    whole: i128,
    decimal: Option<Decimal>,
    floats: f64,
    any_float: bool,
}

impl Default for Total {
    fn default() -> Self {
        Total { count: 0, whole: 0, decimal: None, floats: 0.0, any_float: false }
    }
}

impl Total {
    fn add(&mut self, value: &Value) {
        let Some(float) = value.to_f64() else { return };
        // The first double is taken as it is, so that a sum of only -0.0 keeps its sign.
        self.floats = if self.count == 0 { float } else { self.floats + float };
        self.count += 1;
        match value {
            // 2^63 rows of 64 bits each do not overflow 128.
            Value::Int(n) => self.whole += i128::from(*n),
            Value::Decimal(n) => {
                self.decimal = Some(match &self.decimal {
                    Some(sum) => sum.plus(n),
                    None => n.clone(),
                });
            }
            _ => self.any_float = true,
        }
    }

    fn exact(&self) -> Decimal {
        let whole = Decimal::new(self.whole, 0);
        match &self.decimal {
            Some(sum) if self.whole == 0 => sum.clone(),
            Some(sum) => sum.plus(&whole),
            None => whole,
        }
    }

    fn sum(&self) -> Value {
        match (self.count, self.any_float) {
            (0, _) => Value::Null,
            (_, true) => Value::Float(self.floats),
            (_, false) => Value::Decimal(self.exact()),
        }
    }

    fn average(&self) -> Value {
        match (self.count, self.any_float) {
            (0, _) => Value::Null,
            // PostgreSQL's avg starts from +0.0, so that the average of only -0.0 is 0.0.
            (count, true) => Value::Float((self.floats + 0.0) / count as f64),
            (count, false) => Value::Decimal(self.exact().divided_by(count)),
        }
    }
}

/// A finished value as the feature's declared type; what does not fit is null.
pub fn declared(value: Value, kind: FeatureType) -> Value {
    match (kind, value) {
        (_, Value::Null) => Value::Null,
        (FeatureType::Int64, Value::Int(n)) => Value::Int(n),
        (FeatureType::Int64, Value::Decimal(n)) => n.to_i64().map_or(Value::Null, Value::Int),
        (FeatureType::Double, value) => value.to_f64().map_or(Value::Null, Value::Float),
        (FeatureType::Natural, Value::Decimal(n)) => Value::Float(n.to_f64()),
        (FeatureType::Natural, Value::Opaque | Value::Unchanged | Value::Absent) => Value::Null,
        (FeatureType::Natural, value) => value,
        (FeatureType::Text, Value::Text(text)) => Value::Text(text),
        (FeatureType::Bool, Value::Bool(truth)) => Value::Bool(truth),
        (FeatureType::Timestamp, Value::Timestamp(micros)) => Value::Timestamp(micros),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over(aggregate: Aggregate, values: &[Value]) -> Value {
        let mut accumulator = aggregate.start();
        values.iter().for_each(|value| accumulator.add(value));
        declared(accumulator.finish(), aggregate.natural_type())
    }

    #[test]
    fn each_aggregate_on_each_kind() {
        let ints = [3, -1, 2].map(Value::Int);
        let decimals = ["1.10", "2.20", "-0.05"].map(|t| Value::Decimal(Decimal::parse(t).expect("decimal")));
        let floats = [0.1, 0.2, 0.3].map(Value::Float);
        let texts = ["b", "a", "c"].map(|t| Value::Text(t.to_owned()));
        let holes = [Value::Int(4), Value::Null];
        use Aggregate::*;
        for (aggregate, values, want) in [
            (Count, &ints[..], Value::Int(3)),
            (Count, &holes[..], Value::Int(1)),
            (Count, &[], Value::Int(0)),
            (Sum, &ints, Value::Float(4.0)),
            (Sum, &decimals, Value::Float(3.25)),
            (Sum, &floats, Value::Float(0.1 + 0.2 + 0.3)),
            (Sum, &[], Value::Null),
            (Average, &ints, Value::Float(4.0 / 3.0)),
            (Average, &decimals, Value::Float(1.083_333_333_333_333_3)),
            (Average, &holes, Value::Float(4.0)),
            (Min, &decimals, Value::Float(-0.05)),
            (Max, &texts, Value::Text("c".to_owned())),
            (Max, &[Value::Float(f64::NAN), Value::Float(1.0)], Value::Float(f64::NAN)),
            (Min, &[Value::Null], Value::Null),
            (Last, &ints, Value::Int(2)),
            (Last, &holes, Value::Null),
        ] {
            let got = over(aggregate, values);
            assert!(got.same_bits(&want), "{aggregate:?} of {values:?}: {got:?}, not {want:?}");
        }
    }

    #[test]
    fn declared_types() {
        let sum = |n: i128| Value::Decimal(Decimal::new(n, 0));
        assert_eq!(declared(sum(5), FeatureType::Int64), Value::Int(5));
        assert_eq!(declared(sum(i128::from(i64::MAX) + 1), FeatureType::Int64), Value::Null);
        assert_eq!(declared(Value::Text("x".to_owned()), FeatureType::Double), Value::Null);
    }
}
