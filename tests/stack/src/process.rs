//! A child process that ends with its parent, logs into a file, and is stopped by its id.
//!
//! `setpriv --pdeathsig` makes the kernel end the child when its parent is gone, even by SIGKILL.
//! The kernel means the parent *thread*: a server started by one test and shared with others would
//! die with the first test's thread. So one thread that never ends starts all children.

use crate::error::{Doing, Error, Result};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Pause between two looks at a process.
const PAUSE: Duration = Duration::from_millis(50);
/// Lines of a log that an error quotes.
const QUOTED_LINES: usize = 30;

/// A signal by its name, as `kill` takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    Hup,
    Int,
    Quit,
    Kill,
    Term,
    Stop,
    Cont,
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Signal::Hup => "HUP",
            Signal::Int => "INT",
            Signal::Quit => "QUIT",
            Signal::Kill => "KILL",
            Signal::Term => "TERM",
            Signal::Stop => "STOP",
            Signal::Cont => "CONT",
        }
    }
}

/// A running child process.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    ended: Option<ExitStatus>,
}

/// A command whose process gets `signal` when this process ends, and which runs as `user` if given.
pub fn command(program: impl AsRef<Path>, signal: Signal, user: Option<&str>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", signal.name()]);
    if let Some(user) = user {
        command.args(["--reuid", user, "--regid", user, "--init-groups"]);
    }
    command.arg("--").arg(program.as_ref());
    command
}

impl Process {
    /// Starts a command made by [`command`]; its output is appended to `log`. The child has a process group of
    /// its own, so that Ctrl-C reaches the parent alone, which then stops its children in order.
    pub fn spawn(name: &str, mut command: Command, log: &Path) -> Result<Process> {
        let what = || format!("start {name}");
        let out = OpenOptions::new().create(true).append(true).open(log).doing(what)?;
        let err = out.try_clone().doing(what)?;
        command.stdin(Stdio::null()).stdout(out).stderr(err).process_group(0);
        let child = spawn_by_lasting_thread(command).doing(what)?;
        Ok(Process { name: name.to_owned(), child, log: log.to_owned(), ended: None })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn log(&self) -> &Path {
        &self.log
    }

    /// How it ended, or `None` while it runs.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().ok().flatten();
        }
        self.ended
    }

    /// Waits until `ready` says yes. Ends early when the process does; the error quotes its log.
    pub fn wait_ready(&mut self, limit: Duration, mut ready: impl FnMut() -> bool) -> Result<()> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                return Err(self.error(&format!("ended while starting ({status})")));
            }
            if ready() {
                return Ok(());
            }
            if start.elapsed() > limit {
                return Err(self.error(&format!("is not ready after {} s", limit.as_secs())));
            }
            sleep(PAUSE);
        }
    }

    /// Waits for its end, at most `limit`.
    pub fn wait_end(&mut self, limit: Duration) -> Result<ExitStatus> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                return Ok(status);
            }
            if start.elapsed() > limit {
                return Err(self.error(&format!("still runs after {} s", limit.as_secs())));
            }
            sleep(PAUSE);
        }
    }

    /// Sends a signal; nothing happens if the process has ended.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        match self.ended() {
            Some(_) => Ok(()),
            None => send(self.id(), signal),
        }
    }

    /// Asks it to end by `signal`, and kills it, with what it started, if it has not after `limit`.
    pub fn stop(&mut self, signal: Signal, limit: Duration) -> Result<ExitStatus> {
        self.signal(signal)?;
        match self.wait_end(limit) {
            Ok(status) => Ok(status),
            Err(_) => {
                self.kill_workers();
                self.kill()
            }
        }
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(&mut self) -> Result<ExitStatus> {
        self.signal(Signal::Kill)?;
        let status = self.child.wait().doing(|| format!("wait for the end of {}", self.name))?;
        self.ended = Some(status);
        Ok(status)
    }

    /// Kills all of its group: workers, of a server that has some, would go on without it. While it runs, its
    /// number is that of its group, and of no other.
    fn kill_workers(&mut self) {
        if self.ended().is_none() {
            // It may be the last of its group, and just have ended.
            let _ = shell(&format!("kill -s KILL -- -{}", self.id()));
        }
    }

    /// The last lines of its log.
    pub fn last_lines(&self) -> String {
        last_lines(&self.log)
    }

    fn error(&self, what: &str) -> Error {
        let log = self.log.display();
        Error::new(format!("{} {what}; the end of {log}:\n{}", self.name, self.last_lines()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- {}, the end of {}:\n{}", self.name, self.log.display(), self.last_lines());
        }
        if self.ended().is_none() {
            self.kill_workers();
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Sends a signal to a process by its id. By way of the shell, as calling the kernel needs unsafe code.
pub fn send(id: u32, signal: Signal) -> Result<()> {
    shell(&format!("kill -{} {id}", signal.name()))
}

fn shell(script: &str) -> Result<()> {
    let output = Command::new("sh").args(["-c", script]).output().doing(|| script.to_owned())?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::new(format!("{script}: {}", String::from_utf8_lossy(&output.stderr).trim())))
}

/// Runs a command to its end; a failure quotes what it wrote. `what` is a verb phrase.
pub fn run(what: &str, command: &mut Command) -> Result<String> {
    command.stdin(Stdio::null());
    let output = command.output().doing(|| what.to_owned())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    let said = format!("{text}{}", String::from_utf8_lossy(&output.stderr));
    Err(Error::new(format!("{what}: {}:\n{}", output.status, tail(&said))))
}

/// The last lines of a log file, indented.
pub fn last_lines(log: &Path) -> String {
    const READ: u64 = 64 * 1024;
    let read = || -> io::Result<String> {
        use io::{Read, Seek};
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(io::SeekFrom::Start(length.saturating_sub(READ)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    read().map_or_else(|error| format!("  ({error})"), |text| tail(&text))
}

/// The last lines, and before them what earlier ones say of errors: a server's stop fills many lines by itself.
fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let (earlier, last) = lines.split_at(lines.len().saturating_sub(QUOTED_LINES));
    let names_error =
        |line: &&&str| ["ERROR", "Exception", "Caused by"].iter().any(|word| line.contains(word));
    let mut errors: Vec<&&str> = earlier.iter().rev().filter(names_error).take(QUOTED_LINES).collect();
    errors.reverse();
    errors.into_iter().chain(last).map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

type Job = (Command, Sender<io::Result<Child>>);

fn spawn_by_lasting_thread(command: Command) -> io::Result<Child> {
    static SPAWNER: OnceLock<Mutex<Sender<Job>>> = OnceLock::new();
    let gone = || io::Error::other("the thread that starts processes is gone");
    let (answer, result) = channel();
    SPAWNER
        .get_or_init(|| {
            let (sender, jobs) = channel::<Job>();
            std::thread::spawn(move || {
                for (mut command, answer) in jobs {
                    let _ = answer.send(command.spawn());
                }
            });
            Mutex::new(sender)
        })
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .send((command, answer))
        .map_err(|_| gone())?;
    result.recv().map_err(|_| gone())?
}
