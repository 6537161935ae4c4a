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
mod copied;
mod copy;
mod cursor;
mod datetime;
mod default;
mod failure;
mod filter;
mod frame;
mod geometry;
mod identity;
mod incremental;
mod interval;
pub mod offline;
mod pace;
mod pgoutput;
mod publication;
mod reader;
mod relation;
mod request;
mod row;
mod server;
mod slot;
mod snapshot;
mod sql;
mod start;
mod stream;
mod tls;
mod value;
mod wal_guard;
mod wire;

#[cfg(any(test, fuzzing))]
pub mod fuzz;

pub use check::{check, privileges};
pub use wal_guard::WalGuard;

use crate::config::signal::SignalConfig;
use crate::config::snapshot::SnapshotConfig;
use crate::config::source::{LsnFlush, SourceConfig};
use crate::model::change::Event;
use crate::model::notice::Notice;
use crate::model::position::{Lsn, Position, PostgresPosition};
use crate::model::request::Request;
use crate::snapshot::mode::{Steps, steps};
use crate::source::{Progress, Source, Take};
use catalog::Catalog;
use connect::{Purpose, connect};
use filter::{Names, TableFilter};
use incremental::{Beside, Server as ServerBeside};
use reader::Start;
use relation::Relations;
use server::Server;
use shared::error::Context;
use shared::time::Clock;
use shared::{Error, Kind, Result};
use snapshot::Snapshot;
use sql::Sql;
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use stream::Stream;
use tokio::runtime::Handle;
use wire::Wire;

/// Requests that wait at most.
const REQUESTS: usize = 1_024;

/// A PostgreSQL database as a source of changes.
pub struct Postgres {
    config: SourceConfig,
    snapshot: SnapshotConfig,
    signal: SignalConfig,
    /// What was asked for and waits for the end of a transaction, or of a snapshot.
    requests: VecDeque<Request>,
    notices: Vec<Notice>,
    steps: Steps,
    server: Server,
    catalog: Catalog,
    filter: TableFilter,
    relations: Relations,
    /// A replication connection that waits for its first command.
    wire: Option<Wire>,
    phase: Phase,
    xmin_read: Option<Instant>,
    /// Nothing is read before this.
    not_before: Option<Instant>,
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
    pub fn open(
        config: &SourceConfig,
        snapshot: &SnapshotConfig,
        signal: &SignalConfig,
        runtime: Handle,
    ) -> Result<Postgres> {
        config.check()?;
        let filter = TableFilter::new(config)?.with_signals(signal.table.as_deref());
        let sql = Sql::new(config, runtime)?;
        let (wire, catalog, server) = connect_both(config, sql)?;
        server.check_version()?;
        server.check_wal_level()?;
        server.check_replication(config)?;
        Ok(Postgres {
            config: config.clone(),
            snapshot: snapshot.clone(),
            signal: signal.clone(),
            requests: VecDeque::new(),
            notices: Vec::new(),
            steps: steps(snapshot),
            server,
            catalog,
            relations: Relations::new(filter.clone(), config.unknown_types),
            filter,
            wire: Some(wire),
            phase: Phase::Ready,
            xmin_read: None,
            not_before: None,
        })
    }

    fn begin_stream(&mut self, position: PostgresPosition, slot_confirmed: Lsn) -> Result<()> {
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
        let flushes = self.config.lsn_flush == LsnFlush::Connector;
        let database = ServerBeside::new(&self.config);
        let beside = Beside::new(database, &self.signal, Clock::System, position.incremental.clone());
        let start = Start { position, slot_confirmed, messages, flushes, beside: Some(Box::new(beside)) };
        let stream = Stream::new(wire, self.config.database.clone(), start, status_interval);
        self.phase = Phase::Stream(Box::new(stream));
        Ok(())
    }

    /// Whether a delay that the operator asked for is not over.
    fn too_early(&mut self, wait: Duration) -> bool {
        let left = self.not_before.map(|at| at.saturating_duration_since(Instant::now()));
        let early = left.is_some_and(|left| !left.is_zero());
        if early {
            std::thread::sleep(left.unwrap_or_default().min(wait));
        } else {
            self.not_before = None;
        }
        early
    }

