//! Redis without persistence, and a cluster with it.

mod cluster;

pub use cluster::Cluster;

use crate::error::Result;
use crate::folder::Folder;
use crate::install::apt;
use crate::process::{Process, Signal, command, run};
use crate::{HOST, port};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);

/// A running (or stopped) server.
#[derive(Debug)]
pub struct Redis {
    process: Option<Process>,
    program: PathBuf,
    port: u16,
    further: Vec<String>,
    folder: Folder,
}

/// Makes sure that the programs are there.
pub fn install() -> Result<PathBuf> {
    apt::program("redis-server", "redis-server")
}

impl Redis {
    pub fn start() -> Result<Redis> {
        Redis::start_with(&[])
    }

    /// With further words of its command line, e.g. `--tls-port`.
    pub fn start_with(further: &[&str]) -> Result<Redis> {
        let program = install()?;
        port::retry(|| {
            let mut server = Redis {
                process: None,
                program: program.clone(),
                port: port::free()?,
                further: further.iter().map(|word| (*word).to_owned()).collect(),
                folder: Folder::new("redis")?,
            };
            server.start_again()?;
            Ok(server)
        })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// `host:port`, as Feast writes it.
    pub fn address(&self) -> String {
        format!("{HOST}:{}", self.port)
    }

    pub fn url(&self) -> String {
        format!("redis://{}", self.address())
    }

    /// One command by redis-cli; gives its answer as printed.
    pub fn cli(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new("redis-cli");
        command.args(["-h", HOST, "-p", &self.port.to_string()]).args(arguments);
        run("run redis-cli", &mut command).map(|text| text.trim_end().to_owned())
    }

    /// Ends it; without persistence its data is gone.
    pub fn stop(&mut self) -> Result<()> {
        match self.process.take() {
            Some(mut process) => process.stop(Signal::Term, LIMIT).map(drop),
            None => Ok(()),
        }
    }

    /// Starts, empty, on the same port.
    pub fn start_again(&mut self) -> Result<()> {
        let mut command = command(&self.program, Signal::Kill, None);
        command.args(["--bind", HOST, "--port", &self.port.to_string(), "--daemonize", "no"]);
        command.args(["--appendonly", "no", "--save", ""]).arg("--dir").arg(self.folder.path());
        command.args(&self.further);
        let mut process = Process::spawn("redis", command, &self.folder.path().join("redis.log"))?;
        process.wait_ready(LIMIT, || self.cli(&["ping"]).is_ok_and(|answer| answer == "PONG"))?;
        self.process = Some(process);
        Ok(())
    }
}
