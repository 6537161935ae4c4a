//! From a transaction's commit until a consumer has read its record: ours, and real Debezium's with its
//! defaults and with a poll interval of 5 ms, each at a rate that it bears.
//!
//! Records are JSON here, which both write alike: `source.ts_us` is the commit's time. The consumer
//! is kcat; a record's time is when its line arrives in this process.

use super::flags::Flags;
use super::plain::ratio;
use super::servers::{Servers, Setup};
use crate::say;
use serde_json::{Value, json};
use stack::error::Doing;
use stack::folder::Folder;
use stack::process::Signal;
use stack::{Connect, Error, Result};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub const KNOWN: [&str; 3] = ["--rate", "--debezium-rate", "--seconds"];
const RATE: u64 = 1_000;
const DEBEZIUM_RATE: u64 = 300;
const SECONDS: u64 = 30;
/// What comes while both sides warm up is not counted.
const WARM_UP: Duration = Duration::from_secs(3);

const TABLE: &str =
    "CREATE TABLE ticks (id bigserial PRIMARY KEY, v text); CREATE PUBLICATION bench FOR TABLE ticks;";
const JSON: &str = "[snapshot]\nmode = \"no_data\"\n[encode.value]\nformat = \"json\"\nschemas = false\n";

/// Milliseconds.
struct Latency {
    p50: f64,
    p99: f64,
}

pub fn run(flags: &Flags) -> Result<()> {
    let (rate, seconds) = (flags.number("--rate", RATE)?, flags.number("--seconds", SECONDS)?);
    let debezium_rate = flags.number("--debezium-rate", DEBEZIUM_RATE)?;
    let program = crate::release::connector()?;
    let servers = Servers::start(Default::default())?;
    servers.psql(TABLE)?;
    let mut ours = Vec::new();
    for rate in [rate, debezium_rate] {
        let name = format!("ours_{rate}");
        servers.create_slot(&name)?;
        let folder = Folder::new("bench-latency")?;
        let setup = Setup { more: JSON, ..Setup::stream(&name) };
        let mut process = servers.connector(&program, &setup, &folder)?;
        ours.push(measure(&servers, &format!("tidegate-connector, {rate} tx/s"), &name, rate, seconds)?);
        process.stop(Signal::Term, Duration::from_secs(15))?;
        servers.drop_slot(&name)?;
    }
    let connect = Connect::start(&servers.kafka, &servers.registry)?;
    let mut theirs = Vec::new();
    for (name, interval) in [("defaults", None), ("polling", Some("5"))] {
        servers.create_slot(name)?;
        connect.run(name, &servers.debezium(name, &plain_json(interval)))?;
        let what = interval.map_or("its defaults".to_owned(), |ms| format!("poll.interval.ms={ms}"));
        let what = format!("Debezium, {what}, {debezium_rate} tx/s");
        theirs.push(measure(&servers, &what, name, debezium_rate, seconds)?);
        connect.delete(name)?;
    }
    let p99 = |list: &[Latency], at: usize| list.get(at).map_or(f64::NAN, |latency| latency.p99);
    ratio(&format!("p99 at {rate} tx/s, ms"), p99(&ours, 0), 10.0, false);
    ratio("p99 against Debezium with its defaults, 1/x", p99(&theirs, 0) / p99(&ours, 1), 100.0, true);
    ratio("p99 against Debezium polling every 5 ms, 1/x", p99(&theirs, 1) / p99(&ours, 1), 3.0, true);
    Ok(())
}

fn plain_json(poll_interval_ms: Option<&str>) -> Value {
    let mut more = json!({
        "value.converter": "org.apache.kafka.connect.json.JsonConverter",
        "value.converter.schemas.enable": "false",
    });
    if let (Some(more), Some(interval)) = (more.as_object_mut(), poll_interval_ms) {
        more.insert("poll.interval.ms".to_owned(), json!(interval));
    }
    more
}

fn measure(servers: &Servers, what: &str, prefix: &str, rate: u64, seconds: u64) -> Result<Latency> {
    let topic = format!("{prefix}.public.ticks");
    write(servers, 20, 1)?;
    servers.wait_records(std::slice::from_ref(&topic), 1, || Ok(()))?;
    let mut reader = consumer(servers, &topic)?;
    let output = reader.stdout.take().ok_or_else(|| Error::new("kcat has no output"))?;
    let collect = std::thread::spawn(move || collect(BufReader::new(output)));
    std::thread::sleep(Duration::from_secs(1));
    write(servers, rate, seconds + WARM_UP.as_secs())?;
    let written = servers.psql("SELECT count(*) FROM ticks")?;
    std::thread::sleep(Duration::from_secs(2));
    // Its end ends the collecting.
    reader.kill().doing(|| "end kcat".to_owned())?;
    reader.wait().doing(|| "wait for kcat".to_owned())?;
    let latencies = collect.join().map_err(|_| Error::new("the reader broke off"))?;
    servers.psql("TRUNCATE ticks")?;
    if latencies.len() as u64 * 2 < rate * seconds {
        return Err(Error::new(format!("{what}: read {} of {} records", latencies.len(), written.trim())));
    }
    Ok(summary(what, latencies, rate))
}

/// Lines as they come: the commit's time in each, against the clock.
fn collect(lines: impl BufRead) -> Vec<f64> {
    let read = lines.lines().map_while(std::result::Result::ok);
    let one = |line: String| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let record: Value = serde_json::from_str(&line).ok()?;
        let committed_us = record.get("source")?.get("ts_us")?.as_f64()?;
        Some(now.as_micros() as f64 / 1e3 - committed_us / 1e3)
    };
    read.filter_map(one).collect()
}

fn summary(what: &str, mut latencies: Vec<f64>, rate: u64) -> Latency {
    let warm_up = usize::try_from(WARM_UP.as_secs() * rate).unwrap_or_default();
    let mut latencies = latencies.split_off(warm_up.min(latencies.len() / 2));
    latencies.sort_by(f64::total_cmp);
    let at = |share: usize| latencies.get(latencies.len() * share / 100).copied().unwrap_or(f64::NAN);
    let latency = Latency { p50: at(50), p99: at(99) };
    say(&format!(
        "{what:<44} p50 {:>8.1} ms  p99 {:>8.1} ms  of {} records",
        latency.p50,
        latency.p99,
        latencies.len()
    ));
    latency
}

/// One session that commits at an even pace.
fn write(servers: &Servers, rate: u64, seconds: u64) -> Result<()> {
    let total = rate * seconds;
    servers
        .psql(&format!(
            "DO $$ DECLARE began timestamptz := clock_timestamp(); ahead double precision; BEGIN
               FOR i IN 1 .. {total} LOOP
                 INSERT INTO ticks (v) VALUES ('tick ' || i);
                 COMMIT;
                 ahead := i / {rate}::double precision - extract(epoch FROM clock_timestamp() - began);
                 IF ahead > 0 THEN PERFORM pg_sleep(ahead); END IF;
               END LOOP; END $$"
        ))
        .map(drop)
}

/// Reads from the present end on, each record at once.
fn consumer(servers: &Servers, topic: &str) -> Result<Child> {
    let mut command = Command::new(servers.kafka.kcat()?);
    command.args(["-b", &servers.kafka.bootstrap(), "-C", "-q", "-u", "-t", topic, "-o", "end"]);
    command.args(["-X", "fetch.wait.max.ms=5", "-f", "%s\\n"]);
    command.stdout(Stdio::piped()).spawn().doing(|| "run kcat".to_owned())
}
