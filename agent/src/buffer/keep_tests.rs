//! Time that jumps, files that were copied, room that is given back.

use super::tests::{Bench, block_on, stored, turn};
use super::*;
use crate::config::db::DbConfig;
use crate::model::batch::tests::sample;
use shared::time::Instant;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3_600);
const HOUR_MS: i64 = 3_600_000;
/// The year in which everything happens.
const MARCH_2026: i64 = 1_772_000_000_000_000_000;

/// What happens to the clock between two batches.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Time passes.
    Pass(Duration),
    /// Somebody sets the clock to so many hours from March 2026 on; no time passes.
    SetHours(i64),
    /// It is 1970.
    Zero,
    /// Stopped and started again, with the clock as it is.
    Restart,
}

/// Ages count what really passed while the agent ran, whatever the clock says.
#[test]
fn ages_are_told_by_time_that_passed() {
    use Step::{Pass, Restart, SetHours, Zero};
    for (at, (steps, want_hours)) in [
        (&[Pass(HOUR)][..], 1),
        (&[SetHours(100), Pass(HOUR), SetHours(0)], 1),
        (&[SetHours(-100), Pass(HOUR), Pass(HOUR)], 2),
        (&[Zero, Pass(HOUR), SetHours(5)], 1),
        // Booted in 1970, corrected later; the time off does not count.
        (&[Zero, Restart, Pass(HOUR), SetHours(500), Pass(HOUR)], 2),
        (&[SetHours(100_000), Restart, Pass(HOUR), SetHours(2), Restart], 1),
        (&[Pass(HOUR), Restart, SetHours(-3), Restart, Pass(HOUR)], 2),
    ]
    .into_iter()
    .enumerate()
    {
        let clock = Clock::manual(MARCH_2026);
        let mut bench = Bench::new(&format!("age-{at}"), BufferConfig::default(), DbConfig::default());
        bench.restart_at(clock.clone());
        bench.one("t", &sample(None, 1, 10));
        let partition = bench.log().partitions("t")[0];
        for step in steps {
            match step {
                Pass(duration) => clock.sleep(*duration),
                SetHours(hours) => {
                    clock.set_wall(Instant::from_nanos(MARCH_2026 + hours * HOUR_MS * 1_000_000));
                }
                Zero => clock.set_wall(Instant::from_nanos(0)),
                Restart => {
                    bench.log().note_time().expect("notes");
                    bench.restart_at(clock.clone());
                }
            }
        }
        let reader = bench.open.as_ref().expect("is open").0.reader().expect("opens");
        let is_older = |ms: i64| {
            let before_ms = bench.log().now_ms() - ms;
            bench.log().oldest(&reader, partition, 1, before_ms).expect("reads").is_some()
        };
        let want_ms = want_hours * HOUR_MS;
        assert!(is_older(want_ms - 60_000), "{steps:?}: not kept for ever");
        assert!(!is_older(want_ms + 60_000), "{steps:?}: not dropped at once");
    }
}

/// A clock that jumps by a month does not make the log forget its producers, which would let a batch
/// in twice; time that passes does.
#[test]
fn producers_are_forgotten_by_time_that_passed() {
    let clock = Clock::manual(MARCH_2026);
    let mut bench = Bench::new("forget", BufferConfig::default(), DbConfig::default());
    bench.restart_at(clock.clone());
    assert_eq!(bench.one("t", &sample(turn(1, 0), 1, 10)), stored(0));
    clock.set_wall(Instant::from_nanos(MARCH_2026 + 30 * 24 * HOUR_MS * 1_000_000));
    clock.sleep(2 * HOUR);
    assert_eq!(bench.one("t", &sample(turn(2, 0), 1, 10)), stored(1), "a sweep was due");
    assert_eq!(bench.one("t", &sample(turn(1, 0), 1, 10)), stored(0), "known: not stored twice");
    clock.sleep(200 * HOUR);
    bench.one("t", &sample(turn(2, 1), 1, 10));
    assert_eq!(bench.one("t", &sample(turn(1, 0), 1, 10)), stored(3), "forgotten after a week");
}

