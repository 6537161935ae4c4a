//! A throw-away PostgreSQL server for tests.

use connector::config::source::SourceConfig;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Debian's folders; another place can be named by `PG_BIN`.
const FOLDERS: [&str; 4] = [
    "/usr/lib/postgresql/18/bin",
    "/usr/lib/postgresql/17/bin",
    "/usr/lib/postgresql/16/bin",
    "/usr/lib/postgresql/15/bin",
];

pub struct Server {
    pub folder: PathBuf,
    pub port: u16,
    programs: PathBuf,
}

/// Where PostgreSQL's programs are; says so aloud when a test cannot run.
fn programs() -> Option<PathBuf> {
    let named = std::env::var_os("PG_BIN").map(PathBuf::from);
    let found =
        named.into_iter().chain(FOLDERS.iter().map(PathBuf::from)).find(|f| f.join("postgres").exists());
    if found.is_none() {
        eprintln!("SKIPPED: no PostgreSQL server programs found; install postgresql or set PG_BIN");
    }
    found
}

/// The server refuses to run as root, so root becomes `postgres` first. The server dies with the
/// thread that started it: no test leaves one behind.
fn as_server_user(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "QUIT"]);
    let root = Command::new("id").arg("-u").output().is_ok_and(|out| out.stdout == b"0\n");
    if root {
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
    }
    command.arg(program).current_dir("/").stdin(Stdio::null());
    command
}

/// Folders of test programs that ended without stopping their shared server.
fn remove_leftovers() {
    for entry in std::fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let program = name.strip_prefix("tidegate-source-").and_then(|rest| rest.split('-').next());
        if program.is_some_and(|pid| !Path::new("/proc").join(pid).exists())
            && let Err(error) = std::fs::remove_dir_all(entry.path())
        {
            eprintln!("could not remove {name}: {error}");
        }
    }
}

impl Server {
    /// Starts a server that lets the local `postgres` in over the socket and wants a password by TCP.
    pub fn start(settings: &[&str]) -> Option<Server> {
        let programs = programs()?;
        remove_leftovers();
        let port = stack::port::free().expect("a free port");
        let folder = std::env::temp_dir().join(format!("tidegate-source-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("temporary folder");
        if Command::new("chown").arg("postgres").arg(&folder).output().is_err() {
            eprintln!("could not give {} to postgres", folder.display());
        }
        let made = as_server_user(&programs.join("initdb"))
            .args(["--no-sync", "-A", "scram-sha-256", "--auth-local=trust", "-U", "postgres", "-E", "UTF8"])
            .args(["--locale=C.UTF-8", "-D"])
            .arg(folder.join("data"))
            .output()
            .expect("initdb runs");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let server = Server { folder, port, programs };
        server.run(settings);
        Some(server)
    }

    fn run(&self, settings: &[&str]) {
        let mut command = as_server_user(&self.programs.join("postgres"));
        command.arg("-D").arg(self.folder.join("data")).arg("-k").arg(&self.folder);
        command.args(["-p", &self.port.to_string(), "-c", "fsync=off", "-c", "wal_level=logical"]);
        command.args(["-c", "max_wal_senders=30", "-c", "max_replication_slots=30"]);
        for setting in settings {
            command.args(["-c", setting]);
        }
        let log = std::fs::File::create(self.folder.join("log")).expect("log file");
        command.stdout(log.try_clone().expect("log file")).stderr(log);
        let (started, is_started) = mpsc::channel();
        // The server lives as long as the thread that started it: until the test program ends.
        std::thread::spawn(move || {
            let mut child = command.spawn().expect("postgres starts");
            started.send(()).expect("the test waits");
            child.wait().expect("postgres ends")
        });
        is_started.recv().expect("postgres was started");
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.psql("postgres", "SELECT 1").is_ok_and(|out| out == "1") {
            let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "postgres did not start:\n{log}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Runs statements one by one and gives what they print; the error if one fails.
    fn psql(&self, database: &str, sql: &str) -> std::result::Result<String, String> {
        let mut child = Command::new(self.programs.join("psql"))
            .args(["-qAtX", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", database, "-h"])
            .arg(&self.folder)
            .args(["-p", &self.port.to_string(), "-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("psql runs");
        child.stdin.take().expect("piped").write_all(sql.as_bytes()).expect("psql reads");
        let out = child.wait_with_output().expect("psql ends");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        if out.status.success() { Ok(text(&out.stdout)) } else { Err(text(&out.stderr)) }
    }

    pub fn sql(&self, database: &str, sql: &str) -> String {
        self.psql(database, sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// A database of its own for one test, whose name is also slot and publication.
    pub fn database(&self, name: &str, sql: &str) -> SourceConfig {
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        self.sql(name, sql);
        let text = format!(
            "socket_dir = {:?}\nport = {}\ndatabase = '{name}'\nuser = 'postgres'\nslot = '{name}'\npublication = '{name}'",
            self.folder, self.port
        );
        let overrides = shared::config::Overrides { env_prefix: "NO_SUCH_PREFIX", set: &[] };
        shared::config::parse(&text, &overrides).expect("valid configuration")
    }

    /// The same over TCP as another user.
    pub fn over_tcp(&self, config: &SourceConfig, user: &str, password: &str) -> SourceConfig {
        SourceConfig {
            socket_dir: None,
            user: user.to_owned(),
            password: shared::secret::Secret::new(password),
            ..config.clone()
        }
    }

    /// Makes an authority and a certificate for `localhost`, and has the server use it. False
    /// without `openssl`.
    pub fn make_certificates(&self) -> bool {
        let script = "set -e
            openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -days 2 -subj /CN=authority
            openssl req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=localhost
            echo 'subjectAltName=DNS:localhost' > names
            openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out server.crt -days 2 -extfile names
            chmod 600 server.key; chown --reference=data server.key";
        let made = Command::new("sh").args(["-c", script]).current_dir(&self.folder).output();
        if !made.is_ok_and(|out| out.status.success()) {
            return false;
        }
        for (setting, value) in [
            ("ssl_cert_file", self.folder.join("server.crt").display().to_string()),
            ("ssl_key_file", self.folder.join("server.key").display().to_string()),
            ("ssl", "on".to_owned()),
        ] {
            self.sql("postgres", &format!("ALTER SYSTEM SET {setting} = '{value}'"));
        }
        self.sql("postgres", "SELECT pg_reload_conf()");
        true
    }

    /// Puts lines before the rest of `pg_hba.conf`.
    pub fn allow(&self, lines: &[&str]) {
        let path = self.folder.join("data/pg_hba.conf");
        let rest = std::fs::read_to_string(&path).expect("pg_hba.conf");
        std::fs::write(
            &path,
            format!("{}\nlocal all all trust\nlocal replication all trust\n{rest}", lines.join("\n")),
        )
        .expect("written");
        self.sql("postgres", "SELECT pg_reload_conf()");
        std::thread::sleep(Duration::from_millis(300));
    }

    pub fn stop(&self) {
        let pid = std::fs::read_to_string(self.folder.join("data/postmaster.pid")).expect("the server runs");
        let pid = pid.lines().next().expect("its first line is the process").to_owned();
        assert!(Command::new("kill").args(["-INT", &pid]).status().expect("kill runs").success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.folder.join("data/postmaster.pid").exists() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        std::fs::remove_dir_all(&self.folder).expect("the folder is ours");
    }
}
