//! Bytes → outside. One sink stands: Kafka, or whatever speaks its protocol.

mod kafka;
mod report;

pub use kafka::Kafka;
