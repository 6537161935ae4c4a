//! Producers and consumers of other languages at the agent's door: Confluent's and the pure one of Python,
//! franz-go and sarama of Go.
//!
//! Each writes the same records with each codec, idempotent and not, and reads them back, by assignment and in
//! a group; then librdkafka reads them, and the log is asked whether the codec arrived.

use stack::process::run;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};
use support::edge::Agent;
use support::topics;

const COUNT: usize = 1_000;
const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/clients").join(name)
}

/// The agent's own clock is near: what is old may be trimmed.
fn base_ms() -> String {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis().to_string()
}

/// The record of a number, as the clients' programs make it.
fn made(n: usize) -> topics::Record {
    let key = (!n.is_multiple_of(5)).then(|| format!("k{}", n % 7).into_bytes());
    let has_value = !n.is_multiple_of(11) || key.is_none();
    let value = has_value.then(|| format!("{n} {}", "x".repeat(n * 7 % 300)).into_bytes());
    let header = ("n".to_owned(), Some(n.to_string().into_bytes()));
    let headers = if n.is_multiple_of(3) { vec![header] } else { vec![] };
    topics::Record { partition: 0, key, value, headers }
}

/// What these clients wrote is there, in order, once, and packed as they were told to pack it.
fn check(mut agent: Agent, clients: &[&str]) {
    let wanted: Vec<topics::Record> = (0..COUNT).map(made).collect();
    for client in clients {
        let found = topics::read(&agent.brokers(), &format!("{client}."));
        assert_eq!(found.len(), CODECS.len() * 2, "{client}: a topic for each codec, idempotent and not");
        for (topic, records) in found {
            assert_eq!(records.len(), COUNT, "{topic}");
            let differs = records.iter().zip(&wanted).find(|(found, wanted)| found != wanted);
            assert_eq!(differs, None, "{topic}");
        }
    }
    assert_eq!(agent.program.stop().expect("it stops"), 0);
    let codecs = stored(&agent.launch.folder().join("agent.db"));
    for client in clients {
        for (at, codec) in CODECS.into_iter().enumerate() {
            for idempotent in [true, false] {
                let topic = format!("{client}.{codec}.{idempotent}");
                let found = codecs.get(&topic).unwrap_or_else(|| panic!("{topic} of {codecs:?}"));
                // A client may leave a batch as it is that packing would not make smaller.
                assert!(found.contains(&(at as u8)), "{topic} is packed by {codec}: {found:?}");
                assert!(found.iter().all(|one| [0, at as u8].contains(one)), "{topic}: {found:?}");
            }
        }
    }
}

/// The codecs of each topic's batches, from their attributes.
fn stored(file: &Path) -> BTreeMap<String, BTreeSet<u8>> {
    let db = rusqlite::Connection::open(file).expect("the file opens");
    let text = "SELECT t.name, substr(b.records, 23, 1) FROM log_batch b
                JOIN topic_partition p ON p.id = b.place >> 44 JOIN topic t ON t.id = p.topic";
    let mut statement = db.prepare(text).expect("valid");
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, Vec<u8>>(1)?)));
    let mut found: BTreeMap<String, BTreeSet<u8>> = BTreeMap::new();
    for row in rows.expect("reads") {
        let (topic, attributes) = row.expect("a row");
        found.entry(topic).or_default().extend(attributes.first().map(|byte| byte & 7));
    }
    found
}

#[test]
fn python_clients() {
    let python = stack::clients::python().expect("Python's clients");
    let agent = Agent::start(&[]);
    let mut command = python.command();
    command.arg(source("clients.py")).args([agent.brokers(), agent.registry(), base_ms(), COUNT.to_string()]);
    let said = run("run Python's clients", &mut command).expect("it ends well");
    // Twice each, for each is read in two ways.
    assert_eq!(said.lines().filter(|line| line.starts_with("ok ")).count(), 2 * 2 * 2 * CODECS.len() + 1);
    check(agent, &["confluent", "kafka-python"]);
}

#[test]
fn go_clients() {
    let program = match stack::clients::go(&source("go")) {
        Ok(program) => program,
        Err(error) => {
            // Debian's own Go is older than these clients ask for, and no package brings a newer one.
            println!("SKIPPED: no client of Go was tried: {error}");
            return;
        }
    };
    let agent = Agent::start(&[]);
    let mut command = Command::new(program);
    command.args([agent.brokers(), base_ms(), COUNT.to_string()]);
    let said = run("run Go's clients", &mut command).expect("it ends well");
    assert_eq!(said.lines().filter(|line| line.starts_with("ok ")).count(), 3 * 2 * CODECS.len());
    check(agent, &["franz", "sarama-2.8.0", "sarama-4.3.1"]);
}
