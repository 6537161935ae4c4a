//! Opening the file: it is ours, it is whole, nobody else writes to it, or there is a clear error.
//! An existing file is never replaced; a missing one is only made where none was.

use super::mark::{Ended, Mark};
use super::{OrDb, aside, check, migrate, wal};
use crate::config::db::{DbConfig, OnDamage, Synchronous};
use rusqlite::config::DbConfig as DbConfigFlag;
use rusqlite::{Connection, OpenFlags};
use shared::error::{Context, OrKind};
use shared::{Error, Kind, Result};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// `Tide` in ASCII: tells our file from any other SQLite file.
const APPLICATION_ID: i32 = 0x5469_6465;

/// A checkpoint may hold a reader up for a moment; longer means something is wrong.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// The write-ahead log is cut back to this after a long reader made it grow.
const JOURNAL_SIZE_LIMIT_BYTES: u64 = 64 * 1024 * 1024;

/// As many statements as the rooms keep ready together.
const PREPARED_STATEMENTS: usize = 128;

/// A file that is open, and how it was found.
pub struct Opened {
    pub connection: Connection,
    pub mark: Mark,
    pub ended: Ended,
    /// Where a damaged file was moved; the one that is open has still to be filled from it.
    pub aside: Option<PathBuf>,
}

/// Opens the file for its only writer. What is damaged is moved aside if the operator wants that.
pub fn writer(config: &DbConfig) -> Result<Opened> {
    let path = &config.path;
    try_writer(config).doing(|| format!("open the database {}", path.display()))
}

fn try_writer(config: &DbConfig) -> Result<Opened> {
    let path = &config.path;
    let mut mark = Mark::take(&beside(path, ".lock"), length(path)?)?;
    let connection = match open_writer(config, &mark) {
        Err(error) if error.kind() == Kind::Lost && config.on_damage == OnDamage::SetAside => {
            if length(path)? == 0 {
                return Err(error);
            }
            let moved = aside::move_away(path)?;
            mark.recover(&moved)?;
            tracing::error!(
                event = "db_set_aside", %error, to = %moved.display(),
                remedy = "keep the file until you have looked at it; what is sound is brought over now",
                "the database is damaged and was moved aside"
            );
            open_writer(config, &mark)?
        }
        other => other.map_err(|e| e.remedy(remedy(path)))?,
    };
    let ended = mark.ended();
    let aside = mark.recovering().map(Path::to_owned);
    if aside.is_none() {
        mark.running()?;
    }
    Ok(Opened { connection, mark, ended, aside })
}

/// What the operator can do about a damaged file.
fn remedy(path: &Path) -> String {
    let path = path.display();
    format!(
        "restore a backup; or run `tidegate-agent recover --from {path}`, which moves the file aside and brings \
         over what is sound; db.on_damage = \"set_aside\" does that at each start"
    )
}

fn open_writer(config: &DbConfig, mark: &Mark) -> Result<Connection> {
    let fresh = is_fresh(&config.path, mark)?;
    if !fresh {
        examine_log(config, mark.ended())?;
    }
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(&config.path, flags).or_db("open")?;
    connection.busy_timeout(BUSY_TIMEOUT).or_db("set the time to wait for a lock")?;
    keep_statements(&connection)?;
    if fresh {
        create(&connection, config)?;
    }
    verify(&connection)?;
    set_up(&connection, config)?;
    if !fresh && mark.ended() != Ended::Cleanly && !config.check_limit.is_zero() {
        check::structure(&connection, config.check_limit)?;
    }
    migrate::migrate(&mut connection)?;
    if fresh {
        tracing::info!(event = "db_created", path = %config.path.display(), "made a new database");
    }
    Ok(connection)
}

/// SQLite would pass over a damaged end of its log in silence.
fn examine_log(config: &DbConfig, ended: Ended) -> Result<()> {
    let path = &config.path;
    let same_boot = ended == Ended::Abruptly { same_boot: true };
    let unsynced = config.synchronous == Synchronous::Normal && ended == Ended::Abruptly { same_boot: false };
    let (log, index) = (beside(path, "-wal"), beside(path, "-shm"));
    let found =
        wal::examine(&log, &index, same_boot, unsynced).or_kind(Kind::Lost).doing(|| "examine its log")?;
    match found {
        wal::Finding::Sound => {}
        wal::Finding::Lost(what) => {
            return Err(Error::new(Kind::Lost, format!("{what}: commits that were durable are missing")));
        }
        wal::Finding::Torn(what) => tracing::warn!(
            event = "db_log_torn",
            what,
            remedy = "db.synchronous = \"full\" loses nothing; sources send again what they may have kept",
            "the machine went down: the last commits, which db.synchronous = \"normal\" had not synced, are gone"
        ),
    }
    if matches!(ended, Ended::Abruptly { .. }) && !log.exists() {
        tracing::warn!(
            event = "db_log_missing",
            remedy =
                "if it was removed by hand, put it back; after another program read the file it is in order",
            "the last agent did not stop cleanly, yet the file has no write-ahead log beside it"
        );
    }
    Ok(())
}

/// A connection that cannot write.
pub fn reader(config: &DbConfig) -> Result<Connection> {
    open_reader(config).doing(|| format!("open the database {} for reading", config.path.display()))
}

/// Statements are planned once, whatever values they get: with statistics built in, SQLite would else plan
/// a statement with a range anew for each value.
fn keep_statements(connection: &Connection) -> Result<()> {
    connection.set_prepared_statement_cache_capacity(PREPARED_STATEMENTS);
    connection
        .set_db_config(DbConfigFlag::SQLITE_DBCONFIG_ENABLE_QPSG, true)
        .or_db("set up the connection")?;
    Ok(())
}

fn open_reader(config: &DbConfig) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&config.path, flags).or_db("open")?;
    connection.busy_timeout(BUSY_TIMEOUT).or_db("set the time to wait for a lock")?;
    keep_statements(&connection)?;
    pragma(&connection, "query_only", "ON")?;
    pragma(&connection, "cache_size", kibibytes(config.cache_bytes / 8))?;
    Ok(connection)
}

/// Whether there is no database yet. A trace of one that is no longer there means that somebody
/// removed the file: a new one would hide the loss.
fn is_fresh(path: &Path, mark: &Mark) -> Result<bool> {
    let length = length(path)?;
    let orphan = std::fs::metadata(beside(path, "-wal")).is_ok_and(|wal| wal.len() > 0);
    if length == 0 && orphan {
        return Err(Error::new(Kind::Lost, "the file is gone, its write-ahead log is still there")
            .remedy("put the file back beside its -wal file, or remove both to begin anew"));
    }
    if length == 0 && mark.had_file() {
        let lock = beside(path, ".lock");
        return Err(Error::new(Kind::Lost, "the file that was here is gone").remedy(format!(
            "put it back or restore a backup; to begin anew, remove {} as well",
            lock.display()
        )));
    }
    Ok(length == 0)
}

/// 0 if there is no file.
pub fn length(path: &Path) -> Result<u64> {
    match std::fs::metadata(path) {
        Ok(metadata) => Ok(metadata.len()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(Error::from_source(Kind::Config, error)),
    }
}

pub fn beside(path: &Path, suffix: &str) -> PathBuf {
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

/// The file is a database, ours, and not newer than we are. Nothing is written before.
pub fn verify(connection: &Connection) -> Result<()> {
    let id: i32 =
        connection.pragma_query_value(None, "application_id", |row| row.get(0)).or_db("read its head")?;
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
