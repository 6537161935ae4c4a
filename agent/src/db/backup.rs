//! A consistent copy of the file while an agent writes to it, or when it is stopped.
//!
//! The copy is read from one snapshot by a connection of its own. While that lasts the write-ahead
//! log cannot be begun anew, so it is watched, and the copy given up if the log grows too far.

use super::open::{self, beside};
use super::{OrDb, aside, check};
use crate::config::db::DbConfig;
use rusqlite::{Connection, ErrorCode};
use shared::error::{Context, OrKind};
use shared::{Error, Kind, Result};
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

/// The log may grow to so many checkpoints' size meanwhile.
const LOG_LIMIT_CHECKPOINTS: u64 = 64;
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// The copy is read whole once.
const CHECK_LIMIT: Duration = Duration::from_secs(3_600);

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    pub bytes: u64,
}

/// Writes a copy of the file to `to`, which must not exist. `finish` may still change the copy.
///
/// # Errors
/// `Config` if `to` exists, `Full` if its disk has not enough room or the log grew too far meanwhile,
/// `Lost` if the file is damaged.
pub fn write(
    config: &DbConfig,
    to: &Path,
    finish: impl FnOnce(&Connection) -> Result<()>,
) -> Result<Written> {
    // Either an agent runs, whose log this reads along, or none may begin meanwhile.
    let at_rest = super::at_rest(config)?;
    if let Some(at_rest) = &at_rest {
        at_rest.reader()?;
    }
    if to.exists() {
        return Err(Error::new(Kind::Config, format!("{} exists already", to.display()))
            .remedy("give a name that is free; a backup never overwrites"));
    }
    // So that what is half written is never taken for a backup.
    let part = beside(to, ".part");
    let _ = std::fs::remove_file(&part);
    let done = copy(config, &part, to, finish);
    let _ = std::fs::remove_file(&part);
    done.doing(|| format!("back up {} to {}", config.path.display(), to.display()))
}

fn copy(
    config: &DbConfig,
    part: &Path,
    to: &Path,
    finish: impl FnOnce(&Connection) -> Result<()>,
) -> Result<Written> {
    let reader = open::reader(config)?;
    open::verify(&reader)?;
    needs_room(&reader, to)?;
    vacuum_into(&reader, config, part)?;
    let copy = Connection::open(part).or_db("open the copy")?;
    check::structure(&copy, CHECK_LIMIT)?;
    finish(&copy)?;
    copy.close().map_err(|(_, error)| error).or_db("close the copy")?;
    let file = std::fs::File::open(part).or_kind(Kind::Full)?;
    file.sync_all().or_kind(Kind::Full)?;
    let bytes = file.metadata().or_kind(Kind::Full)?.len();
    // Fails if somebody made a file of that name meanwhile, where a rename would replace it.
    std::fs::hard_link(part, to).or_kind(Kind::Config)?;
    aside::sync_folder(to).or_kind(Kind::Full)?;
    Ok(Written { bytes })
}

fn needs_room(reader: &Connection, to: &Path) -> Result<()> {
    let number = |name| {
        reader
            .pragma_query_value(None, name, |row| row.get::<_, i64>(0))
            .map(i64::unsigned_abs)
            .or_db("read sizes")
    };
    let needed = (number("page_count")? - number("freelist_count")?) * number("page_size")?;
    let folder = to.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let disk = rustix::fs::statvfs(folder).map_err(std::io::Error::from).or_kind(Kind::Config)?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if free < needed {
        let what = format!("{} has {free} bytes left, the copy needs {needed}", folder.display());
        return Err(Error::new(Kind::Full, what).remedy("free room there, or give another folder"));
    }
    Ok(())
}

fn vacuum_into(reader: &Connection, config: &DbConfig, part: &Path) -> Result<()> {
    let limit = config.checkpoint_bytes.saturating_mul(LOG_LIMIT_CHECKPOINTS);
    let (log, interrupt) = (beside(&config.path, "-wal"), reader.get_interrupt_handle());
    let (done, watch) = mpsc::channel::<()>();
    let watchdog = std::thread::spawn(move || {
        while watch.recv_timeout(LOOK_EVERY) == Err(mpsc::RecvTimeoutError::Timeout) {
            if std::fs::metadata(&log).is_ok_and(|metadata| metadata.len() > limit) {
                interrupt.interrupt();
            }
        }
    });
    reader.execute_batch("PRAGMA query_only = OFF").or_db("prepare the copy")?;
    let copied = reader.execute("VACUUM INTO ?1", [part.to_string_lossy()]);
    drop(done);
    let _ = watchdog.join();
    match copied {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => {
            let what = format!("the write-ahead log grew beyond {limit} bytes while the copy was read");
            Err(Error::new(Kind::Full, what)
                .remedy("try again when less comes in, or raise db.checkpoint_bytes"))
        }
        other => other.map(drop).or_db("copy"),
    }
}
