//! The PostgreSQL source against a real server.

mod postgres;

use connector::config::snapshot::SnapshotMode;
use connector::config::source::{PublicationAutocreate, SourceConfig, TlsMode};
use connector::model::finding::Severity;
use connector::model::position::SnapshotState;
use postgres::{Server, Source};
use shared::{Error, Kind};
use std::sync::LazyLock;

/// One server for all tests that need nothing special of it; it dies with the test program.
static SERVER: LazyLock<Option<Server>> = LazyLock::new(|| Server::start(&[]));

fn server() -> Option<&'static Server> {
    SERVER.as_ref()
}

fn refused(config: &SourceConfig, mode: SnapshotMode) -> Error {
    match Source::start(config, mode, None) {
        Ok(_) => panic!("the source started"),
        Err(error) => error,
    }
}

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
    let snapshot = &source.seen.positions[0];
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
    let config = server.database("evolve", "create table evo (id int primary key, b text, p point);");
    let mut source = Source::start(&config, SnapshotMode::Initial, None).expect("starts");
    source.read_snapshot();
    server.sql("evolve", "insert into evo values (1, 'one', '(1,2)'); insert into evo values (2, null);");
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

    // An older position than the slot's: the server does not go back. A newer one: another server.
    drop(source);
    server.sql("resume", "insert into t values (4);");
    let mut source = retry(|| Source::start(&config, SnapshotMode::Initial, Some(&after_snapshot)));
    source.read_lines(1);
    assert_eq!(source.seen.lines, ["c t after(id=4)"]);
    source.postgres.stop().expect("stops");
    let mut future = first_commit;
    future.lsn.0 += 1 << 40;
    let future = connector::model::position::Position::Postgres(future);
    let error = Source::start(&config, SnapshotMode::Initial, Some(&future)).err().expect("refused");
    assert_eq!(error.kind(), Kind::Lost, "{error}");

    server.sql("resume", "select pg_drop_replication_slot('resume')");
    let error = Source::start(&config, SnapshotMode::Initial, Some(&after_snapshot)).err().expect("refused");
    assert_eq!(error.kind(), Kind::Lost, "{error}");
    assert!(error.to_string().contains("slot resume is gone"), "{error}");
}

