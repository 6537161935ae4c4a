//! The registry's tables: texts, and their versions per subject.

use super::reference::{self, Reference};
use crate::db::OrDb;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use shared::avro::wire::SchemaId;
use shared::{Error, Kind, Result};
use std::sync::Arc;

/// More schemas than an edge registers between two backups.
const SKIPPED_IDS: i64 = 10_000;

/// A schema's place under a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    pub subject: String,
    /// From 1 on.
    pub version: u32,
    pub id: SchemaId,
    pub text: String,
    pub references: Vec<Reference>,
}

/// Which versions count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    Live,
    /// Those deleted softly, too.
    All,
    Deleted,
}

impl Which {
    /// Least and greatest value of the column `deleted`.
    fn range(self) -> (u8, u8) {
        match self {
            Which::Live => (0, 0),
            Which::All => (0, 1),
            Which::Deleted => (1, 1),
        }
    }
}

pub(super) fn text(reader: &Connection, id: SchemaId) -> Result<Option<(Arc<str>, Vec<Reference>)>> {
    let found: Option<(String, String)> = reader
        .prepare_cached("SELECT text, needs FROM schema_text WHERE id = ?")
        .and_then(|mut s| s.query_row([id.0], |row| Ok((row.get(0)?, row.get(1)?))).optional())
        .or_db("read a schema")?;
    Ok(found.map(|(text, needs)| (Arc::from(text), reference::from_text(&needs))))
}

/// Passes over ids that another copy of this file may have given out since.
pub fn skip_ids(transaction: &Transaction<'_>) -> Result<()> {
    // Without a schema there is no row yet, and `schema_text` has no other column that is unique.
    let text = "INSERT INTO sqlite_sequence (name, seq)
                SELECT 'schema_text', 0 WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'schema_text')";
    transaction
        .execute(text, [])
        .and_then(|_| {
            let text = "UPDATE sqlite_sequence SET seq = seq + ? WHERE name = 'schema_text'";
            transaction.execute(text, [SKIPPED_IDS])
        })
        .map(drop)
        .or_db("pass over schema ids")
}

fn checksum(text: &str) -> u32 {
    crc32c::crc32c(text.as_bytes())
}

const COLUMNS: &str = "v.subject, v.version, t.id, t.text, t.needs";

fn row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Version> {
    let needs: String = row.get(4)?;
    Ok(Version {
        subject: row.get(0)?,
        version: row.get(1)?,
        id: SchemaId(row.get(2)?),
        text: row.get(3)?,
        references: reference::from_text(&needs),
    })
}

/// Where exactly this text stands under a subject, the newest place if there are several.
pub(super) fn find(
    reader: &Connection,
    subject: &str,
    text: &str,
    references: &[Reference],
    which: Which,
) -> Result<Option<Version>> {
    let (low, high) = which.range();
    let query = format!(
        "SELECT {COLUMNS} FROM schema_text t JOIN subject_version v ON v.schema = t.id
         WHERE t.checksum = ? AND t.text = ? AND t.needs = ? AND v.subject = ?
           AND v.deleted BETWEEN ? AND ? ORDER BY v.version DESC LIMIT 1"
    );
    let values = params![checksum(text), text, reference::to_text(references), subject, low, high];
    reader
        .prepare_cached(&query)
        .and_then(|mut s| s.query_row(values, row).optional())
        .or_db("look for a schema")
}

/// One version, or the newest.
pub(super) fn version(
    reader: &Connection,
    subject: &str,
    number: Option<u32>,
    which: Which,
) -> Result<Option<Version>> {
    let (low, high) = which.range();
    let query = format!(
        "SELECT {COLUMNS} FROM subject_version v JOIN schema_text t ON t.id = v.schema
         WHERE v.subject = ?1 AND v.version = coalesce(?2, v.version) AND v.deleted BETWEEN ?3 AND ?4
         ORDER BY v.version DESC LIMIT 1"
    );
    reader
        .prepare_cached(&query)
        .and_then(|mut s| s.query_row(params![subject, number, low, high], row).optional())
        .or_db("read a version")
}

/// A subject's versions, oldest first.
pub(super) fn history(reader: &Connection, subject: &str, which: Which) -> Result<Vec<Version>> {
    let (low, high) = which.range();
    let query = format!(
        "SELECT {COLUMNS} FROM subject_version v JOIN schema_text t ON t.id = v.schema
         WHERE v.subject = ? AND v.deleted BETWEEN ? AND ? ORDER BY v.version"
    );
    list(reader, &query, params![subject, low, high], row)
}

/// All versions of the subjects that begin with `prefix`.
pub(super) fn everything(reader: &Connection, prefix: &str, which: Which) -> Result<Vec<Version>> {
    let (low, high) = which.range();
    let query = format!(
        "SELECT {COLUMNS} FROM subject_version v JOIN schema_text t ON t.id = v.schema
         WHERE substr(v.subject, 1, length(?1)) = ?1 AND v.deleted BETWEEN ?2 AND ?3
         ORDER BY v.subject, v.version"
    );
    list(reader, &query, params![prefix, low, high], row)
}

