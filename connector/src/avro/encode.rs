//! Plan and record → bytes: the hot loop. Appends to buffers that are used again, so that a row
//! costs no allocation once the widest was seen. Pure.

use super::bytes::put_bytes;
use super::fault::Fault;
use super::form::{self, FIRST, SECOND, Scratch};
use super::plan::{Part, Plan};
use super::schema::{POSTGRES_SOURCE, SourceField};
use crate::model::record::Envelope;
use crate::model::value::{Row, Value};
use shared::avro::wire::put_long;

/// Which value could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Column of the table.
    Column(usize),
    Source,
}

/// Writes a key with its schema's prefix.
pub fn key(
    out: &mut Vec<u8>,
    part: &Part,
    row: Row<'_>,
    scratch: &mut Scratch,
) -> Result<(), (Place, Fault)> {
    out.clear();
    out.extend_from_slice(&part.prefix);
    part.put(out, row, scratch).map_err(in_column)
}

/// Writes an envelope with its schema's prefix.
pub fn value(
    out: &mut Vec<u8>,
    plan: &Plan,
    envelope: &Envelope<'_>,
    scratch: &mut Scratch,
) -> Result<(), (Place, Fault)> {
    out.clear();
    out.extend_from_slice(&plan.value.prefix);
    for row in [envelope.before, envelope.after] {
        match row {
            Some(row) => {
                out.push(SECOND);
                plan.value.put(out, row, scratch).map_err(in_column)?;
            }
            None => out.push(FIRST),
        }
    }
    source(out, &POSTGRES_SOURCE, envelope.source, scratch).map_err(|fault| (Place::Source, fault))?;
    // No transaction block.
    out.push(FIRST);
    put_bytes(out, envelope.op.code().as_bytes());
    let time = envelope.time;
    for number in [time.millis(), time.micros(), time.nanos()] {
        out.push(SECOND);
        put_long(out, number);
    }
    Ok(())
}

fn in_column((column, fault): (usize, Fault)) -> (Place, Fault) {
    (Place::Column(column), fault)
}

fn source(
    out: &mut Vec<u8>,
    fields: &[SourceField],
    row: Row<'_>,
    scratch: &mut Scratch,
) -> Result<(), Fault> {
    if row.len() != fields.len() {
        return Err(Fault::Missing);
    }
    for (field, value) in fields.iter().zip(row) {
        match (value, field.present) {
            (Value::Null, Some(SECOND)) => out.push(FIRST),
            (Value::Null, Some(_)) => out.push(SECOND),
            (value, present) => {
                out.extend(present);
                form::put(out, field.form, value, scratch)?;
            }
        }
    }
    Ok(())
}
