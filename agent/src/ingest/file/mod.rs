//! Files for back-fill: CSV, JSON lines, Parquet → records of a topic, each row exactly once.
//!
//! ```text
//! file ─> rows ─> Avro by schema ─> batches ─┐ one transaction
//!           (given, registered or derived)   ├──────────────> log
//!                              place in it ──┘
//! ```
//! The place in the file moves in the transaction that appends what was read, so that a file whose
//! reading was killed is taken up where it stopped. Memory is bounded by a batch, and for Parquet by
//! the pages of one row group.

mod csv;
mod json;
mod parquet;
mod position;
mod schema;
#[cfg(test)]
mod tests;
pub mod watch;

use crate::buffer::{CannotCreate, Log, Outcome, Topic, With};
use crate::config::file::{BadRows, FilesConfig, Format};
use crate::db::Db;
use crate::ingest::avro::{Encoder, key, moment_nanos};
use crate::ingest::batch::{self, Incoming, Message, Writer};
use crate::metrics;
use crate::registry::Registry;
use position::Position;
use schema::Schemas;
use serde_json::Value as Json;
use shared::error::{Context, Error, Kind, OrKind, Result};
use shared::kafka::partitioner::partition_of;
use shared::retry::Backoff;
use shared::shutdown::Shutdown;
use shared::time::Clock;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

/// Rows of one transaction.
const MAX_BATCH_ROWS: i32 = 50_000;
/// Time that one transaction's rows are gathered for: what is killed has lost no more work than this.
const MAX_BATCH_TIME: Duration = Duration::from_millis(250);
/// Bad rows that the log names one by one; all are counted.
const NAMED_BAD_ROWS: u64 = 20;
const RETRY_FIRST: Duration = Duration::from_millis(250);
const RETRY_CEILING: Duration = Duration::from_secs(10);

/// A row that cannot be read, and why. What follows it can be.
type Bad = String;

/// A file's rows from a place on.
trait Rows {
    /// The next row; `None` at the end.
    ///
    /// # Errors
    /// The file cannot be read any further. A bad row is no error.
    fn next(&mut self) -> Result<Option<std::result::Result<Json, Bad>>>;
    /// Behind the row that was given last: bytes for texts, rows for Parquet.
    fn place(&self) -> u64;
    /// Where the row that was given last stands, for people.
    fn line(&self) -> String;
}

/// What became of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Rows stored now, by this call.
    pub stored: u64,
    /// Rows of the file up to here, bad ones included.
    pub rows: u64,
    pub bad: u64,
    /// Whether the end was reached.
    pub done: bool,
}

/// Told how far a file has been read: place and the file's end, in the same unit.
pub type Show<'a> = &'a mut dyn FnMut(u64, u64);

/// Reads files into the log. Blocks.
pub struct Importer {
    db: Db,
    log: Arc<Log>,
    schemas: Schemas,
    clock: Clock,
    runtime: Handle,
    memory: Arc<Semaphore>,
    shutdown: Shutdown,
}

/// The schemas that a file's rows are written by.
struct Written {
    value_id: shared::avro::wire::SchemaId,
    value: Encoder,
    key: Option<(shared::avro::wire::SchemaId, Encoder)>,
}

impl Importer {
    pub fn new(
        db: &Db,
        log: Arc<Log>,
        registry: Arc<Registry>,
        runtime: Handle,
        shutdown: Shutdown,
    ) -> Importer {
        Importer {
            db: db.clone(),
            log,
            schemas: Schemas(registry),
            clock: Clock::System,
            runtime,
            memory: Arc::new(Semaphore::new(1)),
            shutdown,
        }
    }

    /// Reads a file from where its reading stopped to its end, or to a bad row that stops it.
    ///
    /// # Errors
    /// `Config` (no such file, an unknown format), `Data` (a bad row; the file is damaged), `Rejected`
    /// (the schema). What stands before it is stored.
    pub fn take(&self, path: &Path, config: &FilesConfig, show: Show<'_>) -> Result<Taken> {
        let doing = || format!("read {}", path.display());
        self.taken(path, config, show).doing(doing)
    }

