//! Tables read again while the source runs.

use super::reader::{Source, retry};
use super::server;
use connector::config::signal::{SignalConfig, Watermarking};
use connector::config::snapshot::SnapshotConfig;
use connector::config::snapshot::SnapshotMode;
use connector::model::position::Position;
use connector::model::request::{Action, Request, Tables};
use connector::source::Source as _;

use std::collections::{BTreeMap, BTreeSet};

fn request(action: fn(Tables) -> Action, patterns: &[&str]) -> Request {
    let patterns = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
    Request { id: "1".to_owned(), action: action(Tables { patterns, ..Tables::default() }), at: None }
}

/// The stream stops in the midst of writing, and goes on there.
#[test]
fn a_blocking_snapshot_loses_nothing_of_the_stream() {
    let Some(server) = server() else { return };
    let config =
        server.database("blocking", "create table t (id int primary key); insert into t values (0);");
    let mut source = Source::start(&config, SnapshotMode::NoData, None).expect("starts");
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for pair in 0..40 {
                let (id, next) = (pair * 2 + 1, pair * 2 + 2);
                server
                    .sql("blocking", &format!("insert into t values ({id}); insert into t values ({next});"));
            }
        });
        let mut asked = 0;
        while !writer.is_finished() {
            let created =
                |source: &Source| source.seen.lines.iter().filter(|line| line.starts_with("c ")).count();
            let before = created(&source);
            source.read_until(|source| created(source) > before || writer.is_finished()).expect("reads");
            source.postgres.request(request(Action::Blocking, &["public.t"])).expect("taken");
            asked += 1;
            let read =
                |source: &Source| source.seen.lines.iter().filter(|line| line.contains(" last ")).count();
            source.read_until(|source| read(source) >= asked).expect("reads");
            source.read_snapshot();
        }
    });
    server.sql("blocking", "insert into t values (-1)");
    let end = |source: &Source| source.seen.lines.last().is_some_and(|line| line == "c t after(id=-1)");
    source.read_until(end).expect("reads");
    for id in 1..=80 {
        let line = format!("c t after(id={id})");
        assert_eq!(source.seen.lines.iter().filter(|seen| **seen == line).count(), 1, "{line}");
    }
}

/// A crash between a signal and what it asks for must not forget it: what is stored behind the signal knows of it.
#[test]
fn a_signal_is_followed_before_its_transaction_counts_as_read() {
    let Some(server) = server() else { return };
    let config = server.database(
        "signal_kept",
        "create table signal (id varchar(42) primary key, type varchar(32), data varchar(2048));
         create table t (a int primary key);
         insert into t select generate_series(1, 5000);",
    );
    let snapshot = SnapshotConfig { mode: SnapshotMode::NoData, ..SnapshotConfig::default() };
    let signal = SignalConfig { table: Some("public.signal".to_owned()), ..SignalConfig::default() };
    let mut source = Source::start_all(&config, &snapshot, &signal, None).expect("starts");
    server.sql("signal_kept", "insert into signal values ('1', 'execute-snapshot', 'all of t')");
    let came = |source: &Source| source.seen.lines.iter().any(|line| line.starts_with("c signal"));
    source.read_until(came).expect("reads");
    let behind = source.seen.positions.len();
    assert!(source.seen.lines_at_boundary < source.seen.lines.len(), "its transaction counts as read");
    source.postgres.request(request(Action::Incremental, &["public.t"])).expect("taken");
    source.read_until(|source| source.seen.positions.len() > behind).expect("reads");
    let first = source.seen.positions.get(behind).expect("a position");
    assert!(first.incremental.is_some(), "what is stored behind the signal has forgotten it");
    // One that nobody understands holds back nothing.
    server.sql("signal_kept", "insert into signal values ('2', 'nonsense', '')");
    let all = |source: &Source| source.seen.lines_at_boundary == source.seen.lines.len();
    source
        .read_until(|source| source.seen.lines.iter().any(|line| line.contains("nonsense")) && all(source))
        .expect("reads");
}

