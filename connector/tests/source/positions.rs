//! Where the stored position and the slot differ, and who moves the slot.

use super::reader::{Source, retry};
use super::server;
use super::throwaway::Server;
use connector::config::snapshot::SnapshotMode;
use connector::config::source::{LsnFlush, OffsetMismatch, SourceConfig};
use connector::model::position::{Lsn, Position};
use connector::source::Source as _;
use shared::Kind;
use std::time::{Duration, Instant};

fn slot_at(server: &Server, name: &str) -> Lsn {
    let sql = format!("select confirmed_flush_lsn from pg_replication_slots where slot_name = '{name}'");
    server.sql("postgres", &sql).parse().expect("an LSN")
}

/// A position after the row 1, from a source that has been stopped with the slot at `slot_at`.
fn read_a_row(server: &Server, config: &SourceConfig) -> Position {
    let mut source = retry(|| Source::start(config, SnapshotMode::NoData, None));
    server.sql(&config.database, "insert into t values (1)");
    source.read_until(|source| source.seen.positions.iter().any(|p| p.commit_lsn.is_some())).expect("reads");
    let position = source.seen.last_position();
    source.postgres.stop().expect("stops");
    position
}

/// Somebody moved the slot on: what lies between is lost unless the operator gives it up.
#[test]
fn a_slot_that_begins_after_the_position() {
    let Some(server) = server() else { return };
    let config = server.database("ahead", "create table t (id int primary key);");
    let stored = read_a_row(server, &config);
    server.sql("ahead", "insert into t values (2)");
    server.sql("ahead", "select pg_replication_slot_advance('ahead', pg_current_wal_lsn())");
    server.sql("ahead", "insert into t values (3)");
    for offset_mismatch in [OffsetMismatch::Refuse, OffsetMismatch::TrustOffset] {
        let config = SourceConfig { offset_mismatch, ..config.clone() };
        let error = Source::start(&config, SnapshotMode::NoData, Some(&stored)).err().expect("refused");
        assert_eq!(error.kind(), Kind::Lost, "{offset_mismatch:?}: {error}");
        assert!(error.hint().contains("source.offset_mismatch = \"trust_slot\""), "{}", error.hint());
    }
    for offset_mismatch in [OffsetMismatch::TrustSlot, OffsetMismatch::TrustGreaterLsn] {
        let config = SourceConfig { offset_mismatch, lsn_flush: LsnFlush::Manual, ..config.clone() };
        let mut source = retry(|| Source::start(&config, SnapshotMode::NoData, Some(&stored)));
        source.read_lines(1);
        assert_eq!(source.seen.lines, ["c t after(id=3)"], "{offset_mismatch:?}");
    }
}

/// The usual case after a crash: the slot begins before the position. Two strategies move it up first.
#[test]
fn a_slot_that_begins_before_the_position() {
    let Some(server) = server() else { return };
    let config = server.database("behind", "create table t (id int primary key);");
    let config = SourceConfig { lsn_flush: LsnFlush::Manual, ..config };
    let stored = read_a_row(server, &config);
    let begin = slot_at(server, "behind");
    assert!(begin < stored.lsn(), "nobody moved the slot");
    server.sql("behind", "insert into t values (2)");
    for (offset_mismatch, at) in [
        (OffsetMismatch::Refuse, begin),
        (OffsetMismatch::TrustSlot, begin),
        (OffsetMismatch::TrustOffset, stored.lsn()),
        (OffsetMismatch::TrustGreaterLsn, stored.lsn()),
    ] {
        let config = SourceConfig { offset_mismatch, ..config.clone() };
        let mut source = retry(|| Source::start(&config, SnapshotMode::NoData, Some(&stored)));
        source.read_lines(1);
        assert_eq!(source.seen.lines, ["c t after(id=2)"], "{offset_mismatch:?}");
        assert_eq!(slot_at(server, "behind"), at, "{offset_mismatch:?}");
    }
}

