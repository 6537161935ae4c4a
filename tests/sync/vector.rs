//! A vector index by the vendor's published description (see `index`), read by the vendor's own client.

use crate::edge::{Edge, Features, LIMIT};
use crate::index::Index;
use crate::story::{self, NAME, Store};
use serde_json::{Value as Json, json};
use stack::proxy::{Network, Proxy};
use stack::{Feast, HOST};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

struct Read {
    proxies: [Proxy; 2],
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Read {
    fn start(index: &Index, proxies: [Proxy; 2]) -> Read {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("sync/vector/read.py");
        let mut command = Feast::install_online().expect("the vendor's client").command();
        command.arg(script).arg(format!("http://{HOST}:{}", index.port)).arg(Index::key());
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the reader starts");
        let questions = child.stdin.take().expect("its input");
        let answers = BufReader::new(child.stdout.take().expect("its output"));
        let mut read = Read { proxies, child, questions, answers };
        assert_eq!(read.line(), "ready");
        read
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("an answer");
        line.trim().to_owned()
    }
}

impl Drop for Read {
    fn drop(&mut self) {
        // It ends by itself when its input closes.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Store for Read {
    fn cut(&mut self, agent: usize) {
        self.proxies[agent].set(Network::Down);
    }

    fn mend(&mut self, agent: usize) {
        self.proxies[agent].set(Network::Well);
    }

    fn read(&mut self, users: &[i64]) -> BTreeMap<i64, Features> {
        let ids: Vec<String> = users.iter().map(i64::to_string).collect();
        writeln!(self.questions, "{}", json!(ids)).expect("ask");
        let found: Json = serde_json::from_str(&self.line()).expect("JSON");
        let of = |(id, vector): (&String, &Json)| {
            let mut features = vector["metadata"].as_object().expect("metadata").clone();
            assert_eq!(features["user_id"].as_f64(), id.parse().ok());
            features.insert("place".to_owned(), vector["values"].clone());
            (id.parse().expect("a user"), features.into_iter().map(|(name, v)| (name, number(v))).collect())
        };
        found.as_object().expect("an object").iter().map(of).collect()
    }

    /// What is stored is looked at, then written.
    fn has_gap(&self) -> bool {
        true
    }

    /// A vector, if there is one; the plain features beside it.
    fn wanted(&self, answer: &Features) -> Option<Features> {
        answer["place"].as_array().filter(|place| place.iter().all(Json::is_number))?;
        let plain = |(name, _): &(&String, &Json)| !["raw", "recent", "total"].contains(&name.as_str());
        let own = answer.iter().filter(plain).map(|(name, value)| (name.clone(), number(value.clone())));
        Some(own.collect())
    }
}

/// The vendor's client reads all numbers as doubles.
fn number(value: Json) -> Json {
    match value {
        Json::Number(n) => json!(n.as_f64()),
        Json::Array(values) => values.into_iter().map(number).collect(),
        other => other,
    }
}

fn target(port: u16, key: &str) -> String {
    format!(
        "[sync.{NAME}]\nkind = \"vector\"\nurl = \"http://{HOST}:{port}\"\napi_key = \"{key}\"\n
         retry_ceiling = \"300ms\"\n"
    )
}

#[test]
fn an_index_holds_the_newest_of_two_agents() {
    let index = Index::start();
    let proxies = [(); 2].map(|()| Proxy::start(index.port).expect("a proxy"));
    let mut one = Edge::start(&target(proxies[0].port(), Index::key()), true);
    let mut two = Edge::start(&target(proxies[1].port(), Index::key()), true);
    // What is taken out of an index leaves no time behind: an older vector would come back.
    (one.always, two.always) = (&["x", "y"], &["x", "y"]);
    story::run(&mut Read::start(&index, proxies), &mut one, &mut two);
}

#[test]
fn an_entity_without_a_vector_is_not_in_the_index() {
    let index = Index::start();
    let proxies = [(); 2].map(|()| Proxy::start(index.port).expect("a proxy"));
    let mut edge = Edge::start(&target(index.port, Index::key()), true);
    let users: Vec<i64> = (1..60).collect();
    let mut read = Read::start(&index, proxies);
    for _ in 0..3 {
        edge.change(&mut fastrand::Rng::new(), 1..60, 300);
        edge.settled(NAME);
        story::equal(&mut read, &[&edge], &users, "with and without vectors");
    }
    assert_eq!(edge.program.stop().expect("the agent stops"), 0);
}

#[test]
fn a_vector_that_an_index_refuses_is_kept_aside() {
    let index = Index::start();
    index.curse("17");
    let mut edge = Edge::start(&target(index.port, Index::key()), true);
    edge.allow(&["sync_rows_refused"]);
    let person = |user: i64| {
        json!({"user_id": user, "shop": crate::edge::shop(user), "amount": 1.5, "name": null, "flag": true,
            "seen": 5_000_000, "raw": null, "x": 1.0, "y": 2.0})
    };
    edge.bring(&(1..500).map(person).collect::<Vec<_>>());
    edge.settled(NAME);
    assert_eq!(edge.target(NAME)["refused"], 1, "{}", edge.target(NAME));
    assert!(index.requests() < 120, "few requests find it: {}", index.requests());
    drop(edge);

    // A wrong key is the store's state.
    let edge = Edge::start(&target(index.port, "another"), true);
    edge.bring(&[person(1)]);
    support::eventually(LIMIT, "the key is refused", || {
        edge.target(NAME)["error"].as_str().is_some_and(|error| error.contains("401")).then_some(())
    });
    assert_eq!(edge.target(NAME)["refused"], 0);
}
