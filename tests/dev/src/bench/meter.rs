//! CPU time and memory of a process, as the kernel counts them.

use stack::error::Doing;
use stack::{Error, Result};
use std::process::Command;
use std::sync::OnceLock;

/// What a process has used up to now.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    pub cpu_seconds: f64,
    pub peak_mib: f64,
    pub resident_mib: f64,
}

/// Reads `/proc/<id>`: user and system time of all threads, peak and present memory.
pub fn usage(id: u32) -> Result<Usage> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat"))
        .doing(|| format!("read the times of process {id}"))?;
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let mib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|l| l.split_whitespace().next()).and_then(|k| k.parse::<f64>().ok()).unwrap_or_default()
            / 1024.0
    };
    Ok(Usage { cpu_seconds: times(&stat, [11, 12]), peak_mib: mib("VmHWM:"), resident_mib: mib("VmRSS:") })
}

/// Seconds of two fields of a `stat` file, counted from the one after the name in brackets.
fn times(stat: &str, fields: [usize; 2]) -> f64 {
    let given: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    let ticks = |n: usize| given.get(n).and_then(|t| t.parse::<f64>().ok()).unwrap_or_default();
    fields.map(ticks).iter().sum::<f64>() / ticks_per_second()
}

/// The times of the thread that has worked most, in seconds.
pub fn busiest_thread(id: u32) -> Result<f64> {
    let tasks =
        std::fs::read_dir(format!("/proc/{id}/task")).doing(|| format!("list the threads of {id}"))?;
    // A thread may end meanwhile.
    let stats = tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("stat")).ok());
    Ok(stats.map(|stat| times(&stat, [11, 12])).fold(0.0, f64::max))
}

/// Only the children of this process that have ended and been waited for.
pub fn ended_children() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").doing(|| "read our own times".to_owned())?;
    Ok(times(&stat, [13, 14]))
}

/// All that the machine's cores have done since it began.
pub fn machine() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/stat").doing(|| "read the machine's times".to_owned())?;
    let ticks = stat.lines().next().unwrap_or_default().split_whitespace().skip(1);
    let ticks = ticks.map(|t| t.parse::<f64>().unwrap_or_default());
    // User, nice, system, idle, waiting, interrupts (2); what follows is in them or others' doing.
    let busy = ticks.take(7).enumerate().filter(|(at, _)| !matches!(at, 3 | 4));
    Ok(busy.map(|(_, ticks)| ticks).sum::<f64>() / ticks_per_second())
}

fn ticks_per_second() -> f64 {
    static TICKS: OnceLock<f64> = OnceLock::new();
    *TICKS.get_or_init(|| {
        let asked = Command::new("getconf").arg("CLK_TCK").output().ok();
        asked.and_then(|o| String::from_utf8_lossy(&o.stdout).trim().parse().ok()).unwrap_or(100.0)
    })
}

/// Milliseconds since 1970, as Kafka stamps records.
pub fn now_ms() -> i64 {
    now_us() / 1_000
}

/// Microseconds since 1970.
pub fn now_us() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// A number in a program's answer, or an error that shows the answer.
pub fn number(what: &str, text: &str) -> Result<i64> {
    text.trim().parse().map_err(|_| Error::new(format!("{what}: expected a number, got {text:?}")))
}
