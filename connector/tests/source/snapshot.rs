//! Snapshots and their hand-over to the stream.

use super::reader::{Source, retry};
use super::server;
use connector::config::snapshot::{SnapshotConfig, SnapshotMode};
use connector::model::position::{PostgresPosition, SnapshotState};
use connector::model::progress::{Pages, TableProgress};
use connector::source::Source as _;
use std::collections::BTreeMap;
use std::time::Duration;

/// As Debezium recorded it (`pg-snapshot-initial`): order of tables, markers, and the hand-over.
#[test]
fn a_snapshot_is_marked_and_handed_over_to_the_stream() {
    let Some(server) = server() else { return };
    let config = server.database(
        "snap",
        "create schema inventory;
         create table inventory.a (id int primary key, v text);
         create table inventory.b (id int primary key, v text);
         create table inventory.c_empty (id int primary key, v text);
         create table inventory.d_one (id int primary key, v text);
         create table inventory.e_nopk (v text);
         insert into inventory.a select g, 'a' || g from generate_series(1, 4) g;
         insert into inventory.b select g, 'b' || g from generate_series(1, 3) g;
         insert into inventory.d_one values (1, 'd');
         insert into inventory.e_nopk values (E'x\\ty'), (null);",
    );
    let mut source = Source::start(&config, SnapshotMode::Initial, None).expect("starts");
    source.read_snapshot();
    server.sql(
        "snap",
        "insert into inventory.a values (100, 'streamed');
         update inventory.a set v = 'A1' where id = 1;
         insert into inventory.c_empty values (1, 'c');
         delete from inventory.b where id = 1;",
    );
    source.read_lines(14);
    assert_eq!(
        source.seen.lines,
        [
            "r a first after(id=1 v=a1)",
            "r a true after(id=2 v=a2)",
            "r a true after(id=3 v=a3)",
            "r a last_in_data_collection after(id=4 v=a4)",
            "r b first_in_data_collection after(id=1 v=b1)",
            "r b true after(id=2 v=b2)",
            "r b last_in_data_collection after(id=3 v=b3)",
            "r d_one last_in_data_collection after(id=1 v=d)",
            "r e_nopk first_in_data_collection after(v=x\ty)",
            "r e_nopk last after(v=~)",
            "c a after(id=100 v=streamed)",
            "u a after(id=1 v=A1)",
            "c c_empty after(id=1 v=c)",
            "d b before(id=1 v=~)",
        ]
    );
    // The first boundary is the snapshot's; rows bear its number and place.
    let mut positions = source.seen.positions.iter();
    let snapshot = positions.find(|position| position.snapshot == Some(SnapshotState::Completed));
    let snapshot = snapshot.expect("the snapshot's own");
    assert_eq!((snapshot.snapshot, snapshot.commit_lsn), (Some(SnapshotState::Completed), None));
    for origin in &source.seen.origins[..10] {
        assert_eq!((origin.lsn, origin.transaction_id), (snapshot.lsn.0, snapshot.transaction_id));
        assert_eq!(origin.last_commit_lsn, None);
    }
    // In the stream: the commit before, none for the first one; a commit's end is the next one's start.
    let streamed = &source.seen.origins[10..];
    assert_eq!(streamed[0].last_commit_lsn, None);
    assert!(streamed[1..].iter().all(|o| o.last_commit_lsn.is_some_and(|commit| commit <= o.lsn)));
    // The same table seen by snapshot and stream is the same version.
    assert_eq!(source.seen.tables[0].version, source.seen.tables[10].version);
    assert_eq!(source.seen.tables[8].key, [] as [usize; 0]);
    source.postgres.stop().expect("stops");
}

/// As Debezium recorded it (`pg-snapshot-last-empty`): tables without rows behind it do not take the last one's
/// marker.
#[test]
fn the_last_row_is_the_last_although_empty_tables_follow() {
    let Some(server) = server() else { return };
    let config = server.database(
        "last_empty",
        "create table a (id int); create table b (id int); create table c (id int);
         insert into a values (1), (2);",
    );
    let mut source = Source::start(&config, SnapshotMode::InitialOnly, None).expect("starts");
    source.read_until(|source| source.postgres.finished()).expect("reads");
    assert_eq!(source.seen.lines, ["r a first after(id=1)", "r a last after(id=2)"]);
}

#[test]
fn initial_only_rests_after_the_snapshot() {
    let Some(server) = server() else { return };
    let config = server.database("rest", "create table t (id int); insert into t values (1);");
    let mut source = Source::start(&config, SnapshotMode::InitialOnly, None).expect("starts");
    source.read_until(|source| source.postgres.finished()).expect("reads");
    assert_eq!(source.seen.lines, ["r t last after(id=1)"]);
    let stored = source.seen.last_position();
    source.postgres.stop().expect("stops");
    let source = Source::start(&config, SnapshotMode::InitialOnly, Some(&stored)).expect("starts");
    assert!(source.postgres.finished());
}

