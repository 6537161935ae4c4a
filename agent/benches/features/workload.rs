//! Card payments from a seed: users by Zipf and Mandelbrot (the busiest of 10,000 has 1.3 % of the rows),
//! log-normal amounts, one row in a hundred up to five seconds late, and few of each mistake that the
//! rules look for.

use agent::model::decimal::Decimal;
use agent::model::pack;
use agent::model::row::{Op, Row};
use agent::model::value::Value;
use fastrand::Rng;

pub const TOPIC: &str = "payments";
pub const COLUMNS: [&str; 7] =
    ["user_id", "amount", "merchant_id", "status", "currency", "created_at", "confidence"];
/// 2026-01-01 00:00:00 UTC.
pub const START_US: i64 = 1_767_225_600_000_000;
const SEED: u64 = 7;
const ZIPF_SHIFT: f64 = 10.0;
const MERCHANTS: i64 = 500;
const LATEST_MS: i64 = 5_000;
const CREATED_AT: usize = 5;

/// What is made.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub users: u64,
    /// Event time between two rows.
    pub step_us: i64,
    pub late: bool,
}

/// The rows, one after the other.
pub struct Workload {
    options: Options,
    random: Rng,
    /// Cumulative weights of the users.
    weights: Vec<f64>,
    made: u64,
}

impl Workload {
    pub fn new(options: Options) -> Workload {
        let mut sum = 0.0;
        let weight = |rank: u64| {
            sum += 1.0 / (rank as f64 + 1.0 + ZIPF_SHIFT);
            sum
        };
        let weights = (0..options.users.max(1)).map(weight).collect();
        Workload { options, random: Rng::with_seed(SEED), weights, made: 0 }
    }

    pub fn made(&self) -> u64 {
        self.made
    }

    /// The time of the newest row that is not late.
    pub fn now_us(&self) -> i64 {
        START_US + self.made as i64 * self.options.step_us
    }

    fn user(&mut self) -> u64 {
        let at = self.random.f64() * self.weights.last().copied().unwrap_or(1.0);
        self.weights.partition_point(|weight| *weight < at) as u64
    }

    fn hundredths(&mut self) -> i64 {
        let (a, b) = (1.0 - self.random.f64(), self.random.f64());
        let normal = (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos();
        (8.0 + 1.2 * normal).exp() as i64
    }

    fn amount(&mut self, luck: f64) -> Value {
        let hundredths = self.hundredths();
        let hundredths = match luck {
            ..0.001 => return Value::Null,
            ..0.0015 => -hundredths - 1,
            ..0.002 => 100_000_100 + hundredths,
            _ => hundredths,
        };
        Value::Decimal(Decimal::new(i128::from(hundredths), 2))
    }

    fn one_of(&mut self, choices: &[(f64, &str)]) -> Value {
        let luck = self.random.f64() * 100.0;
        let found = choices.iter().find(|(until, _)| luck < *until).or(choices.last());
        found.map_or(Value::Null, |(_, text)| Value::Text((*text).to_owned()))
    }
}

impl Iterator for Workload {
    type Item = Row;

    fn next(&mut self) -> Option<Row> {
        self.made += 1;
        let mut time_us = self.now_us();
        if self.options.late && self.random.f64() < 0.01 {
            time_us -= self.random.i64(1..=LATEST_MS) * 1_000;
        }
        let luck = self.random.f64();
        let user = self.user();
        let after = vec![
            if luck > 0.999 { Value::Null } else { Value::Text(format!("u{user:05}")) },
            self.amount(luck),
            Value::Int(self.random.i64(1..=MERCHANTS)),
            self.one_of(&[(90.0, "settled"), (96.0, "pending"), (99.9, "reversed"), (100.0, "bogus")]),
            self.one_of(&[(60.0, "USD"), (85.0, "EUR"), (95.0, "GBP"), (99.9, "JPY"), (100.0, "usd")]),
            Value::Timestamp(time_us),
            if self.random.f64() < 0.005 { Value::Null } else { Value::Float(self.random.f64()) },
        ];
        let offset = self.made as i64;
        let key = Some(pack::sortable([&Value::Int(offset)]));
        Some(Row { op: Op::Create, key, after: Some(after), committed_us: time_us, offset })
    }
}

/// Memory of the users' weights.
pub fn table_bytes(options: Options) -> u64 {
    options.users * size_of::<f64>() as u64
}

/// A row's event time.
pub fn time_us(row: &Row) -> i64 {
    match row.after.as_ref().and_then(|after| after.get(CREATED_AT)) {
        Some(Value::Timestamp(micros)) => *micros,
        _ => row.committed_us,
    }
}
