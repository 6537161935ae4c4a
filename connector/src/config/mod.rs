//! What the operator may set: one file per room.

pub mod snapshot;
pub mod source;
