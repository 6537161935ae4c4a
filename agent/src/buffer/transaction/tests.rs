//! Transactions at the log: restarts, time-outs, room, and names that are forgotten.

use super::*;
use crate::buffer::tests::{Bench, block_on, stored};
use crate::buffer::{Outcome, Refusal};
use crate::config::db::DbConfig;
use crate::model::batch::tests::{sample, staged};
use shared::kafka::batch::Turn;
use std::time::Duration;

fn part(who: Incarnation, first_sequence: i32, records: i32, filler: usize) -> Vec<u8> {
    let turn = Turn { producer: who.producer, epoch: who.epoch, first_sequence };
    staged(turn, records, filler)
}

impl Bench {
    fn begin(&self, name: &str) -> Incarnation {
        block_on(self.log().begin_incarnation(name, 1_000, None)).expect("commits").expect("is granted")
    }

    fn open_one(&self, name: &str, who: Incarnation) -> std::result::Result<(), Denial> {
        block_on(self.log().open_transaction(name, who)).expect("commits")
    }

    fn end(&self, name: &str, who: Incarnation, commit: bool) -> std::result::Result<(), Denial> {
        block_on(self.log().end_transaction(name, who, commit)).expect("commits")
    }
}

fn bench(name: &str, config: BufferConfig) -> Bench {
    Bench::new(&format!("transaction-{name}"), config, DbConfig::default())
}

use crate::config::buffer::BufferConfig;

#[test]
fn an_open_transaction_is_still_open_after_a_restart() {
    let mut bench = bench("restart", BufferConfig::default());
    let who = bench.begin("a");
    bench.open_one("a", who).expect("opens");
    let (one, two) = (part(who, 0, 3, 500), part(who, 3, 2, 500));
    assert_eq!(bench.one("t", &one), stored(0));
    let used = bench.log().used_bytes();
    assert_eq!(used, one.len() as u64, "what is staged counts");
    bench.restart();
    assert_eq!(bench.log().used_bytes(), used);
    assert_eq!(bench.one("t", &one), stored(0), "sent again because the answer was lost");
    assert_eq!(bench.one("t", &two), stored(0), "the offset told is only a guess after a restart");
    assert_eq!(bench.read("t", 0), []);
    assert_eq!(bench.end("a", who, true), Ok(()));
    assert_eq!(bench.read("t", 0), [(0, 2), (3, 4)]);
    let used = bench.log().used_bytes();
    assert_eq!(used, (one.len() + two.len()) as u64, "the move neither adds nor takes");
    bench.restart();
    assert_eq!(bench.end("a", who, true), Ok(()), "answered as the first time");
    assert_eq!((bench.read("t", 0), bench.log().used_bytes()), (vec![(0, 2), (3, 4)], used));
}

#[test]
fn what_is_open_for_too_long_is_aborted_and_its_producer_may_go_on() {
    let config = BufferConfig { transaction_max_timeout: Duration::from_secs(60), ..BufferConfig::default() };
    let mut bench = bench("expire", config);
    let who = bench.begin("a");
    bench.open_one("a", who).expect("opens");
    bench.one("t", &part(who, 0, 3, 500));
    assert_eq!(block_on(bench.log().expire_transactions()).expect("commits"), 0);
    bench.later(1_001);
    assert_eq!(block_on(bench.log().expire_transactions()).expect("commits"), 1);
    assert_eq!((bench.log().used_bytes(), bench.read("t", 0)), (0, vec![]));
    assert_eq!(bench.one("t", &part(who, 3, 1, 0)), Outcome::Refused(Refusal::StaleEpoch));
    assert_eq!(bench.end("a", who, true), Err(Denial::Fenced));
    let again = || block_on(bench.log().begin_incarnation("a", 1_000, Some(who))).expect("commits");
    let next = Incarnation { epoch: who.epoch + 1, ..who };
    assert_eq!((again(), again()), (Ok(next), Ok(next)));
    bench.open_one("a", next).expect("opens");
    assert_eq!(again(), Err(Denial::Fenced), "once the next epoch is at work the former is over");
    assert_eq!(bench.one("t", &part(next, 0, 1, 0)), stored(0));
}

#[test]
fn the_budget_counts_what_is_staged() {
    let config = BufferConfig { max_bytes: 10_000, ..BufferConfig::default() };
    let bench = bench("budget", config);
    let who = bench.begin("a");
    bench.open_one("a", who).expect("opens");
    assert_eq!(bench.one("t", &part(who, 0, 1, 6_000)), stored(0));
    assert_eq!(bench.one("t", &part(who, 1, 1, 6_000)), Outcome::Refused(Refusal::Full));
    assert_eq!(bench.one("t", &sample(None, 1, 6_000)), Outcome::Refused(Refusal::Full));
    assert_eq!(bench.end("a", who, false), Ok(()));
    assert_eq!(bench.one("t", &sample(None, 1, 6_000)), stored(0), "an abort gives room");
}

#[test]
fn names_are_bounded_and_forgotten() {
    let config = BufferConfig { max_transactional_ids: 2, ..BufferConfig::default() };
    let mut bench = bench("names", config);
    let (a, b) = (bench.begin("a"), bench.begin("b"));
    bench.open_one("a", a).expect("opens");
    let _ = bench.begin("c");
    assert_eq!(bench.open_one("b", b), Err(Denial::Unknown), "the one silent longest made room");
    let c = bench.begin("c");
    bench.open_one("c", c).expect("opens");
    let refused = block_on(bench.log().begin_incarnation("d", 1_000, None)).expect("commits");
    assert_eq!(refused, Err(Denial::TooMany));
    assert_eq!((bench.end("a", a, true), bench.end("c", c, true)), (Ok(()), Ok(())));
    bench.later(8 * 86_400_000);
    block_on(bench.log().expire_transactions()).expect("commits");
    assert_eq!(bench.end("a", a, true), Err(Denial::Unknown));
}

/// Epochs are 16 bits; a name that is begun more often gets another producer id.
#[test]
fn epochs_end_and_go_on_under_another_producer_id() {
    let bench = bench("epochs", BufferConfig::default());
    let who = bench.begin("a");
    let to_the_end = "UPDATE transactional_id SET epoch = 32765";
    let (db, _) = bench.open.as_ref().expect("is open");
    db.write(move |tx| Ok(tx.execute(to_the_end, []).expect("sets"))).expect("commits");
    assert_eq!(bench.begin("a"), Incarnation { epoch: 32_766, ..who });
    let next = bench.begin("a");
    assert_eq!(next.epoch, 0);
    assert_ne!(next.producer, who.producer);
}

/// Whoever waits for the end of transactions takes part in the same commit.
#[test]
fn others_hear_of_the_end_in_its_commit() {
    let bench = bench("hook", BufferConfig::default());
    bench.log().when_transactions_end(Box::new(|tx, producer, commit| {
        let text = "INSERT OR REPLACE INTO buffer_meta (name, value) VALUES ('heard', ?)";
        tx.execute(text, [format!("{producer} {commit}")]).expect("writes");
        Ok(())
    }));
    let who = bench.begin("a");
    let (db, _) = bench.open.as_ref().expect("is open");
    let heard = || -> String {
        let reader = db.reader().expect("opens");
        let text = "SELECT value FROM buffer_meta WHERE name = 'heard'";
        reader.query_row(text, [], |row| row.get(0)).expect("was heard")
    };
    for commit in [true, false] {
        bench.open_one("a", who).expect("opens");
        assert_eq!(bench.end("a", who, commit), Ok(()));
        assert_eq!(heard(), format!("{} {commit}", who.producer));
    }
}
