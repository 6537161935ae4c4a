//! Reads whole tables under one snapshot, by `COPY`, on a connection of its own.
//!
//! The snapshot is the slot's own if the slot was just made: then rows and stream fit without a
//! gap or a repeat by themselves. Otherwise it is taken now, and [`Visible`] says which streamed
//! transactions it has seen already.
//!
//! One row is held back until the next one comes, because its marker depends on what follows.

use super::SnapshotProgress;
use super::catalog::Catalog;
use super::connect::{Purpose, connect};
use super::copy::CopyRow;
use super::failure::ServerError;
use super::relation::{Relation, Relations};
use super::row::{decode_copied, empty};
use super::sql::{identifier, literal};
use super::stream::Take;
use super::visible::Visible;
use super::wire::{Wire, protocol};
use crate::config::source::SourceConfig;
use crate::metrics;
use crate::model::change::{Change, Event, Op, Origin, PostgresOrigin};
use crate::model::position::{Lsn, Position, PostgresPosition, SnapshotState};
use crate::model::table::TableId;
use crate::model::value::RowBuffer;
use crate::snapshot::marker::{Place, marker};
use bumpalo::Bump;
use shared::error::Context;
use shared::{Error, Kind, Result};
use std::sync::Arc;
use std::time::Duration;

/// A table being changed for longer than this makes the snapshot give up and start again later.
const LOCK_TIMEOUT: &str = "30s";

/// Which snapshot to read under.
pub enum Of {
    /// The one that fits a slot just made, whose stream begins at `lsn`.
    NewSlot { name: String, lsn: Lsn },
    /// One taken now; the slot stands at `slot_confirmed`.
    Now { slot_confirmed: Lsn },
}

pub struct Snapshot {
    wire: Wire,
    database: String,
    tables: Vec<TableId>,
    /// How many of `tables` were begun.
    begun: usize,
    current: Option<Arc<Relation>>,
    rows_in_table: u64,
    rows: u64,
    held: Option<Held>,
    /// The held row's bytes, and a spare to read the next one into.
    held_row: CopyRow,
    next_row: CopyRow,
    buffer: RowBuffer,
    arena: Bump,
    origin_lsn: Lsn,
    transaction_id: Option<u32>,
    time_us: i64,
    visible: Option<Visible>,
    done: bool,
}

struct Held {
    relation: Arc<Relation>,
    place: Place,
}

impl Snapshot {
    pub fn begin(config: &SourceConfig, of: Of, tables: Vec<TableId>) -> Result<Self> {
        let mut wire = connect(config, Purpose::Sql)?;
        for (at, statement) in config.initial_statements.iter().enumerate() {
            wire.query(statement).doing(|| format!("run source.initial_statements[{at}]"))?;
        }
        let import = match &of {
            Of::NewSlot { name, .. } => format!("SET TRANSACTION SNAPSHOT {};", literal(name)),
            Of::Now { .. } => String::new(),
        };
        wire.query(&format!(
            "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ; {import} SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"
        ))
        .doing(|| "begin the snapshot")?;
        // The first function takes the snapshot; the end of log is read after it.
        let facts = wire
            .query(
                "SELECT txid_current_snapshot()::text, pg_is_in_recovery(), \
                 (extract(epoch FROM now()) * 1000000)::bigint",
            )
            .doing(|| "begin the snapshot")?;
        let [Some(seen), Some(recovery), Some(time)] = facts.first().map(Vec::as_slice).unwrap_or_default()
        else {
            return Err(Error::new(Kind::Data, "the server did not describe the snapshot"));
        };
        let (transaction_id, end) = if recovery == "t" {
            (None, one(&mut wire, "SELECT pg_last_wal_receive_lsn()::text")?)
        } else {
            // Numbered transactions leave a trace in the log when they end: so the stream gets
            // beyond `end` even if nobody else writes. Debezium shows the number's lower half too.
            let number: u64 = one(&mut wire, "SELECT txid_current()::text")?.parse().unwrap_or_default();
            let low = u32::try_from(number & u64::from(u32::MAX)).ok();
            (low, one(&mut wire, "SELECT pg_current_wal_insert_lsn()::text")?)
        };
        let end: Lsn = end.parse().map_err(|_| Error::new(Kind::Data, "the end of log is no LSN"))?;
        let (origin_lsn, visible) = match of {
            Of::NewSlot { lsn, .. } => (lsn, None),
            Of::Now { slot_confirmed } => {
                let visible = Visible::parse(seen, end)
                    .ok_or_else(|| Error::new(Kind::Data, "the server's snapshot has another form"))?;
                (slot_confirmed, Some(visible))
            }
        };
        tracing::info!(event = "snapshot_started", tables = tables.len(), lsn = %origin_lsn, "snapshot started");
        Ok(Snapshot {
            wire,
            database: config.database.clone(),
            tables,
            begun: 0,
            current: None,
            rows_in_table: 0,
            rows: 0,
            held: None,
            held_row: CopyRow::default(),
            next_row: CopyRow::default(),
            buffer: RowBuffer::default(),
            arena: Bump::new(),
            origin_lsn,
            transaction_id,
            time_us: time.parse().unwrap_or_default(),
            visible,
            done: false,
        })
    }

    pub fn done(&self) -> bool {
        self.done
    }

    pub fn progress(&self) -> SnapshotProgress {
        let under_way = usize::from(self.current.is_some());
        SnapshotProgress {
            tables: self.tables.len(),
            tables_done: self.begun.saturating_sub(under_way),
            rows: self.rows,
        }
    }

    /// The position of the finished snapshot, and what it has seen if it was not the slot's own.
    pub fn position(&self) -> PostgresPosition {
        PostgresPosition {
            lsn: self.origin_lsn,
            commit_lsn: None,
            transaction_id: self.transaction_id,
            commit_time_us: self.time_us,
            snapshot: Some(SnapshotState::Completed),
        }
    }

