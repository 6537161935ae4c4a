//! Power cuts and damage, many of them, from a seed: what was acknowledged is there, or its absence is
//! said. A power cut alone is never taken for damage.

use super::tests::{Bench, turn};
use super::*;
use crate::config::db::DbConfig;
use crate::model::batch::tests::sample;
use shared::Kind;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Small, so that every run sees checkpoints and logs that begin anew.
const CHECKPOINT_BYTES: u64 = 96 * 1024;
const SECTOR: usize = 512;
const TOPICS: [&str; 3] = ["orders", "payments", "returns"];
const FILES: [&str; 4] = ["", "-wal", "-shm", ".lock"];

/// Small and repeatable; the seed is in every message.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % limit.max(1)
    }
}

/// What was acknowledged: the records behind each place, as stored.
type Acknowledged = BTreeMap<(String, i64), Vec<u8>>;

struct Live {
    bench: Bench,
    acknowledged: Acknowledged,
    sequences: [i32; 3],
}

impl Live {
    fn new(name: &str) -> Live {
        let db = DbConfig { checkpoint_bytes: CHECKPOINT_BYTES, page_bytes: 4_096, ..DbConfig::default() };
        let bench = Bench::new(name, BufferConfig::default(), db);
        TOPICS.iter().for_each(|topic| drop(bench.topic(topic)));
        Live { bench, acknowledged: Acknowledged::new(), sequences: [0; 3] }
    }

    fn grow(&mut self, dice: &mut Dice, appends: usize) {
        for _ in 0..appends {
            let which = dice.below(3);
            let topic = TOPICS[which];
            let length = [20, 300, 5_000, 20_000][dice.below(4)];
            let mut batch = sample(turn(7, self.sequences[which]), 1, length);
            self.sequences[which] += 1;
            let Outcome::Stored { base_offset } = self.bench.one(topic, &batch) else { panic!("not stored") };
            batch.drain(..16);
            self.acknowledged.insert((topic.to_owned(), base_offset), batch);
        }
    }

    /// A copy as a crash of the program leaves it.
    fn copy(&self, to: &Path) {
        std::fs::create_dir_all(to).expect("a folder");
        for suffix in FILES {
            let name = format!("agent.db{suffix}");
            let from = self.bench.folder.join(&name);
            if from.exists() {
                std::fs::copy(from, to.join(name)).expect("copied");
            }
        }
    }
}

/// What became of the acknowledged records in a copy.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Whole,
    /// An error when it was opened or read.
    Said(String),
    Missing(String),
}

fn examine(folder: &Path, acknowledged: &Acknowledged) -> Found {
    let config = DbConfig { path: folder.join("agent.db"), ..DbConfig::default() };
    let opened = Db::open(&config).and_then(|db| Ok((Log::open(&db, &BufferConfig::default())?, db)));
    let (log, db) = match opened {
        Ok(opened) => opened,
        Err(error) => return Found::Said(format!("{:?}: {error}", error.kind())),
    };
    let reader = db.reader().expect("opens");
    for ((topic, offset), records) in acknowledged {
        let Some(partition) = log.partitions(topic).first().copied() else {
            return Found::Missing(format!("topic {topic}"));
        };
        match log.read(&reader, partition, *offset, 1) {
            Err(error) => return Found::Said(format!("{:?}: {error}", error.kind())),
            Ok(batches) => {
                let found = batches.first().is_some_and(|batch| batch.records[16..] == records[..]);
                if !found {
                    return Found::Missing(format!("{topic} {offset} of {}", log.end_offset(partition)));
                }
            }
        }
    }
    let partitions = log.topics().len();
    if partitions == 0 && !acknowledged.is_empty() { Found::Missing("all".to_owned()) } else { Found::Whole }
}

