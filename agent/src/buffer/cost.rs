//! SQLite's own rate for the batches that a bench has just stored, in the same groups and with the same
//! settings: what `cargo dev bench append` holds the agent against. Without the environment that it
//! sets, a few batches are gone through, so that this stays right.

use super::tests::{Bench, turn};
use super::*;
use crate::config::db::DbConfig;
use crate::model::batch::tests::sample;
use rusqlite::params;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The file with the batches, and how many commits made it.
const FILE: &str = "TIDEGATE_APPEND_FILE";
const COMMITS: &str = "TIDEGATE_APPEND_COMMITS";
const READ_AT_ONCE: i64 = 64 * 1024 * 1024;

#[test]
#[expect(clippy::print_stdout, reason = "a measurement's answer")]
fn sqlite_alone() {
    let Some(file) = std::env::var_os(FILE).map(PathBuf::from) else {
        let mut bench = Bench::new("cost", BufferConfig::default(), DbConfig::default());
        for sequence in 0..50 {
            bench.one("t", &sample(turn(1, sequence), 1, 1_000));
        }
        bench.open = None;
        assert_eq!(again(&bench.db_config.path, 10).1, 50);
        return;
    };
    let commits = std::env::var(COMMITS).ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let (seconds, batches) = again(&file, commits);
    println!("sqlite_alone seconds={seconds} batches={batches}");
}

/// Inserts the file's batches anew; seconds spent in SQLite, and how many there were.
fn again(file: &Path, commits: usize) -> (f64, usize) {
    let from = Connection::open(file).expect("a file");
    let count: i64 = from.query_row("SELECT count(*) FROM log_batch", [], |row| row.get(0)).expect("counts");
    let count = usize::try_from(count).expect("positive");
    let group = count.div_ceil(commits.max(1));
    let folder = file.with_extension("again");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder");
    let to = Connection::open(folder.join("again.db")).expect("opens");
    let config = DbConfig::default();
    to.execute_batch(&format!(
        "PRAGMA page_size = {}; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL; PRAGMA cache_size = -{}; PRAGMA wal_autocheckpoint = {};
         CREATE TABLE log_batch (place INTEGER PRIMARY KEY, last_offset INTEGER NOT NULL,
            max_time_ms INTEGER NOT NULL, arrived_ms INTEGER NOT NULL, bytes INTEGER NOT NULL,
            records BLOB NOT NULL) STRICT;",
        config.page_bytes,
        config.cache_bytes / 1_024,
        config.checkpoint_bytes / u64::from(config.page_bytes),
    ))
    .expect("a layout");
    let (mut seconds, mut place, mut done) = (0.0, -1, 0);
    loop {
        let blobs = slice(&from, &mut place);
        if blobs.is_empty() {
            break;
        }
        let began = Instant::now();
        for group in blobs.chunks(group) {
            to.execute_batch("BEGIN IMMEDIATE").expect("begins");
            for (place, records) in group {
                let text = "INSERT INTO log_batch VALUES (?, ?, 0, 0, ?, ?)";
                let mut insert = to.prepare_cached(text).expect("valid");
                insert.execute(params![place, place, records.len() as i64, records]).expect("inserts");
            }
            to.execute_batch("COMMIT").expect("commits");
        }
        seconds += began.elapsed().as_secs_f64();
        done += blobs.len();
    }
    drop(to);
    let _ = std::fs::remove_dir_all(folder);
    (seconds, done)
}

/// Reading is not measured, so it comes first.
fn slice(from: &Connection, place: &mut i64) -> Vec<(i64, Vec<u8>)> {
    let text = "SELECT place, records FROM log_batch WHERE place > ? ORDER BY place";
    let mut statement = from.prepare_cached(text).expect("valid");
    let mut rows = statement.query([*place]).expect("reads");
    let (mut blobs, mut bytes) = (Vec::new(), 0);
    while bytes < READ_AT_ONCE
        && let Some(row) = rows.next().expect("reads")
    {
        let blob: Vec<u8> = row.get(1).expect("a blob");
        *place = row.get(0).expect("a place");
        bytes += blob.len() as i64;
        blobs.push((*place, blob));
    }
    blobs
}
