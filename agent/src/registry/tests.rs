//! The registry through its REST API, as a client uses it.

use super::*;
use crate::config::db::DbConfig;
use crate::config::registry::RegistryConfig;
use serde_json::{Value, json};
use shared::shutdown::Shutdown;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;

struct Server {
    folder: PathBuf,
    address: SocketAddr,
    shutdown: Shutdown,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Server {
    fn new(name: &str) -> Server {
        let folder = std::env::temp_dir().join(format!("tidegate-registry-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("temporary folder");
        Server::start(folder)
    }

    fn start(folder: PathBuf) -> Server {
        let db = Db::open(&DbConfig { path: folder.join("agent.db"), ..DbConfig::default() }).expect("opens");
        let registry = Arc::new(Registry::open(&db).expect("opens"));
        drop(db);
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let config = RegistryConfig {
            listen: "127.0.0.1:0".parse().expect("an address"),
            ..RegistryConfig::default()
        };
        let shutdown = Shutdown::default();
        let address = runtime.block_on(serve(&config, registry, shutdown.clone())).expect("listens");
        Server { folder, address, shutdown, runtime: Some(runtime) }
    }

    fn restart(mut self) -> Server {
        let folder = std::mem::take(&mut self.folder);
        drop(self);
        Server::start(folder)
    }

    /// Sends a request and gives status and body.
    fn call(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let mut socket = TcpStream::connect(self.address).expect("connects");
        write!(
            socket,
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .expect("sends");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).expect("receives");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        assert!(head.contains("application/vnd.schemaregistry.v1+json"), "{head}");
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
        (status, body.to_owned())
    }

    fn json(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (status, text) = self.call(method, path, &body);
        (status, serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {text}")))
    }

    fn register(&self, subject: &str, schema: &str) -> Value {
        let path = format!("/subjects/{subject}/versions");
        let (status, answer) = self.json("POST", &path, json!({ "schema": schema }));
        assert_eq!(status, 200, "{answer}");
        answer["id"].clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown.request();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(std::time::Duration::from_secs(5));
        }
        if !self.folder.as_os_str().is_empty() {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

fn record(fields: &str) -> String {
    format!(r#"{{"type":"record","name":"Value","namespace":"shop.public.orders","fields":[{fields}]}}"#)
}

const ID: &str = r#"{"name":"id","type":{"type":"int","connect.default":0},"default":0}"#;

/// As Debezium registers it: annotated primitives, a reference to a record defined above, a JSON
/// column whose default is an empty object in a text.
const ENVELOPE: &str = r#"{"type":"record","name":"Envelope","namespace":"shop.public.orders","fields":[{"name":"before","type":["null",{"type":"record","name":"Value","fields":[{"name":"id","type":"int"},{"name":"doc","type":[{"type":"string","connect.version":1,"connect.default":"{}","connect.name":"io.debezium.data.Json"},"null"],"default":"{}"},{"name":"at","type":{"type":"long","connect.version":1,"connect.name":"io.debezium.time.MicroTimestamp"}}],"connect.name":"shop.public.orders.Value"}],"default":null},{"name":"after","type":["null","Value"],"default":null},{"name":"op","type":"string"}],"connect.version":2,"connect.name":"shop.public.orders.Envelope"}"#;

#[test]
fn registers_as_confluent_does() {
    let server = Server::new("register");
    let one = record(ID);
    assert_eq!(server.register("a-value", &one), 1);
    assert_eq!(server.register("a-value", &one), 1);
    assert_eq!(server.register("b-value", &one), 1, "the same text has the same id everywhere");
    assert_eq!(server.register("b-key", "\"string\""), 2);
}

#[test]
fn answers_and_errors() {
    let server = Server::new("answers");
    assert_eq!(server.register("orders-value", ENVELOPE), 1);
    assert_eq!(server.register("a%2Fb%20c-value", "\"string\""), 2);
    let whole = json!({ "subject": "orders-value", "version": 1, "id": 1, "schema": ENVELOPE });
    let sent = json!({ "schema": ENVELOPE });
    let cases = [
        ("GET", "/", Value::Null, 200, json!({})),
        ("GET", "/subjects", Value::Null, 200, json!(["a/b c-value", "orders-value"])),
        ("GET", "/subjects/orders-value/versions", Value::Null, 200, json!([1])),
        ("GET", "/subjects/orders-value/versions/1", Value::Null, 200, whole.clone()),
        ("GET", "/subjects/orders-value/versions/latest", Value::Null, 200, whole.clone()),
        ("POST", "/subjects/orders-value?deleted=false", sent.clone(), 200, whole),
        ("GET", "/schemas/ids/1", Value::Null, 200, sent.clone()),
        ("GET", "/schemas/ids/1?fetchMaxId=false&subject=", Value::Null, 200, sent.clone()),
        ("GET", "/schemas/ids/1/subjects", Value::Null, 200, json!(["orders-value"])),
        (
            "GET",
            "/schemas/ids/1/versions",
            Value::Null,
            200,
            json!([{"subject": "orders-value", "version": 1}]),
        ),
        ("GET", "/schemas/types", Value::Null, 200, json!(["AVRO"])),
        ("GET", "/mode", Value::Null, 200, json!({"mode": "READWRITE"})),
        ("GET", "/config", Value::Null, 200, json!({"compatibilityLevel": "BACKWARD"})),
        ("GET", "/config/orders-value", Value::Null, 404, json!(40408)),
        (
            "GET",
            "/config/x?defaultToGlobal=true",
            Value::Null,
            200,
            json!({"compatibilityLevel": "BACKWARD"}),
        ),
        ("PUT", "/config/x", json!({"compatibility": "none"}), 200, json!({"compatibility": "NONE"})),
        ("GET", "/config/x", Value::Null, 200, json!({"compatibilityLevel": "NONE"})),
        ("PUT", "/config", json!({"compatibility": "SIDEWAYS"}), 422, json!(42203)),
        ("GET", "/subjects/no/versions", Value::Null, 404, json!(40401)),
        ("GET", "/subjects/no/versions/1", Value::Null, 404, json!(40401)),
        ("GET", "/subjects/orders-value/versions/2", Value::Null, 404, json!(40402)),
        ("GET", "/subjects/orders-value/versions/x", Value::Null, 422, json!(42202)),
        ("GET", "/schemas/ids/99", Value::Null, 404, json!(40403)),
        ("POST", "/subjects/no", sent.clone(), 404, json!(40401)),
        ("POST", "/subjects/orders-value", json!({"schema": "\"int\""}), 404, json!(40403)),
        ("POST", "/subjects/n/versions", json!({"schema": "{"}), 422, json!(42201)),
        ("POST", "/subjects/n/versions", json!({"schema": "\"nope\""}), 422, json!(42201)),
        ("POST", "/subjects/n/versions", json!({}), 422, json!(42201)),
        ("POST", "/subjects/n/versions", json!({"schema": "{}", "schemaType": "JSON"}), 422, json!(42201)),
        ("PATCH", "/subjects/orders-value", Value::Null, 405, json!(405)),
        ("GET", "/nowhere", Value::Null, 404, json!(404)),
    ];
    for (method, path, body, status, want) in cases {
        let (got_status, got) = server.json(method, path, body);
        let got = if status == 200 { got } else { got["error_code"].clone() };
        assert_eq!((got_status, got), (status, want), "{method} {path}");
    }
    let text = server.call("GET", "/subjects/orders-value/versions/1/schema", "");
    assert_eq!(text, (200, ENVELOPE.to_owned()), "byte for byte");
    assert_eq!(server.call("GET", "/schemas/ids/1/schema", ""), (200, ENVELOPE.to_owned()));
}

#[test]
fn compatibility_is_held_against_the_newest() {
    let server = Server::new("compatible");
    let next = r#"{"name":"n","type":["null","string"],"default":null}"#;
    let (one, two) = (record(ID), record(&format!("{ID},{next}")));
    let strict = record(&format!(r#"{ID},{{"name":"must","type":"int"}}"#));
    server.register("s", &one);
    assert_eq!(server.register("s", &two), 2);
    let (status, answer) = server.json("POST", "/subjects/s/versions", json!({ "schema": strict }));
    assert_eq!((status, &answer["error_code"]), (409, &json!(409)), "{answer}");
    assert!(
        answer["message"].as_str().is_some_and(|m| m.contains("must") && m.contains("\"s\"")),
        "{answer}"
    );
    for (path, want) in [
        ("/compatibility/subjects/s/versions/latest", false),
        ("/compatibility/subjects/s/versions/1", false),
        ("/compatibility/subjects/s/versions", false),
        ("/compatibility/subjects/free/versions", true),
        ("/compatibility/subjects/free/versions/latest", true),
    ] {
        let (status, answer) = server.json("POST", path, json!({ "schema": strict }));
        assert_eq!((status, answer), (200, json!({ "is_compatible": want })), "{path}");
    }
    server.json("PUT", "/config/s", json!({ "compatibility": "NONE" }));
    assert_eq!(server.register("s", &strict), 3);
}

/// A conversation: each line is a request, and what Confluent's registry answers to it.
fn converse(server: &Server, lines: &[(&str, &str, Value, u16, Value)]) {
    for (method, path, body, status, want) in lines {
        let (got_status, got) = server.json(method, path, body.clone());
        let got = if *status == 200 { got } else { got["error_code"].clone() };
        assert_eq!((got_status, &got), (*status, want), "{method} {path}");
    }
}

#[test]
fn deleting_is_soft_first() {
    let server = Server::new("delete");
    let next = r#"{"name":"n","type":["null","string"],"default":null}"#;
    let (one, two) = (record(ID), record(&format!("{ID},{next}")));
    server.register("s", &one);
    server.register("s", &two);
    server.register("t", &one);
    let none = || Value::Null;
    converse(
        &server,
        &[
            ("PUT", "/config/s", json!({"compatibility": "FULL"}), 200, json!({"compatibility": "FULL"})),
            ("DELETE", "/subjects/no", none(), 404, json!(40401)),
            ("DELETE", "/subjects/s?permanent=true", none(), 404, json!(40405)),
            ("DELETE", "/subjects/s/versions/1?permanent=true", none(), 404, json!(40407)),
            ("DELETE", "/subjects/s/versions/9", none(), 404, json!(40402)),
            ("DELETE", "/subjects/s/versions/latest", none(), 200, json!(2)),
            ("DELETE", "/subjects/s/versions/2", none(), 404, json!(40406)),
            ("GET", "/subjects/s/versions", none(), 200, json!([1])),
            ("GET", "/subjects/s/versions?deleted=true", none(), 200, json!([1, 2])),
            ("GET", "/subjects/s/versions?deletedOnly=true", none(), 200, json!([2])),
            ("GET", "/subjects/s/versions/2", none(), 404, json!(40402)),
            ("GET", "/subjects/s/versions/2/schema?deleted=true", none(), 200, two_value(&two)),
            ("GET", "/schemas/ids/2/schema", none(), 200, two_value(&two)),
            ("GET", "/schemas/ids/2/versions", none(), 200, json!([])),
            ("POST", "/subjects/s", json!({"schema": two}), 404, json!(40403)),
            // Registered again, it is a new version with the old id.
            ("POST", "/subjects/s/versions", json!({"schema": two}), 200, json!({"id": 2})),
            ("GET", "/subjects/s/versions", none(), 200, json!([1, 3])),
            ("DELETE", "/subjects/s", none(), 200, json!([1, 3])),
            ("DELETE", "/subjects/s", none(), 404, json!(40404)),
            ("GET", "/subjects", none(), 200, json!(["t"])),
            ("GET", "/subjects?deleted=true", none(), 200, json!(["s", "t"])),
            ("GET", "/subjects?deletedOnly=true", none(), 200, json!(["s"])),
            ("GET", "/subjects?deleted=true&subjectPrefix=t", none(), 200, json!(["t"])),
            ("GET", "/subjects?deleted=true&offset=1&limit=1", none(), 200, json!(["t"])),
            // What was set for it went with it.
            ("GET", "/config/s", none(), 404, json!(40408)),
            ("DELETE", "/subjects/s?permanent=true", none(), 200, json!([1, 2, 3])),
            ("DELETE", "/subjects/s?permanent=true", none(), 404, json!(40401)),
            ("GET", "/schemas/ids/2", none(), 404, json!(40403)),
            ("GET", "/schemas/ids/1?fetchMaxId=true", none(), 200, json!({"schema": one, "maxId": 2})),
            ("POST", "/subjects/s/versions", json!({"schema": one}), 200, json!({"id": 1})),
            ("GET", "/subjects/s/versions", none(), 200, json!([1])),
        ],
    );
}

fn two_value(text: &str) -> Value {
    serde_json::from_str(text).expect("a schema is JSON")
}

#[test]
fn types_of_other_subjects_are_used_and_protected() {
    let server = Server::new("reference");
    let point = r#"{"type":"record","name":"Point","namespace":"geo","fields":[{"name":"x","type":"int"}]}"#;
    let wide = point.replace("\"int\"", "\"long\"");
    let line = r#"{"type":"record","name":"Line","namespace":"geo","fields":[{"name":"a","type":"Point"}]}"#;
    server.register("point", point);
    let refers = |version: u32| {
        json!({"schema": line, "schemaType": "AVRO",
               "references": [{"name": "geo.Point", "subject": "point", "version": version}]})
    };
    let whole = json!({"subject": "line", "version": 1, "id": 2, "schema": line,
                       "references": [{"name": "geo.Point", "subject": "point", "version": 1}]});
    converse(
        &server,
        &[
            ("POST", "/subjects/line/versions", json!({"schema": line}), 422, json!(42201)),
            ("POST", "/subjects/line/versions", refers(9), 422, json!(42201)),
            ("POST", "/subjects/line/versions", refers(1), 200, json!({"id": 2})),
            ("POST", "/subjects/line/versions", refers(1), 200, json!({"id": 2})),
            ("POST", "/subjects/line", refers(1), 200, whole.clone()),
            ("GET", "/subjects/line/versions/1", Value::Null, 200, whole.clone()),
            ("GET", "/schemas?latestOnly=true&subjectPrefix=li", Value::Null, 200, json!([whole])),
            ("GET", "/subjects/point/versions/1/referencedby", Value::Null, 200, json!([2])),
            ("DELETE", "/subjects/point/versions/1", Value::Null, 422, json!(42206)),
            ("DELETE", "/subjects/point", Value::Null, 422, json!(42206)),
            ("POST", "/subjects/point/versions", json!({"schema": wide}), 200, json!({"id": 3})),
            // The same text with another reference is another schema: it reads the old one's data.
            ("POST", "/subjects/line/versions", refers(2), 200, json!({"id": 4})),
            // The other way round would not.
            ("DELETE", "/subjects/line/versions/1", Value::Null, 200, json!(1)),
            ("POST", "/subjects/line/versions", refers(1), 409, json!(409)),
            ("DELETE", "/subjects/point/versions/1", Value::Null, 200, json!(1)),
        ],
    );
}

#[test]
fn what_differs_in_form_alone_is_found() {
    let server = Server::new("normal");
    let one = r#"{"type":"record","name":"R","namespace":"n","fields":[{"name":"a","type":{"type":"int"}}]}"#;
    let spaced = one.replace(':', " : ");
    let short = r#"{"type":"record","name":"n.R","fields":[{"name":"a","type":"int"}]}"#;
    let sent = |schema: &str| json!({ "schema": schema });
    converse(
        &server,
        &[
            ("POST", "/subjects/s/versions", sent(one), 200, json!({"id": 1})),
            ("POST", "/subjects/s/versions", sent(&spaced), 200, json!({"id": 1})),
            ("POST", "/subjects/s", sent(short), 404, json!(40403)),
            ("POST", "/subjects/s/versions?normalize=true", sent(short), 200, json!({"id": 1})),
            ("POST", "/subjects/s/versions", sent(short), 200, json!({"id": 2})),
            (
                "PUT",
                "/config/t",
                json!({"normalize": true}),
                200,
                json!({"compatibility": "BACKWARD", "normalize": true}),
            ),
            ("POST", "/subjects/t/versions", sent(one), 200, json!({"id": 3})),
            ("POST", "/subjects/t/versions", sent(short), 200, json!({"id": 3})),
        ],
    );
}

#[test]
fn modes_and_settings() {
    let server = Server::new("mode");
    let sent = json!({ "schema": "\"int\"" });
    let mode = |mode: &str| json!({ "mode": mode });
    let none = || Value::Null;
    converse(
        &server,
        &[
            ("GET", "/mode", none(), 200, mode("READWRITE")),
            ("GET", "/mode/s", none(), 404, json!(40409)),
            ("GET", "/mode/s?defaultToGlobal=true", none(), 200, mode("READWRITE")),
            ("PUT", "/mode/s", mode("SIDEWAYS"), 422, json!(42204)),
            ("PUT", "/mode/s", mode("IMPORT"), 422, json!(42205)),
            ("PUT", "/mode/s", mode("READONLY"), 200, mode("READONLY")),
            ("POST", "/subjects/s/versions", sent.clone(), 422, json!(42205)),
            ("POST", "/subjects/t/versions", json!({"schema": "\"int\"", "id": 7}), 422, json!(42205)),
            ("DELETE", "/mode/s", none(), 200, mode("READONLY")),
            ("DELETE", "/mode/s", none(), 404, json!(40401)),
            ("POST", "/subjects/s/versions", sent.clone(), 200, json!({"id": 1})),
            ("PUT", "/mode", mode("READONLY_OVERRIDE"), 200, mode("READONLY_OVERRIDE")),
            ("POST", "/subjects/t/versions", sent.clone(), 422, json!(42205)),
            ("DELETE", "/subjects/s", none(), 422, json!(42205)),
            ("PUT", "/config", json!({"compatibility": "FULL"}), 200, json!({"compatibility": "FULL"})),
            ("GET", "/config/s?defaultToGlobal=true", none(), 200, json!({"compatibilityLevel": "FULL"})),
            ("DELETE", "/config", none(), 200, json!({"compatibilityLevel": "FULL"})),
            ("GET", "/config", none(), 200, json!({"compatibilityLevel": "BACKWARD"})),
            ("DELETE", "/config/s", none(), 404, json!(40401)),
            ("PUT", "/config", json!({}), 422, json!(42203)),
            ("PUT", "/config", json!({"compatibility": "FULL", "alias": "x"}), 422, json!(42205)),
            ("GET", "/contexts", none(), 200, json!(["."])),
        ],
    );
    assert_eq!(server.call("PUT", "/config", "{").0, 400);
}

#[test]
fn ids_survive_a_restart_and_a_hundred_newcomers_agree() {
    let server = Server::new("restart");
    server.register("a", &record(ID));
    server.register("b", "\"string\"");
    let server = server.restart();
    assert_eq!(server.register("c", "\"string\""), 2);
    let ids: Vec<Value> = std::thread::scope(|scope| {
        let server = &server;
        let threads: Vec<_> = (0..20)
            .map(|n| scope.spawn(move || server.register(&format!("s{}", n % 5), "\"long\"")))
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("runs")).collect()
    });
    assert!(ids.iter().all(|id| *id == json!(3)), "{ids:?}");
    assert_eq!(server.json("GET", "/subjects/s0/versions", Value::Null).1, json!([1]));
}
