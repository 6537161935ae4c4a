//! PostgreSQL as the judge: the features' meaning as SQL, and where the two differ.

use super::features::{NAMES, Values};
use super::shop::{DATABASE, Shop};
use stack::Result;

/// `avg` of decimals is a rounded number on both sides; sums of cents are not.
const TOLERANCE: f64 = 1e-9;

/// The view `user_spend` of `config/features.toml`, for every user in order, at this moment.
const SQL: &str = "
SELECT count(p.id),
       sum(p.amount)::float8, avg(p.amount)::float8, min(p.amount)::float8, max(p.amount)::float8,
       ((array_agg(p.amount ORDER BY p.created_at DESC, p.id DESC))[1])::float8
FROM users u LEFT JOIN payments p
  ON p.user_id = u.id AND p.status = 'settled' AND p.created_at > clock_timestamp() - interval '10 minutes'
GROUP BY u.id ORDER BY u.id";

/// What PostgreSQL says.
pub fn ask(shop: &Shop) -> Result<Vec<Values>> {
    let text = shop.postgres.psql(DATABASE, SQL)?;
    Ok(text.lines().map(row).collect())
}

/// One line of psql: cells separated by `|`, empty for null.
fn row(line: &str) -> Values {
    let mut values = Values::default();
    for (value, cell) in values.iter_mut().zip(line.split('|')) {
        *value = cell.parse().ok();
    }
    values
}

/// A line for each feature that is not what PostgreSQL says.
pub fn differences(found: &[Values], wanted: &[Values]) -> Vec<String> {
    let mut lines = Vec::new();
    if found.len() != wanted.len() {
        lines.push(format!("{} users have features, PostgreSQL has {}", found.len(), wanted.len()));
    }
    for (user, (found, wanted)) in found.iter().zip(wanted).enumerate() {
        for (name, (found, wanted)) in NAMES.iter().zip(found.iter().zip(wanted)) {
            if !equal(*found, *wanted) {
                lines.push(format!("user {}, {name}: {found:?}, PostgreSQL says {wanted:?}", user + 1));
            }
        }
    }
    lines
}

/// A user who never had a row has no features at all; SQL counts its rows as 0.
pub fn equal(found: Option<f64>, wanted: Option<f64>) -> bool {
    match (found, wanted) {
        (Some(found), Some(wanted)) => (found - wanted).abs() <= TOLERANCE * wanted.abs().max(1.0),
        (None, wanted) => wanted.is_none_or(|value| value == 0.0),
        (Some(_), None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_names_user_and_feature() {
        let wanted = [row("2|30|15|10|20|20"), row("0|||||")];
        assert_eq!(differences(&wanted, &wanted), Vec::<String>::new());
        let found = [row("2|30|15.5|10|20|20"), row("|||||1")];
        let expected = [
            "user 1, avg_spend_10m: Some(15.5), PostgreSQL says Some(15.0)",
            "user 2, last_10m: Some(1.0), PostgreSQL says None",
        ];
        assert_eq!(differences(&found, &wanted), expected);
    }
}
