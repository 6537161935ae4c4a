//! An agent whose rows are given to it over HTTP, and what it says of its features.

use fastrand::Rng;
use serde_json::{Map, Value as Json, json};
use stack::{HOST, http};
use std::collections::BTreeMap;
use std::time::Duration;
use support::{Binary, Launch, Program, eventually};

pub const LIMIT: Duration = Duration::from_secs(90);

const SETTINGS: &str = r#"
[db]
path = "agent.db"
[features]
tick = "50ms"
[[push.topic]]
name = "people"
key = ["user_id"]
"#;

const SCHEMA: &str = r#"{"type":"record","name":"person","fields":[
  {"name":"user_id","type":"long"},{"name":"shop","type":"string"},
  {"name":"amount","type":["null","double"]},{"name":"name","type":["null","string"]},
  {"name":"flag","type":["null","boolean"]},
  {"name":"seen","type":["null",{"type":"long","logicalType":"timestamp-micros"}]},
  {"name":"raw","type":["null","bytes"]},
  {"name":"x","type":["null","double"]},{"name":"y","type":["null","double"]}]}"#;

/// The views of `feast/definitions.py`.
fn views(raw: bool) -> String {
    let raw = if raw { "{ name = \"raw\", of = \"raw\" }," } else { "" };
    format!(
        r#"
[[feature_view]]
name = "profile"
topic = "people"
entity = ["user_id"]
entity_type = ["int64"]
feature = [
  {{ name = "visits", aggregate = "count" }},
  {{ name = "amount", of = "amount", type = "double" }},
  {{ name = "name", of = "name", type = "string" }},
  {{ name = "flag", of = "flag", type = "bool" }},
  {{ name = "seen", of = "seen", type = "timestamp" }},
  {{ name = "recent", aggregate = "last_n", of = "amount", n = 3 }},
  {{ name = "x", of = "x", type = "double" }},
  {{ name = "y", of = "y", type = "double" }},
  {{ name = "place", vector = ["x", "y"] }},
  {raw}
]
[[feature_view]]
name = "pair"
topic = "people"
entity = ["shop", "user_id"]
entity_type = ["string", "int64"]
feature = [ {{ name = "total", aggregate = "sum", of = "amount", type = "double" }} ]
"#
    )
}

/// Features of a user: names and values, of both views.
pub type Features = Map<String, Json>;

/// An agent.
pub struct Edge {
    pub launch: Launch,
    pub program: Program,
    push: u16,
    features: u16,
    raw: bool,
    /// Columns that [`Edge::change`] leaves null nowhere.
    pub always: &'static [&'static str],
}

impl Edge {
    /// `targets`: the tables `[sync.NAME]`.
    pub fn start(targets: &str, raw: bool) -> Edge {
        let text = format!("{SETTINGS}{}{targets}", views(raw));
        let mut launch = Launch::new(Binary::Agent, &text).expect("a launch");
        let free = || stack::port::free().expect("a free port");
        let (push, features, registry) = (free(), free(), free());
        launch
            .set("door.listen", format!("{HOST}:{}", free()))
            .set("registry.listen", format!("{HOST}:{registry}"))
            .set("push.listen", format!("{HOST}:{push}"))
            .set("features.listen", format!("{HOST}:{features}"))
            // Stores are taken away on purpose.
            .allow(&["sync_failed"]);
        let mut program = launch.start().expect("the agent starts");
        program.wait_ready(LIMIT).expect("the agent is ready");
        let subject = format!("http://{HOST}:{registry}/subjects/people-value/versions");
        let registered = http::post(&subject, &json!({"schema": SCHEMA})).and_then(http::Answer::json);
        registered.expect("the schema is registered");
        Edge { launch, program, push, features, raw, always: &[] }
    }

    pub fn allow(&mut self, events: &[&str]) {
        self.launch.allow(events);
    }

    /// SIGKILL, and up again.
    pub fn restart(&mut self) {
        self.program.kill().expect("kill -9");
        self.program = self.launch.start().expect("the agent starts again");
        self.program.wait_ready(LIMIT).expect("the agent is ready again");
    }

    /// Brings people into their topic.
    pub fn bring(&self, people: &[Json]) {
        let url = format!("http://{HOST}:{}/topics/people", self.push);
        let answer = http::post(&url, &json!(people)).and_then(http::Answer::json).expect("rows are taken");
        assert_eq!(answer["records"], people.len(), "{answer}");
    }

    /// Random changes of random users, in small batches.
    pub fn change(&self, rng: &mut Rng, users: std::ops::Range<i64>, changes: usize) {
        let mut people = Vec::with_capacity(changes);
        for _ in 0..changes {
            let user = rng.i64(users.clone());
            let mut person = person(rng, user);
            for column in self.always.iter().filter(|column| person[**column].is_null()).collect::<Vec<_>>() {
                person[*column] = json!(1.5);
            }
            people.push(person);
        }
        people.chunks(50).for_each(|part| self.bring(part));
    }

