//! Whether progress can be stored, and what is stored.

use super::{FileOffsets, KafkaOffsets, OffsetStore};
use crate::config::Config;
use crate::config::offset::{OffsetConfig, OffsetKind};
use crate::model::finding::Finding;
use crate::model::position::Position;
use shared::error::{Kind, Result};
use std::path::Path;
use tokio::runtime::Handle;

const ABOUT: &str = "offset";
/// A position takes a few hundred bytes; a snapshot of many tables a few hundred thousand.
const ROOM_BYTES: u64 = 16 * 1024 * 1024;

/// Makes nothing: a topic that is missing is told.
pub fn check(config: &Config, runtime: &Handle) -> (Vec<Finding>, Option<Position>) {
    let mut findings = Vec::new();
    let stored = match config.offset.kind {
        OffsetKind::File => {
            findings.push(folder(&config.offset));
            FileOffsets::new(&config.offset.path, &config.offset.connector, &config.event.topic_prefix).load()
        }
        OffsetKind::Kafka => topic(config, runtime, &mut findings),
    };
    match stored {
        Ok(Some(position)) => {
            findings.push(Finding::ok(ABOUT, format!("the stored position is {}", position.lsn())));
            (findings, Some(position))
        }
        Ok(None) => {
            findings.push(Finding::ok(ABOUT, "no position is stored: it begins at the beginning"));
            (findings, None)
        }
        Err(error) => {
            findings.push(Finding::from_error(ABOUT, &error));
            (findings, None)
        }
    }
}

fn topic(config: &Config, runtime: &Handle, findings: &mut Vec<Finding>) -> Result<Option<Position>> {
    let server = &config.event.topic_prefix;
    let mut topic = KafkaOffsets::existing(&config.offset, &config.sink.kafka, server, runtime.clone())?;
    match topic.load() {
        Err(error) if error.kind() == Kind::Config => {
            findings.push(Finding::warn(
                ABOUT,
                format!("topic {} is not there: starting will make it", config.offset.topic),
                "if a position of Debezium's should be there, set offset.topic to the worker's offset.storage.topic",
            ));
            Ok(None)
        }
        loaded => {
            findings.push(topic.compacted());
            loaded
        }
    }
}

fn folder(config: &OffsetConfig) -> Finding {
    let folder =
        config.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = folder.display();
    // The file is replaced as a whole, so the folder is what must be writable.
    let writable = rustix::fs::access(folder, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK);
    match (writable, rustix::fs::statvfs(folder)) {
        (Err(error), _) => Finding::error(
            ABOUT,
            format!("progress cannot be stored in {name}: {error}"),
            "make the folder, writable for this user, or set offset.path",
        ),
        (Ok(()), Ok(disk)) if disk.f_bavail.saturating_mul(disk.f_frsize) < ROOM_BYTES => Finding::error(
            ABOUT,
            format!("the disk of {name} is full"),
            "make room, or set offset.path to a folder on another disk",
        ),
        (Ok(()), _) => Finding::ok(ABOUT, format!("progress is stored in {}", config.path.display())),
    }
}
