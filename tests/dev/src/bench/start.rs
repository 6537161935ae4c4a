//! From the start of the process to the first record in Kafka, on a new topic and on one that is known; beside it
//! what the registry alone takes to register a key's and a value's schema, which a new topic waits for.

use super::flags::Flags;
use super::meter::{now_ms, usage};
use super::plain::ratio;
use super::servers::{LIMIT, Servers, Setup, alive};
use crate::say;
use stack::Result;
use stack::folder::Folder;
use stack::process::Signal;
use std::path::Path;
use std::time::{Duration, Instant};

pub const KNOWN: [&str; 1] = ["--rounds"];
const ROUNDS: u64 = 9;
/// Tables whose topics and schemas are made before: in the first minute of broker and registry their compilers take
/// both cores, and all they do takes them twice as long as on every later day.
const WARM: usize = 200;
/// The time is the broker's, so we may look seldom; looking costs CPU that the start wants.
const LOOK: Duration = Duration::from_millis(200);

const TABLE: &str = "CREATE TABLE t (id int PRIMARY KEY, v text); CREATE PUBLICATION bench FOR TABLE t;";
const ROW: &str = "INSERT INTO t SELECT coalesce(max(id), 0) + 1, 'v' FROM t";

pub fn run(flags: &Flags) -> Result<()> {
    let rounds = flags.number("--rounds", ROUNDS)?;
    let program = crate::release::connector()?;
    let servers = Servers::start(Default::default())?;
    servers.psql(TABLE)?;
    warm(&servers, &program)?;
    let (mut new, mut known, mut registry, mut idle_mib) = (Vec::new(), Vec::new(), Vec::new(), 0.0);
    for round in 0..=rounds {
        let name = format!("start_{round}");
        servers.create_slot(&name)?;
        let folder = Folder::new("bench-start")?;
        let (first, _) = once(&servers, &program, &name, &folder, 1)?;
        let (second, resident_mib) = once(&servers, &program, &name, &folder, 2)?;
        servers.drop_slot(&name)?;
        let alone = registered(&servers, &name)?;
        // The first round warms broker, registry and page cache.
        if round > 0 {
            new.push(first);
            known.push(second);
            registry.push(alone);
            idle_mib = f64::max(idle_mib, resident_mib);
        }
    }
    [&mut new, &mut known, &mut registry].into_iter().for_each(|times| times.sort_unstable());
    say(&format!("start to first record, new topic and schemas: {new:?} ms"));
    say(&format!("start to first record, known ones: {known:?} ms"));
    say(&format!("two schemas registered by another client: {registry:?} ms"));
    let middle = |times: &[i64]| times.get(times.len() / 2).map_or(f64::NAN, |ms| *ms as f64);
    ratio("start to first record, ms (new topic)", middle(&new), 100.0, false);
    ratio("the same without the registry's two answers, ms", middle(&new) - middle(&registry), 100.0, false);
    ratio("start to first record, ms (known topic)", middle(&known), 100.0, false);
    ratio("idle memory, MiB", idle_mib, 15.0, false);
    Ok(())
}

/// Makes broker and registry as quick as they are when they have run for a while.
fn warm(servers: &Servers, program: &Path) -> Result<()> {
    let tables =
        (0..WARM).map(|table| format!("CREATE TABLE w{table} (id int PRIMARY KEY);")).collect::<String>();
    let rows = (0..WARM).map(|table| format!("INSERT INTO w{table} VALUES (1);")).collect::<String>();
    servers.psql(&format!("{tables} CREATE PUBLICATION warm FOR ALL TABLES"))?;
    servers.create_slot("warm")?;
    servers.psql(&rows)?;
    let folder = Folder::new("bench-warm")?;
    let mut process =
        servers.connector(program, &Setup { publication: "warm", ..Setup::stream("warm") }, &folder)?;
    let topics: Vec<String> = (0..WARM).map(|table| format!("warm.public.w{table}")).collect();
    servers.wait_records(&topics, WARM as u64, || alive(&mut process))?;
    process.stop(Signal::Term, Duration::from_secs(15))?;
    servers.drop_slot("warm")?;
    let tables: Vec<String> = (0..WARM).map(|table| format!("w{table}")).collect();
    servers.psql(&format!("DROP PUBLICATION warm; DROP TABLE {}", tables.join(", "))).map(drop)
}

/// Writes a row, starts, waits for its record; milliseconds by the broker's clock, and memory when idle.
fn once(servers: &Servers, program: &Path, name: &str, folder: &Folder, records: u64) -> Result<(i64, f64)> {
    servers.psql(ROW)?;
    let topic = format!("{name}.public.t");
    let setup = Setup::stream(name);
    let started_ms = now_ms();
    let mut process = servers.connector(program, &setup, folder)?;
    let until = Instant::now() + LIMIT;
    while servers.records(std::slice::from_ref(&topic))? < i64::try_from(records).unwrap_or(1)
        && Instant::now() < until
    {
        alive(&mut process)?;
        std::thread::sleep(LOOK);
    }
    let (_, last_ms) = servers.times(&topic)?;
    std::thread::sleep(Duration::from_millis(500));
    let used = usage(process.id())?;
    process.stop(Signal::Term, Duration::from_secs(15))?;
    Ok((last_ms - started_ms, used.resident_mib))
}

/// Milliseconds that the registry takes for two new schemas, one after the other, as a key and its value are.
fn registered(servers: &Servers, name: &str) -> Result<i64> {
    let begun = Instant::now();
    for side in ["key", "value"] {
        let schema = format!(
            r#"{{"type":"record","name":"{side}","namespace":"{name}","fields":[{{"name":"id","type":"int"}}]}}"#
        );
        let url = format!("{}/subjects/{name}.alone-{side}/versions", servers.registry.url());
        stack::http::post(&url, &serde_json::json!({ "schema": schema }))?.json()?;
    }
    Ok(begun.elapsed().as_millis() as i64)
}
