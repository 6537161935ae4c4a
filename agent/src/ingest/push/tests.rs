//! The door as its clients use it: bodies of every form, answers, retries, limits.

use super::*;
use crate::config::buffer::BufferConfig;
use crate::config::db::DbConfig;
use serde_json::{Value as Json, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;

const SCHEMA: &str = r#"{"type":"record","name":"Value","fields":[{"name":"id","type":"int"},{"name":"v","type":["null","double"],"default":null}]}"#;

struct Server {
    folder: PathBuf,
    address: SocketAddr,
    log: Arc<Log>,
    registry: Arc<Registry>,
    shutdown: Shutdown,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Server {
    fn new(name: &str, change: impl FnOnce(&mut PushConfig), buffer: BufferConfig) -> Server {
        let folder = std::env::temp_dir().join(format!("tidegate-push-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("temporary folder");
        let db = Db::open(&DbConfig { path: folder.join("agent.db"), ..DbConfig::default() }).expect("opens");
        let registry = Arc::new(Registry::open(&db).expect("opens"));
        let log = Arc::new(Log::open(&db, &buffer).expect("opens"));
        let mut config =
            PushConfig { listen: "127.0.0.1:0".parse().expect("valid"), ..PushConfig::default() };
        change(&mut config);
        config.check().expect("a valid configuration");
        let view =
            View { name: "spend".to_owned(), topic: "pushed".to_owned(), key: vec!["user".to_owned()] };
        let push =
            Push::new(&config, &db, Arc::clone(&log), Arc::clone(&registry), vec![view], Clock::System);
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let shutdown = Shutdown::default();
        let address = runtime.block_on(serve(push, shutdown.clone())).expect("listens");
        registry.register("typed-value", SCHEMA).map_err(|_| ()).expect("registered");
        Server { folder, address, log, registry, shutdown, runtime: Some(runtime) }
    }

    fn plain(name: &str) -> Server {
        Server::new(name, |_| (), BufferConfig::default())
    }

    /// Status, head and body.
    fn send(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, String, Json) {
        let mut socket = TcpStream::connect(self.address).expect("connects");
        let mut head = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n",
            body.len()
        );
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let sent = [head.as_bytes(), b"\r\n", body].concat();
        // A refused body may not be read to its end.
        let _ = socket.write_all(&sent);
        let mut answer = String::new();
        let _ = socket.read_to_string(&mut answer);
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
        (status, head.to_ascii_lowercase(), serde_json::from_str(body).unwrap_or(Json::Null))
    }

    fn json(&self, topic: &str, body: &Json) -> (u16, Json) {
        let (status, _, answer) =
            self.send(&format!("/topics/{topic}"), &[JSON], body.to_string().as_bytes());
        (status, answer)
    }

    /// Keys and values of a topic, without their schema ids.
    fn records(&self, topic: &str) -> Vec<crate::ingest::batch::tests::KeyAndValue> {
        let reader = rusqlite::Connection::open(self.folder.join("agent.db")).expect("opens");
        let mut found = Vec::new();
        for partition in self.log.partitions(topic) {
            for batch in self.log.read(&reader, partition, 0, usize::MAX / 2).expect("reads") {
                found.extend(crate::ingest::batch::tests::keys_and_values(&batch.records));
            }
        }
        found
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown.request();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(std::time::Duration::from_secs(5));
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

const JSON: (&str, &str) = ("Content-Type", "application/json");
const RECORDS: (&str, &str) = ("Content-Type", "application/vnd.kafka.json.v2+json");

fn declare(config: &mut PushConfig, name: &str, schema: SchemaRule, key: &[&str]) {
    let key = key.iter().map(|name| (*name).to_owned()).collect();
    config.topic.push(PushTopic { name: name.to_owned(), schema, key });
}

#[test]
fn json_is_written_by_the_registered_schema() {
    let server = Server::new(
        "typed",
        |c| declare(c, "typed", SchemaRule::Registered, &["id"]),
        BufferConfig::default(),
    );
    assert_eq!(
        server.json("typed", &json!({"id": 7})),
        (200, json!({"topic": "typed", "records": 1, "value_schema_id": 1}))
    );
    assert_eq!(server.json("typed", &json!([{"id": 8, "v": 1.5}, {"id": 9, "v": null}])).0, 200);
    let (status, _, _) = server.send(
        "/topics/typed",
        &[("Content-Type", "application/x-ndjson")],
        b"{\"id\":10}\n\n{\"id\":11}\n",
    );
    assert_eq!(status, 200);
    let records = server.records("typed");
    assert_eq!(records.len(), 5);
    // Key schema 2: the id alone; value schema 1.
    assert_eq!(records[0], (Some(vec![0, 0, 0, 0, 2, 14]), Some(vec![0, 0, 0, 0, 1, 14, 0])));
    assert_eq!(records[2].1, Some(vec![0, 0, 0, 0, 1, 18, 0]));
    for (body, status, says) in [
        (json!({"id": "x"}), 422, "record 0: value: id: expected an integer, found a text"),
        (json!([{"id": 1}, {"id": 1, "w": 2}]), 422, "record 1: value: w: is not in the schema"),
        (json!({}), 422, "id: is missing"),
        (json!([]), 400, "no record"),
    ] {
        let (got, answer) = server.json("typed", &body);
        assert_eq!(got, status, "{body}: {answer}");
        assert!(answer["message"].as_str().is_some_and(|message| message.contains(says)), "{answer}");
    }
    assert_eq!(server.records("typed").len(), 5, "a request is stored whole or not at all");
    let (status, answer) = server.json("untyped", &json!({"id": 7}));
    assert_eq!((status, &answer["error_code"]), (422, &json!(42201)), "{answer}");
}

#[test]
fn forms_and_refusals() {
    let server =
        Server::new("forms", |c| declare(c, "free.*", SchemaRule::None, &[]), BufferConfig::default());
    let records =
        json!({"records": [{"key": "k", "value": {"a": 1}}, {"value": null, "partition": 0}]}).to_string();
    let (status, head, answer) = server.send("/topics/free.a", &[RECORDS], records.as_bytes());
    assert_eq!(status, 200, "{answer}");
    assert!(head.contains("application/vnd.kafka.v2+json"), "{head}");
    let offset = |n: u32| json!({"partition": 0, "offset": n, "error_code": null, "error": null});
    assert_eq!(
        answer,
        json!({"offsets": [offset(0), offset(1)], "key_schema_id": null, "value_schema_id": null})
    );
    assert_eq!(server.records("free.a"), [(Some(b"k".to_vec()), Some(b"{\"a\":1}".to_vec())), (None, None)]);
    let avro = json!({"value_schema": SCHEMA.replace("Value", "Other"), "records": [{"value": {"id": 1, "v": {"double": 2}}}]}).to_string();
    let kind = ("Content-Type", "application/vnd.kafka.avro.v2+json");
    let (status, _, answer) = server.send("/topics/avro", &[kind], avro.as_bytes());
    assert_eq!((status, &answer["value_schema_id"]), (200, &json!(2)), "{answer}");
    assert_eq!(
        server.registry.versions("avro-value", crate::registry::Which::Live).map_err(|_| ()),
        Ok(vec![1])
    );
    let binary = json!({"records": [{"key": "aw==", "value": "AAAAAAEC"}]}).to_string();
    let kind = ("Content-Type", "application/vnd.kafka.binary.v2+json");
    assert_eq!(server.send("/topics/typed", &[kind], binary.as_bytes()).0, 200);
    let raw = ("Content-Type", "application/vnd.confluent.avro");
    for (path, headers, body, want) in [
        ("/topics/typed?key=x", [raw], &[0u8, 0, 0, 0, 1, 2, 0][..], 200),
        ("/topics/typed", [raw], &[0, 0, 0, 0, 77, 2, 0], 422),
        ("/topics/typed", [raw], b"plain", 422),
        ("/topics/free.b", [raw], b"plain", 200),
        ("/topics/free.b", [("Content-Type", "text/plain")], b"x", 415),
        ("/topics/free.b", [("Content-Encoding", "br")], b"x", 415),
        ("/topics/free.b", [JSON], b"{", 400),
        ("/topics/free.b", [JSON], b"\xff", 400),
        ("/topics/bad%2Fname", [raw], &[0, 0, 0, 0, 1, 2, 0], 422),
        ("/topics/free.b", [RECORDS], br#"{"records":[{"value":1,"partition":9}]}"#, 404),
        ("/topics/free.b", [RECORDS], br#"{"records":[{"value":1,"partition":-1}]}"#, 404),
    ] {
        let (status, _, answer) = server.send(path, &headers, body);
        assert_eq!(status, want, "{path} {answer}");
    }
}

#[test]
fn packed_bodies_have_a_limit() {
    let server = Server::new(
        "packed",
        |c| {
            declare(c, "free", SchemaRule::None, &[]);
            c.max_body_bytes = 100_000;
            c.unpacked_bytes = 200_000;
            c.memory_bytes = 200_000;
            c.max_records = 10;
        },
        BufferConfig::default(),
    );
    let gzip = |plain: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(plain).and_then(|()| encoder.finish()).expect("in memory")
    };
    let zstd = |plain: &[u8]| zstd::stream::encode_all(plain, 1).expect("in memory");
    let large = format!("\"{}\"", "x".repeat(190_000)).into_bytes();
    let bomb = vec![b' '; 10_000_000];
    let many = format!("[{}1]", "1,".repeat(10));
    for (encoding, body, want) in [
        ("identity", b"{}".to_vec(), 200),
        ("gzip", gzip(b"{}"), 200),
        ("zstd", zstd(&large), 200),
        ("gzip", gzip(&bomb), 413),
        ("zstd", zstd(&bomb), 413),
        ("zstd", b"no".to_vec(), 400),
        ("identity", vec![b' '; 100_001], 413),
        ("identity", many.into_bytes(), 413),
    ] {
        let (status, _, answer) = server.send("/topics/free", &[JSON, ("Content-Encoding", encoding)], &body);
        assert_eq!(status, want, "{encoding} {answer}");
    }
}

#[test]
fn a_retry_is_told_what_the_first_was_told() {
    let server = Server::plain("once");
    let key = ("Idempotency-Key", "one");
    let body = json!({"records": [{"value": {"id": 1}}]}).to_string();
    let (status, head, first) = server.send("/topics/typed", &[RECORDS, key], body.as_bytes());
    assert_eq!((status, head.contains("idempotent-replayed")), (200, false), "{first}");
    let (status, head, again) = server.send("/topics/typed", &[RECORDS, key], body.as_bytes());
    assert_eq!((status, head.contains("idempotent-replayed: true")), (200, true));
    assert_eq!(again, first);
    assert_eq!(server.records("typed").len(), 1);
    let other = body.replace('1', "2");
    assert_eq!(server.send("/topics/typed", &[RECORDS, key], other.as_bytes()).0, 422);
    assert_eq!(server.send("/topics/typed", &[RECORDS, ("Idempotency-Key", "two")], other.as_bytes()).0, 200);
    assert_eq!(server.send("/topics/typed", &[RECORDS, ("Idempotency-Key", "")], other.as_bytes()).0, 400);
    // What was refused is not remembered.
    let bad = body.replace('1', "true");
    assert_eq!(server.send("/topics/typed", &[RECORDS, ("Idempotency-Key", "three")], bad.as_bytes()).0, 422);
    assert_eq!(
        server.send("/topics/typed", &[RECORDS, ("Idempotency-Key", "three")], body.as_bytes()).0,
        200
    );
    assert_eq!(server.records("typed").len(), 3);
}

#[test]
fn many_retries_at_once_store_one() {
    let server = Server::plain("race");
    let body = json!({"id": 5}).to_string();
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let send = || server.send("/topics/typed", &[JSON, ("Idempotency-Key", "same")], body.as_bytes()).0;
        let threads: Vec<_> = (0..16).map(|_| scope.spawn(send)).collect();
        threads.into_iter().map(|thread| thread.join().expect("runs")).collect()
    });
    assert!(
        statuses.contains(&200) && statuses.iter().all(|status| matches!(status, 200 | 409)),
        "{statuses:?}"
    );
    assert_eq!(server.records("typed").len(), 1);
}

#[test]
fn a_full_log_says_when_to_come_back() {
    let buffer = BufferConfig { max_bytes: 1 << 20, ..BufferConfig::default() };
    let server = Server::new("full", |c| declare(c, "free", SchemaRule::None, &[]), buffer);
    let mut seed = 1u64;
    let mut letter = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(35 + (seed >> 33) as u8 % 56)
    };
    let noise: String = (0..300_000).map(|_| letter()).collect();
    let body = json!(noise).to_string();
    let mut statuses = Vec::new();
    for _ in 0..10 {
        let (status, head, _) = server.send("/topics/free", &[JSON], body.as_bytes());
        statuses.push(status);
        assert_eq!(status == 503, head.contains("retry-after: "), "{head}");
    }
    assert_eq!((statuses[0], statuses[9]), (200, 503), "{statuses:?}");
}

#[test]
fn feast_pushes_rows() {
    let server = Server::new(
        "feast",
        |c| drop(c.feast.insert("txn_push".to_owned(), "pushed".to_owned())),
        BufferConfig::default(),
    );
    let df = |v: Json| json!({"user": [1, 2], "v": v, "event_timestamp": ["2026-01-02T03:04:05.678901", "2026-01-02T03:04:06"]});
    let push = |name: &str, value: &str, df: Json, to: &str| {
        let path = if name == "push_source_name" { "/push" } else { "/write-to-online-store" };
        let body = json!({name: value, "df": df, "to": to, "allow_registry_cache": true, "transform_on_write": true});
        server.send(path, &[JSON], body.to_string().as_bytes())
    };
    assert_eq!(push("push_source_name", "txn_push", df(json!([3, 4])), "online").0, 200);
    // A fraction where integers were: the column becomes a double.
    assert_eq!(push("feature_view_name", "spend", df(json!([3.5, null])), "online_and_offline").0, 200);
    assert_eq!(
        server.registry.versions("pushed-value", crate::registry::Which::Live).map_err(|_| ()),
        Ok(vec![1, 2])
    );
    let records = server.records("pushed");
    assert_eq!(records.len(), 4);
    assert!(
        records.iter().all(|(key, value)| key.as_ref().is_some_and(|key| key.len() == 6) && value.is_some())
    );
    assert_eq!(records[0].0, records[2].0, "the entity is the key");
    for (name, value, df, to, want) in [
        ("push_source_name", "nobody", df(json!([1, 2])), "online", 422),
        ("feature_view_name", "nobody", df(json!([1, 2])), "online", 404),
        ("push_source_name", "txn_push", df(json!([1, 2])), "sideways", 422),
        ("push_source_name", "txn_push", df(json!([1])), "online", 400),
        ("push_source_name", "txn_push", json!({}), "online", 413),
        ("feature_view_name", "spend", df(json!(["x", "y"])), "online", 422),
    ] {
        assert_eq!(push(name, value, df, to).0, want, "{value} {to}");
    }
    assert_eq!(server.records("pushed").len(), 4);
}