    fn taken(&self, path: &Path, config: &FilesConfig, show: Show<'_>) -> Result<Taken> {
        let format = config.format.or_else(|| Format::of(path)).ok_or_else(|| {
            Error::new(Kind::Config, "the file's name does not say what it holds")
                .remedy("say the format: csv, json-lines or parquet")
        })?;
        let path = path.canonicalize().or_kind(Kind::Config)?;
        let start = position::load(&self.db.reader()?, &config.topic, &path, format == Format::Parquet)?;
        if start.done && start.size == position::size(&path)? {
            return Ok(Taken { stored: 0, rows: start.row, bad: start.bad, done: true });
        }
        let topic = self.topic(&config.topic)?;
        let written = self.written(&path, format, config)?;
        let texts = written.value.text_fields();
        let rows = open(&path, format, config, (start.place, start.row), texts)?;
        let end = match format {
            Format::Parquet => parquet::count(&path)?,
            _ => position::size(&path)?,
        };
        let file = File { path: &path, config, topic, written, end };
        self.all(file, rows, start, show)
    }

    fn all(&self, file: File<'_>, mut rows: Box<dyn Rows>, start: Position, show: Show<'_>) -> Result<Taken> {
        let mut at = start;
        let mut stored = 0;
        while !self.shutdown.requested() {
            let filled = self.fill(&file, rows.as_mut(), &mut at);
            let Filled { writers, bytes, stop } = filled?;
            let count: i32 = writers.iter().map(Writer::count).sum();
            if stop == Some(Stop::End) {
                (at.done, at.size) = (true, position::size(file.path)?);
            }
            self.store(&file, writers, &at)?;
            stored += u64::from(count.unsigned_abs());
            metrics::FILE_ROWS.inc_by(u64::from(count.unsigned_abs()));
            metrics::FILE_BYTES.inc_by(bytes as u64);
            show(at.place, file.end);
            match stop {
                Some(Stop::Bad(error)) => return Err(error),
                Some(Stop::End) => break,
                None => {}
            }
        }
        Ok(Taken { stored, rows: at.row, bad: at.bad, done: at.done })
    }

    /// Reads one transaction's worth.
    fn fill(&self, file: &File<'_>, rows: &mut dyn Rows, at: &mut Position) -> Result<Filled> {
        let partitions = file.topic.partitions.len().max(1);
        let mut writers: Vec<Writer> = Vec::new();
        writers.resize_with(partitions, Writer::default);
        let (mut bytes, mut count) = (0, 0);
        let now_ms = self.clock.now().millis();
        let until = self.clock.monotonic() + MAX_BATCH_TIME;
        let mut stop = None;
        let (mut key, mut value) = (Vec::new(), Vec::new());
        while bytes < file.config.batch_bytes && count < MAX_BATCH_ROWS && self.clock.monotonic() < until {
            let Some(row) = rows.next()? else {
                stop = Some(Stop::End);
                break;
            };
            key.clear();
            value.clear();
            let made = row.and_then(|row| file.encode(&row, now_ms, &mut key, &mut value));
            match made {
                Ok(time_ms) => {
                    let schema = file.written.key.as_ref().map(|(id, _)| *id);
                    let framed = schema.map(|id| Message::framed(id, &key));
                    let framed_key = schema.map(|id| [&shared::avro::wire::prefix(id)[..], &key].concat());
                    let to = framed_key.map_or(0, |key| partition_of(&key, partitions));
                    if let Some(writer) = writers.get_mut(to) {
                        let value = Some(Message::framed(file.written.value_id, &value));
                        writer.push(&Incoming { time_ms, key: framed, value, headers: Vec::new() });
                    }
                    bytes += key.len() + value.len() + 16;
                    count += 1;
                }
                Err(why) => {
                    if let Some(error) = file.bad(&rows.line(), &why, at) {
                        stop = Some(Stop::Bad(error));
                        break;
                    }
                }
            }
            at.row += 1;
            at.place = rows.place();
        }
        Ok(Filled { writers, bytes, stop })
    }

