//! Avro in Confluent's wire format.
//!
//! ```text
//!  Schema ── schema ──> text ── subject ──> id ┐
//!    └──────── form ──> steps ─────────────────┴─ plan ── put(value) ──> bytes
//! ```
//!
//! The left side runs once per schema and topic, the last arrow once per record.

mod bytes;
pub mod decimal;
pub mod form;
mod plan;
mod plans;
mod schema;
mod side;
mod subject;
mod warm;

#[cfg(any(test, fuzzing))]
pub mod fuzz;

pub use form::Scratch;
pub use side::Side;
pub use subject::Subjects;

use crate::connect::Fault;
use crate::model::record::Datum;
use plan::Path;
use shared::error::{Error, Kind};

/// A buffer that a huge row has made larger than this is given back once a row needs little of it: while
/// huge ones follow one another, it is kept.
const KEPT_BYTES: usize = 1024 * 1024;

/// Whether a buffer is much larger than its last content.
fn wasteful(capacity: usize, used: usize) -> bool {
    capacity > KEPT_BYTES && used < capacity / 4
}

/// `path` names the field, the innermost first.
fn refused(topic: &str, datum: Datum<'_>, path: &Path, fault: Fault) -> Error {
    let mut schema = datum.schema;
    let mut names = Vec::new();
    for at in path.iter().rev() {
        let Some(field) = schema.fields().get(*at) else { break };
        names.push(field.name.as_str());
        schema = &field.schema;
    }
    let error = Error::new(Kind::Data, fault.text());
    let error = error.doing(format!("write column {} in topic {topic}", names.join(".")));
    match fault {
        Fault::Unavailable => error.remedy("ALTER TABLE … REPLICA IDENTITY FULL sends such values"),
        _ => error,
    }
}
