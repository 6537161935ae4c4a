//! The program as operators run it: Debezium's records in through the Kafka door, features out by HTTP
//! and in Redis; kill -9 in between; SIGTERM at the end.
//!
//! Without kcat or redis-server on the machine the test is skipped, and says so; with
//! `TIDEGATE_REQUIRE_SERVERS` set, as in CI, that is a failure.

use serde_json::{Value as Json, json};
use shared::avro::wire::put_long;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const TOPIC: &str = "shop.public.payments";
const KEY_SCHEMA: &str = r#"{"type":"record","name":"Key","namespace":"shop.public.payments","fields":[{"name":"id","type":"int"}],"connect.name":"shop.public.payments.Key"}"#;
const VALUE_SCHEMA: &str = r#"{"type":"record","name":"Envelope","namespace":"shop.public.payments","fields":[
    {"name":"before","type":["null",{"type":"record","name":"Value","fields":[
        {"name":"id","type":"int"},{"name":"user_id","type":["null","int"],"default":null},
        {"name":"amount","type":["null",{"type":"bytes","scale":2,"precision":12,"connect.version":1,"connect.parameters":{"scale":"2","connect.decimal.precision":"12"},"connect.name":"org.apache.kafka.connect.data.Decimal","logicalType":"decimal"}],"default":null},
        {"name":"status","type":"string"},
        {"name":"created_at","type":{"type":"long","connect.version":1,"connect.name":"io.debezium.time.MicroTimestamp"}}
    ],"connect.name":"shop.public.payments.Value"}],"default":null},
    {"name":"after","type":["null","Value"],"default":null},
    {"name":"source","type":{"type":"record","name":"Source","namespace":"io.debezium.connector.postgresql","fields":[{"name":"ts_ms","type":"long"}]}},
    {"name":"op","type":"string"}],"connect.name":"shop.public.payments.Envelope"}"#;

/// User, cents, status, time of creation.
type After<'a> = (i64, Option<i64>, &'a str, i64);

