//! The door against the protocol crate, and against real clients.
