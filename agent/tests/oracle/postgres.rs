//! A PostgreSQL of the test's own.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const BIN: &str = "/usr/lib/postgresql/15/bin";

/// A throw-away PostgreSQL on a socket in a temporary folder.
pub struct Postgres(PathBuf);

impl Postgres {
    pub fn start() -> Option<Postgres> {
        if !Path::new(BIN).join("initdb").exists() {
            let required = std::env::var_os("TIDEGATE_REQUIRE_SERVERS").is_some();
            assert!(!required, "PostgreSQL 15 is required and is not at {BIN}");
            eprintln!("SKIPPED: no PostgreSQL 15 at {BIN}; the features were not held against it");
            return None;
        }
        let folder = std::env::temp_dir().join(format!("tidegate-oracle-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        let postgres = Postgres(folder);
        let path = postgres.0.display().to_string();
        if is_root() {
            run("chown", &["postgres", &path]);
        }
        let data = format!("{path}/data");
        postgres.server("initdb", &["-D", &data, "-A", "trust", "-U", "postgres", "--no-sync"]);
        let options = format!("-c listen_addresses='' -c fsync=off -k {path}");
        postgres
            .server("pg_ctl", &["-w", "-D", &data, "-o", &options, "-l", &format!("{path}/log"), "start"]);
        Some(postgres)
    }

    /// PostgreSQL refuses to run as root.
    fn server(&self, program: &str, arguments: &[&str]) {
        let program = format!("{BIN}/{program}");
        if is_root() {
            let user = ["--reuid=postgres", "--regid=postgres", "--clear-groups", &program];
            run("setpriv", &[&user[..], arguments].concat());
        } else {
            run(&program, arguments);
        }
    }

    /// Runs a script; the rows of its queries, in order.
    pub fn psql(&self, script: &str) -> Vec<String> {
        let host = self.0.display().to_string();
        let mut client = Command::new("psql");
        client.args([
            "-h",
            &host,
            "-U",
            "postgres",
            "-qAtX",
            "-v",
            "ON_ERROR_STOP=1",
            "-P",
            "null=NULL",
            "-f",
            "-",
        ]);
        answers(client, script)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let data = format!("{}/data", self.0.display());
        self.server("pg_ctl", &["-m", "immediate", "-D", &data, "stop"]);
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.starts_with(b"0\n"))
}

pub fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).stdout(Stdio::null()).status();
    assert!(output.is_ok_and(|status| status.success()), "{program} {arguments:?}");
}

/// Gives a client a script; the lines that it answers.
pub fn answers(mut client: Command, script: &str) -> Vec<String> {
    let mut child = client.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the client starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let script = script.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(script.as_bytes()));
    let output = child.wait_with_output().expect("the client ends");
    assert!(output.status.success(), "{client:?} failed");
    writer.join().expect("no panic").expect("the client reads its script");
    String::from_utf8(output.stdout).expect("UTF-8").lines().map(str::to_owned).collect()
}
