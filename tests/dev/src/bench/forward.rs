//! What the agent brings to central Kafka a second, beside `kcat -P`, which writes the same records from a file
//! into the same Kafka, both with lz4.
//!
//! The records are in the agent's log before the clock runs; its time is from the process's start until the last
//! of them is acknowledged (and committed), kcat's from its start to its end.

use super::flags::Flags;
use super::meter::{ended_children, number, usage};
use super::plain::{Line, ratio};
use super::servers::alive;
use crate::say;
use serde_json::json;
use stack::error::Doing;
use stack::folder::Folder;
use stack::process::{Process, Signal, command};
use stack::{Error, HOST, Kafka, Registry, Result, http, port};
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

pub const KNOWN: [&str; 2] = ["--records", "--bytes"];
const RECORDS: u64 = 1_000_000;
const BYTES: u64 = 300;
/// Measured rounds, all in turn.
const ROUNDS: usize = 3;
const LIMIT: Duration = Duration::from_secs(600);
const SCHEMA: &str = r#"{"type":"record","name":"R","fields":[{"name":"a","type":"string"}]}"#;

pub fn run(flags: &Flags) -> Result<()> {
    let (records, bytes) = (flags.number("--records", RECORDS)?, flags.number("--bytes", BYTES)?);
    let bench = Bench::new(records, bytes)?;
    bench.kcat("warm")?;
    let (mut kcat, mut once, mut least) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        kcat.push(bench.kcat(&format!("kcat_{round}"))?);
        once.push(bench.forward(&format!("once_{round}"), "exactly_once")?);
        least.push(bench.forward(&format!("least_{round}"), "at_least_once")?);
    }
    let (kcat, once, least) = (Line::median(kcat), Line::median(once), Line::median(least));
    [&kcat, &once, &least].into_iter().for_each(Line::print);
    let against = |line: &Line| line.rows_per_second / kcat.rows_per_second;
    ratio("records/s against kcat, exactly once", against(&once), 0.8, true);
    ratio("records/s against kcat, at least once", against(&least), 0.8, true);
    Ok(())
}

struct Bench {
    kafka: Kafka,
    registry: Registry,
    program: PathBuf,
    folder: Folder,
    file: PathBuf,
    records: u64,
}

impl Bench {
    /// Fills the agent's log with one topic per run.
    fn new(records: u64, bytes: u64) -> Result<Bench> {
        let program = crate::release::agent()?;
        let folder = Folder::new("bench-forward")?;
        let (kafka, registry) = (Kafka::start(Default::default())?, Registry::start()?);
        let file = folder.path().join("records");
        let bench = Bench { kafka, registry, program, folder, file, records };
        let ports = [port::free()?, port::free()?];
        let (mut agent, admin) = bench.agent(ports, "")?;
        let subject = format!("http://{HOST}:{}/subjects/", ports[1]);
        let mut id = None;
        for topic in (1..=ROUNDS).flat_map(|n| [format!("once_{n}"), format!("least_{n}")]) {
            let answer =
                http::post(&format!("{subject}{topic}-value/versions"), &json!({ "schema": SCHEMA }))?;
            id = answer.json()?["id"].as_u64();
        }
        bench.write(id.ok_or_else(|| Error::new("the agent's registry gave no id"))?, bytes)?;
        say(&format!("filling the agent's log with {records} records of {bytes} bytes for each run …"));
        for topic in (1..=ROUNDS).flat_map(|n| [format!("once_{n}"), format!("least_{n}")]) {
            bench.produce(&format!("{HOST}:{}", ports[0]), &topic)?;
        }
        alive(&mut agent)?;
        let held = metric(admin, "tidegate_agent_buffer_appended_records_total")?;
        if held != records * 2 * ROUNDS as u64 {
            return Err(Error::new(format!("the log took {held} records")));
        }
        agent.stop(Signal::Term, Duration::from_secs(30))?;
        Ok(bench)
    }