/// Writers go on during the snapshot; then each row's last state is what the table holds, and a
/// counter that only goes up shows that no change came twice or was left out.
fn hand_over_under_load(name: &str, slot_exists: bool) {
    let Some(server) = server() else { return };
    let config = server.database(
        name,
        "create table t (id int primary key, n int not null);
         insert into t select g, 0 from generate_series(1, 20000) g;",
    );
    if slot_exists {
        server.sql(name, &format!("create publication {name} for all tables"));
        server.sql(name, &format!("select pg_create_logical_replication_slot('{name}', 'pgoutput')"));
        server.sql(name, "update t set n = n + 1 where id <= 100");
    }
    let mut source = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..3)
            .map(|writer| {
                scope.spawn(move || {
                    let mut sql = String::new();
                    for step in 0..400 {
                        let id = (writer * 7919 + step * 104_729) % 20_000 + 1;
                        sql.push_str(&format!("begin; update t set n = n + 1 where id = {id};"));
                        sql.push_str(if step % 10 == 0 {
                            "select pg_sleep(0.01); commit;"
                        } else {
                            "commit;"
                        });
                    }
                    server.sql(name, &sql);
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(100));
        let mut source = Source::start(&config, SnapshotMode::Initial, None).expect("starts");
        source.read_snapshot();
        for writer in writers {
            writer.join().expect("writes");
        }
        server.sql(name, "insert into t values (0, 0)");
        source
            .read_until(|source| source.seen.lines.last().is_some_and(|l| l.starts_with("c ")))
            .expect("reads");
        source
    });
    let mut state = std::collections::BTreeMap::new();
    for line in &source.seen.lines {
        let after = line.split("after(id=").nth(1).expect("an after image").trim_end_matches(')');
        let (id, n) = after.split_once(" n=").expect("two columns");
        let (id, n): (i64, i64) = (id.parse().expect("a number"), n.parse().expect("a number"));
        if let Some(before) = state.insert(id, n) {
            assert_eq!(n, before + 1, "row {id} went from {before} to {n}");
        }
    }
    assert_eq!(state.len(), 20_001);
    let sum: i64 = state.values().sum();
    assert_eq!(sum.to_string(), server.sql(name, "select sum(n) from t"));
    // Positions within the snapshot are all at its point.
    let streamed = source.seen.positions.iter().filter(|position| position.snapshot.is_none());
    assert!(streamed.collect::<Vec<_>>().windows(2).all(|pair| pair[0].lsn < pair[1].lsn));
    source.postgres.stop().expect("stops");
}

#[test]
fn no_gap_and_no_repeat_with_a_new_slot() {
    hand_over_under_load("load_new", false);
}

#[test]
fn no_gap_and_no_repeat_with_a_slot_made_before() {
    hand_over_under_load("load_old", true);
}

/// A slot made before, and nobody writes: the stream still gets beyond what the snapshot saw.
#[test]
fn a_snapshot_of_an_idle_database_with_an_old_slot_ends_in_a_boundary() {
    let Some(server) = server() else { return };
    let config = server.database(
        "old_idle",
        "create table t (id int primary key); create publication old_idle for all tables;",
    );
    server.sql("old_idle", "select pg_create_logical_replication_slot('old_idle', 'pgoutput')");
    server.sql("old_idle", "insert into t values (1), (2)");
    let mut source = Source::start(&config, SnapshotMode::Initial, None).expect("starts");
    source.read_until(|source| !source.seen.positions.is_empty()).expect("reads");
    assert_eq!(source.seen.lines, ["r t first after(id=1)", "r t last after(id=2)"]);
    // From that boundary on nothing comes twice.
    let stored = source.seen.last_position();
    source.postgres.stop().expect("stops");
    server.sql("old_idle", "insert into t values (3)");
    let mut source = Source::start(&config, SnapshotMode::Initial, Some(&stored)).expect("starts");
    source.read_lines(1);
    assert_eq!(source.seen.lines, ["c t after(id=3)"]);
}

