//! What the stream delivers, and where it goes on.

use super::reader::{Source, retry};
use super::server;
use connector::config::snapshot::SnapshotMode;
use connector::config::source::SourceConfig;
use connector::model::change::Event;
use connector::model::position::{Lsn, Position};
use connector::source::Source as _;
use shared::Kind;
use std::time::{Duration, Instant};

/// As Debezium recorded it (`pg-replica-identity`).
#[test]
fn replica_identity_decides_what_is_known_of_the_row_before() {
    let Some(server) = server() else { return };
    let config = server.database(
        "ident",
        "create table ri_default (id int primary key, name text not null, big text, e numeric(5,2) not null);
         alter table ri_default alter big set storage external;
         create table ri_full (like ri_default including all);
         alter table ri_full replica identity full;
         create table ri_index (id int primary key, code text not null, name text);
         create unique index ri_index_code on ri_index(code);
         alter table ri_index replica identity using index ri_index_code;
         create table ri_nopk_full (id int, name text);
         alter table ri_nopk_full replica identity full;
         create table ri_unique (name text, id int not null unique);
         alter table ri_unique replica identity using index ri_unique_id_key;",
    );
    let mut source = Source::start(&config, SnapshotMode::NoData, None).expect("starts");
    server.sql(
        "ident",
        "insert into ri_default values (1, 'one', repeat('x', 9000), 1.5);
         insert into ri_full select * from ri_default;
         update ri_default set e = 2 where id = 1;
         update ri_default set id = 2 where id = 1;
         delete from ri_default where id = 2;
         update ri_full set e = 2 where id = 1;
         delete from ri_full where id = 1;
         insert into ri_index values (1, 'c1', 'one');
         update ri_index set name = 'ONE' where id = 1;
         update ri_index set code = 'c2' where id = 1;
         delete from ri_index where id = 1;
         insert into ri_nopk_full values (2, 'b');
         update ri_nopk_full set name = null;
         insert into ri_unique values ('a', 1);
         update ri_unique set id = 9;
         begin; insert into ri_unique values ('rolled back', 7); rollback;
         begin; insert into ri_unique values ('z', 8); delete from ri_unique where id = 8; commit;",
    );
    source.read_lines(17);
    assert_eq!(
        source.seen.lines,
        [
            "c ri_default after(id=1 name=one big=x..9000 e=1.50)",
            "c ri_full after(id=1 name=one big=x..9000 e=1.50)",
            "u ri_default after(id=1 name=one big=? e=2.00)",
            "u ri_default before(id=1 name=~ big=~ e=~) after(id=2 name=one big=? e=2.00)",
            "d ri_default before(id=2 name=~ big=~ e=~)",
            "u ri_full before(id=1 name=one big=x..9000 e=1.50) after(id=1 name=one big=x..9000 e=2.00)",
            "d ri_full before(id=1 name=one big=x..9000 e=2.00)",
            "c ri_index after(id=1 code=c1 name=one)",
            "u ri_index after(id=1 code=c1 name=ONE)",
            "u ri_index before(id=~ code=c1 name=~) after(id=1 code=c2 name=ONE)",
            "d ri_index before(id=~ code=c2 name=~)",
            "c ri_nopk_full after(id=2 name=b)",
            "u ri_nopk_full before(id=2 name=b) after(id=2 name=~)",
            "c ri_unique after(name=a id=1)",
            "u ri_unique before(name=~ id=1) after(name=a id=9)",
            "c ri_unique after(name=z id=8)",
            "d ri_unique before(name=~ id=8)",
        ]
    );
    let key = |line: usize| source.seen.tables[line].key.clone();
    assert_eq!((key(0), key(7), key(11), key(13)), (vec![0], vec![0], vec![], vec![1]));
    // Both changes of the last transaction know the same commit before them.
    let [.., a, b] = source.seen.origins[..] else { panic!("17 lines") };
    assert_eq!((a.transaction_id, a.last_commit_lsn), (b.transaction_id, b.last_commit_lsn));
    assert!(a.lsn < b.lsn);
}

