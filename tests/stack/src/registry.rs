//! A schema registry with Confluent's REST interface: Apicurio, compatibility BACKWARD as Confluent's own.

use crate::error::{Doing, Result};
use crate::folder::Folder;
use crate::http;
use crate::install::{java, maven, step};
use crate::process::{Process, Signal, command};
use crate::{HOST, port};
use serde_json::json;
use std::path::PathBuf;
use std::time::Duration;

const ARTIFACT: &str = "io.apicurio:apicurio-registry-app:3.3.3:tar.gz:all";
const START_LIMIT: Duration = Duration::from_secs(120);
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// What we use of it, and no access log.
const SETTINGS: &[&str] = &[
    "-Xms128m",
    "-Xmx512m",
    "-Dquarkus.profile=prod",
    "-Dquarkus.http.access-log.enabled=false",
    "-Dapicurio.storage.kind=sql",
    "-Dapicurio.storage.sql.kind=h2",
    "-Dapicurio.datasource.jdbc.initial-size=4",
    "-Dapicurio.datasource.jdbc.min-size=4",
    "-Dapicurio.datasource.jdbc.max-size=20",
    "-Dapicurio.ccompat.max-subjects=100000",
    "-Dapicurio.rest.deletion.artifact.enabled=true",
    "-Dapicurio.rest.deletion.artifact-version.enabled=true",
    "-Dapicurio.rest.deletion.group.enabled=true",
];

/// A running (or stopped) registry.
#[derive(Debug)]
pub struct Registry {
    process: Option<Process>,
    java: PathBuf,
    program: PathBuf,
    port: u16,
    folder: Folder,
}

/// Makes sure that Java and the registry are there and gives the registry's jar.
pub fn install() -> Result<PathBuf> {
    java::at_least(java::REGISTRY)?;
    let folder = step("apicurio-3.3.3", ARTIFACT, |folder| maven::archive(folder, ARTIFACT))?;
    Ok(folder.join("quarkus-run.jar"))
}

impl Registry {
    pub fn start() -> Result<Registry> {
        let program = install()?;
        let java = java::at_least(java::REGISTRY)?;
        port::retry(|| {
            let folder = Folder::new("registry")?;
            let port = port::free()?;
            let mut server =
                Registry { process: None, java: java.clone(), program: program.clone(), port, folder };
            server.start_again()?;
            let level = json!({ "compatibility": "BACKWARD" });
            http::put(&format!("{}/config", server.url()), &level)?
                .json()
                .doing(|| "set the registry's compatibility".to_owned())?;
            Ok(server)
        })
    }

    /// The base address for Confluent's clients; nothing answers at the server's root.
    pub fn url(&self) -> String {
        format!("http://{HOST}:{}/apis/ccompat/v7", self.port)
    }

    /// The address twice. This registry was seen to leave one request unanswered, for over ten seconds, and to answer
    /// all others; clients that are given several addresses ask the next one then.
    pub fn urls(&self) -> String {
        let url = self.url();
        format!("{url},{url}")
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn stop(&mut self) -> Result<()> {
        match self.process.take() {
            Some(mut process) => process.stop(Signal::Term, STOP_LIMIT).map(drop),
            None => Ok(()),
        }
    }

    /// Starts on the same data and the same port.
    pub fn start_again(&mut self) -> Result<()> {
        let data = self.folder.inner("data")?;
        let mut command = command(&self.java, Signal::Kill, None);
        command.current_dir(&data).args(SETTINGS);
        for (name, value) in [
            ("quarkus.http.host", HOST.to_owned()),
            ("quarkus.http.port", self.port.to_string()),
            ("quarkus.management.host", HOST.to_owned()),
            ("quarkus.management.port", port::free()?.to_string()),
            ("apicurio.datasource.url", format!("jdbc:h2:file:{}/db", data.display())),
            ("apicurio.import.work-dir", data.display().to_string()),
            ("apicurio.storage.snapshot.location", data.display().to_string()),
        ] {
            command.arg(format!("-D{name}={value}"));
        }
        command.arg("-jar").arg(&self.program);
        let mut process = Process::spawn("registry", command, &self.folder.path().join("registry.log"))?;
        let subjects = format!("{}/subjects", self.url());
        process.wait_ready(START_LIMIT, || http::answers(&subjects))?;
        self.process = Some(process);
        Ok(())
    }
}
