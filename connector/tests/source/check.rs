//! What a check finds: each bad setting once, with its remedy, against a server that has it.

use super::reader::Source;
use super::server;
use super::throwaway::Server;
use connector::config::signal::{SignalConfig, Watermarking};
use connector::config::snapshot::SnapshotMode;
use connector::config::source::{PublicationAutocreate, Publish, SourceConfig};
use connector::model::finding::{Finding, Severity};
use connector::model::position::Position;
use connector::source::Source as _;
use connector::source::postgres;
use std::time::{Duration, Instant};

fn check(config: &SourceConfig, stored: Option<&Position>) -> Vec<Finding> {
    check_with(config, &SignalConfig::default(), stored)
}

fn check_with(config: &SourceConfig, signal: &SignalConfig, stored: Option<&Position>) -> Vec<Finding> {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    postgres::check(config, signal, stored, runtime.handle())
}

/// Each expected finding is there: how bad, some of its words, some of its remedy's.
#[track_caller]
fn finds(findings: &[Finding], expected: &[(Severity, &str, &str)]) {
    for (severity, words, remedy) in expected {
        let found = findings.iter().find(|finding| finding.what.contains(words));
        let found = found.unwrap_or_else(|| panic!("{words} not in {findings:#?}"));
        assert_eq!(found.severity, *severity, "{found:?}");
        assert!(found.remedy.as_deref().unwrap_or_default().contains(remedy), "{found:?}");
    }
}

#[test]
fn privileges_of_the_role() {
    let Some(server) = server() else { return };
    let config = server.database(
        "checks",
        "create role watcher login replication password 'secret';
         create table good (id int primary key); grant select on good to watcher;
         create table secret_table (id int);
         create schema hidden; create table hidden.t (id int primary key);
         create table whole (id int primary key); alter table whole replica identity full;",
    );
    let findings = check(&config, None);
    assert!(findings.iter().all(|f| f.severity < Severity::Error), "{findings:#?}");
    finds(
        &findings,
        &[
            (Severity::Ok, "wal_level is logical", ""),
            (Severity::Ok, "slot checks will be made", ""),
            (Severity::Ok, "starting will run: CREATE PUBLICATION", ""),
            (Severity::Ok, "replica identity: 2 by primary key, 1 full, 0 by index", ""),
            (Severity::Warn, "public.secret_table has no replica identity", "REPLICA IDENTITY FULL"),
            (Severity::Warn, "max_slot_wal_keep_size is -1", "ALTER SYSTEM SET max_slot_wal_keep_size"),
        ],
    );
    let watcher = server.over_tcp(&config, "watcher", "secret");
    finds(
        &check(&watcher, None),
        &[
            (
                Severity::Error,
                "may not read public.secret_table",
                "GRANT SELECT ON \"public\".\"secret_table\"",
            ),
            (Severity::Error, "may not read hidden.t", "GRANT USAGE ON SCHEMA \"hidden\""),
            (Severity::Error, "only a superuser", "CREATE PUBLICATION"),
        ],
    );
    let filtered = |tables: &str| SourceConfig {
        publication_autocreate: PublicationAutocreate::Filtered,
        tables: vec![tables.to_owned()],
        ..watcher.clone()
    };
    let not_owner = "may not create publication checks: public.good belongs to another role";
    finds(
        &check(&filtered("public.good"), None),
        &[(Severity::Error, not_owner, "as the owner: CREATE PUBLICATION")],
    );
    server.sql("checks", "create table own (id int primary key); alter table own owner to watcher");
    let no_create = "may not create publication checks: it may not CREATE in the database";
    finds(&check(&filtered("public.own"), None), &[(Severity::Error, no_create, "as the owner")]);
    server.sql("checks", "create publication checks for table good");
    let anothers = "may not change publication checks: it belongs to postgres";
    finds(&check(&filtered("public.own"), None), &[(Severity::Error, anothers, "ALTER PUBLICATION")]);
    server.sql("checks", "alter role watcher noreplication");
    finds(&check(&watcher, None), &[(Severity::Error, "role watcher may not replicate", "REPLICATION")]);
}

/// The script gives a role what it needs: with it the connector reads and streams.
#[test]
fn the_script_is_enough() {
    let Some(server) = server() else { return };
    let config = server.database(
        "script",
        "create schema s; create table s.t (id int primary key); insert into s.t values (1);
         create table s.signal (id varchar(42) primary key, type varchar(32), data varchar(2048));",
    );
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let signal = SignalConfig {
        table: Some("s.signal".to_owned()),
        watermarking: Watermarking::InsertDelete,
        ..SignalConfig::default()
    };
    let script = postgres::privileges(&config, &signal, "reader_of_t", runtime.handle()).expect("a script");
    server.sql("script", &script.replace('…', "secret"));
    let reader = SourceConfig {
        publication_autocreate: PublicationAutocreate::Disabled,
        ..server.over_tcp(&config, "reader_of_t", "secret")
    };
    let findings = check_with(&reader, &signal, None);
    assert!(findings.iter().all(|f| f.severity < Severity::Error), "{findings:#?}");
    finds(&findings, &[(Severity::Ok, "signals are read from s.signal", "")]);
    server.sql("script", "revoke delete on s.signal from reader_of_t");
    let may_not = "role reader_of_t may not DELETE in s.signal";
    finds(
        &check_with(&reader, &signal, None),
        &[(Severity::Error, may_not, "GRANT DELETE ON \"s\".\"signal\"")],
    );
    let nowhere = SignalConfig { table: Some("s.none".to_owned()), ..signal.clone() };
    finds(
        &check_with(&reader, &nowhere, None),
        &[(Severity::Error, "s.none does not exist", "CREATE TABLE")],
    );
    let mut source = Source::start(&reader, SnapshotMode::Initial, None).expect("starts");
    source.read_snapshot();
    server.sql("script", "insert into s.t values (2)");
    source.read_lines(2);
    let again = postgres::privileges(&config, &signal, "reader_of_t", runtime.handle()).expect("a script");
    assert!(again.contains("ALTER ROLE \"reader_of_t\"") && !again.contains("CREATE PUBLICATION"), "{again}");
}

