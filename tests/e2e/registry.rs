//! The registry's door, as Confluent's own clients use it; and its verdicts beside Confluent's own and
//! another registry's.

use serde_json::{Value, json};
use stack::folder::Folder;
use stack::{Feast, Registry, http};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use support::edge::Agent;

/// What differs from Confluent's verdict in the other registry, which is not ours to mend: pair and level.
const OTHERS_DIFFERENCES: &[(&str, &str)] = &[];

fn source(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/registry").join(name)
}

fn record(fields: &str) -> String {
    format!(r#"{{"type":"record","name":"R","namespace":"n","fields":[{fields}]}}"#)
}

/// Name, before, after.
fn pairs() -> Vec<(&'static str, String, String)> {
    let one = |kind: &str| record(&format!(r#"{{"name":"a","type":{kind}}}"#));
    let a = r#"{"name":"a","type":"int"}"#;
    let both = |b: &str| record(&format!("{a},{b}"));
    let plain = |text: &str| text.to_owned();
    let symbols =
        |list: &str, more: &str| one(&format!(r#"{{"type":"enum","name":"E","symbols":[{list}]{more}}}"#));
    vec![
        ("same", one(r#""int""#), one(r#""int""#)),
        (
            "spelled otherwise",
            one(r#""int""#),
            r#"{"name":"n.R","type":"record","fields":[{"name":"a","type":{"type":"int"}}]}"#.to_owned(),
        ),
        ("field with default", one(r#""int""#), both(r#"{"name":"b","type":"int","default":0}"#)),
        ("field without default", one(r#""int""#), both(r#"{"name":"b","type":"int"}"#)),
        ("nullable without default", one(r#""int""#), both(r#"{"name":"b","type":["null","int"]}"#)),
        ("field gone", both(r#"{"name":"b","type":"int"}"#), one(r#""int""#)),
        ("field with default gone", both(r#"{"name":"b","type":"int","default":0}"#), one(r#""int""#)),
        ("field renamed", one(r#""int""#), record(r#"{"name":"z","type":"int"}"#)),
        ("field renamed with alias", one(r#""int""#), record(r#"{"name":"z","type":"int","aliases":["a"]}"#)),
        ("int to long", one(r#""int""#), one(r#""long""#)),
        ("int to float", one(r#""int""#), one(r#""float""#)),
        ("int to double", one(r#""int""#), one(r#""double""#)),
        ("long to float", one(r#""long""#), one(r#""float""#)),
        ("long to int", one(r#""long""#), one(r#""int""#)),
        ("float to double", one(r#""float""#), one(r#""double""#)),
        ("string to bytes", one(r#""string""#), one(r#""bytes""#)),
        ("bytes to string", one(r#""bytes""#), one(r#""string""#)),
        ("int to string", one(r#""int""#), one(r#""string""#)),
        ("boolean to int", one(r#""boolean""#), one(r#""int""#)),
        ("made nullable", one(r#""int""#), one(r#"["null","int"]"#)),
        ("made not nullable", one(r#"["null","int"]"#), one(r#""int""#)),
        ("union grows", one(r#"["null","int"]"#), one(r#"["null","int","string"]"#)),
        ("union shrinks", one(r#"["null","int","string"]"#), one(r#"["null","int"]"#)),
        ("union reordered", one(r#"["null","int"]"#), one(r#"["int","null"]"#)),
        ("union promotes", one(r#"["null","int"]"#), one(r#"["null","long"]"#)),
        ("union of one", one(r#""int""#), one(r#"["int"]"#)),
        ("symbol added", symbols(r#""A""#, ""), symbols(r#""A","B""#, "")),
        ("symbol gone", symbols(r#""A","B""#, ""), symbols(r#""A""#, "")),
        ("symbol gone with default", symbols(r#""A","B""#, ""), symbols(r#""A""#, r#","default":"A""#)),
        ("symbols reordered", symbols(r#""A","B""#, ""), symbols(r#""B","A""#, "")),
        (
            "array promotes",
            one(r#"{"type":"array","items":"int"}"#),
            one(r#"{"type":"array","items":"long"}"#),
        ),
        (
            "array narrows",
            one(r#"{"type":"array","items":"long"}"#),
            one(r#"{"type":"array","items":"int"}"#),
        ),
        ("map for array", one(r#"{"type":"array","items":"int"}"#), one(r#"{"type":"map","values":"int"}"#)),
        (
            "fixed grows",
            one(r#"{"type":"fixed","name":"F","size":2}"#),
            one(r#"{"type":"fixed","name":"F","size":3}"#),
        ),
        (
            "fixed renamed",
            one(r#"{"type":"fixed","name":"F","size":2}"#),
            one(r#"{"type":"fixed","name":"G","size":2}"#),
        ),
        ("record renamed", one(r#""int""#), one(r#""int""#).replace("\"R\"", "\"Q\"")),
        ("record moved", one(r#""int""#), one(r#""int""#).replace("\"n\"", "\"m\"")),
        (
            "record renamed with alias",
            one(r#""int""#),
            one(r#""int""#).replace(r#""name":"R""#, r#""name":"Q","aliases":["R"]"#),
        ),
        ("logical type added", one(r#""int""#), one(r#"{"type":"int","logicalType":"date"}"#)),
        (
            "scale changed",
            one(r#"{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}"#),
            one(r#"{"type":"bytes","logicalType":"decimal","precision":9,"scale":3}"#),
        ),
        (
            "documented",
            one(r#""int""#),
            one(r#""int""#).replace(r#""type":"record""#, r#""type":"record","doc":"why""#),
        ),
        (
            "nested record grows",
            one(r#"{"type":"record","name":"I","fields":[{"name":"x","type":"int"}]}"#),
            one(
                r#"{"type":"record","name":"I","fields":[{"name":"x","type":"int"},{"name":"y","type":"int","default":1}]}"#,
            ),
        ),
        (
            "nested record breaks",
            one(r#"{"type":"record","name":"I","fields":[{"name":"x","type":"int"}]}"#),
            one(r#"{"type":"record","name":"I","fields":[{"name":"x","type":"string"}]}"#),
        ),
        (
            "recursive grows",
            one(r#"["null","R"]"#),
            record(r#"{"name":"a","type":["null","R"]},{"name":"b","type":"int","default":1}"#),
        ),
        ("primitive promotes", plain(r#""int""#), plain(r#""long""#)),
        ("primitive for record", plain(r#""int""#), one(r#""int""#)),
        ("record into union", one(r#""int""#), format!(r#"["null",{}]"#, one(r#""int""#))),
    ]
}

#[test]
fn confluents_java_client_works_and_verdicts_are_confluents() {
    let agent = Agent::start(&[("registry.auth.username", "edge"), ("registry.auth.password", "secret")]);
    let folder = Folder::new("registry-client").expect("a folder");
    let table: Vec<Value> = pairs()
        .iter()
        .map(|(name, before, after)| json!({"name": name, "before": before, "after": after}))
        .collect();
    folder.write("pairs.json", &Value::from(table).to_string()).expect("written");
    let jars = stack::connect::install().expect("Confluent's jars").confluent_client();
    let java = stack::install::java::at_least(stack::install::java::KAFKA).expect("Java");
    let mut command = Command::new(java);
    let path = jars.map(|jar| jar.display().to_string()).join(":");
    command.args(["-cp", &path]).arg(source("Client.java")).arg(agent.registry()).arg(folder.path());
    let said = stack::process::run("run Confluent's client", &mut command).expect("it ends well");
    let verdicts: BTreeMap<String, BTreeMap<String, bool>> =
        serde_json::from_str(said.lines().last().unwrap_or_default()).expect(&said);

    let open = Agent::start(&[]);
    let other = Registry::start().expect("the other registry");
    let mut wrong = Vec::new();
    for (at, (name, before, after)) in pairs().iter().enumerate() {
        for level in ["BACKWARD", "FORWARD", "FULL"] {
            let want = verdicts[*name][level];
            let ours = verdict(&open.registry(), &format!("p{at}-{level}"), level, before, after);
            if ours != want {
                wrong.push(format!("{name}, {level}: Confluent says {want}, we say {ours}"));
            }
            let theirs = verdict(&other.url(), &format!("p{at}-{level}"), level, before, after);
            if (theirs != want) != OTHERS_DIFFERENCES.contains(&(name, level)) {
                wrong.push(format!("{name}, {level}: Confluent says {want}, the other registry {theirs}"));
            }
        }
        let normal = normal_ids(&open.registry(), &format!("n{at}"), before, after);
        if normal != verdicts[*name]["normal"] {
            wrong.push(format!("{name}: in normal form the same? Confluent says {}", !normal));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What a registry says of `after` behind `before`.
fn verdict(url: &str, subject: &str, level: &str, before: &str, after: &str) -> bool {
    let answer = http::put(&format!("{url}/config/{subject}"), &json!({"compatibility": level}));
    answer.and_then(http::Answer::json).expect("the level is set");
    let path = format!("{url}/subjects/{subject}/versions");
    http::post(&path, &json!({"schema": before})).and_then(http::Answer::json).expect(before);
    let path = format!("{url}/compatibility/subjects/{subject}/versions/latest");
    let answer = http::post(&path, &json!({"schema": after})).and_then(http::Answer::json).expect(after);
    answer["is_compatible"].as_bool().expect("a verdict")
}

/// Whether both get one id when normalisation is asked for.
fn normal_ids(url: &str, subject: &str, before: &str, after: &str) -> bool {
    let set = http::put(&format!("{url}/config/{subject}"), &json!({"compatibility": "NONE"}));
    set.expect("the level is set");
    let id = |schema: &str| {
        let path = format!("{url}/subjects/{subject}/versions?normalize=true");
        http::post(&path, &json!({"schema": schema})).and_then(http::Answer::json).expect(schema)["id"]
            .clone()
    };
    id(before) == id(after)
}

#[test]
fn confluents_python_client_works_behind_tls_and_a_password() {
    let feast = Feast::install().expect("Python with Confluent's client");
    let folder = Folder::new("registry-tls").expect("a folder");
    let files = certificate(&folder);
    let agent = Agent::start(&[
        ("registry.auth.username", "edge"),
        ("registry.auth.password", "secret"),
        ("registry.tls.cert_file", &files.0),
        ("registry.tls.key_file", &files.1),
    ]);
    let url = agent.registry().replace("http://", "https://");
    let said = feast.run(folder.path(), &source("client.py"), &[&url, &files.0]).expect("it ends well");
    assert_eq!(said.trim(), "ok");
}

/// A certificate for 127.0.0.1, signed by itself: its file and its key's.
pub fn certificate(folder: &Folder) -> (String, String) {
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (cert, key) = (path("cert.pem"), path("key.pem"));
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
    command.args(["-subj", "/CN=edge", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]);
    command.args(["-keyout", &key, "-out", &cert]);
    stack::process::run("make a certificate", &mut command).expect("openssl");
    (cert, key)
}
