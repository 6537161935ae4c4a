//! The Kafka door with a real client: kcat (librdkafka) produces, reads back, is refused.
//!
//! Without kcat on the machine the tests are skipped, and say so; with `TIDEGATE_REQUIRE_SERVERS`
//! set, as in CI, that is a failure.

use agent::buffer::Log;
use agent::config::buffer::BufferConfig;
use agent::config::db::DbConfig;
use agent::config::door::DoorConfig;
use agent::db::Db;
use agent::ingest::door;
use shared::shutdown::Shutdown;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A door of its own in a temporary folder.
struct Node {
    folder: PathBuf,
    db: DbConfig,
    buffer: BufferConfig,
    running: Option<Running>,
}

struct Running {
    runtime: tokio::runtime::Runtime,
    address: SocketAddr,
    log: Arc<Log>,
    shutdown: Shutdown,
}

impl Node {
    fn new(name: &str, buffer: BufferConfig, db: DbConfig) -> Node {
        let folder = std::env::temp_dir().join(format!("tidegate-door-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("temporary folder");
        let db = DbConfig { path: folder.join("agent.db"), ..db };
        let mut node = Node { folder, db, buffer, running: None };
        node.start();
        node
    }

    fn start(&mut self) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let db = Db::open(&self.db).expect("the database opens");
        let log = Arc::new(Log::open(&db, &self.buffer).expect("the log opens"));
        let shutdown = Shutdown::default();
        let config =
            DoorConfig { listen: "127.0.0.1:0".parse().expect("an address"), ..DoorConfig::default() };
        let served = runtime.block_on(door::serve(&config, Arc::clone(&log), shutdown.clone()));
        let address = served.expect("the door opens");
        self.running = Some(Running { runtime, address, log, shutdown });
    }

    fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.shutdown.request();
            drop(running.log);
            running.runtime.shutdown_timeout(Duration::from_secs(5));
        }
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("the node runs")
    }

    fn log(&self) -> &Log {
        &self.running().log
    }

    /// All values of a topic with their offsets, as kcat reads them.
    fn read_back(&self, topic: &str) -> Vec<String> {
        let output = self.kcat(&["-C", "-t", topic, "-o", "beginning", "-e", "-q", "-f", "%o %s\n"], b"");
        assert!(output.status.success(), "kcat -C: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text").lines().map(str::to_owned).collect()
    }

    fn produce(&self, topic: &str, lines: &str, extra: &[&str]) {
        let output = self.kcat(&[&["-P", "-t", topic], extra].concat(), lines.as_bytes());
        assert!(output.status.success(), "kcat -P: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn kcat(&self, arguments: &[&str], input: &[u8]) -> Output {
        kcat(self.running().address, arguments, input)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn kcat(address: SocketAddr, arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new("kcat")
        .args(["-b", &address.to_string()])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("kcat starts");
    child.stdin.take().expect("piped").write_all(input).expect("kcat reads");
    child.wait_with_output().expect("kcat ends")
}

fn without_kcat() -> bool {
    let absent = Command::new("kcat").arg("-V").output().is_err();
    if absent {
        assert!(std::env::var_os("TIDEGATE_REQUIRE_SERVERS").is_none(), "kcat is not installed");
        eprintln!("SKIPPED: kcat is not installed (apt install kcat)");
    }
    absent
}

fn lines(count: usize) -> String {
    (0..count).map(|n| format!("{n:06} {}\n", "tide".repeat(20))).collect()
}

fn want(lines: &str) -> Vec<String> {
    lines.lines().enumerate().map(|(offset, line)| format!("{offset} {line}")).collect()
}

/// The codec of each stored batch, from its attributes.
fn stored_codecs(node: &Node, topic: &str) -> Vec<u8> {
    let reader = rusqlite::Connection::open(&node.db.path).expect("the file opens");
    let mut codecs = Vec::new();
    for partition in node.log().partitions(topic) {
        let batches = node.log().read(&reader, partition, 0, usize::MAX).expect("the log reads");
        codecs.extend(batches.iter().map(|batch| batch.records[22] & 7));
    }
    codecs
}

/// librdkafka decides by what is offered whether it compresses at all, and says nothing if not.
#[test]
fn every_codec_is_stored_as_sent_and_read_back() {
    if without_kcat() {
        return;
    }
    let node = Node::new("codecs", BufferConfig::default(), DbConfig::default());
    for (number, codec) in ["none", "gzip", "snappy", "lz4", "zstd"].iter().enumerate() {
        for idempotent in ["false", "true"] {
            let topic = format!("codec-{codec}-{idempotent}");
            let lines = lines(2_000);
            let setting = format!("enable.idempotence={idempotent}");
            node.produce(&topic, &lines, &["-z", codec, "-X", &setting]);
            assert_eq!(node.read_back(&topic), want(&lines), "{topic}");
            let codecs = stored_codecs(&node, &topic);
            assert!(codecs.iter().all(|c| usize::from(*c) == number), "{topic} is stored as {codecs:?}");
            assert!(!codecs.is_empty());
        }
    }
}

#[test]
fn offsets_and_topics_survive_a_restart() {
    if without_kcat() {
        return;
    }
    let mut node = Node::new("restart", BufferConfig::default(), DbConfig::default());
    let all = lines(300);
    let (first, second) = all.split_at(all.len() / 3);
    node.produce("orders", first, &["-X", "enable.idempotence=true"]);
    let before = node.log().topic("orders").expect("made by the producer").uuid;
    node.stop();
    node.start();
    node.produce("orders", second, &["-X", "enable.idempotence=true"]);
    assert_eq!(node.read_back("orders"), want(&all));
    assert_eq!(node.log().topic("orders").expect("still there").uuid, before);
    let latest = node.kcat(&["-Q", "-t", "orders:0:-1"], b"");
    let answer = String::from_utf8_lossy(&latest.stdout).into_owned();
    assert!(answer.contains("offset 300"), "{answer}");
}

/// kcat as a member of a group goes on where the group stopped, also after a restart.
#[test]
fn a_group_goes_on_where_it_stopped() {
    if without_kcat() {
        return;
    }
    let mut node = Node::new("group", BufferConfig::default(), DbConfig::default());
    let (first, second) = (lines(200), lines(50));
    node.produce("orders", &first, &[]);
    let read = |node: &Node| -> Vec<String> {
        let settings = ["-X", "auto.offset.reset=earliest", "-X", "isolation.level=read_committed"];
        let output = node.kcat(&[&["-G", "readers", "-e", "-q"], &settings[..], &["orders"]].concat(), b"");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text").lines().map(str::to_owned).collect()
    };
    assert_eq!(read(&node), first.lines().collect::<Vec<_>>());
    node.stop();
    node.start();
    node.produce("orders", &second, &[]);
    assert_eq!(read(&node), second.lines().collect::<Vec<_>>());
    assert_eq!(read(&node), Vec::<String>::new());
}

/// Acknowledged is stored, refused is tried again, and the order holds, when the log is full for a
/// while and something is trimmed.
#[test]
fn a_full_log_refuses_for_a_while_and_loses_nothing() {
    if without_kcat() {
        return;
    }
    let buffer = BufferConfig { max_bytes: 300_000, ..BufferConfig::default() };
    let node = Node::new("full", buffer, DbConfig::default());
    // Small batches, so that the limit falls somewhere in the middle.
    let settings = ["-X", "enable.idempotence=true", "-X", "batch.num.messages=100"];
    let old = lines(2_000);
    node.produce("old", &old, &settings);
    let new = lines(4_000);
    let address = node.running().address;
    let (sent, arguments) = (new.clone(), [&["-P", "-t", "new"], &settings[..]].concat().join(" "));
    let producer =
        std::thread::spawn(move || kcat(address, &arguments.split(' ').collect::<Vec<_>>(), sent.as_bytes()));
    wait_until("the log is full", || node.log().is_full());
    let removed = node.log().trim(node.log().partitions("old")[0], 2_000).expect("trims");
    assert!(removed > 150_000, "{removed}");
    // A reader that follows lets go of what it has read, whenever there is no room.
    let partition = node.log().partitions("new")[0];
    wait_until("the producer is done", || {
        if node.log().is_full() {
            let (start, end) = (node.log().log_start(partition), node.log().end_offset(partition));
            node.log().trim(partition, start.midpoint(end)).expect("trims");
        }
        producer.is_finished()
    });
    let output = producer.join().expect("the producer's thread");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let start = usize::try_from(node.log().log_start(partition)).expect("an offset");
    assert!(start > 0);
    assert_eq!(node.read_back("new"), want(&new)[start..]);
}

fn wait_until(what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The door as a process of its own, for the test that kills it; by itself, without that test's environment,
/// it has nothing to do.
#[test]
fn serve_until_killed() {
    let (Ok(folder), Ok(port)) = (std::env::var("DOOR_FOLDER"), std::env::var("DOOR_PORT")) else { return };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let db = DbConfig { path: PathBuf::from(folder).join("agent.db"), ..DbConfig::default() };
    let db = Db::open(&db).expect("the database opens");
    let buffer = BufferConfig { partitions: 1, ..BufferConfig::default() };
    let log = Arc::new(Log::open(&db, &buffer).expect("the log opens"));
    let listen = format!("127.0.0.1:{port}").parse().expect("an address");
    let config = DoorConfig { listen, ..DoorConfig::default() };
    runtime.block_on(door::serve(&config, log, Shutdown::default())).expect("the door opens");
    std::thread::sleep(Duration::from_secs(300));
}

/// A door process; killed, not stopped, when it goes.
struct Process(std::process::Child);

impl Process {
    fn start(folder: &std::path::Path, address: SocketAddr) -> Process {
        let child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "serve_until_killed"])
            .env("DOOR_FOLDER", folder)
            .env("DOOR_PORT", address.port().to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("this test starts again");
        let process = Process(child);
        wait_until("the door listens", || std::net::TcpStream::connect(address).is_ok());
        process
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `SIGKILL` in the middle of an idempotent producer's work, five times: every record is there
/// once, in order. Without the producer's state in the file, retries would be stored twice.
#[test]
fn killed_again_and_again() {
    if without_kcat() {
        return;
    }
    let folder = std::env::temp_dir().join(format!("tidegate-door-kill-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("temporary folder");
    let address = ([127, 0, 0, 1], stack::port::free().expect("a free port")).into();
    let mut process = Process::start(&folder, address);
    let lines = lines(60_000);
    let sent = lines.clone();
    let producer = std::thread::spawn(move || {
        let settings = "enable.idempotence=true batch.num.messages=50 linger.ms=0 reconnect.backoff.ms=20 \
                        reconnect.backoff.max.ms=100 message.timeout.ms=120000";
        let settings = settings.split_whitespace().flat_map(|setting| ["-X", setting]);
        // -E: a broker that is away is no reason to give up.
        let arguments: Vec<&str> = ["-P", "-E", "-t", "killed"].into_iter().chain(settings).collect();
        kcat(address, &arguments, sent.as_bytes())
    });
    let mut kills = 0;
    while kills < 5 && !producer.is_finished() {
        std::thread::sleep(Duration::from_millis(150 + kills * 70));
        drop(process);
        kills += 1;
        process = Process::start(&folder, address);
    }
    let output = producer.join().expect("the producer's thread");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    drop(process);
    let process = Process::start(&folder, address);
    let output = kcat(address, &["-C", "-t", "killed", "-o", "beginning", "-e", "-q", "-f", "%o %s\n"], b"");
    let got: Vec<String> =
        String::from_utf8(output.stdout).expect("text").lines().map(str::to_owned).collect();
    let first_difference = got.iter().zip(want(&lines)).find(|(got, want)| *got != want);
    assert_eq!(first_difference, None, "after {kills} kills");
    assert_eq!(got.len(), 60_000, "after {kills} kills");
    eprintln!("killed {kills} times");
    drop(process);
    std::fs::remove_dir_all(&folder).expect("clean up");
}
