//! How files with rows are read: what `ingest` and `training` are both told.

use crate::config::file::{BadRows, FilesConfig, Format};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub struct Reading {
    /// A column of the record's key; may be given many times.
    #[arg(short, long, value_name = "COLUMN")]
    key: Vec<String>,
    /// What the files hold; by their names when absent.
    #[arg(long)]
    format: Option<Format>,
    /// A file with the Avro schema of the values; when absent the topic's, else one derived from the rows.
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,
    /// What to do with a row that does not fit.
    #[arg(long, default_value = "stop")]
    bad_rows: BadRows,
    /// Between the columns of CSV.
    #[arg(long, default_value = ",")]
    delimiter: char,
}

impl Reading {
    /// `time`: the column with the record's time.
    pub fn settings(&self, topic: &str, time: Option<&String>) -> FilesConfig {
        FilesConfig {
            format: self.format,
            key: self.key.clone(),
            time: time.cloned(),
            schema: self.schema.clone(),
            bad_rows: self.bad_rows,
            delimiter: self.delimiter,
            path: PathBuf::from("-"),
            ..FilesConfig::for_topic(topic)
        }
    }
}
