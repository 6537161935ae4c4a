//! Reads tables at one point in time, by `COPY`, on connections of its own.
//!
//! The point is the slot's own if the slot was just made: then rows and stream fit without a gap or a
//! repeat by themselves. Otherwise it is taken now, and the stream passes over what it has seen already
//! ([`Seen`](crate::snapshot::visible::Seen)).
//!
//! ```text
//!   tables ─> pieces of pages ─┬─> worker ─┐
//!                              ├─> worker ─┼─> rows, one thread; a boundary now and then, with what
//!                              └─> worker ─┘   is read so far: after a crash the rest is read
//! ```
//!
//! A boundary comes where each worker stands between two pieces: then none of the rows before it is read
//! again. Workers that get there wait for the others.
//!
//! After a crash the point in time is gone. What is left of the tables is read at a new one, and of pages read
//! before only the rows that changed since, of which one may have moved there. What changed between the two
//! is streamed all the same: rows of the first may be in Kafka although nothing is stored of them.

mod read;
mod table;
mod view;
mod worker;

pub use table::{Wanted, name};

use super::catalog::Describes;
use super::copied::Copied;
use super::relation::Relations;
use crate::config::snapshot::SnapshotConfig;
use crate::config::source::SourceConfig;
use crate::metrics;
use crate::model::change::Event;
use crate::model::notice::{News, Notice, Reading as ReadingOf};
use crate::model::position::{Position, PostgresPosition, SnapshotState};
use crate::model::progress::SnapshotProgress;
use crate::model::table::TableId;
use crate::snapshot::piece::Piece;
use crate::source::{SnapshotProgress as Counts, Take};
use shared::Result;
use shared::error::Context;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};
use table::Reading;
use worker::Worker;

/// What is read so far is told about this often, or after so many pieces.
const BOUNDARY_INTERVAL: Duration = Duration::from_millis(500);
const BOUNDARY_PIECES: u32 = 32;
/// A boundary that no moment between two pieces allowed comes all the same, before the sink's transactions
/// get too long: of a table that is read in one piece, rows are then read again after a crash.
const BOUNDARY_LIMIT: Duration = Duration::from_secs(60);
/// How far it is stands in the log this often.
const SAY_INTERVAL: Duration = Duration::from_secs(10);
/// A page's size is compiled into the server; nearly all have this one.
const PAGE_BYTES: u64 = 8_192;

/// Which point in time to read at.
pub enum Of {
    /// The one that fits a slot just made, under this name.
    NewSlot { name: String },
    /// Now; rows bear the place where that was asked, if it was asked in the log.
    Now { asked_at: Option<PostgresPosition> },
}

/// What a snapshot begins with.
pub struct Start {
    pub of: Of,
    /// Where the stream will begin: what the rows say of their place.
    pub position: PostgresPosition,
    pub tables: Vec<Wanted>,
    /// What an earlier start has read, and whether tables were asked for while streaming.
    pub progress: SnapshotProgress,
    pub server_version: i32,
}

pub struct Snapshot {
    workers: Vec<Worker>,
    chunk_pages: u32,
    server_version: i32,
    waiting: VecDeque<(usize, Wanted)>,
    /// Pieces of the table begun last that nobody reads yet.
    pieces: VecDeque<(usize, Piece)>,
    tables: Vec<Option<Reading>>,
    tables_done: usize,
    rows: u64,
    /// Where the stream stood when these tables were asked for.
    base: PostgresPosition,
    /// All is read at the slot's own point: the stream brings nothing of it again.
    own: bool,
    /// What rows say of their place.
    database: String,
    position: PostgresPosition,
    copied: Copied,
    progress: SnapshotProgress,
    told_at: Instant,
    /// Pieces read since.
    untold: u32,
    said_at: Instant,
    said_rows: u64,
    done: bool,
    names: Arc<[TableId]>,
    notices: Vec<Notice>,
}

impl Snapshot {
    pub fn begin(source: &SourceConfig, config: &SnapshotConfig, start: Start) -> Result<Self> {
        let Start { of, position: base, tables, mut progress, server_version } = start;
        let count = usize::try_from(config.max_threads).unwrap_or(1);
        let (wires, taken) = view::open(source, &of, count, config.lock_timeout_ms)?;
        let first = progress.view.is_none();
        progress.view.get_or_insert(taken.view);
        let (transaction_id, commit_time_us) = (taken.transaction_id, taken.time_us);
        let position = match &of {
            Of::Now { asked_at: Some(at) } => PostgresPosition { commit_time_us, ..at.clone() },
            _ => PostgresPosition { transaction_id, commit_time_us, ..base.clone() },
        };
        let total = tables.len();
        let names: Arc<[TableId]> = tables.iter().map(|wanted| wanted.id.clone()).collect();
        let left = |(_, wanted): &(usize, Wanted)| !progress.finished(&wanted.id);
        let waiting: VecDeque<_> = tables.into_iter().enumerate().filter(left).collect();
        tracing::info!(
            event = "snapshot_started",
            tables = total,
            left = waiting.len(),
            lsn = %position.lsn,
            "snapshot started"
        );
        Ok(Snapshot {
            workers: wires.into_iter().map(Worker::new).collect(),
            chunk_pages: u32::try_from(config.chunk_bytes / PAGE_BYTES).unwrap_or(u32::MAX).max(1),
            server_version,
            tables_done: total - waiting.len(),
            waiting,
            pieces: VecDeque::new(),
            tables: (0..total).map(|_| None).collect(),
            rows: 0,
            base,
            own: first && matches!(of, Of::NewSlot { .. }),
            database: source.database.clone(),
            position,
            copied: Copied::default(),
            progress,
            told_at: Instant::now(),
            untold: 1,
            said_at: Instant::now(),
            said_rows: 0,
            done: false,
            notices: vec![notice(News::Started { tables: names.clone() })],
            names,
        })
    }