#[test]
fn a_changed_table_is_a_new_version_and_an_unchanged_one_is_not() {
    let Some(server) = server() else { return };
    let config = server.database("evolve", "create table evo (id int primary key, b text, p circle);");
    let mut source = Source::start(&config, SnapshotMode::Initial, None).expect("starts");
    source.read_snapshot();
    server.sql("evolve", "insert into evo values (1, 'one', '<(1,2),3>'); insert into evo values (2, null);");
    source.read_lines(2);
    for (sql, lines) in [
        ("alter table evo add d int not null default 7; insert into evo (id) values (3)", 3),
        ("alter table evo drop column b; insert into evo values (4)", 4),
        ("create index on evo (d); insert into evo values (5)", 5),
        ("alter table evo drop constraint evo_pkey; insert into evo values (6)", 6),
    ] {
        server.sql("evolve", sql);
        source.read_lines(lines);
    }
    assert_eq!(
        source.seen.lines,
        [
            "c evo after(id=1 b=one)",
            "c evo after(id=2 b=~)",
            "c evo after(id=3 b=~ d=7)",
            "c evo after(id=4 d=7)",
            "c evo after(id=5 d=7)",
            "c evo after(id=6 d=7)",
        ]
    );
    let version = |line: usize| source.seen.tables[line].version;
    assert_eq!(version(0), version(1));
    assert!(version(1) < version(2) && version(2) < version(3) && version(4) < version(5));
    assert_eq!(version(3), version(4));
    let with_default = &source.seen.tables[2].columns[2];
    assert!(!with_default.optional && with_default.default.is_some(), "{with_default:?}");
    assert!(source.seen.tables[5].key.is_empty());
}

/// Everything after the last stored boundary comes again, nothing before it.
#[test]
fn a_restart_goes_on_at_the_stored_position() {
    let Some(server) = server() else { return };
    let config = server.database("resume", "create table t (id int primary key); insert into t values (1);");
    let mut source = Source::start(&config, SnapshotMode::Initial, None).expect("starts");
    source.read_snapshot();
    let after_snapshot = source.seen.last_position();
    drop(source);
    server.sql("resume", "insert into t values (2); insert into t values (3);");

    let mut source = retry(|| Source::start(&config, SnapshotMode::Initial, Some(&after_snapshot)));
    source.read_lines(2);
    assert_eq!(source.seen.lines, ["c t after(id=2)", "c t after(id=3)"]);
    assert_eq!(source.seen.origins[0].last_commit_lsn, None);
    let first_commit = source.seen.positions.iter().find(|p| p.commit_lsn.is_some()).expect("one").clone();
    assert_eq!(source.seen.origins[1].last_commit_lsn, first_commit.commit_lsn.map(|lsn| lsn.0));
    source.postgres.stop().expect("stops");

    // An older position than the slot's: somebody moved the slot, what lies between is lost.
    drop(source);
    let older = Source::start(&config, SnapshotMode::Initial, Some(&after_snapshot)).err().expect("refused");
    assert_eq!(older.kind(), Kind::Lost, "{older}");
    assert!(older.to_string().contains("slot resume begins at"), "{older}");
    // A newer one than the server's end: another server.
    let mut future = first_commit;
    future.lsn.0 += 1 << 40;
    let future = Position::Postgres(future);
    let error = Source::start(&config, SnapshotMode::Initial, Some(&future)).err().expect("refused");
    assert_eq!(error.kind(), Kind::Lost, "{error}");

    server.sql("resume", "select pg_drop_replication_slot('resume')");
    let error = Source::start(&config, SnapshotMode::Initial, Some(&after_snapshot)).err().expect("refused");
    assert_eq!(error.kind(), Kind::Lost, "{error}");
    assert!(error.to_string().contains("slot resume is gone"), "{error}");
}

