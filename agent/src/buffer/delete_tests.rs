//! Deleted topics: what is refused, what is left, what a topic is that is made again.

use super::tests::{Bench, block_on, stored, turn};
use super::*;
use crate::config::buffer::DeleteTopics;
use crate::config::db::DbConfig;
use crate::model::batch::tests::{sample, staged};
use shared::kafka::batch::{Head, Turn};
use tokio::sync::Semaphore;

fn delete(bench: &Bench, topic: &str) -> std::result::Result<(), CannotDelete> {
    block_on(bench.log().delete_topic(topic)).expect("storage works")
}

/// Purges to the end; how many slices that took.
fn purge(bench: &Bench) -> usize {
    let (db, log) = bench.open.as_ref().expect("is open");
    let reader = db.reader().expect("opens");
    std::iter::from_fn(|| log.purge(&reader).expect("storage works").then_some(())).count()
}

fn rows(bench: &Bench) -> i64 {
    let reader = bench.open.as_ref().expect("is open").0.reader().expect("opens");
    reader.query_row("SELECT count(*) FROM log_batch", [], |row| row.get(0)).expect("counts")
}

#[test]
fn a_topic_made_again_goes_on_where_it_ended() {
    let mut bench = Bench::new("delete", BufferConfig::default(), DbConfig::default());
    for n in 0..100 {
        assert_eq!(bench.one("t", &sample(turn(7, n), 1, 200)), stored(n.into()));
    }
    bench.one("other", &sample(None, 2, 10));
    let before = bench.topic("t");
    let used = bench.log().used_bytes();
    assert_eq!(delete(&bench, "t"), Ok(()));
    assert_eq!(delete(&bench, "t"), Err(CannotDelete::Unknown));
    assert!(bench.log().topic("t").is_none() && bench.log().topic_by_uuid(&before.uuid).is_none());
    assert_eq!(bench.log().used_bytes(), used, "what is not removed takes room");
    // Killed before anything was removed, and after a part of it was.
    bench.restart();
    assert!(bench.log().topic("t").is_none());
    assert_eq!(bench.log().used_bytes(), used);
    let reader = bench.open.as_ref().expect("is open").0.reader().expect("opens");
    assert!(bench.log().purge(&reader).expect("storage works"));
    drop(reader);
    bench.restart();
    assert_eq!(rows(&bench), 101 - 32);
    assert_eq!(bench.one("t", &sample(turn(7, 100), 3, 10)), stored(100), "its sequences begin anywhere");
    let after = bench.topic("t");
    assert_ne!(after.uuid, before.uuid);
    assert_eq!((after.partitions[0].id, after.partitions[0].start()), (before.partitions[0].id, 100));
    assert_eq!(bench.read("t", 0), [(100, 102)], "nothing of the old one is read");
    // Trimming does not bring the start back before what is left of the old one.
    bench.log().trim(after.partitions[0].id, 50).expect("storage works");
    bench.restart();
    assert_eq!(bench.topic("t").partitions[0].start(), 100);
    assert!(purge(&bench) >= 3);
    assert_eq!((rows(&bench), purge(&bench)), (2, 0));
    assert_eq!((bench.read("t", 0), bench.read("other", 0)), (vec![(100, 102)], vec![(0, 1)]));
    let small = (sample(turn(7, 100), 3, 10).len() + sample(None, 2, 10).len()) as u64;
    assert_eq!(bench.log().used_bytes(), small);
    bench.restart();
    assert_eq!(bench.log().used_bytes(), small);
}

