//! The nouns that cross doorways between the agent's rooms. No I/O, no clock.
//!
//! | noun | made by | taken by |
//! | --- | --- | --- |
//! | [`shared::kafka::batch::Head`] | ingest | buffer |
//! | [`batch::Batch`] | buffer | decode, forward, ingest (to be read back) |
//! | [`row::Row`] | decode | gate, feature |
//! | [`verdict::Reason`] | decode, gate, feature | quarantine |
//! | [`feature::FeatureRow`] | feature | store, sync |

pub mod batch;
pub mod compression;
pub mod decimal;
pub mod feature;
pub mod pack;
pub mod row;
pub mod value;
pub mod verdict;
pub mod watch;