    /// Appends, with the place behind it. A full log makes it wait here.
    fn store(&self, file: &File<'_>, mut writers: Vec<Writer>, at: &Position) -> Result<()> {
        let filled = writers.iter_mut().zip(&file.topic.partitions).filter(|(writer, _)| writer.count() > 0);
        let batches: Vec<_> =
            filled.map(|(writer, partition)| (Arc::clone(partition), writer.finish())).collect();
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_CEILING);
        loop {
            match self.append(file, &batches, at) {
                Ok(true) => return Ok(()),
                Ok(false) if file.topic.partitions.iter().any(|partition| partition.is_gone()) => {
                    let what = format!("topic {} was deleted while the file was read", file.topic.name);
                    return Err(Error::new(Kind::Unreachable, what)
                        .remedy("what is left of the file goes into a topic that is made anew"));
                }
                Ok(false) => {}
                Err(error) if error.retryable() => {}
                Err(error) => return Err(error),
            }
            let wait = async { tokio::time::timeout(backoff.delay(), self.shutdown.wait()).await.is_ok() };
            if self.runtime.block_on(wait) {
                let what = "stopped while the log was full; the file is taken up here next time";
                return Err(Error::new(Kind::Full, what));
            }
        }
    }

    /// True if all is stored; else nothing is.
    fn append(
        &self,
        file: &File<'_>,
        batches: &[(Arc<crate::buffer::Partition>, Vec<u8>)],
        at: &Position,
    ) -> Result<bool> {
        let (topic, path, at) = (file.config.topic.clone(), file.path.to_owned(), at.clone());
        if batches.is_empty() {
            // Only bad rows, or the end: there is nothing to append, but the place moves.
            self.db.write(move |tx| position::set(tx, &topic, &path, &at))?;
            return Ok(true);
        }
        let (frame, appends) = batch::frame(batches)?;
        let with: With = Box::new(move |tx, outcomes| {
            let stored = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Stored { .. })).count();
            match stored {
                0 => Ok(()),
                stored if stored == outcomes.len() => position::set(tx, &topic, &path, &at),
                _ => Err(Error::new(Kind::Full, "a batch of a file fits only in part")),
            }
        });
        let outcomes = self.runtime.block_on(async {
            let memory = Arc::clone(&self.memory).acquire_owned().await;
            let memory = memory.map_err(|_| Error::new(Kind::Bug, "the importer's memory is closed"))?;
            let answer = self.log.append_with(frame, appends, memory, Some(with)).await?;
            answer.await.unwrap_or_else(|_| Err(Error::new(Kind::Bug, "the log did not answer")))
        })?;
        Ok(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Stored { .. })))
    }

    fn topic(&self, name: &str) -> Result<Arc<Topic>> {
        let refused = |why: CannotCreate| {
            Error::new(Kind::Config, format!("the topic {name} cannot be made: {why:?}"))
                .remedy("check the name, buffer.auto_create_topics and buffer.max_topics")
        };
        self.runtime.block_on(self.log.topic_or_new(name))?.map_err(refused)
    }

    fn written(&self, path: &Path, format: Format, config: &FilesConfig) -> Result<Written> {
        let sample = || schema::sample(path, format, config);
        let (value_id, text) = self.schemas.value(config, sample)?;
        let encoder = |text: &str| {
            Encoder::new(text).map_err(|why| Error::new(Kind::Rejected, format!("use the schema: {why}")))
        };
        let key = match config.key.is_empty() {
            true => None,
            false => {
                let no_key = |why| Error::new(Kind::Config, why).remedy("name columns of the file");
                let text = key::schema(&config.topic, &text, &config.key).map_err(no_key)?;
                Some((self.schemas.key(&config.topic, &text)?, encoder(&text)?))
            }
        };
        Ok(Written { value_id, value: encoder(&text)?, key })
    }
}

