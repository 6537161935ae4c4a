//! PostgreSQL: the newest major version on the machine or one that is asked for, ready for logical
//! replication; and standbys.

mod programs;

pub use programs::{VERSIONS, install, install_postgis};

use crate::error::{Doing, Error, Result};
use crate::folder::Folder;
use crate::install::apt;
use crate::process::{Process, Signal, command, run};
use crate::{HOST, port};
use programs::Programs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The superuser that every server of ours has.
pub const USER: &str = "postgres";
pub const PASSWORD: &str = "postgres";

const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// How to start it. The default suits most tests.
#[derive(Clone, Debug)]
pub struct Options {
    /// `logical`, `replica` or `minimal`.
    pub wal_level: &'static str,
    /// Whether a power cut may lose nothing; off, as our tests cut no power and it costs much.
    pub fsync: bool,
    /// A major version of [`VERSIONS`]; the newest installed if `None`.
    pub version: Option<u32>,
    /// The PostgreSQL 18 of a wheel instead, which has pgvector.
    pub vector: bool,
    /// Further settings of `postgresql.conf`.
    pub settings: Vec<(String, String)>,
}

impl Default for Options {
    fn default() -> Options {
        Options { wal_level: "logical", fsync: false, version: None, vector: false, settings: Vec::new() }
    }
}

/// A running (or stopped) server.
#[derive(Debug)]
pub struct Postgres {
    // Before the folder, so that it is dropped, and its server ended, first.
    process: Option<Process>,
    programs: Programs,
    port: u16,
    folder: Folder,
}

impl Postgres {
    pub fn start(options: Options) -> Result<Postgres> {
        port::retry(|| {
            let folder = Folder::new("postgres")?;
            let programs = Programs::of(&options)?;
            let mut server = Postgres { process: None, programs, port: port::free()?, folder };
            server.initialize(&options)?;
            server.start_again()?;
            Ok(server)
        })
    }