/// Load in another database moves the log on; the slot must follow although nothing is captured.
#[test]
fn an_idle_database_gives_boundaries() {
    let Some(server) = server() else { return };
    let config = server.database("idle", "create table t (id int);");
    let config = SourceConfig { status_interval_ms: 200, ..config };
    let mut source = Source::start(&config, SnapshotMode::NoData, None).expect("starts");
    server.sql("postgres", "create table elsewhere as select g from generate_series(1, 1000) g");
    let end: Lsn = server.sql("postgres", "select pg_current_wal_lsn()").parse().expect("an LSN");
    source.read_until(|source| source.seen.positions.last().is_some_and(|p| p.lsn >= end)).expect("reads");
    assert!(source.seen.lines.is_empty());
    assert_eq!(source.seen.positions.last().expect("one").commit_lsn, None);
    // Told the server by the next status.
    source
        .read_until(|_| {
            let sql = format!(
                "select confirmed_flush_lsn >= '{end}' from pg_replication_slots where slot_name = 'idle'"
            );
            server.sql("postgres", &sql) == "t"
        })
        .expect("reads");
}

#[test]
fn a_connection_cut_while_streaming_can_be_retried() {
    let Some(server) = server() else { return };
    let config = server.database("cut", "create table t (id int primary key);");
    let mut source = Source::start(&config, SnapshotMode::NoData, None).expect("starts");
    server.sql("cut", "insert into t values (1)");
    source.read_until(|source| source.seen.positions.iter().any(|p| p.commit_lsn.is_some())).expect("reads");
    let stored = source.seen.last_position();
    server.sql(
        "cut",
        "select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = 'cut'; insert into t values (2)",
    );
    let error = source.read_until(|_| false).expect_err("cut");
    assert_eq!(error.kind(), Kind::Unreachable, "{error}");
    let mut source = retry(|| Source::start(&config, SnapshotMode::NoData, Some(&stored)));
    source.read_lines(1);
    assert_eq!(source.seen.lines, ["c t after(id=2)"]);
}

/// A row costs no allocation, streamed or copied: only a table's description and the like do.
#[test]
fn rows_cost_no_allocation() {
    let Some(server) = server() else { return };
    const ROWS: u64 = 20_000;
    let config = server.database(
        "alloc",
        "create table t (id int primary key, a text, b numeric(12,2), c timestamptz, d bytea, e text);
         alter table t replica identity full;
         insert into t select g, 'text ' || g, g / 7.0, now(), decode(md5(g::text), 'hex'), null from generate_series(1, 20000) g;",
    );
    let mut source = Source::start(&config, SnapshotMode::Initial, None).expect("starts");
    let mut rows = 0;
    let mut read = |until: u64| {
        let spent = allocation_counter::measure(|| {
            while rows < until {
                let mut take = |event: Event<'_>| {
                    rows += u64::from(matches!(event, Event::Change(_)));
                    Ok(())
                };
                source.postgres.poll(Duration::from_millis(50), &mut take).expect("reads");
            }
        });
        spent.count_total
    };
    let copied = read(ROWS);
    server.sql("alloc", "update t set a = a || '!'");
    let streamed = read(2 * ROWS);
    assert!(
        copied < ROWS / 20 && streamed < ROWS / 20,
        "{copied} for copied rows, {streamed} for streamed ones"
    );
}

/// What comes with the answer that begins the stream is not left lying while nothing else happens.
#[test]
fn one_transaction_that_waits_is_read_at_once() {
    let Some(server) = server() else { return };
    let config = server.database("waiting", "create table t (id int primary key)");
    let source = Source::start(&config, SnapshotMode::NoData, None).expect("starts");
    drop(source);
    let mut stored = None;
    for id in 1..=40 {
        server.sql("waiting", &format!("insert into t values ({id})"));
        let mut source = retry(|| Source::start(&config, SnapshotMode::NoData, stored.as_ref()));
        let begun = Instant::now();
        source.read_until(|source| !source.seen.lines.is_empty()).expect("reads");
        assert!(begun.elapsed() < Duration::from_secs(5), "{id} came after {:?}", begun.elapsed());
        assert_eq!(source.seen.lines, [format!("c t after(id={id})")]);
        source.read_until(|source| !source.seen.positions.is_empty()).expect("reads");
        stored = Some(source.seen.last_position());
        source.postgres.stop().expect("stops");
    }
}
