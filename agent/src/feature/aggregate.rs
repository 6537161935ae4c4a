//! The aggregates by name, and what a finished one is towards the outside. Pure.
//!
//! | aggregate | as in PostgreSQL | exactness |
//! | --- | --- | --- |
//! | count | `count(*)`, `count(x)` | exact |
//! | sum | `sum(x)` | exact over integers and decimals; doubles are added in window order |
//! | avg | `avg(x)` | `numeric` division with its digits and rounding, then the nearest double |
//! | min, max | `min(x)`, `max(x)` | exact; text by its bytes |
//! | first, last | `(array_agg(x ORDER BY time, key))[1]`, … `DESC, key DESC` | exact, null included |
//! | first_n, last_n | `(array_agg(x ORDER BY time, key) FILTER (WHERE x IS NOT NULL))[1:n]`, … `DESC` | exact |
//! | last_distinct_n | the same over the latest row of each value: newest first | exact |
//! | count_distinct | `count(DISTINCT x)` | exact |
//! | var_pop, var_samp, stddev_pop, stddev_samp | the same | `numeric` as there, then the nearest double; doubles by its recurrence in window order |
//! | percentile | `percentile_cont(p) WITHIN GROUP (ORDER BY x::float8)` | bit-equal |
//! | approx_count_distinct, approx_percentile | | exact as well: the rows are at hand, so the error is zero |
//!
//! "Window order" is (event time, key). Every result is bit-equal with PostgreSQL's for the expression
//! shown, with doubles aggregated in that order. Nulls do not count, except for `first`, `last` and
//! `count(*)`; without rows, counts are 0 and the rest null.

use crate::model::feature::FeatureType;
use crate::model::value::Value;

/// What is done with a window's values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Aggregate {
    Count,
    Sum,
    Average,
    Min,
    Max,
    First,
    Last,
    FirstN(usize),
    LastN(usize),
    LastDistinctN(usize),
    Distinct,
    /// Variance, or with `root` the standard deviation; of a sample or of all.
    Spread {
        sample: bool,
        root: bool,
    },
    /// From 0 to 1.
    Percentile(f64),
}

impl Aggregate {
    /// The names as written; `n` and `p` come later.
    pub const NAMES: [(&'static str, Aggregate); 18] = [
        ("count", Aggregate::Count),
        ("sum", Aggregate::Sum),
        ("avg", Aggregate::Average),
        ("min", Aggregate::Min),
        ("max", Aggregate::Max),
        ("first", Aggregate::First),
        ("last", Aggregate::Last),
        ("first_n", Aggregate::FirstN(0)),
        ("last_n", Aggregate::LastN(0)),
        ("last_distinct_n", Aggregate::LastDistinctN(0)),
        ("count_distinct", Aggregate::Distinct),
        ("approx_count_distinct", Aggregate::Distinct),
        ("var_pop", Aggregate::Spread { sample: false, root: false }),
        ("var_samp", Aggregate::Spread { sample: true, root: false }),
        ("stddev_pop", Aggregate::Spread { sample: false, root: true }),
        ("stddev_samp", Aggregate::Spread { sample: true, root: true }),
        ("percentile", Aggregate::Percentile(0.0)),
        ("approx_percentile", Aggregate::Percentile(0.0)),
    ];

    /// With its `n`; the same for those that take none.
    pub fn with_n(self, n: usize) -> Aggregate {
        match self {
            Aggregate::FirstN(_) => Aggregate::FirstN(n),
            Aggregate::LastN(_) => Aggregate::LastN(n),
            Aggregate::LastDistinctN(_) => Aggregate::LastDistinctN(n),
            other => other,
        }
    }

    pub fn takes_n(self) -> bool {
        matches!(self, Aggregate::FirstN(_) | Aggregate::LastN(_) | Aggregate::LastDistinctN(_))
    }

    pub fn takes_p(self) -> bool {
        matches!(self, Aggregate::Percentile(_))
    }

    pub fn needs_numbers(self) -> bool {
        use Aggregate::{Average, Percentile, Spread, Sum};
        matches!(self, Sum | Average | Spread { .. } | Percentile(_))
    }

    /// Of a column that is a list (a vector): nothing is computed with those.
    pub fn takes_lists(self) -> bool {
        matches!(self, Aggregate::Count | Aggregate::First | Aggregate::Last)
    }

    /// What its values are when the definition does not say; of a list, its elements.
    pub fn natural_type(self) -> FeatureType {
        match self {
            Aggregate::Count | Aggregate::Distinct => FeatureType::Int64,
            _ if self.needs_numbers() => FeatureType::Double,
            _ => FeatureType::Natural,
        }
    }

    pub fn can_give(self, kind: FeatureType) -> bool {
        match self {
            Aggregate::Count | Aggregate::Distinct => kind == FeatureType::Int64,
            Aggregate::Sum => matches!(kind, FeatureType::Int64 | FeatureType::Double),
            _ if self.needs_numbers() => kind == FeatureType::Double,
            _ => true,
        }
    }
}

/// A finished value as the feature's declared type; what does not fit is null.
pub fn declared(value: Value, kind: FeatureType) -> Value {
    match (kind, value) {
        (_, Value::Null) => Value::Null,
        (kind, Value::List(values)) => {
            let values: Vec<Value> = values.into_iter().map(|value| declared(value, kind)).collect();
            // A list towards Feast has no holes.
            if values.iter().any(Value::is_null) { Value::Null } else { Value::List(values) }
        }
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
    use crate::model::decimal::Decimal;

    fn over(aggregate: Aggregate, values: &[Value]) -> Value {
        declared(super::super::kept::finish(aggregate, values.iter()), aggregate.natural_type())
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
            (First, &holes, Value::Int(4)),
            (FirstN(2), &ints, Value::List(vec![Value::Int(3), Value::Int(-1)])),
            (LastN(2), &ints, Value::List(vec![Value::Int(2), Value::Int(-1)])),
            (LastN(2), &[Value::Null], Value::Null),
            (LastDistinctN(2), &[2, 1, 1].map(Value::Int), Value::List(vec![Value::Int(1), Value::Int(2)])),
            (Distinct, &decimals, Value::Int(3)),
            (Distinct, &[Value::Float(0.0), Value::Float(-0.0), Value::Null], Value::Int(1)),
            (Spread { sample: false, root: false }, &ints, Value::Float(2.888_888_888_888_889)),
            (Spread { sample: true, root: true }, &ints, Value::Float(2.081_665_999_466_132_8)),
            (Spread { sample: true, root: false }, &holes, Value::Null),
            (Percentile(0.5), &ints, Value::Float(2.0)),
            (Percentile(0.75), &ints, Value::Float(2.5)),
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