    /// A standby that follows this server, by a slot there that is called `standby`. This server stops for
    /// a moment, while its data is copied.
    pub fn standby(&mut self) -> Result<Postgres> {
        self.psql("postgres", "SELECT pg_create_physical_replication_slot('standby', true)")?;
        self.stop()?;
        let folder = Folder::new("standby")?;
        let mut copy = Command::new("cp");
        run("copy the data", copy.arg("-a").arg(self.data()).arg(folder.path().join("data")))?;
        std::fs::remove_dir_all(folder.path().join("data/pg_replslot"))
            .doing(|| "remove slots".to_owned())?;
        folder.inner("data/pg_replslot")?;
        folder.inner("socket")?;
        let primary =
            format!("host={HOST} port={} user={USER} password={PASSWORD} dbname=postgres", self.port);
        let mut standby =
            Postgres { process: None, programs: self.programs.clone(), port: port::free()?, folder };
        std::fs::write(standby.data().join("standby.signal"), "")
            .doing(|| "write standby.signal".to_owned())?;
        let socket_dir = standby.socket_dir().display().to_string();
        standby.configure(&[
            ("unix_socket_directories", &socket_dir),
            ("primary_conninfo", &primary),
            ("primary_slot_name", "standby"),
            ("hot_standby_feedback", "on"),
        ])?;
        standby.give_to_user(&[standby.data(), standby.socket_dir()])?;
        self.start_again()?;
        standby.start_again()?;
        Ok(standby)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder of the Unix socket, as `host` in a connection string.
    pub fn socket_dir(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// Where `pg_recvlogical` and the like are.
    pub fn programs(&self) -> &Path {
        &self.programs.client
    }

    /// `postgres://…` over TCP, as the superuser.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{USER}:{PASSWORD}@{HOST}:{}/{database}", self.port)
    }

    /// The server's process, as long as it runs: its id is the postmaster's.
    pub fn process(&mut self) -> Option<&mut Process> {
        self.process.as_mut()
    }

    pub fn log(&self) -> PathBuf {
        self.folder.path().join("postgres.log")
    }

    /// Runs SQL (one or many statements) as the superuser over the Unix socket. Gives psql's rows, unaligned
    /// and without headers: columns separated by `|`, one line to a row.
    pub fn psql(&self, database: &str, sql: &str) -> Result<String> {
        let mut command = self.psql_command(database);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().doing(|| "start psql".to_owned())?;
        let mut input = child.stdin.take().ok_or_else(|| Error::new("psql has no input"))?;
        let text = sql.to_owned();
        // By a thread: psql may wait for its output to be read before it reads on.
        let writer = std::thread::spawn(move || input.write_all(text.as_bytes()));
        let output = child.wait_with_output().doing(|| "wait for psql".to_owned())?;
        // A failed psql closes its input early; its own words tell more than the broken pipe.
        let _ = writer.join();
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_owned());
        }
        Err(Error::new(format!("psql: {}", String::from_utf8_lossy(&output.stderr).trim())))
    }

    /// A psql that reads statements from its input, stops at the first error, and prints rows only. Ctrl-C
    /// does not reach it: whoever starts it ends it.
    pub fn psql_command(&self, database: &str) -> Command {
        let mut command = Command::new(self.programs.client.join("psql"));
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", USER, "-d", database]);
        command.arg("-h").arg(self.socket_dir()).args(["-p", &self.port.to_string()]);
        command.env("PGPASSWORD", PASSWORD).process_group(0);
        command
    }

    /// Starts again, offering TLS with this certificate and key.
    pub fn serve_tls(&mut self, cert: &str, key: &str) -> Result<()> {
        let own = |name: &str| self.data().join(name);
        for (from, to) in [(cert, own("server.crt")), (key, own("server.key"))] {
            std::fs::copy(from, &to).doing(|| format!("copy {from}"))?;
        }
        let mut chmod = Command::new("chmod");
        run("close the key to others", chmod.arg("600").arg(own("server.key")))?;
        self.give_to_user(&[own("server.crt"), own("server.key")])?;
        self.configure(&[("ssl", "on"), ("ssl_cert_file", "server.crt"), ("ssl_key_file", "server.key")])?;
        self.stop()?;
        self.start_again()
    }

    /// Fast shutdown: waits for clients no longer than it must. The data stays.
    pub fn stop(&mut self) -> Result<()> {
        self.end(|process| process.stop(Signal::Int, STOP_LIMIT).map(drop))
    }

    /// SIGKILL to the postmaster; its children notice and end too, which is waited for, as the next start
    /// refuses while one of them still holds the shared memory.
    pub fn kill(&mut self) -> Result<()> {
        let children = self.process.as_ref().map(|process| children_of(process.id())).unwrap_or_default();
        self.end(|process| process.kill().map(drop))?;
        let start = Instant::now();
        while children.iter().any(|child| Path::new("/proc").join(child.to_string()).exists()) {
            if start.elapsed() > STOP_LIMIT {
                return Err(Error::new("children of a killed postgres do not end"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Starts on the same data and the same port.
    pub fn start_again(&mut self) -> Result<()> {
        let user = user();
        // SIGQUIT rather than SIGKILL, so that it gives back its shared memory.
        let mut command = command(self.programs.server.join("postgres"), Signal::Quit, user);
        command.arg("-D").arg(self.data()).args(["-p", &self.port.to_string()]).current_dir("/");
        let mut process = Process::spawn("postgres", command, &self.log())?;
        let ready = || self.psql("postgres", "SELECT 1").is_ok();
        process.wait_ready(START_LIMIT, ready)?;
        self.process = Some(process);
        Ok(())
    }

    fn end(&mut self, how: impl FnOnce(&mut Process) -> Result<()>) -> Result<()> {
        match self.process.take() {
            Some(mut process) => how(&mut process),
            None => Ok(()),
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn initialize(&self, options: &Options) -> Result<()> {
        let password = self.folder.write("password", PASSWORD)?;
        self.folder.inner("data")?;
        self.folder.inner("socket")?;
        self.give_to_user(&[self.data(), self.socket_dir(), password.clone()])?;
        let mut initdb = command(self.programs.server.join("initdb"), Signal::Kill, user());
        initdb.current_dir("/").arg("-D").arg(self.data()).args(["-U", USER, "--auth=scram-sha-256"]);
        initdb.args(["-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]).arg("--pwfile").arg(password);
        run("run initdb", &mut initdb).map_err(|error| {
            error.remedy("if it may not enter the folder: set TMPDIR to one that every user can enter")
        })?;
        let socket_dir = self.socket_dir().display().to_string();
        let further = options.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        self.configure(&own_settings(options, &socket_dir).into_iter().chain(further).collect::<Vec<_>>())
    }

    /// The server's user owns what the server writes.
    fn give_to_user(&self, paths: &[PathBuf]) -> Result<()> {
        let Some(user) = user() else { return Ok(()) };
        let mut chown = Command::new("chown");
        chown.arg("-R").arg(format!("{user}:{user}")).args(paths);
        run("give the data folder to the server's user", &mut chown).map(drop)
    }

    /// Adds to `postgresql.conf`; the last line for a setting counts.
    fn configure(&self, settings: &[(&str, &str)]) -> Result<()> {
        let path = self.data().join("postgresql.conf");
        let mut file = std::fs::OpenOptions::new()
            .append(true)
            .open(&path)
            .doing(|| format!("open {}", path.display()))?;
        let line = |(name, value): &(&str, &str)| format!("{name} = '{}'\n", value.replace('\'', "''"));
        let lines: String = settings.iter().map(line).collect();
        file.write_all(lines.as_bytes()).doing(|| format!("write {}", path.display()))
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // At once: nobody needs the data, and the process is killed if even that fails.
        let _ = self.end(|process| process.stop(Signal::Quit, Duration::from_secs(5)).map(drop));
    }
}

fn children_of(parent: u32) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.filter(|id| {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        // After the name in parentheses: state, parent.
        let rest = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
        rest.split_whitespace().nth(1).and_then(|id| id.parse().ok()) == Some(parent)
    })
    .collect()
}

/// PostgreSQL refuses to run as root, so root runs it as the user that its package made.
fn user() -> Option<&'static str> {
    apt::is_root().then_some("postgres")
}

fn own_settings<'a>(options: &'a Options, socket_dir: &'a str) -> [(&'a str, &'a str); 11] {
    let on = |yes: bool| if yes { "on" } else { "off" };
    [
        ("listen_addresses", HOST),
        ("unix_socket_directories", socket_dir),
        ("wal_level", options.wal_level),
        ("max_wal_senders", if options.wal_level == "minimal" { "0" } else { "40" }),
        ("max_replication_slots", "40"),
        ("max_connections", "200"),
        ("timezone", "UTC"),
        ("log_timezone", "UTC"),
        ("shared_buffers", "128MB"),
        ("fsync", on(options.fsync)),
        ("full_page_writes", on(options.fsync)),
    ]
}
