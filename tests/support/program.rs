//! One of our programs while it runs.

use crate::log::{self, Line};
use serde_json::Value;
use stack::error::Doing;
use stack::folder::Folder;
use stack::process::{Process, Signal};
use stack::{Error, HOST, Result, http};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The kernel's clock ticks a second, as Linux shows them to programs.
const TICKS_PER_SECOND: u64 = 100;

/// A running program; killed when dropped.
#[derive(Debug)]
pub struct Program {
    process: Process,
    admin: u16,
    log: PathBuf,
    /// Stays until the process is dropped, which shows the end of its log when a test fails.
    _folder: Arc<Folder>,
}

impl Program {
    pub(crate) fn new(process: Process, admin: u16, log: PathBuf, folder: Arc<Folder>) -> Program {
        Program { process, admin, log, _folder: folder }
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Waits until `/readyz` says so.
    pub fn wait_ready(&mut self, limit: Duration) -> Result<()> {
        let url = self.url("/readyz");
        self.process.wait_ready(limit, || http::answers(&url))
    }

    /// The address of a page of the admin server, e.g. `/status`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{HOST}:{}{path}", self.admin)
    }

    /// The status document.
    pub fn status(&self) -> Result<Value> {
        http::get(&self.url("/status"))?.json()
    }

    /// The sum of a metric over all its labels; 0 if it is not shown (yet).
    pub fn metric(&self, name: &str) -> Result<f64> {
        Ok(sum(&http::get(&self.url("/metrics"))?.body, name))
    }

    /// Asks it to stop (SIGTERM) and gives its exit code.
    pub fn stop(&mut self) -> Result<i32> {
        self.process.signal(Signal::Term)?;
        self.exit_code(Duration::from_secs(30))
    }

    /// Waits for its end and gives its exit code; an end by a signal is an error.
    pub fn exit_code(&mut self, limit: Duration) -> Result<i32> {
        let status = self.process.wait_end(limit)?;
        status.code().ok_or_else(|| Error::new(format!("ended by a signal: {status}")))
    }

    /// Has it ended?
    pub fn ended(&mut self) -> bool {
        self.process.ended().is_some()
    }

    /// SIGKILL, at whatever it does.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill().map(drop)
    }

    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        self.process.signal(signal)
    }

    /// Its log, and that of earlier starts of the same launch.
    pub fn log(&self) -> Vec<Line> {
        log::read(&self.log)
    }

    /// Waits for a log line with this event.
    pub fn wait_event(&mut self, event: &str, limit: Duration) -> Result<Line> {
        let start = Instant::now();
        loop {
            if let Some(line) = self.log().into_iter().find(|line| line.event() == event) {
                return Ok(line);
            }
            let ended = self.ended();
            if ended || start.elapsed() > limit {
                let why = if ended { "it ended".to_owned() } else { format!("{} s passed", limit.as_secs()) };
                let log = self.process.last_lines();
                return Err(Error::new(format!("no event {event}: {why}; the end of its log:\n{log}")));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Resident memory now, in bytes.
    pub fn memory_bytes(&self) -> Result<u64> {
        self.status_kib("VmRSS:").map(|kib| kib * 1024)
    }

    /// The most resident memory so far, in bytes.
    pub fn peak_memory_bytes(&self) -> Result<u64> {
        self.status_kib("VmHWM:").map(|kib| kib * 1024)
    }

    /// Time on all cores so far, its own and the kernel's for it.
    pub fn cpu(&self) -> Result<Duration> {
        let text = self.proc("stat")?;
        // The name in parentheses may hold spaces; user and system time are the 12th and 13th after it.
        let after = text.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
        let ticks: u64 =
            after.split_whitespace().skip(11).take(2).filter_map(|t| t.parse::<u64>().ok()).sum();
        Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
    }

    fn status_kib(&self, key: &str) -> Result<u64> {
        let text = self.proc("status")?;
        let line = text.lines().find_map(|line| line.strip_prefix(key));
        line.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
            .ok_or_else(|| Error::new(format!("no {key} in the process's status")))
    }

    fn proc(&self, file: &str) -> Result<String> {
        let path = format!("/proc/{}/{file}", self.id());
        std::fs::read_to_string(&path).doing(|| format!("read {path}"))
    }
}

/// Adds up a metric's lines in Prometheus' text format.
fn sum(text: &str, name: &str) -> f64 {
    text.lines()
        .filter_map(|line| line.strip_prefix(name))
        .filter(|rest| rest.starts_with(' ') || rest.starts_with('{'))
        .filter_map(|rest| rest.rsplit_once(' ')?.1.parse::<f64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::sum;

    #[test]
    fn labels_are_added_up_and_longer_names_are_not() {
        let text = "# HELP rows_total x\nrows_total{t=\"a b\"} 2\nrows_total{t=\"c\"} 3\nrows_total_more 9\nidle 1\n";
        assert_eq!((sum(text, "rows_total"), sum(text, "idle"), sum(text, "none")), (5.0, 1.0, 0.0));
    }
}
