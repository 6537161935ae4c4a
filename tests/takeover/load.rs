//! Load whose every change can be found again: each account counts its changes, so a gap shows.

use crate::World;
use stack::Postgres;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::scope;
use support::eventually;

pub const ACCOUNTS: i64 = 50;

/// Accounts with a number that each change raises by one, and a journal of all transactions.
pub fn prepare(world: &World) {
    world.sql(&format!(
        "CREATE TABLE account (id bigint PRIMARY KEY, n bigint NOT NULL);
         CREATE TABLE journal (id bigserial PRIMARY KEY, account bigint NOT NULL);
         INSERT INTO account SELECT g, 0 FROM generate_series(1, {ACCOUNTS}) g"
    ));
}

/// Writes to accounts and journal while `during` runs; several transactions are always under way.
pub fn with_load<T>(postgres: &Postgres, during: impl FnOnce() -> T) -> T {
    with_writers(postgres, transaction, during)
}

/// Runs what `transaction` gives for ever larger numbers while `during` runs, by two writers with numbers of
/// their own.
pub fn with_writers<T>(
    postgres: &Postgres,
    transaction: impl Fn(i64) -> String + Sync,
    during: impl FnOnce() -> T,
) -> T {
    let stop = AtomicBool::new(false);
    scope(|scope| {
        // The writers end even if `during` fails.
        let _stop = Stop(&stop);
        let (stop, transaction) = (&stop, &transaction);
        for writer in 0..2 {
            scope.spawn(move || {
                let mut numbers = (writer..).step_by(2);
                while !stop.load(Ordering::Relaxed) {
                    let some: String = numbers.by_ref().take(20).map(transaction).collect();
                    postgres.psql("postgres", &some).expect("the load runs");
                }
            });
        }
        during()
    })
}

struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn transaction(number: i64) -> String {
    let at = number * 7;
    let (one, other) = (at % ACCOUNTS + 1, (at + 3) % ACCOUNTS + 1);
    format!(
        "BEGIN; UPDATE account SET n = n + 1 WHERE id = {}; UPDATE account SET n = n + 1 WHERE id = {}; \
         INSERT INTO journal (account) VALUES ({one}); COMMIT;",
        one.min(other),
        one.max(other)
    )
}

/// What was written twice, after it is certain that nothing is missing.
pub struct Repeats {
    pub changes: usize,
}

/// Waits until the topics hold all that the tables went through, and proves that nothing is missing: each
/// account's numbers rise by one from its first to the table's, and every row of the journal is there.
/// Where a number goes back, it was read again from there on, in order.
pub fn check(world: &World) -> Repeats {
    let wanted: i64 = world.sql("SELECT sum(n) FROM account").parse().expect("a number");
    let journal: i64 = world.sql("SELECT count(*) FROM journal").parse().expect("a number");
    eventually(crate::LIMIT, "all is written", || {
        (world.records("account") >= wanted && world.records("journal") >= journal).then_some(())
    });
    // The last ones may be repeats while others are still to come.
    let told = eventually(crate::LIMIT, "the accounts are told to their last change", || {
        let changes = world.changes("account", ["id", "n"]);
        (newest(&changes).values().sum::<i64>() == wanted).then_some(changes)
    });
    let mut last: BTreeMap<i64, i64> = BTreeMap::new();
    let mut repeats = 0;
    for (_, id, n) in &told {
        let before = last.insert(*id, *n);
        assert!(before.is_none_or(|before| *n <= before + 1), "account {id} goes from {before:?} to {n}");
        repeats += usize::from(before.is_some_and(|before| *n <= before));
    }
    let mut rows: Vec<i64> =
        world.changes("journal", ["id", "account"]).iter().map(|(_, id, _)| *id).collect();
    let all = rows.len();
    rows.sort_unstable();
    rows.dedup();
    let table = world.sql("SELECT id FROM journal ORDER BY id");
    assert_eq!(rows, table.lines().map(|id| id.parse().expect("a number")).collect::<Vec<i64>>());
    Repeats { changes: repeats + (all - rows.len()) }
}

fn newest(changes: &[(String, i64, i64)]) -> BTreeMap<i64, i64> {
    changes.iter().fold(BTreeMap::new(), |mut newest, (_, id, n)| {
        let known = newest.entry(*id).or_insert(*n);
        *known = (*known).max(*n);
        newest
    })
}
