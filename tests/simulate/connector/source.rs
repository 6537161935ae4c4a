//! The database as a source: what a snapshot reads is decided by the connector's own rules, and read from memory;
//! the stream is read by the connector's own reader.

use super::database::Version;
use super::stream::Stream;
use super::world::{Shared, World, unreachable};
use connector::config::Config;
use connector::model::change::{Change, Event, Marker, Op, Origin, PostgresOrigin};
use connector::model::position::{Lsn, Position, PostgresPosition, SnapshotState};
use connector::model::progress::{SnapshotProgress, View};
use connector::model::request::Request;
use connector::model::value::Value;
use connector::snapshot::mode::{Plan, plan, steps};
use connector::snapshot::piece::{Notes, Piece, pieces};
use connector::source::{Open, Progress, Source, Take};
use shared::{Error, Kind, Result};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

const CHUNK_PAGES: u32 = 2;
/// Longer than a stop waits for the end of a transaction.
const SILENCE: Duration = Duration::from_secs(3);
/// Connections that read a snapshot's pieces side by side.
const WORKERS: usize = 2;

struct Memory<'c> {
    config: &'c Config,
    world: Shared,
    /// Where the snapshot is, or the stream begins.
    position: PostgresPosition,
    snapshot: Option<Snapshot>,
    stream: Option<Stream>,
    requests: VecDeque<Request>,
    /// The server says nothing before this.
    silent_until: Duration,
}

/// A snapshot under way.
struct Snapshot {
    progress: SnapshotProgress,
    view: View,
    own: bool,
    waiting: Vec<usize>,
    pieces: Vec<(usize, Piece)>,
    workers: Vec<Worker>,
    notes: BTreeMap<usize, Notes>,
}

struct Worker {
    table: usize,
    piece: Piece,
    rows: Vec<Version>,
}

pub fn open(config: &Config, world: Shared) -> Open<'_> {
    Box::new(move |stored| Ok(Box::new(Memory::open(config, world.clone(), stored)?)))
}

impl<'c> Memory<'c> {
    fn open(config: &'c Config, world: Shared, stored: Option<&Position>) -> Result<Memory<'c>> {
        let mut at = world.call("open the source");
        let once_in = at.odds.lost_connection / 10;
        if at.happens(once_in) {
            return unreachable("the database is away");
        }
        let stored = stored.map(|Position::Postgres(position)| position);
        let mut memory = Memory {
            config,
            world: world.clone(),
            position: PostgresPosition::default(),
            snapshot: None,
            stream: None,
            requests: VecDeque::new(),
            silent_until: Duration::ZERO,
        };
        match (plan(steps(&config.snapshot), stored), stored) {
            (Plan::Snapshot, stored) => memory.begin_snapshot(&mut at, stored)?,
            (Plan::Resume, Some(stored)) => {
                let confirmed = at.database.slot.ok_or_else(|| Error::new(Kind::Lost, "the slot is gone"))?;
                assert!(stored.lsn >= confirmed, "{} is stored, but {confirmed} was confirmed", stored.lsn);
                memory.begin_stream(&mut at, stored.clone())?;
            }
            (Plan::StreamFromSlot, _) => {
                let lsn = at.database.slot();
                memory.begin_stream(&mut at, PostgresPosition { lsn, ..PostgresPosition::default() })?;
            }
            other => panic!("no such plan is made here: {other:?}"),
        }
        drop(at);
        // A slot or a snapshot may have been made, and the process ends before it knows.
        drop(world.call("source opened"));
        Ok(memory)
    }

    fn begin_snapshot(&mut self, at: &mut World, stored: Option<&PostgresPosition>) -> Result<()> {
        let running = stored.filter(|stored| stored.snapshot == Some(SnapshotState::Running));
        let mut progress = running.and_then(|stored| stored.progress.as_deref().cloned()).unwrap_or_default();
        let own = at.database.slot.is_none();
        let confirmed = at.database.slot();
        self.position.lsn = stored.map_or(confirmed, |stored| stored.lsn.max(confirmed));
        let first = progress.view.is_none();
        let view = at.database.view();
        progress.view.get_or_insert(view.clone());
        let left = |table: &usize| !progress.finished(&at.database.tables[*table].id);
        let waiting = (0..at.database.tables.len()).filter(left).collect();
        let own = own && first;
        let (pieces, workers, notes) = (Vec::new(), Vec::new(), BTreeMap::new());
        self.snapshot = Some(Snapshot { progress, view, own, waiting, pieces, workers, notes });
        Ok(())
    }

    /// The server is told where the stream begins.
    fn begin_stream(&mut self, world: &mut World, position: PostgresPosition) -> Result<()> {
        world.confirm(position.lsn);
        let (source, signal) = (&self.config.source, &self.config.signal);
        self.stream = Some(Stream::begin(source, signal, &self.world, world.clock.clone(), position)?);
        Ok(())
    }

    fn read_snapshot(&mut self, take: Take<'_>) -> Result<bool> {
        let world = self.world.clone();
        let Some(mut snapshot) = self.snapshot.take() else { return Ok(false) };
        snapshot.assign(&mut world.borrow())?;
        if snapshot.workers.is_empty() {
            snapshot.progress.tables.clear();
            let progress = (!snapshot.own).then(|| Arc::new(snapshot.progress));
            let state = Some(SnapshotState::Completed);
            let position = PostgresPosition { snapshot: state, progress, ..self.position.clone() };
            take(Event::Boundary(Position::Postgres(position.clone())))?;
            self.begin_stream(&mut world.borrow(), position)?;
            return Ok(true);
        }
        let (which, count) = {
            let rng = &mut world.borrow().rng;
            (rng.usize(0..snapshot.workers.len()), rng.usize(1..4))
        };
        for _ in 0..count {
            let Some(row) = snapshot.workers[which].rows.pop() else { break };
            self.hand_over(snapshot.workers[which].table, &row, take)?;
        }
        if snapshot.workers[which].rows.is_empty() {
            snapshot.end(which, &world.borrow());
        }
        let tells = world.borrow().happens(3);
        if tells {
            take(Event::Boundary(self.running(&snapshot)))?;
        }
        self.snapshot = Some(snapshot);
        Ok(true)
    }

    fn running(&self, snapshot: &Snapshot) -> Position {
        let progress = Some(Arc::new(snapshot.progress.clone()));
        let state = Some(SnapshotState::Running);
        Position::Postgres(PostgresPosition { snapshot: state, progress, ..self.position.clone() })
    }

    fn hand_over(&self, table: usize, row: &Version, take: Take<'_>) -> Result<()> {
        let table = self.world.borrow().database.tables[table].clone();
        let after = [Value::Int(row.key), Value::Int(row.value)];
        let origin = self.origin(self.position.lsn, Marker::Middle);
        take(Event::Change(Change { op: Op::Read, table: &table, before: None, after: Some(&after), origin }))
    }

    fn origin(&self, lsn: Lsn, snapshot: Marker) -> Origin<'static> {
        Origin::Postgres(PostgresOrigin {
            database: "memory",
            transaction_id: None,
            lsn,
            last_commit_lsn: self.position.commit_lsn,
            time_us: 1,
            xmin: None,
            replicated_from: None,
            snapshot,
        })
    }
}

