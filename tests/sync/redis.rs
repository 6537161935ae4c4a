//! Redis alone, in the clear and with TLS, certificates and a login; read by the real Feast SDK.

use crate::edge::{Edge, Features};
use crate::feast::{Reader, Repository};
use crate::story::{self, NAME, Store};
use stack::folder::Folder;
use stack::proxy::{Network, Proxy};
use stack::{HOST, Redis};
use std::collections::BTreeMap;
use support::certificate::Authority;

struct Cut {
    proxies: [Proxy; 2],
    reader: Reader,
}

impl Store for Cut {
    fn cut(&mut self, agent: usize) {
        self.proxies[agent].set(Network::Down);
    }

    fn mend(&mut self, agent: usize) {
        self.proxies[agent].set(Network::Well);
    }

    fn read(&mut self, users: &[i64]) -> BTreeMap<i64, Features> {
        self.reader.features(users)
    }
}

#[test]
fn redis_gives_the_newest_of_two_agents() {
    let redis = Redis::start().expect("Redis");
    let repository =
        Repository::new(&format!("type: redis\nconnection_string: \"{},db=0\"", redis.address()), true);
    let proxies = [(); 2].map(|()| Proxy::start(redis.port()).expect("a proxy"));
    let start = |proxy: &Proxy| {
        let url = format!("redis://{}/0", proxy.address());
        Edge::start(&target(&format!("url = \"{url}\"\nretry_ceiling = \"300ms\"")), true)
    };
    let (mut one, mut two) = (start(&proxies[0]), start(&proxies[1]));
    story::run(&mut Cut { proxies, reader: repository.reader() }, &mut one, &mut two);
}

fn target(more: &str) -> String {
    format!("[sync.{NAME}]\nkind = \"redis\"\nproject = \"edge\"\n{more}\n")
}

#[test]
fn redis_with_tls_certificates_login_and_expiry() {
    let folder = Folder::new("tls").expect("a folder");
    let authority = Authority::new(folder.path(), "ca");
    let (server, client) = (authority.sign("server", false), authority.sign("agent", false));
    let port = stack::port::free().expect("a port").to_string();
    let ca = authority.file();
    let redis = Redis::start_with(&[
        "--tls-port",
        &port,
        "--tls-cert-file",
        &server.cert,
        "--tls-key-file",
        &server.key,
        "--tls-ca-cert-file",
        &ca,
        "--tls-auth-clients",
        "yes",
    ])
    .expect("Redis with TLS");
    let login = ["ACL", "SETUSER", "tidegate", "on", ">secret", "~*", "&*", "+@all"];
    redis.cli(&login).expect("a user");
    let online = format!("type: redis\nconnection_string: \"{}\"", redis.address());
    let repository = Repository::new(&online, true);
    let settings = |password: &str| {
        target(&format!(
            "url = \"rediss://{HOST}:{port}/0\"\nuser = \"tidegate\"\npassword = \"{password}\"\nkey_ttl = \"1h\"\n
             tls.ca_file = \"{ca}\"\ntls.cert_file = \"{}\"\ntls.key_file = \"{}\"\nretry_ceiling = \"200ms\"",
            client.cert, client.key
        ))
    };
    let mut edge = Edge::start(&settings("secret"), true);
    let mut rng = fastrand::Rng::new();
    edge.change(&mut rng, 1..40, 300);
    edge.settled(NAME);
    let users: Vec<i64> = (1..40).collect();
    let mut reader = repository.reader();
    let mut store = Plain(&mut reader);
    story::equal(&mut store, &[&edge], &users, "over TLS");
    let key = redis.cli(&["--no-raw", "RANDOMKEY"]).expect("a key");
    assert!(!key.is_empty());
    let lives =
        redis.cli(&["EVAL", "return redis.call('TTL', redis.call('RANDOMKEY'))", "0"]).expect("a time");
    assert!((3_000..=3_600).contains(&lives.parse::<i64>().expect("seconds")), "{lives}");
    assert_eq!(edge.program.stop().expect("the agent stops"), 0);

    // A wrong password is the store's state, said with its remedy; nothing is lost or refused.
    let edge = Edge::start(&settings("wrong"), true);
    edge.change(&mut rng, 1..5, 20);
    edge.computed();
    support::eventually(crate::edge::LIMIT, "the login is refused", || {
        let target = edge.target(NAME);
        (target["waiting"].as_i64() > Some(0) && target["error"].is_string()).then_some(())
    });
    assert_eq!(edge.target(NAME)["refused"], 0);
    let (code, said) = edge.launch.command("check", &[]).expect("check runs");
    assert!(code == 2 || code == 3, "{said}");
    assert!(said.contains("FAILED  sync"), "{said}");
}

/// A store that stays.
pub struct Plain<'a>(pub &'a mut Reader);

impl Store for Plain<'_> {
    fn cut(&mut self, _: usize) {}

    fn mend(&mut self, _: usize) {}

    fn read(&mut self, users: &[i64]) -> BTreeMap<i64, Features> {
        self.0.features(users)
    }
}
