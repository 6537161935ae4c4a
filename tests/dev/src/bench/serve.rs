//! Local feature reads over HTTP at a steady rate: ours, and Feast's own Python server with the same data at
//! a rate that it bears. One entity and five features a request, over connections that stay open.
//!
//! Ours is read twice: while the agent does nothing else, and while rows arrive, are logged and change the
//! features that are read.
//!
//! The load is open: each request has its time, whether or not those before it were answered. One that
//! could not be sent because its connection still waited counts from the time that it had; a client that
//! merely woke late does not count against the server.

use super::flags::Flags;
use super::meter::usage;
use super::plain::ratio;
use crate::say;
use serde_json::{Value, json};
use stack::error::Doing;
use stack::folder::Folder;
use stack::process::{Process, Signal, command};
use stack::{Error, Feast, HOST, Result, http};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

pub const KNOWN: [&str; 5] = ["--rate", "--feast-rate", "--seconds", "--rows", "--program"];
const RATE: u64 = 5_000;
const FEAST_RATE: u64 = 200;
/// Rows a second that arrive while it is read, and how many requests bring them.
const ROWS: u64 = 1_000;
const PUSHES: u64 = 20;
const SECONDS: u64 = 20;
const USERS: u64 = 1_000;
const CONNECTIONS: u64 = 16;
const FEATURES: [&str; 5] = ["count_10m", "sum_10m", "avg_10m", "max_10m", "last_10m"];
const START: Duration = Duration::from_secs(120);
/// Requests of this long at the beginning are not counted.
const WARM_UP: Duration = Duration::from_secs(1);

const VIEW: &str = r#"
[[push.topic]]
name = "bench.*"
schema = "derive"
key = ["user_id"]

[[feature_view]]
name = "user_spend"
topic = "bench.users"
entity = ["user_id"]
feature = [
  { name = "count_10m", of = "count_10m" },
  { name = "sum_10m", of = "sum_10m" },
  { name = "avg_10m", of = "avg_10m" },
  { name = "max_10m", of = "max_10m" },
  { name = "last_10m", of = "last_10m" },
]
"#;

/// Milliseconds, and microseconds of the server's CPU.
struct Found {
    p50: f64,
    p99: f64,
    p999: f64,
    cpu_us: f64,
}

pub fn run(flags: &Flags) -> Result<()> {
    let (rate, seconds) = (flags.number("--rate", RATE)?, flags.number("--seconds", SECONDS)?);
    let (ours, busy) =
        ours(&program(flags.text("--program"))?, rate, seconds, flags.number("--rows", ROWS)?)?;
    ratio("p99 of a read, ms", ours.p99, 1.0, false);
    ratio("CPU of a read, ms", ours.cpu_us / 1e3, 0.1, false);
    ratio("p99 of a read while rows arrive, over that", busy.p99 / ours.p99, 10.0, false);
    let feast_rate = flags.number("--feast-rate", FEAST_RATE)?;
    if feast_rate > 0 {
        let theirs = feast(feast_rate, seconds)?;
        ratio("Feast's p99 against ours", theirs.p99 / ours.p99, 10.0, true);
        ratio("Feast's CPU of a read against ours", theirs.cpu_us / ours.cpu_us, 20.0, true);
    }
    Ok(())
}

/// Our release build, or the one that is named.
fn program(named: Option<&str>) -> Result<PathBuf> {
    if let Some(path) = named {
        return Ok(path.into());
    }
    let mut cargo = crate::cargo();
    cargo.args(["build", "--release", "-p", "tidegate-agent"]);
    match cargo.status().doing(|| "build the agent".to_owned())?.success() {
        true => Ok(crate::target().join("release/tidegate-agent")),
        false => Err(Error::new("the agent does not build")),
    }
}

