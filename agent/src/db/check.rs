//! Checks the structure of a file within a limit of time: small tables first, the log of batches last,
//! for it is by far the largest and its content carries checksums of its own.

use super::OrDb;
use rusqlite::{Connection, ErrorCode};
use shared::{Error, Kind, Result};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Owned by `buffer`.
const LARGEST: &str = "log_batch";

/// Whether everything was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    Wholly,
    /// The limit came first.
    Partly,
}

/// Goes through the structure of each table.
///
/// # Errors
/// `Lost`, with SQLite's words for the first thing that is wrong.
pub fn structure(connection: &Connection, limit: Duration) -> Result<Checked> {
    let began = Instant::now();
    let interrupt = connection.get_interrupt_handle();
    let (done, watch) = mpsc::channel::<()>();
    let watchdog = std::thread::spawn(move || {
        if watch.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout) {
            interrupt.interrupt();
        }
    });
    let outcome = tables(connection).and_then(|tables| {
        for table in tables {
            // An interrupt that came between two statements is forgotten by SQLite.
            if began.elapsed() >= limit || one(connection, &table)? == Checked::Partly {
                return Ok(Checked::Partly);
            }
        }
        Ok(Checked::Wholly)
    });
    drop(done);
    let _ = watchdog.join();
    let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    if let Ok(checked) = &outcome {
        tracing::info!(event = "db_checked", extent = ?checked, ms, "checked the file's structure");
    }
    outcome
}

fn tables(connection: &Connection) -> Result<Vec<String>> {
    connection
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name = ?, name")
        .and_then(|mut statement| statement.query_map([LARGEST], |row| row.get(0))?.collect())
        .or_db("read its list of tables")
}

fn one(connection: &Connection, table: &str) -> Result<Checked> {
    let found = connection
        .prepare(&format!("PRAGMA quick_check('{}')", table.replace('\'', "''")))
        .and_then(|mut statement| statement.query_row([], |row| row.get::<_, String>(0)));
    match found {
        Ok(text) if text == "ok" => Ok(Checked::Wholly),
        Ok(text) => Err(damaged(table, &text)),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => {
            Ok(Checked::Partly)
        }
        Err(error) => Err(damaged(table, &error.to_string())),
    }
}

fn damaged(table: &str, what: &str) -> Error {
    let line = what.lines().next().unwrap_or_default();
    Error::new(Kind::Lost, format!("table {table} is damaged: {line}"))
}