fn scratch(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("tidegate-damage-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    folder
}

/// Everything that was synced stays; of what was being written each sector may be there or not.
#[test]
fn a_power_cut_loses_nothing_that_was_acknowledged_and_stops_nobody() {
    let folder = scratch("torn");
    let mut torn_logs = 0;
    for seed in 0..24 {
        let mut dice = Dice(seed);
        let mut live = Live::new(&format!("torn-{seed}"));
        let warm_up = 5 + dice.below(30);
        live.grow(&mut dice, warm_up);
        let wal = live.bench.folder.join("agent.db-wal");
        let (synced, acknowledged) = (std::fs::read(&wal).expect("a log"), live.acknowledged.clone());
        let before = std::fs::read(&live.bench.db_config.path).expect("a file");
        // One commit: the one before it is synced before it begins.
        live.grow(&mut dice, 1);
        let _ = std::fs::remove_dir_all(&folder);
        live.copy(&folder);
        let mut written = std::fs::read(&wal).expect("a log");
        // Brought into the file in between, before which SQLite syncs it: nothing of it can be torn.
        if std::fs::read(folder.join("agent.db")).expect("a file") != before {
            continue;
        }
        let old_end = synced.len().min(written.len());
        // The head of a log that begins anew is synced before its first frame is written.
        let head = written[..32].to_vec();
        for at in (0..written.len()).step_by(SECTOR) {
            let sector = at..(at + SECTOR).min(written.len());
            let unsynced = sector.end > old_end || written[sector.clone()] != synced[sector.clone()];
            if unsynced && dice.below(2) == 0 {
                torn_logs += 1;
                for byte in sector {
                    written[byte] = synced.get(byte).copied().unwrap_or(0);
                }
            }
        }
        written[..32].copy_from_slice(&head);
        std::fs::write(folder.join("agent.db-wal"), &written).expect("written");
        // The index does not survive, and the machine has started again.
        let _ = std::fs::remove_file(folder.join("agent.db-shm"));
        std::fs::write(folder.join("agent.db.lock"), "running another-boot\n").expect("written");
        // The commits after the synced state were never acknowledged in this story.
        assert_eq!(examine(&folder, &acknowledged), Found::Whole, "seed {seed}");
    }
    assert!(torn_logs > 20, "only {torn_logs} sectors were torn");
    let _ = std::fs::remove_dir_all(folder);
}

#[test]
fn damage_anywhere_is_said_or_does_no_harm() {
    let folder = scratch("any");
    let (mut said, mut harmless) = (0, 0);
    let mut missing = Vec::new();
    for seed in 0..40 {
        let mut dice = Dice(1_000 + seed);
        let mut live = Live::new(&format!("any-{seed}"));
        let appends = 3 + dice.below(40);
        live.grow(&mut dice, appends);
        for round in 0..8 {
            let _ = std::fs::remove_dir_all(&folder);
            live.copy(&folder);
            let what = harm(&folder, &mut dice);
            match examine(&folder, &live.acknowledged) {
                Found::Whole => harmless += 1,
                Found::Said(_) => said += 1,
                Found::Missing(place) => missing.push(format!("seed {seed}.{round}: {what}: {place}")),
            }
        }
    }
    assert!(said > 100, "said {said}, harmless {harmless}");
    assert!(missing.is_empty(), "{} of {}: {missing:#?}", missing.len(), said + harmless + missing.len());
    let _ = std::fs::remove_dir_all(folder);
}

/// Changes the file or its log at one place; says how.
fn harm(folder: &Path, dice: &mut Dice) -> String {
    let suffix = ["", "-wal"][dice.below(2)];
    let path = folder.join(format!("agent.db{suffix}"));
    let mut bytes = std::fs::read(&path).unwrap_or_default();
    let at = dice.below(bytes.len());
    let what = match dice.below(5) {
        0 => {
            bytes.truncate(at);
            "cut"
        }
        1 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << dice.below(8);
            }
            "one bit"
        }
        2 => {
            bytes.iter_mut().skip(at / SECTOR * SECTOR).take(SECTOR).for_each(|byte| *byte = 0);
            "an empty sector"
        }
        3 => {
            bytes
                .iter_mut()
                .skip(at / 4_096 * 4_096)
                .take(4_096)
                .for_each(|byte| *byte = dice.below(256) as u8);
            "a page of noise"
        }
        _ => {
            std::fs::remove_file(&path).expect("removed");
            return format!("agent.db{suffix} removed");
        }
    };
    std::fs::write(&path, bytes).expect("written");
    format!("agent.db{suffix}: {what} at {at}")
}

