//! A MariaDB of the test's own, or a MySQL that is there.

use crate::postgres::{answers, is_root, run};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(60);
/// Made anew, whatever it held.
const DATABASE: &str = "tidegate_oracle";

/// A server that is there, or a throw-away one.
pub struct MariaDb {
    /// By which words a client reaches it.
    reach: Vec<String>,
    _own: Option<Own>,
}

/// On a socket in a temporary folder, with which it goes.
struct Own {
    folder: PathBuf,
    server: Child,
}

impl MariaDb {
    /// The server, MySQL or MariaDB, that these words name, as `-h 127.0.0.1 -u root -psecret` does.
    pub fn reached_by(words: &str) -> MariaDb {
        let mariadb = MariaDb { reach: words.split_whitespace().map(str::to_owned).collect(), _own: None };
        assert!(mariadb.begin(), "{words}: no MySQL or MariaDB");
        mariadb
    }

    pub fn start() -> Option<MariaDb> {
        if Command::new("mariadbd").arg("--version").stdout(Stdio::null()).status().is_err() {
            let required = std::env::var_os("TIDEGATE_REQUIRE_SERVERS").is_some();
            assert!(!required, "MariaDB is required and there is no mariadbd");
            eprintln!("SKIPPED: no mariadbd; the features were not held against it");
            return None;
        }
        let own = Own::start();
        let socket = format!("--socket={}", own.folder.join("socket").display());
        let mariadb = MariaDb { reach: vec![socket, "--user=root".to_owned()], _own: Some(own) };
        let begun = Instant::now();
        while !mariadb.begin() {
            assert!(begun.elapsed() < LIMIT, "MariaDB does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(mariadb)
    }

    fn begin(&self) -> bool {
        let sql = format!("DROP DATABASE IF EXISTS {DATABASE}; CREATE DATABASE {DATABASE}");
        self.client().args(["-e", &sql]).stderr(Stdio::null()).status().expect("runs").success()
    }

    fn client(&self) -> Command {
        let mut client = Command::new("mariadb");
        client.args(["--no-defaults", "--batch", "--skip-column-names", "--default-character-set=utf8mb4"]);
        client.args(&self.reach);
        client
    }

    /// Runs a script; the rows of its queries, in order, their columns parted as `psql` does.
    pub fn sql(&self, script: &str) -> Vec<String> {
        let mut client = self.client();
        client.arg(DATABASE);
        answers(client, script).iter().map(|line| line.replace('\t', "|")).collect()
    }
}

impl Own {
    fn start() -> Own {
        let folder = std::env::temp_dir().join(format!("tidegate-oracle-mariadb-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        let data = format!("--datadir={}", folder.join("data").display());
        let as_root = is_root().then_some("--user=root");
        let made = ["--no-defaults", &data, "--auth-root-authentication-method=normal", "--skip-test-db"];
        run("mariadb-install-db", &made.into_iter().chain(as_root).collect::<Vec<_>>());
        let mut server = Command::new("mariadbd");
        server.args(["--no-defaults", &data, "--skip-networking", "--innodb-flush-log-at-trx-commit=0"]);
        server.args(as_root).arg(format!("--socket={}", folder.join("socket").display()));
        let log = std::fs::File::create(folder.join("log")).expect("a log");
        let server = server.stdout(Stdio::null()).stderr(log).spawn().expect("mariadbd starts");
        Own { folder, server }
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
