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

/// Pairs of schemas: name, before, after.
fn pairs() -> Vec<[String; 3]> {
    let table: Value = serde_json::from_str(include_str!("registry/pairs.json")).expect("the table is JSON");
    let pairs = table.as_array().expect("a list").iter();
    let text = |pair: &Value, key: &str| pair[key].as_str().expect("a text").to_owned();
    pairs.map(|pair| ["name", "before", "after"].map(|key| text(pair, key))).collect()
}

#[test]
fn confluents_java_client_works_and_verdicts_are_confluents() {
    let agent = Agent::start(&[("registry.auth.username", "edge"), ("registry.auth.password", "secret")]);
    let folder = Folder::new("registry-client").expect("a folder");
    folder.write("pairs.json", include_str!("registry/pairs.json")).expect("written");
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
    for (at, [name, before, after]) in pairs().iter().enumerate() {
        for level in ["BACKWARD", "FORWARD", "FULL"] {
            let want = verdicts[name][level];
            let ours = verdict(&open.registry(), &format!("p{at}-{level}"), level, before, after);
            if ours != want {
                wrong.push(format!("{name}, {level}: Confluent says {want}, we say {ours}"));
            }
            let theirs = verdict(&other.url(), &format!("p{at}-{level}"), level, before, after);
            if (theirs != want) != OTHERS_DIFFERENCES.contains(&(name.as_str(), level)) {
                wrong.push(format!("{name}, {level}: Confluent says {want}, the other registry {theirs}"));
            }
        }
        let normal = normal_ids(&open.registry(), &format!("n{at}"), before, after);
        if normal != verdicts[name]["normal"] {
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

/// With an authority for clients set, only who shows a certificate of it is talked to.
#[test]
fn a_client_certificate_is_asked_for() {
    let folder = Folder::new("registry-mtls").expect("a folder");
    let (server, key) = certificate(&folder);
    let path = |name: &str| folder.path().join(name).display().to_string();
    let openssl = |words: &[&str]| {
        let mut command = Command::new("openssl");
        command.args(words);
        stack::process::run("make a certificate", &mut command).expect("openssl");
    };
    let new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    let (authority, authority_key) = (path("ca.pem"), path("ca.key"));
    let (request, client, client_key) = (path("client.csr"), path("client.pem"), path("client.key"));
    let own =
        ["req", "-x509", "-subj", "/CN=clients", "-days", "2", "-keyout", &authority_key, "-out", &authority];
    openssl(&[&own[..], &new_key].concat());
    let asked = ["req", "-subj", "/CN=shop", "-keyout", &client_key, "-out", &request];
    openssl(&[&asked[..], &new_key].concat());
    folder.write("v3.ext", "basicConstraints=CA:FALSE\n").expect("written");
    openssl(&[
        "x509",
        "-req",
        "-in",
        &request,
        "-CA",
        &authority,
        "-CAkey",
        &authority_key,
        "-CAcreateserial",
        "-days",
        "2",
        "-extfile",
        &path("v3.ext"),
        "-out",
        &client,
    ]);
    let agent = Agent::start(&[
        ("registry.tls.cert_file", &server),
        ("registry.tls.key_file", &key),
        ("registry.tls.client_ca_file", &authority),
    ]);
    let url = format!("{}/subjects", agent.registry().replace("http://", "https://"));
    let asks = |more: &[&str]| {
        let mut command = Command::new("curl");
        command.args(["-s", "--max-time", "20", "--cacert", &server]).args(more).arg(&url);
        let output = command.output().expect("curl");
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    assert_eq!(asks(&["--cert", &client, "--key", &client_key]), (true, "[]".to_owned()));
    assert!(!asks(&[]).0, "without a certificate");
    assert!(!asks(&["--cert", &server, "--key", &key]).0, "with one of another authority");
}
