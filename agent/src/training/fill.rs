//! Rows from elsewhere instead of the agent's log: from files as `ingest` reads them, or from central Kafka as
//! `[consume]` reads it. They go into a log of their own beside the output, so that what is replayed is a log
//! like any other.
//!
//! ```text
//! rows.parquet ──> ingest/file ────┬─> log beside the output ─> replay
//! central Kafka ─> ingest/consume ─┘
//! ```

use crate::buffer::Log;
use crate::config::Config;
use crate::config::buffer::BufferConfig;
use crate::config::consume::{ConsumeConfig, Start};
use crate::config::db::{DbConfig, Synchronous};
use crate::config::file::FilesConfig;
use crate::db::Db;
use crate::feature::View;
use crate::ingest::consume::{self, Consumer};
use crate::ingest::file::Importer;
use crate::registry::Registry;
use shared::error::{Context, Error, Kind, OrKind, Result};
use shared::shutdown::Shutdown;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::runtime::Runtime;

/// Where the rows come from, if not from the agent's log.
#[derive(Clone, Debug)]
pub enum Rows {
    Files(Files),
    /// The views' topics, as `[consume]` or else `[forward]` says how to reach them.
    Kafka,
}

/// Files with a topic's rows, in the order of time.
#[derive(Clone, Debug)]
pub struct Files {
    pub paths: Vec<PathBuf>,
    /// How they are read. Without a topic, that of the views; without a time, their column of event time.
    pub settings: FilesConfig,
}

impl Files {
    /// The views that are over the files' topic, and how the files are read for them.
    ///
    /// # Errors
    /// `Config`, if it is not clear which topic the rows are of, or when they were known.
    pub(super) fn fit(&self, mut views: Vec<View>, named: &[String]) -> Result<(Vec<View>, FilesConfig)> {
        let mut topics: Vec<String> = views.iter().map(|view| view.topic.clone()).collect();
        topics.sort_unstable();
        topics.dedup();
        let topic = match (self.settings.topic.as_str(), topics.as_slice()) {
            ("", [only]) => only.clone(),
            ("", several) => {
                let what = format!("the views are over several topics: {}", several.join(", "));
                return Err(
                    Error::new(Kind::Config, what).remedy("--topic names the one whose rows the files hold")
                );
            }
            (topic, _) => topic.to_owned(),
        };
        if let Some(view) = views.iter().find(|view| view.topic != topic && named.contains(&view.name)) {
            let what =
                format!("view {} is over topic {}, the files hold rows of {topic}", view.name, view.topic);
            return Err(Error::new(Kind::Config, what).remedy("make a training set for each topic"));
        }
        views.retain(|view| view.topic == topic);
        if let Some((view, lookup)) = views.iter().find_map(|view| Some((view, view.lookups.first()?))) {
            let what =
                format!("view {} looks up topic {}, the files hold rows of {topic}", view.name, lookup.topic);
            return Err(Error::new(Kind::Config, what)
                .remedy("make it from the agent's log or from central Kafka; --view names the others"));
        }
        let Some(first) = views.first() else {
            return Err(Error::new(Kind::Config, format!("no view that is asked for is over topic {topic}"))
                .remedy(format!("--topic one of: {}", topics.join(", "))));
        };
        let of_views = first.time.clone().filter(|_| views.iter().all(|view| view.time == first.time));
        let time = self.settings.time.clone().or(of_views).ok_or_else(|| {
            Error::new(Kind::Config, "nothing says when each row of the files was known")
                .remedy("--row-time names the column with the time of its commit")
        })?;
        let settings = FilesConfig { topic, time: Some(time), ..self.settings.clone() };
        settings.check().map(|()| (views, settings))
    }

    /// Reads them. Blocks.
    ///
    /// # Errors
    /// Those of `ingest`; `Unreachable` if the program is to stop.
    pub(super) fn read(
        &self,
        settings: &FilesConfig,
        config: &Config,
        out: &Path,
        shutdown: &Shutdown,
        progress: super::Progress<'_>,
    ) -> Result<Filled> {
        let filled = Filled::beside(out, &config.db)?;
        let Open { runtime, db, log, registry } = filled.open(config)?;
        let importer = Importer::new(&db, log, registry, runtime.handle().clone(), shutdown.clone());
        for path in &self.paths {
            importer.take(path, settings, &mut |place, end| progress("reading the rows", place, end))?;
            super::going_on(shutdown)?;
        }
        Ok(filled)
    }
}

