//! PostgreSQL in Feast's layout, killed on the way, over TLS, and searched with pgvector; read by the real
//! Feast SDK.

use crate::edge::{Edge, Features};
use crate::feast::{Reader, Repository};
use crate::redis::Plain;
use crate::story::{self, NAME, Store};
use stack::postgres::Options;
use stack::proxy::{Network, Proxy};
use stack::{HOST, Postgres};
use std::collections::BTreeMap;
use support::certificate::Authority;

struct Killed<'a> {
    postgres: &'a mut Postgres,
    proxies: [Proxy; 2],
    reader: Option<Reader>,
    repository: Repository,
}

impl Store for Killed<'_> {
    fn cut(&mut self, agent: usize) {
        self.proxies[agent].set(Network::Down);
    }

    fn mend(&mut self, agent: usize) {
        self.proxies[agent].set(Network::Well);
    }

    fn read(&mut self, users: &[i64]) -> BTreeMap<i64, Features> {
        self.reader.get_or_insert_with(|| self.repository.reader()).features(users)
    }

    fn restart(&mut self) {
        self.reader = None;
        self.postgres.kill().expect("kill -9");
        self.postgres.start_again().expect("it starts again");
    }
}

fn online(port: u16, more: &str) -> String {
    format!(
        "type: postgres\nhost: {HOST}\nport: {port}\ndatabase: online\nuser: postgres\npassword: postgres\n\
         sslmode: prefer\n{more}"
    )
}

fn target(kind: &str, address: &str, more: &str) -> String {
    format!(
        "[sync.{NAME}]\nkind = \"{kind}\"\nurl = \"postgres://{address}\"\nuser = \"postgres\"\n
         password = \"postgres\"\nproject = \"edge\"\nretry_ceiling = \"300ms\"\n{more}\n"
    )
}

#[test]
fn postgres_gives_the_newest_of_two_agents() {
    let mut postgres = Postgres::start(Options::default()).expect("PostgreSQL");
    postgres.psql("postgres", "CREATE DATABASE online").expect("a database");
    let proxies = [(); 2].map(|()| Proxy::start(postgres.port()).expect("a proxy"));
    // The agents make the tables, as nobody has run `feast apply` yet.
    let start =
        |proxy: &Proxy| Edge::start(&target("postgres", &format!("{}/online", proxy.address()), ""), true);
    let (mut one, mut two) = (start(&proxies[0]), start(&proxies[1]));
    one.change(&mut fastrand::Rng::new(), 1..30, 100);
    one.settled(NAME);
    let repository = Repository::new(&online(postgres.port(), ""), true);
    let mut store = Killed { postgres: &mut postgres, proxies, reader: None, repository };
    story::run(&mut store, &mut one, &mut two);
}

#[test]
fn postgres_over_tls_with_feasts_own_tables() {
    let folder = stack::folder::Folder::new("tls").expect("a folder");
    let authority = Authority::new(folder.path(), "ca");
    let signed = authority.sign("server", false);
    let mut postgres = Postgres::start(Options::default()).expect("PostgreSQL");
    postgres.serve_tls(&signed.cert, &signed.key).expect("TLS");
    postgres.psql("postgres", "CREATE DATABASE online").expect("a database");
    let repository = Repository::new(&online(postgres.port(), ""), true);
    let address = format!("{HOST}:{}/online?sslmode=require", postgres.port());
    let ca = format!("create_tables = false\ntls.ca_file = \"{}\"", authority.file());
    let mut edge = Edge::start(&target("postgres", &address, &ca), true);
    edge.change(&mut fastrand::Rng::new(), 1..40, 300);
    edge.settled(NAME);
    let encrypted = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
                     WHERE ssl AND application_name = 'tidegate-agent'";
    assert_eq!(postgres.psql("online", encrypted).expect("a count"), "1");
    let users: Vec<i64> = (1..40).collect();
    story::equal(&mut Plain(&mut repository.reader()), &[&edge], &users, "over TLS");
    assert_eq!(edge.program.stop().expect("the agent stops"), 0);

    // Another authority: not a byte of a feature goes there.
    let stranger = Authority::new(folder.path(), "stranger");
    let ca = format!("tls.ca_file = \"{}\"", stranger.file());
    let edge = Edge::start(&target("postgres", &address, &ca), true);
    edge.change(&mut fastrand::Rng::new(), 1..5, 20);
    support::eventually(crate::edge::LIMIT, "the certificate is refused", || {
        edge.target(NAME)["error"].as_str().is_some_and(|error| error.contains("ertificate")).then_some(())
    });
}

#[test]
fn pgvector_finds_the_nearest() {
    let postgres = Postgres::start(Options { vector: true, ..Options::default() }).expect("PostgreSQL 18");
    postgres.psql("postgres", "CREATE DATABASE online").expect("a database");
    postgres.psql("online", "CREATE EXTENSION vector").expect("pgvector");
    let repository = Repository::new(&online(postgres.port(), "vector_enabled: true"), true);
    let address = format!("{HOST}:{}/online", postgres.port());
    let mut edge = Edge::start(&target("pgvector", &address, ""), true);
    let mut rng = fastrand::Rng::new();
    edge.change(&mut rng, 1..40, 400);
    edge.settled(NAME);
    let users: Vec<i64> = (1..40).collect();
    let mut reader = repository.reader();
    story::equal(&mut Plain(&mut reader), &[&edge], &users, "with vectors");
    let mut places: Vec<(f64, Vec<f64>)> = crate::edge::newest(&[&edge], &users)
        .values()
        .filter_map(|features| {
            let place = features["place"].as_array()?.iter().map(|n| n.as_f64());
            let place = place.collect::<Option<Vec<f64>>>()?;
            Some(((place[0] - 1.0).powi(2) + (place[1] + 2.0).powi(2), place))
        })
        .collect();
    places.sort_by(|a, b| a.0.total_cmp(&b.0));
    let distance = |place: &serde_json::Value| {
        let at = |n: usize| place[n].as_f64().expect("a number");
        (at(0) - 1.0).powi(2) + (at(1) + 2.0).powi(2)
    };
    let near = reader.near([1.0, -2.0]);
    let mut found: Vec<f64> = near.as_array().expect("places").iter().map(distance).collect();
    // Feast gives them in no order.
    found.sort_by(f64::total_cmp);
    let wanted: Vec<f64> = places.iter().take(3).map(|(far, _)| *far).collect();
    assert_eq!(found, wanted, "{near}");
    assert_eq!(edge.program.stop().expect("the agent stops"), 0);
}
