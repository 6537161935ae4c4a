//! A tuple's or a copied row's bytes → values, in a row buffer that is used again.

use super::copy::CopyRow;
use super::cursor::Malformed;
use super::pgoutput::{Cell, Tuple};
use super::relation::Relation;
use crate::model::refusal::{RawCell, RawContent};
use crate::model::value::Value;
use bumpalo::Bump;
use shared::{Error, Kind, Result};

/// Decodes a streamed tuple behind what `row` holds.
#[inline]
pub fn decode_tuple<'a>(
    relation: &Relation,
    tuple: Tuple<'a>,
    arena: &'a Bump,
    row: &mut Vec<Value<'a>>,
) -> Result<()> {
    if tuple.len() != relation.decoders.len() {
        return Err(wrong_width(relation));
    }
    for (cell, decoder) in tuple.cells().zip(&relation.decoders) {
        let Some(decoder) = decoder else { continue };
        let value = match cell {
            Ok(Cell::Text(text)) => decoder.decode(text, arena),
            Ok(Cell::Null) => Ok(Value::Null),
            Ok(Cell::Unchanged) => Ok(Value::Unavailable),
            Err(error) => Err(error),
        };
        row.push(value.map_err(|error| undecodable(relation, row.len(), error))?);
    }
    Ok(())
}

/// Decodes a row of the snapshot's `COPY`, which has the captured columns only.
pub fn decode_copied<'a>(
    relation: &Relation,
    copied: &'a CopyRow,
    arena: &'a Bump,
    row: &mut Vec<Value<'a>>,
) -> Result<()> {
    let columns = relation.table.columns.len();
    // A row without columns is an empty line, which reads as one empty cell.
    if columns > 0 && copied.len() != columns {
        return Err(wrong_width(relation));
    }
    for (cell, decoder) in copied.cells().zip(relation.decoders.iter().flatten()) {
        let value = cell.map_or(Ok(Value::Null), |text| decoder.decode(text, arena));
        row.push(value.map_err(|error| undecodable(relation, row.len(), error))?);
    }
    Ok(())
}

/// A streamed tuple's captured cells as they came.
pub fn raw_tuple<'a>(relation: &'a Relation, tuple: Tuple<'a>) -> Vec<RawCell<'a>> {
    let captured = tuple.cells().zip(&relation.decoders).filter(|(_, decoder)| decoder.is_some());
    let contents = captured.map(|(cell, _)| match cell {
        Ok(Cell::Text(text)) => RawContent::Text(text),
        Ok(Cell::Null) => RawContent::Null,
        Ok(Cell::Unchanged) | Err(_) => RawContent::Unavailable,
    });
    named(relation, contents)
}

/// A copied row's cells as they came.
pub fn raw_copied<'a>(relation: &'a Relation, copied: &'a CopyRow) -> Vec<RawCell<'a>> {
    named(relation, copied.cells().map(|cell| cell.map_or(RawContent::Null, RawContent::Text)))
}

fn named<'a>(relation: &'a Relation, cells: impl Iterator<Item = RawContent<'a>>) -> Vec<RawCell<'a>> {
    let columns = relation.table.columns.iter();
    columns.zip(cells).map(|(column, content)| RawCell { column: &column.name, content }).collect()
}

/// Takes what the server did not send again from the whole old row, if that is there.
pub fn fill_unavailable<'a>(new: &mut [Value<'a>], old: &[Value<'a>]) {
    for (value, before) in new.iter_mut().zip(old) {
        if *value == Value::Unavailable {
            *value = *before;
        }
    }
}

/// Values of several parts of one row may keep so much memory.
const KEPT_BYTES: usize = 1024 * 1024;

/// Makes room for the next row's parts.
#[inline]
pub fn empty(arena: &mut Bump) {
    if arena.allocated_bytes() > KEPT_BYTES {
        *arena = Bump::new();
    }
    arena.reset();
}

fn wrong_width(relation: &Relation) -> Error {
    Error::new(
        Kind::Data,
        format!("{}: a row has another number of columns than its table", relation.table.id),
    )
}

fn undecodable(relation: &Relation, column: usize, error: Malformed) -> Error {
    let name = relation.table.columns.get(column).map_or("?", |column| &column.name);
    Error::new(Kind::Data, format!("column {name} of {}: {error}", relation.table.id))
}