/// While nothing else happens, and while `rows` a second arrive.
fn ours(program: &Path, rate: u64, seconds: u64, rows: u64) -> Result<(Found, Found)> {
    let folder = Folder::new("bench-serve")?;
    let mut ports = [0; 5];
    for port in &mut ports {
        *port = stack::port::free()?;
    }
    let [door, registry, push, features, admin] = ports;
    let text = format!(
        "[db]\npath = \"{}/agent.db\"\n[door]\nlisten = \"{HOST}:{door}\"\n[registry]\nlisten = \"{HOST}:{registry}\"\n\
         [push]\nlisten = \"{HOST}:{push}\"\n[features]\nlisten = \"{HOST}:{features}\"\n[admin]\nlisten = \"{HOST}:{admin}\"\n{VIEW}",
        folder.path().display()
    );
    let config = folder.write("agent.toml", &text)?;
    let mut run = command(program, Signal::Kill, None);
    run.arg("run").arg("-c").arg(config);
    let mut process = Process::spawn("tidegate-agent", run, &folder.path().join("agent.log"))?;
    process.wait_ready(START, || http::answers(&format!("http://{HOST}:{admin}/readyz")))?;
    let url = format!("http://{HOST}:{push}/topics/bench.users");
    http::post(&url, &json!((1..=USERS).map(row).collect::<Vec<Value>>()))?.json()?;
    let quiet = measure("tidegate-agent", &mut process, features, rate, seconds)?;
    let ended = Arc::new(AtomicBool::new(false));
    let until = Arc::clone(&ended);
    let writer = std::thread::spawn(move || arrive(&url, rows, &until));
    let busy = measure(&format!("… {rows} rows/s"), &mut process, features, rate, seconds);
    ended.store(true, Ordering::Relaxed);
    writer.join().map_err(|_| Error::new("the writer broke off"))??;
    process.stop(Signal::Term, Duration::from_secs(15))?;
    Ok((quiet, busy?))
}

