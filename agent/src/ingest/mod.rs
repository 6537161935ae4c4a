//! Ways in: what is sent, fetched or found goes into the log, and its sender is told yes after the commit.

pub mod avro;
pub mod batch;
pub mod consume;
pub mod door;
pub mod file;
pub mod push;
