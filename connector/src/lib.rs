//! tidegate-connector: a database's changes as Avro records on Kafka, as Debezium writes them.
//!
//! ```text
//!              signal ───────────────┐  pause, resume, snapshot these tables
//!                                    v
//!  database ─> source ─> event ─> transform ─> encode ─> sink ─> Kafka
//!               │   ^     envelope               plan     │
//!      snapshot ┘   │     topic                  encode   │ acks, in order
//!                   │                                     v
//!                   └────────────── confirm ────────── offset
//! ```
//!
//! The lines below are in reading order, which is also dependency order: a module uses only
//! modules listed above it. Rooms do not know each other; only `pipeline` knows all.

pub mod model;

pub mod config;
pub mod metrics;

mod connect;

pub mod snapshot;
pub mod source;

pub mod signal;

pub mod event;

pub mod transform;

pub mod encode;

pub mod sink;

pub mod offset;

pub mod pipeline;

mod admin;
mod terminal;

pub mod cli;

#[cfg(any(test, fuzzing))]
pub mod fuzz;

#[cfg(test)]
mod cost;