    /// A key and a value that begins with a schema id, a line each. About half of it cannot be compressed.
    fn write(&self, id: u64, bytes: u64) -> Result<()> {
        let file = std::fs::File::create(&self.file).doing(|| "write the records".to_owned())?;
        let mut out = std::io::BufWriter::new(file);
        let [.., a, b, c, d] = id.to_be_bytes();
        let mut rng = fastrand::Rng::with_seed(1);
        for n in 0..self.records {
            let mut line = format!("key{}\t", n % 100_000).into_bytes();
            line.extend([0, a, b, c, d]);
            for at in 0..bytes.saturating_sub(5) {
                line.push(if at % 2 == 0 { rng.alphanumeric() as u8 } else { b'x' });
            }
            line.push(b'\n');
            out.write_all(&line).doing(|| "write the records".to_owned())?;
        }
        out.flush().doing(|| "write the records".to_owned())
    }

    fn produce(&self, brokers: &str, topic: &str) -> Result<()> {
        let mut command = Command::new(stack::kafka::kcat()?);
        command.args(["-P", "-b", brokers, "-t", topic, "-K", "\t", "-z", "lz4", "-l"]).arg(&self.file);
        let done = command.output().doing(|| "run kcat".to_owned())?;
        match done.status.success() {
            true => Ok(()),
            false => Err(Error::new(format!("kcat: {}", String::from_utf8_lossy(&done.stderr)))),
        }
    }

    fn kcat(&self, topic: &str) -> Result<Line> {
        let (cpu, start) = (ended_children()?, Instant::now());
        self.produce(&self.kafka.bootstrap(), topic)?;
        let (seconds, cpu) = (start.elapsed().as_secs_f64(), ended_children()? - cpu);
        Ok(Line::of("kcat -P -z lz4", self.records, seconds, cpu, 0.0))
    }

    fn forward(&self, topic: &str, delivery: &str) -> Result<Line> {
        let more = format!(
            "[forward]\ntopics = [\"{topic}\"]\ndelivery = \"{delivery}\"\n[forward.kafka]\nbrokers = \"{}\"\n\
             [forward.registry]\nurl = [\"{}\"]\n",
            self.kafka.bootstrap(),
            self.registry.url()
        );
        let start = Instant::now();
        let (mut agent, admin) = self.agent([port::free()?, port::free()?], &more)?;
        while metric(admin, "tidegate_agent_forward_records_total").unwrap_or(0) < self.records {
            alive(&mut agent)?;
            if start.elapsed() > LIMIT {
                return Err(Error::new(format!("not all of {topic} came: {}", agent.last_lines())));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let (seconds, used) = (start.elapsed().as_secs_f64(), usage(agent.id())?);
        agent.stop(Signal::Term, Duration::from_secs(30))?;
        Ok(Line::of(&format!("forward, {delivery}"), self.records, seconds, used.cpu_seconds, used.peak_mib))
    }

    /// The agent on its file; gives its admin port.
    fn agent(&self, [door, registry]: [u16; 2], more: &str) -> Result<(Process, u16)> {
        let (admin, features) = (port::free()?, port::free()?);
        let text = format!(
            "[admin]\nlisten = \"{HOST}:{admin}\"\n[db]\npath = \"{folder}/agent.db\"\n\
             [door]\nlisten = \"{HOST}:{door}\"\n[registry]\nlisten = \"{HOST}:{registry}\"\n\
             [features]\nlisten = \"{HOST}:{features}\"\n{more}",
            folder = self.folder.path().display()
        );
        let config = self.folder.write("agent.toml", &text)?;
        let mut run = command(&self.program, Signal::Kill, None);
        run.arg("run").arg("-c").arg(config);
        let mut process = Process::spawn("tidegate-agent", run, &self.folder.path().join("agent.log"))?;
        let url = format!("http://{HOST}:{admin}/livez");
        process.wait_ready(Duration::from_secs(30), || http::answers(&url))?;
        Ok((process, admin))
    }
}

fn metric(admin: u16, name: &str) -> Result<u64> {
    let text = http::get(&format!("http://{HOST}:{admin}/metrics"))?.body;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(Ok(0), |value| number(name, value).map(i64::unsigned_abs))
}
