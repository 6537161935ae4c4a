//! Feast's SDK reads from the agent, and learns from its training sets: PostgreSQL → connector → agent → the
//! SDK's remote online store, each value as the SQL gives it; then a training set for what was served, read
//! back by pandas and by Feast's `get_historical_features`.

use crate::edge_to_redis::{LIMIT, Ports, caught_up, connector};
use fastrand::Rng;
use serde_json::{Value as Json, json};
use stack::folder::Folder;
use stack::{Feast, Postgres, http};
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;
use support::{Binary, Launch};

const TABLE: &str = "
CREATE TABLE things (
  id bigserial PRIMARY KEY, user_id bigint NOT NULL, shop text NOT NULL, amount numeric(12,2),
  weight double precision, flag boolean, label text, seen timestamptz NOT NULL, whole int);";
const USERS: i64 = 5;
const SHOPS: [&str; 3] = ["north", "7", "süd"];
const ROUNDS: usize = 4;
/// Longer than `features.tick`, after which windows are looked at again.
const SETTLE: Duration = Duration::from_millis(450);

#[test]
fn feast_reads_from_the_agent_and_learns_from_its_training_sets() {
    let seed = std::env::var("SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("SEED={seed}");
    let mut rng = Rng::with_seed(seed);
    let feast = Feast::install().expect("Feast is there");
    let postgres = Postgres::start(Default::default()).expect("PostgreSQL");
    postgres.psql("postgres", "CREATE DATABASE shop").expect("a database");
    postgres.psql("shop", TABLE).expect("a table");
    let ports = Ports::free();
    let mut launch = Launch::new(Binary::Agent, include_str!("serving.toml")).expect("a launch");
    launch
        .set("door.listen", format!("127.0.0.1:{}", ports.door))
        .set("registry.listen", format!("127.0.0.1:{}", ports.registry))
        .set("features.listen", format!("127.0.0.1:{}", ports.features));
    let mut agent = launch.start().expect("the agent starts");
    agent.wait_ready(LIMIT).expect("the agent is ready");
    let connector_launch = connector(&postgres, &ports);
    let mut connector = connector_launch.start().expect("the connector starts");
    connector.wait_ready(LIMIT).expect("the connector is ready");

    let address = format!("http://127.0.0.1:{}", ports.features);
    let (mut served, mut count) = (Vec::new(), 0);
    for _ in 0..ROUNDS {
        for _ in 0..rng.usize(5..30) {
            postgres.psql("shop", &change(&mut rng)).expect("changed");
        }
        caught_up(&postgres, &connector);
        wait_processed(&agent);
        served.extend(steady(&address));
    }
    count += served.len();
    assert!(count > 30, "there is something to compare: {count}");
    read_by_sdk(&feast, &postgres, &address);
    train(&feast, &launch, &served);
    assert_eq!(connector.stop().expect("the connector stops"), 0);
    assert_eq!(agent.stop().expect("the agent stops"), 0);
}

fn change(rng: &mut Rng) -> String {
    let value = |rng: &mut Rng, text: String| if rng.u8(0..6) == 0 { "NULL".to_owned() } else { text };
    let (amount, weight, whole) = (rng.i32(-999..99_999), rng.f64() * 1e3, rng.i32(..));
    let cells = [
        rng.i64(1..=USERS).to_string(),
        format!("'{}'", SHOPS[rng.usize(0..SHOPS.len())]),
        value(rng, format!("{}.{:02}", amount, amount.unsigned_abs() % 100)),
        value(rng, format!("{weight:?}")),
        value(rng, "true".to_owned()),
        value(rng, format!("'label {whole} ü'")),
        format!("clock_timestamp() - {} * interval '1 millisecond'", rng.u32(0..4_000)),
        value(rng, whole.to_string()),
    ];
    match rng.u8(0..10) {
        0..7 => format!(
            "INSERT INTO things (user_id, shop, amount, weight, flag, label, seen, whole) VALUES ({})",
            cells.join(", ")
        ),
        7 => format!("UPDATE things SET amount = {} WHERE id % 7 = {}", cells[2], rng.u8(0..7)),
        8 => format!("UPDATE things SET user_id = {} WHERE id % 11 = {}", cells[0], rng.u8(0..11)),
        _ => format!("DELETE FROM things WHERE id % 13 = {}", rng.u8(0..13)),
    }
}

/// What is in the log has become features.
fn wait_processed(agent: &support::Program) {
    support::eventually(LIMIT, "the log is processed", || {
        let status = agent.status().ok()?;
        let partitions = status["topics"].as_array()?.iter().flat_map(|topic| topic["partitions"].as_array());
        partitions.flatten().all(|partition| partition["lag"] == 0).then_some(())
    });
}

fn entities() -> Vec<(i64, &'static str)> {
    (1..=USERS + 1).flat_map(|user| SHOPS.map(|shop| (user, shop))).collect()
}

fn ask(address: &str) -> Json {
    let (users, shops): (Vec<i64>, Vec<&str>) = entities().into_iter().unzip();
    let mut features: Vec<String> = LAST.iter().map(|name| format!("last_thing:{name}")).collect();
    features.extend(TOTAL.map(|name| format!("user_total:{name}")));
    let body = json!({"features": features, "full_feature_names": true, "entities": {"user_id": users, "shop": shops}});
    http::post(&format!("{address}/get-online-features"), &body)
        .and_then(http::Answer::json)
        .expect("answered")
}

const LAST: [&str; 9] = ["amount", "weight", "flag", "label", "at", "whole", "wholes", "labels", "things"];
const TOTAL: [&str; 4] = ["things", "amount", "recent", "vector"];

/// What was served at an instant, and had not changed a while later: windows are looked at every tick, so only
/// then is it known that nothing was about to leave one.
fn steady(address: &str) -> Vec<Json> {
    std::thread::sleep(SETTLE);
    let first = ask(address);
    std::thread::sleep(SETTLE);
    let second = ask(address);
    let at = &first["metadata"]["tidegate"]["served_at"];
    let names = first["metadata"]["feature_names"].as_array().expect("names");
    let mut served = Vec::new();
    for (place, (user, shop)) in entities().into_iter().enumerate() {
        let mut row = json!({"event_timestamp": at, "user_id": user, "shop": shop});
        let same = |at: usize| {
            let [a, b] = [&first, &second].map(|answer| &answer["results"][at]);
            a["values"][place] == b["values"][place]
                && a["event_timestamps"][place] == b["event_timestamps"][place]
        };
        if (0..names.len()).all(same) {
            for (name, result) in names.iter().zip(first["results"].as_array().expect("results")) {
                let name = name.as_str().expect("a name");
                if name.contains("__") {
                    row[name] = result["values"][place].clone();
                }
            }
            served.push(row);
        }
    }
    served
}

/// The SDK's remote store gives what the SQL gives, names what is wrong as Feast's own server does, and knows
/// why a value is missing.
fn read_by_sdk(feast: &Feast, postgres: &Postgres, address: &str) {
    let folder = Folder::new("serving").expect("a folder");
    let sql = "
        SELECT coalesce(json_agg(json_build_object('user_id', user_id, 'shop', shop, 'amount', amount::float8, 'weight', weight,
                 'flag', flag, 'label', label, 'at', floor(extract(epoch FROM seen))::bigint, 'whole', whole,
                 'wholes', wholes, 'labels', labels, 'things', things)), '[]')
        FROM (SELECT DISTINCT ON (user_id, shop) t.*,
                (SELECT (array_agg(whole ORDER BY seen DESC, id DESC) FILTER (WHERE whole IS NOT NULL))[1:3]
                 FROM things o WHERE o.user_id = t.user_id AND o.shop = t.shop) AS wholes,
                (SELECT (array_agg(label ORDER BY seen DESC, id DESC) FILTER (WHERE label IS NOT NULL))[1:2]
                 FROM things o WHERE o.user_id = t.user_id AND o.shop = t.shop) AS labels,
                (SELECT count(*) FROM things o WHERE o.user_id = t.user_id AND o.shop = t.shop) AS things
              FROM things t ORDER BY user_id, shop, seen DESC, id DESC) latest";
    folder.write("wanted.json", &postgres.psql("shop", sql).expect("the shop answers")).expect("written");
    let rows: Vec<Json> =
        entities().iter().map(|(user, shop)| json!({"user_id": user, "shop": shop})).collect();
    folder.write("entities.json", &json!(rows).to_string()).expect("written");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/serving/read.py");
    let home = folder.path().display().to_string();
    let said = feast.run(folder.path(), &script, &[&home, address]).expect("it ends well");
    assert_eq!(said.lines().last(), Some("ok"), "{said}");
}

fn train(feast: &Feast, launch: &Launch, served: &[Json]) {
    let folder = Folder::new("training").expect("a folder");
    let mut spine = "label,shop,event_timestamp,user_id\n".to_owned();
    for (at, row) in served.iter().enumerate() {
        let cell = |name: &str| row[name].as_str().map_or_else(|| row[name].to_string(), str::to_owned);
        writeln!(spine, "{at},{},{},{}", cell("shop"), cell("event_timestamp"), cell("user_id"))
            .expect("in memory");
    }
    let spine = folder.write("spine.csv", &spine).expect("written").display().to_string();
    folder.write("served.json", &json!(served).to_string()).expect("written");
    let out = folder.path().join("train.parquet").display().to_string();
    let words = ["--spine", &spine, "--out", &out, "--view", "last_thing", "--view", "user_total"];
    let (code, said) = launch.command("training", &words).expect("it runs");
    assert_eq!(code, 0, "{said}");
    assert!(said.contains(&format!("{} rows, 13 features", served.len())), "{said}");
    let (code, _) =
        launch.command("training", &["--spine", &spine, "--out", &out, "--view", "nobody"]).expect("it runs");
    assert_eq!(code, 2, "an unknown view is a mistake in the call");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/serving/train.py");
    let home = folder.path().display().to_string();
    let said = feast.run(folder.path(), &script, &[&home]).expect("it ends well");
    assert_eq!(said.lines().last(), Some("ok"), "{said}");
}
