//! Feast and Python's Kafka, Avro and PostgreSQL clients in a virtual environment.

use crate::error::{Doing, Error, Result};
use crate::install::python::{Environment, environment};
use crate::process::run;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

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

    /// `feast apply` on the repository in a folder.
    pub fn apply(&self, folder: &Path, environment: &[(&str, &str)]) -> Result<()> {
        let mut command = self.command();
        command.args(["-m", "feast.cli.cli", "apply"]).current_dir(folder).envs(environment.iter().copied());
        run("run feast apply", &mut command).map(drop)
    }

    /// Starts a script on the repository in a folder, which it is told; returns once it says that it is ready.
    pub fn answering(&self, script: &Path, folder: &Path, environment: &[(&str, &str)]) -> Result<Answering> {
        let mut command = self.command();
        command.arg(script).arg(folder).current_dir(folder).envs(environment.iter().copied());
        Answering::start(command)
    }
}

/// A Python process that holds a `FeatureStore` and answers a line of JSON with a line.
#[derive(Debug)]
pub struct Answering {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Answering {
    /// In a group of its own: Ctrl-C is for the parent alone, which may still ask.
    fn start(mut command: Command) -> Result<Answering> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let mut child = command.spawn().doing(|| "start the Feast SDK".to_owned())?;
        let missing = || Error::new("the Feast SDK has no input or output");
        let questions = child.stdin.take().ok_or_else(missing)?;
        let answers = BufReader::new(child.stdout.take().ok_or_else(missing)?);
        let mut answering = Answering { child, questions, answers };
        match answering.line()?.as_str() {
            "ready" => Ok(answering),
            other => Err(Error::new(format!("the Feast SDK did not start: {other}"))),
        }
    }

    pub fn ask(&mut self, question: &Value) -> Result<Value> {
        writeln!(self.questions, "{question}").doing(|| "ask the Feast SDK".to_owned())?;
        let line = self.line()?;
        serde_json::from_str(&line)
            .map_err(|error| Error::new(format!("the Feast SDK answered {line:?}: {error}")))
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.answers.read_line(&mut line).doing(|| "read the Feast SDK's answer".to_owned())?;
        Ok(line.trim().to_owned())
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        // It ends by itself when its input closes; nothing is lost if it is killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