/// The server may still hold the slot for the connection that was just dropped.
fn retry(start: impl Fn() -> shared::Result<Source>) -> Source {
    let mut tries = 0;
    loop {
        match start() {
            Ok(source) => return source,
            Err(error) if error.kind() == Kind::Unreachable && tries < 100 => {
                tries += 1;
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
            Err(error) => panic!("{error}"),
        }
    }
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
        std::thread::sleep(std::time::Duration::from_millis(100));
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
    assert!(source.seen.positions.windows(2).all(|pair| pair[0].lsn < pair[1].lsn));
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

/// Load in another database moves the log on; the slot must follow although nothing is captured.
#[test]
fn an_idle_database_gives_boundaries() {
    let Some(server) = server() else { return };
    let config = server.database("idle", "create table t (id int);");
    let config = SourceConfig { status_interval_ms: 200, ..config };
    let mut source = Source::start(&config, SnapshotMode::NoData, None).expect("starts");
    server.sql("postgres", "create table elsewhere as select g from generate_series(1, 1000) g");
    let end: connector::model::position::Lsn =
        server.sql("postgres", "select pg_current_wal_lsn()").parse().expect("an LSN");
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
fn refusals_name_the_thing_and_the_remedy() {
    let Some(server) = server() else { return };
    let config = server.database(
        "refuse",
        "create role plain login password 'secret';
         create role reader login replication password 'secret';
         create table orders (id int primary key);",
    );
    let tcp = |user, password| server.over_tcp(&config, user, password);
    let reader = tcp("reader", "secret");
    for (config, kind, words, remedy) in [
        (tcp("reader", "wrong"), Kind::Denied, "password authentication failed", "source.password"),
        (tcp("reader", ""), Kind::Denied, "wants a password", "source.password"),
        (tcp("plain", "secret"), Kind::Denied, "42501", "ALTER ROLE \"plain\" REPLICATION"),
        (SourceConfig { database: "none".into(), ..config.clone() }, Kind::Config, "none", "source.database"),
        (SourceConfig { port: 1, ..reader.clone() }, Kind::Unreachable, "127.0.0.1:1", "address"),
        (
            SourceConfig { tables: vec!["public.order".into()], ..config.clone() },
            Kind::Config,
            "public.order",
            "did you mean public.orders?",
        ),
        (
            SourceConfig { tables: vec!["(".into()], ..config.clone() },
            Kind::Config,
            "source.tables",
            "configuration",
        ),
        (
            reader.clone(),
            Kind::Denied,
            "create publication refuse",
            "CREATE PUBLICATION \"refuse\" FOR ALL TABLES",
        ),
        (
            SourceConfig { publication_autocreate: PublicationAutocreate::Filtered, ..reader.clone() },
            Kind::Denied,
            "create publication refuse",
            "FOR TABLE \"public\".\"orders\"",
        ),
        (
            SourceConfig { publication_autocreate: PublicationAutocreate::Disabled, ..reader.clone() },
            Kind::Config,
            "publication refuse does not exist",
            "CREATE PUBLICATION",
        ),
    ] {
        let error = refused(&config, SnapshotMode::Initial);
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(words), "{error} should contain {words}");
        assert!(error.hint().contains(remedy), "{error}: {} should contain {remedy}", error.hint());
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    // A reader that may not read the table is told which one, by the snapshot.
    server.sql("refuse", "create publication refuse for all tables");
    let mut source = Source::start(&reader, SnapshotMode::Initial, None).expect("starts");
    let error = source.read_until(|_| false).expect_err("may not read");
    assert_eq!(error.kind(), Kind::Denied, "{error}");
    assert!(
        error.to_string().contains("public.orders") && error.hint().contains("GRANT SELECT"),
        "{error:?}"
    );
}

#[test]
fn a_slot_in_use_names_its_reader() {
    let Some(server) = server() else { return };
    let config = server.database("inuse", "create table t (id int primary key);");
    let first = Source::start(&config, SnapshotMode::NoData, None).expect("starts");
    let error = refused(&config, SnapshotMode::NoData);
    assert_eq!((error.kind(), error.exit_code()), (Kind::Unreachable, 1), "{error}");
    assert!(error.to_string().contains("active for PID") && error.to_string().contains("inuse"), "{error}");
    drop(first);
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

#[test]
fn a_server_without_logical_log_is_refused() {
    let Some(server) = Server::start(&["wal_level=replica"]) else { return };
    let config = server.database("replica", "");
    let error = refused(&config, SnapshotMode::Initial);
    assert_eq!(error.kind(), Kind::Config, "{error}");
    assert!(error.to_string().contains("wal_level is replica"), "{error}");
    assert!(error.hint().contains("ALTER SYSTEM SET wal_level"), "{}", error.hint());
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

#[test]
fn a_check_finds_what_starting_would_trip_over() {
    let Some(server) = server() else { return };
    let config = server.database(
        "checks",
        "create role watcher login replication password 'secret';
         create table good (id int primary key); grant select on good to watcher;
         create table secret_table (id int);",
    );
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let findings = connector::source::postgres::check(&config, runtime.handle());
    assert!(findings.iter().all(|f| f.severity < Severity::Error), "{findings:#?}");
    let watcher = server.over_tcp(&config, "watcher", "secret");
    let findings = connector::source::postgres::check(&watcher, runtime.handle());
    for (severity, words, remedy) in [
        (Severity::Error, "may not read public.secret_table", "GRANT SELECT ON \"public\".\"secret_table\""),
        (Severity::Warn, "public.secret_table has no replica identity", "REPLICA IDENTITY FULL"),
        (Severity::Error, "only a superuser", "CREATE PUBLICATION"),
        (Severity::Ok, "wal_level is logical", ""),
        (Severity::Ok, "slot checks will be made", ""),
    ] {
        let found = findings.iter().find(|f| f.what.contains(words));
        let found = found.unwrap_or_else(|| panic!("{words} not in {findings:#?}"));
        assert_eq!(found.severity, severity, "{found:?}");
        assert!(found.remedy.as_deref().unwrap_or_default().contains(remedy), "{found:?}");
    }
}

/// Every value as we decode it against what the server itself computes from it.
#[test]
fn values_are_what_the_server_says_they_are() {
    let Some(server) = server() else { return };
    const FILL: &str = "
        insert into v select g,
            (-210863520000000000 + random() * 9434234000000000000)::numeric::bigint,
            (random() * 5000000 - 2440588)::int,
            (random() * 86400000000)::bigint,
            float8recv_like, (random() * 2 - 1) * power(10, (random() * 60 - 30)::int),
            (random() * 1e18)::bigint - 500000000000000000,
            decode(md5(g::text), 'hex'),
            (array[E'tab\\t', E'new\\nline', E'back\\\\slash', '', E'\\\\N', '漢字🎉', E'\\r\\b\\f\\v', repeat('long', 3000)])[g % 8 + 1] || g,
            g % 2 = 0
        from generate_series($from, $to) g, lateral (select (random() * 1e12)::float8 as float8recv_like) f;
        insert into w select id, ts, ts at time zone 'UTC', d, t, f8, f8::float4, n, i, b, s, p,
            (extract(epoch from ts) * 1000000)::bigint, d - date '1970-01-01', (extract(epoch from t) * 1000000)::bigint,
            encode(float8send(f8), 'hex'), encode(float4send(f8::float4), 'hex'), n::text, i, encode(b, 'hex'),
            encode(convert_to(s, 'UTF8'), 'hex'), p::int
        from (select id, timestamp 'epoch' + (ts || ' microseconds')::interval as ts, date '1970-01-01' + d as d,
                     time '00:00' + (t || ' microseconds')::interval as t, f8, n, i, b, s, p from v where id between $from and $to) x;";
    let fill = |from: u32, to: u32| FILL.replace("$from", &from.to_string()).replace("$to", &to.to_string());
    let config = server.database(
        "vals",
        &format!(
            "create table v (id int primary key, ts int8, d int, t int8, f8 float8, n numeric, i int8, b bytea, s text, p bool);
             create table w (id int primary key, ts timestamp, tz timestamptz, d date, t time, f8 float8, f4 float4, n numeric, i int8, b bytea, s text, p bool,
                             ts_us int8, d_days int, t_us int8, f8_hex text, f4_hex text, n_text text, i_same int8, b_hex text, s_hex text, p_int int);
             {}",
            fill(1, 1500)
        ),
    );
    let config = SourceConfig { tables: vec!["public.w".into()], ..config };
    let mut source = Source::start(&config, SnapshotMode::Initial, None).expect("starts");
    let mut rows = 0;
    let mut snapshot_rows = 0;
    while rows < 3000 {
        if source.postgres.streaming() && snapshot_rows == 0 {
            snapshot_rows = rows;
            server.sql("vals", &fill(1501, 3000));
        }
        let mut take = |event: connector::model::change::Event<'_>| {
            if let connector::model::change::Event::Change(change) = event {
                rows += 1;
                check_row(change.after.expect("a row"));
            }
            Ok(())
        };
        source.postgres.poll(std::time::Duration::from_millis(50), &mut take).expect("reads");
    }
    assert_eq!(snapshot_rows, 1500);
}

fn check_row(row: &[connector::model::value::Value<'_>]) {
    use connector::model::value::Value::{
        Bool, Date, Decimal, Float32, Float64, Hex, Int, Text, Time, Timestamp, TimestampTz,
    };
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let [
        Int(id),
        Timestamp(ts),
        TimestampTz(tz),
        Date(d),
        Time(t),
        Float64(f8),
        Float32(f4),
        Decimal(n),
        Int(i),
        Hex(b),
        Text(s),
        Bool(p),
        Int(ts_us),
        Int(d_days),
        Int(t_us),
        Text(f8_hex),
        Text(f4_hex),
        Text(n_text),
        Int(i_same),
        Text(b_hex),
        Text(s_hex),
        Int(p_int),
    ] = row
    else {
        panic!("other types: {row:?}")
    };
    assert_eq!((ts, tz), (ts_us, ts_us), "row {id}");
    assert_eq!((i64::from(*d), t), (*d_days, t_us), "row {id}");
    assert_eq!(
        (hex(&f8.to_be_bytes()), hex(&f4.to_be_bytes())),
        ((*f8_hex).into(), (*f4_hex).into()),
        "row {id}"
    );
    assert_eq!((n, i, b), (n_text, i_same, &b_hex.as_bytes()), "row {id}");
    assert_eq!((hex(s.as_bytes()), i64::from(*p)), ((*s_hex).into(), *p_int), "row {id}");
}

#[test]
fn special_values_and_every_supported_type() {
    let Some(server) = server() else { return };
    const ROW: &str = "(true, -32768, 2147483647, -9223372036854775808, 4294967295, 'NaN', '-Infinity',
        'NaN', 1.50, 'ab', 'cd', 'ef', 'gh', 'ij', 'kl', '00000000-0000-0000-0000-0000000000aa',
        '{\"a\":  1}', '{\"a\":  1}', '<x/>', '\\x00ff', 'infinity', '24:00', '-infinity', '0044-03-15 12:00 BC', 7, 8)";
    let config = server.database(
        "types",
        "create extension citext; create domain posint as int check (value > 0); create domain deeper as posint not null;
         create table t (id serial primary key, c_bool bool, c_int2 int2, c_int4 int4, c_int8 int8, c_oid oid, c_float4 float4, c_float8 float8,
            c_num numeric, c_num7_3 numeric(7,3), c_text text, c_varchar varchar(5), c_char char(4), c_citext citext, c_name name, c_ichar \"char\",
            c_uuid uuid, c_json json, c_jsonb jsonb, c_xml xml, c_bytea bytea, c_date date, c_time time(3), c_ts timestamp, c_tstz timestamptz(0),
            c_dom posint, c_deep deeper, c_point point, c_gen int generated always as (c_int2 + 1) stored);",
    );
    let insert = format!("insert into t (c_bool, c_int2, c_int4, c_int8, c_oid, c_float4, c_float8, c_num, c_num7_3, c_text, c_varchar, c_char, c_citext, c_name, c_ichar,
         c_uuid, c_json, c_jsonb, c_xml, c_bytea, c_date, c_time, c_ts, c_tstz, c_dom, c_deep) values {ROW}").replace("\\\\", "\\");
    let insert = insert.replace("\\\"", "\"");
    server.sql("types", &insert);
    let mut source = Source::start(&config, SnapshotMode::Initial, None).expect("starts");
    source.read_snapshot();
    server.sql("types", &insert);
    source.read_lines(2);
    let cells = "c_bool=true c_int2=-32768 c_int4=2147483647 c_int8=-9223372036854775808 c_oid=4294967295 \
        c_float4=NaN c_float8=-inf c_num=NaN c_num7_3=1.500 c_text=ab c_varchar=cd c_char=ef   c_citext=gh c_name=ij c_ichar=k \
        c_uuid=0..36 c_json={\"a\":  1} c_jsonb={\"a\": 1} c_xml=<x/> c_bytea=00ff c_date=2147483647 \
        c_time=86400000000 c_ts=-9223372036854775808 c_tstz=-63517780800000000 c_dom=7 c_deep=8";
    // A generated column is read by the snapshot and not sent by the stream, as with Debezium.
    assert_eq!(
        source.seen.lines,
        [format!("r t last after(id=1 {cells} c_gen=-32767)"), format!("c t after(id=2 {cells})"),]
    );
    let column = |name: &str| {
        source.seen.tables[0].columns.iter().find(|c| c.name == name).unwrap_or_else(|| panic!("no {name}"))
    };
    assert!(column("c_dom").optional && !column("c_deep").optional && !column("id").optional);
}

/// The server's certificate is believed, or not, by the configured mode; all logins that it may ask for.
#[test]
fn tls_modes_and_logins() {
    let Some(server) = Server::start(&["password_encryption=md5"]) else { return };
    if !server.make_certificates() {
        eprintln!("SKIPPED: no openssl to make certificates with");
        return;
    }
    let config = server.database("safe", "create role safe superuser login password 'secret'; create role plain superuser login password 'secret';");
    server.allow(&[
        "hostssl all safe all md5",
        "hostssl replication safe all md5",
        "host all plain all password",
    ]);
    let safe = |mode: TlsMode, host: &str| {
        let mut config = server.over_tcp(&config, "safe", "secret");
        config.host = host.to_owned();
        config.tls_mode = mode;
        config.tls.ca_file = Some(server.folder.join("ca.crt"));
        config
    };
    let no_file = |mode| {
        let mut config = safe(mode, "127.0.0.1");
        config.tls.ca_file = None;
        config
    };
    for (config, fine) in [
        (no_file(TlsMode::Prefer), true),
        (no_file(TlsMode::Require), true),
        (safe(TlsMode::Require, "127.0.0.1"), true),
        (safe(TlsMode::VerifyCa, "127.0.0.1"), true),
        (safe(TlsMode::VerifyFull, "localhost"), true),
        (safe(TlsMode::VerifyFull, "127.0.0.1"), false),
        (no_file(TlsMode::VerifyCa), false),
        (no_file(TlsMode::VerifyFull), false),
        (safe(TlsMode::Disable, "127.0.0.1"), false),
        (server.over_tcp(&config, "plain", "secret"), true),
    ] {
        let started = Source::start(&config, SnapshotMode::InitialOnly, None);
        match started {
            Ok(mut source) => {
                assert!(fine, "{:?} {} was let in", config.tls_mode, config.host);
                source.postgres.stop().expect("stops");
            }
            Err(error) => {
                assert!(!fine && !error.retryable(), "{:?} {}: {error}", config.tls_mode, config.host)
            }
        }
    }
    // A stream over TLS.
    let mut source =
        Source::start(&safe(TlsMode::VerifyFull, "localhost"), SnapshotMode::Initial, None).expect("starts");
    source.read_snapshot();
    server.sql("safe", "create table t (id int primary key); insert into t select generate_series(1, 2000);");
    source.read_lines(2000);
}

/// The server threw away log that the slot needs.
#[test]
fn a_slot_that_lost_its_log_is_lost() {
    let Some(server) =
        Server::start(&["max_slot_wal_keep_size=1MB", "min_wal_size=32MB", "max_wal_size=32MB"])
    else {
        return;
    };
    let config = server.database("lost", "create table t (id int primary key);");
    let mut source = Source::start(&config, SnapshotMode::NoData, None).expect("starts");
    server.sql("lost", "insert into t values (1)");
    source.read_until(|source| source.seen.positions.iter().any(|p| p.commit_lsn.is_some())).expect("reads");
    let stored = source.seen.last_position();
    drop(source);
    for _ in 0..4 {
        server.sql("lost", "create table x as select repeat('x', 1000) from generate_series(1, 20000); drop table x; select pg_switch_wal(); checkpoint;");
    }
    assert_eq!(server.sql("lost", "select wal_status from pg_replication_slots"), "lost");
    for (mode, stored) in [(SnapshotMode::Initial, Some(&stored)), (SnapshotMode::Initial, None)] {
        let error = Source::start(&config, mode, stored).err().expect("refused");
        assert_eq!((error.kind(), error.exit_code()), (Kind::Lost, 3), "{error}");
        assert!(error.hint().contains("pg_drop_replication_slot('lost')"), "{}", error.hint());
    }
}
