//! Taking a position over from Debezium, and handing it back: `offset import` and `offset export`.
//!
//! ```text
//!  Connect's topic, a worker's file, JSON ──import──> [offset] ──export──> Connect's topic, a worker's file
//! ```

use super::java_map;
use super::{FileOffsets, KafkaOffsets, OffsetStore, as_stored, format, open};
use crate::config::Config;
use crate::config::offset::OffsetKind;
use crate::model::position::{Position, SnapshotState};
use serde_json::Value;
use shared::error::{Context, Error, Kind, OrKind, Result};
use std::fmt;
use std::path::Path;
use tokio::runtime::Handle;

/// What was done, for people.
#[derive(Debug)]
pub struct Transfer {
    /// As it is stored.
    position: String,
    from: String,
    to: String,
    /// What whoever goes on from there must know.
    notes: Vec<String>,
}

impl fmt::Display for Transfer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\nfrom {}\nto   {}", self.position, self.from, self.to)?;
        self.notes.iter().try_for_each(|note| writeln!(f, "note: {note}"))
    }
}

/// Hands the stored position to Debezium: into `to`, a file in Java's form, or else into Connect's topic.
///
/// # Errors
/// `Lost` if there is no position.
pub fn export(config: &Config, runtime: &Handle, to: Option<&Path>) -> Result<Transfer> {
    let mut own = open(config, runtime.clone())?;
    let position =
        own.load()?.ok_or_else(|| Error::new(Kind::Lost, "no position is stored")).doing(|| own.place())?;
    let mut notes = on_export(&position);
    let mut target: Box<dyn OffsetStore> = match (to, config.offset.kind) {
        (Some(path), _) => {
            Box::new(FileOffsets::java(path, &config.offset.connector, &config.event.topic_prefix))
        }
        (None, OffsetKind::File) => Box::new(connect_topic(config, runtime)?),
        (None, OffsetKind::Kafka) => {
            notes.push("it was there already; it is now surely a boundary between transactions".to_owned());
            open(config, runtime.clone())?
        }
    };
    // A file's other entries stay, and a topic must be there.
    let before = target.load()?;
    target.save(&position)?;
    notes.extend(replaced(before.as_ref(), &position));
    Ok(Transfer { position: as_stored(&position), from: own.place(), to: target.place(), notes })
}

/// Takes a position of Debezium's: from `from`, a file in Java's form or JSON, or else from Connect's topic.
///
/// # Errors
/// `Lost` if there is none.
pub fn import(config: &Config, runtime: &Handle, from: Option<&Path>) -> Result<Transfer> {
    let (found, place) = match from {
        Some(path) => (from_file(config, path)?, format!("file {}", path.display())),
        None => {
            let mut topic = connect_topic(config, runtime)?;
            (topic.load()?, topic.place())
        }
    };
    let position = found.ok_or_else(|| {
        let key = format::key(&config.offset.connector, &config.event.topic_prefix);
        Error::new(Kind::Lost, format!("{place} has no position of {key}"))
            .remedy("set offset.connector to the connector's name and event.topic_prefix to its topic.prefix")
    })?;
    let mut own = open(config, runtime.clone())?;
    // What cannot be read is what this is to replace.
    let before = own.load().unwrap_or_default();
    own.save(&position)?;
    let notes = replaced(before.as_ref(), &position).into_iter().collect();
    Ok(Transfer { position: as_stored(&position), from: place, to: own.place(), notes })
}

fn connect_topic(config: &Config, runtime: &Handle) -> Result<KafkaOffsets> {
    KafkaOffsets::existing(&config.offset, &config.sink.kafka, &config.event.topic_prefix, runtime.clone())
}

fn from_file(config: &Config, path: &Path) -> Result<Option<Position>> {
    let doing = || format!("read {}", path.display());
    let content = std::fs::read(path).or_kind(Kind::Config).doing(doing)?;
    if java_map::is_java(&content) {
        return FileOffsets::new(path, &config.offset.connector, &config.event.topic_prefix).load();
    }
    let document: Value = serde_json::from_slice(&content).or_kind(Kind::Lost).doing(doing)?;
    match offset_of(&document, &config.event.topic_prefix) {
        Some(offset) => format::position(offset.to_string().as_bytes()).map(Some).doing(doing),
        None => FileOffsets::new(path, &config.offset.connector, &config.event.topic_prefix).load(),
    }
}

/// The offset of `server` as Connect's REST interface shows it (`GET /connectors/NAME/offsets`), or an
/// offset by itself.
fn offset_of<'a>(document: &'a Value, server: &str) -> Option<&'a Value> {
    let list = document.get("offsets").and_then(Value::as_array);
    let listed = list
        .into_iter()
        .flatten()
        .find(|entry| entry.pointer("/partition/server").and_then(Value::as_str) == Some(server));
    listed.and_then(|entry| entry.get("offset")).or_else(|| document.get("lsn").map(|_| document))
}

/// What Debezium will do that is not simply to go on.
fn on_export(position: &Position) -> Vec<String> {
    let Position::Postgres(position) = position;
    let mut notes = Vec::new();
    if position.snapshot == Some(SnapshotState::Running) {
        notes.push("the initial snapshot is not finished: Debezium begins it anew".to_owned());
    } else if position.progress.is_some() {
        notes.push("changes that the snapshot has seen already come once more".to_owned());
    }
    if let Some(incremental) = &position.incremental {
        let tables = incremental.collections.len();
        notes.push(format!("an incremental snapshot goes on, with {tables} tables to read"));
    }
    notes
}

fn replaced(before: Option<&Position>, position: &Position) -> Option<String> {
    let before = before.filter(|before| before.lsn() != position.lsn())?;
    let again = if before.lsn() > position.lsn() { "; what lies between comes again" } else { "" };
    Some(format!("it replaces the position {}{again}", before.lsn()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_offset_is_found_in_what_connect_shows_and_by_itself() {
        let offset = json!({"lsn": 7, "lsn_commit": 7});
        let shown = json!({"offsets": [
            {"partition": {"server": "plant"}, "offset": {"lsn": 1}},
            {"partition": {"server": "shop"}, "offset": offset},
        ]});
        assert_eq!(offset_of(&shown, "shop"), Some(&offset));
        assert_eq!(offset_of(&shown, "other"), None);
        assert_eq!(offset_of(&offset, "shop"), Some(&offset));
        assert_eq!(offset_of(&json!({"key": 1, "value": offset}), "shop"), None);
    }
}
