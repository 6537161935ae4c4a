//! Tables read again in chunks by key, beside the stream.
//!
//! A chunk is read while the stream stands still; then its rows wait in a window until the stream has
//! come as far as the reading. What the stream changes until then is newer than what was read.
//!
//! ```text
//!   stream  ──t1──┃        ──t2──t3──close──t4──
//!                 ┃read chunk       ┃
//!                                   ┃ the rows that t2 and t3 did not touch
//! ```
//!
//! Where the chunk ends in the stream is told by the log itself: its end as it was after the reading. With a
//! table for signals Debezium's marks are written there too, and its second one is then the end, so that
//! the records are the same and in the same place.

mod statement;

use super::catalog::Catalog;
use super::copy::CopyRow;
use super::failure::ServerError;
use super::pgoutput::{Cell, Old, Tuple};
use super::relation::{Relation, Relations};
use super::row::{decode_copied, empty};
use super::wire::{Wire, protocol};
use super::{connect, filter};
use crate::config::signal::{SignalConfig, Watermarking};
use crate::config::source::SourceConfig;
use crate::metrics;
use crate::model::change::{Change, Event, Marker, Op, Origin, PostgresOrigin};
use crate::model::key_cell::KeyCell;
use crate::model::notice::{Keys, News, Notice, Outcome, Reading as Of};
use crate::model::position::{Collection, Incremental, Lsn};
use crate::model::request::Tables;
use crate::model::table::TableId;
use crate::model::value::RowBuffer;
use crate::snapshot::window::{Window, key};
use crate::source::Take;
use bumpalo::Bump;
use shared::error::Context;
use shared::{Error, Kind, Result};
use statement::{Keyed, mark, unmark};
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

/// Reads beside the stream.
pub struct Beside {
    source: SourceConfig,
    signal: SignalConfig,
    /// The table that marks are written to.
    marks: Option<TableId>,
    wire: Option<Wire>,
    state: Option<Arc<Incremental>>,
    current: Option<Reading>,
    chunk: Option<Chunk>,
    paused: bool,
    nudged: Instant,
    notices: Vec<Notice>,
    buffer: RowBuffer,
    arena: Bump,
}

/// The table being read.
struct Reading {
    relation: Arc<Relation>,
    /// Indexes of the columns that it is read by, in the table and in what the stream sends.
    key: Vec<usize>,
    rows: u64,
    at_once: usize,
}

/// A chunk that waits for the stream.
struct Chunk {
    window: Window<CopyRow>,
    /// Of the last row read, whether or not it is still in the window.
    last_key: Option<Vec<KeyCell>>,
    close: Close,
}

/// Where in the stream a chunk ends.
enum Close {
    /// At the row of this id in the table of marks: inserted, or deleted.
    Mark(String, Op),
    At(Lsn),
}

/// What rows say of their place.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    pub database: &'a str,
    pub lsn: Lsn,
    pub last_commit_lsn: Option<Lsn>,
}

impl Beside {
    pub fn new(source: &SourceConfig, signal: &SignalConfig, state: Option<Arc<Incremental>>) -> Self {
        let marks = signal.table.as_deref().filter(|_| !signal.read_only).and_then(filter::table_id);
        Beside {
            source: source.clone(),
            signal: signal.clone(),
            marks,
            wire: None,
            state: state.filter(|state| !state.collections.is_empty()),
            current: None,
            chunk: None,
            paused: false,
            nudged: Instant::now(),
            notices: Vec::new(),
            buffer: RowBuffer::default(),
            arena: Bump::new(),
        }
    }

    /// What is stored with each position.
    pub fn state(&self) -> Option<&Arc<Incremental>> {
        self.state.as_ref()
    }

    /// The end of log that the stream must come to before the chunk's rows go out.
    pub fn awaits(&self) -> Option<Lsn> {
        match self.chunk.as_ref()?.close {
            Close::At(lsn) => Some(lsn),
            Close::Mark(..) => None,
        }
    }

    /// Reads these tables too. `captured` are all that there are.
    pub fn add(&mut self, id: &str, wanted: &Tables, captured: &[TableId]) -> Result<()> {
        let mut state = self.state.as_deref().cloned().unwrap_or_default();
        let names = super::filter::expand(&wanted.patterns, captured)?;
        for name in names {
            if state.collections.iter().any(|known| known.id == name) {
                continue;
            }
            let filter = wanted.filters.iter().find(|(pattern, _)| filter::fits(pattern, &name));
            state.collections.push(Collection {
                id: name,
                additional_condition: filter.map(|(_, condition)| condition.clone()),
                surrogate_key: wanted.surrogate_key.clone(),
            });
        }
        if self.state.is_none() {
            state.correlation_id = Some(id.to_owned());
        }
        tracing::info!(
            event = "incremental_snapshot_asked",
            id,
            tables = state.collections.len(),
            "tables are read beside the stream"
        );
        self.state = Some(Arc::new(state));
        self.notify(News::Started { tables: self.tables() });
        Ok(())
    }