#[test]
fn what_a_publication_lacks() {
    let Some(server) = server() else { return };
    let config = server.database(
        "lacking",
        "create table t (id int primary key, a int, b int); create table narrow (id int primary key, a int);
         create table absent (id int primary key);
         create publication lacking for table t where (a > 1), narrow (id) with (publish = 'insert')",
    );
    let disabled = SourceConfig { publication_autocreate: PublicationAutocreate::Disabled, ..config.clone() };
    finds(
        &check(&disabled, None),
        &[
            (Severity::Ok, "publication lacking exists", ""),
            (
                Severity::Warn,
                "public.absent is captured but not in publication",
                "ADD TABLE \"public\".\"absent\"",
            ),
            (Severity::Warn, "leaves out: update, delete", "SET (publish"),
            (Severity::Warn, "public.t is published with some of its rows only", "WHERE"),
            (Severity::Warn, "public.narrow is published with some of its columns only", "column list"),
        ],
    );
    let root =
        SourceConfig { publish_via_partition_root: true, publish: vec![Publish::Insert], ..disabled.clone() };
    let findings = check(&root, None);
    finds(
        &findings,
        &[(Severity::Warn, "publish_via_partition_root of publication lacking is false", "= true")],
    );
    assert!(!findings.iter().any(|finding| finding.what.contains("leaves out")), "{findings:#?}");
    let missing = SourceConfig { publication: "nowhere".to_owned(), ..disabled };
    finds(
        &check(&missing, None),
        &[(Severity::Error, "publication nowhere does not exist", "CREATE PUBLICATION")],
    );
}

#[test]
fn limits_of_the_server() {
    let settings = [
        "max_wal_senders=1",
        "max_replication_slots=1",
        "wal_sender_timeout=5s",
        "max_slot_wal_keep_size=1GB",
    ];
    let Some(server) = Server::start(&settings) else { return };
    let config = server.database("limits", "create table t (id int primary key);");
    finds(
        &check(&config, None),
        &[
            (Severity::Ok, "1 of 1 WAL senders are free", ""),
            (Severity::Ok, "slot limits will be made; 1 more fit", ""),
            (Severity::Ok, "the server keeps 1024 MB of log for a slot at most", ""),
            (Severity::Error, "status_interval_ms is 10000, and wal_sender_timeout 5000 ms", "at most half"),
        ],
    );
    let reading = SourceConfig { status_interval_ms: 1_000, ..config.clone() };
    // The check had the only sender; the server takes a moment to free it.
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut source = loop {
        match Source::start(&reading, SnapshotMode::NoData, None) {
            Err(error) if error.retryable() && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(20));
            }
            started => break started.expect("starts"),
        }
    };
    server.sql("limits", "insert into t values (1)");
    source.read_until(|source| source.seen.positions.iter().any(|p| p.commit_lsn.is_some())).expect("reads");
    let stored = source.seen.last_position();
    finds(
        &check(&config, None),
        &[
            (Severity::Error, "all 1 WAL senders are in use", "max_wal_senders"),
            (Severity::Warn, "slot limits is being read by process", "stop that reader"),
            (Severity::Ok, "slot limits holds", ""),
        ],
    );
    let other = SourceConfig { slot: "other".to_owned(), ..config.clone() };
    let gone = "slot other is gone";
    finds(
        &check(&other, Some(&stored)),
        &[
            (Severity::Error, "no more slots fit", "max_replication_slots"),
            (Severity::Error, gone, "snapshot"),
        ],
    );
    source.postgres.stop().expect("stops");
    finds(&check(&config, Some(&stored)), &[(Severity::Ok, "can be resumed", "")]);
    server.sql(
        "limits",
        "insert into t values (2); select pg_replication_slot_advance('limits', pg_current_wal_lsn())",
    );
    finds(&check(&config, Some(&stored)), &[(Severity::Error, "slot limits begins at", "trust_slot")]);
}

#[test]
fn a_silent_reader_that_is_never_noticed() {
    let Some(server) = Server::start(&["wal_sender_timeout=0"]) else { return };
    let config = server.database("silent", "create table t (id int primary key);");
    finds(&check(&config, None), &[(Severity::Warn, "wal_sender_timeout is 0", "60s")]);
    let other = SourceConfig { slot: "physical".to_owned(), ..config };
    server.sql("silent", "select pg_create_physical_replication_slot('physical')");
    finds(&check(&other, None), &[(Severity::Error, "slot physical is of plug-in physical", "source.slot")]);
}
