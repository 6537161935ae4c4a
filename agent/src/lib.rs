//! Tidegate's agent: keeps what producers send, judges it, turns it into features, brings them home.
//!
//! ```text
//!  producers ─> ingest ─> buffer ─> decode ─> gate ─┬─> feature ─> store ─> sync ─> Redis
//!                                                   │                └─ serve (local reads)
//!                                                   └─> quarantine
//! ```
//!
//! The modules stand in reading order, which is also the order of dependence.

pub mod model;
pub mod config;
pub mod decode;
pub mod metrics;
pub mod db;
pub mod feature;