/// Whoever still holds the old topic is told that it is gone, whatever is made under its name.
#[test]
fn appends_to_a_deleted_topic_are_refused() {
    let bench = Bench::new("delete-append", BufferConfig::default(), DbConfig::default());
    let old = Arc::clone(bench.topic("t").partition(0).expect("has one"));
    let append = |partition: &Arc<Partition>| {
        let batch = sample(None, 1, 10);
        let head = Head::read(&batch).expect("sound");
        let appends = vec![Append { partition: Arc::clone(partition), head, range: 0..batch.len() }];
        let memory = Arc::new(Semaphore::new(1)).try_acquire_owned().expect("free");
        let frame = BytesMut::from(&batch[..]);
        let answer =
            block_on(async { bench.log().append(frame, appends, memory).await?.await.expect("is answered") });
        answer.expect("commits")[0]
    };
    assert_eq!(append(&old), stored(0));
    assert_eq!(delete(&bench, "t"), Ok(()));
    assert_eq!(append(&old), Outcome::Refused(Refusal::TopicGone));
    let new = Arc::clone(bench.topic("t").partition(0).expect("has one"));
    assert_eq!(append(&old), Outcome::Refused(Refusal::TopicGone));
    assert_eq!(append(&new), stored(1));
    assert_eq!(bench.read("t", 0), [(1, 1)]);
}

#[test]
fn what_is_needed_is_not_deleted() {
    let bench = Bench::new("delete-needed", BufferConfig::default(), DbConfig::default());
    let next = Arc::new(std::sync::atomic::AtomicI64::new(0));
    let seen = Arc::clone(&next);
    bench.log().ask_before_deleting(Box::new(move |topic, _| match topic {
        "central" => Need::Source,
        "free" => Need::None,
        _ => Need::From(seen.load(Ordering::Acquire)),
    }));
    for topic in ["t", "free", "central"] {
        bench.one(topic, &sample(None, 5, 10));
    }
    assert_eq!(delete(&bench, "t"), Err(CannotDelete::Waiting(5)));
    assert_eq!(delete(&bench, "central"), Err(CannotDelete::Source));
    assert_eq!(delete(&bench, "free"), Ok(()));
    next.store(5, Ordering::Release);
    let who = block_on(async {
        let who = bench.log().begin_incarnation("x", 1_000, None).await.expect("stores").expect("granted");
        bench.log().open_transaction("x", who).await.expect("stores").expect("granted");
        who
    });
    let turn = Turn { producer: who.producer, epoch: who.epoch, first_sequence: 0 };
    bench.one("t", &staged(turn, 2, 10));
    assert_eq!(delete(&bench, "t"), Err(CannotDelete::Transaction));
    block_on(bench.log().end_transaction("x", who, false)).expect("stores").expect("granted");
    assert_eq!(delete(&bench, "t"), Ok(()));
    assert!(bench.log().topic("t").is_none());
}

#[test]
fn the_operator_may_say_otherwise() {
    for (delete_topics, want) in
        [(DeleteTopics::Never, Err(CannotDelete::NotAllowed)), (DeleteTopics::Always, Ok(()))]
    {
        let config = BufferConfig { delete_topics, ..BufferConfig::default() };
        let bench = Bench::new(&format!("delete-{delete_topics:?}"), config, DbConfig::default());
        bench.log().ask_before_deleting(Box::new(|_, _| Need::From(0)));
        bench.one("t", &sample(None, 5, 10));
        let dropped = metrics::BUFFER_DROPPED_RECORDS.get();
        assert_eq!(delete(&bench, "t"), want);
        let dropped = metrics::BUFFER_DROPPED_RECORDS.get() - dropped;
        assert!(dropped >= if want.is_ok() { 5 } else { 0 });
        assert_eq!(bench.log().topic("t").is_some(), want.is_err());
    }
}

/// Names that come and go do not fill the file.
#[test]
fn deleted_names_are_bounded() {
    let config = BufferConfig { max_topics: 2, ..BufferConfig::default() };
    let bench = Bench::new("delete-names", config, DbConfig::default());
    let make = |name: &str| block_on(bench.log().topic_or_new(name)).expect("storage works");
    for n in 0..20 {
        make(&format!("t{n}")).expect("is made");
        assert_eq!(delete(&bench, &format!("t{n}")), Ok(()));
    }
    assert_eq!(make("t20").expect_err("too many"), CannotCreate::TooMany);
    make("t3").expect("a known name is made again");
}
