//! A real `feast serve` with Redis behind it, killed on the way; and rows that it will not take.

use crate::edge::{Edge, Features};
use crate::feast::{Reader, Repository, Server};
use crate::story::{self, NAME, Store};
use agent::sync::feast::JoinValue;
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
    let mut redis = Redis::start().expect("Redis");
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

    // Something else lies under the keys of two users, so Feast answers 500 to whatever holds one of them.
    let client = ::redis::Client::open(redis.url()).expect("an address");
    let mut client = client.get_connection().expect("Redis answers");
    let key = |user| agent::sync::feast::redis_key(&[("user_id", JoinValue::Int64(user))], "edge");
    for user in [17, 60] {
        ::redis::cmd("SET").arg(key(user)).arg("x").exec(&mut client).expect("set");
    }
    let mut edge = Edge::start(&target(server.port, "views = [\"profile\"]"), false);
    edge.allow(&["sync_rows_refused"]);
    let person = |user: i64| {
        json!({"user_id": user, "shop": crate::edge::shop(user), "amount": 1.5, "name": "a", "flag": true,
            "seen": 5_000_000, "raw": null, "x": 1.0, "y": 2.0})
    };
    edge.bring(&(1..100).map(person).collect::<Vec<_>>());
    edge.settled(NAME);
    assert_eq!(edge.target(NAME)["refused"], 2, "{}", edge.target(NAME));
    let mut reader = repository.reader();
    let others: Vec<i64> = (1..100).filter(|user| ![17, 60].contains(user)).collect();
    let found = reader.features(&others);
    assert!(found.values().all(|features| features["seen"] == 5), "the others are not held up");

    // Redis is away: Feast says 500 to everything, which is nobody's fault.
    ::redis::cmd("DEL").arg(key(17)).exec(&mut client).expect("deleted");
    redis.stop().expect("Redis stops");
    edge.bring(&(1..100).map(person).collect::<Vec<_>>());
    edge.bring(&[json!({"user_id": 17, "shop": "s2", "amount": 9.5, "name": "b", "flag": false,
        "seen": 6_000_000, "raw": null, "x": 1.0, "y": 2.0})]);
    support::eventually(crate::edge::LIMIT, "the store is in trouble", || {
        edge.target(NAME)["error"].is_string().then_some(())
    });
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!(edge.target(NAME)["refused"], 2, "{}", edge.target(NAME));
    redis.start_again().expect("Redis starts, empty");
    edge.settled(NAME);
    assert_eq!(edge.target(NAME)["refused"], 1, "a value that is taken settles the matter");
    assert_eq!(reader.features(&[17])[&17]["amount"], 9.5);
    assert_eq!(edge.program.stop().expect("the agent stops"), 0);
}
