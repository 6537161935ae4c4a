//! Rows from files instead of the agent's log: they are read as `ingest` reads them, into a log of their own
//! beside the output, so that what is replayed is a log like any other.
//!
//! ```text
//! rows.parquet ─> ingest/file ─> log beside the output ─> replay
//! ```

use crate::buffer::Log;
use crate::config::Config;
use crate::config::buffer::BufferConfig;
use crate::config::db::{DbConfig, Synchronous};
use crate::config::file::FilesConfig;
use crate::db::Db;
use crate::feature::View;
use crate::ingest::file::Importer;
use crate::registry::Registry;
use shared::error::{Context, Error, Kind, OrKind, Result};
use shared::shutdown::Shutdown;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.or_kind(Kind::Bug)?;
        let db = Db::open(filled.db())?;
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
        let importer = Importer::new(&db, log, registry, runtime.handle().clone(), shutdown.clone());
        for path in &self.paths {
            importer.take(path, settings, &mut |place, end| progress("reading the rows", place, end))?;
            super::going_on(shutdown)?;
        }
        Ok(filled)
    }
}

/// A log that is gone with this value.
pub struct Filled(DbConfig);

impl Filled {
    fn beside(out: &Path, like: &DbConfig) -> Result<Filled> {
        let mut name = out.file_name().unwrap_or_default().to_owned();
        name.push(".rows");
        let path = out.with_file_name(name);
        // Nothing in it is kept: what a power cut takes is read again.
        let filled =
            Filled(DbConfig { path, synchronous: Synchronous::Normal, max_file_bytes: 0, ..like.clone() });
        filled.remove().doing(|| format!("remove what is left of {}", filled.0.path.display()))?;
        Ok(filled)
    }

    pub fn db(&self) -> &DbConfig {
        &self.0
    }

    fn remove(&self) -> Result<()> {
        for suffix in ["", "-wal", "-shm", ".lock"] {
            let mut path = self.0.path.clone().into_os_string();
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
