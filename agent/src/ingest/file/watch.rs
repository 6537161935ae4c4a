//! The thread that looks into the watched folders.

use super::Importer;
use crate::config::file::FilesConfig;
use shared::error::{Context, Kind, OrKind, Result};
use shared::retry::Backoff;
use shared::shutdown::Shutdown;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};
use tokio::runtime::Handle;

const LOOK_EVERY: Duration = Duration::from_secs(1);
const RETRY_FIRST: Duration = Duration::from_secs(5);
const RETRY_CEILING: Duration = Duration::from_secs(300);
/// Files of one folder that are looked at; more are named once and wait for the first to go.
const MAX_FILES: usize = 10_000;

/// What a file was when it was last read, and when it may be tried again.
struct Seen {
    size: u64,
    changed: SystemTime,
    /// Done, or broken so that only another content helps.
    settled: bool,
    retry_at: Instant,
    backoff: Backoff,
}

pub struct Watch {
    pub importer: Importer,
    pub files: Vec<FilesConfig>,
    pub shutdown: Shutdown,
}

impl Watch {
    /// Looks until the program stops.
    pub fn run(self, runtime: &Handle) -> Result<()> {
        let mut seen: HashMap<(usize, PathBuf), Seen> = HashMap::new();
        let mut failing: HashMap<usize, String> = HashMap::new();
        while !self.shutdown.requested() {
            for (at, config) in self.files.iter().enumerate() {
                match self.look(at, config, &mut seen) {
                    Ok(()) => drop(failing.remove(&at)),
                    // Said once, until it works or says something else.
                    Err(error) => {
                        let said = error.to_string();
                        if failing.insert(at, said.clone()).is_none_or(|before| before != said) {
                            tracing::warn!(
                                event = "files_unreadable", %error, remedy = error.hint(),
                                "a watched folder cannot be looked into; it is tried again"
                            );
                        }
                    }
                }
            }
            let pause = async { tokio::time::timeout(LOOK_EVERY, self.shutdown.wait()).await };
            let _ = runtime.block_on(pause);
        }
        Ok(())
    }

    fn look(
        &self,
        at: usize,
        config: &FilesConfig,
        seen: &mut HashMap<(usize, PathBuf), Seen>,
    ) -> Result<()> {
        let paths = list(config)?;
        seen.retain(|(of, path), _| *of != at || paths.contains(path));
        for path in paths {
            if self.shutdown.requested() {
                break;
            }
            let Ok(data) = std::fs::metadata(&path) else { continue };
            let changed = data.modified().or_kind(Kind::Unreachable)?;
            let quiet = SystemTime::now().duration_since(changed).unwrap_or_default() >= config.settle;
            let key = (at, path);
            let known = seen.get(&key);
            let same = known.is_some_and(|known| known.size == data.len() && known.changed == changed);
            let waits = known.is_some_and(|known| same && (known.settled || Instant::now() < known.retry_at));
            if !data.is_file() || !quiet || waits {
                continue;
            }
            let backoff = || Backoff::new(RETRY_FIRST, RETRY_CEILING);
            let mut entry = seen.remove(&key).filter(|_| same).unwrap_or_else(|| Seen {
                size: data.len(),
                changed,
                settled: false,
                retry_at: Instant::now(),
                backoff: backoff(),
            });
            entry.settled = self.take(&key.1, config);
            entry.retry_at = Instant::now() + entry.backoff.delay();
            seen.insert(key, entry);
        }
        Ok(())
    }

    /// True if nothing more is to be done with the file as it is.
    fn take(&self, path: &Path, config: &FilesConfig) -> bool {
        match self.importer.take(path, config, &mut |_, _| ()) {
            Ok(taken) => {
                if taken.stored > 0 || taken.bad > 0 {
                    tracing::info!(
                        event = "file_read", file = %path.display(), topic = config.topic,
                        stored = taken.stored, rows = taken.rows, bad = taken.bad, done = taken.done,
                        "a file's rows are in the log"
                    );
                }
                taken.done
            }
            Err(error) => {
                tracing::warn!(
                    event = "file_stopped", file = %path.display(), %error, remedy = error.hint(),
                    tried_again = error.retryable(), "a file is not read any further"
                );
                !error.retryable()
            }
        }
    }
}

/// The folder's files that are meant, by name.
fn list(config: &FilesConfig) -> Result<Vec<PathBuf>> {
    let folder = config.folder();
    let doing = || format!("look into {}", folder.display());
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).or_kind(Kind::Config).doing(doing)? {
        let entry = entry.or_kind(Kind::Unreachable).doing(doing)?;
        if entry.file_name().to_str().is_some_and(|name| config.fits(name)) && found.len() < MAX_FILES {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}
