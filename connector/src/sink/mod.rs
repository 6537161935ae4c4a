//! Bytes → outside. One sink stands: Kafka, or whatever speaks its protocol.

mod kafka;
mod report;
mod topics;

pub use kafka::Kafka;
pub use topics::Topics;