impl Snapshot {
    /// Gives each idle worker the next piece, in any order.
    fn assign(&mut self, world: &mut World) -> Result<()> {
        while self.workers.len() < WORKERS {
            if self.pieces.is_empty() {
                let Some(table) = self.waiting.pop() else { return Ok(()) };
                let id = world.database.tables[table].id.clone();
                let file = world.database.file(table);
                let cut = pieces(&id, &file, CHUNK_PAGES, &mut self.progress)?;
                self.notes.insert(table, Notes::new(&cut));
                self.pieces.extend(cut.into_iter().map(|piece| (table, piece)));
                continue;
            }
            let at = world.rng.usize(0..self.pieces.len());
            let (table, piece) = self.pieces.remove(at);
            let view = &self.view;
            let within = |page: u32, (from, to): (u32, u32)| from <= page && page < to;
            let rows = match &piece {
                Piece::Whole => world.database.rows(table, view, |_| true),
                Piece::Pages(range) => world.database.rows(table, view, |page| within(page, *range)),
                Piece::Changed { pages, since } => {
                    let rows = world
                        .database
                        .rows(table, view, |page| pages.iter().any(|range| within(page, *range)));
                    rows.into_iter().filter(|row| row.since(*since)).collect()
                }
            };
            self.workers.push(Worker { table, piece, rows });
        }
        Ok(())
    }

    /// A piece is read, and all its rows handed over.
    fn end(&mut self, which: usize, world: &World) {
        let Worker { table, piece, .. } = self.workers.remove(which);
        let id = &world.database.tables[table].id;
        if let Some(notes) = self.notes.get_mut(&table) {
            notes.add(self.progress.tables.get_mut(id), piece);
        }
    }
}

impl Source for Memory<'_> {
    fn close(&mut self) {}

    fn beginning(&self) -> Option<Position> {
        self.snapshot.as_ref().map(|snapshot| self.running(snapshot))
    }

    fn poll(&mut self, wait: Duration, take: Take<'_>) -> Result<bool> {
        {
            let mut world = self.world.call("poll the source");
            world.go_on();
            let once_in = world.odds.lost_connection;
            if world.happens(once_in) {
                return unreachable("the connection broke");
            }
            let now = world.clock.monotonic();
            let once_in = world.odds.silence;
            if world.happens(once_in) {
                self.silent_until = now + SILENCE;
            }
            if now < self.silent_until {
                world.clock.sleep(wait);
                return Ok(false);
            }
        }
        let handed = match &mut self.stream {
            Some(stream) => stream.read(&mut self.requests, take)?,
            None => self.read_snapshot(take)?,
        };
        if !handed {
            self.world.borrow().clock.sleep(wait);
            self.world.borrow().stop_if_all_is_done();
        }
        Ok(handed)
    }

    fn confirm(&mut self, position: &Position) -> Result<()> {
        if self.stream.is_none() {
            return Ok(());
        }
        self.world.call("confirm").confirm(position.lsn());
        Ok(())
    }

    fn request(&mut self, request: Request) -> Result<()> {
        self.requests.push_back(request);
        Ok(())
    }

    fn streaming(&self) -> bool {
        self.stream.is_some()
    }

    fn progress(&self) -> Progress {
        Progress::default()
    }

    fn run_heartbeat_query(&mut self) {
        drop(self.world.call("heartbeat"));
    }

    fn stop(&mut self) -> Result<()> {
        drop(self.world.call("stop the source"));
        Ok(())
    }
}
