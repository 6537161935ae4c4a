//! The local schema registry: subjects, versions, ids, as Confluent's.
//!
//! A schema is known by its text: the same text has the same id under every subject, and what is
//! given out is the text as received, byte for byte. (A text that went through a schema library
//! would lose attributes that consumers need.) Ids survive restarts and are never given out twice.

mod compatibility;
mod rest;
mod shape;
mod subject;
#[cfg(test)]
mod tests;

pub use compatibility::Level;
pub use rest::{rest, serve};
pub use subject::{Version, skip_ids};

use crate::db::{Db, Readers};
use crate::metrics;
use rusqlite::Connection;
use shared::avro::wire::SchemaId;
use shared::error::Context;
use shared::{Error, Kind, Result};
use std::sync::Arc;

/// Registry reads are rare; who asks often keeps what it got.
const READERS: usize = 2;

/// What the registry says no to, or what went wrong in answering.
#[derive(Debug)]
pub enum Problem {
    SubjectNotFound(String),
    VersionNotFound(String),
    SchemaNotFound,
    /// The subject has no level of its own.
    LevelNotFound(String),
    /// The reasons, one a line.
    Incompatible {
        subject: String,
        reasons: Vec<String>,
    },
    InvalidSchema(String),
    InvalidVersion(String),
    InvalidLevel(String),
    Failed(Error),
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Problem::Failed(error)
    }
}

type Answer<T> = std::result::Result<T, Problem>;

/// Subjects, versions and schemas of this node. All calls block for a moment.
pub struct Registry {
    db: Db,
    readers: Readers,
}

impl Registry {
    pub fn open(db: &Db) -> Result<Registry> {
        Ok(Registry { db: db.clone(), readers: db.readers(READERS) })
    }

    /// The text of a schema as it was registered; `None` if there is no such id.
    pub fn schema(&self, id: SchemaId) -> Result<Option<Arc<str>>> {
        self.readers.run_now(|reader| subject::text(reader, id)).doing(|| format!("read schema {id}"))
    }

    /// Registers `text` under `subject`, or finds it there.
    pub fn register(&self, subject: &str, text: &str) -> Answer<SchemaId> {
        if let Some(known) = self.read(|reader| subject::find(reader, subject, text))? {
            return Ok(known.id);
        }
        let new = valid(text)?;
        let (subject, text) = (subject.to_owned(), text.to_owned());
        // The check and the insert stand in one transaction: two newcomers cannot pass each other.
        let outcome = self.db.write(move |transaction| {
            if let Some(known) = subject::find(transaction, &subject, &text)? {
                return Ok(Ok((known, false)));
            }
            let level = subject::level(transaction, &subject)?;
            let reasons = compatibility::against(level, &new, subject::history(transaction, &subject)?);
            if !reasons.is_empty() {
                return Ok(Err(Problem::Incompatible { subject, reasons }));
            }
            subject::add(transaction, &subject, &text).map(|version| Ok((version, true)))
        })?;
        let (version, fresh) = outcome?;
        if fresh {
            metrics::REGISTRY_SCHEMAS.inc();
            tracing::info!(
                event = "schema_registered",
                subject = version.subject,
                version = version.version,
                schema = version.id.0,
                "registered a schema"
            );
        }
        Ok(version.id)
    }

    /// Registers what another registry has judged already: compatibility is not asked again, only
    /// that rows can be read by it.
    pub fn adopt(&self, subject: &str, text: &str) -> Result<SchemaId> {
        if let Some(known) = self.read(|reader| subject::find(reader, subject, text))? {
            return Ok(known.id);
        }
        if let Err(problem) = valid(text) {
            let why = match problem {
                Problem::InvalidSchema(why) => why,
                other => format!("{other:?}"),
            };
            return Err(Error::new(Kind::Rejected, format!("the schema cannot be read here: {why}"))
                .remedy("only Avro schemas without references are understood"));
        }
        let (owned, text) = (subject.to_owned(), text.to_owned());
        let version = self.db.write(move |transaction| match subject::find(transaction, &owned, &text)? {
            Some(known) => Ok(known),
            None => subject::add(transaction, &owned, &text),
        })?;
        metrics::REGISTRY_SCHEMAS.inc();
        Ok(version.id)
    }

