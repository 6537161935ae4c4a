//! A MariaDB of the test's own.

use crate::postgres::{answers, is_root, run};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(60);

/// A throw-away MariaDB on a socket in a temporary folder.
pub struct MariaDb {
    folder: PathBuf,
    server: Option<Child>,
}

impl MariaDb {
    pub fn start() -> Option<MariaDb> {
        if Command::new("mariadbd").arg("--version").stdout(Stdio::null()).status().is_err() {
            let required = std::env::var_os("TIDEGATE_REQUIRE_SERVERS").is_some();
            assert!(!required, "MariaDB is required and there is no mariadbd");
            eprintln!("SKIPPED: no mariadbd; the features were not held against it");
            return None;
        }
        let folder = std::env::temp_dir().join(format!("tidegate-oracle-mariadb-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        let data = format!("--datadir={}", folder.join("data").display());
        let as_root = is_root().then_some("--user=root");
        let made = ["--no-defaults", &data, "--auth-root-authentication-method=normal", "--skip-test-db"];
        run("mariadb-install-db", &made.into_iter().chain(as_root).collect::<Vec<_>>());
        let mut mariadb = MariaDb { server: None, folder };
        let mut server = Command::new("mariadbd");
        server.args(["--no-defaults", &data, "--skip-networking", "--innodb-flush-log-at-trx-commit=0"]);
        server.args(as_root).arg(format!("--socket={}", mariadb.socket()));
        let log = std::fs::File::create(mariadb.folder.join("log")).expect("a log");
        server.stdout(Stdio::null()).stderr(log);
        mariadb.server = Some(server.spawn().expect("mariadbd starts"));
        let begun = Instant::now();
        while !mariadb.client().args(["-e", "CREATE DATABASE oracle"]).status().expect("runs").success() {
            assert!(begun.elapsed() < LIMIT, "MariaDB does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(mariadb)
    }

    fn socket(&self) -> String {
        self.folder.join("socket").display().to_string()
    }

    fn client(&self) -> Command {
        let mut client = Command::new("mariadb");
        client.args(["--no-defaults", "--batch", "--skip-column-names", "--default-character-set=utf8mb4"]);
        client.arg(format!("--socket={}", self.socket())).args(["--user=root"]).stderr(Stdio::null());
        client
    }

    /// Runs a script; the rows of its queries, in order, their columns parted as `psql` does.
    pub fn sql(&self, script: &str) -> Vec<String> {
        let mut client = self.client();
        client.arg("oracle").stderr(Stdio::inherit());
        answers(client, script).iter().map(|line| line.replace('\t', "|")).collect()
    }
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            let _ = server.kill();
            let _ = server.wait();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
