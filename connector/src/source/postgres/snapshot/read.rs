//! The reading itself: pieces given to workers, rows handed over, and what is thereby read.

use super::table::{self, Reading, statement};
use super::worker::{Found, Worker};
use super::{Snapshot, notice};
use crate::metrics;
use crate::model::change::PostgresOrigin;
use crate::model::notice::{News, Outcome};
use crate::snapshot::marker::{Place, marker};
use crate::snapshot::piece::{Piece, pieces};
use crate::source::Take;
use crate::source::postgres::catalog::Describes;
use crate::source::postgres::relation::Relations;
use crate::source::postgres::wire::{Wire, ready};
use shared::error::Context;
use shared::{Error, Kind, Result};
use std::collections::VecDeque;
use std::time::Duration;

impl Snapshot {
    /// Workers that read something, and have it.
    pub(super) fn readable(&self, wait: Duration) -> Result<Vec<usize>> {
        let busy: Vec<usize> =
            (0..self.workers.len()).filter(|at| self.workers.get(*at).is_some_and(Worker::reads)).collect();
        if busy.len() < 2 {
            return Ok(busy);
        }
        let wires: Vec<&Wire> =
            busy.iter().filter_map(|at| self.workers.get(*at)).map(|worker| &worker.wire).collect();
        let ready = ready(&wires, wait)?;
        Ok(busy.into_iter().zip(ready).filter(|(_, ready)| *ready).map(|(at, _)| at).collect())
    }

    /// Gives each idle worker the next piece.
    pub(super) fn assign(&mut self, relations: &mut Relations, catalog: &mut dyn Describes) -> Result<()> {
        for at in 0..self.workers.len() {
            if self.workers.get(at).is_some_and(|worker| worker.current.is_some()) {
                continue;
            }
            while self.pieces.is_empty() && !self.waiting.is_empty() {
                self.next_table(at, relations, catalog)?;
            }
            let Some((table, piece)) = self.pieces.pop_front() else { return Ok(()) };
            let (Some(worker), Some(Some(reading))) = (self.workers.get_mut(at), self.tables.get(table))
            else {
                return Err(Error::new(Kind::Bug, "a piece of a table that was not begun"));
            };
            let statement = statement(reading, &piece);
            worker.ask(table, piece, &statement)?;
        }
        Ok(())
    }

    /// Locks the next table against changes of its shape, describes it, and cuts it into pieces.
    fn next_table(
        &mut self,
        at: usize,
        relations: &mut Relations,
        catalog: &mut dyn Describes,
    ) -> Result<()> {
        let (Some((table, wanted)), Some(worker)) = (self.waiting.pop_front(), self.workers.get_mut(at))
        else {
            return Ok(());
        };
        let read = format!("read table {}", wanted.id);
        let name = table::name(&wanted.id);
        worker
            .wire
            .query(&format!("LOCK TABLE {name} IN ACCESS SHARE MODE"))
            .map_err(|e| denied(e, &name))
            .doing(|| read.clone())?;
        let relation = relations.present(&wanted.id, catalog).doing(|| read.clone())?;
        let file = table::file(&mut worker.wire, &wanted, self.server_version)?;
        let pieces = pieces(&wanted.id, &file, self.chunk_pages, &mut self.progress)?;
        let (id, tables) = (wanted.id.clone(), self.names.clone());
        self.notices.push(notice(News::Table { table: id, tables, keys: None }));
        let reading = Reading::new(wanted, relation, &pieces);
        self.pieces.extend(pieces.into_iter().map(|piece| (table, piece)));
        if let Some(slot) = self.tables.get_mut(table) {
            *slot = Some(reading);
        }
        Ok(())
    }

    /// One read of one worker.
    pub(super) fn read(&mut self, at: usize, wait: Duration, take: Take<'_>) -> Result<u64> {
        let Some(worker) = self.workers.get_mut(at) else { return Ok(0) };
        let bytes = worker.wire.read(wait)?;
        metrics::SOURCE_RECEIVED_BYTES.inc_by(u64::try_from(bytes).unwrap_or_default());
        self.rows_of(at, take)
    }

    /// What one worker has received: to its end, the piece's, or the point where it waits.
    pub(super) fn rows_of(&mut self, at: usize, take: Take<'_>) -> Result<u64> {
        let mut rows = 0;
        loop {
            let Some(worker) = self.workers.get_mut(at) else { return Ok(rows) };
            let found = worker.next();
            let table = worker.current.as_ref().map(|(table, _)| *table);
            match found.doing(|| self.reading(table))? {
                Found::Nothing => return Ok(rows),
                Found::Row => {
                    if self.row(at, take)? {
                        return Ok(rows);
                    }
                    rows += 1;
                }
                Found::End => {
                    self.end_piece(at, take)?;
                    return Ok(rows);
                }
            }
        }
    }

