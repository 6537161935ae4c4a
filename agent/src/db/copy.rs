//! Brings the rows of a damaged file over, table by table, as far as SQLite can still read them.

use super::{Db, OrDb, open};
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, params_from_iter};
use shared::error::Context;
use shared::{Error, Kind, Result};
use std::path::Path;

/// Rows in one transaction.
const ROWS_AT_ONCE: usize = 500;

/// What became of a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    pub rows: u64,
    /// Reading ended before the table did.
    pub cut: bool,
}

/// A damaged file, for reading what can be read; it is not changed (a log beside it is read with it).
///
/// # Errors
/// `Lost` if not even its list of tables can be read, `Config` if it is another program's.
pub fn open_damaged(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = Connection::open_with_flags(path, flags).or_db("open").and_then(|connection| {
        connection.busy_timeout(open::BUSY_TIMEOUT).or_db("set the time to wait for a lock")?;
        open::verify(&connection)?;
        Ok(connection)
    });
    opened.doing(|| format!("read the damaged file {}", path.display())).map_err(|error| match error.kind() {
        Kind::Lost => error.remedy("nothing can be read from it this way: restore a backup"),
        _ => error,
    })
}

/// Copies the rows of `table`; those that are there already win. A table that the damaged file does
/// not have (yet) is empty.
pub fn copy_table(from: &Connection, to: &Db, table: &'static str) -> Result<Copied> {
    let mut copied = Copied::default();
    let Ok(mut statement) = from.prepare(&format!("SELECT * FROM {table}")) else {
        copied.cut = true;
        return Ok(copied);
    };
    let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let marks = vec!["?"; columns.len()].join(", ");
    let insert = format!("INSERT OR IGNORE INTO {table} ({}) VALUES ({marks})", columns.join(", "));
    let width = columns.len();
    let mut rows = statement.query([]).or_db("read a damaged table")?;
    loop {
        let mut slice: Vec<Vec<Value>> = Vec::new();
        while slice.len() < ROWS_AT_ONCE {
            match rows.next() {
                Ok(Some(row)) => match (0..width).map(|at| row.get(at)).collect() {
                    Ok(values) => slice.push(values),
                    Err(_) => copied.cut = true,
                },
                Ok(None) => break,
                Err(_) => {
                    copied.cut = true;
                    break;
                }
            }
        }
        let count = slice.len();
        copied.rows += write(to, insert.clone(), slice).doing(|| format!("bring over table {table}"))?;
        if count < ROWS_AT_ONCE {
            return Ok(copied);
        }
    }
}

fn write(to: &Db, insert: String, rows: Vec<Vec<Value>>) -> Result<u64> {
    to.write(move |transaction| {
        let mut statement = transaction.prepare(&insert).or_db("store a row")?;
        let mut stored = 0;
        for row in rows {
            // A row that breaks a rule of the layout is part of the damage.
            match statement.execute(params_from_iter(row)) {
                Ok(changed) => stored += changed as u64,
                Err(error) if is_broken_rule(&error) => {}
                Err(error) => return Err(Error::from_source(super::kind(&error), error)),
            }
        }
        Ok(stored)
    })
}

fn is_broken_rule(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{ConstraintViolation, TypeMismatch};
    matches!(error.sqlite_error_code(), Some(ConstraintViolation | TypeMismatch))
}
