//! Table version → flat list of write steps, built once. What stands for absent values is bytes
//! already. Pure.

use super::fault::Fault;
use super::form::{self, FIRST, Form, SECOND, Scratch};
use crate::model::table::{Column, Table};
use crate::model::value::{Row, Value};
use shared::avro::wire::{PREFIX_LEN, SchemaId, prefix};

/// How rows of one table version are written.
#[derive(Debug)]
pub struct Plan {
    pub key: Option<Part>,
    pub value: Part,
}

/// A schema's prefix and its steps.
#[derive(Debug)]
pub struct Part {
    pub prefix: [u8; PREFIX_LEN],
    pub steps: Vec<Step>,
}

/// How one column is written.
#[derive(Debug)]
pub struct Step {
    pub column: usize,
    pub form: Form,
    /// The union's branch, if there is a union.
    present: Option<u8>,
    null: Box<[u8]>,
    /// `None` if nothing can stand for a value that was not sent.
    unavailable: Option<Box<[u8]>>,
}

impl Plan {
    pub fn new(table: &Table, key: Option<SchemaId>, value: SchemaId) -> Plan {
        let part = |id, steps| Part { prefix: prefix(id), steps };
        let of_key = |id| part(id, table.key.iter().filter_map(|&at| step(table, at)).collect());
        Plan {
            key: key.map(of_key),
            value: part(value, (0..table.columns.len()).filter_map(|at| step(table, at)).collect()),
        }
    }
}

fn step(table: &Table, column: usize) -> Option<Step> {
    let described = table.columns.get(column)?;
    let form = Form::of(&described.kind);
    let present = branch(described);
    let unavailable = match form.placeholder() {
        Some(value) => Some(bytes(present, form, &value)),
        // As Debezium: what it cannot mark becomes NULL where NULL may stand.
        None if described.optional => Some(absent(described)),
        None => None,
    };
    Some(Step { column, form, present, null: absent(described), unavailable })
}

/// The branch of a present value. A default stands first in its union.
fn branch(column: &Column) -> Option<u8> {
    match (column.optional, form::default(column)) {
        (false, _) => None,
        (true, Some(_)) => Some(FIRST),
        (true, None) => Some(SECOND),
    }
}

/// What is sent for NULL: the default if there is one, even where NULL could stand (Connect's
/// Struct fills it in); else NULL; else Debezium's stand-in.
fn absent(column: &Column) -> Box<[u8]> {
    match (form::default(column), column.optional) {
        (Some(default), _) => bytes(branch(column), Form::of(&column.kind), &default),
        (None, true) => Box::new([FIRST]),
        (None, false) => {
            let (form, value) = Form::stand_in(&column.kind);
            bytes(None, form, &value)
        }
    }
}

fn bytes(branch: Option<u8>, form: Form, value: &Value<'_>) -> Box<[u8]> {
    let mut out: Vec<u8> = branch.into_iter().collect();
    let done = form::put(&mut out, form, value, &mut Scratch::default());
    debug_assert!(done.is_ok(), "defaults were checked and stand-ins fit their types");
    out.into()
}

impl Part {
    /// Appends a row.
    ///
    /// # Errors
    /// The column and what is wrong with its value.
    #[inline]
    pub fn put(&self, out: &mut Vec<u8>, row: Row<'_>, scratch: &mut Scratch) -> Result<(), (usize, Fault)> {
        for step in &self.steps {
            let value = row.get(step.column).ok_or((step.column, Fault::Missing))?;
            step.put(out, value, scratch).map_err(|fault| (step.column, fault))?;
        }
        Ok(())
    }
}

impl Step {
    #[inline]
    fn put(&self, out: &mut Vec<u8>, value: &Value<'_>, scratch: &mut Scratch) -> Result<(), Fault> {
        match value {
            Value::Null => out.extend_from_slice(&self.null),
            Value::Unavailable => match &self.unavailable {
                Some(bytes) => out.extend_from_slice(bytes),
                None => return Err(Fault::Unavailable),
            },
            value => {
                let start = out.len();
                out.extend(self.present);
                match form::put(out, self.form, value, scratch) {
                    // Debezium sends NaN in a nullable numeric as NULL.
                    Err(Fault::NotFinite) if self.present.is_some() => {
                        out.truncate(start);
                        out.extend_from_slice(&self.null);
                    }
                    done => return done,
                }
            }
        }
        Ok(())
    }
}