    fn delay(&mut self, milliseconds: u64) {
        if milliseconds > 0 {
            tracing::info!(event = "delayed", milliseconds, "waiting, as configured");
            self.not_before = Some(Instant::now() + Duration::from_millis(milliseconds));
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

    fn end_snapshot(&mut self, position: PostgresPosition) -> Result<()> {
        if self.steps.stream {
            let confirmed = position.lsn;
            return self.begin_stream(position, confirmed);
        }
        self.phase = Phase::Rest;
        Ok(())
    }

    /// Whether there is nothing left to do (`snapshot.mode = "initial_only"`).
    pub fn finished(&self) -> bool {
        matches!(self.phase, Phase::Rest)
    }
}

impl Source for Postgres {
    fn beginning(&self) -> Option<Position> {
        match &self.phase {
            Phase::Snapshot(snapshot) => Some(Position::Postgres(snapshot.position())),
            _ => None,
        }
    }

    fn poll(&mut self, wait: Duration, take: Take<'_>) -> Result<bool> {
        if self.too_early(wait) {
            return Ok(false);
        }
        self.read_xmin()?;
        self.follow_requests()?;
        for notice in self.notices.drain(..) {
            take(Event::Notice(&notice))?;
        }
        match &mut self.phase {
            Phase::Stream(stream) => {
                let followed = self.requests.is_empty();
                stream.poll(wait, followed, &mut self.relations, &mut self.catalog, take)
            }
            Phase::Snapshot(snapshot) if snapshot.done() => {
                let position = snapshot.position();
                self.end_snapshot(position).map(|()| false)
            }
            Phase::Snapshot(snapshot) => snapshot.poll(wait, &mut self.relations, &mut self.catalog, take),
            Phase::Rest => {
                std::thread::sleep(wait);
                Ok(false)
            }
            Phase::Ready => Err(Error::new(Kind::Bug, "the source was not started")),
        }
    }

    fn request(&mut self, request: Request) -> Result<()> {
        if self.requests.len() >= REQUESTS {
            return Err(Error::new(Kind::Full, format!("{REQUESTS} signals wait already"))
                .remedy("the running snapshot has to end first"));
        }
        self.requests.push_back(request);
        Ok(())
    }

    fn run_heartbeat_query(&mut self) {
        let Some(query) = self.config.heartbeat_query.as_deref().filter(|query| !query.trim().is_empty())
        else {
            return;
        };
        if let Err(error) = self.catalog.sql.execute(query) {
            tracing::warn!(event = "heartbeat_query_failed", %error, "source.heartbeat_query failed");
        }
    }

    fn confirm(&mut self, position: &Position) -> Result<()> {
        match &mut self.phase {
            Phase::Stream(stream) => stream.confirm(position.lsn()),
            _ => Ok(()),
        }
    }

    fn streaming(&self) -> bool {
        matches!(self.phase, Phase::Stream(_))
    }

    fn progress(&self) -> Progress {
        match &self.phase {
            Phase::Stream(stream) => Progress {
                received: stream.received(),
                server_end: stream.server_end(),
                confirmed: stream.confirmed(),
                commit_time_us: stream.commit_time_us(),
                snapshot: None,
            },
            Phase::Snapshot(snapshot) => {
                Progress { snapshot: Some(snapshot.counts()), ..Progress::default() }
            }
            _ => Progress::default(),
        }
    }

    /// Ends the stream, and drops the slot if so configured.
    fn stop(&mut self) -> Result<()> {
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

    fn close(&mut self) {
        self.phase = Phase::Ready;
        self.wire = None;
    }
}

/// Logs in twice at once, as each login takes several round trips: for the stream, and for SQL.
fn connect_both(config: &SourceConfig, sql: Sql) -> Result<(Wire, Catalog, Server)> {
    let mut catalog = Catalog::new(sql);
    let (wire, server) = std::thread::scope(|scope| {
        let server = scope.spawn(|| server::inspect(&mut catalog.sql));
        let wire = connect(config, Purpose::Replication).map_err(|error| match error.kind() {
            Kind::Denied if error.to_string().contains("42501") => {
                error.remedy(server::replication_remedy(config))
            }
            _ => error,
        })?;
        let server = server.join().map_err(|_| Error::new(Kind::Bug, "a thread panicked"))??;
        Ok::<_, Error>((wire, server))
    })?;
    Ok((wire, catalog, server))
}
