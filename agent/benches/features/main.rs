//! Rows through gates and features into a durable file: `cargo dev bench features`.
//!
//! Five rules (three gates, two in the view's condition), five features over two windows, results stored,
//! one transaction per `--batch` rows. With `--every-row FILE` each row is a batch of its own and the
//! rows with their features are written as CSV, for comparison with another engine's window SQL.

mod workload;

use agent::config::db::DbConfig;
use agent::config::feature::{FeaturesConfig, ViewConfig};
use agent::config::gate::GateConfig;
use agent::db::Db;
use agent::feature::{Engine, Limits, View, definition};
use agent::gate::Rules;
use agent::model::feature::FeatureRow;
use agent::model::row::Row;
use agent::model::value::Value;
use agent::model::verdict::Verdict;
use shared::error::{OrKind, Result};
use shared::{Error, Kind};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use workload::{Options, Workload};

/// As the agent itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const DEFINITION: &str = include_str!("view.toml");
/// How often windows are looked at while rows flow, in event time: as often as the agent does.
const TICK: Duration = Duration::from_millis(200);
/// Linux counts a process's time in these.
const TICKS_PER_SECOND: f64 = 100.0;
/// Rows that one call of expire takes, as in the pipeline.
const EXPIRE_ROWS: usize = 10_000;

#[derive(serde::Deserialize)]
struct File {
    feature_view: Vec<ViewConfig>,
    gate: Vec<GateConfig>,
}

struct Bench {
    db: Db,
    engine: Arc<Engine>,
    rules: Rules,
}

/// What was measured.
#[derive(Debug, Default)]
struct Measured {
    rows: u64,
    passed: u64,
    stored: u64,
    wall: Duration,
    /// The workload's own making, which is not counted.
    making: Duration,
}

fn main() -> Result<()> {
    let flags = flags(std::env::args().skip(1))?;
    let number = |name: &str, default: u64| -> Result<u64> {
        flags.get(name).map_or(Ok(default), |text| text.parse().or_kind(Kind::Config))
    };
    let options = Options {
        users: number("--users", 10_000)?,
        step_us: number("--step-ms", 1)? as i64 * 1_000,
        late: flags.contains_key("--late") || !flags.contains_key("--every-row"),
    };
    let rows = number("--rows", 2_000_000)?;
    let batch = number("--batch", 4_000)?;
    let folder = std::env::temp_dir().join(format!("tidegate-bench-features-{}", std::process::id()));
    std::fs::create_dir_all(&folder).or_kind(Kind::Config)?;
    // Ten million weights take a while, and they are no work of ours.
    let workload = Workload::new(options);
    let before = usage();
    let done = Bench::open(&folder.join("agent.db")).and_then(|mut bench| match flags.get("--every-row") {
        Some(path) => bench.every_row(workload, rows, Path::new(path)),
        None => bench.run(workload, rows, batch),
    });
    let bytes = std::fs::metadata(folder.join("agent.db")).map_or(0, |m| m.len());
    let _ = std::fs::remove_dir_all(&folder);
    report(&done?, before.cpu_seconds, bytes, workload::table_bytes(options))
}

fn flags(words: impl Iterator<Item = String>) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    let mut words = words.filter(|word| word != "--bench");
    while let Some(name) = words.next() {
        let Some(value) = words.next() else {
            return Err(Error::new(Kind::Config, format!("{name} needs a value")));
        };
        found.insert(name, value);
    }
    Ok(found)
}

/// What the kernel counted.
struct Usage {
    cpu_seconds: f64,
    peak_mib: f64,
}

/// User and system time of all threads, and the most memory that was resident at once.
fn usage() -> Usage {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    let ticks = |n: usize| fields.get(n).and_then(|t| t.parse::<f64>().ok()).unwrap_or_default();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = peak.and_then(|p| p.split_whitespace().next()).and_then(|k| k.parse::<f64>().ok());
    Usage {
        cpu_seconds: (ticks(11) + ticks(12)) / TICKS_PER_SECOND,
        peak_mib: kib.unwrap_or_default() / 1024.0,
    }
}

/// `cpu_before` and `own_bytes`: what the making of the rows took and holds, which is not counted.
fn report(measured: &Measured, cpu_before: f64, file_bytes: u64, own_bytes: u64) -> Result<()> {
    let usage = usage();
    let net = measured.wall.saturating_sub(measured.making).as_secs_f64();
    let cpu = usage.cpu_seconds - cpu_before - measured.making.as_secs_f64();
    let millions = measured.rows as f64 / 1e6;
    let line = serde_json::json!({
        "rows": measured.rows, "passed": measured.passed, "stored": measured.stored,
        "rows_per_second": (measured.rows as f64 / net).round(),
        "rows_per_cpu_second": (measured.rows as f64 / cpu).round(),
        "cpu_seconds_per_million": cpu / millions,
        "peak_mib": usage.peak_mib - own_bytes as f64 / 1_048_576.0,
        "file_mib": file_bytes as f64 / 1_048_576.0,
    });
    writeln!(std::io::stdout(), "{line}").or_kind(Kind::Unreachable)
}

