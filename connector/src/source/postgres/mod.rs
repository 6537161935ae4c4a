//! PostgreSQL as a source: a snapshot of the tables, then the slot's stream.
//!
//! ```text
//!  open ── version, wal_level, privileges
//!  start ─ publication ─ slot ─ plan ─┬─> snapshot ─┐
//!                                     └────────────> stream
//!  poll ── socket → frame → pgoutput → row → Event
//! ```

mod array;
mod catalog;
mod check;
mod column;
mod composed;
mod connect;
mod copy;
mod cursor;
mod datetime;
mod default;
mod failure;
mod filter;
mod frame;
mod geometry;
mod interval;
mod pace;
mod pgoutput;
mod publication;
mod relation;
mod row;
mod server;
mod slot;
mod snapshot;
mod sql;
mod stream;
mod tls;
mod value;
mod visible;
mod wire;

#[cfg(any(test, fuzzing))]
pub mod fuzz;

pub use check::check;

use crate::config::snapshot::{SnapshotConfig, SnapshotMode};
use crate::config::source::SourceConfig;
use crate::model::change::Event;
use crate::model::position::{Lsn, Position, PostgresPosition};
use crate::model::table::TableId;
use crate::snapshot::mode::{Plan, plan};
use catalog::Catalog;
use connect::{Purpose, connect};
use filter::{Names, TableFilter};
use relation::Relations;
use server::Server;
use shared::error::Context;
use shared::{Error, Kind, Result};
use slot::Slot;
use snapshot::{Of, Snapshot};
use sql::Sql;
use std::time::{Duration, Instant};
use stream::{Start, Stream};
use tokio::runtime::Handle;
use visible::Visible;
use wire::Wire;

/// A server notices a cut connection at the latest when it next writes to it.
const SLOT_WAIT: Duration = Duration::from_secs(8);
const SLOT_PAUSE: Duration = Duration::from_millis(100);

/// Where the source stands, for status and metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// LSN of the last message read.
    pub received: Lsn,
    /// End of the server's log as it last told us.
    pub server_end: Lsn,
    /// What the server was told, or will be with the next status, is durable.
    pub confirmed: Lsn,
    /// Commit time of the last transaction read, microseconds since 1970; 0 before the first.
    pub commit_time_us: i64,
    /// While a snapshot is being read.
    pub snapshot: Option<SnapshotProgress>,
}

/// How far a snapshot is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SnapshotProgress {
    pub tables: usize,
    pub tables_done: usize,
    pub rows: u64,
}

/// A PostgreSQL database as a source of changes.
pub struct Postgres {
    config: SourceConfig,
    mode: SnapshotMode,
    server: Server,
    catalog: Catalog,
    filter: TableFilter,
    relations: Relations,
    /// A replication connection that waits for its first command.
    wire: Option<Wire>,
    phase: Phase,
    xmin_read: Option<Instant>,
}

enum Phase {
    /// Opened, not started.
    Ready,
    Snapshot(Box<Snapshot>),
    Stream(Box<Stream>),
    /// Everything asked for is done.
    Rest,
}

impl Postgres {
    /// Connects and checks version, settings and privileges.
    ///
    /// # Errors
    /// Each names the thing and its remedy, with SQL to copy where there is some.
    pub fn open(config: &SourceConfig, snapshot: &SnapshotConfig, runtime: Handle) -> Result<Postgres> {
        config.check()?;
        let filter = TableFilter::new(config)?;
        let wire = connect(config, Purpose::Replication).map_err(|error| match error.kind() {
            Kind::Denied if error.to_string().contains("42501") => {
                error.remedy(server::replication_remedy(config))
            }
            _ => error,
        })?;
        let mut catalog = Catalog::new(Sql::new(config, runtime)?);
        let server = server::inspect(&mut catalog.sql)?;
        server.check_version()?;
        server.check_wal_level()?;
        server.check_replication(config)?;
        Ok(Postgres {
            config: config.clone(),
            mode: snapshot.mode,
            server,
            catalog,
            relations: Relations::new(filter.clone(), config.unknown_types),
            filter,
            wire: Some(wire),
            phase: Phase::Ready,
            xmin_read: None,
        })
    }

