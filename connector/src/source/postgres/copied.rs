//! A copied row → the change that says that it was read, or the refusal of it.

use super::copy::CopyRow;
use super::relation::Relation;
use super::row::{decode_copied, empty, raw_copied};
use crate::model::change::{Change, Event, Op, Origin, PostgresOrigin};
use crate::model::refusal::RawRow;
use crate::model::value::RowBuffer;
use crate::source::Take;
use bumpalo::Bump;
use shared::Result;

/// What rows are decoded into, one after the other.
#[derive(Default)]
pub struct Copied {
    buffer: RowBuffer,
    arena: Bump,
}

impl Copied {
    /// Hands the row over.
    pub fn read(
        &mut self,
        relation: &Relation,
        row: &CopyRow,
        origin: PostgresOrigin<'_>,
        take: Take<'_>,
    ) -> Result<()> {
        empty(&mut self.arena);
        let mut values = self.buffer.take();
        let decoded = decode_copied(relation, row, &self.arena, &mut values);
        let (op, table, origin) = (Op::Read, &relation.table, Origin::Postgres(origin));
        if let Err(error) = &decoded {
            let cells = raw_copied(relation, row);
            let after = Some(cells.as_slice());
            return take(Event::Refused(RawRow { op: op.code(), table, before: None, after, origin, error }));
        }
        take(Event::Change(Change { op, table, before: None, after: Some(&values), origin }))?;
        self.buffer.give_back(values);
        Ok(())
    }
}