#[test]
fn with_manual_flush_the_slot_stays_where_it_is() {
    let Some(server) = server() else { return };
    for (name, lsn_flush) in [("manual", LsnFlush::Manual), ("usual", LsnFlush::Connector)] {
        let config = server.database(name, "create table t (id int primary key);");
        let config = SourceConfig { lsn_flush, status_interval_ms: 100, ..config };
        let mut source = Source::start(&config, SnapshotMode::NoData, None).expect("starts");
        let begin = slot_at(server, name);
        server.sql(name, "insert into t values (1)");
        source.read_lines(1);
        let until = Instant::now() + Duration::from_secs(2);
        source.read_until(|_| Instant::now() > until || slot_at(server, name) > begin).expect("reads");
        assert_eq!(slot_at(server, name) > begin, lsn_flush == LsnFlush::Connector, "{lsn_flush:?}");
    }
}

#[test]
fn replica_identities_are_set_at_start() {
    let Some(server) = server() else { return };
    let config = server.database(
        "identities",
        "create table whole (id int primary key, a text); create table none (id int);
         create table coded (id int, code text not null); create unique index by_code on coded (code);
         create table other (id int primary key);",
    );
    let rules = ["public.whole:FULL", "public.no.*:nothing", "public.coded:INDEX by_code"];
    let config = SourceConfig { replica_identities: rules.map(str::to_owned).into(), ..config };
    let mut source = Source::start(&config, SnapshotMode::NoData, None).expect("starts");
    let sql = "select string_agg(relname || '=' || relreplident::text, ' ' order by relname) from pg_class \
               where relname in ('whole', 'none', 'coded', 'other')";
    assert_eq!(server.sql("identities", sql), "coded=i none=n other=d whole=f");
    server.sql("identities", "insert into whole values (1, 'a'); update whole set a = 'b'");
    source.read_lines(2);
    assert_eq!(
        source.seen.lines.last().map(String::as_str),
        Some("u whole before(id=1 a=a) after(id=1 a=b)")
    );

    let wrong = SourceConfig { replica_identities: vec!["public.whole:SOME".to_owned()], ..config };
    let error = Source::start(&wrong, SnapshotMode::NoData, None).err().expect("refused");
    assert_eq!(error.kind(), Kind::Config, "{error}");
}

/// The plug-in's own option reaches the server; one that would change how changes are said does not.
#[test]
fn options_of_the_plug_in() {
    let Some(server) = server() else { return };
    let config = server.database("options", "create table t (id int primary key);");
    let with = |option: &str| SourceConfig { stream_options: vec![option.to_owned()], ..config.clone() };
    let error = Source::start(&with("binary=true"), SnapshotMode::NoData, None).err().expect("refused");
    assert_eq!(error.kind(), Kind::Config, "{error}");
    assert!(error.to_string().contains("binary") && error.hint().contains("origin"), "{error}");
    let started = Source::start(&with("origin=none"), SnapshotMode::NoData, None);
    // PostgreSQL 16 knows it.
    let known = server.sql("options", "select current_setting('server_version_num')::int >= 160000") == "t";
    assert_eq!(started.is_ok(), known);
    if let Err(error) = started {
        assert!(error.to_string().contains("origin"), "{error}");
    }
}

/// Another reader leaves while we wait.
#[test]
fn a_slot_in_use_is_waited_for() {
    let Some(server) = server() else { return };
    let config = server.database("waits", "create table t (id int primary key);");
    let first = Source::start(&config, SnapshotMode::NoData, None).expect("starts");
    let impatient = SourceConfig { slot_wait_ms: 200, ..config.clone() };
    let error = Source::start(&impatient, SnapshotMode::NoData, None).err().expect("refused");
    assert_eq!(error.kind(), Kind::Unreachable, "{error}");
    let patient = std::thread::spawn(move || {
        Source::start(&SourceConfig { slot_wait_ms: 20_000, ..config }, SnapshotMode::NoData, None).is_ok()
    });
    std::thread::sleep(Duration::from_millis(500));
    drop(first);
    assert!(patient.join().expect("no panic"), "it starts once the slot is free");
}
