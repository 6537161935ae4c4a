//! The log as producers and readers see it: turns, restarts, rollbacks, trims, limits.

use super::*;
use crate::config::db::DbConfig;
use crate::model::batch::tests::sample;
use shared::kafka::batch::{Head, Turn};
use std::path::PathBuf;
use tokio::sync::Semaphore;

pub(super) struct Bench {
    pub folder: PathBuf,
    pub db_config: DbConfig,
    pub config: BufferConfig,
    clock: Clock,
    /// `None` while stopped.
    pub open: Option<(Db, Log)>,
}

impl Bench {
    pub fn new(name: &str, config: BufferConfig, db: DbConfig) -> Bench {
        let folder = std::env::temp_dir().join(format!("tidegate-buffer-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("temporary folder");
        let db_config = DbConfig { path: folder.join("agent.db"), ..db };
        let mut bench = Bench { folder, db_config, config, clock: Clock::System, open: None };
        bench.restart();
        bench
    }

    pub fn restart(&mut self) {
        self.open = None;
        self.restart_at(self.clock.clone());
    }

    /// Starts again, and some time passes.
    pub fn later(&mut self, millis: u64) {
        self.clock = Clock::manual(self.clock.now().nanos());
        self.restart();
        self.clock.sleep(std::time::Duration::from_millis(millis));
    }

    pub fn restart_at(&mut self, clock: Clock) {
        self.open = None;
        let db = Db::open(&self.db_config).expect("opens");
        let log = Log::open_at(&db, &self.config, clock).expect("opens");
        self.open = Some((db, log));
    }

    pub fn log(&self) -> &Log {
        &self.open.as_ref().expect("is open").1
    }

    pub fn topic(&self, name: &str) -> Arc<Topic> {
        block_on(self.log().topic_or_new(name)).expect("storage works").expect("is made")
    }

    /// Appends batches as one request; `Err` if the commit failed.
    pub fn append(&self, topic: &str, batches: &[Vec<u8>]) -> Result<Vec<Outcome>> {
        let partition = Arc::clone(self.topic(topic).partition(0).expect("has one"));
        let mut frame = BytesMut::new();
        let mut appends = Vec::new();
        for batch in batches {
            let head = Head::read(batch).expect("sound");
            let range = frame.len()..frame.len() + batch.len();
            appends.push(Append { partition: Arc::clone(&partition), head, range });
            frame.extend_from_slice(batch);
        }
        let memory = Arc::new(Semaphore::new(1)).try_acquire_owned().expect("free");
        block_on(async { self.log().append(frame, appends, memory).await?.await.expect("is answered") })
    }

    pub fn one(&self, topic: &str, batch: &[u8]) -> Outcome {
        self.append(topic, &[batch.to_vec()]).expect("commits")[0]
    }

    pub fn read(&self, topic: &str, from: i64) -> Vec<(i64, i64)> {
        let (db, log) = self.open.as_ref().expect("is open");
        let reader = db.reader().expect("opens");
        let batches = log.read(&reader, log.partitions(topic)[0], from, usize::MAX).expect("reads");
        batches.iter().map(|batch| (batch.base_offset, batch.last_offset)).collect()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.open = None;
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

pub(super) fn turn(producer: i64, first_sequence: i32) -> Option<Turn> {
    Some(Turn { producer, epoch: 0, first_sequence })
}

pub(super) const fn stored(base_offset: i64) -> Outcome {
    Outcome::Stored { base_offset }
}

#[test]
fn keeps_the_bytes_and_gives_offsets() {
    let bench = Bench::new("bytes", BufferConfig::default(), DbConfig::default());
    // The last one is too large to be bound to a statement.
    let batches =
        [sample(None, 3, 10), sample(None, 1, 0), sample(turn(1, 0), 10, 99), sample(None, 2, 200_000)];
    let places = [stored(0), stored(3), stored(4), stored(14)];
    assert_eq!(bench.append("t", &batches).expect("commits"), places);
    let (db, log) = bench.open.as_ref().expect("is open");
    let partition = log.partitions("t")[0];
    let kept = log.read(&db.reader().expect("opens"), partition, 0, usize::MAX).expect("reads");
    assert_eq!(kept.len(), 4);
    for (batch, sent) in kept.iter().zip(&batches) {
        assert!(Head::read(&batch.records).is_ok(), "the checksum still fits");
        assert_eq!(batch.records[..8], batch.base_offset.to_be_bytes());
        assert_eq!(batch.records[16..], sent[16..]);
    }
    assert_eq!(log.end_offset(partition), 16);
    assert_eq!(log.used_bytes(), batches.iter().map(|b| b.len() as u64).sum::<u64>());
}

#[test]
fn reads_from_inside_a_batch_and_at_least_one() {
    let bench = Bench::new("read", BufferConfig::default(), DbConfig::default());
    bench.append("t", &[sample(None, 5, 100), sample(None, 5, 100), sample(None, 5, 100)]).expect("commits");
    for (from, want) in [
        (0, vec![(0, 4), (5, 9), (10, 14)]),
        (4, vec![(0, 4), (5, 9), (10, 14)]),
        (5, vec![(5, 9), (10, 14)]),
        (12, vec![(10, 14)]),
        (15, vec![]),
        (-3, vec![(0, 4), (5, 9), (10, 14)]),
    ] {
        assert_eq!(bench.read("t", from), want, "from {from}");
    }
    let (db, log) = bench.open.as_ref().expect("is open");
    let reader = db.reader().expect("opens");
    for (max, want) in [(0, 1), (1, 1), (330, 2), (1 << 20, 3)] {
        let got = log.read(&reader, log.partitions("t")[0], 0, max).expect("reads");
        assert_eq!(got.len(), want, "at most {max} bytes");
    }
    assert_eq!(
        block_on(log.offset_at(Arc::clone(&bench.topic("t").partitions[0]), 2_000)).ok(),
        Some(Some((0, 2_000)))
    );
    assert_eq!(block_on(log.offset_at(Arc::clone(&bench.topic("t").partitions[0]), 2_001)).ok(), Some(None));
}

#[test]
fn a_retry_is_recognised_also_after_a_restart_and_within_a_request() {
    let mut bench = Bench::new("retry", BufferConfig::default(), DbConfig::default());
    let (first, second) = (sample(turn(9, 0), 10, 5), sample(turn(9, 10), 10, 5));
    let twice = [first.clone(), first.clone(), second.clone()];
    assert_eq!(bench.append("t", &twice).expect("commits"), [stored(0), stored(0), stored(10)]);
    bench.restart();
    assert_eq!(bench.one("t", &second), stored(10));
    assert_eq!(bench.one("t", &sample(turn(9, 30), 1, 5)), Outcome::Refused(Refusal::OutOfOrder));
    assert_eq!(bench.one("t", &sample(turn(9, 20), 1, 5)), stored(20));
    assert_eq!(bench.one("other", &first), stored(0), "each partition counts for itself");
    assert_eq!(bench.read("t", 0), [(0, 9), (10, 19), (20, 20)]);
}

#[test]
fn the_next_offset_survives_trimming_everything() {
    let mut bench = Bench::new("trim", BufferConfig::default(), DbConfig::default());
    for _ in 0..100 {
        bench.one("t", &sample(None, 2, 50));
    }
    let partition = bench.log().partitions("t")[0];
    bench.log().trim(partition, 101).expect("trims");
    assert_eq!((bench.log().log_start(partition), bench.read("t", 0)[0]), (100, (100, 101)));
    bench.log().trim(partition, i64::MAX).expect("trims");
    assert_eq!((bench.log().log_start(partition), bench.log().used_bytes()), (200, 0));
    bench.restart();
    let partition = bench.log().partitions("t")[0];
    assert_eq!((bench.log().log_start(partition), bench.log().end_offset(partition)), (200, 200));
    assert_eq!(bench.one("t", &sample(None, 1, 50)), stored(200));
    bench.restart();
    assert_eq!(bench.log().used_bytes(), 111);
}

#[test]
fn a_full_budget_refuses_before_the_disk_does() {
    let config = BufferConfig { max_bytes: 1_000, ..BufferConfig::default() };
    let bench = Bench::new("budget", config, DbConfig::default());
    assert_eq!(bench.one("t", &sample(turn(1, 0), 1, 800)), stored(0));
    let second = sample(turn(1, 1), 1, 800);
    assert_eq!(bench.one("t", &second), Outcome::Refused(Refusal::Full));
    assert!(bench.log().is_full());
    assert_eq!(bench.one("t", &sample(turn(1, 0), 1, 800)), stored(0), "a retry of the first is no newcomer");
    let overtaking = sample(turn(2, 5), 1, 800);
    assert_eq!(bench.one("t", &overtaking), Outcome::Refused(Refusal::Full));
    bench.log().trim(bench.log().partitions("t")[0], 1).expect("trims");
    assert_eq!(bench.one("t", &sample(turn(2, 6), 1, 10)), Outcome::Refused(Refusal::OutOfOrder));
    assert_eq!(bench.one("t", &second), stored(1));
    assert!(!bench.log().is_full());
}

/// The disk fills in the middle of a group: nothing of it counts as stored, and what is sent again
/// after room was made is stored once.
#[test]
fn a_full_disk_undoes_memory_too() {
    let db = DbConfig { max_file_bytes: 900_000, ..DbConfig::default() };
    // Without a reserve, so that the disk itself has to say no.
    let config = BufferConfig { reserve_free_bytes: 0, ..BufferConfig::default() };
    let bench = Bench::new("disk", config, db);
    let mut acknowledged = Vec::new();
    let mut sequence = 0;
    let failed = loop {
        let batch = sample(turn(4, sequence), 1, 30_000);
        match bench.append("t", std::slice::from_ref(&batch)) {
            Ok(outcomes) => acknowledged.push(outcomes[0]),
            Err(error) => {
                assert_eq!(error.kind(), shared::Kind::Full, "{error}");
                break batch;
            }
        }
        sequence += 1;
        assert!(sequence < 100, "the disk never fills");
    };
    assert!(bench.log().is_full());
    let behind = sample(turn(4, sequence + 1), 1, 10);
    std::thread::sleep(std::time::Duration::from_millis(600));
    assert_eq!(bench.one("t", &behind), Outcome::Refused(Refusal::OutOfOrder));
    let partition = bench.log().partitions("t")[0];
    bench.log().trim(partition, 5).expect("a trim has room in the log of the disk");
    assert_eq!(bench.one("t", &failed), stored(i64::from(sequence)));
    assert_eq!(bench.one("t", &behind), stored(i64::from(sequence) + 1));
    assert!(!bench.log().is_full());
    let all: Vec<Outcome> = (0..i64::from(sequence)).map(stored).collect();
    assert_eq!(acknowledged, all);
    assert_eq!(bench.read("t", 0).len(), usize::try_from(sequence).expect("positive") + 2 - 5);
}

#[test]
fn the_oldest_batches_are_found_by_place_and_age_and_a_trim_is_remembered() {
    let mut bench = Bench::new("oldest", BufferConfig::default(), DbConfig::default());
    for _ in 0..40 {
        bench.one("t", &sample(None, 2, 10));
    }
    let partition = bench.log().partitions("t")[0];
    let reader = bench.open.as_ref().expect("is open").0.reader().expect("opens");
    let up_to = |bench: &Bench, below, before_ms| {
        let oldest = bench.log().oldest(&reader, partition, below, before_ms).expect("reads");
        oldest.map(|oldest| oldest.up_to)
    };
    for (below, before_ms, want) in [
        (0, i64::MAX, None),
        (1, i64::MAX, None),
        (7, i64::MAX, Some(6)),
        (80, i64::MAX, Some(64)),
        (80, 1, None),
    ] {
        assert_eq!(up_to(&bench, below, before_ms), want, "below {below}, before {before_ms}");
    }
    assert_eq!(bench.log().trimmed_ms(&reader, partition).expect("reads"), 0, "the log is whole");
    bench.log().trim(partition, 64).expect("trims");
    assert_eq!(up_to(&bench, 80, i64::MAX), Some(80));
    bench.restart();
    assert!(bench.log().trimmed_ms(&reader, partition).expect("reads") > 0);
}

/// The first batches of a new producer are undone with their group; one that was already in flight
/// behind them must not become the first.
#[test]
fn nobody_overtakes_a_group_that_was_undone() {
    let db = DbConfig { max_file_bytes: 700_000, ..DbConfig::default() };
    let config = BufferConfig { reserve_free_bytes: 0, ..BufferConfig::default() };
    let bench = Bench::new("overtake", config, db);
    bench.topic("t");
    let group = [sample(turn(4, 0), 1, 10), sample(turn(4, 1), 1, 600_000)];
    assert!(bench.append("t", &group).is_err());
    std::thread::sleep(std::time::Duration::from_millis(600));
    assert_eq!(bench.one("t", &sample(turn(4, 2), 1, 10)), Outcome::Refused(Refusal::OutOfOrder));
    assert_eq!(bench.one("t", &group[0]), stored(0));
}

#[test]
fn silent_producers_are_forgotten_when_there_are_too_many() {
    let config = BufferConfig { max_producers: 10, ..BufferConfig::default() };
    let mut bench = Bench::new("crowd", config, DbConfig::default());
    for producer in 0..30 {
        bench.one("t", &sample(turn(producer, 0), 1, 5));
    }
    bench.restart();
    let remembered = tail::lock(&bench.log().tail).producers_remembered();
    assert!((5..=10).contains(&remembered), "{remembered}");
    assert_eq!(bench.one("t", &sample(turn(29, 0), 1, 5)), stored(29), "the newest is remembered");
}

#[test]
fn topics_keep_their_ids_and_have_a_limit() {
    let config = BufferConfig { max_topics: 2, partitions: 3, ..BufferConfig::default() };
    let mut bench = Bench::new("topics", config, DbConfig::default());
    let uuid = bench.topic("a").uuid;
    assert_eq!(bench.topic("a").uuid, uuid);
    assert_eq!(bench.log().partitions("b"), []);
    assert_eq!(bench.topic("b").partitions.len(), 3);
    let third = block_on(bench.log().topic_or_new("c")).expect("storage works");
    assert_eq!(third.err(), Some(CannotCreate::TooMany));
    let cluster = bench.log().cluster_id().to_owned();
    bench.restart();
    assert_eq!((bench.topic("a").uuid, bench.log().cluster_id()), (uuid, cluster.as_str()));
    assert!(bench.log().topic_by_uuid(&uuid).is_some());
}

#[test]
fn of_a_compacted_topic_nothing_is_old() {
    let mut bench = Bench::new("compact", BufferConfig::default(), DbConfig::default());
    block_on(bench.log().create_topic_with("offsets", 1, true)).expect("storage works").expect("is made");
    bench.topic("plain");
    for topic in ["offsets", "plain"] {
        assert_eq!(bench.one(topic, &sample(None, 1, 10)), stored(0));
    }
    bench.restart();
    let (db, log) = bench.open.as_ref().expect("is open");
    let reader = db.reader().expect("opens");
    let is_old =
        |topic: &str| log.oldest(&reader, log.partitions(topic)[0], i64::MAX, i64::MAX).expect("reads");
    assert!(is_old("offsets").is_none() && is_old("plain").is_some());
}

#[test]
fn producer_ids_are_never_given_twice() {
    let mut bench = Bench::new("ids", BufferConfig::default(), DbConfig::default());
    let mut ids = std::collections::HashSet::new();
    for _ in 0..3 {
        for _ in 0..1_500 {
            assert!(ids.insert(block_on(bench.log().producer_id()).expect("storage works")));
        }
        bench.restart();
    }
    assert!(ids.iter().all(|id| *id >= 1 << 32));
}

#[test]
fn news_comes_with_each_commit_of_batches() {
    let bench = Bench::new("news", BufferConfig::default(), DbConfig::default());
    bench.topic("t");
    let mut news = bench.log().news();
    news.mark_unchanged();
    bench.open.as_ref().expect("is open").0.write(|_| Ok(())).expect("commits");
    assert!(!news.has_changed().expect("the log lives"));
    bench.one("t", &sample(None, 1, 5));
    assert!(news.has_changed().expect("the log lives"));
}
