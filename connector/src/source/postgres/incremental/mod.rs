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
//! Where the chunk ends in the stream is told by the log itself: its end as it was when the reading began. With a
//! table for signals Debezium's marks are written there too, and its second one is then the end, so that
//! the records are the same and in the same place.

mod database;
mod meet;
mod read;
mod statement;

pub use database::{Database, KeyTexts, Server};
pub use meet::Place;
pub use statement::{Keyed, Range};

use super::copied::Copied;
use super::copy::CopyRow;
use super::filter;
use super::relation::Relation;
use crate::config::signal::SignalConfig;
use crate::model::change::{Event, Op};
use crate::model::key_cell::KeyCell;
use crate::model::notice::{Keys, News, Notice, Outcome, Reading as Of};
use crate::model::position::{Collection, Incremental, Lsn};
use crate::model::request::{Action, Tables};
use crate::model::table::TableId;
use crate::snapshot::window::Window;
use crate::source::Take;
use shared::Result;
use shared::time::Clock;
use std::sync::Arc;
use std::time::Duration;

/// Reads beside the stream.
pub struct Beside<D = Server> {
    database: D,
    signal: SignalConfig,
    clock: Clock,
    /// The table that marks are written to.
    marks: Option<TableId>,
    state: Option<Arc<Incremental>>,
    current: Option<Reading>,
    chunk: Option<Chunk>,
    paused: bool,
    /// When the log was last moved on, as the monotonic clock tells.
    nudged: Duration,
    notices: Vec<Notice>,
    copied: Copied,
}

/// The table being read.
struct Reading {
    relation: Arc<Relation>,
    /// Indexes of the columns that it is read by.
    key: Vec<usize>,
    /// Of those that tell its rows apart: a deleted row comes with these, not with a column that somebody
    /// named to read by.
    identity: Vec<usize>,
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

impl<D: Database> Beside<D> {
    pub fn new(database: D, signal: &SignalConfig, clock: Clock, state: Option<Arc<Incremental>>) -> Self {
        let marks = signal.table.as_deref().filter(|_| !signal.read_only).and_then(filter::table_id);
        Beside {
            database,
            signal: signal.clone(),
            marks,
            state: state.filter(|state| !state.collections.is_empty()),
            current: None,
            chunk: None,
            paused: false,
            nudged: clock.monotonic(),
            clock,
            notices: Vec::new(),
            copied: Copied::default(),
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

    /// Does what was asked for. `captured`: all tables that there are, if it asks for some.
    ///
    /// # Errors
    /// `Config`, for a pattern that is none.
    pub fn follow(&mut self, id: &str, action: &Action, captured: &[TableId]) -> Result<()> {
        match action {
            Action::Incremental(tables) => self.add(id, tables, captured)?,
            Action::Stop(patterns) => self.stop(patterns),
            Action::Pause | Action::Resume => self.pause(*action == Action::Pause),
            Action::Blocking(_) | Action::Log(_) => {}
        }
        Ok(())
    }

    /// Reads these tables too.
    fn add(&mut self, id: &str, wanted: &Tables, captured: &[TableId]) -> Result<()> {
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
    fn stop(&mut self, patterns: &[String]) {
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

    fn pause(&mut self, paused: bool) {
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

    fn first(&self) -> Option<&Collection> {
        self.state.as_deref()?.collections.first()
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
            self.database.close();
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

fn shown(key: &[KeyCell]) -> String {
    let cells: Vec<String> = key.iter().map(|cell| cell.text().unwrap_or_default()).collect();
    cells.join(",")
}
