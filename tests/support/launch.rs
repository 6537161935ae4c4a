//! How one of our programs is started, as often as a test wants, on the same files and ports.

use crate::log::unlisted;
use crate::program::Program;
use crate::{Binary, Result};
use stack::Error;
use stack::folder::Folder;
use stack::process::{Process, Signal, command};
use stack::{HOST, port};
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A program with its configuration; dropped, it fails the test on any warning that was not listed.
#[derive(Debug)]
pub struct Launch {
    binary: Binary,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    allowed: Vec<String>,
    admin: u16,
    folder: Arc<Folder>,
}

impl Launch {
    /// `run -c` with this text as its file, its admin server on a free port, logging JSON.
    pub fn new(binary: Binary, configuration: &str) -> Result<Launch> {
        let folder = Folder::new(binary.name())?;
        let file = folder.write("config.toml", configuration)?;
        Launch::with(binary, folder, &["-c", &file.display().to_string()])
    }

    /// `run` with these arguments instead of a file of its own, e.g. `--debezium`.
    pub fn with_arguments(binary: Binary, arguments: &[&str]) -> Result<Launch> {
        Launch::with(binary, Folder::new(binary.name())?, arguments)
    }

    fn with(binary: Binary, folder: Folder, arguments: &[&str]) -> Result<Launch> {
        let (admin, folder) = (port::free()?, Arc::new(folder));
        let mut words = vec!["run".to_owned()];
        words.extend(arguments.iter().map(|word| (*word).to_owned()));
        let mut launch =
            Launch { binary, arguments: words, environment: Vec::new(), allowed: Vec::new(), admin, folder };
        launch.set("admin.listen", format!("{HOST}:{admin}")).set("log.format", "json");
        Ok(launch)
    }

    /// Sets one value by `--set`.
    pub fn set(&mut self, key: &str, value: impl Display) -> &mut Launch {
        self.arguments.extend(["--set".to_owned(), format!("{key}={value}")]);
        self
    }

    pub fn env(&mut self, name: &str, value: impl Display) -> &mut Launch {
        self.environment.push((name.to_owned(), value.to_string()));
        self
    }

    /// Lists events that this test expects as WARN or ERROR.
    pub fn allow(&mut self, events: &[&str]) -> &mut Launch {
        self.allowed.extend(events.iter().map(|event| (*event).to_owned()));
        self
    }

    /// A folder for the program's state; it goes with the launch.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts it. One at a time: the ports and files are the same.
    pub fn start(&self) -> Result<Program> {
        let mut command = command(self.binary.path()?, Signal::Kill, None);
        command.args(&self.arguments).current_dir(self.folder.path());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let process = Process::spawn(self.binary.name(), command, &self.log())?;
        Ok(Program::new(process, self.admin, self.log(), Arc::clone(&self.folder)))
    }

    /// Runs another of its commands on the same configuration: exit code and standard output.
    pub fn command(&self, name: &str, words: &[&str]) -> Result<(i32, String)> {
        let mut command = std::process::Command::new(self.binary.path()?);
        command.arg(name).args(self.arguments.iter().skip(1)).args(words).current_dir(self.folder.path());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let out =
            command.output().map_err(|error| Error::new(format!("run {}: {error}", self.binary.name())))?;
        Ok((out.status.code().unwrap_or(-1), String::from_utf8_lossy(&out.stdout).into_owned()))
    }

    /// The log of all starts.
    pub fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}

impl Drop for Launch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let found = unlisted(&self.log(), &self.allowed);
        let lines: Vec<&str> = found.iter().map(|line| line.text()).collect();
        let name = self.binary.name();
        assert!(lines.is_empty(), "{name} warned of what this test did not list:\n{}", lines.join("\n"));
    }
}
