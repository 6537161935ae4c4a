//! What the operator may set; one file per room.

pub mod buffer;
pub mod db;
pub mod door;
pub mod registry;
