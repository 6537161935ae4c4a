//! How far each file is in the log. This room's table: `file_position`.

use crate::db::OrDb;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use shared::error::{Kind, OrKind, Result};
use std::io::Read;
use std::path::Path;

/// As much of a file's beginning as tells it from another.
const HEAD_BYTES: u64 = 4_096;

/// A place in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Length and checksum of the file's head.
    pub identity: String,
    pub place: u64,
    pub row: u64,
    pub bad: u64,
    pub done: bool,
    /// The file's size when it was done.
    pub size: u64,
}

pub fn size(path: &Path) -> Result<u64> {
    Ok(std::fs::metadata(path).or_kind(Kind::Config)?.len())
}

/// What tells a file from another of its name: its head of this length, and the size of one that is
/// never written to at its end.
fn identity(path: &Path, length: u64, whole: bool) -> Result<String> {
    let mut head = Vec::new();
    let file = std::fs::File::open(path).or_kind(Kind::Config)?;
    file.take(length).read_to_end(&mut head).or_kind(Kind::Config)?;
    let head = format!("{}:{:08x}", head.len(), crc32c::crc32c(&head));
    Ok(if whole { format!("{head}:{}", size(path)?) } else { head })
}

/// Where the reading of a file stopped; its beginning if it is another file than before.
pub fn load(reader: &Connection, topic: &str, path: &Path, whole: bool) -> Result<Position> {
    let name = path.display().to_string();
    let found: Option<Position> = reader
        .prepare_cached(
            "SELECT identity, place, row, bad, done, size FROM file_position WHERE topic = ? AND path = ?",
        )
        .and_then(|mut s| s.query_row(params![topic, name], read).optional())
        .or_db("read a file's position")?;
    if let Some(found) = found {
        let length = found.identity.split(':').next().and_then(|n| n.parse().ok()).unwrap_or(HEAD_BYTES);
        if identity(path, length, whole)? == found.identity && size(path)? >= found.size {
            return Ok(found);
        }
    }
    Ok(Position { identity: identity(path, HEAD_BYTES, whole)?, ..Position::default() })
}

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Position> {
    let number = |at: usize| row.get::<_, i64>(at).map(i64::unsigned_abs);
    Ok(Position {
        identity: row.get(0)?,
        place: number(1)?,
        row: number(2)?,
        bad: number(3)?,
        done: row.get(4)?,
        size: number(5)?,
    })
}

pub fn set(tx: &Transaction<'_>, topic: &str, path: &Path, at: &Position) -> Result<()> {
    let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let Position { identity, place, row, bad, done, size } = at;
    tx.prepare_cached(
        "INSERT OR REPLACE INTO file_position (topic, path, identity, place, row, bad, done, size)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .and_then(|mut s| {
        let name = path.display().to_string();
        s.execute(params![
            topic,
            name,
            identity,
            number(*place),
            number(*row),
            number(*bad),
            done,
            number(*size)
        ])
    })
    .or_db("store a file's position")
    .map(drop)
}