/// Writers go on, and the source crashes twice, while a table is read again: each row's counter goes up by
/// one from change to change, a row that is read shows what was streamed last, and every row is read.
fn incremental_under_load(name: &str, signal: &SignalConfig) {
    let Some(server) = server() else { return };
    let config = server.database(
        name,
        "create table signal (id varchar(42) primary key, type varchar(32), data varchar(2048));
         create table t (a int, b text, n int not null, primary key (a, b));
         insert into t select g / 10, 'b' || g % 10, 0 from generate_series(0, 4999) g;",
    );
    let snapshot = SnapshotConfig { mode: SnapshotMode::NoData, ..SnapshotConfig::default() };
    let start = |stored: Option<&Position>| retry(|| Source::start_all(&config, &snapshot, signal, stored));
    let mut source = start(None);
    let mut lines = Vec::new();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut sql = String::new();
            for step in 0..1_000 {
                let id = step * 7919 % 5_000;
                sql.push_str(&format!(
                    "update t set n = n + 1 where a = {} and b = 'b{}';",
                    id / 10,
                    id % 10
                ));
                if step % 50 == 0 {
                    sql.push_str("select pg_sleep(0.02);");
                }
            }
            server.sql(name, &sql);
        });
        source.postgres.request(request(Action::Incremental, &["public.t"])).expect("taken");
        for part in 1..=3 {
            let reads =
                |source: &Source| source.seen.lines.iter().filter(|line| line.starts_with("r t")).count();
            let over = |source: &Source| {
                source.seen.positions.last().is_some_and(|position| position.incremental.is_none())
                    && reads(source) > 0
            };
            source.read_until(|source| over(source) || part < 3 && reads(source) >= 1_500).expect("reads");
            // What came after the last boundary is lost with the process.
            lines.extend(source.seen.lines.drain(..source.seen.lines_at_boundary));
            let stored = source.seen.last_position();
            if part < 3 {
                source.crash();
                source = start(Some(&stored));
            }
        }
        writer.join().expect("writes");
    });
    server.sql(name, "insert into t values (-1, 'end', 0)");
    source
        .read_until(|source| source.seen.lines.last().is_some_and(|line| line.contains("a=-1")))
        .expect("reads");
    lines.append(&mut source.seen.lines);
    let (state, read) = counted(&lines);
    // Rows that were changed while they waited are not sent as read.
    assert!(read.len() > 2_000, "{}", read.len());
    assert_eq!(state.len(), 5_001);
    assert_eq!(state.values().sum::<i64>().to_string(), server.sql(name, "select sum(n) from t"));
    source.postgres.stop().expect("stops");
}

/// Each row's counter at last, and the rows that came as read.
fn counted(lines: &[String]) -> (BTreeMap<String, i64>, BTreeSet<String>) {
    let (mut state, mut read) = (BTreeMap::new(), BTreeSet::new());
    for line in lines.iter().filter(|line| line.contains(" t ")) {
        let (_, row) = line.split_once("after(").expect("no deletes");
        let (key, n) = row.trim_end_matches(')').split_once(" n=").expect("a, b, n");
        let n: i64 = n.parse().expect("a number");
        let before = state.insert(key.to_owned(), n);
        if line.starts_with("r ") {
            assert!(before.is_none_or(|before| before == n), "{line} after {before:?}");
            read.insert(key.to_owned());
        } else if let Some(before) = before {
            assert_eq!(n, before + 1, "{line}");
        }
    }
    (state, read)
}

#[test]
fn an_incremental_snapshot_fits_the_stream() {
    let table = Some("public.signal".to_owned());
    incremental_under_load("inc_marks", &SignalConfig { table, chunk_rows: 100, ..SignalConfig::default() });
}

#[test]
fn an_incremental_snapshot_fits_the_stream_with_marks_that_are_taken_away() {
    let (table, watermarking) = (Some("public.signal".to_owned()), Watermarking::InsertDelete);
    let signal = SignalConfig { table, watermarking, chunk_rows: 100, ..SignalConfig::default() };
    incremental_under_load("inc_delete", &signal);
}

#[test]
fn an_incremental_snapshot_fits_the_stream_without_writing() {
    incremental_under_load("inc_read_only", &SignalConfig { chunk_rows: 100, ..SignalConfig::default() });
}
