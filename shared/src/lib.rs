//! What both Tidegate programs need and neither owns.
//!
//! A module may live here only if both programs use it today, it names nothing of either
//! domain (no change, table, row, feature, gate), it would work in a third program unchanged,
//! and it has one reason to change. No feature flags, no global state except log and metrics
//! start-up, and nothing is spawned except by the admin server.
//!
//! The lines below are in reading order, which is also dependency order.

pub mod error;
pub mod secret;
pub mod time;
pub mod durable;
pub mod retry;
pub mod shutdown;
pub mod config;
pub mod log;
pub mod metrics;
pub mod tls;
pub mod avro;
pub mod kafka;
pub mod registry;
pub mod admin;

pub use error::{Error, Kind, Result};
