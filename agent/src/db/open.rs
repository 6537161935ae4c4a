//! Opening the file: it is ours, it is whole, nobody else writes to it, or there is a clear error.
//! An existing file is never replaced; a missing one is only made where none was.

use super::{OrDb, migrate};
use crate::config::db::{DbConfig, Synchronous};
use rusqlite::{Connection, OpenFlags};
use shared::error::{Context, OrKind};
use shared::{Error, Kind, Result};
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// `Tide` in ASCII: tells our file from any other SQLite file.
const APPLICATION_ID: i32 = 0x5469_6465;

/// A checkpoint may hold a reader up for a moment; longer means something is wrong.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// The write-ahead log is cut back to this after a long reader made it grow.
const JOURNAL_SIZE_LIMIT_BYTES: u64 = 64 * 1024 * 1024;

/// As many statements as the rooms keep ready together.
const PREPARED_STATEMENTS: usize = 128;

/// The writer's connection and the lock that keeps a second agent out.
pub fn writer(config: &DbConfig) -> Result<(Connection, File)> {
    let path = &config.path;
    open_writer(config).doing(|| format!("open the database {}", path.display()))
}

fn open_writer(config: &DbConfig) -> Result<(Connection, File)> {
    let lock = lock(&config.path)?;
    let fresh = is_fresh(&config.path)?;
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(&config.path, flags).or_db("open")?;
    connection.busy_timeout(BUSY_TIMEOUT).or_db("set the time to wait for a lock")?;
    connection.set_prepared_statement_cache_capacity(PREPARED_STATEMENTS);
    if fresh {
        create(&connection, config)?;
    }
    verify(&connection)?;
    set_up(&connection, config)?;
    migrate::migrate(&mut connection)?;
    if fresh {
        tracing::info!(event = "db_created", path = %config.path.display(), "made a new database");
    }
    Ok((connection, lock))
}

/// A connection that cannot write.
pub fn reader(config: &DbConfig) -> Result<Connection> {
    open_reader(config).doing(|| format!("open the database {} for reading", config.path.display()))
}

fn open_reader(config: &DbConfig) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&config.path, flags).or_db("open")?;
    connection.busy_timeout(BUSY_TIMEOUT).or_db("set the time to wait for a lock")?;
    connection.set_prepared_statement_cache_capacity(PREPARED_STATEMENTS);
    pragma(&connection, "query_only", "ON")?;
    pragma(&connection, "cache_size", kibibytes(config.cache_bytes / 8))?;
    Ok(connection)
}

/// Two writers would each believe in their own offsets.
fn lock(path: &Path) -> Result<File> {
    let lock_path = beside(path, ".lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&lock_path)
        .or_kind(Kind::Config)
        .map_err(|e| e.remedy("the folder must exist and be writable for the agent"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::new(Kind::Config, "another process has it open")
            .remedy("stop the other agent, or give this one its own db.path")),
        Err(TryLockError::Error(error)) => Err(Error::from_source(Kind::Config, error)),
    }
}

/// Whether there is no database yet. A write-ahead log without its file means that somebody
/// removed the file: a new one would hide the loss.
fn is_fresh(path: &Path) -> Result<bool> {
    let length = match std::fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
        Err(error) => return Err(Error::from_source(Kind::Config, error)),
    };
    let orphan = std::fs::metadata(beside(path, "-wal")).is_ok_and(|wal| wal.len() > 0);
    if length == 0 && orphan {
        return Err(Error::new(Kind::Lost, "the file is gone, its write-ahead log is still there")
            .remedy("put the file back beside its -wal file, or remove both to begin anew"));
    }
    Ok(length == 0)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// What can only be chosen before the first page is written.
fn create(connection: &Connection, config: &DbConfig) -> Result<()> {
    pragma(connection, "page_size", config.page_bytes)?;
    pragma(connection, "auto_vacuum", "INCREMENTAL")?;
    pragma(connection, "application_id", APPLICATION_ID)
}

/// The file is a database, ours, and not newer than we are. Nothing is written before. (A full check would read gigabytes at each start.)
fn verify(connection: &Connection) -> Result<()> {
    let id: i32 = connection
        .pragma_query_value(None, "application_id", |row| row.get(0))
        .or_db("read its head")
        .map_err(|e| e.remedy("restore the file from a backup, or move it away to begin anew"))?;
    if id != APPLICATION_ID {
        return Err(Error::new(Kind::Config, "the file belongs to another program")
            .remedy("give db.path a place of its own"));
    }
    migrate::applied(connection).map(drop)
}

fn set_up(connection: &Connection, config: &DbConfig) -> Result<()> {
    let synchronous = match config.synchronous {
        Synchronous::Full => "FULL",
        Synchronous::Normal => "NORMAL",
    };
    let page: u64 = connection
        .pragma_query_value(None, "page_size", |row| row.get::<_, u32>(0))
        .or_db("read the page size")?
        .into();
    let max_pages = match config.max_file_bytes {
        0 => u64::from(u32::MAX - 1),
        bytes => (bytes / page).max(1),
    };
    pragma(connection, "journal_mode", "WAL")?;
    pragma(connection, "synchronous", synchronous)?;
    pragma(connection, "foreign_keys", "ON")?;
    pragma(connection, "temp_store", "MEMORY")?;
    pragma(connection, "cache_size", kibibytes(config.cache_bytes))?;
    pragma(connection, "wal_autocheckpoint", (config.checkpoint_bytes / page).max(1))?;
    pragma(connection, "journal_size_limit", JOURNAL_SIZE_LIMIT_BYTES)?;
    pragma(connection, "max_page_count", max_pages)
}

/// SQLite counts a cache in KiB when the number is negative.
fn kibibytes(bytes: u64) -> i64 {
    -i64::try_from(bytes / 1024).unwrap_or(i64::MAX).max(64)
}

/// Some pragmas answer with their new value, which is of no interest.
fn pragma(connection: &Connection, name: &str, value: impl std::fmt::Display) -> Result<()> {
    connection.execute_batch(&format!("PRAGMA {name} = {value};")).or_db("set up the connection")
}
