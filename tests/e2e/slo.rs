//! A contract on freshness while the central store's network is pulled and put back: the burn rate rises,
//! the log says so once, and says when it holds again.

use serde_json::{Value as Json, json};
use stack::proxy::{Network, Proxy};
use stack::{Redis, http};
use std::time::Duration;
use support::{Binary, Launch, Program, until};

const LIMIT: Duration = Duration::from_secs(60);
const CONFIG: &str = r#"
[db]
path = "agent.db"
[[push.topic]]
name = "pushed.*"
schema = "derive"
key = ["user_id"]
[[feature_view]]
name = "spend"
topic = "pushed.spend"
entity = ["user_id"]
feature = [ { name = "spend", of = "spend" } ]
[sync.central]
kind = "redis"
project = "edge"
url = "redis://127.0.0.1:1"
retry_ceiling = "200ms"
[[slo]]
name = "here"
view = "spend"
within = "2s"
[[slo]]
name = "centre"
view = "spend"
at = "central"
within = "1s"
objective = 0.5
burn = 1.2
"#;

struct Pushing {
    url: String,
    count: u64,
}

impl Pushing {
    /// One row for one of fifty users, each 20 ms.
    fn row(&mut self) {
        self.count += 1;
        let row = json!([{"user_id": self.count % 50, "spend": self.count}]);
        http::post(&self.url, &row).and_then(http::Answer::json).expect("it is taken");
        std::thread::sleep(Duration::from_millis(20));
    }

    fn until(&mut self, agent: &Program, what: &str, done: impl Fn(&Json) -> bool) -> Json {
        until(LIMIT, || {
            (0..25).for_each(|_| self.row());
            let slos = agent.status().expect("its status")["slo"].clone();
            if done(&slos) { Ok(slos) } else { Err(format!("{what}: {slos}")) }
        })
    }
}

#[test]
fn a_stalled_store_burns_the_budget_and_heals() {
    let redis = Redis::start().expect("Redis");
    let proxy = Proxy::start(redis.port()).expect("a proxy");
    let mut launch = Launch::new(Binary::Agent, CONFIG).expect("a launch");
    launch.allow(&["slo_burning", "sync_failed"]);
    let push = stack::port::free().expect("a free port");
    for (key, port) in [
        ("door.listen", stack::port::free()),
        ("registry.listen", stack::port::free()),
        ("features.listen", stack::port::free()),
        ("push.listen", Ok(push)),
    ] {
        launch.set(key, format!("127.0.0.1:{}", port.expect("a free port")));
    }
    launch.set("sync.central.url", format!("redis://127.0.0.1:{}/0", proxy.port()));
    let mut agent = launch.start().expect("the agent starts");
    agent.wait_ready(LIMIT).expect("it is ready");
    let mut pushing = Pushing { url: format!("http://127.0.0.1:{push}/topics/pushed.spend"), count: 0 };

    let slos =
        pushing.until(&agent, "the centre has what it should", |slos| slos[1]["in_time"].as_u64() > Some(20));
    assert_eq!(
        (&slos[1]["name"], &slos[1]["at"], &slos[1]["burning"]),
        (&json!("centre"), &json!("central"), &json!(false))
    );

    proxy.set(Network::Silent);
    pushing.until(&agent, "it burns while nothing passes", |slos| slos[1]["burning"] == true);
    let line = agent.wait_event("slo_burning", LIMIT).expect("it says so");
    assert!(line.text().contains("centre"), "{}", line.text());
    let burn =
        agent.metric("tidegate_agent_slo_burn_rate{slo=\"centre\",window=\"5m\"}").expect("the metric");
    assert!(burn > 1.2, "{burn}");

    proxy.set(Network::Well);
    let slos = pushing.until(&agent, "it heals", |slos| slos[1]["burning"] == false);
    agent.wait_event("slo_holds", LIMIT).expect("it says so");
    let burnt = agent.log().iter().filter(|line| line.text().contains("\"slo_burning\"")).count();
    assert_eq!(burnt, 1, "said once, and only of the contract that was broken");
    assert_eq!(slos[0]["burning"], false);
    let local = slos[0]["in_time"].as_u64().expect("a count") + slos[0]["late"].as_u64().expect("a count");
    assert!(local >= pushing.count - 25, "every change is counted here: {local} of {}", pushing.count);
    assert_eq!(agent.stop().expect("the agent stops"), 0);
}