    /// Waits until everything that was brought is a feature.
    pub fn computed(&self) {
        eventually(LIMIT, "all rows are processed", || {
            let status = self.program.status().ok()?;
            let topics = status["topics"].as_array()?;
            let people = topics.iter().find(|topic| topic["name"] == "people")?;
            people["partitions"].as_array()?.iter().all(|one| one["lag"] == 0).then_some(())
        });
    }

    /// Where a target stands, by the status page.
    pub fn target(&self, name: &str) -> Json {
        let status = self.program.status().expect("a status");
        let targets = status["sync"].as_array().expect("a list of targets");
        targets.iter().find(|target| target["name"] == name).expect(name).clone()
    }

    /// Waits until a target has everything.
    pub fn settled(&self, name: &str) {
        self.computed();
        eventually(LIMIT, &format!("{name} has everything"), || {
            let target = self.target(name);
            (target["waiting"] == 0 && target["error"].is_null()).then_some(())
        });
    }

    /// The agent's own answers: features and the time of each view, by user.
    pub fn answers(&self, users: &[i64]) -> BTreeMap<i64, [(String, Features); 2]> {
        let mut names = vec!["visits", "amount", "name", "flag", "seen", "recent", "x", "y", "place"];
        if self.raw {
            names.push("raw");
        }
        let shops: Vec<String> = users.iter().map(|user| shop(*user)).collect();
        let profile = self.ask("profile", &names, &json!({"user_id": users}));
        let pair = self.ask("pair", &["total"], &json!({"shop": shops, "user_id": users}));
        let both = profile.into_iter().zip(pair).map(|(profile, pair)| [profile, pair]);
        users.iter().copied().zip(both).collect()
    }

    fn ask(&self, view: &str, names: &[&str], entities: &Json) -> Vec<(String, Features)> {
        let url = format!("http://{HOST}:{}/get-online-features", self.features);
        let asked: Vec<String> = names.iter().map(|name| format!("{view}:{name}")).collect();
        let body = json!({"features": asked, "entities": entities});
        let answer = http::post(&url, &body).and_then(http::Answer::json).expect("features");
        let known = answer["metadata"]["feature_names"].as_array().expect("names").clone();
        let columns = answer["results"].as_array().expect("results");
        let count = columns[0]["values"].as_array().expect("values").len();
        let row = |at: usize| {
            let (mut time, mut features) = (String::new(), Features::new());
            for (name, column) in known.iter().zip(columns) {
                let name = name.as_str().expect("a name");
                if names.contains(&name) {
                    features.insert(name.to_owned(), column["values"][at].clone());
                    time = column["event_timestamps"][at].as_str().expect("a time").to_owned();
                }
            }
            (time, features)
        };
        (0..count).map(row).collect()
    }
}

pub fn shop(user: i64) -> String {
    format!("s{}", user % 3)
}

/// A person with some columns null.
pub fn person(rng: &mut Rng, user: i64) -> Json {
    let name = *rng.choice(&["", "café", "o'Neil", "日本", "plain"][..]).expect("some");
    let raw = *rng.choice(&["\u{0}\u{ff}", "abc", "\u{1}"][..]).expect("some");
    let mut person = json!({
        "user_id": user, "shop": shop(user),
        "amount": f64::from(rng.i32(-9_999..99_999)) / 100.0,
        "name": name,
        "flag": rng.bool(),
        "seen": rng.i64(1..2_000_000_000) * 1_000_000,
        "raw": raw,
        "x": f64::from(rng.i32(-100..100)) / 4.0,
        "y": f64::from(rng.i32(-100..100)) / 4.0,
    });
    for column in ["amount", "name", "flag", "seen", "raw", "x", "y"] {
        if rng.u8(0..6) == 0 {
            person[column] = Json::Null;
        }
    }
    person
}

/// What the newest of the agents' answers is, view by view; users nobody knows are left out.
pub fn newest(edges: &[&Edge], users: &[i64]) -> BTreeMap<i64, Features> {
    let answers: Vec<_> = edges.iter().map(|edge| edge.answers(users)).collect();
    let mut newest = BTreeMap::new();
    for user in users {
        let mut all = Features::new();
        for view in 0..2 {
            let of = answers.iter().map(|answer| &answer[user][view]);
            let (time, features) = of.max_by_key(|(time, _)| comparable(time)).expect("an agent");
            if !time.starts_with("1970") {
                all.extend(features.clone());
            }
        }
        if !all.is_empty() {
            newest.insert(*user, all);
        }
    }
    newest
}

/// A time without fraction sorts as one with it.
fn comparable(time: &str) -> String {
    if time.contains('.') { time.to_owned() } else { time.replace('Z', ".000000Z") }
}
