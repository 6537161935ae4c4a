//! The program under kills and damage: what librdkafka was told is stored is there, in order and once;
//! status, backup and recovery as operators call them.

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use std::net::TcpStream;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const TOPIC: &str = "kept";

struct World {
    folder: PathBuf,
    door: u16,
    agent: Option<Child>,
}

impl World {
    fn new(name: &str) -> World {
        let folder = std::env::temp_dir().join(format!("tidegate-keep-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        let [admin, door, registry, features] = [(); 4].map(|()| stack::port::free().expect("a free port"));
        let text = format!(
            "[admin]\nlisten = \"127.0.0.1:{admin}\"\n[db]\npath = \"{}\"\ncheckpoint_bytes = 262144\n\
             [door]\nlisten = \"127.0.0.1:{door}\"\n[registry]\nlisten = \"127.0.0.1:{registry}\"\n\
             [features]\nlisten = \"127.0.0.1:{features}\"\n",
            folder.join("agent.db").display()
        );
        std::fs::write(folder.join("agent.toml"), text).expect("written");
        World { folder, door, agent: None }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate-agent"));
        command.args(words).arg("-c").arg(self.folder.join("agent.toml"));
        command
    }

    fn ask(&self, words: &[&str]) -> Output {
        self.command(words).output().expect("it runs")
    }

    fn start(&mut self) {
        self.start_with(&[]);
    }

    fn start_with(&mut self, more: &[&str]) {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.folder.join("log"));
        let child = self.command(&[&["run"], more].concat()).stderr(log.expect("a log")).spawn();
        self.agent = Some(child.expect("it starts"));
        let end = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(("127.0.0.1", self.door)).is_err() {
            let log = || std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(Instant::now() < end, "the door does not open: {}", log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn kill(&mut self) {
        if let Some(mut agent) = self.agent.take() {
            agent.kill().expect("killed");
            agent.wait().expect("ended");
        }
    }

    fn stop(&mut self) {
        let mut agent = self.agent.take().expect("it runs");
        let asked = Command::new("kill").args(["-TERM", &agent.id().to_string()]).status();
        assert!(asked.expect("kill runs").success());
        assert_eq!(agent.wait().expect("it ends").code(), Some(0));
    }

    /// Numbers with their offsets, as stored.
    fn stored(&self) -> Vec<(i64, u64)> {
        use rdkafka::consumer::{BaseConsumer, Consumer};
        let brokers = format!("127.0.0.1:{}", self.door);
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", brokers).set("group.id", "none").set("enable.partition.eof", "true");
        let consumer: BaseConsumer = config.create().expect("a consumer");
        let mut place = rdkafka::TopicPartitionList::new();
        place.add_partition_offset(TOPIC, 0, rdkafka::Offset::Beginning).expect("a place");
        consumer.assign(&place).expect("assigned");
        let mut found = Vec::new();
        loop {
            match consumer.poll(Duration::from_secs(20)).expect("an answer in time") {
                Ok(message) => {
                    let text = std::str::from_utf8(message.payload().expect("a value")).expect("text");
                    found.push((message.offset(), text.trim().parse().expect("a number")));
                }
                Err(KafkaError::PartitionEOF(_)) => return found,
                // It asks for its group all the same, which the door does not keep.
                Err(KafkaError::MessageConsumption(RDKafkaErrorCode::GroupAuthorizationFailed)) => {}
                Err(error) => panic!("cannot read back: {error}"),
            }
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Notes what the producer was told is stored.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<u64>>>);

impl Told {
    fn count(&self) -> usize {
        self.0.lock().expect("no panic").len()
    }
}

impl rdkafka::ClientContext for Told {}

impl ProducerContext for Told {
    type DeliveryOpaque = Box<u64>;
    fn delivery(&self, result: &DeliveryResult<'_>, number: Box<u64>) {
        if result.is_ok() {
            self.0.lock().expect("no panic").push(*number);
        }
    }
}

fn producer(door: u16, told: &Told) -> ThreadedProducer<Told> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", format!("127.0.0.1:{door}"))
        .set("enable.idempotence", "true")
        .set("reconnect.backoff.ms", "10")
        .set("reconnect.backoff.max.ms", "50")
        .set("retry.backoff.ms", "10")
        .set("linger.ms", "1");
    config.create_with_context(told.clone()).expect("a producer")
}

/// Killed at random moments with much in flight, at last together with the producer: everything that was
/// acknowledged is stored, in order, once, at offsets without a gap.
#[test]
fn what_is_acknowledged_is_stored_over_random_kills() {
    let kills: u64 = std::env::var("KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(6);
    let mut world = World::new("kills");
    world.start();
    let told = Told::default();
    let producer = producer(world.door, &told);
    let mut next = 0;
    let mut dice = 0x9e37_79b9_u64;
    for _ in 0..kills {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        // Some are acknowledged by this one, and then a moment more, with much in flight.
        let (goal, limit) = (told.count() + 300, Instant::now() + Duration::from_secs(30));
        let mut until = None;
        while until.is_none_or(|until| Instant::now() < until) {
            if until.is_none() && told.count() >= goal {
                until = Some(Instant::now() + Duration::from_millis((dice >> 40) % 100));
            }
            assert!(Instant::now() < limit, "{} acknowledged of {next}", told.count());
            let value = format!("{next:<120}");
            let record =
                BaseRecord::<(), str, Box<u64>>::with_opaque_to(TOPIC, Box::new(next)).payload(&value);
            match producer.send(record) {
                Ok(()) => next += 1,
                // Its queue is full: the agent is away.
                Err(_) => std::thread::sleep(Duration::from_millis(1)),
            }
        }
        world.kill();
        world.start();
    }
    world.kill();
    drop(producer);
    let told = told.0.lock().expect("no panic").clone();
    world.start();
    let stored = world.stored();
    assert!(told.len() > 1_000, "only {} of {next} were acknowledged", told.len());
    for (at, (offset, number)) in (0u64..).zip(&stored) {
        assert_eq!((u64::try_from(*offset), *number), (Ok(at), at), "in order, once, without a gap");
    }
    let last = told.iter().max().copied().unwrap_or_default();
    assert!(last < stored.len() as u64, "{last} was acknowledged, {} are stored", stored.len());
}

fn produce(world: &World, from: u64, count: u64) {
    let told = Told::default();
    let producer = producer(world.door, &told);
    for number in from..from + count {
        let value = number.to_string();
        let record = BaseRecord::<(), str, Box<u64>>::with_opaque_to(TOPIC, Box::new(number)).payload(&value);
        assert!(producer.send(record).is_ok());
    }
    producer.flush(Duration::from_secs(20)).expect("all is stored");
    assert_eq!(told.0.lock().expect("no panic").len() as u64, count);
}

#[test]
fn a_backup_is_made_while_it_runs_and_restored() {
    let mut world = World::new("backup");
    world.start();
    produce(&world, 0, 500);
    let to = world.folder.join("backup.db");
    let words = ["backup", "--to", to.to_str().expect("text")];
    let made = world.ask(&words);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    assert_eq!(world.ask(&words).status.code(), Some(2), "it is never overwritten");
    produce(&world, 500, 100);
    let status = text(&world.ask(&["status"]).stdout);
    assert!(status.contains("kept") && status.contains("600") && status.contains("ready"), "{status}");
    let document: serde_json::Value =
        serde_json::from_slice(&world.ask(&["status", "--json"]).stdout).expect("JSON");
    assert_eq!(document["buffer"]["records"], 600, "{document}");
    assert!(document["file"]["disk_free_bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{document}");

    world.stop();
    let status = text(&world.ask(&["status"]).stdout);
    assert!(status.contains("stopped cleanly") && status.contains("600"), "{status}");
    for suffix in ["", "-wal", "-shm", ".lock"] {
        let _ = std::fs::remove_file(world.folder.join(format!("agent.db{suffix}")));
    }
    std::fs::copy(&to, world.folder.join("agent.db")).expect("restored");
    world.start();
    produce(&world, 1_000, 1);
    let stored = world.stored();
    assert_eq!(stored.len(), 501);
    let (offset, number) = stored[500];
    assert!(number == 1_000 && offset > 1_000_000, "no offset is given out again: {offset}");
}

/// Noise over the head of a table: exit code 3 and the remedy; the remedy works.
#[test]
fn damage_stops_the_start_and_recover_brings_over_what_is_sound() {
    let mut world = World::new("recover");
    world.start();
    for round in 0..20 {
        produce(&world, round * 100, 100);
    }
    world.kill();
    world.start();
    world.stop();
    let path = world.folder.join("agent.db");
    let lock =
        std::fs::OpenOptions::new().write(true).open(world.folder.join("agent.db.lock")).expect("a lock");
    lock.set_len(0).expect("as after a power cut");
    let file = std::fs::OpenOptions::new().read(true).write(true).open(&path).expect("a file");
    // The registry's tables are empty and small: noise there is damage, and loses no batch.
    let connection =
        agent::db::at_rest(&agent::config::db::DbConfig { path: path.clone(), ..Default::default() })
            .expect("nobody has it")
            .expect("nobody has it");
    let page: i64 = connection
        .reader()
        .expect("opens")
        .query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'quarantine'", [], |row| row.get(0))
        .expect("a page");
    drop(connection);
    file.write_all_at(&[0x5a; 4_096], (page.unsigned_abs() - 1) * 8_192).expect("written");
    let refused = world.command(&["run"]).stderr(Stdio::piped()).output().expect("it runs");
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(3), "{said}");
    assert!(said.contains("quarantine") && said.contains("recover --from"), "{said}");

    let from = path.to_str().expect("text").to_owned();
    let recovered = world.ask(&["recover", "--from", &from]);
    let said = text(&recovered.stdout);
    assert!(recovered.status.success(), "{said}{}", text(&recovered.stderr));
    assert!(said.contains("2000 records") && said.contains("quarantine"), "{said}");
    world.start();
    // Its end lies ahead of what was saved, so a reader's end comes with the next record.
    produce(&world, 2_000, 1);
    assert_eq!(world.stored().len(), 2_001);
    assert!(
        std::fs::read_dir(&world.folder)
            .expect("a folder")
            .flatten()
            .any(|entry| { entry.file_name().to_string_lossy().starts_with("agent.db.damaged-") })
    );
    let again = world.ask(&["recover", "--from", "/no/such/file"]);
    assert_ne!(again.status.code(), Some(0));
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