/// The age that others see is in wall time, as it is now.
#[test]
fn what_was_trimmed_is_told_in_present_time() {
    let clock = Clock::manual(MARCH_2026);
    let mut bench = Bench::new("trimmed", BufferConfig::default(), DbConfig::default());
    clock.set_wall(Instant::from_nanos(0));
    bench.restart_at(clock.clone());
    bench.one("t", &sample(None, 1, 10));
    let partition = bench.log().partitions("t")[0];
    bench.log().trim(partition, 1).expect("trims");
    clock.sleep(HOUR);
    clock.set_wall(Instant::from_nanos(MARCH_2026));
    let reader = bench.open.as_ref().expect("is open").0.reader().expect("opens");
    let trimmed_ms = bench.log().trimmed_ms(&reader, partition).expect("reads");
    assert_eq!(trimmed_ms, MARCH_2026 / 1_000_000 - HOUR_MS);
}

/// A restored older file gives out no offset and no producer id that the lost one gave out, and takes
/// producers that have gone on.
#[test]
fn a_restored_backup_repeats_nothing() {
    let mut bench = Bench::new("restore", BufferConfig::default(), DbConfig::default());
    for sequence in 0..4 {
        bench.one("t", &sample(turn(1, sequence), 1, 10));
    }
    bench.log().trim(bench.log().partitions("t")[0], 1).expect("trims");
    bench.topic("empty");
    let mut ids = std::collections::HashSet::new();
    let id = |bench: &Bench| block_on(bench.log().producer_id()).expect("an id");
    ids.insert(id(&bench));
    let backup = bench.folder.join("backup.db");
    let write = |bench: &Bench| crate::db::backup::write(&bench.db_config, &backup, mark_copy);
    assert!(write(&bench).expect("while it runs").bytes > 0);
    let refused = write(&bench).expect_err("it is there already");
    assert!(refused.to_string().contains("exists already"), "{refused}");
    for sequence in 4..9 {
        bench.one("t", &sample(turn(1, sequence), 1, 10));
        bench.one("empty", &sample(turn(1, sequence), 1, 10));
    }
    (0..1_500).for_each(|_| assert!(ids.insert(id(&bench))));
    let cluster = bench.log().cluster_id().to_owned();

    bench.open = None;
    for suffix in ["", "-wal", "-shm", ".lock"] {
        let _ = std::fs::remove_file(bench.folder.join(format!("agent.db{suffix}")));
    }
    std::fs::rename(&backup, &bench.db_config.path).expect("restored");
    bench.restart();
    assert!(bench.log().is_copied());
    assert_eq!(bench.log().cluster_id(), cluster);
    assert_eq!(bench.read("t", 1), [(1, 1), (2, 2), (3, 3)], "what the backup has");
    let ahead = 4 + OFFSETS_AHEAD;
    let ends = |topic: &str| {
        let topic = bench.topic(topic);
        let one = &topic.partitions[0];
        (one.start(), one.end(), one.next())
    };
    assert_eq!(ends("t"), (1, 4, ahead), "nobody lags behind what is not there");
    assert_eq!(ends("empty"), (0, 0, OFFSETS_AHEAD));
    assert_eq!(bench.one("t", &sample(turn(1, 9), 1, 10)), stored(ahead), "the producer went on");
    assert_eq!(ends("t"), (1, ahead + 1, ahead + 1));
    assert_eq!(bench.read("t", 6), [(ahead, ahead)], "who was further on reads what is new");
    assert_eq!(bench.one("empty", &sample(turn(1, 9), 1, 10)), stored(OFFSETS_AHEAD));
    (0..1_500).for_each(|_| assert!(ids.insert(id(&bench)), "no id is given out again"));

    // Once the rooms have moved on it is a file like any other.
    bench.open.as_ref().expect("is open").0.write(copy_settled).expect("commits");
    bench.restart();
    assert!(!bench.log().is_copied());
    assert_eq!(bench.one("t", &sample(turn(1, 10), 1, 10)), stored(ahead + 1));
    assert_eq!(bench.read("t", 1).len(), 5);
}

