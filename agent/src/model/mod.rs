//! The nouns that cross doorways between rooms; no I/O.
//!
//! | noun | made by | taken by |
//! | --- | --- | --- |
//! | [`batch::Head`] | ingest | buffer |
//! | [`batch::Batch`] | buffer | decode, ingest (to be read back) |

pub mod batch;