    /// Decides from the stored position and the server's state what to do, and prepares
    /// publication, slot and snapshot; then [`Postgres::poll`] delivers.
    ///
    /// # Errors
    /// `Lost` when the stored position cannot be resumed: nothing is skipped silently.
    pub fn start(&mut self, stored: Option<&Position>) -> Result<()> {
        let stored = stored.map(|Position::Postgres(position)| position);
        let tables = self.captured_tables()?;
        publication::ensure(&mut self.catalog.sql, &self.config, &tables)?;
        let slot = self.free_slot()?;
        match (plan(self.mode, stored), stored, slot) {
            (Plan::Rest, ..) => {
                self.phase = Phase::Rest;
                Ok(())
            }
            (Plan::Snapshot, _, slot) => self.start_snapshot(slot, tables),
            (Plan::StreamFromSlot, _, slot) => self.start_at_slot(slot),
            (Plan::Resume, Some(stored), Some(slot)) => self.resume(stored, &slot),
            (Plan::Resume, Some(stored), None) => Err(Error::new(
                Kind::Lost,
                format!("slot {} is gone, but {} is stored to resume from", self.config.slot, stored.lsn),
            )
            .remedy(
                "the changes since then are lost: remove the stored offset and start again for a new snapshot",
            )),
            (Plan::Resume, None, _) => Err(Error::new(Kind::Bug, "nothing is stored to resume from")),
        }
    }

    /// The slot once nobody reads it: a connection that was cut or killed may hold it a little longer.
    fn free_slot(&mut self) -> Result<Option<Slot>> {
        let until = Instant::now() + SLOT_WAIT;
        loop {
            let slot = slot::inspect(&mut self.catalog.sql, &self.config.slot)?;
            match slot.as_ref().and_then(|slot| slot.active_pid) {
                None => return Ok(slot),
                Some(pid) if Instant::now() >= until => {
                    let what = format!("slot {} is active for process {pid}", self.config.slot);
                    return Err(Error::new(Kind::Unreachable, what).remedy(
                        "stop the other reader of the slot, or set source.slot to another name for this connector",
                    ));
                }
                Some(_) => std::thread::sleep(SLOT_PAUSE),
            }
        }
    }

    fn captured_tables(&mut self) -> Result<Vec<TableId>> {
        let all = self.catalog.tables()?;
        self.filter.check_literals(&all)?;
        for pattern in self.filter.without_match(&all) {
            tracing::warn!(event = "pattern_matches_nothing", pattern, "no table matches the pattern");
        }
        let tables = self.filter.select(all);
        if tables.is_empty() {
            tracing::warn!(event = "nothing_captured", "no table is captured");
        }
        Ok(tables)
    }

    fn start_snapshot(&mut self, slot: Option<Slot>, tables: Vec<TableId>) -> Result<()> {
        let of = match slot {
            Some(slot) => {
                slot.check(&self.config)?;
                slot.check_free(&self.config.slot)?;
                tracing::info!(
                    event = "slot_reused",
                    slot = %self.config.slot,
                    confirmed = %slot.confirmed,
                    "slot exists but nothing usable is stored: taking a snapshot now"
                );
                Of::Now { slot_confirmed: slot.confirmed }
            }
            None => {
                let created = self.create_slot()?;
                Of::NewSlot { name: created.snapshot_name, lsn: created.consistent_point }
            }
        };
        let snapshot = Snapshot::begin(&self.config, of, tables)?;
        // The slot's snapshot is taken over now; a connection left idle for the length of a large
        // snapshot might be cut, so the stream opens its own.
        if let Some(mut wire) = self.wire.take() {
            wire.close();
        }
        self.phase = Phase::Snapshot(Box::new(snapshot));
        Ok(())
    }