fn open(
    path: &Path,
    format: Format,
    config: &FilesConfig,
    (place, row): (u64, u64),
    texts: csv::Texts,
) -> Result<Box<dyn Rows>> {
    Ok(match format {
        Format::Csv => Box::new(csv::Csv::open(path, config.delimiter as u8, place, row, texts)?),
        Format::JsonLines => Box::new(json::Lines::open(path, place, row)?),
        Format::Parquet => Box::new(parquet::Parquet::open(path, place)?),
    })
}

/// Why a transaction's worth ended early.
#[derive(Debug)]
enum Stop {
    End,
    Bad(Error),
}

impl PartialEq for Stop {
    fn eq(&self, other: &Stop) -> bool {
        matches!((self, other), (Stop::End, Stop::End))
    }
}

struct Filled {
    writers: Vec<Writer>,
    bytes: usize,
    stop: Option<Stop>,
}

/// A file under way.
struct File<'a> {
    path: &'a Path,
    config: &'a FilesConfig,
    topic: Arc<Topic>,
    written: Written,
    end: u64,
}

impl File<'_> {
    /// Writes key and value; gives the record's time.
    fn encode(
        &self,
        row: &Json,
        now_ms: i64,
        key: &mut Vec<u8>,
        value: &mut Vec<u8>,
    ) -> std::result::Result<i64, Bad> {
        self.written.value.encode(row, value).map_err(|misfit| misfit.to_string())?;
        if let Some((_, encoder)) = &self.written.key {
            encoder
                .encode(&key::of(row, &self.config.key), key)
                .map_err(|misfit| format!("key: {misfit}"))?;
        }
        let Some(column) = &self.config.time else { return Ok(now_ms) };
        time_ms(row.get(column)).ok_or_else(|| format!("{column}: is no time"))
    }

    /// Counts a bad row; the error that stops the file, if it does.
    fn bad(&self, line: &str, why: &str, at: &mut Position) -> Option<Error> {
        metrics::FILE_BAD_ROWS.inc();
        if self.config.bad_rows == BadRows::Stop {
            let what = format!("{line}: {why}");
            let remedy =
                "mend the row, or pass bad rows over (bad_rows = \"skip\"); what stands before it is stored";
            return Some(Error::new(Kind::Data, what).remedy(remedy));
        }
        at.bad += 1;
        if at.bad <= NAMED_BAD_ROWS {
            tracing::warn!(
                event = "file_bad_row", file = %self.path.display(), line, reason = why,
                last_named = at.bad == NAMED_BAD_ROWS,
                "a row does not fit and is passed over"
            );
        }
        None
    }
}

/// Milliseconds since 1970: an ISO text, or a number of seconds to nanoseconds, told by its size.
fn time_ms(value: Option<&Json>) -> Option<i64> {
    match value? {
        Json::String(text) => Some(moment_nanos(text)?.div_euclid(1_000_000)),
        number => {
            let number = number.as_i64()?;
            Some(match number.unsigned_abs() {
                0..=99_999_999_999 => number.checked_mul(1_000)?,
                100_000_000_000..=99_999_999_999_999 => number,
                100_000_000_000_000..=99_999_999_999_999_999 => number.div_euclid(1_000),
                _ => number.div_euclid(1_000_000),
            })
        }
    }
}

/// Every sound row of CSV in memory, with how many names there are: for the fuzzer.
#[cfg(any(test, fuzzing))]
pub(crate) fn each_csv_row(input: &[u8], each: impl FnMut(usize, Json)) {
    csv::each_row(input, each);
}

/// A line of JSON: for the fuzzer.
#[cfg(any(test, fuzzing))]
pub(crate) fn json_row(line: &[u8]) {
    let _ = json::row(line);
}