    /// Where `text` stands under `subject`.
    pub fn look_up(&self, subject: &str, text: &str) -> Answer<Version> {
        self.known(subject)?;
        self.read(|reader| subject::find(reader, subject, text))?.ok_or(Problem::SchemaNotFound)
    }

    /// The reasons why `text` would not be taken after `version` of `subject`; none if it would.
    pub fn test(&self, subject: &str, version: Option<&str>, text: &str) -> Answer<Vec<String>> {
        let new = valid(text)?;
        let earlier = match version {
            Some(version) => vec![self.version(subject, version)?.text],
            None => self.read(|reader| subject::history(reader, subject))?,
        };
        let level = self.read(|reader| subject::level(reader, subject))?;
        Ok(compatibility::against(level, &new, earlier))
    }

    pub fn subjects(&self) -> Result<Vec<String>> {
        self.read(subject::all)
    }

    pub fn versions(&self, subject: &str) -> Answer<Vec<u32>> {
        let versions = self.read(|reader| subject::versions(reader, subject))?;
        if versions.is_empty() {
            return Err(Problem::SubjectNotFound(subject.to_owned()));
        }
        Ok(versions)
    }

    /// One version of a subject, by number or `latest` (also `-1`).
    pub fn version(&self, subject: &str, version: &str) -> Answer<Version> {
        let number = match version {
            "latest" | "-1" => None,
            text => match text.parse::<u32>() {
                Ok(number @ 1..) => Some(number),
                _ => return Err(Problem::InvalidVersion(version.to_owned())),
            },
        };
        self.known(subject)?;
        self.read(|reader| subject::version(reader, subject, number))?
            .ok_or_else(|| Problem::VersionNotFound(version.to_owned()))
    }

    /// Every subject and version that uses a schema.
    pub fn uses(&self, id: SchemaId) -> Answer<Vec<(String, u32)>> {
        if self.schema(id)?.is_none() {
            return Err(Problem::SchemaNotFound);
        }
        Ok(self.read(|reader| subject::uses(reader, id))?)
    }

    /// The level of a subject, or that of all others for the empty name.
    pub fn level(&self, subject: &str, or_global: bool) -> Answer<Level> {
        let own = self.read(|reader| subject::own_level(reader, subject))?;
        match own {
            Some(level) => Ok(level),
            None if subject.is_empty() || or_global => Ok(self.read(|r| subject::level(r, subject))?),
            None => Err(Problem::LevelNotFound(subject.to_owned())),
        }
    }

    pub fn set_level(&self, subject: &str, level: &str) -> Answer<Level> {
        let level: Level = level.parse().map_err(|()| Problem::InvalidLevel(level.to_owned()))?;
        let subject = subject.to_owned();
        self.db.write(move |transaction| subject::set_level(transaction, &subject, level))?;
        Ok(level)
    }

    fn known(&self, subject: &str) -> Answer<()> {
        self.versions(subject).map(drop)
    }

    fn read<T>(&self, read: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        self.readers.run_now(read).doing(|| "read the schema registry")
    }
}

/// Checks a text: what is taken must also be read later, by the library that decodes rows. Only the
/// verdict is used, never the library's own text of the schema.
fn valid(text: &str) -> Answer<shape::Shape> {
    let shape = shape::parse(text).map_err(Problem::InvalidSchema)?;
    match apache_avro::Schema::parse_str(text) {
        Ok(_) => Ok(shape),
        Err(_) if shape.is_bare_primitive() => Ok(shape),
        Err(error) => Err(Problem::InvalidSchema(error.to_string())),
    }
}