#[test]
fn what_is_sound_is_brought_over_and_the_rest_is_counted() {
    let folder = scratch("salvage");
    let mut dice = Dice(7);
    let mut live = Live::new("salvage");
    live.grow(&mut dice, 200);
    live.bench.open = None;
    live.copy(&folder);
    let path = folder.join("agent.db");
    let mut bytes = std::fs::read(&path).expect("a file");
    // Noise over a few pages in the middle.
    let middle = bytes.len() / 2 / 4_096 * 4_096;
    bytes.iter_mut().skip(middle).take(5 * 4_096).for_each(|byte| *byte = dice.below(256) as u8);
    std::fs::write(&path, bytes).expect("written");
    let config = DbConfig { path: folder.join("new.db"), ..DbConfig::default() };
    let db = Db::open(&config).expect("opens");
    let damaged = crate::db::open_damaged(&path).expect("its tables can be read");
    assert_eq!(salvage::tables(&damaged, &db).expect("copies"), Vec::<&str>::new());
    let salvaged = salvage::batches(&damaged, &db).expect("copies");
    assert!(salvaged.batches >= 150 && salvaged.batches < 200, "{salvaged:?}");
    assert!(salvaged.damaged + salvaged.gaps > 0, "{salvaged:?}");
    assert!(salvaged.batches + salvaged.damaged + salvaged.missing_records >= 190, "{salvaged:?}");
    let log = Log::open(&db, &BufferConfig::default()).expect("opens");
    let reader = db.reader().expect("opens");
    let mut whole = 0;
    for ((topic, offset), records) in &live.acknowledged {
        let partition = log.partitions(topic)[0];
        let batches = log.read(&reader, partition, *offset, 1).expect("what is there is sound");
        whole += u64::from(
            batches.first().is_some_and(|b| b.base_offset == *offset && b.records[16..] == records[..]),
        );
    }
    assert_eq!(whole, salvaged.batches, "each at its old place");
    let next = log.topic("orders").expect("is there").partitions[0].next();
    assert!(next >= copied::OFFSETS_AHEAD, "new offsets are new");
    let _ = std::fs::remove_dir_all(folder);
}

/// A batch whose bytes changed: its reader is told, the others go on; set aside, reading goes on too.
#[test]
fn a_damaged_batch_is_told_and_set_aside_if_wanted() {
    let mut bench = Bench::new("batch", BufferConfig::default(), DbConfig::default());
    for _ in 0..5 {
        bench.one("t", &sample(None, 2, 50));
    }
    bench.one("other", &sample(None, 1, 50));
    spoil(&bench, "t", 4);
    let (db, log) = bench.open.as_ref().expect("is open");
    let (reader, partition) = (db.reader().expect("opens"), log.partitions("t")[0]);
    assert_eq!(bench.read("t", 0), [(0, 1), (2, 3)], "what lies before it is given");
    for _ in 0..2 {
        let error = log.read(&reader, partition, 4, usize::MAX).expect_err("it is damaged");
        assert_eq!(error.kind(), Kind::Data);
        assert!(error.to_string().contains("topic t, partition 0, offset 4"), "{error}");
    }
    assert_eq!(bench.read("t", 6), [(6, 7), (8, 9)], "a reader may pass it by");
    assert_eq!(bench.read("other", 0), [(0, 0)]);
    assert_eq!(log.damaged().len(), 1);
    assert_eq!(log.set_damaged_aside().expect("may"), 0, "the operator did not say so");
    drop(reader);

    bench.db_config.on_damage = crate::config::db::OnDamage::SetAside;
    bench.restart();
    let log = bench.log();
    let (before, mut at) = (log.used_bytes(), Scrub::default());
    let reader = bench.open.as_ref().expect("is open").0.reader().expect("opens");
    while !at.done {
        log.scrub(&reader, &mut at, 100).expect("reads");
    }
    assert_eq!(log.set_damaged_aside().expect("moves"), 1, "the scrub found it");
    assert_eq!(bench.read("t", 0), [(0, 1), (2, 3), (6, 7), (8, 9)]);
    assert_eq!(log.damaged(), []);
    assert!(log.used_bytes() < before);
    let aside = "SELECT count(*) FROM buffer_damaged WHERE length(records) = bytes";
    assert_eq!(reader.query_row(aside, [], |row| row.get::<_, i64>(0)).expect("reads"), 1);
    let used = log.used_bytes();
    bench.restart();
    assert_eq!(bench.log().used_bytes(), used, "the sum is the same after a restart");
    assert_eq!(bench.one("t", &sample(None, 1, 5)), Outcome::Stored { base_offset: 10 });
}

