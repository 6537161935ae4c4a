//! Training sets: for each entity and time of a spine, the features as they were known then.
//!
//! "Known then" is what the agent's own store would have answered at that instant: the changes that were
//! committed at the source by then, in the log's order, and windows that end there. Nothing is computed a
//! second way: the log goes once more through the gates, the feature engine and the store, in a scratch file
//! of their own, on a clock that stands where log and spine say.
//!
//! ```text
//! spine.parquet ─> scratch ─ by time ─┐
//! log ─> decode ─> gate ─ by time ────┴─> engine ─> store ─> values ─> scratch ─ by row ─> train.parquet
//! ```
//! Rows from files or from central Kafka are read into a log of their own first (`fill`).
//! Memory is bounded by the configuration (`features.cache_bytes`, `db.cache_bytes`), whatever the spine's
//! or the log's length: what is sorted or large lies in the scratch file beside the output.

mod column;
mod fill;
mod replay;
mod sheet;
mod source;
mod spine;

use crate::buffer::Beside;
use crate::config::Config;
use crate::db::{self, OrDb};
use crate::feature::View;
use crate::feature::definition::{Compute, compile};
use crate::model::feature::ViewShape;
use crate::model::pack;
use crate::model::value::Value;
use crate::pipeline::{reach, work};
use column::{Column, Kind, Seen};
use fill::Filled;
pub use fill::{Files, Rows};
use replay::Replay;
use rusqlite::{Connection, Transaction, params};
use shared::error::{Context, Error, Kind as Failure, OrKind, Result};
use shared::shutdown::Shutdown;
use shared::time::Clock;
use sheet::Sheet;
use source::Source;
use spine::Spine;
use std::path::{Path, PathBuf};

/// What is wanted.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Parquet, or CSV with a line of names: the views' entity columns, a time, and whatever else.
    pub spine: PathBuf,
    /// The spine's columns, then `view__feature`.
    pub out: PathBuf,
    /// The spine's column of times; `event_timestamp` when absent.
    pub time: Option<String>,
    /// All views whose entity columns the spine has, when empty.
    pub views: Vec<String>,
    /// Give nulls where the log does not reach back far enough, instead of an error.
    pub partial: bool,
    /// Rows from elsewhere, instead of the agent's log.
    pub from: Option<Rows>,
}

/// What was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Made {
    pub rows: u64,
    /// `view__feature`.
    pub features: Vec<String>,
    /// Rows whose values of some view are null because the log does not reach back far enough.
    pub incomplete: u64,
    /// Topics that lack records in the midst (compacted, or damaged).
    pub gaps: Vec<String>,
    /// Rows of files that stand behind later ones.
    pub unordered: u64,
}