    pub fn visible(&self) -> Option<&Visible> {
        self.visible.as_ref()
    }

    /// Reads once and hands over every whole row but the last one.
    pub fn poll(
        &mut self,
        wait: Duration,
        relations: &mut Relations,
        catalog: &mut Catalog,
        take: Take<'_>,
    ) -> Result<bool> {
        if self.current.is_none() && !self.next_table(relations, catalog)? {
            return self.finish(take).map(|()| true);
        }
        let bytes = self.wire.read(wait)?;
        metrics::SOURCE_RECEIVED_BYTES.inc_by(u64::try_from(bytes).unwrap_or_default());
        let mut rows = 0;
        loop {
            let Some(frame) = self.wire.next()? else { break };
            match frame.tag {
                b'd' => {
                    self.next_row.read(frame.body).map_err(protocol)?;
                    self.hand_over(false, take)?;
                    self.hold()?;
                    rows += 1;
                }
                b'E' => {
                    let error = ServerError::parse(frame.body).map_err(protocol)?.into_error();
                    return Err(error.doing(self.reading()));
                }
                b'Z' => self.end_table(),
                _ => {}
            }
        }
        self.rows += rows;
        metrics::SOURCE_SNAPSHOT_ROWS.inc_by(rows);
        Ok(rows > 0)
    }

    /// Locks the next table against changes of its shape, describes it, and asks for its rows.
    fn next_table(&mut self, relations: &mut Relations, catalog: &mut Catalog) -> Result<bool> {
        let Some(id) = self.tables.get(self.begun).cloned() else { return Ok(false) };
        self.begun += 1;
        let name = format!("{}.{}", identifier(&id.schema), identifier(&id.name));
        let read = format!("read table {id}");
        self.wire
            .query(&format!("LOCK TABLE {name} IN ACCESS SHARE MODE"))
            .map_err(|e| denied(e, &name))
            .doing(|| read.clone())?;
        let relation = relations.present(&id, catalog).doing(|| read.clone())?;
        let columns: Vec<String> = relation.table.columns.iter().map(|c| identifier(&c.name)).collect();
        self.wire.send_query(&format!("COPY (SELECT {} FROM {name}) TO STDOUT", columns.join(", ")))?;
        self.current = Some(Arc::new(relation));
        self.rows_in_table = 0;
        Ok(true)
    }

    fn end_table(&mut self) {
        if let Some(held) = self.held.as_mut().filter(|_| self.rows_in_table > 0) {
            held.place.last_in_table = true;
        }
        if let Some(relation) = self.current.take() {
            tracing::info!(
                event = "snapshot_table_read",
                table = %relation.table.id,
                rows = self.rows_in_table,
                done = self.begun,
                of = self.tables.len(),
                "table read"
            );
        }
    }

    /// Holds the row just read.
    fn hold(&mut self) -> Result<()> {
        let relation = self.current.clone();
        let relation = relation.ok_or_else(|| Error::new(Kind::Data, "a row came between two tables"))?;
        let place = Place {
            first_table: self.begun == 1,
            first_in_table: self.rows_in_table == 0,
            ..Place::default()
        };
        self.rows_in_table += 1;
        std::mem::swap(&mut self.held_row, &mut self.next_row);
        self.held = Some(Held { relation, place });
        Ok(())
    }

    /// Hands over the held row, now that it is known what follows.
    fn hand_over(&mut self, last: bool, take: Take<'_>) -> Result<()> {
        let Some(held) = self.held.take() else { return Ok(()) };
        empty(&mut self.arena);
        let mut row = self.buffer.take();
        decode_copied(&held.relation, &self.held_row, &self.arena, &mut row)?;
        let origin = PostgresOrigin {
            database: &self.database,
            transaction_id: self.transaction_id,
            lsn: self.origin_lsn,
            last_commit_lsn: None,
            time_us: self.time_us,
            xmin: None,
            replicated_from: None,
            snapshot: marker(Place { last, ..held.place }),
        };
        take(Event::Change(Change {
            op: Op::Read,
            table: &held.relation.table,
            before: None,
            after: Some(&row),
            origin: Origin::Postgres(origin),
        }))?;
        self.buffer.give_back(row);
        Ok(())
    }

    /// All tables are read: the last row, the end of the transaction, and the boundary — unless
    /// the stream has to get beyond what the snapshot saw first.
    fn finish(&mut self, take: Take<'_>) -> Result<()> {
        self.hand_over(true, take)?;
        self.wire.query("COMMIT").doing(|| "end the snapshot")?;
        self.wire.close();
        self.done = true;
        tracing::info!(event = "snapshot_finished", tables = self.tables.len(), "snapshot finished");
        if self.visible.is_none() {
            take(Event::Boundary(Position::Postgres(self.position())))?;
        }
        Ok(())
    }

    fn reading(&self) -> String {
        match &self.current {
            Some(relation) => format!("read table {}", relation.table.id),
            None => "read the snapshot".to_owned(),
        }
    }
}

fn one(wire: &mut Wire, sql: &str) -> Result<String> {
    let rows = wire.query(sql).doing(|| "begin the snapshot")?;
    match rows.into_iter().next().and_then(|row| row.into_iter().next()).flatten() {
        Some(text) => Ok(text),
        None => Err(Error::new(Kind::Data, "the server answered nothing").doing("begin the snapshot")),
    }
}

fn denied(error: Error, table: &str) -> Error {
    if error.kind() == Kind::Denied {
        error.remedy(format!("GRANT SELECT ON {table} TO the connector's role"))
    } else {
        error
    }
}