/// Changes a bit of a stored batch behind everybody's back.
fn spoil(bench: &Bench, topic: &str, offset: i64) {
    let (db, log) = bench.open.as_ref().expect("is open");
    let partition = log.topic(topic).expect("is there").partitions[0].clone();
    let place = partition.place(offset);
    db.write(move |tx| {
        let records: Vec<u8> = tx
            .query_row("SELECT records FROM log_batch WHERE place = ?", [place], |row| row.get(0))
            .expect("is there");
        let mut records = records;
        records[80] ^= 4;
        tx.execute("UPDATE log_batch SET records = ? WHERE place = ?", rusqlite::params![records, place])
            .expect("may");
        Ok(())
    })
    .expect("commits");
}

#[test]
fn a_file_that_is_gone_is_missed() {
    let mut bench = Bench::new("gone", BufferConfig::default(), DbConfig::default());
    bench.one("t", &sample(None, 1, 5));
    bench.open = None;
    std::fs::remove_file(&bench.db_config.path).expect("removed");
    let error = Db::open(&bench.db_config).err().expect("it was there");
    assert_eq!(error.kind(), Kind::Lost);
    assert!(error.hint().contains("agent.db.lock"), "{}", error.hint());
    std::fs::remove_file(bench.folder.join("agent.db.lock")).expect("removed");
    assert!(Db::open(&bench.db_config).is_ok(), "the operator begins anew");
}

/// Moved aside, and then killed before all was brought over: the next start knows from which file.
#[test]
fn a_recovery_that_was_broken_off_is_taken_up_again() {
    let mut bench = Bench::new("resume", BufferConfig::default(), DbConfig::default());
    bench.one("t", &sample(None, 1, 5));
    bench.open = None;
    let path = bench.db_config.path.clone();
    std::fs::write(bench.folder.join("agent.db.lock"), "running another-boot\n").expect("written");
    let mut bytes = std::fs::read(&path).expect("a file");
    bytes.iter_mut().skip(8_192).for_each(|byte| *byte = 0x5a);
    std::fs::write(&path, bytes).expect("written");
    assert_eq!(Db::open(&bench.db_config).err().expect("the operator did not say so").kind(), Kind::Lost);
    bench.db_config.on_damage = crate::config::db::OnDamage::SetAside;
    for _ in 0..2 {
        let db = Db::open(&bench.db_config).expect("begins anew");
        let aside = db.aside().expect("not yet brought over").to_owned();
        assert!(aside.exists() && aside != path, "{}", aside.display());
    }
    Db::open(&bench.db_config).expect("opens").recovered().expect("notes");
    assert_eq!(Db::open(&bench.db_config).expect("opens").aside(), None);
}
