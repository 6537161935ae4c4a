//! TLS modes and logins.

use super::reader::Source;
use super::throwaway::Server;
use connector::config::snapshot::SnapshotMode;
use connector::config::source::TlsMode;
use connector::source::Source as _;

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

/// Where there is no TLS, `prefer` goes on over the connection that it asked by, and `require` says what is missing.
#[test]
fn a_server_without_tls() {
    let Some(server) = Server::start(&["log_connections=on"]) else { return };
    let config = server.database("bare", "create role bare superuser login password 'secret';");
    let mut config = server.over_tcp(&config, "bare", "secret");
    config.tls_mode = TlsMode::Require;
    let error = Source::start(&config, SnapshotMode::NoData, None).err().expect("refused");
    assert!(!error.retryable() && error.hint().contains("ssl = on"), "{error}: {}", error.hint());

    let count = |words: &str| {
        let log = std::fs::read_to_string(server.folder.join("log")).expect("a log");
        log.matches(words).count()
    };
    let refused = count("connection received: host=127.0.0.1");
    config.tls_mode = TlsMode::Prefer;
    let mut source = Source::start(&config, SnapshotMode::NoData, None).expect("starts");
    server.sql("bare", "create table t (id int primary key); insert into t values (1);");
    source.read_lines(1);
    let let_in = count("connection authorized: user=bare");
    assert_eq!(count("connection received: host=127.0.0.1") - refused, let_in);
    assert!(let_in >= 2, "{let_in}");
}
