//! Where our programs are: beside the running test's own executable.

use stack::{Error, Result};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// One of our programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    Connector,
    Agent,
}

impl Binary {
    pub fn name(self) -> &'static str {
        match self {
            Binary::Connector => "tidegate-connector",
            Binary::Agent => "tidegate-agent",
        }
    }

    /// `target/<profile>/<name>`: a test runs from `target/<profile>/deps`, a bench or `cargo dev` from
    /// `target/<profile>`.
    pub fn path(self) -> Result<PathBuf> {
        let test = std::env::current_exe().map_err(|error| Error::new(format!("find this test: {error}")))?;
        let folders = test.ancestors().skip(1).take(2);
        folders.map(|folder: &Path| folder.join(self.name())).find(|path| path.is_file()).ok_or_else(|| {
            Error::new(format!("{} is not built beside {}", self.name(), test.display()))
                .remedy("cargo build --workspace, or use cargo dev test, which does so")
        })
    }

    /// Runs it to its end, as a person would: for `check`, `status`, `--version` and the like.
    pub fn output(self, arguments: &[&str]) -> Result<Output> {
        let mut command = Command::new(self.path()?);
        command.args(arguments);
        command.output().map_err(|error| Error::new(format!("run {}: {error}", self.name())))
    }
}