impl Bench {
    fn open(path: &Path) -> Result<Bench> {
        let file: File = toml::from_str(DEFINITION).or_kind(Kind::Config)?;
        let views = definition::compile(&file.feature_view)?;
        let columns = workload::COLUMNS.map(str::to_owned).to_vec();
        let rules = Rules::compile(&file.gate, workload::TOPIC, &columns);
        let db = Db::open(&DbConfig { path: PathBuf::from(path), ..DbConfig::default() })?;
        let engine = db.write(move |tx| open(tx, views, &columns))?;
        Ok(Bench { db, engine: Arc::new(engine), rules })
    }

    fn run(&mut self, mut workload: Workload, rows: u64, batch: u64) -> Result<Measured> {
        let mut measured = Measured { rows, ..Measured::default() };
        let started = Instant::now();
        let mut ticked_us = workload.now_us();
        while workload.made() < rows {
            let making = Instant::now();
            let wanted = batch.min(rows - workload.made()) as usize;
            let made: Vec<Row> = workload.by_ref().take(wanted).collect();
            measured.making += making.elapsed();
            let passed: Vec<Row> =
                made.into_iter().filter(|row| matches!(self.rules.judge(row), Verdict::Pass)).collect();
            measured.passed += passed.len() as u64;
            let now_us = workload.now_us();
            let expire = now_us - ticked_us >= TICK.as_micros() as i64;
            if expire {
                ticked_us = now_us;
            }
            measured.stored += self.batch(passed, now_us, expire)?;
        }
        measured.wall = started.elapsed();
        Ok(measured)
    }

    fn batch(&self, rows: Vec<Row>, now_us: i64, expire: bool) -> Result<u64> {
        let engine = Arc::clone(&self.engine);
        self.db.write(move |tx| {
            let mut values = engine.apply(tx, workload::TOPIC, &rows, now_us, None)?.values;
            let mut more = expire;
            while more {
                let (expired, again) = engine.expire(tx, now_us, EXPIRE_ROWS)?;
                values.extend(expired);
                more = again;
            }
            Ok(agent::store::write(tx, values, now_us)?.len() as u64)
        })
    }

    fn every_row(&mut self, mut workload: Workload, rows: u64, path: &Path) -> Result<Measured> {
        let mut out = std::io::BufWriter::new(std::fs::File::create(path).or_kind(Kind::Config)?);
        let mut measured = Measured { rows, ..Measured::default() };
        let started = Instant::now();
        while workload.made() < rows {
            let wanted = 1_000.min(rows - workload.made()) as usize;
            let made: Vec<Row> = workload.by_ref().take(wanted).collect();
            let passed: Vec<Row> =
                made.into_iter().filter(|row| matches!(self.rules.judge(row), Verdict::Pass)).collect();
            let engine = Arc::clone(&self.engine);
            let lines = self.db.write(move |tx| {
                let mut lines = Vec::new();
                for row in &passed {
                    let now_us = workload::time_us(row);
                    while engine.expire(tx, now_us, EXPIRE_ROWS)?.1 {}
                    let effect =
                        engine.apply(tx, workload::TOPIC, std::slice::from_ref(row), now_us, None)?;
                    lines.extend(effect.values.iter().map(|values| line(row, values)));
                }
                Ok(lines)
            })?;
            measured.passed += lines.len() as u64;
            lines.iter().try_for_each(|line| writeln!(out, "{line}")).or_kind(Kind::Full)?;
        }
        measured.wall = started.elapsed();
        out.flush().or_kind(Kind::Full)?;
        Ok(measured)
    }
}

fn open(tx: &rusqlite::Transaction<'_>, views: Vec<View>, columns: &[String]) -> Result<Engine> {
    let (engine, opened) = Engine::open(
        tx,
        views,
        |_| columns,
        workload::START_US,
        Limits::with_cache(FeaturesConfig::default().cache_bytes),
    )?;
    for view in opened.stale {
        engine.built(tx, view)?;
    }
    Ok(engine)
}

/// The row's columns, then its user's features at that moment.
fn line(row: &Row, values: &FeatureRow) -> String {
    let columns = row.after.as_deref().unwrap_or_default();
    columns.iter().chain(&values.values).map(cell).collect::<Vec<_>>().join(",")
}

fn cell(value: &Value) -> String {
    match value {
        Value::Int(n) | Value::Timestamp(n) => n.to_string(),
        Value::Float(n) => format!("{n:?}"),
        Value::Decimal(n) => n.to_string(),
        Value::Text(text) => text.clone(),
        _ => String::new(),
    }
}
