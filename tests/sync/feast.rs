//! The real Feast SDK: reads what agents wrote, and serves a store over HTTP.

use crate::edge::Features;
use serde_json::{Value as Json, json};
use stack::feast::Answering;
use stack::folder::Folder;
use stack::process::{Process, Signal, command};
use stack::{Feast, HOST, http};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// A feature repository that `feast apply` has seen.
pub struct Repository {
    feast: Feast,
    folder: Folder,
    raw: bool,
}

/// The SDK, on a repository.
pub struct Reader(Answering);

/// `feast serve`.
pub struct Server {
    process: Option<Process>,
    pub port: u16,
}

impl Repository {
    /// `online`: the lines below `online_store:`.
    pub fn new(online: &str, raw: bool) -> Repository {
        let feast = Feast::install_online().expect("Feast is there");
        let folder = Folder::new("feast").expect("a folder");
        folder.inner("data").expect("a folder");
        folder.write("definitions.py", include_str!("feast/definitions.py")).expect("written");
        let lines: String = online.lines().map(|line| format!("  {}\n", line.trim())).collect();
        let store = format!(
            "project: edge\nprovider: local\nregistry: data/registry.db\nonline_store:\n{lines}\
             offline_store:\n  type: file\nentity_key_serialization_version: 3\n"
        );
        folder.write("feature_store.yaml", &store).expect("written");
        let repository = Repository { feast, folder, raw };
        repository.feast.apply(repository.folder.path(), &[repository.raw()]).expect("feast apply");
        repository
    }

    /// What its definitions ask for in the environment.
    fn raw(&self) -> (&'static str, &'static str) {
        ("RAW", if self.raw { "1" } else { "0" })
    }

    pub fn reader(&self) -> Reader {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("sync/feast/read.py");
        let answering = self.feast.answering(&script, self.folder.path(), &[self.raw()]);
        Reader(answering.expect("the reader starts"))
    }

    pub fn serve(&self) -> Server {
        let mut server = Server { process: None, port: stack::port::free().expect("a free port") };
        server.start(self);
        server
    }
}

impl Reader {
    pub fn features(&mut self, users: &[i64]) -> BTreeMap<i64, Features> {
        let answer = self.ask(&json!({"users": users}));
        let answer = answer.as_object().expect("an object");
        let of = |(user, features): (&String, &Json)| {
            (user.parse().expect("a user"), features.as_object().expect("features").clone())
        };
        answer.iter().map(of).collect()
    }

    /// The places of the users nearest to a point.
    pub fn near(&mut self, point: [f64; 2]) -> Json {
        self.ask(&json!({"near": point}))
    }

    fn ask(&mut self, question: &Json) -> Json {
        self.0.ask(question).expect("Feast answers")
    }
}

impl Server {
    pub fn start(&mut self, repository: &Repository) {
        let mut serve = command(repository.feast.python(), Signal::Kill, None);
        serve.current_dir(repository.folder.path()).envs([repository.raw()]);
        serve.env("FEAST_USAGE", "False").env("PYTHONWARNINGS", "ignore");
        serve.args(["-m", "feast.cli.cli", "serve", "-h", HOST, "-p", &self.port.to_string()]);
        serve.args(["--workers", "1", "--no-access-log"]);
        let log = repository.folder.path().join("serve.log");
        let mut process = Process::spawn("feast serve", serve, &log).expect("it starts");
        let health = format!("http://{HOST}:{}/health", self.port);
        process.wait_ready(Duration::from_secs(90), || http::answers(&health)).expect("it serves");
        self.process = Some(process);
    }

    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.stop(Signal::Int, Duration::from_secs(15)).expect("it ends");
        }
    }
}
