//! Kafka clients of other languages, as their users have them.

use crate::error::Result;
use crate::install::go;
use crate::install::python::{Environment, environment};
use std::path::{Path, PathBuf};

const PYTHON: &[&str] = &[
    "confluent-kafka[avro]==2.16.1",
    "kafka-python==3.0.12",
    "python-snappy==0.7.3",
    "lz4==4.4.5",
    "zstandard==0.25.0",
];

/// Confluent's client with Avro, and the one that is Python alone, with all codecs.
pub fn python() -> Result<Environment> {
    environment("clients", PYTHON)
}

/// The Go program in `source`, whose `go.mod` names the clients.
pub fn go(source: &Path) -> Result<PathBuf> {
    go::program("clients", source)
}
