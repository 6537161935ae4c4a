//! Central schema id → local schema id: the five bytes in front of keys and values are rewritten.
//!
//! A schema is fetched from the central registry once and registered in the local one, after what it refers to;
//! what belongs together is kept in the file, so that the centre may be away at the next start. This room's
//! table: `consume_schema`.

use super::reference;
use crate::db::{Db, OrDb};
use crate::ingest::batch::Message;
use crate::metrics;
use rusqlite::{Connection, params};
use shared::avro::wire::{self, SchemaId};
use shared::error::{Context, Error, Kind, Result};
use shared::registry::{Registered, Registry, Schema};
use std::collections::HashMap;
use tokio::runtime::Handle;

/// Registers a schema under a subject of the local registry.
pub type Adopt = Box<dyn Fn(&str, &Schema) -> Result<Registered> + Send>;

pub struct Schemas {
    db: Db,
    central: Registry,
    /// Names the central registry in the file.
    address: String,
    adopt: Adopt,
    /// Subject → central id → local id.
    known: HashMap<String, HashMap<SchemaId, SchemaId>>,
}

impl Schemas {
    pub fn open(db: &Db, central: Registry, address: String, adopt: Adopt) -> Result<Schemas> {
        let known = load(&db.reader()?, &address).doing(|| "read the paired schemas")?;
        Ok(Schemas { db: db.clone(), central, address, adopt, known })
    }

    /// The message with its local id; as it is, if it has no prefix.
    ///
    /// # Errors
    /// `Unreachable`: the registry is away. Others: this schema cannot be had, and trying again needs
    /// somebody to mend it.
    pub fn translate<'a>(
        &mut self,
        subject: &str,
        message: &'a [u8],
        runtime: &Handle,
    ) -> Result<Message<'a>> {
        let Some((central, rest)) = wire::split(message) else { return Ok(Message::plain(message)) };
        let local = match self.known.get(subject).and_then(|known| known.get(&central)) {
            Some(local) => *local,
            None => self.pair(subject, central, runtime)?,
        };
        Ok(Message::framed(local, rest))
    }

    fn pair(&mut self, subject: &str, central: SchemaId, runtime: &Handle) -> Result<SchemaId> {
        let found =
            runtime.block_on(self.central.schema(central)).map_err(|error| unknown(central, error))?;
        let doing = || format!("register the central schema {central} under subject {subject}");
        let references = reference::local(&self.central, &self.adopt, &found.references, runtime);
        let schema = Schema { text: found.text, references: references.doing(doing)? };
        let local = (self.adopt)(subject, &schema).doing(doing)?.id;
        let (address, owned) = (self.address.clone(), subject.to_owned());
        self.db.write(move |tx| {
            tx.execute(
                "INSERT OR REPLACE INTO consume_schema (registry, subject, central, local)
                 VALUES (?, ?, ?, ?)",
                params![address, owned, central.0, local.0],
            )
            .map(drop)
            .or_db("store a pair of schema ids")
        })?;
        metrics::CONSUME_SCHEMAS.inc();
        tracing::info!(
            event = "consume_schema_paired",
            subject,
            central = central.0,
            local = local.0,
            "a schema of the centre is known here"
        );
        self.known.entry(subject.to_owned()).or_default().insert(central, local);
        Ok(local)
    }
}

/// An id that the registry does not know is not a client's mistake here.
fn unknown(id: SchemaId, error: Error) -> Error {
    match error.kind() {
        Kind::Rejected => Error::new(Kind::Rejected, format!("the central registry has no schema {id}: {error}"))
            .remedy("is consume.registry the one that the producers use? or do the records begin with a zero byte by chance?"),
        _ => error,
    }
}

type Known = HashMap<String, HashMap<SchemaId, SchemaId>>;

fn load(reader: &Connection, address: &str) -> Result<Known> {
    let mut known = Known::new();
    let mut read = || -> rusqlite::Result<()> {
        let mut statement =
            reader.prepare("SELECT subject, central, local FROM consume_schema WHERE registry = ?")?;
        let mut rows = statement.query([address])?;
        while let Some(row) = rows.next()? {
            let pairs = known.entry(row.get(0)?).or_default();
            pairs.insert(SchemaId(row.get(1)?), SchemaId(row.get(2)?));
        }
        Ok(())
    };
    read().or_db("read pairs of schema ids")?;
    Ok(known)
}
