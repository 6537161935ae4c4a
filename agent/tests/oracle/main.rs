//! The features' oracle: PostgreSQL answers the equivalent SQL, and every value of every entity must be
//! equal, doubles bit for bit.
//!
//! From a seed come a table, a view with features over it, and changes: inserts, updates, moves to another
//! key or entity, deletes, truncates, late rows, rows of the future, nulls, steps of the clock forward and
//! back, transactions that are undone, and restarts. Half of the views look up rows of a second table, which
//! come, change, move and go as well: their SQL is the `LEFT JOIN`. After each step the view's values are held against
//! the SQL at that state, with `now()` replaced by the step's time.
//! MariaDB answers for what it has and computes in the same way; MySQL instead, if `TIDEGATE_MYSQL` says how a
//! client reaches one (`-h 127.0.0.1 -u root -psecret`).
//!
//! `SEED=7` replays one seed, `SEEDS=500` runs so many. Without the database on the machine a test is
//! skipped, and says so; with `TIDEGATE_REQUIRE_SERVERS` set, as in CI, that is a failure.

mod cells;
mod dialect;
mod goods;
mod mariadb;
mod postgres;
mod question;
mod world;

use dialect::Dialect;
use mariadb::MariaDb;
use postgres::Postgres;
use world::World;

/// As many as CI has time for.
const SEEDS: u64 = 40;
const ROUNDS: usize = 25;
/// Seeds of one script for the database.
const SEEDS_AT_ONCE: u64 = 10;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text}: no number")))
}

#[test]
fn every_feature_equals_the_sql() {
    let Some(postgres) = Postgres::start() else { return };
    hold(Dialect::Postgres, |script| postgres.psql(script));
}

#[test]
fn every_feature_that_mariadb_has_equals_its_sql() {
    let given = std::env::var("TIDEGATE_MYSQL").ok();
    let Some(mariadb) = given.map_or_else(MariaDb::start, |words| Some(MariaDb::reached_by(&words))) else {
        return;
    };
    hold(Dialect::MariaDb, |script| mariadb.sql(script));
}

fn hold(dialect: Dialect, answers: impl Fn(&str) -> Vec<String>) {
    let seeds = match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SEEDS").unwrap_or(SEEDS),
    };
    let mut compared = 0;
    for first in seeds.clone().step_by(SEEDS_AT_ONCE as usize) {
        let until = seeds.end.min(first + SEEDS_AT_ONCE);
        let worlds: Vec<World> = (first..until).map(|seed| World::run(dialect, seed, ROUNDS)).collect();
        let script: String = worlds.iter().map(World::script).collect();
        let mut answers = answers(&script).into_iter();
        compared += worlds.iter().map(|world| world.compare(&mut answers)).sum::<usize>();
        assert_eq!(answers.next(), None);
    }
    eprintln!("{compared} values equal those of {dialect:?}");
    let least = (seeds.end - seeds.start) * 1_000;
    assert!(compared as u64 > least, "only {compared} values compared");
}