    /// Ends the reading of the tables that fit, or of all.
    pub fn stop(&mut self, patterns: &[String]) {
        let Some(state) = self.state.as_deref() else { return };
        let mut left = state.clone();
        let goes = |collection: &Collection| {
            patterns.is_empty() || patterns.iter().any(|pattern| filter::fits(pattern, &collection.id))
        };
        let first_goes = left.collections.first().is_some_and(&goes);
        left.collections.retain(|collection| !goes(collection));
        if first_goes {
            (self.current, self.chunk) = (None, None);
            (left.last_key, left.maximum_key) = (None, None);
        }
        tracing::info!(
            event = "incremental_snapshot_stopped",
            left = left.collections.len(),
            "tables are not read further"
        );
        if left.collections.is_empty() {
            self.notify(News::Aborted);
            self.state = None;
        } else {
            self.state = Some(Arc::new(left));
        }
    }

    pub fn pause(&mut self, paused: bool) {
        if self.state.is_none() || self.paused == paused {
            return;
        }
        self.paused = paused;
        let tables = self.tables();
        self.notify(if paused { News::Paused { tables } } else { News::Resumed { tables } });
    }

    /// Whether a chunk can be read now.
    pub fn due(&self) -> bool {
        self.state.is_some() && self.chunk.is_none() && !self.paused
    }

    /// Hands over what is to be told.
    pub fn tell(&mut self, take: Take<'_>) -> Result<()> {
        for notice in self.notices.drain(..) {
            take(Event::Notice(&notice))?;
        }
        Ok(())
    }

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

    fn first(&self) -> Option<&Collection> {
        self.state.as_deref()?.collections.first()
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
        let condition = collection.additional_condition.as_deref().filter(|text| !text.trim().is_empty());
        let statement = Keyed { table: &relation.table, key: &key, condition }.maximum();
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
        let condition = collection.additional_condition.as_deref().filter(|text| !text.trim().is_empty());
        let keyed = Keyed { table: &relation.table, key: &key_columns, condition };
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

    /// The stream changed a row.
    pub fn changed(&mut self, relation: &Relation, old: Option<Old<'_>>, new: Option<Tuple<'_>>) {
        let (Some(chunk), Some(reading)) = (&mut self.chunk, &self.current) else { return };
        if relation.table.id != reading.relation.table.id {
            return;
        }
        for tuple in [old.map(|old| old.tuple), new].into_iter().flatten() {
            let names = reading.key.iter().filter_map(|at| reading.relation.table.columns.get(*at));
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
            empty(&mut self.arena);
            let mut values = self.buffer.take();
            decode_copied(&reading.relation, row, &self.arena, &mut values)?;
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
            take(Event::Change(Change {
                op: Op::Read,
                table: &reading.relation.table,
                before: None,
                after: Some(&values),
                origin: Origin::Postgres(origin),
            }))?;
            self.buffer.give_back(values);
        }
        match chunk.last_key {
            Some(last) => self.come_to(last),
            None => self.end_table(Outcome::Succeeded),
        }
        self.tell(take)
    }

    fn come_to(&mut self, last: Vec<KeyCell>) {
        let Some(state) = &mut self.state else { return };
        let state = Arc::make_mut(state);
        let maximum = shown(state.maximum_key.as_deref().unwrap_or_default());
        let keys = Keys { maximum, last: shown(&last) };
        state.last_key = Some(last);
        if let Some(table) = self.first().and_then(|first| filter::table_id(&first.id)) {
            let tables = self.tables();
            self.notify(News::Table { table, tables, keys: Some(keys) });
        }
    }

    /// The first table is done with, one way or another; the next one is now the first.
    fn end_table(&mut self, outcome: Outcome) {
        let rows = self.current.take().map_or(0, |reading| reading.rows);
        self.chunk = None;
        let tables = self.tables();
        let Some(state) = &mut self.state else { return };
        let state = Arc::make_mut(state);
        (state.last_key, state.maximum_key) = (None, None);
        if state.collections.is_empty() {
            return;
        }
        let collection = state.collections.remove(0);
        let over = state.collections.is_empty();
        tracing::info!(event = "incremental_table_read", table = collection.id, rows, outcome = ?outcome, "table read");
        if let Some(table) = filter::table_id(&collection.id) {
            self.notify(News::Read { table, tables, rows, outcome });
        }
        if over {
            self.notify(News::Completed);
            self.state = None;
            self.wire = None;
            tracing::info!(
                event = "incremental_snapshot_finished",
                "all tables that were asked for are read"
            );
        }
    }

    fn tables(&self) -> Arc<[TableId]> {
        let collections = self.state.as_deref().map(|state| state.collections.as_slice()).unwrap_or_default();
        collections.iter().filter_map(|collection| filter::table_id(&collection.id)).collect()
    }

    fn notify(&mut self, news: News) {
        let id = self.state.as_deref().and_then(|state| state.correlation_id.clone());
        self.notices.push(Notice { of: Of::Incremental, news, id });
    }
}

fn text(tuple: Tuple<'_>, at: usize) -> Option<&[u8]> {
    match tuple.cells().nth(at) {
        Some(Ok(Cell::Text(text))) => Some(text),
        _ => None,
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

fn shown(key: &[KeyCell]) -> String {
    let cells: Vec<String> = key.iter().map(|cell| cell.text().unwrap_or_default()).collect();
    cells.join(",")
}
