//! Columns and random cells: our values and the same as SQL literals.

use agent::model::decimal::Decimal;
use agent::model::value::Value;
use fastrand::Rng;

pub const MINUTE: i64 = 60_000_000;

/// A column's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Int,
    Bigint,
    /// `numeric(12,2)`
    Money,
    /// `numeric`, of any scale
    Loose,
    Float,
    Text,
    Bool,
    Time,
    /// `float8[]`
    Vector,
}

impl Kind {
    pub const ALL: [Kind; 9] = [
        Kind::Int,
        Kind::Bigint,
        Kind::Money,
        Kind::Loose,
        Kind::Float,
        Kind::Text,
        Kind::Bool,
        Kind::Time,
        Kind::Vector,
    ];

    /// Those that MariaDB has too.
    pub const MARIADB: [Kind; 7] =
        [Kind::Int, Kind::Bigint, Kind::Money, Kind::Float, Kind::Text, Kind::Bool, Kind::Time];

    pub fn mariadb(self) -> &'static str {
        match self {
            Kind::Float => "double",
            Kind::Text => "varchar(9) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin",
            Kind::Time => "datetime(6)",
            other => other.sql(),
        }
    }

    /// A value as [`shown`] has it, numbers that are doubles here as text.
    pub fn mariadb_shown(self, value: &str) -> String {
        match self {
            Kind::Money => format!("CAST({value} AS DOUBLE)"),
            Kind::Bool => format!("elt({value} + 1, 'false', 'true')"),
            Kind::Time => format!("timestampdiff(MICROSECOND, '1970-01-01', {value})"),
            _ => value.to_owned(),
        }
    }

    pub fn sql(self) -> &'static str {
        match self {
            Kind::Int => "int",
            Kind::Bigint => "bigint",
            Kind::Money => "numeric(12,2)",
            Kind::Loose => "numeric",
            Kind::Float => "float8",
            Kind::Text => "text COLLATE \"C\"",
            Kind::Bool => "bool",
            Kind::Time => "timestamptz",
            Kind::Vector => "float8[]",
        }
    }

    pub fn is_number(self) -> bool {
        !matches!(self, Kind::Text | Kind::Bool | Kind::Time | Kind::Vector)
    }

    fn value(self, random: &mut Rng, now_us: i64) -> (Value, String) {
        match self {
            Kind::Int => {
                let n =
                    if random.bool() { random.i64(-3..4) } else { random.i64(-1_000_000_000..1_000_000_000) };
                (Value::Int(n), n.to_string())
            }
            Kind::Bigint => {
                let n = random.i64(-(1 << 62)..1 << 62);
                (Value::Int(n), n.to_string())
            }
            Kind::Money => {
                let most = [100, 100_000, 1_000_000_000][random.usize(0..3)];
                decimal(Decimal::new(i128::from(random.i64(-50..most)), 2))
            }
            Kind::Loose => {
                let scale = if random.bool() { 3 } else { random.u32(0..30) };
                decimal(Decimal::new(i128::from(random.i64(-20..1 << 31)) * 10 + 1, scale))
            }
            Kind::Float => {
                let f = (random.i64(0..2_000_001) as f64 - 1e6) * 10f64.powi(random.i32(-10..10));
                (Value::Float(f), format!("'{f:e}'"))
            }
            Kind::Text => {
                let text = ["", "a", "B", "ü", "zz", "it"][random.usize(0..6)];
                (Value::Text(text.into()), format!("'{text}'"))
            }
            Kind::Bool => {
                let truth = random.bool();
                (Value::Bool(truth), truth.to_string())
            }
            Kind::Vector => {
                let numbers: Vec<f64> = (0..random.usize(0..4)).map(|_| random.f64() - 0.5).collect();
                let text: Vec<String> = numbers.iter().map(|n| format!("{n:e}")).collect();
                let values = numbers.into_iter().map(Value::Float).collect();
                (Value::List(values), format!("'{{{}}}'", text.join(",")))
            }
            Kind::Time => time(now_us - random.i64(0..100) * MINUTE),
        }
    }

    /// Null one time in six.
    pub fn cell(self, random: &mut Rng, now_us: i64) -> (Value, String) {
        let cell = self.value(random, now_us);
        if random.u8(0..6) == 0 { null() } else { cell }
    }
}

pub fn null() -> (Value, String) {
    (Value::Null, "NULL".to_owned())
}

pub fn time(micros: i64) -> (Value, String) {
    (Value::Timestamp(micros), format!("t({micros})"))
}

fn decimal(n: Decimal) -> (Value, String) {
    let text = n.to_string();
    (Value::Decimal(n), text)
}

/// A feature's value as the question's SQL prints it.
pub fn shown(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Int(n) | Value::Timestamp(n) => n.to_string(),
        Value::Float(n) => format!("{:016x}", n.to_bits()),
        Value::Text(text) => text.clone(),
        Value::Bool(truth) => truth.to_string(),
        Value::List(values) => values.iter().map(shown).collect::<Vec<_>>().join(","),
        other => panic!("{other:?}"),
    }
}
