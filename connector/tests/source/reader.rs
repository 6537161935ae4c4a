//! Runs a source and writes down what it delivers.

use connector::config::signal::SignalConfig;
use connector::config::snapshot::{SnapshotConfig, SnapshotMode};
use connector::config::source::SourceConfig;
use connector::model::change::{Change, Event, Origin, PostgresOrigin};
use connector::model::position::{Position, PostgresPosition};
use connector::model::table::Table;
use connector::model::value::{Row, Value};
use connector::source::Source as _;
use connector::source::postgres::Postgres;
use shared::{Error, Kind, Result};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// One line per event, and what lines leave out.
#[derive(Default)]
pub struct Seen {
    pub lines: Vec<String>,
    pub origins: Vec<Written>,
    pub tables: Vec<std::sync::Arc<Table>>,
    pub positions: Vec<PostgresPosition>,
    /// How many lines there were at the last boundary.
    pub lines_at_boundary: usize,
}

/// A change's origin, owned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    pub transaction_id: Option<u32>,
    pub lsn: u64,
    pub last_commit_lsn: Option<u64>,
    pub time_us: i64,
}

impl Seen {
    pub fn write(&mut self, event: &Event<'_>) {
        match event {
            Event::Boundary(Position::Postgres(position)) => {
                self.positions.push(position.clone());
                self.lines_at_boundary = self.lines.len();
            }
            Event::Change(change) => {
                let Origin::Postgres(origin) = change.origin;
                self.lines.push(line(change, &origin));
                self.tables.push(change.table.clone());
                self.origins.push(Written {
                    transaction_id: origin.transaction_id,
                    lsn: origin.lsn.0,
                    last_commit_lsn: origin.last_commit_lsn.map(|lsn| lsn.0),
                    time_us: origin.time_us,
                });
            }
            Event::Truncate(truncate) => self.lines.push(format!("t {}", truncate.table.id.name)),
            Event::Message(message) => {
                let content = String::from_utf8_lossy(message.content);
                let kind = if message.transactional { "m" } else { "m!" };
                self.lines.push(format!("{kind} {} {content}", message.prefix));
            }
            // Every transaction has them; tests count boundaries.
            Event::Refused(row) => self.lines.push(format!("refused {} {}", row.table.id.name, row.error)),
            Event::Begin(_) | Event::End(_) | Event::Notice(_) => {}
        }
    }

    pub fn last_position(&self) -> Position {
        Position::Postgres(self.positions.last().expect("a boundary was seen").clone())
    }
}

/// `u public.t key(id) before(…) after(…)`, with the marker for snapshot rows.
fn line(change: &Change<'_>, origin: &PostgresOrigin<'_>) -> String {
    let table = change.table;
    let cells = |row: Row<'_>| {
        let cells: Vec<String> =
            table.columns.iter().zip(row).map(|(c, v)| format!("{}={}", c.name, cell(v))).collect();
        cells.join(" ")
    };
    let mut line = format!("{} {}", change.op.code(), table.id.name);
    if origin.snapshot.text() != "false" {
        line.push_str(&format!(" {}", origin.snapshot.text()));
    }
    for (name, row) in [("before", change.before), ("after", change.after)] {
        if let Some(row) = row {
            assert_eq!(row.len(), table.columns.len());
            line.push_str(&format!(" {name}({})", cells(row)));
        }
    }
    line
}