/// Subjects that begin with `prefix` and have such a version; deleted ones have no other.
pub(super) fn all(reader: &Connection, prefix: &str, which: Which) -> Result<Vec<String>> {
    let having = match which {
        Which::Live => "min(deleted) = 0",
        Which::All => "1",
        Which::Deleted => "min(deleted) = 1",
    };
    let query = format!(
        "SELECT subject FROM subject_version WHERE substr(subject, 1, length(?1)) = ?1
         GROUP BY subject HAVING {having} ORDER BY subject"
    );
    list(reader, &query, [prefix], |row| row.get(0))
}

pub(super) fn versions(reader: &Connection, subject: &str, which: Which) -> Result<Vec<u32>> {
    let (low, high) = which.range();
    let query = "SELECT version FROM subject_version WHERE subject = ? AND deleted BETWEEN ? AND ?
                 ORDER BY version";
    list(reader, query, params![subject, low, high], |row| row.get(0))
}

pub(super) fn uses(reader: &Connection, id: SchemaId, which: Which) -> Result<Vec<(String, u32)>> {
    let (low, high) = which.range();
    let query = "SELECT subject, version FROM subject_version WHERE schema = ? AND deleted BETWEEN ? AND ?
                 ORDER BY subject, version";
    list(reader, query, params![id.0, low, high], |row| Ok((row.get(0)?, row.get(1)?)))
}

/// Schemas that stand under some subject and refer to this version.
pub(super) fn referrers(reader: &Connection, subject: &str, version: u32) -> Result<Vec<u32>> {
    let query = "SELECT r.schema FROM schema_reference r
                 WHERE r.subject = ? AND r.version = ?
                   AND EXISTS (SELECT 1 FROM subject_version v WHERE v.schema = r.schema AND v.deleted = 0)
                 ORDER BY r.schema";
    list(reader, query, params![subject, version], |row| row.get(0))
}

/// The greatest id given out.
pub(super) fn greatest_id(reader: &Connection) -> Result<u32> {
    reader
        .query_row("SELECT coalesce(max(id), 0) FROM schema_text", [], |row| row.get(0))
        .or_db("read the greatest schema id")
}

fn list<T>(
    reader: &Connection,
    text: &str,
    values: impl rusqlite::Params,
    row: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>> {
    reader
        .prepare_cached(text)
        .and_then(|mut statement| statement.query_map(values, row)?.collect())
        .or_db("read the registry's tables")
}

/// Adds a text as the newest version of a subject. Numbers of versions deleted softly are not used
/// again.
pub(super) fn add(
    transaction: &Transaction<'_>,
    subject: &str,
    text: &str,
    references: &[Reference],
) -> Result<Version> {
    let id = id_of(transaction, text, references)?;
    let version = transaction
        .query_row(
            "INSERT INTO subject_version (subject, version, schema)
             SELECT ?1, 1 + coalesce(max(version), 0), ?2 FROM subject_version WHERE subject = ?1
             RETURNING version",
            params![subject, id],
            |row| row.get(0),
        )
        .or_db("store the version")?;
    let (subject, text) = (subject.to_owned(), text.to_owned());
    Ok(Version { subject, version, id: SchemaId(id), text, references: references.to_vec() })
}

/// The id of a text with what it refers to, given out now if it has none.
fn id_of(transaction: &Transaction<'_>, text: &str, references: &[Reference]) -> Result<u32> {
    let needs = reference::to_text(references);
    let known: Option<u32> = transaction
        .query_row(
            "SELECT id FROM schema_text WHERE checksum = ? AND text = ? AND needs = ?",
            params![checksum(text), text, needs],
            |row| row.get(0),
        )
        .optional()
        .or_db("look for the text")?;
    if let Some(id) = known {
        return Ok(id);
    }
    transaction
        .execute(
            "INSERT INTO schema_text (checksum, text, needs) VALUES (?, ?, ?)",
            params![checksum(text), text, needs],
        )
        .or_db("store the text")?;
    let id = u32::try_from(transaction.last_insert_rowid())
        .map_err(|_| Error::new(Kind::Full, "there are no schema ids left"))?;
    for reference in references {
        transaction
            .execute(
                "INSERT OR IGNORE INTO schema_reference (schema, subject, version) VALUES (?, ?, ?)",
                params![id, reference.subject, reference.version],
            )
            .or_db("store a reference")?;
    }
    Ok(id)
}

/// Hides a version, or all of a subject's.
pub(super) fn hide(transaction: &Transaction<'_>, subject: &str, version: Option<u32>) -> Result<()> {
    transaction
        .execute(
            "UPDATE subject_version SET deleted = 1
             WHERE subject = ?1 AND version = coalesce(?2, version)",
            params![subject, version],
        )
        .map(drop)
        .or_db("delete a version")
}

/// Removes a version, or all of a subject's. The text stays: records in the log may need it.
pub(super) fn remove(transaction: &Transaction<'_>, subject: &str, version: Option<u32>) -> Result<()> {
    transaction
        .execute(
            "DELETE FROM subject_version WHERE subject = ?1 AND version = coalesce(?2, version)",
            params![subject, version],
        )
        .map(drop)
        .or_db("delete a version permanently")
}
