//! Bad input: each refusal has its kind, the thing's name, and the remedy.

use super::reader::{Source, refused};
use super::server;
use super::throwaway::Server;
use connector::config::snapshot::SnapshotMode;
use connector::config::source::{PublicationAutocreate, SourceConfig};
use shared::Kind;

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
    assert!(
        error.to_string().contains("active for process") && error.to_string().contains("inuse"),
        "{error}"
    );
    drop(first);
}

#[test]
fn a_server_without_logical_log_is_refused() {
    let Some(server) = Server::start(&["wal_level=replica"]) else { return };
    let config = server.database("replica", "");
    let error = refused(&config, SnapshotMode::Initial);
    assert_eq!(error.kind(), Kind::Rejected, "{error}");
    assert!(error.to_string().contains("wal_level is replica"), "{error}");
    assert!(error.hint().contains("ALTER SYSTEM SET wal_level"), "{}", error.hint());
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
