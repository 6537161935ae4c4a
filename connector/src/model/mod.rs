//! The nouns that cross doorways. No I/O, no clock, no serde.
//!
//! | noun | made by | taken by |
//! |---|---|---|
//! | [`value::Value`] | `source` | `event`, `avro` |
//! | [`table::Table`] | `source` | `event`, `avro` |
//! | [`change::Change`] | `source` | `event` |
//! | [`schema::Schema`] | `event`, `transform` | `avro` |
//! | [`record::Record`] | `event`, `transform` | `avro` |
//! | [`encoded::Encoded`] | `avro` | `sink` |
//! | [`refusal::Refusal`] | `source`, `pipeline` | `encode`: what could not be converted |
//! | [`position::Position`] | `source` | `offset`, and back to `source` to confirm |
//! | [`progress::SnapshotProgress`] | `source` | `offset`, and back to `source` at start |
//! | [`key_cell::KeyCell`] | `source`, `offset` | `source`: where an incremental snapshot goes on |
//! | [`request::Request`] | `signal` | `source` |
//! | [`notice::Notice`] | `source` | `event` |
//! | [`finding::Finding`] | `source`, `pipeline` | `cli` |

pub mod change;
pub mod encoded;
pub mod finding;
pub mod notice;
pub mod key_cell;
pub mod position;
pub mod progress;
pub mod record;
pub mod refusal;
pub mod request;
pub mod schema;
pub mod table;
pub mod value;
