//! Each server starts, does what it is for, and comes back on the same data. They share no state, so each
//! test has its own.

use serde_json::json;
use stack::{Connect, Feast, Kafka, MariaDb, Postgres, Redis, Registry, Result};
use std::process::Command;
use std::time::{Duration, Instant};

#[test]
fn postgres_keeps_its_data_over_stop_and_kill() -> Result<()> {
    let mut server = Postgres::start(stack::postgres::Options::default())?;
    assert_eq!(server.psql("postgres", "SHOW wal_level")?, "logical");
    server.psql("postgres", "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)")?;
    server.stop()?;
    server.start_again()?;
    server.psql("postgres", "INSERT INTO t VALUES (2)")?;
    server.kill()?;
    server.start_again()?;
    assert_eq!(server.psql("postgres", "SELECT id FROM t ORDER BY id")?, "1\n2");
    let error = server.psql("postgres", "SELECT * FROM nowhere").expect_err("no such table");
    assert!(error.to_string().contains("nowhere"), "{error}");
    Ok(())
}

#[test]
fn postgres_takes_options() -> Result<()> {
    let settings = vec![("max_wal_senders".to_owned(), "3".to_owned())];
    let options = stack::postgres::Options { wal_level: "replica", settings, ..Default::default() };
    let server = Postgres::start(options)?;
    assert_eq!(
        server.psql("postgres", "SHOW wal_level; SHOW max_wal_senders; SHOW fsync")?,
        "replica\n3\noff"
    );
    Ok(())
}

#[test]
fn mariadb_writes_a_row_binlog() -> Result<()> {
    let mut server = MariaDb::start()?;
    server.sql(
        "CREATE DATABASE shop; CREATE TABLE shop.t (id int PRIMARY KEY); INSERT INTO shop.t VALUES (7)",
    )?;
    server.stop()?;
    server.start_again()?;
    assert_eq!(server.sql("SELECT id, @@binlog_format FROM shop.t")?, "7\tROW");
    Ok(())
}

#[test]
fn redis_answers() -> Result<()> {
    let server = Redis::start()?;
    server.cli(&["set", "k", "v"])?;
    assert_eq!(server.cli(&["get", "k"])?, "v");
    Ok(())
}

#[test]
fn feast_can_be_imported() -> Result<()> {
    let feast = Feast::install()?;
    let mut python = feast.command();
    python.args(["-c", "import feast, psycopg, confluent_kafka, fastavro; print(feast.__version__)"]);
    assert_eq!(stack::process::run("import feast", &mut python)?.trim(), "0.67.0");
    Ok(())
}

/// The oracle of the parity tests, whole: PostgreSQL, Debezium, Confluent's converter, registry, Kafka.
#[test]
fn debezium_streams_into_kafka() -> Result<()> {
    let database = Postgres::start(stack::postgres::Options::default())?;
    database
        .psql("postgres", "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'first')")?;
    let mut kafka = Kafka::start(stack::kafka::Options::default())?;
    let registry = Registry::start()?;
    let connect = Connect::start(&kafka, &registry)?;
    let configuration = json!({
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "database.hostname": stack::HOST,
        "database.port": database.port().to_string(),
        "database.user": stack::postgres::USER,
        "database.password": stack::postgres::PASSWORD,
        "database.dbname": "postgres",
        "topic.prefix": "shop",
        "plugin.name": "pgoutput",
        "table.include.list": "public.t",
    });
    connect.run("shop", &configuration)?;
    wait_for(&kafka, "first");
    database.psql("postgres", "INSERT INTO t VALUES (2, 'second')")?;
    wait_for(&kafka, "second");
    let subjects = stack::http::get(&format!("{}/subjects", registry.url()))?.json()?;
    assert_eq!(subjects, json!(["shop.public.t-key", "shop.public.t-value"]));
    connect.delete("shop")?;
    kafka.stop()?;
    kafka.start_again()?;
    wait_for(&kafka, "second");
    Ok(())
}

/// Reads the topic by kcat until a record holds the text.
fn wait_for(kafka: &Kafka, text: &str) {
    let start = Instant::now();
    loop {
        let output = Command::new(kafka.kcat().expect("kcat"))
            .args(["-C", "-e", "-q", "-b", &kafka.bootstrap(), "-t", "shop.public.t", "-o", "beginning"])
            .output()
            .expect("run kcat");
        if String::from_utf8_lossy(&output.stdout).contains(text) {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "no record with {text:?}");
        std::thread::sleep(Duration::from_millis(200));
    }
}