    pub fn done(&self) -> bool {
        self.done
    }

    pub fn counts(&self) -> Counts {
        let of_table = |reading: &Reading| 1_000 - 1_000 * reading.open / reading.pieces.max(1);
        let open = self.tables.iter().flatten().filter(|reading| reading.open > 0);
        let done = self.tables_done * 1_000 + open.map(of_table).sum::<usize>();
        Counts {
            tables: self.tables.len(),
            tables_done: self.tables_done,
            rows: self.rows,
            permille: u32::try_from(done / self.tables.len().max(1)).unwrap_or_default(),
        }
    }

    /// Where the stream goes on once the snapshot is done, and what it passes over: nothing, if the tables
    /// were asked for while streaming. What changes meanwhile is streamed then, as with Debezium.
    pub fn position(&self) -> PostgresPosition {
        let request = self.progress.request.is_some();
        let needed = !self.done || !request && !self.own;
        let progress = needed.then(|| Arc::new(self.progress.clone()));
        if request {
            return PostgresPosition { progress, ..self.base.clone() };
        }
        let state = if self.done { SnapshotState::Completed } else { SnapshotState::Running };
        PostgresPosition { snapshot: Some(state), progress, ..self.position.clone() }
    }

    /// Reads once and hands over every whole row but the last ones.
    pub fn poll(
        &mut self,
        wait: Duration,
        relations: &mut Relations,
        catalog: &mut dyn Describes,
        take: Take<'_>,
    ) -> Result<bool> {
        self.assign(relations, catalog)?;
        self.notify(take)?;
        if self.workers.iter().all(|worker| worker.current.is_none()) {
            return self.finish(take).map(|()| true);
        }
        let mut rows = self.boundary(take)?;
        for at in self.readable(wait)? {
            rows += self.read(at, wait, take)?;
        }
        self.rows += rows;
        self.say_progress();
        metrics::SOURCE_SNAPSHOT_ROWS.inc_by(rows);
        Ok(rows > 0)
    }

    /// Whether workers that stand between two pieces are to wait there.
    fn boundary_wanted(&self) -> bool {
        // What is given out of a piece read by nobody counts at the end of all only.
        let never = |worker: &Worker| worker.current.is_none() && worker.given || worker.rereads();
        let due =
            self.untold >= BOUNDARY_PIECES || self.untold > 0 && self.told_at.elapsed() >= BOUNDARY_INTERVAL;
        due && !self.workers.iter().any(never)
    }

    /// Gives the boundary if all workers wait for it, and lets them go on.
    fn boundary(&mut self, take: Take<'_>) -> Result<u64> {
        let wanted = self.boundary_wanted();
        let between = self.workers.iter().all(|worker| !worker.given);
        if wanted && between || self.untold > 0 && self.told_at.elapsed() >= BOUNDARY_LIMIT {
            self.tell(take)?;
        } else if wanted {
            return Ok(0);
        }
        let mut rows = 0;
        for at in 0..self.workers.len() {
            if self.workers.get_mut(at).is_some_and(|worker| std::mem::take(&mut worker.waits)) {
                self.hold(at)?;
                rows += 1 + self.rows_of(at, take)?;
            }
        }
        Ok(rows)
    }

    fn say_progress(&mut self) {
        let since = self.said_at.elapsed();
        if since < SAY_INTERVAL {
            return;
        }
        let Counts { tables, tables_done, rows, permille } = self.counts();
        let rows_per_second = ((rows - self.said_rows) as f64 / since.as_secs_f64()) as u64;
        (self.said_at, self.said_rows) = (Instant::now(), rows);
        let percent = permille / 10;
        tracing::info!(
            event = "snapshot_progress",
            tables,
            tables_done,
            rows,
            rows_per_second,
            percent,
            "reading"
        );
    }

    /// All tables are read: the last rows, the end of the transactions, and the boundary.
    fn finish(&mut self, take: Take<'_>) -> Result<()> {
        let holding = |worker: &Worker| worker.held.table.is_some();
        let last = self.workers.iter().rposition(holding);
        for at in 0..self.workers.len() {
            self.hand_over(at, Some(at) == last, take)?;
        }
        for worker in &mut self.workers {
            worker.wire.query("COMMIT").doing(|| "end the snapshot")?;
            worker.wire.close();
        }
        self.done = true;
        self.progress.tables.clear();
        self.notices.push(notice(News::Completed));
        self.notify(take)?;
        tracing::info!(
            event = "snapshot_finished",
            tables = self.tables.len(),
            rows = self.rows,
            "snapshot finished"
        );
        self.tell(take)
    }

    fn notify(&mut self, take: Take<'_>) -> Result<()> {
        for notice in self.notices.drain(..) {
            take(Event::Notice(&notice))?;
        }
        Ok(())
    }

    /// A boundary: when what was handed over is durable, this much is read.
    fn tell(&mut self, take: Take<'_>) -> Result<()> {
        self.untold = 0;
        self.told_at = Instant::now();
        take(Event::Boundary(Position::Postgres(self.position())))
    }
}

fn notice(news: News) -> Notice {
    Notice { of: ReadingOf::Initial, news, id: None }
}
