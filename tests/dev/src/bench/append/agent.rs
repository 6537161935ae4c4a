//! A release build of the agent, on a file of its own.

use stack::folder::Folder;
use stack::process::{Process, Signal};
use stack::{Error, HOST, Result, http};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);

pub struct Agent {
    pub process: Process,
    pub door: u16,
    admin: u16,
    folder: Folder,
}

impl Agent {
    pub fn start(program: &Path) -> Result<Agent> {
        Agent::start_in(program, Folder::new("bench-append")?)
    }

    /// On the file that is in `folder`, if there is one.
    pub fn start_in(program: &Path, folder: Folder) -> Result<Agent> {
        let (admin, door) = (stack::port::free()?, stack::port::free()?);
        let (registry, features) = (stack::port::free()?, stack::port::free()?);
        let text = format!(
            "[admin]\nlisten = \"{HOST}:{admin}\"\n[db]\npath = \"{}\"\n[door]\nlisten = \"{HOST}:{door}\"\n\
             [registry]\nlisten = \"{HOST}:{registry}\"\n[features]\nlisten = \"{HOST}:{features}\"\n",
            folder.path().join("agent.db").display()
        );
        let config = folder.write("agent.toml", &text)?;
        let mut command = Command::new(program);
        command.args(["run", "-c"]).arg(config);
        let mut process = Process::spawn("agent", command, &folder.path().join("agent.log"))?;
        let url = format!("http://{HOST}:{admin}/readyz");
        process.wait_ready(LIMIT, || http::answers(&url))?;
        Ok(Agent { process, door, admin, folder })
    }

    pub fn brokers(&self) -> String {
        format!("{HOST}:{}", self.door)
    }

    /// A metric without labels.
    pub fn metric(&self, name: &str) -> Result<f64> {
        let text = http::get(&format!("http://{HOST}:{}/metrics", self.admin))?.body;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let value = line.and_then(|value| value.trim().parse().ok());
        value.ok_or_else(|| Error::new(format!("the agent has no metric {name}")))
    }

    pub fn stop(mut self) -> Result<Folder> {
        self.process.stop(Signal::Term, LIMIT)?;
        Ok(self.folder)
    }
}
