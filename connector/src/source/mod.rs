//! Databases → [`Change`](crate::model::change::Change)s in commit order, and back the position that is durable.
//!
//! One source runs on one OS thread that the pipeline owns. It reads, decodes in place and hands
//! each row over as borrowed values; no channel and no allocation stand between the socket and the
//! encoder.

pub mod postgres;