/// Reads the views' topics from central Kafka to where they end now. Blocks.
///
/// # Errors
/// `Config`: there is no such topic, or nothing says where Kafka is; `Unreachable` if the program is to stop.
pub fn central(
    views: &[View],
    config: &Config,
    out: &Path,
    shutdown: &Shutdown,
    progress: super::Progress<'_>,
) -> Result<Filled> {
    let forward = config.forward.as_ref();
    let settings = config
        .consume
        .clone()
        .or_else(|| forward.map(|to| ConsumeConfig::of(to.kafka.clone(), to.registry.clone(), Vec::new())));
    let settings = settings.ok_or_else(|| {
        Error::new(Kind::Config, "nothing says where central Kafka is")
            .remedy("[consume] or [forward] names its brokers and its registry")
    })?;
    let mut filled = Filled::beside(out, &config.db)?;
    let Open { runtime, db, log, registry } = filled.open(config)?;
    let mut topics: Vec<&str> = views.iter().flat_map(View::topics).collect();
    topics.sort_unstable();
    topics.dedup();
    for topic in topics {
        let settings =
            ConsumeConfig { topics: vec![topic.to_owned()], start: Start::Earliest, ..settings.clone() };
        let registry = Arc::clone(&registry);
        let adopt: consume::Adopt = Box::new(move |subject, schema| registry.adopt(subject, schema));
        let (watch, shutdown) = (consume::progress::Watch::default(), shutdown.clone());
        let consumer = Consumer::new(&settings, &db, Arc::clone(&log), adopt, watch, shutdown.clone())?;
        let mut show = |records| progress("reading central Kafka", records, 0);
        let cut = consumer.run_to_end(runtime.handle(), &mut show).doing(|| format!("read topic {topic}"))?;
        super::going_on(&shutdown)?;
        if cut {
            filled.cut.push(topic.to_owned());
        }
    }
    Ok(filled)
}

/// A log that is gone with this value.
pub struct Filled {
    config: DbConfig,
    /// Topics whose first records were gone when they were read.
    cut: Vec<String>,
}

/// What of it is open while it is filled; ends in this order.
struct Open {
    registry: Arc<Registry>,
    log: Arc<Log>,
    db: Db,
    runtime: Runtime,
}

impl Filled {
    fn beside(out: &Path, like: &DbConfig) -> Result<Filled> {
        let mut name = out.file_name().unwrap_or_default().to_owned();
        name.push(".rows");
        let path = out.with_file_name(name);
        // Nothing in it is kept: what a power cut takes is read again.
        let config = DbConfig { path, synchronous: Synchronous::Normal, max_file_bytes: 0, ..like.clone() };
        let filled = Filled { config, cut: Vec::new() };
        filled.remove().doing(|| format!("remove what is left of {}", filled.config.path.display()))?;
        Ok(filled)
    }

    fn open(&self, config: &Config) -> Result<Open> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.or_kind(Kind::Bug)?;
        let db = Db::open(&self.config)?;
        // Its room is the disk's.
        let buffer = BufferConfig {
            max_bytes: i64::MAX.unsigned_abs(),
            reserve_free_bytes: 0,
            auto_create_topics: true,
            partitions: 1,
            ..config.buffer.clone()
        };
        let log = Arc::new(Log::open(&db, &buffer)?);
        let registry = Arc::new(Registry::open(&db)?);
        Ok(Open { registry, log, db, runtime })
    }

    pub fn db(&self) -> &DbConfig {
        &self.config
    }

    pub fn is_cut(&self, topic: &str) -> bool {
        self.cut.iter().any(|cut| cut == topic)
    }

    fn remove(&self) -> Result<()> {
        for suffix in ["", "-wal", "-shm", ".lock"] {
            let mut path = self.config.path.clone().into_os_string();
            path.push(suffix);
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).or_kind(Kind::Config);
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl Drop for Filled {
    fn drop(&mut self) {
        // If it stays, the next run removes it.
        let _ = self.remove();
    }
}
