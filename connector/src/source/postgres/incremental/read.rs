//! Reading: a table is begun, its chunks are read and marked.

use super::statement::{Keyed, Range};
use super::{Beside, Chunk, Close, Database, Reading};
use crate::config::signal::Watermarking;
use crate::metrics;
use crate::model::change::Op;
use crate::model::key_cell::KeyCell;
use crate::model::notice::Outcome;
use crate::model::position::Collection;
use crate::snapshot::window::{Window, key};
use crate::source::postgres::catalog::Describes;
use crate::source::postgres::copy::CopyRow;
use crate::source::postgres::relation::{Relation, Relations};
use crate::source::postgres::wire::protocol;
use shared::error::Context;
use shared::{Error, Kind, Result};
use std::sync::Arc;
use std::time::Duration;

/// A chunk is held in memory: larger rows make smaller chunks.
const CHUNK_BYTES: usize = 16 * 1024 * 1024;

/// How long a chunk waits for its end before the log is moved on.
const NUDGE_INTERVAL: Duration = Duration::from_millis(100);

impl<D: Database> Beside<D> {
    /// Reads the next chunk, of the next table if one is at its end.
    pub fn read(&mut self, relations: &mut Relations, catalog: &mut dyn Describes) -> Result<()> {
        match self.try_read(relations, catalog) {
            // What was asked for cannot be done: the stream goes on without it.
            Err(error) if !error.retryable() => {
                let table = self.first().map(|collection| collection.id.clone()).unwrap_or_default();
                tracing::error!(event = "incremental_table_failed", table, %error, remedy = error.hint(), "the table is not read further");
                self.database.close();
                self.end_table(Outcome::Failed);
                Ok(())
            }
            done => done,
        }
    }

    fn try_read(&mut self, relations: &mut Relations, catalog: &mut dyn Describes) -> Result<()> {
        if self.current.is_none() && !self.begin_table(relations, catalog)? {
            return Ok(());
        }
        let id = uuid::Uuid::new_v4().to_string();
        let opened = self.now();
        self.set_mark(&format!("{id}-open"), "snapshot-window-open", &[("openWindowTimestamp", opened)])?;
        let end = match &self.marks {
            None => Some(self.database.begin().doing(|| "begin a chunk")?),
            Some(_) => None,
        };
        let (window, last_key) = self.read_rows()?;
        let close = match end {
            Some(end) => {
                self.database.end().doing(|| "end a chunk")?;
                Close::At(end)
            }
            None => self.second_mark(&id, opened)?,
        };
        self.chunk = Some(Chunk { window, last_key, close });
        self.nudged = self.clock.monotonic();
        Ok(())
    }

    /// Describes the first table and finds how far it is to be read; `false` if there is nothing to read.
    fn begin_table(&mut self, relations: &mut Relations, catalog: &mut dyn Describes) -> Result<bool> {
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
        let own = &relation.table.key;
        let identity = if own.is_empty() { key.clone() } else { own.clone() };
        self.current = Some(Reading { relation: Arc::new(relation), key, identity, rows: 0, at_once });
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
        let found =
            self.database.maximum(&keyed).doing(|| format!("find the last key of {}", collection.id))?;
        let Some(texts) = found else { return Ok(false) };
        let maximum = cells(&relation, &key, texts.iter().map(|cell| cell.as_deref()));
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
        let (relation, limit) = (reading.relation.clone(), reading.at_once);
        let (key_columns, identity) = (reading.key.clone(), reading.identity.clone());
        let keyed = Keyed { table: &relation.table, key: &key_columns, condition: collection.condition() };
        let maximum = state.maximum_key.as_deref().unwrap_or_default();
        let range = Range { last: state.last_key.as_deref(), maximum, limit };
        let (mut window, mut last_key, mut kept, mut bytes) = (Window::default(), None, 0, 0);
        let mut keep = |line: &[u8]| {
            if bytes >= CHUNK_BYTES {
                return Ok(());
            }
            let mut row = CopyRow::default();
            row.read(line).map_err(protocol)?;
            bytes += line.len();
            kept += 1;
            let cell = |at: &usize| row.cells().nth(*at).flatten();
            let texts = key_columns.iter().map(|at| cell(at).and_then(|text| std::str::from_utf8(text).ok()));
            last_key = Some(cells(&relation, &key_columns, texts));
            let key = key(identity.iter().map(cell)).unwrap_or_default();
            window.read(key, row);
            Ok(())
        };
        let read = || format!("read a chunk of table {}", collection.id);
        self.database.rows(&keyed, &range, &mut keep).doing(read)?;
        if let Some(reading) = &mut self.current {
            reading.rows += kept as u64;
            if bytes >= CHUNK_BYTES {
                reading.at_once = kept.max(1);
            }
        }
        metrics::SOURCE_SNAPSHOT_ROWS.inc_by(kept as u64);
        Ok((window, last_key))
    }

    /// Moves an idle log on, if a chunk waits for its end for long.
    pub fn nudge(&mut self) -> Result<()> {
        let since = self.clock.monotonic().saturating_sub(self.nudged);
        if self.awaits().is_some() && since >= NUDGE_INTERVAL {
            self.nudged = self.clock.monotonic();
            self.database.nudge()?;
        }
        Ok(())
    }

    /// Debezium's second mark.
    fn second_mark(&mut self, id: &str, opened: jiff::Timestamp) -> Result<Close> {
        let Some(table) = self.marks.clone() else { return Err(Error::new(Kind::Bug, "no table of marks")) };
        if self.signal.watermarking == Watermarking::InsertDelete {
            let open = format!("{id}-open");
            self.database.unmark(&table, &open).doing(|| format!("write a mark to {table}"))?;
            return Ok(Close::Mark(open, Op::Delete));
        }
        let close = format!("{id}-close");
        let times = [("openWindowTimestamp", opened), ("closeWindowTimestamp", self.now())];
        self.set_mark(&close, "snapshot-window-close", &times)?;
        Ok(Close::Mark(close, Op::Create))
    }

    fn set_mark(&mut self, id: &str, kind: &str, times: &[(&str, jiff::Timestamp)]) -> Result<()> {
        let Some(table) = self.marks.clone() else { return Ok(()) };
        let times: Vec<String> =
            times.iter().map(|(name, time)| format!("\"{name}\": \"{time:.9}\"")).collect();
        let data = format!("{{{}}}", times.join(", "));
        self.database.mark(&table, id, kind, &data).doing(|| format!("write a mark to {table}"))
    }

    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::from_nanosecond(self.clock.now().nanos().into()).unwrap_or_default()
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
