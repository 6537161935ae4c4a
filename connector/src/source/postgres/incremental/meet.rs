//! Where the stream meets a chunk: what it changes meanwhile, where the chunk ends in it, and the rows that
//! then go out.

use super::{Beside, Close, Database};
use crate::model::change::{Marker, Op, PostgresOrigin};
use crate::model::notice::Outcome;
use crate::model::position::Lsn;
use crate::model::table::TableId;
use crate::snapshot::window::key;
use crate::source::Take;
use crate::source::postgres::pgoutput::{Cell, Old, Tuple};
use crate::source::postgres::relation::{Relation, Relations};
use shared::Result;

/// What rows say of their place.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    pub database: &'a str,
    pub lsn: Lsn,
    pub last_commit_lsn: Option<Lsn>,
}

impl<D: Database> Beside<D> {
    /// The stream changed a row.
    pub fn changed(&mut self, relation: &Relation, old: Option<Old<'_>>, new: Option<Tuple<'_>>) {
        let (Some(chunk), Some(reading)) = (&mut self.chunk, &self.current) else { return };
        if relation.table.id != reading.relation.table.id {
            return;
        }
        for tuple in [old.map(|old| old.tuple), new].into_iter().flatten() {
            let names = reading.identity.iter().filter_map(|at| reading.relation.table.columns.get(*at));
            let cells = names.map(|column| relation.sent_at(&column.name).and_then(|at| text(tuple, at)));
            if let Some(key) = key(cells) {
                chunk.window.changed(&key);
            }
        }
    }

    pub fn emptied(&mut self, table: &TableId) {
        if let (Some(chunk), Some(reading)) = (&mut self.chunk, &self.current)
            && reading.relation.table.id == *table
        {
            chunk.window.emptied();
        }
    }

    /// Whether this row of the stream is the mark at which the chunk ends.
    pub fn closes(&self, relation: &Relation, op: Op, tuple: Tuple<'_>) -> bool {
        let (Some(chunk), Some(marks)) = (&self.chunk, &self.marks) else { return false };
        let Close::Mark(id, at) = &chunk.close else { return false };
        *at == op && relation.table.id == *marks && text(tuple, 0) == Some(id.as_bytes())
    }

    /// The stream has come to the end of the chunk: its rows go out. If the table was altered meanwhile, it
    /// is read again instead.
    pub fn emit(&mut self, place: Place<'_>, relations: &Relations, take: Take<'_>) -> Result<()> {
        let (Some(chunk), Some(reading)) = (self.chunk.take(), &self.current) else { return Ok(()) };
        if !relations.is_newest(&reading.relation.table) {
            self.current = None;
            return Ok(());
        }
        for row in chunk.window.rows() {
            let origin = PostgresOrigin {
                database: place.database,
                transaction_id: None,
                lsn: place.lsn,
                last_commit_lsn: place.last_commit_lsn,
                time_us: 0,
                xmin: None,
                replicated_from: None,
                snapshot: Marker::Incremental,
            };
            self.copied.read(&reading.relation, row, origin, take)?;
        }
        match chunk.last_key {
            Some(last) => self.come_to(last),
            None => self.end_table(Outcome::Succeeded),
        }
        self.tell(take)
    }
}

fn text(tuple: Tuple<'_>, at: usize) -> Option<&[u8]> {
    match tuple.cells().nth(at) {
        Some(Ok(Cell::Text(text))) => Some(text),
        _ => None,
    }
}