/// After a backlog is gone the file shrinks, and the log stays bounded though a reader is always there.
#[test]
fn room_is_given_back_and_the_log_is_bounded() {
    let db = DbConfig { checkpoint_bytes: 1 << 18, ..DbConfig::default() };
    let bench = Bench::new("room", BufferConfig::default(), db);
    let (db, log) = bench.open.as_ref().expect("is open");
    bench.topic("t");
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (reader, stop) = (db.reader().expect("opens"), Arc::clone(&stop));
            std::thread::spawn(move || {
                while !stop.load(Ordering::Acquire) {
                    let count = |_: &rusqlite::Row<'_>| {
                        std::thread::sleep(Duration::from_millis(20));
                        Ok(())
                    };
                    reader.query_row("SELECT count(*) FROM log_batch", [], count).expect("reads");
                }
            })
        })
        .collect();
    // Where readers are slow, as on a machine with other work, they are waited for in vain now and then.
    let until = std::time::Instant::now() + Duration::from_secs(30);
    let (mut longest, mut bytes, mut written) = (0, 0, 0);
    while written < 400 || longest >= bytes * 5 / 6 {
        bench.one("t", &sample(None, 1, 60_000));
        (written, bytes) = (written + 1, bytes + 60_000);
        longest = longest.max(db.space().log_bytes());
        assert!(std::time::Instant::now() < until, "the log grew to {longest} bytes of {bytes}");
    }
    stop.store(true, Ordering::Release);
    readers.into_iter().for_each(|reader| reader.join().expect("reads"));
    let full = std::fs::metadata(&bench.db_config.path).expect("a file").len();
    assert!(full > 20 << 20, "{full}");

    log.trim(log.partitions("t")[0], written).expect("trims");
    for _ in 0..2 * written / 25 {
        db.shrink(1 << 20).expect("gives back");
    }
    // A checkpoint cuts the file, and sizes are looked at now and then: both after commits.
    let until = std::time::Instant::now() + Duration::from_secs(10);
    let (free, file) = (|| db.space().free_bytes(), || db.space().file_bytes());
    while free() >= 2 << 20 || file() >= full / 4 {
        let (free, file) = (free(), file());
        assert!(std::time::Instant::now() < until, "{file} of {full} bytes, {free} are free");
        std::thread::sleep(Duration::from_millis(20));
        bench.one("t", &sample(None, 1, 20_000));
    }
}

/// A file that may not grow keeps some of its pages for processing and trims.
#[test]
fn a_file_with_a_limit_refuses_producers_before_it_is_full() {
    let db = DbConfig { max_file_bytes: 4 << 20, ..DbConfig::default() };
    let bench = Bench::new("limit", BufferConfig::default(), db);
    let mut taken = 0;
    let refused = loop {
        // The sizes are looked at now and then.
        std::thread::sleep(Duration::from_millis(10));
        match bench.append("t", &[sample(None, 1, 20_000)]).expect("the disk never fails")[0] {
            Outcome::Stored { .. } => taken += 1,
            Outcome::Refused(refusal) => break refusal,
        }
        assert!(taken < 500, "the limit is not seen");
    };
    assert_eq!(refused, Refusal::Full);
    assert!(bench.log().is_full() && bench.log().wants_room());
    let (db, log) = bench.open.as_ref().expect("is open");
    db.write(|tx| {
        let text = "INSERT INTO buffer_meta (name, value) VALUES ('work', zeroblob(100000))";
        tx.execute(text, []).map(drop).map_err(|e| shared::Error::from_source(shared::Kind::Full, e))
    })
    .expect("processing has room");
    log.trim(log.partitions("t")[0], taken / 2).expect("trims");
    // A commit after a while looks at the sizes again.
    std::thread::sleep(Duration::from_millis(300));
    db.write(|_| Ok(())).expect("commits");
    assert!(matches!(bench.one("t", &sample(None, 1, 20_000)), Outcome::Stored { .. }), "open again");
}
