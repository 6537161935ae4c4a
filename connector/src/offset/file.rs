//! Progress in a local file, replaced as a whole so that a power cut leaves the old or the new.
//!
//! The file is ours (JSON) or Java's, as Kafka Connect's standalone worker and Debezium Server keep it;
//! it stays what it was. Java's may hold others' progress too, which is left as it is.

use super::{OffsetStore, format, java_map};
use crate::metrics;
use crate::model::position::Position;
use serde_json::{Value, json};
use shared::error::{Context, Error, Kind, Result};
use std::path::{Path, PathBuf};

/// Our form is `{"key": ["name", {"server": "prefix"}], "value": {…}}`.
#[derive(Debug)]
pub struct FileOffsets {
    path: PathBuf,
    key: String,
    form: Form,
    /// What was last read or written under our key, in Java's form.
    known: Option<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Json,
    Java,
}

impl FileOffsets {
    /// `connector` and `server` (the topic prefix) name whose progress it is.
    pub fn new(path: &Path, connector: &str, server: &str) -> Self {
        let key = format::key(connector, server);
        FileOffsets { path: path.to_owned(), key, form: Form::Json, known: None }
    }

    /// A new file will be in Java's form.
    pub fn java(path: &Path, connector: &str, server: &str) -> Self {
        FileOffsets { form: Form::Java, ..FileOffsets::new(path, connector, server) }
    }

    pub(super) fn parse(&mut self, content: &[u8]) -> Result<Option<Position>> {
        if java_map::is_java(content) {
            self.form = Form::Java;
            let entries = java_map::read(content)?;
            self.known = format::ours(&entries, &self.key).and_then(|at| entries.get(at)?.1.clone());
            return self.known.as_deref().map(format::position).transpose();
        }
        self.form = Form::Json;
        let lost = || Error::new(Kind::Lost, "it does not hold a position");
        let document: Value = serde_json::from_slice(content).map_err(|_| lost())?;
        let key = document.get("key").ok_or_else(lost)?.to_string();
        if !format::is_key(key.as_bytes(), &self.key) {
            return Err(Error::new(Kind::Config, format!("it belongs to {key}, not to {}", self.key))
                .remedy("give each connector its own offset.path, or set offset.connector and event.topic_prefix back"));
        }
        format::position(document.get("value").ok_or_else(lost)?.to_string().as_bytes()).map(Some)
    }

    fn read(&self) -> Result<Option<Vec<u8>>> {
        match std::fs::read(&self.path) {
            Ok(content) => Ok(Some(content)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::from_source(Kind::Config, error)),
        }
    }

    /// The whole file with our entry replaced. A worker that runs keeps all entries in memory and would
    /// write over ours, so an entry that somebody else changed is an error.
    fn replaced(&mut self, value: Vec<u8>) -> Result<Vec<u8>> {
        let content = self.read()?;
        let mut entries = content.as_deref().map_or(Ok(Vec::new()), java_map::read)?;
        let at = format::ours(&entries, &self.key);
        let found = at.and_then(|at| entries.get_mut(at));
        if found.as_ref().and_then(|(_, found)| found.as_ref()) != self.known.as_ref() {
            return Err(Error::new(Kind::Config, "another program writes there as well")
                .remedy("stop the Java worker whose file it is, or run `offset import --from` it into a file of our own"));
        }
        self.known = Some(value.clone());
        match found {
            Some((_, old)) => *old = Some(value),
            None => entries.push((self.key.clone().into_bytes(), Some(value))),
        }
        Ok(java_map::write(&entries))
    }
}

impl OffsetStore for FileOffsets {
    fn load(&mut self) -> Result<Option<Position>> {
        let place = self.place();
        let content = self.read();
        let position = content.and_then(|content| content.map_or(Ok(None), |content| self.parse(&content)));
        position.doing(|| format!("read {place}"))
    }

    fn save(&mut self, position: &Position) -> Result<()> {
        let (place, value) = (self.place(), format::value(position));
        let content = match self.form {
            Form::Json => {
                let key: Value = serde_json::from_str(&self.key).unwrap_or_default();
                format!("{}\n", json!({ "key": key, "value": value })).into_bytes()
            }
            Form::Java => self.replaced(value.to_string().into_bytes()).doing(|| format!("write {place}"))?,
        };
        shared::durable::write(&self.path, &content)?;
        metrics::OFFSET_SAVES.inc();
        Ok(())
    }

    fn place(&self) -> String {
        format!("file {}", self.path.display())
    }
}

#[cfg(test)]
mod tests;
