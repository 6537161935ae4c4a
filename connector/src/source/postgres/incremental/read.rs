//! Reading: a table is begun, its chunks are read and marked.

use super::statement::{Keyed, mark, unmark};
use super::{Beside, Chunk, Close, Reading};
use crate::config::signal::Watermarking;
use crate::metrics;
use crate::model::change::Op;
use crate::model::key_cell::KeyCell;
use crate::model::notice::Outcome;
use crate::model::position::{Collection, Lsn};
use crate::snapshot::window::{Window, key};
use crate::source::postgres::catalog::Catalog;
use crate::source::postgres::connect;
use crate::source::postgres::copy::CopyRow;
use crate::source::postgres::failure::ServerError;
use crate::source::postgres::relation::{Relation, Relations};
use crate::source::postgres::wire::{Wire, protocol};
use shared::error::Context;
use shared::{Error, Kind, Result};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A chunk is held in memory: larger rows make smaller chunks.
const CHUNK_BYTES: usize = 16 * 1024 * 1024;

/// The point in time of a chunk that no marks surround, and the end of log as it then was.
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT CASE WHEN pg_is_in_recovery() \
    THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END::text";
/// The log's end may lie unflushed, or at the head of an empty page, so that the stream does not come to it;
/// a numbered transaction that ends behind it moves it on.
const NUDGE: &str = "SELECT CASE WHEN NOT pg_is_in_recovery() THEN txid_current() END";
const NUDGE_INTERVAL: Duration = Duration::from_millis(100);

impl Beside {
    /// Reads the next chunk, of the next table if one is at its end.
    pub fn read(&mut self, relations: &mut Relations, catalog: &mut Catalog) -> Result<()> {
        match self.try_read(relations, catalog) {
            // What was asked for cannot be done: the stream goes on without it.
            Err(error) if !error.retryable() => {
                let table = self.first().map(|collection| collection.id.clone()).unwrap_or_default();
                tracing::error!(event = "incremental_table_failed", table, %error, remedy = error.hint(), "the table is not read further");
                self.wire = None;
                self.end_table(Outcome::Failed);
                Ok(())
            }
            done => done,
        }
    }

    fn try_read(&mut self, relations: &mut Relations, catalog: &mut Catalog) -> Result<()> {
        if self.current.is_none() && !self.begin_table(relations, catalog)? {
            return Ok(());
        }
        let id = uuid::Uuid::new_v4().to_string();
        let opened = jiff::Timestamp::now();
        self.set_mark(&format!("{id}-open"), "snapshot-window-open", &[("openWindowTimestamp", opened)])?;
        let end = if self.marks.is_none() { Some(self.begin()?) } else { None };
        let (window, last_key) = self.read_rows()?;
        let close = match end {
            Some(end) => {
                self.wire()?.query("COMMIT").doing(|| "end a chunk")?;
                Close::At(end)
            }
            None => self.second_mark(&id, opened)?,
        };
        self.chunk = Some(Chunk { window, last_key, close });
        self.nudged = Instant::now();
        Ok(())
    }

    fn wire(&mut self) -> Result<&mut Wire> {
        if self.wire.is_none() {
            self.wire = Some(connect::connect(&self.source, connect::Purpose::Sql)?);
        }
        self.wire.as_mut().ok_or_else(|| Error::new(Kind::Bug, "the connection vanished"))
    }

    /// Describes the first table and finds how far it is to be read; `false` if there is nothing to read.
    fn begin_table(&mut self, relations: &mut Relations, catalog: &mut Catalog) -> Result<bool> {
        let Some(collection) = self.first().cloned() else { return Ok(false) };
        let captured = relations.captured(catalog.tables()?);
        let Some(table) = captured.into_iter().find(|table| table.to_string() == collection.id) else {
            tracing::warn!(
                event = "incremental_table_unknown",
                table = collection.id,
                "no such table is captured"
            );
            self.end_table(Outcome::Unknown);
            return Ok(false);
        };
        let relation = relations.present(&table, catalog).doing(|| format!("read table {table}"))?;
        let key = match &collection.surrogate_key {
            None => relation.table.key.clone(),
            Some(name) => {
                relation.table.columns.iter().position(|column| column.name == *name).into_iter().collect()
            }
        };
        if key.is_empty() {
            tracing::warn!(
                event = "incremental_table_without_key",
                %table,
                remedy = "give the table a primary key, or name a column: \"surrogate-key\"",
                "the table is not read"
            );
            self.end_table(Outcome::NoKey);
            return Ok(false);
        }
        let at_once = usize::try_from(self.signal.chunk_rows).unwrap_or(1);
        self.current = Some(Reading { relation: Arc::new(relation), key, rows: 0, at_once });
        let known = self.state.as_deref().is_some_and(|state| state.maximum_key.is_some());
        if !known && !self.find_maximum(&collection)? {
            self.end_table(Outcome::Empty);
            return Ok(false);
        }
        Ok(true)
    }

    /// How far to read; `false` if there is no row.
    fn find_maximum(&mut self, collection: &Collection) -> Result<bool> {
        let Some(reading) = &self.current else { return Ok(false) };
        let relation = reading.relation.clone();
        let key = reading.key.clone();
        let keyed = Keyed { table: &relation.table, key: &key, condition: collection.condition() };
        let statement = keyed.maximum();
        let rows =
            self.wire()?.query(&statement).doing(|| format!("find the last key of {}", collection.id))?;
        let Some(row) = rows.first() else { return Ok(false) };
        let maximum = cells(&relation, &key, row.iter().map(|cell| cell.as_deref()));
        if let Some(state) = &mut self.state {
            Arc::make_mut(state).maximum_key = Some(maximum);
        }
        Ok(true)
    }