    /// The row before goes out, and this one is held. True if it has to wait for a boundary instead.
    fn row(&mut self, at: usize, take: Take<'_>) -> Result<bool> {
        let Some(worker) = self.workers.get_mut(at) else { return Ok(false) };
        // Nearly always the row before, of the same piece, goes out in the middle.
        if worker.held.table.is_some() {
            self.hand_over(at, false, take)?;
        }
        let between = self.workers.get(at).is_some_and(|worker| !worker.given);
        if between
            && self.boundary_wanted()
            && let Some(worker) = self.workers.get_mut(at)
        {
            worker.waits = true;
            return Ok(true);
        }
        self.hold(at).map(|()| false)
    }

    /// The row that a worker just read is the one that it holds.
    pub(super) fn hold(&mut self, at: usize) -> Result<()> {
        let Some(worker) = self.workers.get_mut(at) else { return Ok(()) };
        let table = worker.hold()?;
        if let Some(Some(reading)) = self.tables.get_mut(table) {
            reading.rows += 1;
        }
        Ok(())
    }

    /// A piece is read; it counts once its last row is handed over.
    fn end_piece(&mut self, at: usize, take: Take<'_>) -> Result<()> {
        let more =
            |table: usize, pieces: &VecDeque<(usize, Piece)>| pieces.iter().any(|(of, _)| *of == table);
        let Some(worker) = self.workers.get_mut(at) else { return Ok(()) };
        let Some((table, piece)) = worker.current.take() else { return Ok(()) };
        let holds = worker.held.table == Some(table);
        let mut open = 0;
        if let Some(Some(reading)) = self.tables.get_mut(table) {
            reading.open = reading.open.saturating_sub(1);
            open = reading.open;
            if holds {
                worker.held.ended.push((table, piece));
            } else {
                // The row that waits is of another table, and may be the last of all.
                reading.note(&mut self.progress, piece);
                self.untold += 1;
            }
        }
        // Another worker will read the table's last row.
        if holds && open > 0 && !more(table, &self.pieces) {
            self.hand_over(at, false, take)?;
        }
        if open == 0 {
            self.end_table(table);
        }
        self.notify(take)
    }

    fn end_table(&mut self, table: usize) {
        self.tables_done += 1;
        if let Some(Some(reading)) = self.tables.get(table) {
            tracing::info!(
                event = "snapshot_table_read",
                table = %reading.id,
                rows = reading.rows,
                done = self.tables_done,
                of = self.tables.len(),
                "table read"
            );
            let (table, tables, rows) = (reading.id.clone(), self.names.clone(), reading.rows);
            let outcome = Outcome::Succeeded;
            self.notices.push(notice(News::Read { table, tables, rows, outcome }));
        }
    }

    /// Hands over a worker's held row, now that it is known what follows, and takes note of what is
    /// thereby read.
    pub(super) fn hand_over(&mut self, at: usize, last: bool, take: Take<'_>) -> Result<()> {
        let holders = |table| self.workers.iter().filter(|worker| worker.held.table == Some(table)).count();
        let held = self.workers.get(at).and_then(|worker| worker.held.table);
        let alone = held.is_some_and(|table| holders(table) == 1);
        let Some(worker) = self.workers.get_mut(at) else { return Ok(()) };
        if let Some(table) = worker.held.table.take()
            && let Some(Some(reading)) = self.tables.get_mut(table)
        {
            let place = Place {
                first_table: table == 0,
                first_in_table: reading.handed == 0,
                last_in_table: alone && reading.open == 0,
                last,
            };
            let origin = PostgresOrigin {
                database: &self.database,
                transaction_id: self.position.transaction_id,
                lsn: self.position.lsn,
                last_commit_lsn: self.position.commit_lsn,
                time_us: self.position.commit_time_us,
                xmin: None,
                replicated_from: None,
                snapshot: marker(place),
            };
            self.copied.read(&reading.relation, &worker.held.row, origin, take)?;
            reading.handed += 1;
            worker.given = worker.held.ended.is_empty();
        }
        for (table, piece) in worker.held.ended.drain(..) {
            if let Some(Some(reading)) = self.tables.get_mut(table) {
                reading.note(&mut self.progress, piece);
                self.untold += 1;
            }
        }
        Ok(())
    }

    fn reading(&self, table: Option<usize>) -> String {
        match table.and_then(|table| self.tables.get(table)) {
            Some(Some(reading)) => format!("read table {}", reading.id),
            _ => "read the snapshot".to_owned(),
        }
    }
}

fn denied(error: Error, table: &str) -> Error {
    if error.kind() == Kind::Denied {
        error.remedy(format!("GRANT SELECT ON {table} TO the connector's role"))
    } else {
        error
    }
}
