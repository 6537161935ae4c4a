//! The edge agent: what producers send is made durable first, then judged, turned into features
//! and brought to the centre.
//!
//! ```text
//! Kafka producers ─> ingest ─> buffer ─> decode ─> gate ─┬─> feature ─> store ─> sync ─> Redis
//! central Kafka ───┘ registry │ (schemas)                │                └─ serve (local reads)
//!                             └─> forward ─> centre      └─> quarantine
//!                    db: one SQLite file under all of it
//! ```
//!
//! The lines below are in reading order, which is also dependency order.

pub mod model;

pub mod config;
pub mod metrics;

pub mod db;

pub mod web;

pub mod registry;

pub mod buffer;

pub mod ingest;

pub mod decode;

pub mod forward;

pub mod gate;

pub mod feature;

pub mod store;

pub mod slo;

pub mod sync;

pub mod pipeline;

pub mod training;

pub mod admin;

pub mod terminal;

pub mod cli;

#[cfg(any(test, fuzzing))]
pub mod fuzz;
