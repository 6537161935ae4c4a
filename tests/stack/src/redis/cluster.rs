//! A Redis cluster of masters, each of which keeps its data through a kill.

use super::install;
use crate::error::{Error, Result};
use crate::folder::Folder;
use crate::process::{Process, Signal, command, run};
use crate::{HOST, port};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(30);
/// The nodes speak to each other on a port that is so much higher.
const BUS: u16 = 10_000;

#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Node>,
    program: PathBuf,
    password: String,
}

#[derive(Debug)]
struct Node {
    process: Option<Process>,
    port: u16,
    folder: Folder,
}

impl Cluster {
    /// So many masters with the slots spread over them, and a password for all.
    pub fn start(nodes: usize, password: &str) -> Result<Cluster> {
        let program = install()?;
        port::retry(|| {
            let node = |_| Ok(Node { process: None, port: low_port()?, folder: Folder::new("redis-node")? });
            let nodes = (0..nodes).map(node).collect::<Result<Vec<_>>>()?;
            let mut cluster = Cluster { nodes, program: program.clone(), password: password.to_owned() };
            for at in 0..cluster.nodes.len() {
                cluster.start_again(at)?;
            }
            let mut create = cluster.client();
            create.args(["--cluster", "create"]).args(cluster.addresses()).arg("--cluster-yes");
            run("make a Redis cluster", &mut create)?;
            cluster.wait_whole()?;
            Ok(cluster)
        })
    }

    /// `host:port` of each node.
    pub fn addresses(&self) -> Vec<String> {
        self.nodes.iter().map(|node| format!("{HOST}:{}", node.port)).collect()
    }

    /// Keys of each node.
    pub fn keys(&self) -> Result<Vec<i64>> {
        let count =
            |node: &Node| self.cli(node.port, &["DBSIZE"]).map(|text| text.trim().parse().unwrap_or(-1));
        self.nodes.iter().map(count).collect()
    }

    /// SIGKILL to one node; its slots are nobody's until it is back.
    pub fn kill(&mut self, at: usize) -> Result<()> {
        match self.nodes.get_mut(at).and_then(|node| node.process.take()) {
            Some(mut process) => process.kill().map(drop),
            None => Ok(()),
        }
    }

    /// Starts a node on its data and its port.
    pub fn start_again(&mut self, at: usize) -> Result<()> {
        let password = self.password.clone();
        let Some(node) = self.nodes.get_mut(at) else { return Err(Error::new("no such node")) };
        let mut command = command(&self.program, Signal::Kill, None);
        command.args(["--bind", HOST, "--port", &node.port.to_string(), "--daemonize", "no"]);
        command.args(["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"]);
        command.args(["--cluster-require-full-coverage", "no"]);
        command.args(["--appendonly", "yes", "--appendfsync", "always", "--save", ""]);
        command.args(["--requirepass", &password, "--masterauth", &password]);
        command.arg("--dir").arg(node.folder.path());
        let port = node.port;
        let mut process = Process::spawn("redis node", command, &node.folder.path().join("redis.log"))?;
        process.wait_ready(LIMIT, || port::answers(port))?;
        node.process = Some(process);
        Ok(())
    }

    fn wait_whole(&self) -> Result<()> {
        let start = Instant::now();
        loop {
            let whole = |node: &Node| {
                self.cli(node.port, &["CLUSTER", "INFO"]).is_ok_and(|text| text.contains("cluster_state:ok"))
            };
            if self.nodes.iter().all(whole) {
                return Ok(());
            }
            if start.elapsed() > LIMIT {
                return Err(Error::new("the Redis cluster does not become whole"));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn cli(&self, port: u16, arguments: &[&str]) -> Result<String> {
        let mut command = self.client();
        command.args(["-h", HOST, "-p", &port.to_string()]).args(arguments);
        run("run redis-cli", &mut command)
    }

    fn client(&self) -> Command {
        let mut command = Command::new("redis-cli");
        command.args(["--no-auth-warning", "-a", &self.password]);
        command
    }
}

/// A free port whose bus port is one too.
fn low_port() -> Result<u16> {
    loop {
        let port = port::free()?;
        if port < u16::MAX - BUS && !port::answers(port + BUS) {
            return Ok(port);
        }
    }
}
