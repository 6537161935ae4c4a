//! MariaDB with a row binlog that names its columns.

use crate::error::{Doing, Error, Result};
use crate::folder::Folder;
use crate::install::apt;
use crate::process::{Process, Signal, command, run};
use crate::{HOST, port};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// The user that every server of ours has, with all rights.
pub const USER: &str = "dbz";
pub const PASSWORD: &str = "dbz";

const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(30);

const SETTINGS: &[&str] = &[
    "--server-id=223344",
    "--log-bin=mariadb-bin",
    "--binlog-format=ROW",
    "--binlog-row-image=FULL",
    "--binlog-row-metadata=FULL",
    "--gtid-strict-mode=1",
    "--gtid-domain-id=0",
    "--log-slave-updates=1",
    "--default-time-zone=+00:00",
    "--character-set-server=utf8mb4",
    "--collation-server=utf8mb4_general_ci",
    "--skip-name-resolve",
    "--innodb-buffer-pool-size=128M",
    "--max-allowed-packet=64M",
];

/// A running (or stopped) server.
#[derive(Debug)]
pub struct MariaDb {
    process: Option<Process>,
    program: PathBuf,
    port: u16,
    folder: Folder,
}

/// Makes sure that the programs are there.
pub fn install() -> Result<PathBuf> {
    apt::program("mariadbd", "mariadb-server")
}

impl MariaDb {
    pub fn start() -> Result<MariaDb> {
        let program = install()?;
        port::retry(|| {
            let folder = Folder::new("mariadb")?;
            let mut server = MariaDb { process: None, program: program.clone(), port: port::free()?, folder };
            server.initialize()?;
            server.start_again()?;
            Ok(server)
        })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Runs SQL; gives rows with columns separated by tabs, without headers.
    pub fn sql(&self, sql: &str) -> Result<String> {
        let mut command = Command::new("mariadb");
        command.args(["--no-defaults", "--protocol=tcp", "--batch", "--skip-column-names", "-h", HOST]);
        command.arg(format!("-P{}", self.port)).arg(format!("-u{USER}")).arg(format!("-p{PASSWORD}"));
        command.arg("-e").arg(sql);
        run("run mariadb", &mut command).map(|text| text.trim_end_matches('\n').to_owned())
    }

    pub fn stop(&mut self) -> Result<()> {
        match self.process.take() {
            Some(mut process) => process.stop(Signal::Term, STOP_LIMIT).map(drop),
            None => Ok(()),
        }
    }

    pub fn kill(&mut self) -> Result<()> {
        match self.process.take() {
            Some(mut process) => process.kill().map(drop),
            None => Ok(()),
        }
    }

    /// Starts on the same data and the same port.
    pub fn start_again(&mut self) -> Result<()> {
        let folder = self.folder.path();
        let mut command = command(&self.program, Signal::Kill, None);
        command.current_dir("/").arg("--no-defaults").args(as_root());
        command.arg(format!("--datadir={}", self.data().display()));
        command.args([format!("--bind-address={HOST}"), format!("--port={}", self.port)]);
        command.arg(format!("--socket={}", folder.join("socket").display()));
        command.arg(format!("--pid-file={}", folder.join("process").display()));
        command.arg(format!("--init-file={}", folder.join("users.sql").display())).args(SETTINGS);
        let mut process = Process::spawn("mariadb", command, &folder.join("mariadb.log"))?;
        process.wait_ready(START_LIMIT, || self.sql("SELECT 1").is_ok())?;
        self.process = Some(process);
        Ok(())
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn initialize(&self) -> Result<()> {
        self.folder.inner("data")?;
        self.folder.write(
            "users.sql",
            &format!(
                "CREATE USER IF NOT EXISTS '{USER}'@'%' IDENTIFIED BY '{PASSWORD}';\n\
                 GRANT ALL PRIVILEGES ON *.* TO '{USER}'@'%' WITH GRANT OPTION;\n"
            ),
        )?;
        let install = apt::find("mariadb-install-db")
            .ok_or_else(|| Error::new("mariadb-install-db is missing").remedy("install mariadb-server"))?;
        let mut command = Command::new(install);
        command.current_dir("/").arg("--no-defaults").args(as_root());
        command.arg(format!("--datadir={}", self.data().display()));
        command.args(["--auth-root-authentication-method=normal", "--skip-test-db"]);
        run("run mariadb-install-db", &mut command).map(drop).doing(|| "make the data folder".to_owned())
    }
}

/// Root runs it as root: as another user below a folder that this user may not enter, Aria takes its
/// system tables for moved ones at the first start and damages them.
fn as_root() -> Option<&'static str> {
    apt::is_root().then_some("--user=root")
}