    fn start_at_slot(&mut self, slot: Option<Slot>) -> Result<()> {
        let lsn = match slot {
            Some(slot) => {
                slot.check(&self.config)?;
                slot.confirmed
            }
            None => self.create_slot()?.consistent_point,
        };
        let position = PostgresPosition { lsn, ..PostgresPosition::default() };
        self.begin_stream(position, lsn, None)
    }

    fn resume(&mut self, stored: &PostgresPosition, slot: &Slot) -> Result<()> {
        slot.check(&self.config)?;
        let end: Lsn = self.server.end_lsn.parse().unwrap_or(Lsn(u64::MAX));
        if stored.lsn > end {
            return Err(Error::new(
                Kind::Lost,
                format!("{} is stored to resume from, but the server's log ends at {end}", stored.lsn),
            )
            .remedy(
                "this is another server or one restored from a backup: remove the stored offset and start \
                 again for a new snapshot",
            ));
        }
        if stored.lsn < slot.confirmed && !self.config.trust_slot {
            // We store before we confirm, so only somebody else can have moved the slot.
            return Err(Error::new(
                Kind::Lost,
                format!("{} is stored to resume from, but slot {} begins at {}", stored.lsn, self.config.slot, slot.confirmed),
            )
            .remedy(
                "the slot was made anew or moved by somebody else, and the changes between are lost: remove the \
                 stored offset and start again for a new snapshot, or set source.trust_slot = true to go on without them",
            ));
        }
        self.begin_stream(stored.clone(), slot.confirmed, None)
    }

    fn create_slot(&mut self) -> Result<slot::Created> {
        let mut wire = self.replication_wire()?;
        let created = slot::create(&mut wire, &self.config, self.server.version)?;
        self.wire = Some(wire);
        tracing::info!(
            event = "slot_created",
            slot = %self.config.slot,
            lsn = %created.consistent_point,
            "slot created"
        );
        Ok(created)
    }

    fn replication_wire(&mut self) -> Result<Wire> {
        match self.wire.take() {
            Some(wire) => Ok(wire),
            None => connect(&self.config, Purpose::Replication),
        }
    }

    fn begin_stream(
        &mut self,
        position: PostgresPosition,
        slot_confirmed: Lsn,
        visible: Option<Visible>,
    ) -> Result<()> {
        let mut wire = self.replication_wire()?;
        self.relations.forget_numbers();
        slot::start(&mut wire, &self.config, self.server.version, position.lsn)?;
        tracing::info!(event = "stream_started", slot = %self.config.slot, lsn = %position.lsn, "stream started");
        let status_interval = Duration::from_millis(self.config.status_interval_ms.max(100));
        let messages = Names::new(
            "message_prefixes",
            &self.config.message_prefixes,
            &self.config.exclude_message_prefixes,
        )?;
        let start = Start { position, slot_confirmed, visible, messages };
        let stream = Stream::new(wire, self.config.database.clone(), start, status_interval);
        self.phase = Phase::Stream(Box::new(stream));
        Ok(())
    }

