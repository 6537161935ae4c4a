//! `[[files]]`: a watched folder whose files become records.

use super::wrong;
use serde::Deserialize;
use shared::error::Result;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A file that was not written to for this long is complete.
const DEFAULT_SETTLE: Duration = Duration::from_secs(2);
/// Values of one transaction: large enough to share the cost of its commit.
const DEFAULT_BATCH_BYTES: usize = 1 << 20;

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    Csv,
    /// JSON, an object a line.
    JsonLines,
    Parquet,
}

impl Format {
    /// By the file's name: `.csv`, `.jsonl` or `.ndjson` or `.json`, `.parquet`.
    pub fn of(path: &Path) -> Option<Format> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "csv" => Some(Format::Csv),
            "jsonl" | "ndjson" | "json" => Some(Format::JsonLines),
            "parquet" => Some(Format::Parquet),
            _ => None,
        }
    }
}

/// What to do with a row that does not fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum BadRows {
    /// The file waits for a person; what stands before the row is stored.
    #[default]
    Stop,
    /// It is counted, named in the log, and passed over.
    Skip,
}

/// `[[files]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilesConfig {
    /// A folder and a pattern for names, as `/var/spool/tidegate/*.csv`.
    pub path: PathBuf,
    pub topic: String,
    /// By the file's name when absent.
    #[serde(default)]
    pub format: Option<Format>,
    /// Columns that become the key.
    #[serde(default)]
    pub key: Vec<String>,
    /// The column with the record's time; when absent, the time of reading.
    #[serde(default)]
    pub time: Option<String>,
    /// A file with the Avro schema of the values; when absent the one registered under `TOPIC-value`,
    /// else one derived from the first rows.
    #[serde(default)]
    pub schema: Option<PathBuf>,
    #[serde(default)]
    pub bad_rows: BadRows,
    /// Between the columns of CSV.
    #[serde(default = "default_delimiter")]
    pub delimiter: char,
    #[serde(default = "default_settle", with = "shared::time::duration")]
    pub settle: Duration,
    /// Bytes of values in one transaction.
    #[serde(default = "default_batch_bytes")]
    pub batch_bytes: usize,
}

fn default_delimiter() -> char {
    ','
}

fn default_settle() -> Duration {
    DEFAULT_SETTLE
}

fn default_batch_bytes() -> usize {
    DEFAULT_BATCH_BYTES
}

impl FilesConfig {
    /// For files that are named one by one.
    pub fn for_topic(topic: &str) -> FilesConfig {
        FilesConfig {
            path: PathBuf::new(),
            topic: topic.to_owned(),
            format: None,
            key: Vec::new(),
            time: None,
            schema: None,
            bad_rows: BadRows::default(),
            delimiter: default_delimiter(),
            settle: DEFAULT_SETTLE,
            batch_bytes: DEFAULT_BATCH_BYTES,
        }
    }

    pub fn check(&self) -> Result<()> {
        let name = self.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.is_empty() || name.matches('*').count() > 1 {
            return Err(wrong("files.path must end with a name that may have one *, as /spool/*.csv"));
        }
        if self.folder().to_string_lossy().contains('*') {
            return Err(wrong("files.path: only the file's name may have a *"));
        }
        if self.topic.is_empty() {
            return Err(wrong("files.topic must name the topic that the rows go to"));
        }
        if !self.delimiter.is_ascii() {
            return Err(wrong("files.delimiter must be one ASCII letter"));
        }
        if !(4_096..=8 << 20).contains(&self.batch_bytes) {
            return Err(wrong("files.batch_bytes must be from 4096 to 8388608"));
        }
        Ok(())
    }

    pub fn folder(&self) -> &Path {
        self.path.parent().filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."))
    }

    /// Whether a file of the folder is meant.
    pub fn fits(&self, name: &str) -> bool {
        let pattern = self.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        match pattern.split_once('*') {
            None => name == pattern,
            Some((start, end)) => {
                name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
            }
        }
    }
}