/// How far it is: what is being done, so much of so much (0: nobody knows).
pub type Progress<'p> = &'p mut dyn FnMut(&'static str, u64, u64);

/// A view whose values are asked for.
struct Asked {
    shape: ViewShape,
    /// Where its entity columns stand in the spine.
    places: Vec<usize>,
    /// Before this time (µs) the log may lack rows that it needs.
    whole_at_us: i64,
    /// What was seen of each feature.
    seen: Vec<Seen>,
}

/// Makes a training set from the agent's file, beside the running agent or while none runs. Blocks.
///
/// # Errors
/// `Config` for what is asked for and is not there; `Data` for a spine that cannot be read, or whose times
/// the log does not reach back to; `Lost` if the log is trimmed meanwhile.
pub fn make(
    config: &Config,
    request: &Request,
    clock: Clock,
    shutdown: &Shutdown,
    progress: Progress<'_>,
) -> Result<Made> {
    let scratch = Scratch::beside(&request.out);
    let mut connection = scratch.open(config.db.cache_bytes)?;
    let tx = connection.transaction().or_db("begin")?;
    let spine = spine::read(&tx, &request.spine, request.time.as_deref(), &mut |rows| {
        progress("reading the spine", rows, 0);
        going_on(shutdown)
    })?;
    let now_us = clock.now().micros();
    if spine.rows > 0 && spine.last_us > now_us {
        return Err(Error::new(Failure::Data, "the spine has times that lie in the future")
            .remedy("nobody knows yet what features are then: leave these rows out"));
    }
    let views = chosen(config, request, &spine)?;
    let (views, filled) = fill(config, request, views, shutdown, progress)?;
    let log = Beside::open(db::beside(filled.as_ref().map_or(&config.db, Filled::db))?, clock)?;
    let mut asked = Vec::new();
    let topics = work::topics(&views, &config.gate, config.features.unpacked_bytes);
    let topics: Vec<_> =
        topics.into_iter().filter(|topic| views.iter().any(|view| view.reads(&topic.name))).collect();
    let columns: Vec<(String, Vec<String>)> =
        topics.iter().map(|topic| (topic.name.clone(), topic.columns().to_vec())).collect();
    let features = &config.features;
    let mut replay = Replay::open(&tx, views.clone(), &columns, features.cache_bytes, features.tick)?;
    let mut source = Source::open(&log, topics)?;
    for (shape, view) in replay.shapes().into_iter().zip(&views) {
        let is_cut = |topic: &str| filled.as_ref().is_some_and(|filled| filled.is_cut(topic));
        let began_us = |topic: &str| is_cut(topic).then(|| source.began_us(topic));
        asked.push(Asked::new(shape, view, &spine, &log, began_us)?);
    }
    let mut made = Made { rows: spine.rows, ..Made::default() };
    made.incomplete = run(&tx, &mut replay, &mut source, &mut asked, shutdown, progress)?;
    made.gaps = std::mem::take(&mut source.gaps);
    if matches!(request.from, Some(Rows::Files(_))) {
        made.unordered = source.unordered_to_the_end(shutdown)?;
    }
    complain(&made, request.partial)?;
    write(&tx, request, &spine, &views, &asked, &mut made, progress)?;
    Ok(made)
}

/// Brings the rows from elsewhere, if they come from there; gives the views that they are for.
fn fill(
    config: &Config,
    request: &Request,
    views: Vec<View>,
    shutdown: &Shutdown,
    progress: Progress<'_>,
) -> Result<(Vec<View>, Option<Filled>)> {
    let filled = match &request.from {
        None => return Ok((views, None)),
        Some(Rows::Kafka) => fill::central(&views, config, &request.out, shutdown, progress)?,
        Some(Rows::Files(files)) => {
            let (views, settings) = files.fit(views, &request.views)?;
            let filled = files.read(&settings, config, &request.out, shutdown, progress)?;
            return Ok((views, Some(filled)));
        }
    };
    Ok((views, Some(filled)))
}

fn going_on(shutdown: &Shutdown) -> Result<()> {
    match shutdown.requested() {
        true => Err(Error::new(Failure::Unreachable, "stopped as asked; nothing was written")),
        false => Ok(()),
    }
}

/// The views that are asked for; with none named, those that the spine has the entities of.
fn chosen(config: &Config, request: &Request, spine: &Spine) -> Result<Vec<View>> {
    let views = compile(&config.feature_view)?;
    if let Some(name) = request.views.iter().find(|name| views.iter().all(|view| view.name != **name)) {
        let known: Vec<&str> = views.iter().map(|view| view.name.as_str()).collect();
        return Err(Error::new(Failure::Config, format!("there is no feature view {name}"))
            .remedy(format!("one of: {}", known.join(", "))));
    }
    let missing = |view: &View| {
        let names = view.entity.iter().map(|(name, _)| name);
        names.into_iter().find(|name| spine.columns.iter().all(|column| column.name != **name)).cloned()
    };
    let mut chosen = Vec::new();
    for view in views {
        match (request.views.contains(&view.name), missing(&view)) {
            (true, Some(name)) => {
                let what = format!("the spine has no column {name}, which view {} needs", view.name);
                return Err(Error::new(Failure::Config, what)
                    .remedy("name the columns as the view's entity columns are named"));
            }
            (named, None) if named || request.views.is_empty() => chosen.push(view),
            _ => {}
        }
    }
    if chosen.is_empty() {
        return Err(Error::new(Failure::Config, "the spine has the entity columns of no feature view")
            .remedy("name its columns as the views' entity columns are named"));
    }
    Ok(chosen)
}

impl Asked {
    /// `began_us`: when a topic's first row was known, if those before it are gone.
    fn new(
        shape: ViewShape,
        view: &View,
        spine: &Spine,
        log: &Beside,
        began_us: impl Fn(&str) -> Option<i64>,
    ) -> Result<Asked> {
        let place = |name: &String| spine.columns.iter().position(|column| column.name == *name);
        let places = view.entity.iter().filter_map(|(name, _)| place(name)).collect();
        let mut whole_at_us = 0;
        for (topic, window_us) in view.needs() {
            let cut = |began_us: i64| reach::whole_at_us(began_us.div_euclid(1_000).max(1), window_us);
            whole_at_us = began_us(topic).map_or(0, cut).max(whole_at_us);
            for partition in log.partitions(topic) {
                let trimmed_ms = log.trimmed_ms(&partition)?;
                whole_at_us = reach::whole_at_us(trimmed_ms, window_us).max(whole_at_us);
            }
        }
        let seen = vec![Seen::default(); shape.features.len()];
        Ok(Asked { shape, places, whole_at_us, seen })
    }

    /// The values for one row of the spine; `None` if the log does not reach back far enough.
    fn values(&mut self, replay: &Replay<'_>, cells: &[Value], at_us: i64) -> Result<Option<Vec<Value>>> {
        let nulls = || vec![Value::Null; self.shape.features.len()];
        if at_us < self.whole_at_us {
            return Ok(None);
        }
        let key: Vec<&Value> = self.places.iter().map(|at| cells.get(*at).unwrap_or(&Value::Null)).collect();
        for entity in replay::entities(&self.shape, &key) {
            if let Some(values) = replay.values(&self.shape, &entity)? {
                self.seen.iter_mut().zip(&values).for_each(|(seen, value)| seen.note(value));
                return Ok(Some(values));
            }
        }
        Ok(Some(nulls()))
    }
}

/// The log and the spine in the order of time; gives how many rows lack something.
fn run(
    tx: &Transaction<'_>,
    replay: &mut Replay<'_>,
    source: &mut Source<'_>,
    asked: &mut [Asked],
    shutdown: &Shutdown,
    progress: Progress<'_>,
) -> Result<u64> {
    const DOING: &str = "go through the spine";
    let mut statement =
        tx.prepare("SELECT row, time_us, cells FROM spine ORDER BY time_us, row").or_db(DOING)?;
    let mut insert = tx.prepare("INSERT INTO answer (row, vals) VALUES (?1, ?2)").or_db(DOING)?;
    let mut rows = statement.query([]).or_db(DOING)?;
    let (mut incomplete, mut reached, mut count) = (0, i64::MIN, 0_u64);
    while let Some(row) = rows.next().or_db(DOING)? {
        let (number, at_us): (i64, i64) = (row.get(0).or_db(DOING)?, row.get(1).or_db(DOING)?);
        let cells = row.get_ref(2).and_then(|cells| Ok(cells.as_blob()?)).or_db(DOING)?;
        let cells =
            pack::unpack(cells).ok_or_else(|| Error::new(Failure::Bug, "a row of the spine is damaged"))?;
        if at_us > reached {
            while source.next_us().is_some_and(|next_us| next_us <= at_us) {
                let Some(known) = source.next()? else { break };
                replay.take(known.topic, known.at_us, known.row)?;
                count += 1;
                if count.is_multiple_of(4_096) {
                    progress("replaying the log", source.done, source.total);
                    going_on(shutdown)?;
                }
            }
            replay.advance(at_us)?;
            reached = at_us;
        }
        let mut all = Vec::new();
        let mut lacks = false;
        for one in asked.iter_mut() {
            let found = one.values(replay, &cells, at_us)?;
            lacks |= found.is_none();
            all.extend(found.unwrap_or_else(|| vec![Value::Null; one.shape.features.len()]));
        }
        incomplete += u64::from(lacks);
        insert.execute(params![number, pack::pack(&all)]).or_db(DOING)?;
        if number % 1_024 == 0 {
            progress("replaying the log", source.done, source.total);
            going_on(shutdown)?;
        }
    }
    Ok(incomplete)
}

fn complain(made: &Made, partial: bool) -> Result<()> {
    if partial {
        return Ok(());
    }
    if made.unordered > 0 {
        let what = format!("{} rows of the files stand behind later ones", made.unordered);
        return Err(Error::new(Failure::Data, what).remedy(
            "sort the rows by their time and name the files in its order; --partial takes each as known from the later one on",
        ));
    }
    let remedy = "--partial gives nulls there; or raise buffer.keep above the longest window";
    if made.incomplete > 0 {
        let what =
            format!("the log does not reach back far enough for {} of the spine's rows", made.incomplete);
        return Err(Error::new(Failure::Data, what).remedy(remedy));
    }
    match made.gaps.as_slice() {
        [] => Ok(()),
        topics => {
            let what =
                format!("the log lacks records in the midst (compacted or damaged): {}", topics.join(", "));
            Err(Error::new(Failure::Data, what).remedy("--partial goes on without them"))
        }
    }
}

/// Reads the scratch file in the spine's order and writes the training set.
fn write(
    tx: &Transaction<'_>,
    request: &Request,
    spine: &Spine,
    views: &[View],
    asked: &[Asked],
    made: &mut Made,
    progress: Progress<'_>,
) -> Result<()> {
    const DOING: &str = "read what was found";
    let mut columns = spine.columns.clone();
    for (view, asked) in views.iter().zip(asked) {
        columns.extend(view.features.iter().zip(&asked.seen).map(|(feature, seen)| {
            let list = seen.list()
                || match &feature.compute {
                    Compute::Vector(_) => true,
                    Compute::Aggregate(at) => view.aggregates.get(*at).is_some_and(|a| a.aggregate.takes_n()),
                    Compute::Derived(..) => false,
                };
            let kind = column::declared(feature.kind).unwrap_or(Kind::Seen(*seen));
            Column { name: format!("{}__{}", view.name, feature.name), kind, list }.settled()
        }));
    }
    made.features = columns.iter().skip(spine.columns.len()).map(|column| column.name.clone()).collect();
    let mut sheet = Sheet::create(&request.out, columns)?;
    let sql =
        "SELECT spine.row, cells, vals FROM spine JOIN answer ON answer.row = spine.row ORDER BY spine.row";
    let mut statement = tx.prepare(sql).or_db(DOING)?;
    let mut rows = statement.query([]).or_db(DOING)?;
    while let Some(row) = rows.next().or_db(DOING)? {
        let number: i64 = row.get(0).or_db(DOING)?;
        let mut cells = Vec::new();
        for at in [1, 2] {
            let bytes = row.get_ref(at).and_then(|bytes| Ok(bytes.as_blob()?)).or_db(DOING)?;
            let part = pack::unpack(bytes);
            cells.extend(
                part.ok_or_else(|| Error::new(Failure::Bug, "a row of the scratch file is damaged"))?,
            );
        }
        sheet.push(cells)?;
        if number % 4_096 == 0 {
            progress("writing", number.unsigned_abs(), made.rows);
        }
    }
    sheet.finish()
}

/// A file that is gone with this value.
struct Scratch(PathBuf);

impl Scratch {
    fn beside(out: &Path) -> Scratch {
        let mut name = out.file_name().unwrap_or_default().to_owned();
        name.push(".scratch");
        Scratch(out.with_file_name(name))
    }

    fn open(&self, cache_bytes: u64) -> Result<Connection> {
        match std::fs::remove_file(&self.0) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).or_kind(Failure::Config),
            _ => Ok(()),
        }
        .and_then(|()| db::scratch(&self.0, cache_bytes))
        .doing(|| format!("make the scratch file {}", self.0.display()))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // If it stays, the next run removes it.
        let _ = std::fs::remove_file(&self.0);
    }
}