    /// The next rows, and the key of the last one.
    fn read_rows(&mut self) -> Result<(Window<CopyRow>, Option<Vec<KeyCell>>)> {
        let (Some(state), Some(reading)) = (self.state.clone(), &self.current) else {
            return Err(Error::new(Kind::Bug, "no table is being read"));
        };
        let collection = state.collections.first().cloned().unwrap_or_default();
        let (relation, key_columns, limit) = (reading.relation.clone(), reading.key.clone(), reading.at_once);
        let keyed = Keyed { table: &relation.table, key: &key_columns, condition: collection.condition() };
        let statement =
            keyed.chunk(state.last_key.as_deref(), state.maximum_key.as_deref().unwrap_or_default(), limit);
        let read = || format!("read a chunk of table {}", collection.id);
        let wire = self.wire()?;
        wire.send_query(&statement).doing(read)?;
        let (mut window, mut last_key, mut kept, mut bytes) = (Window::default(), None, 0, 0);
        let mut failure = None;
        loop {
            let frame = wire.answer().doing(read)?;
            match frame.tag {
                b'd' if bytes < CHUNK_BYTES => {
                    let mut row = CopyRow::default();
                    row.read(frame.body).map_err(protocol)?;
                    bytes += frame.body.len();
                    kept += 1;
                    let cell = |at: &usize| row.cells().nth(*at).flatten();
                    let texts =
                        key_columns.iter().map(|at| cell(at).and_then(|text| std::str::from_utf8(text).ok()));
                    last_key = Some(cells(&relation, &key_columns, texts));
                    let key = key(key_columns.iter().map(cell)).unwrap_or_default();
                    window.read(key, row);
                }
                b'E' => failure = Some(ServerError::parse(frame.body).map_err(protocol)?.into_error()),
                b'Z' => break,
                _ => {}
            }
        }
        if let Some(error) = failure {
            return Err(error.doing(read()));
        }
        if let Some(reading) = &mut self.current {
            reading.rows += kept as u64;
            if bytes >= CHUNK_BYTES {
                reading.at_once = kept.max(1);
            }
        }
        metrics::SOURCE_SNAPSHOT_ROWS.inc_by(kept as u64);
        Ok((window, last_key))
    }

    /// Everything that the chunk sees was committed before the end of log that this gives.
    fn begin(&mut self) -> Result<Lsn> {
        let rows = self.wire()?.query(BEGIN).doing(|| "begin a chunk")?;
        let end = rows.first().and_then(|row| row.first()).and_then(|cell| cell.as_deref()?.parse().ok());
        end.ok_or_else(|| Error::new(Kind::Data, "the end of log is no LSN"))
    }

    /// Moves an idle log on, if a chunk waits for its end for long.
    pub fn nudge(&mut self) -> Result<()> {
        if self.awaits().is_some() && self.nudged.elapsed() >= NUDGE_INTERVAL {
            self.nudged = Instant::now();
            self.wire()?.query(NUDGE).doing(|| "move the log on")?;
        }
        Ok(())
    }

    /// Debezium's second mark.
    fn second_mark(&mut self, id: &str, opened: jiff::Timestamp) -> Result<Close> {
        let Some(table) = self.marks.clone() else { return Err(Error::new(Kind::Bug, "no table of marks")) };
        if self.signal.watermarking == Watermarking::InsertDelete {
            let open = format!("{id}-open");
            self.wire()?.query(&unmark(&table, &open)).doing(|| format!("write a mark to {table}"))?;
            return Ok(Close::Mark(open, Op::Delete));
        }
        let close = format!("{id}-close");
        let times = [("openWindowTimestamp", opened), ("closeWindowTimestamp", jiff::Timestamp::now())];
        self.set_mark(&close, "snapshot-window-close", &times)?;
        Ok(Close::Mark(close, Op::Create))
    }

    fn set_mark(&mut self, id: &str, kind: &str, times: &[(&str, jiff::Timestamp)]) -> Result<()> {
        let Some(table) = self.marks.clone() else { return Ok(()) };
        let times: Vec<String> =
            times.iter().map(|(name, time)| format!("\"{name}\": \"{time:.9}\"")).collect();
        let statement = mark(&table, id, kind, &format!("{{{}}}", times.join(", ")));
        self.wire()?
            .query(&statement)
            .map(drop)
            .map_err(|error| match error.kind() {
                Kind::Denied => error.remedy(format!(
                    "GRANT INSERT, DELETE ON {table} TO the connector's role; or set signal.read_only = true"
                )),
                _ => error,
            })
            .doing(|| format!("write a mark to {table}"))
    }
}

fn cells<'a>(
    relation: &Relation,
    key: &[usize],
    texts: impl Iterator<Item = Option<&'a str>>,
) -> Vec<KeyCell> {
    let type_name = |at: &usize| {
        let declared = relation.table.columns.get(*at).map(|column| column.source_type.name.to_lowercase());
        match declared.unwrap_or_default().as_str() {
            "smallserial" => "int2".to_owned(),
            "serial" => "int4".to_owned(),
            "bigserial" => "int8".to_owned(),
            other => other.to_owned(),
        }
    };
    key.iter().zip(texts).map(|(at, text)| KeyCell::from_postgres(&type_name(at), text)).collect()
}
