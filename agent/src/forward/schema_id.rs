//! Local schema id → central schema id.
//!
//! A schema is registered at the central registry, under its own subject and with its own text, when a
//! record needs it first, and before it what it refers to; what belongs together is kept in the file. An id that the local registry does
//! not know is never guessed at. This room's table: `forward_schema`.

use super::reference;
use crate::db::{Db, OrDb};
use crate::metrics;
use rusqlite::{Connection, params};
use shared::avro::wire::SchemaId;
use shared::error::{Context, Error, Kind, Result};
use shared::registry::{Reference, Registry};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::runtime::Handle;

/// What the local registry knows of a schema.
pub struct Schema {
    pub text: Arc<str>,
    /// Those that it is registered under.
    pub subjects: Vec<String>,
    /// Types that it takes from other subjects, by local versions.
    pub references: Vec<Reference>,
}

/// What the local registry is asked for.
#[derive(Clone, Copy, Debug)]
pub enum Asked<'a> {
    Id(SchemaId),
    /// A version of a subject, one deleted softly too.
    Version(&'a str, u32),
}

/// Asks the local registry; `None` if it does not know the schema.
pub type Known = Box<dyn Fn(Asked<'_>) -> Result<Option<Schema>> + Send>;

/// Which part of a record an id stands in front of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    Key,
    Value,
}

type Pairs = HashMap<String, HashMap<SchemaId, SchemaId>>;

pub struct Schemas {
    db: Db,
    central: Registry,
    /// Names the central registry in the file.
    address: String,
    known: Known,
    /// Subject → local id → central id.
    pairs: Pairs,
}

impl Schemas {
    pub fn open(db: &Db, central: Registry, address: String, known: Known) -> Result<Schemas> {
        let pairs = load(&db.reader()?, &address).doing(|| "read the paired schemas")?;
        Ok(Schemas { db: db.clone(), central, address, known, pairs })
    }

    /// The central id for a local one of this topic's keys or values.
    ///
    /// # Errors
    /// `Unreachable`: the registry is away. `Data`: the local registry does not know the id. `Rejected`,
    /// `Denied`: in the central registry's own words.
    pub fn central(
        &mut self,
        topic: &str,
        role: Role,
        local: SchemaId,
        runtime: &Handle,
    ) -> Result<SchemaId> {
        let schema = (self.known)(Asked::Id(local))?.filter(|schema| !schema.subjects.is_empty());
        let schema = schema.ok_or_else(|| unknown(topic, role, local))?;
        let mut found = None;
        for subject in subjects(topic, role, &schema.subjects) {
            let central = match self.pairs.get(subject).and_then(|pairs| pairs.get(&local)) {
                Some(central) => *central,
                None => self.pair(subject, local, &schema, runtime)?,
            };
            if found.is_some_and(|other| other != central) {
                let what =
                    format!("schema {local} has different ids under the subjects {:?}", schema.subjects);
                return Err(Error::new(Kind::Data, what)
                    .remedy("which of them the records mean cannot be known: name subjects by topic"));
            }
            found = Some(central);
        }
        found.ok_or_else(|| unknown(topic, role, local))
    }

    fn pair(
        &mut self,
        subject: &str,
        local: SchemaId,
        schema: &Schema,
        runtime: &Handle,
    ) -> Result<SchemaId> {
        let references = reference::central(&self.central, &self.known, &schema.references, runtime)?;
        let central = runtime.block_on(self.central.register_with(subject, &schema.text, &references))?;
        let (address, owned) = (self.address.clone(), subject.to_owned());
        self.db.write(move |tx| {
            tx.execute(
                "INSERT OR REPLACE INTO forward_schema (registry, subject, local, central)
                 VALUES (?, ?, ?, ?)",
                params![address, owned, local.0, central.0],
            )
            .map(drop)
            .or_db("store a pair of schema ids")
        })?;
        metrics::FORWARD_SCHEMAS.inc();
        tracing::info!(
            event = "forward_schema_paired",
            subject,
            local = local.0,
            central = central.0,
            "a local schema is known at the centre"
        );
        self.pairs.entry(subject.to_owned()).or_default().insert(local, central);
        Ok(central)
    }
}

/// The topic's own subject if it is among them, else those that begin with the topic's name, else all.
fn subjects<'a>(topic: &str, role: Role, known: &'a [String]) -> Vec<&'a str> {
    let own = match role {
        Role::Key => format!("{topic}-key"),
        Role::Value => format!("{topic}-value"),
    };
    let with = |fits: &dyn Fn(&str) -> bool| {
        known.iter().map(String::as_str).filter(|subject| fits(subject)).collect::<Vec<_>>()
    };
    let prefix = format!("{topic}-");
    [with(&|subject| subject == own), with(&|subject| subject.starts_with(&prefix))]
        .into_iter()
        .find(|found| !found.is_empty())
        .unwrap_or_else(|| with(&|_| true))
}

fn unknown(topic: &str, role: Role, id: SchemaId) -> Error {
    let (part, option) = match role {
        Role::Key => ("key", "forward.plain_keys"),
        Role::Value => ("value", "forward.plain"),
    };
    let what = format!("a {part} has schema id {id}, which the local registry does not know");
    Error::new(Kind::Data, what).remedy(format!(
        "its producer must use the agent's registry; if its {part}s only begin with a zero byte by chance, add \
         {topic} to {option}"
    ))
}

fn load(reader: &Connection, address: &str) -> Result<Pairs> {
    let mut pairs = Pairs::new();
    let mut read = || -> rusqlite::Result<()> {
        let mut statement =
            reader.prepare("SELECT subject, local, central FROM forward_schema WHERE registry = ?")?;
        let mut rows = statement.query([address])?;
        while let Some(row) = rows.next()? {
            let of_subject = pairs.entry(row.get(0)?).or_default();
            of_subject.insert(SchemaId(row.get(1)?), SchemaId(row.get(2)?));
        }
        Ok(())
    };
    read().or_db("read pairs of schema ids")?;
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subject_of_an_id() {
        for (known, role, want) in [
            (&["a-value", "b-value"][..], Role::Value, &["a-value"][..]),
            (&["a-value", "a-key"], Role::Key, &["a-key"]),
            (&["a-com.Record", "b-com.Record"], Role::Value, &["a-com.Record"]),
            (&["com.Record"], Role::Value, &["com.Record"]),
            (&["x", "y"], Role::Value, &["x", "y"]),
            (&[], Role::Key, &[]),
        ] {
            let known: Vec<String> = known.iter().map(|s| (*s).to_owned()).collect();
            assert_eq!(subjects("a", role, &known), want, "{known:?}");
        }
    }
}
