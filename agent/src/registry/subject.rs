//! The registry's tables: texts, versions per subject, levels.

use super::compatibility::Level;
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
}

pub(super) fn text(reader: &Connection, id: SchemaId) -> Result<Option<Arc<str>>> {
    let text: Option<String> = reader
        .prepare_cached("SELECT text FROM schema_text WHERE id = ?")
        .and_then(|mut s| s.query_row([id.0], |row| row.get(0)).optional())
        .or_db("read a schema")?;
    Ok(text.map(Arc::from))
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

fn row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Version> {
    Ok(Version { subject: row.get(0)?, version: row.get(1)?, id: SchemaId(row.get(2)?), text: row.get(3)? })
}

/// Where a text stands under a subject, the newest place if there are several.
pub(super) fn find(reader: &Connection, subject: &str, wanted: &str) -> Result<Option<Version>> {
    reader
        .prepare_cached(
            "SELECT v.subject, v.version, t.id, t.text FROM schema_text t
             JOIN subject_version v ON v.schema = t.id
             WHERE t.checksum = ? AND t.text = ? AND v.subject = ? ORDER BY v.version DESC LIMIT 1",
        )
        .and_then(|mut s| s.query_row(params![checksum(wanted), wanted, subject], row).optional())
        .or_db("look for a schema")
}

/// One version, or the newest.
pub(super) fn version(reader: &Connection, subject: &str, number: Option<u32>) -> Result<Option<Version>> {
    reader
        .prepare_cached(
            "SELECT v.subject, v.version, t.id, t.text FROM subject_version v
             JOIN schema_text t ON t.id = v.schema
             WHERE v.subject = ?1 AND v.version = coalesce(?2, v.version) ORDER BY v.version DESC LIMIT 1",
        )
        .and_then(|mut s| s.query_row(params![subject, number], row).optional())
        .or_db("read a version")
}

/// The texts of a subject, oldest first.
pub(super) fn history(reader: &Connection, subject: &str) -> Result<Vec<String>> {
    list(
        reader,
        "SELECT t.text FROM subject_version v JOIN schema_text t ON t.id = v.schema
         WHERE v.subject = ? ORDER BY v.version",
        [subject],
        |row| row.get(0),
    )
}

pub(super) fn all(reader: &Connection) -> Result<Vec<String>> {
    list(reader, "SELECT DISTINCT subject FROM subject_version ORDER BY subject", [], |row| row.get(0))
}

pub(super) fn versions(reader: &Connection, subject: &str) -> Result<Vec<u32>> {
    let text = "SELECT version FROM subject_version WHERE subject = ? ORDER BY version";
    list(reader, text, [subject], |row| row.get(0))
}

pub(super) fn uses(reader: &Connection, id: SchemaId) -> Result<Vec<(String, u32)>> {
    let text = "SELECT subject, version FROM subject_version WHERE schema = ? ORDER BY subject, version";
    list(reader, text, [id.0], |row| Ok((row.get(0)?, row.get(1)?)))
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

/// Adds a text as the newest version of a subject.
pub(super) fn add(transaction: &Transaction<'_>, subject: &str, text: &str) -> Result<Version> {
    let known: Option<u32> = transaction
        .query_row(
            "SELECT id FROM schema_text WHERE checksum = ? AND text = ?",
            params![checksum(text), text],
            |row| row.get(0),
        )
        .optional()
        .or_db("look for the text")?;
    let id = match known {
        Some(id) => id,
        None => {
            transaction
                .execute(
                    "INSERT INTO schema_text (checksum, text) VALUES (?, ?)",
                    params![checksum(text), text],
                )
                .or_db("store the text")?;
            u32::try_from(transaction.last_insert_rowid())
                .map_err(|_| Error::new(Kind::Full, "there are no schema ids left"))?
        }
    };
    let version = transaction
        .query_row(
            "INSERT INTO subject_version (subject, version, schema)
             SELECT ?1, 1 + coalesce(max(version), 0), ?2 FROM subject_version WHERE subject = ?1
             RETURNING version",
            params![subject, id],
            |row| row.get(0),
        )
        .or_db("store the version")?;
    Ok(Version { subject: subject.to_owned(), version, id: SchemaId(id), text: text.to_owned() })
}

/// The level set for exactly this subject; the empty name stands for all that have none.
pub(super) fn own_level(reader: &Connection, subject: &str) -> Result<Option<Level>> {
    let level: Option<String> = reader
        .prepare_cached("SELECT level FROM registry_level WHERE subject = ?")
        .and_then(|mut s| s.query_row([subject], |row| row.get(0)).optional())
        .or_db("read a compatibility level")?;
    Ok(level.and_then(|level| level.parse().ok()))
}

/// The level that holds for a subject.
pub(super) fn level(reader: &Connection, subject: &str) -> Result<Level> {
    match own_level(reader, subject)? {
        Some(level) => Ok(level),
        None => Ok(own_level(reader, "")?.unwrap_or(Level::Backward)),
    }
}

pub(super) fn set_level(transaction: &Transaction<'_>, subject: &str, level: Level) -> Result<()> {
    transaction
        .execute(
            "INSERT INTO registry_level (subject, level) VALUES (?1, ?2)
             ON CONFLICT (subject) DO UPDATE SET level = ?2",
            params![subject, level.to_string()],
        )
        .map(drop)
        .or_db("store a compatibility level")
}