fn available() -> bool {
    let all = ["kcat", "redis-server", "redis-cli"].iter().all(|program| {
        Command::new(program).arg("--version").output().is_ok()
            || Path::new("/usr/bin").join(program).exists()
    });
    if !all {
        assert!(std::env::var_os("TIDEGATE_REQUIRE_SERVERS").is_none(), "kcat and redis-server are required");
        eprintln!("SKIPPED: kcat or redis-server is missing; the program was not tried");
    }
    all
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct World {
    folder: PathBuf,
    admin: u16,
    door: u16,
    registry: u16,
    features: u16,
    redis_port: u16,
    redis: Option<Killed>,
    agent: Option<Killed>,
    ids: (u32, u32),
}

impl World {
    /// `more` stands at the end of the configuration.
    fn new(name: &str, more: &str) -> World {
        let folder = std::env::temp_dir().join(format!("tidegate-program-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        let [admin, door, registry, features, redis_port] =
            [(); 5].map(|()| stack::port::free().expect("a free port"));
        let world = World {
            folder,
            admin,
            door,
            registry,
            features,
            redis_port,
            redis: None,
            agent: None,
            ids: (0, 0),
        };
        let config = format!(
            "[log]\nlevel = \"info\"\n[admin]\nlisten = \"127.0.0.1:{admin}\"\n
             [db]\npath = \"{}\"\n[door]\nlisten = \"127.0.0.1:{door}\"\n
             [registry]\nlisten = \"127.0.0.1:{registry}\"\n
             [features]\nlisten = \"127.0.0.1:{features}\"\ntick = \"50ms\"\n
             [sync.central]\nkind = \"redis\"\nurl = \"redis://127.0.0.1:{redis_port}\"\nproject = \"edge\"\nkey_ttl = \"1h\"\n
             retry_ceiling = \"200ms\"\n
             [[gate]]\ntopic = \"{TOPIC}\"\ncolumn = \"amount\"\nrule = \"not_null\"\n
             [[feature_view]]\nname = \"spend\"\ntopic = \"{TOPIC}\"\nentity = [\"user_id\"]\n
             time = \"created_at\"\nwhere = \"status = 'settled'\"\nfeature = [\n
             {{ name = \"n\", aggregate = \"count\", window = \"10m\" }},\n
             {{ name = \"avg\", aggregate = \"avg\", of = \"amount\", window = \"10m\" }},\n
             {{ name = \"brief\", aggregate = \"count\", window = \"3s\" }} ]\n{more}\n",
            world.folder.join("agent.db").display()
        );
        std::fs::write(world.config(), config).expect("written");
        world
    }

    fn config(&self) -> PathBuf {
        self.folder.join("agent.toml")
    }

    fn program(&self, command: &str) -> Command {
        let mut program = Command::new(env!("CARGO_BIN_EXE_tidegate-agent"));
        program.args([command, "-c"]).arg(self.config());
        program
    }

    fn start_agent(&mut self) {
        self.spawn_agent();
        self.eventually("the agent is ready", |world| {
            http(world.admin, "GET", "/readyz", "").is_some_and(|(status, _)| status == 200)
        });
    }

    fn spawn_agent(&mut self) {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.folder.join("log"));
        let child = self.program("run").stderr(log.expect("a log")).spawn().expect("the agent starts");
        self.agent = Some(Killed(child));
    }

    /// Starts again with another length for all windows.
    fn change_windows(&mut self, from: &str, to: &str) {
        self.kill_agent();
        let text = std::fs::read_to_string(self.config()).expect("it was written");
        let changed = text.replace(&format!("window = \"{from}\""), &format!("window = \"{to}\""));
        assert_ne!(changed, text);
        std::fs::write(self.config(), changed).expect("written");
        self.spawn_agent();
    }

    fn kill_agent(&mut self) {
        self.agent = None;
    }

    fn start_redis(&mut self) {
        let port = self.redis_port.to_string();
        let child = Command::new("redis-server")
            .args(["--port", &port, "--save", "", "--appendonly", "no", "--bind", "127.0.0.1"])
            .stdout(Stdio::null())
            .spawn();
        self.redis = Some(Killed(child.expect("redis starts")));
    }

    fn register(&mut self) {
        let id = |subject: &str, schema: &str| {
            let body = json!({"schema": schema}).to_string();
            let path = format!("/subjects/{TOPIC}-{subject}/versions");
            let (status, answer) = http(self.registry, "POST", &path, &body).expect("the registry answers");
            assert_eq!(status, 200, "{answer}");
            serde_json::from_str::<Json>(&answer).expect("JSON")["id"].as_u64().expect("an id") as u32
        };
        self.ids = (id("key", KEY_SCHEMA), id("value", VALUE_SCHEMA));
    }

    /// Sends records, each `(op, id, (user, cents, status, created_us))`.
    fn send(&self, records: &[(&str, i64, Option<After<'_>>)]) {
        const KEY: &str = "~~key~~";
        const END: &str = "~~end~~";
        let mut input = Vec::new();
        for (op, id, after) in records {
            input.extend(prefix(self.ids.0));
            put_long(&mut input, *id);
            input.extend_from_slice(KEY.as_bytes());
            input.extend(prefix(self.ids.1));
            input.extend(envelope(op, *id, after));
            input.extend_from_slice(END.as_bytes());
        }
        let broker = format!("127.0.0.1:{}", self.door);
        let mut kcat = Command::new("kcat")
            .args(["-P", "-b", &broker, "-t", TOPIC, "-K", KEY, "-D", END, "-z", "lz4"])
            .args(["-X", "enable.idempotence=true"])
            .stdin(Stdio::piped())
            .spawn()
            .expect("kcat starts");
        kcat.stdin.take().expect("a pipe").write_all(&input).expect("kcat reads");
        assert!(kcat.wait().expect("kcat ends").success());
    }

    fn features(&self, user: i64) -> Vec<Json> {
        let body =
            json!({"features": ["spend:n", "spend:avg", "spend:brief"], "entities": {"user_id": [user]}});
        let answer = http(self.features, "POST", "/get-online-features", &body.to_string());
        let Some((200, answer)) = answer else { return Vec::new() };
        let answer: Json = serde_json::from_str(&answer).expect("JSON");
        (1..4).map(|at| answer["results"][at]["values"][0].clone()).collect()
    }

    /// A hash's fields in hex, by field.
    fn in_redis(&self, user: i64) -> Vec<String> {
        let keys = [("user_id", agent::sync::feast::JoinValue::Int64(user))];
        let key = agent::sync::feast::redis_key(&keys, "edge");
        let field = |name: &str| agent::sync::feast::field("spend", name).to_vec();
        let Some(mut stream) = TcpStream::connect(("127.0.0.1", self.redis_port)).ok() else {
            return Vec::new();
        };
        let arguments = [b"HMGET".to_vec(), key, field("n"), field("avg"), field("brief")];
        let mut request = format!("*{}\r\n", arguments.len()).into_bytes();
        for argument in &arguments {
            request.extend(format!("${}\r\n", argument.len()).bytes());
            request.extend_from_slice(argument);
            request.extend_from_slice(b"\r\n");
        }
        stream.write_all(&request).expect("redis reads");
        stream.set_read_timeout(Some(Duration::from_millis(300))).expect("set");
        let mut answer = Vec::new();
        let mut chunk = [0; 512];
        let read = stream.read(&mut chunk).unwrap_or(0);
        answer.extend_from_slice(chunk.get(..read).unwrap_or_default());
        answer.split(|b| *b == b'\n').skip(2).step_by(2).take(3).map(hex).collect()
    }

    fn eventually(&self, what: &str, holds: impl Fn(&World) -> bool) {
        let end = Instant::now() + Duration::from_secs(20);
        while !holds(self) {
            if Instant::now() > end {
                let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
                let status = http(self.admin, "GET", "/status", "");
                panic!("not in time: {what}\nstatus: {status:?}\nlog:\n{log}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.agent = None;
        self.redis = None;
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn hex(bytes: &[u8]) -> String {
    let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn prefix(id: u32) -> [u8; 5] {
    shared::avro::wire::prefix(shared::avro::wire::SchemaId(id))
}

fn envelope(op: &str, id: i64, after: &Option<After<'_>>) -> Vec<u8> {
    let mut out = vec![0];
    let block = |out: &mut Vec<u8>, bytes: &[u8]| {
        put_long(out, bytes.len() as i64);
        out.extend_from_slice(bytes);
    };
    match after {
        None => out.push(0),
        Some((user, cents, status, created_us)) => {
            out.push(2);
            put_long(&mut out, id);
            out.push(2);
            put_long(&mut out, *user);
            match cents {
                None => out.push(0),
                Some(cents) => {
                    out.push(2);
                    block(&mut out, &cents.to_be_bytes());
                }
            }
            block(&mut out, status.as_bytes());
            put_long(&mut out, *created_us);
        }
    }
    put_long(&mut out, now_us() / 1000);
    block(&mut out, op.as_bytes());
    out
}

fn now_us() -> i64 {
    shared::time::Clock::System.now().micros()
}

/// Status and body; `None` if nobody answers.
fn http(port: u16, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

#[test]
fn from_record_to_redis_over_outages_and_kills() {
    if !available() {
        return;
    }
    let mut world = World::new("outages", "");
    let checked = world.program("check").output().expect("check runs");
    assert_eq!(checked.status.code(), Some(1), "Redis is down: {}", String::from_utf8_lossy(&checked.stdout));
    world.start_agent();
    world.register();
    let now = now_us();
    world.send(&[
        ("r", 1, Some((7, Some(1000), "settled", now))),
        ("c", 2, Some((7, Some(500), "settled", now - 60_000_000))),
        ("c", 3, Some((7, Some(99), "open", now))),
        ("c", 4, Some((8, None, "settled", now))),
    ]);
    world.eventually("features of user 7", |w| w.features(7) == [json!(2), json!(7.5), json!(1)]);
    assert_eq!(world.features(8), [json!(null), json!(null), json!(null)], "quarantined");
    // The window of three seconds moves past the row, though nothing happens.
    world.eventually("the row left the brief window", |w| w.features(7) == [json!(2), json!(7.5), json!(0)]);

    world.start_redis();
    let avg = "290000000000001e40";
    world.eventually("user 7 in Redis", |w| w.in_redis(7) == ["2002", avg, "2000"]);

    // Beside the running agent: a definition that does not fit the schema that has come.
    let checked = |world: &World| {
        let output = world.program("check").output().expect("check runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(checked(&world).contains("1 of 1 are over topics whose schema is known"), "{}", checked(&world));
    let sound = std::fs::read_to_string(world.config()).expect("it was written");
    std::fs::write(world.config(), sound.replace("of = \"amount\"", "of = \"amuont\"")).expect("written");
    let said = checked(&world);
    assert!(said.contains("unknown column `amuont`") && said.contains("did you mean `amount`?"), "{said}");
    std::fs::write(world.config(), sound).expect("written");

    // Killed in the middle, the program goes on where its last transaction ended.
    for round in 0..3 {
        let user = 10 + round;
        let records: Vec<_> = (0..200)
            .map(|n| ("c", 1000 * (round + 1) + n, Some((user, Some(100 + n), "settled", now))))
            .collect();
        world.send(&records);
        world.kill_agent();
        world.start_agent();
        world.eventually("every record counted once", |w| {
            w.features(user).first() == Some(&json!(200)) && w.features(user).get(1) == Some(&json!(1.995))
        });
    }
    world.send(&[("u", 1, Some((9, Some(1000), "settled", now))), ("d", 2, None)]);
    world.eventually("user 7 has no rows left", |w| w.features(7) == [json!(0), json!(null), json!(0)]);
    world.eventually("nor in Redis", |w| w.in_redis(7) == ["2000", "", "2000"]);
    world.eventually("the outbox is empty", |w| status(w)["sync"][0]["waiting"] == json!(0));
    let document = status(&world);
    assert_eq!(document["quarantined"]["not_null"], json!(1), "{document}");
    assert_eq!(document["topics"][0]["partitions"][0]["lag"], json!(0), "{document}");
    let printed = world.program("status").output().expect("status runs");
    assert!(String::from_utf8_lossy(&printed.stdout).contains("user") || printed.status.success());

    let agent = world.agent.as_mut().expect("it runs");
    let asked = Instant::now();
    let terminated = Command::new("kill").args(["-TERM", &agent.0.id().to_string()]).status();
    assert!(terminated.expect("kill runs").success());
    assert_eq!(agent.0.wait().expect("it ends").code(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
}

/// Nothing is refused for ever when everything is processed; and what a view needs and the log has
/// no more is said, not guessed.
#[test]
fn a_small_log_goes_on_for_ever_and_says_what_it_cannot_rebuild() {
    if !available() {
        return;
    }
    let mut world = World::new("small", "[buffer]\nmax_bytes = 1048576\nreserve_free_bytes = 0\n");
    world.start_agent();
    world.register();
    let now = now_us();
    let mut noise = 7u64;
    for round in 0..16 {
        let texts: Vec<String> = (0..200)
            .map(|_| {
                let mut word = || {
                    noise =
                        noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    format!("{noise:016x}")
                };
                (0..50).map(|_| word()).collect()
            })
            .collect();
        let mut records: Vec<(&str, i64, Option<After<'_>>)> = (0i64..)
            .zip(&texts)
            .map(|(n, text)| ("c", round * 1000 + n, Some((6, Some(1), text.as_str(), now))))
            .collect();
        records.push(("c", round * 1000 + 999, Some((7, Some(100), "settled", now))));
        world.send(&records);
    }
    world.eventually("every record counted", |w| w.features(7).first() == Some(&json!(16)));
    let document = status(&world);
    assert!(document["buffer"]["used_bytes"].as_u64().is_some_and(|bytes| bytes <= 1_048_576), "{document}");
    assert!(document["topics"][0]["partitions"][0]["start"].as_i64().is_some_and(|n| n > 0), "{document}");

    world.change_windows("10m", "20m");
    world.eventually("it says what it lacks", |w| {
        http(w.admin, "GET", "/readyz", "")
            .is_some_and(|(status, body)| status == 503 && body.contains("lacks rows"))
    });
    let document = status(&world);
    assert!(document["feature_views"][0]["lacks_rows_until_ms"].is_u64(), "{document}");
    assert_eq!(world.features(7), [json!(null), json!(null), json!(null)], "no wrong value is given out");

    // Kept over a restart; and a view whose windows the log covers is complete.
    world.kill_agent();
    world.spawn_agent();
    world.eventually("it still says so", |w| {
        http(w.admin, "GET", "/readyz", "").is_some_and(|(_, body)| body.contains("lacks rows"))
    });
    world.change_windows("20m", "1s");
    world.eventually("it is ready", |w| http(w.admin, "GET", "/readyz", "").is_some_and(|(s, _)| s == 200));
    world.send(&[("c", 1, Some((9, Some(100), "settled", now_us() + 60_000_000)))]);
    world.eventually("features flow", |w| w.features(9).first() == Some(&json!(1)));
}

fn status(world: &World) -> Json {
    let (_, body) = http(world.admin, "GET", "/status", "").expect("the agent answers");
    serde_json::from_str(&body).expect("JSON")
}

#[test]
fn usage_and_configuration_exit_with_two() {
    let run = |arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_tidegate-agent")).args(arguments).output().expect("it runs")
    };
    assert_eq!(run(&["frobnicate"]).status.code(), Some(2));
    let missing = run(&["run", "-c", "/no/such/agent.toml"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("/no/such/agent.toml"));
    assert_eq!(run(&["--version"]).status.code(), Some(0));
    assert_eq!(run(&["status", "-c", "/no/such/agent.toml"]).status.code(), Some(2));
}