fn cell(value: &Value<'_>) -> String {
    match value {
        Value::Null => "~".to_owned(),
        Value::Unavailable => "?".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) | Value::Time(value) | Value::Timestamp(value) | Value::TimestampTz(value) => {
            value.to_string()
        }
        Value::Float32(value) => value.to_string(),
        Value::Float64(value) => value.to_string(),
        Value::Date(value) => value.to_string(),
        Value::Decimal(text) => (*text).to_owned(),
        Value::Text(text) if text.len() > 20 => {
            format!("{}..{}", text.chars().next().expect("long"), text.len())
        }
        Value::Text(text) => (*text).to_owned(),
        Value::TimeTz(micros) => micros.to_string(),
        Value::Bits(bytes) | Value::Bytes(bytes) | Value::Hex(bytes) => {
            String::from_utf8_lossy(bytes).into_owned()
        }
        Value::Interval { months, days, micros } => format!("{months}/{days}/{micros}"),
        Value::List(values) | Value::Struct(values) => values.iter().map(cell).collect::<Vec<_>>().join(";"),
        Value::Map(entries) => {
            let pair = |(key, value): &(Value<'_>, Value<'_>)| format!("{}={}", cell(key), cell(value));
            entries.iter().map(pair).collect::<Vec<_>>().join(";")
        }
    }
}

/// A source under test, with the runtime that it needs.
pub struct Source {
    pub postgres: Postgres,
    pub seen: Seen,
    runtime: Runtime,
    config: SourceConfig,
}

impl Source {
    pub fn start(config: &SourceConfig, mode: SnapshotMode, stored: Option<&Position>) -> Result<Source> {
        Source::start_with(config, &SnapshotConfig { mode, ..SnapshotConfig::default() }, stored)
    }

    pub fn start_with(
        config: &SourceConfig,
        snapshot: &SnapshotConfig,
        stored: Option<&Position>,
    ) -> Result<Source> {
        Source::start_all(config, snapshot, &SignalConfig::default(), stored)
    }

    pub fn start_all(
        config: &SourceConfig,
        snapshot: &SnapshotConfig,
        signal: &SignalConfig,
        stored: Option<&Position>,
    ) -> Result<Source> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let mut postgres = Postgres::open(config, snapshot, signal, runtime.handle().clone())?;
        postgres.start(stored)?;
        Ok(Source { postgres, seen: Seen::default(), runtime, config: config.clone() })
    }

    /// Cuts its connections, as the end of its process would.
    pub fn crash(&mut self) {
        let runtime = self.runtime.handle().clone();
        let (snapshot, signal) = (SnapshotConfig::default(), SignalConfig::default());
        self.postgres = Postgres::open(&self.config, &snapshot, &signal, runtime).expect("opens");
    }

    /// Reads until `done` or an error, confirming each boundary.
    pub fn read_until(&mut self, done: impl Fn(&Source) -> bool) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !done(self) {
            assert!(Instant::now() < deadline, "waited too long; seen: {:#?}", self.seen.lines);
            let seen = &mut self.seen;
            self.postgres.poll(Duration::from_millis(50), &mut |event| {
                seen.write(&event);
                Ok(())
            })?;
            if let Some(position) = self.seen.positions.last() {
                self.postgres.confirm(&Position::Postgres(position.clone()))?;
            }
        }
        Ok(())
    }

    pub fn read_lines(&mut self, count: usize) {
        self.read_until(|source| source.seen.lines.len() >= count).expect("the source reads");
        assert_eq!(self.seen.lines.len(), count, "{:#?}", self.seen.lines);
    }

    /// Reads until the snapshot is over and the stream begun.
    pub fn read_snapshot(&mut self) {
        self.read_until(|source| source.postgres.streaming()).expect("the source reads");
    }
}

/// The server may still hold the slot for the connection that was just dropped.
pub fn retry(start: impl Fn() -> shared::Result<Source>) -> Source {
    let mut tries = 0;
    loop {
        match start() {
            Ok(source) => return source,
            Err(error) if error.kind() == Kind::Unreachable && tries < 100 => {
                tries += 1;
                std::thread::sleep(Duration::from_millis(50));
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// The error that starting ends with.
pub fn refused(config: &SourceConfig, mode: SnapshotMode) -> Error {
    match Source::start(config, mode, None) {
        Ok(_) => panic!("the source started"),
        Err(error) => error,
    }
}
