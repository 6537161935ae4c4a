//! A real `feast serve` with Redis behind it, killed on the way; and rows that it will not take.

use crate::edge::{Edge, Features};
use crate::feast::{Reader, Repository, Server};
use crate::story::{self, NAME, Store};
use serde_json::json;
use stack::proxy::{Network, Proxy};
use stack::{HOST, Redis};
use std::collections::BTreeMap;

struct Served<'a> {
    server: &'a mut Server,
    repository: &'a Repository,
    proxies: [Proxy; 2],
    reader: Reader,
}

impl Store for Served<'_> {
    fn cut(&mut self, agent: usize) {
        self.proxies[agent].set(Network::Down);
    }

    fn mend(&mut self, agent: usize) {
        self.proxies[agent].set(Network::Well);
    }

    fn read(&mut self, users: &[i64]) -> BTreeMap<i64, Features> {
        self.reader.features(users)
    }

    fn restart(&mut self) {
        self.server.kill();
        self.server.start(self.repository);
    }
}

fn target(port: u16, more: &str) -> String {
    format!(
        "[sync.{NAME}]\nkind = \"feast_push\"\nurl = \"http://{HOST}:{port}\"\nretry_ceiling = \"300ms\"\n
         source.profile = \"profile_push\"\n{more}\n"
    )
}

#[test]
fn a_feature_server_takes_what_two_agents_push() {
    let redis = Redis::start().expect("Redis");
    let online = format!("type: redis\nconnection_string: \"{},db=0\"", redis.address());
    let repository = Repository::new(&online, false);
    let mut server = repository.serve();
    let proxies = [(); 2].map(|()| Proxy::start(server.port).expect("a proxy"));
    let mut one = Edge::start(&target(proxies[0].port(), ""), false);
    let mut two = Edge::start(&target(proxies[1].port(), ""), false);
    let mut store =
        Served { server: &mut server, repository: &repository, proxies, reader: repository.reader() };
    story::run(&mut store, &mut one, &mut two);
}

#[test]
fn rows_that_a_feature_server_refuses_are_found_and_kept_aside() {
    let redis = Redis::start().expect("Redis");
    let online = format!("type: redis\nconnection_string: \"{},db=0\"", redis.address());
    let repository = Repository::new(&online, false);
    let server = repository.serve();
    // An unknown source is the store's state, not a row's fault.
    let edge = Edge::start(
        &target(server.port, "views = [\"profile\"]\nsource.pair = \"x\"").replace("profile_push", "nobody"),
        false,
    );
    edge.change(&mut fastrand::Rng::new(), 1..5, 10);
    support::eventually(crate::edge::LIMIT, "the source is unknown", || {
        edge.target(NAME)["error"].as_str().is_some_and(|e| e.contains("PushSourceNotFound")).then_some(())
    });
    assert_eq!(edge.target(NAME)["refused"], 0);
    drop(edge);

    let mut edge = Edge::start(&target(server.port, ""), false);
    edge.allow(&["sync_rows_refused"]);
    let person = |user: i64, seen: i64| {
        json!({"user_id": user, "shop": crate::edge::shop(user), "amount": 1.5, "name": "a", "flag": true,
            "seen": seen, "raw": null, "x": 1.0, "y": 2.0})
    };
    // Python knows no moment after the year 9999.
    let people: Vec<_> = (1..100)
        .map(|user| person(user, if user == 17 || user == 60 { 300_000_000_000_000_000 } else { 5_000_000 }))
        .collect();
    edge.bring(&people);
    edge.settled(NAME);
    assert_eq!(edge.target(NAME)["refused"], 2, "{}", edge.target(NAME));
    let mut reader = repository.reader();
    let found = reader.features(&(1..100).collect::<Vec<_>>());
    let missing: Vec<i64> =
        found.iter().filter(|(_, features)| features["visits"].is_null()).map(|(user, _)| *user).collect();
    assert_eq!(missing, [17, 60]);
    edge.bring(&[person(17, 6_000_000)]);
    edge.settled(NAME);
    assert_eq!(edge.target(NAME)["refused"], 1, "a good value settles the matter");
    assert_eq!(reader.features(&[17])[&17]["seen"], 6);
}
