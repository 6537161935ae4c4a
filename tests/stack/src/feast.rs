//! Feast and Python's Kafka, Avro and PostgreSQL clients in a virtual environment.

use crate::error::Result;
use crate::install::python::{Environment, environment};
use crate::process::run;
use std::path::{Path, PathBuf};
use std::process::Command;

const REQUIREMENTS: &[&str] =
    &["feast[redis]==0.67.0", "psycopg[binary]", "confluent-kafka[avro]", "fastavro"];

/// With the drivers of its PostgreSQL store, and Pinecone's own client, which reads what is sent in its form.
const ONLINE: &[&str] = &["feast[redis,postgres]==0.67.0", "pinecone==10.2.0"];

/// The environment, installed.
#[derive(Clone, Debug)]
pub struct Feast {
    environment: Environment,
}

impl Feast {
    pub fn install() -> Result<Feast> {
        Ok(Feast { environment: environment("feast", REQUIREMENTS)? })
    }

    /// The environment that reads and serves all online stores.
    pub fn install_online() -> Result<Feast> {
        Ok(Feast { environment: environment("feast-online", ONLINE)? })
    }

    /// The interpreter's path.
    pub fn python(&self) -> PathBuf {
        self.environment.python()
    }

    /// Its Python, with Feast told to send nothing home and to say little.
    pub fn command(&self) -> Command {
        let mut command = self.environment.command();
        command.env("FEAST_USAGE", "False").env("FEAST_TELEMETRY", "False").env("PYTHONWARNINGS", "ignore");
        command
    }

    /// Runs a script in a folder to its end and gives what it printed; a failure quotes it all.
    pub fn run(&self, folder: &Path, script: &Path, arguments: &[&str]) -> Result<String> {
        let mut command = self.command();
        command.current_dir(folder).arg(script).args(arguments);
        run(&format!("run {}", script.display()), &mut command)
    }
}