/// Rows for one user after the other, each with another value than before.
fn arrive(url: &str, rows: u64, ended: &AtomicBool) -> Result<()> {
    let (began, each) = (Instant::now(), rows / PUSHES);
    for turn in 0.. {
        if ended.load(Ordering::Relaxed) || each == 0 {
            break;
        }
        let changed = |at: u64| {
            let n = turn * each + at;
            let mut row = row(1 + n % USERS);
            row["max_10m"] = json!(n);
            row
        };
        http::post(url, &json!((0..each).map(changed).collect::<Vec<Value>>()))?.json()?;
        let due = began + Duration::from_nanos((turn + 1) * 1_000_000_000 / PUSHES);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    Ok(())
}

fn row(user: u64) -> Value {
    let amount = user as f64 + 0.25;
    json!({"user_id": user, "count_10m": user % 50, "sum_10m": amount, "avg_10m": amount / 7.0, "max_10m": amount, "last_10m": amount})
}

fn feast(rate: u64, seconds: u64) -> Result<Found> {
    let (feast, folder) = (Feast::install()?, Folder::new("bench-feast")?);
    let script = folder.write("serve.py", include_str!("serve.py"))?;
    let port = stack::port::free()?;
    let rows: Vec<Value> = (1..=USERS).map(row).collect();
    folder.write("rows.json", &json!(rows).to_string())?;
    let (python, mut run) = (feast.command(), command(feast.python(), Signal::Kill, None));
    run.envs(python.get_envs().filter_map(|(name, value)| Some((name, value?))));
    run.current_dir(folder.path()).arg(script).arg(port.to_string());
    let mut process = Process::spawn("feast serve", run, &folder.path().join("feast.log"))?;
    process.wait_ready(START, || http::answers(&format!("http://{HOST}:{port}/health")))?;
    let found = measure("Feast's server", &mut process, port, rate, seconds)?;
    process.stop(Signal::Term, Duration::from_secs(15))?;
    Ok(found)
}

fn measure(what: &str, process: &mut Process, port: u16, rate: u64, seconds: u64) -> Result<Found> {
    let url = format!("http://{HOST}:{port}/get-online-features");
    let start = Instant::now();
    loop {
        let answer = http::post(&url, &body(7)).and_then(http::Answer::json);
        if answer.as_ref().is_ok_and(|answer| is_right(answer, 7)) {
            break;
        }
        if start.elapsed() > START {
            let shown = answer.map_or_else(|error| error.to_string(), |answer| answer.to_string());
            return Err(Error::new(format!("{what} does not give the values: {shown}")));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let before = cpu(process.id())?;
    let began = Instant::now() + Duration::from_millis(50);
    let connection = |number| std::thread::spawn(move || drive(port, began, number, rate, seconds));
    let threads: Vec<_> = (0..CONNECTIONS).map(connection).collect();
    let mut latencies = Vec::new();
    for thread in threads {
        latencies.extend(thread.join().map_err(|_| Error::new("a connection broke off"))??);
    }
    let cpu_us = (cpu(process.id())? - before) * 1e6 / (rate * seconds) as f64;
    let took = began.elapsed().as_secs_f64();
    latencies.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let place = (latencies.len() as f64 * share) as usize;
        latencies.get(place.min(latencies.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
    };
    let found = Found { p50: at(0.5), p99: at(0.99), p999: at(0.999), cpu_us };
    say(&format!(
        "{what:<16} {:>6.0}/s  p50 {:>7.3} ms  p99 {:>7.3} ms  p99.9 {:>7.3} ms  {:>7.1} µs CPU a read  {:>6.1} MiB",
        (rate * seconds) as f64 / took,
        found.p50,
        found.p99,
        found.p999,
        found.cpu_us,
        usage(process.id())?.peak_mib,
    ));
    Ok(found)
}

fn body(user: u64) -> Value {
    let features = FEATURES.map(|name| format!("user_spend:{name}"));
    json!({"features": features, "entities": {"user_id": [user]}})
}

fn is_right(answer: &Value, user: u64) -> bool {
    let names = answer["metadata"]["feature_names"].as_array().cloned().unwrap_or_default();
    let place = names.iter().position(|name| name == "sum_10m");
    place.is_some_and(|place| answer["results"][place]["values"][0] == row(user)["sum_10m"])
}

/// One connection's share of the requests; gives milliseconds each.
fn drive(port: u16, began: Instant, number: u64, rate: u64, seconds: u64) -> Result<Vec<f64>> {
    let what = || "read features".to_owned();
    let stream = TcpStream::connect((HOST, port)).doing(what)?;
    stream.set_nodelay(true).doing(what)?;
    let (mut reader, mut writer) = (BufReader::new(stream.try_clone().doing(what)?), stream);
    let total = rate * seconds;
    let mut latencies = Vec::with_capacity((total / CONNECTIONS + 1) as usize);
    let mut request = String::new();
    for turn in (number..total).step_by(CONNECTIONS as usize) {
        let due = began + Duration::from_nanos(turn * 1_000_000_000 / rate);
        let body = body(1 + turn * 7_919 % USERS).to_string();
        request.clear();
        // Writing into a string does not fail.
        let _ = write!(
            request,
            "POST /get-online-features HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let early = due.saturating_duration_since(Instant::now());
        std::thread::sleep(early);
        let from = if early.is_zero() { due } else { Instant::now() };
        writer.write_all(request.as_bytes()).doing(what)?;
        answer(&mut reader)?;
        if due >= began + WARM_UP {
            latencies.push(from.elapsed().as_secs_f64() * 1e3);
        }
    }
    Ok(latencies)
}

/// Reads one answer; anything but a 200 with a length is an error.
fn answer(reader: &mut BufReader<TcpStream>) -> Result<()> {
    let what = || "read an answer".to_owned();
    let (mut line, mut length, mut first) = (String::new(), 0, true);
    loop {
        line.clear();
        reader.read_line(&mut line).doing(what)?;
        if first && !line.contains(" 200 ") {
            return Err(Error::new(format!("the server answers {:?}", line.trim())));
        }
        first = false;
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or(0);
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).doing(what)
}

/// CPU seconds of a process and those that it started.
fn cpu(id: u32) -> Result<f64> {
    let mut seconds = usage(id)?.cpu_seconds;
    for entry in std::fs::read_dir("/proc").doing(|| "look at processes".to_owned())?.flatten() {
        let Some(child) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1));
        if parent.and_then(|parent| parent.parse().ok()) == Some(id) {
            seconds += cpu(child)?;
        }
    }
    Ok(seconds)
}
