//! Several stores at once: one down for long, one that refuses a row, one well.

use crate::edge::{Edge, LIMIT, person};
use crate::feast::Repository;
use crate::redis::Plain;
use crate::story;
use serde_json::json;
use stack::proxy::{Network, Proxy};
use stack::{HOST, Postgres, Redis, http};
use std::process::Command;
use support::{Binary, eventually};

#[test]
fn stores_do_not_wait_for_each_other_and_a_bad_row_waits_aside() {
    let (redis, away) = (Redis::start().expect("Redis"), Redis::start().expect("another Redis"));
    let postgres = Postgres::start(stack::postgres::Options::default()).expect("PostgreSQL");
    let proxy = Proxy::start(away.port()).expect("a proxy");
    proxy.set(Network::Down);
    let repository =
        Repository::new(&format!("type: redis\nconnection_string: \"{},db=0\"", redis.address()), true);
    let late = Repository::new(&format!("type: redis\nconnection_string: \"{},db=0\"", away.address()), true);
    let targets = format!(
        "[sync.well]\nkind = \"redis\"\nurl = \"{}\"\nproject = \"edge\"\n
         [sync.away]\nkind = \"redis\"\nurl = \"redis://{}\"\nproject = \"edge\"\nretry_ceiling = \"300ms\"\n
         [sync.sql]\nkind = \"postgres\"\nurl = \"postgres://{HOST}:{}/postgres\"\nuser = \"postgres\"\n
         password = \"postgres\"\nproject = \"edge\"\nviews = [\"pair\"]\n",
        redis.url(),
        proxy.address(),
        postgres.port()
    );
    let mut edge = Edge::start(&targets, true);
    edge.allow(&["sync_rows_refused"]);
    let mut rng = fastrand::Rng::new();
    edge.change(&mut rng, 1..60, 2_000);
    edge.settled("well");
    edge.settled("sql");
    let waiting = edge.target("away")["waiting"].as_i64().expect("a count");
    assert!((59..=118).contains(&waiting), "one row per view and entity: {waiting}");
    let users: Vec<i64> = (1..60).collect();
    let mut reader = repository.reader();
    story::equal(&mut Plain(&mut reader), &[&edge], &users, "where nothing is away");
    let no_profile = "SELECT count(*) FROM information_schema.tables WHERE table_name = 'edge_profile'";
    assert_eq!(postgres.psql("postgres", no_profile).expect("a count"), "0", "only the view that is wanted");

    // PostgreSQL comes to refuse long keys; Redis does not.
    let short = "ALTER TABLE edge_pair ADD CONSTRAINT short CHECK (octet_length(entity_key) < 500)";
    postgres.psql("postgres", short).expect("a constraint");
    let mut long = person(&mut rng, 70);
    long["shop"] = json!("x".repeat(600));
    edge.bring(&[long]);
    edge.change(&mut rng, 1..60, 300);
    edge.settled("sql");
    edge.settled("well");
    assert_eq!((&edge.target("sql")["refused"], &edge.target("well")["refused"]), (&json!(1), &json!(0)));
    let rows = || postgres.psql("postgres", "SELECT count(*) FROM edge_pair").expect("a count");
    assert_eq!(rows(), "59", "the others are not held up");
    listed_and_retried(&edge, &postgres);
    assert_eq!(rows(), "60", "taken in the end");

    // Restarted with nothing to send, then the absent one comes back.
    edge.restart();
    proxy.set(Network::Well);
    edge.settled("away");
    story::equal(&mut Plain(&mut late.reader()), &[&edge], &users, "where it was away");
    let file = edge.launch.folder().join("agent.db");
    assert_eq!(edge.program.stop().expect("the agent stops"), 0);
    let left = rusqlite::Connection::open(file).expect("the file");
    let left: i64 =
        left.query_row("SELECT count(*) FROM sync_outbox", [], |row| row.get(0)).expect("a count");
    assert_eq!(left, 0, "what all stores have is dropped");
}

/// The refused row: named with its reason, tried again in vain, then taken once the reason is gone.
fn listed_and_retried(edge: &Edge, postgres: &Postgres) {
    let refused = http::get(&edge.program.url("/sync/refused?target=sql")).and_then(http::Answer::json);
    let refused = refused.expect("a list");
    assert_eq!(refused.as_array().expect("a list").len(), 1, "{refused}");
    assert_eq!((&refused[0]["view"], &refused[0]["entity"]["user_id"]), (&json!("pair"), &json!(70)));
    assert!(refused[0]["reason"].as_str().expect("a reason").contains("\"short\""), "{refused}");
    let listed = command(edge, &["list", "--target", "sql"]);
    assert!(listed.contains("sql  pair") && listed.ends_with("1 refused\n"), "{listed}");
    let status = edge.launch.command("status", &[]).expect("status").1;
    assert!(status.contains("1 REFUSED"), "{status}");
    let nobody = http::post(&edge.program.url("/sync/retry"), &json!({"target": "nobody"}));
    assert_eq!(nobody.expect("an answer").status, 404);
    assert_eq!(command(edge, &["retry", "--target", "sql"]), "1 rows are tried again\n");
    eventually(LIMIT, "it is refused once more", || (edge.target("sql")["refused"] == 1).then_some(()));
    postgres.psql("postgres", "ALTER TABLE edge_pair DROP CONSTRAINT short").expect("dropped");
    command(edge, &["retry"]);
    edge.settled("sql");
    assert_eq!(edge.target("sql")["refused"], 0);
}

/// `tidegate-agent sync …`, as a person at the machine.
fn command(edge: &Edge, words: &[&str]) -> String {
    let admin = edge.program.url("").replace("http://", "admin.listen=");
    let mut command = Command::new(Binary::Agent.path().expect("the agent"));
    command.current_dir(edge.launch.folder()).arg("sync").args(words);
    let out = command.args(["-c", "config.toml", "--set", &admin]).output().expect("it runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).expect("text")
}

#[test]
fn a_store_that_is_added_later_gets_everything() {
    let (first, second) = (Redis::start().expect("Redis"), Redis::start().expect("another Redis"));
    let repository =
        Repository::new(&format!("type: redis\nconnection_string: \"{},db=0\"", second.address()), true);
    let target = format!("[sync.first]\nkind = \"redis\"\nurl = \"{}\"\nproject = \"edge\"\n", first.url());
    let mut edge = Edge::start(&target, true);
    edge.change(&mut fastrand::Rng::new(), 1..60, 500);
    edge.settled("first");
    let sent = edge.program.metric("tidegate_agent_sync_sent_rows_total").expect("a metric");
    assert!(sent >= 118.0, "{sent}");
    edge.launch.set("sync.second.kind", "redis").set("sync.second.project", "edge");
    edge.launch.set("sync.second.url", second.url());
    edge.restart();
    edge.settled("second");
    assert_eq!(edge.target("first")["sent"], 0, "the others get nothing twice");
    let users: Vec<i64> = (1..60).collect();
    story::equal(&mut Plain(&mut repository.reader()), &[&edge], &users, "at the new one");
    assert_eq!(edge.program.stop().expect("the agent stops"), 0);
}
