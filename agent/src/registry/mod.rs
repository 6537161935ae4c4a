//! The local schema registry: subjects, versions, ids, as Confluent's.
//!
//! A schema is known by its text: the same text has the same id under every subject, and what is
//! given out is the text as received, byte for byte. (A text that went through a schema library
//! would lose attributes that consumers need.) Ids survive restarts and are never given out twice.
//! Only Avro: what cannot be checked is refused, rather than taken and found broken at the centre.

mod compatibility;
mod delete;
mod normal;
mod reference;
mod rest;
mod setting;
mod shape;
mod subject;
#[cfg(test)]
mod tests;

pub use compatibility::Level;
pub use reference::Reference;
pub use rest::{rest, serve};
pub use setting::{Mode, Setting};
pub use subject::{Version, Which, skip_ids};

use crate::db::{Db, Readers};
use crate::metrics;
use compatibility::Earlier;
use rusqlite::Connection;
use shared::avro::wire::SchemaId;
use shared::error::Context;
use shared::registry::{Registered, Schema};
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
    /// Deleted softly before; only a permanent deletion goes further.
    SubjectSoftDeleted(String),
    SubjectNotSoftDeleted(String),
    VersionSoftDeleted(String, u32),
    VersionNotSoftDeleted(String, u32),
    /// Another schema needs this version.
    Referenced(String, u32),
    /// The subject has no level of its own.
    LevelNotFound(String),
    ModeNotFound(String),
    /// The reasons, one a line.
    Incompatible {
        subject: String,
        reasons: Vec<String>,
    },
    InvalidSchema(String),
    InvalidVersion(String),
    InvalidLevel(String),
    InvalidMode(String),
    NotPermitted(String),
    /// The request's body is not what is asked for.
    Malformed(String),
    Failed(Error),
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Problem::Failed(error)
    }
}

type Answer<T> = std::result::Result<T, Problem>;

/// A schema as it is sent.
#[derive(Clone, Debug, Default)]
pub struct Sent {
    pub text: String,
    pub references: Vec<Reference>,
    /// Whether texts that mean the same count as the same.
    pub normalize: bool,
}

/// A schema that was read and found sound.
struct Read {
    shape: shape::Shape,
    /// What is registered.
    text: String,
    references: Vec<Reference>,
    normalize: bool,
}

/// Subjects, versions and schemas of this node. All calls block for a moment.
pub struct Registry {
    db: Db,
    readers: Readers,
}

/// As [`Registry::whole_schema`], for who only has the file.
pub fn whole_schema(reader: &Connection, id: SchemaId) -> Result<Option<Arc<str>>> {
    let read = || {
        let Some((text, references)) = subject::text(reader, id)? else { return Ok(None) };
        if references.is_empty() {
            return Ok(Some(text));
        }
        // What is missing was deleted permanently; then the schema cannot be read any more.
        let needed = reference::needed(reader, &references)?.unwrap_or_default();
        Ok(Some(Arc::from(reference::whole(&text, &needed))))
    };
    read().doing(|| format!("read schema {id}"))
}

/// The text of a subject's newest version, whole; `None` if there is none. For who only has the file.
pub fn latest_schema(reader: &Connection, subject: &str) -> Result<Option<Arc<str>>> {
    let latest = subject::version(reader, subject, None, Which::Live);
    let latest = latest.doing(|| format!("read the versions of subject {subject}"))?;
    latest.map_or(Ok(None), |version| whole_schema(reader, version.id))
}

impl Registry {
    pub fn open(db: &Db) -> Result<Registry> {
        Ok(Registry { db: db.clone(), readers: db.readers(READERS) })
    }

    /// The text of a schema as it was registered; `None` if there is no such id.
    pub fn schema(&self, id: SchemaId) -> Result<Option<Arc<str>>> {
        let found = self.readers.run_now(|reader| subject::text(reader, id));
        Ok(found.doing(|| format!("read schema {id}"))?.map(|(text, _)| text))
    }

    /// The text of a schema with the types that it takes from other subjects written into it: what
    /// a reader of records needs.
    pub fn whole_schema(&self, id: SchemaId) -> Result<Option<Arc<str>>> {
        self.readers.run_now(|reader| whole_schema(reader, id))
    }

    /// What a schema takes from other subjects.
    pub fn references(&self, id: SchemaId) -> Result<Vec<Reference>> {
        let found = self.readers.run_now(|reader| subject::text(reader, id));
        Ok(found.doing(|| format!("read schema {id}"))?.map(|(_, references)| references).unwrap_or_default())
    }