    /// Waits at most `wait` for something to read and hands every complete message to `take`, in
    /// order. True if anything was handed over.
    ///
    /// # Errors
    /// `Unreachable` when the connection broke: open and start again. `Data` names the table, the
    /// column and the place of what cannot be read.
    pub fn poll(&mut self, wait: Duration, take: &mut dyn FnMut(Event<'_>) -> Result<()>) -> Result<bool> {
        self.read_xmin()?;
        match &mut self.phase {
            Phase::Stream(stream) => stream.poll(wait, &mut self.relations, &mut self.catalog, take),
            Phase::Snapshot(snapshot) if snapshot.done() => {
                let (position, visible) = (snapshot.position(), snapshot.visible().cloned());
                self.end_snapshot(position, visible, take)
            }
            Phase::Snapshot(snapshot) => snapshot.poll(wait, &mut self.relations, &mut self.catalog, take),
            Phase::Rest => {
                std::thread::sleep(wait);
                Ok(false)
            }
            Phase::Ready => Err(Error::new(Kind::Bug, "the source was not started")),
        }
    }

    fn read_xmin(&mut self) -> Result<()> {
        let interval = Duration::from_millis(self.config.xmin_interval_ms);
        let due = !interval.is_zero() && self.xmin_read.is_none_or(|at| at.elapsed() >= interval);
        if let (Phase::Stream(stream), true) = (&mut self.phase, due) {
            stream.set_xmin(slot::xmin(&mut self.catalog.sql, &self.config.slot)?);
            self.xmin_read = Some(Instant::now());
        }
        Ok(())
    }

    /// Runs the query that goes with a heartbeat, if there is one. A failure is told and passed over,
    /// as with Debezium: the next heartbeat tries again.
    pub fn run_heartbeat_query(&mut self) {
        let Some(query) = self.config.heartbeat_query.as_deref().filter(|query| !query.trim().is_empty())
        else {
            return;
        };
        if let Err(error) = self.catalog.sql.execute(query) {
            tracing::warn!(event = "heartbeat_query_failed", %error, "source.heartbeat_query failed");
        }
    }

    fn end_snapshot(
        &mut self,
        position: PostgresPosition,
        visible: Option<Visible>,
        take: &mut dyn FnMut(Event<'_>) -> Result<()>,
    ) -> Result<bool> {
        if self.mode != SnapshotMode::InitialOnly {
            let confirmed = position.lsn;
            return self.begin_stream(position, confirmed, visible).map(|()| false);
        }
        self.phase = Phase::Rest;
        if visible.is_some() {
            take(Event::Boundary(Position::Postgres(position)))?;
        }
        Ok(visible.is_some())
    }

    /// Everything at or below `position` is durable: the server may forget it.
    pub fn confirm(&mut self, position: &Position) -> Result<()> {
        match &mut self.phase {
            Phase::Stream(stream) => stream.confirm(position.lsn()),
            _ => Ok(()),
        }
    }

    /// Tells the server that we are alive, if it is time. For whoever has to wait between two
    /// polls: without a word the server cuts the connection after `wal_sender_timeout` (60 s).
    pub fn keep_alive(&mut self) -> Result<()> {
        match &mut self.phase {
            Phase::Stream(stream) => stream.keep_alive(),
            _ => Ok(()),
        }
    }

    /// Whether the snapshot is done and the server streams.
    pub fn streaming(&self) -> bool {
        matches!(self.phase, Phase::Stream(_))
    }

    /// Whether there is nothing left to do (`snapshot.mode = "initial_only"`).
    pub fn finished(&self) -> bool {
        matches!(self.phase, Phase::Rest)
    }

    pub fn progress(&self) -> Progress {
        match &self.phase {
            Phase::Stream(stream) => Progress {
                received: stream.received(),
                server_end: stream.server_end(),
                confirmed: stream.confirmed(),
                commit_time_us: stream.commit_time_us(),
                snapshot: None,
            },
            Phase::Snapshot(snapshot) => {
                Progress { snapshot: Some(snapshot.progress()), ..Progress::default() }
            }
            _ => Progress::default(),
        }
    }

    /// Ends the stream, and drops the slot if so configured.
    pub fn stop(&mut self) -> Result<()> {
        if let Phase::Stream(stream) = std::mem::replace(&mut self.phase, Phase::Ready) {
            stream.stop().doing(|| "end the stream")?;
        }
        if let Some(mut wire) = self.wire.take() {
            wire.close();
        }
        if self.config.drop_slot_on_stop {
            slot::drop(&mut self.catalog.sql, &self.config.slot)?;
            tracing::info!(event = "slot_dropped", slot = %self.config.slot, "slot dropped");
        }
        Ok(())
    }
}
