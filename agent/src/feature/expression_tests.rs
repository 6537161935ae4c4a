//! Conditions against SQLite, which is the oracle for the dialect; then what is refused.

use super::*;
use rusqlite::Connection;
use rusqlite::types::Value as Cell;

/// Deterministic numbers; the seed is in every failure's message.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from.get(self.below(from.len() as u64) as usize).copied().unwrap_or("")
    }
}

const NUMBERS: &[&str] = &["i", "f", "0", "1", "-3", "2.5", "-0.5", "7", "NULL"];
const TEXTS: &[&str] = &["t", "u", "'a'", "'b'", "''", "'it''s'", "NULL"];

fn comparison(random: &mut Random) -> String {
    let family = if random.below(2) == 0 { NUMBERS } else { TEXTS };
    let value = random.pick(family).to_owned();
    match random.below(6) {
        0 => format!("{value} IS NULL"),
        1 => format!("{value} IS NOT NULL"),
        2 => format!("{value} IN ({}, {})", random.pick(family), random.pick(family)),
        3 => format!("{value} NOT IN ({}, {})", random.pick(family), random.pick(family)),
        4 => format!("{value} BETWEEN {} AND {}", random.pick(family), random.pick(family)),
        _ => format!("{value} {} {}", random.pick(&["=", "<>", "<", "<=", ">", ">="]), random.pick(family)),
    }
}

fn condition(random: &mut Random, depth: u32) -> String {
    match if depth == 0 { 9 } else { random.below(6) } {
        0 => format!("({} AND {})", condition(random, depth - 1), condition(random, depth - 1)),
        1 => format!("({} OR {})", condition(random, depth - 1), condition(random, depth - 1)),
        2 => format!("NOT ({})", condition(random, depth - 1)),
        3 => format!("({}) IS TRUE", condition(random, depth - 1)),
        _ => comparison(random),
    }
}

fn cells(random: &mut Random) -> Vec<Value> {
    let number = random.below(9) as i64 - 4;
    let int = if random.below(4) == 0 { Value::Null } else { Value::Int(number) };
    let float = if random.below(4) == 0 { Value::Null } else { Value::Float(number as f64 / 2.0) };
    let text = |random: &mut Random| match random.below(5) {
        0 => Value::Null,
        n => Value::Text(["", "a", "b", "it's"].get(n as usize - 1).copied().unwrap_or("").to_owned()),
    };
    vec![int, float, text(random), text(random)]
}

fn cell(value: &Value) -> Cell {
    match value {
        Value::Int(n) => Cell::Integer(*n),
        Value::Float(n) => Cell::Real(*n),
        Value::Text(text) => Cell::Text(text.clone()),
        _ => Cell::Null,
    }
}

#[test]
fn agrees_with_sqlite() {
    let sqlite = Connection::open_in_memory().expect("in memory");
    for seed in 0..3_000 {
        let mut random = Random(seed);
        let text = condition(&mut random, 3);
        let values = cells(&mut random);
        let sql = format!("SELECT ({text}) FROM (SELECT ?1 AS i, ?2 AS f, ?3 AS t, ?4 AS u)");
        let want: Option<bool> = sqlite
            .query_row(&sql, rusqlite::params_from_iter(values.iter().map(cell)), |row| row.get(0))
            .expect("SQLite understands it");
        let compiled = Expression::compile(&text).unwrap_or_else(|e| panic!("seed {seed}: {text}: {e}"));
        let order = ["i", "f", "t", "u"];
        let given: Vec<&Value> = compiled
            .columns()
            .iter()
            .map(|name| values.get(order.iter().position(|o| o == name).expect("known")).expect("there"))
            .collect();
        assert_eq!(compiled.evaluate(&given), Ok(want), "seed {seed}: {text} over {values:?}");
    }
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    for (text, says) in [
        ("amount + 1 > 2", "amount + 1"),
        ("lower(name) = 'a'", "lower(name)"),
        ("name LIKE 'a%'", "LIKE"),
        ("a = 1 b = 2", "unexpected b"),
        ("a = ", "Expected"),
        ("(SELECT 1) = 1", "SELECT"),
        ("a.b.c = 1", "a.b.c"),
    ] {
        let error = Expression::compile(text).expect_err(text);
        assert!(error.contains(says), "{text}: {error}");
    }
    assert!(Expression::compile(&"(".repeat(5_000)).is_err());
    assert!(Expression::compile(&format!("{} a", "NOT ".repeat(2_000))).is_err());
}

#[test]
fn times_compare_with_text_and_mixed_kinds_are_refused() {
    let at = Expression::compile("created_at >= '2026-01-01' AND created_at < '2026-01-01T01:00:00+01:00'")
        .expect("compiles");
    let midnight = 1_767_225_600_000_000;
    assert_eq!(at.evaluate(&[&Value::Timestamp(midnight)]), Ok(Some(false)));
    let day =
        Expression::compile("created_at BETWEEN '2026-01-01' AND '2026-01-02 00:00:00'").expect("compiles");
    for (offset, want) in [(-1, false), (0, true), (86_400_000_000, true), (86_400_000_001, false)] {
        assert_eq!(day.evaluate(&[&Value::Timestamp(midnight + offset)]), Ok(Some(want)), "{offset}");
    }
    let mixed = Expression::compile("status = 1").expect("compiles");
    assert!(mixed.evaluate(&[&Value::Text("1".to_owned())]).is_err());
    let exact = Expression::compile("amount > 10.10").expect("compiles");
    let amount = Value::Decimal(Decimal::parse("10.1").expect("a decimal"));
    assert_eq!(exact.evaluate(&[&amount]), Ok(Some(false)));
}