    /// Registers `text` under `subject`, or finds it there.
    pub fn register(&self, subject: &str, text: &str) -> Answer<SchemaId> {
        self.register_sent(subject, Sent { text: text.to_owned(), ..Sent::default() }).map(|v| v.id)
    }

    /// Registers a schema under `subject`, or finds it there.
    pub fn register_sent(&self, subject: &str, mut sent: Sent) -> Answer<Version> {
        sent.normalize |= self.read(|reader| setting::effective(reader, subject))?.normalize == Some(true);
        // What is known needs no reading: this is what clients do at every start.
        let known =
            |reader: &Connection| subject::find(reader, subject, &sent.text, &sent.references, Which::Live);
        if let Some(known) = self.read(known)?.filter(|_| !sent.normalize) {
            return Ok(known);
        }
        let new = self.read(|reader| valid(reader, sent))??;
        let subject = subject.to_owned();
        // The check and the insert stand in one transaction: two newcomers cannot pass each other.
        let outcome = self.db.write(move |transaction| {
            if let Some(known) = find(transaction, &subject, &new, Which::Live)? {
                return Ok(Ok((known, false)));
            }
            if setting::mode(transaction, &subject)? != Mode::ReadWrite {
                return Ok(Err(Problem::NotPermitted(format!("Subject {subject} is in read-only mode"))));
            }
            let level = setting::effective(transaction, &subject)?.level;
            let reasons = compatibility::against(level, &new.shape, &earlier(transaction, &subject)?);
            if !reasons.is_empty() {
                return Ok(Err(Problem::Incompatible { subject, reasons }));
            }
            subject::add(transaction, &subject, &new.text, &new.references).map(|version| Ok((version, true)))
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
        Ok(version)
    }

    /// Registers what another registry has judged already, with references to versions of here:
    /// compatibility is not asked again, only that rows can be read by it.
    pub fn adopt(&self, subject: &str, schema: &Schema) -> Result<Registered> {
        let find = |reader: &Connection,
                    subject: &str,
                    Schema { text, references }: &Schema|
         -> Result<Option<Version>> {
            subject::find(reader, subject, text, references, Which::Live)
        };
        let registered = |version: Version| Registered { id: version.id, version: version.version };
        if let Some(known) = self.read(|reader| find(reader, subject, schema))? {
            return Ok(registered(known));
        }
        let Schema { text, references } = schema.clone();
        if let Err(problem) =
            self.read(|reader| valid(reader, Sent { text, references, normalize: false }))?
        {
            let why = match problem {
                Problem::InvalidSchema(why) => why,
                other => format!("{other:?}"),
            };
            return Err(Error::new(Kind::Rejected, format!("the schema cannot be read here: {why}"))
                .remedy("only Avro schemas are understood"));
        }
        let (owned, schema) = (subject.to_owned(), schema.clone());
        let version = self.db.write(move |transaction| match find(transaction, &owned, &schema)? {
            Some(known) => Ok(known),
            None => subject::add(transaction, &owned, &schema.text, &schema.references),
        })?;
        metrics::REGISTRY_SCHEMAS.inc();
        Ok(registered(version))
    }

    /// Where a schema stands under `subject`.
    pub fn look_up(&self, subject: &str, mut sent: Sent, which: Which) -> Answer<Version> {
        sent.normalize |= self.read(|reader| setting::effective(reader, subject))?.normalize == Some(true);
        self.read(|reader| {
            if subject::versions(reader, subject, which)?.is_empty() {
                return Ok(Err(Problem::SubjectNotFound(subject.to_owned())));
            }
            let new = match valid(reader, sent)? {
                Ok(new) => new,
                Err(problem) => return Ok(Err(problem)),
            };
            Ok(find(reader, subject, &new, which)?.ok_or(Problem::SchemaNotFound))
        })?
    }

    /// The reasons why a schema would not be taken after `version` of `subject` (after all that the
    /// level asks for, if none is named); none if it would.
    pub fn test(&self, subject: &str, version: Option<&str>, sent: Sent) -> Answer<Vec<String>> {
        let number = version.map(version_number).transpose()?;
        self.read(|reader| {
            let new = match valid(reader, sent)? {
                Ok(new) => new,
                Err(problem) => return Ok(Err(problem)),
            };
            let earlier = match number {
                None => earlier(reader, subject)?,
                Some(number) => match (subject::version(reader, subject, number, Which::Live)?, number) {
                    (Some(found), _) => vec![one_earlier(reader, found)?],
                    // The first of a subject goes with whatever there is.
                    (None, None) => Vec::new(),
                    (None, Some(number)) => return Ok(Err(Problem::VersionNotFound(number.to_string()))),
                },
            };
            let level = setting::effective(reader, subject)?.level;
            Ok(Ok(compatibility::against(level, &new.shape, &earlier)))
        })?
    }

    pub fn subjects(&self) -> Result<Vec<String>> {
        self.subjects_with("", Which::Live)
    }

    /// Those that begin with `prefix`.
    pub fn subjects_with(&self, prefix: &str, which: Which) -> Result<Vec<String>> {
        self.read(|reader| subject::all(reader, prefix, which))
    }

    /// All versions of the subjects that begin with `prefix`.
    pub fn schemas(&self, prefix: &str, which: Which) -> Result<Vec<Version>> {
        self.read(|reader| subject::everything(reader, prefix, which))
    }

    pub fn versions(&self, subject: &str, which: Which) -> Answer<Vec<u32>> {
        let versions = self.read(|reader| subject::versions(reader, subject, which))?;
        if versions.is_empty() {
            return Err(Problem::SubjectNotFound(subject.to_owned()));
        }
        Ok(versions)
    }

    /// One version of a subject, by number or `latest` (also `-1`).
    pub fn version(&self, subject: &str, version: &str, which: Which) -> Answer<Version> {
        let number = version_number(version)?;
        self.versions(subject, which)?;
        self.read(|reader| subject::version(reader, subject, number, which))?
            .ok_or_else(|| Problem::VersionNotFound(version.to_owned()))
    }

    /// A version that others may refer to: one deleted softly, too. `None` if there is no such version.
    pub fn referred(&self, subject: &str, version: u32) -> Result<Option<Version>> {
        self.read(|reader| subject::version(reader, subject, Some(version), Which::All))
    }

    /// The newest version of a subject; `None` if there is none.
    pub fn latest(&self, subject: &str) -> Result<Option<Version>> {
        self.read(|reader| subject::version(reader, subject, None, Which::Live))
    }

    /// Every subject and version that uses a schema.
    pub fn uses(&self, id: SchemaId) -> Answer<Vec<(String, u32)>> {
        self.uses_of(id, Which::Live)
    }

    pub fn uses_of(&self, id: SchemaId, which: Which) -> Answer<Vec<(String, u32)>> {
        if self.schema(id)?.is_none() {
            return Err(Problem::SchemaNotFound);
        }
        Ok(self.read(|reader| subject::uses(reader, id, which))?)
    }

    /// Every subject that a schema is registered under, by name.
    pub fn subjects_of(&self, id: SchemaId) -> Result<Vec<String>> {
        let mut subjects: Vec<String> = Vec::new();
        for (subject, _) in self.read(|reader| subject::uses(reader, id, Which::Live))? {
            if subjects.last() != Some(&subject) {
                subjects.push(subject);
            }
        }
        Ok(subjects)
    }

    /// The ids of the schemas that refer to a version.
    pub fn referrers(&self, subject: &str, version: &str) -> Answer<Vec<u32>> {
        let found = self.version(subject, version, Which::All)?;
        Ok(self.read(|reader| subject::referrers(reader, subject, found.version))?)
    }

    pub fn greatest_id(&self) -> Result<u32> {
        self.read(subject::greatest_id)
    }

    /// What is set for a subject, or for all others for the empty name.
    pub fn setting(&self, subject: &str, or_global: bool) -> Answer<Setting> {
        let own = self.read(|reader| setting::own(reader, subject))?;
        match own {
            Some(setting) => Ok(setting),
            None if subject.is_empty() || or_global => {
                Ok(self.read(|reader| setting::effective(reader, subject))?)
            }
            None => Err(Problem::LevelNotFound(subject.to_owned())),
        }
    }

    /// What is not given stays as it is.
    pub fn set(&self, subject: &str, level: Option<&str>, normalize: Option<bool>) -> Answer<()> {
        let parse = |level: &str| level.parse().map_err(|()| Problem::InvalidLevel(level.to_owned()));
        let level: Option<Level> = level.map(parse).transpose()?;
        let subject = subject.to_owned();
        Ok(self.db.write(move |transaction| setting::set(transaction, &subject, level, normalize))?)
    }

    /// Takes back what was set; gives what it was.
    pub fn unset(&self, subject: &str) -> Answer<Setting> {
        let before = match subject.is_empty() {
            true => self.setting("", true)?,
            false => match self.setting(subject, false) {
                Err(Problem::LevelNotFound(subject)) => return Err(Problem::SubjectNotFound(subject)),
                other => other?,
            },
        };
        let subject = subject.to_owned();
        self.db.write(move |transaction| setting::clear(transaction, &subject))?;
        Ok(before)
    }

    pub fn mode(&self, subject: &str, or_global: bool) -> Answer<Mode> {
        match self.read(|reader| setting::own_mode(reader, subject))? {
            Some(mode) => Ok(mode),
            None if subject.is_empty() || or_global => Ok(self.read(|r| setting::mode(r, subject))?),
            None => Err(Problem::ModeNotFound(subject.to_owned())),
        }
    }

    pub fn set_mode(&self, subject: &str, mode: &str) -> Answer<Mode> {
        if mode.eq_ignore_ascii_case("IMPORT") {
            let what = "import mode is not offered: schema ids are given out here, and records rely on them";
            return Err(Problem::NotPermitted(what.to_owned()));
        }
        let mode: Mode = mode.parse().map_err(|()| Problem::InvalidMode(mode.to_owned()))?;
        let subject = subject.to_owned();
        self.db.write(move |transaction| setting::set_mode(transaction, &subject, mode))?;
        Ok(mode)
    }

    /// Takes back a subject's mode; gives what it was.
    pub fn unset_mode(&self, subject: &str) -> Answer<Mode> {
        let before = match self.mode(subject, false) {
            Err(Problem::ModeNotFound(subject)) => return Err(Problem::SubjectNotFound(subject)),
            other => other?,
        };
        let subject = subject.to_owned();
        self.db.write(move |transaction| setting::clear_mode(transaction, &subject))?;
        Ok(before)
    }

    fn read<T>(&self, read: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        self.readers.run_now(read).doing(|| "read the schema registry")
    }
}

/// A version by number; `None` for the newest.
fn version_number(version: &str) -> Answer<Option<u32>> {
    match version {
        "latest" | "-1" => Ok(None),
        text => match text.parse::<u32>() {
            Ok(number @ 1..) if i32::try_from(number).is_ok() => Ok(Some(number)),
            _ => Err(Problem::InvalidVersion(version.to_owned())),
        },
    }
}

/// The live versions of a subject, oldest first, with what they need.
fn earlier(reader: &Connection, subject: &str) -> Result<Vec<Earlier>> {
    let history = subject::history(reader, subject, Which::Live)?;
    history.into_iter().map(|version| one_earlier(reader, version)).collect()
}

fn one_earlier(reader: &Connection, version: Version) -> Result<Earlier> {
    // What was deleted permanently makes it unreadable, and then it is not judged against.
    let needed = reference::needed(reader, &version.references)?.unwrap_or_default();
    Ok(Earlier { version: version.version, text: version.text, needed })
}

/// Where a schema stands under a subject: the same text, or one that differs only in spaces and the
/// order of attributes, or (if asked for) one with the same normal form.
fn find(reader: &Connection, subject: &str, new: &Read, which: Which) -> Result<Option<Version>> {
    if let Some(exact) = subject::find(reader, subject, &new.text, &new.references, which)? {
        return Ok(Some(exact));
    }
    let form = |text: &str| match new.normalize {
        true => Some(serde_json::Value::from(normal::normalize(text))),
        false => serde_json::from_str(text).ok(),
    };
    let wanted = form(&new.text);
    let history = subject::history(reader, subject, which)?;
    let same = |version: &Version| {
        version.references == new.references && wanted.is_some() && form(&version.text) == wanted
    };
    Ok(history.into_iter().rev().find(same))
}

/// Checks a schema: what is taken must also be read later, by the library that decodes rows. Only
/// the verdict is used, never the library's own text of the schema.
fn valid(reader: &Connection, sent: Sent) -> Result<Answer<Read>> {
    let needed = match reference::needed(reader, &sent.references)? {
        Ok(needed) => needed,
        Err(why) => return Ok(Err(Problem::InvalidSchema(why))),
    };
    let shape = match shape::parse_with(&sent.text, &needed) {
        Ok(shape) => shape,
        Err(why) => return Ok(Err(Problem::InvalidSchema(why))),
    };
    let whole = reference::whole(&sent.text, &needed);
    if let Err(error) = apache_avro::Schema::parse_str(&whole)
        && !shape.is_bare_primitive()
    {
        return Ok(Err(Problem::InvalidSchema(error.to_string())));
    }
    let text = if sent.normalize { normal::normalize(&sent.text) } else { sent.text };
    Ok(Ok(Read { shape, text, references: sent.references, normalize: sent.normalize }))
}