/// What a consumer holds after these records: `id` → the other cells; a value that was not sent keeps.
fn folded(state: &mut BTreeMap<i64, (String, String)>, lines: &[String]) {
    let row = |text: &str| {
        let (id, rest) = text.split_once(" n=").expect("id, n, big");
        let (n, big) = rest.trim_end_matches(')').split_once(" big=").expect("id, n, big");
        (id.parse::<i64>().expect("a number"), n.to_owned(), big.to_owned())
    };
    for line in lines {
        if let Some((_, after)) = line.split_once("after(id=") {
            let (id, n, mut big) = row(after);
            if big == "?" {
                big = state.get(&id).map(|(_, big)| big.clone()).expect("the value was sent before");
            }
            state.insert(id, (n, big));
        } else if let Some((_, before)) = line.split_once("before(id=") {
            state.remove(&row(before).0);
        }
    }
}

/// Crashes in the middle of a table, twice; between them rows move into pages that were read already,
/// with values that the stream does not send. The reads and the changes add up to the table.
#[test]
fn a_snapshot_goes_on_after_a_crash() {
    let Some(server) = server() else { return };
    let config = server.database(
        "crash_snap",
        "create table a_first (id int primary key, n text, big text);
         create table t (id int primary key, n text, big text) with (autovacuum_enabled = off);
         alter table t alter big set storage external;
         create table z_last (id int primary key, n text, big text);
         insert into a_first values (-1, 'a', 'a');
         insert into t select g, repeat('n', 60), case when g % 40 = 0 then repeat('b', 2500) else 'b' end
         from generate_series(1, 120000) g;
         insert into z_last values (-2, 'z', 'z');",
    );
    let snapshot = SnapshotConfig { max_threads: 2, chunk_bytes: 128 * 1024, ..SnapshotConfig::default() };
    let partly = |position: &PostgresPosition| {
        let tables = position.progress.as_ref().map(|progress| &progress.tables);
        let pages = |table: &TableProgress| matches!(&table.pages, Pages::Some(done) if !done.is_empty());
        tables.is_some_and(|tables| tables.values().any(pages))
    };
    let (mut state, mut stored, mut reads) = (BTreeMap::new(), None, Vec::new());
    for round in 0..3 {
        let mut source = retry(|| Source::start_with(&config, &snapshot, stored.as_ref()));
        let crash = |source: &Source| source.seen.positions.last().is_some_and(&partly);
        source
            .read_until(|source| if round < 2 { crash(source) } else { source.postgres.streaming() })
            .expect("reads");
        reads.push(source.seen.lines.iter().filter(|line| line.starts_with("r ")).count());
        if round == 2 {
            server.sql("crash_snap", "insert into z_last values (-3, 'z', 'end')");
            source
                .read_until(|source| source.seen.lines.last().is_some_and(|l| l.contains("big=end")))
                .expect("reads");
        }
        folded(&mut state, &source.seen.lines);
        stored = Some(source.seen.last_position());
        // Makes room in the pages read first, and moves rows from the last ones there.
        server.sql("crash_snap", &format!("delete from t where id % 100 = {round} and id < 30000"));
        server.sql("crash_snap", "vacuum t");
        server
            .sql("crash_snap", "update t set n = n || 'm' where id > 119000; update z_last set n = n || 'z'");
        server.sql("crash_snap", &format!("insert into t values ({}, 'new', 'new')", 200_000 + round));
    }
    // The last round's changes came after the sentinel.
    server.sql("crash_snap", "delete from t where id = 200002");
    assert!(reads[1] < 120_000 && reads[2] < 120_000, "read again: {reads:?}");
    let mut source = retry(|| Source::start_with(&config, &snapshot, stored.as_ref()));
    source
        .read_until(|source| {
            source.seen.lines.last().is_some_and(|l| l.starts_with("d ") && l.contains("id=200002"))
        })
        .expect("reads");
    folded(&mut state, &source.seen.lines);
    assert!(source.seen.lines.iter().all(|line| !line.starts_with("r ")), "streams only");
    let (got, sums) = sums(&state);
    assert_eq!(got, server.sql("crash_snap", sums));
}

/// What a consumer holds in sums, and the query that gives the table's.
fn sums(state: &BTreeMap<i64, (String, String)>) -> (String, &'static str) {
    let sums = "select count(*), sum(id), sum(length(n)), sum(length(big)) from
                (select * from t union all select * from a_first union all select * from z_last) all_rows";
    // Long texts are written down as their first letter and their length.
    let length_of = |text: &String| match text.split_once("..") {
        Some((_, length)) => length.parse().expect("a length"),
        None => text.len(),
    };
    let length =
        |of: fn(&(String, String)) -> &String| state.values().map(|row| length_of(of(row))).sum::<usize>();
    let got = format!(
        "{}|{}|{}|{}",
        state.len(),
        state.keys().sum::<i64>(),
        length(|row| &row.0),
        length(|row| &row.1)
    );
    (got, sums)
}
