//! A row that was read → a change, with the place that all rows of a snapshot share.

use super::table::Reading;
use crate::model::change::{Change, Event, Marker, Op, Origin, PostgresOrigin};
use crate::model::position::PostgresPosition;
use crate::model::refusal::RawRow;
use crate::model::value::RowBuffer;
use crate::source::Take;
use crate::source::postgres::copy::CopyRow;
use crate::source::postgres::row::{decode_copied, empty, raw_copied};
use bumpalo::Bump;
use shared::Result;

/// What rows are handed over with.
pub struct Out {
    database: String,
    pub position: PostgresPosition,
    buffer: RowBuffer,
    arena: Bump,
}

impl Out {
    pub fn new(database: &str, position: PostgresPosition) -> Out {
        Out { database: database.to_owned(), position, buffer: RowBuffer::default(), arena: Bump::new() }
    }

    pub fn row(&mut self, reading: &Reading, row: &CopyRow, marker: Marker, take: Take<'_>) -> Result<()> {
        empty(&mut self.arena);
        let mut values = self.buffer.take();
        let decoded = decode_copied(&reading.relation, row, &self.arena, &mut values);
        let origin = Origin::Postgres(PostgresOrigin {
            database: &self.database,
            transaction_id: self.position.transaction_id,
            lsn: self.position.lsn,
            last_commit_lsn: self.position.commit_lsn,
            time_us: self.position.commit_time_us,
            xmin: None,
            replicated_from: None,
            snapshot: marker,
        });
        let (op, table) = (Op::Read, &reading.relation.table);
        if let Err(error) = &decoded {
            let cells = raw_copied(&reading.relation, row);
            let after = Some(cells.as_slice());
            return take(Event::Refused(RawRow { op: op.code(), table, before: None, after, origin, error }));
        }
        take(Event::Change(Change { op, table, before: None, after: Some(&values), origin }))?;
        self.buffer.give_back(values);
        Ok(())
    }
}
