//! What may be forgotten: acknowledgements become positions, positions are stored.
//!
//! Formats are Kafka Connect's and Debezium's, so that either can take over from the other.

mod tracker;

mod progress;

mod java;
mod key;
mod incremental;
mod java_map;
mod format;
mod file;
mod kafka;
mod check;
pub mod transfer;

#[cfg(any(test, fuzzing))]
pub mod fuzz;

pub use check::check;
pub use file::FileOffsets;
pub use kafka::KafkaOffsets;
pub use tracker::Tracker;

use crate::config::Config;
use crate::config::offset::OffsetKind;
use crate::model::position::Position;
use shared::error::Result;

/// A position in the form in which it is stored.
pub fn as_stored(position: &Position) -> String {
    format::value(position).to_string()
}

/// Reads [`as_stored`], and whatever Debezium stores.
///
/// # Errors
/// `Lost` when it names no position.
pub fn from_stored(stored: &[u8]) -> Result<Position> {
    format::position(stored)
}

/// A stored position as a message of Kafka's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub topic: String,
    pub key: Vec<u8>,
    pub value: Vec<u8>,
}

/// Where progress is kept.
pub trait OffsetStore {
    /// The stored position; `None` if there has never been one.
    ///
    /// # Errors
    /// `Lost` if what is stored cannot be read; `Config` if it is another connector's.
    fn load(&mut self) -> Result<Option<Position>>;

    /// Stores a position durably before it returns.
    fn save(&mut self, position: &Position) -> Result<()>;

    /// What it is, for people: `topic connect-offsets`.
    fn place(&self) -> String;

    /// The Kafka message that stores it, for a sink that stores it together with records; `None` if this
    /// store is not Kafka.
    fn message(&self, position: &Position) -> Option<Message> {
        let _ = position;
        None
    }
}

/// The store that the configuration names. `runtime` runs the calls that make a topic; `load` and
/// `save` wait, so they must not be called from a task of that runtime.
pub fn open(config: &Config, runtime: tokio::runtime::Handle) -> Result<Box<dyn OffsetStore + Send>> {
    let (connector, server) = (&config.offset.connector, &config.event.topic_prefix);
    Ok(match config.offset.kind {
        OffsetKind::File => Box::new(FileOffsets::new(&config.offset.path, connector, server)),
        OffsetKind::Kafka => {
            Box::new(KafkaOffsets::new(&config.offset, &config.sink.kafka, server, runtime)?)
        }
    })
}
