//! Debezium stores a running incremental snapshot with Java's objects: what it wrote is what we write.

use crate::{LIMIT, NAME, World, as_our_file, load};
use serde_json::{Value, json};
use stack::Connect;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use support::{Binary, eventually};

/// A type for a key, and an expression of a number `g` that gives different values of it. Not among them
/// are times and money: Debezium holds their keys as texts, which PostgreSQL does not compare with the
/// column, and so leaves those tables out.
const KEYS: [(&str, &str); 13] = [
    ("int2", "g::int2"),
    ("int4", "g"),
    ("int8", "g * 10000000000"),
    ("oid", "(4000000000 + g)::oid"),
    ("float4", "g / 4.0"),
    ("float8", "g / 3.0"),
    ("numeric", "g / 8.0"),
    ("bool", "g > 120"),
    ("text", "'row é ' || g"),
    ("uuid", "md5(g::text)::uuid"),
    ("bytea", "decode(md5(g::text), 'hex')"),
    ("date", "date '2024-01-01' + g"),
    ("inet", "'10.0.0.0'::inet + g"),
];

/// So long a table is read anew, if no key of it was stored.
const ENOUGH: Duration = Duration::from_secs(8);

/// Java's null, serialised.
const NULL: &str = "aced000570";
/// Longer than Debezium takes for one of these tables.
const ASK_AGAIN: Duration = Duration::from_secs(20);

const INCREMENTAL: [&str; 4] = [
    "incremental_snapshot_collections",
    "incremental_snapshot_primary_key",
    "incremental_snapshot_maximum_key",
    "incremental_snapshot_correlation_id",
];

#[test]
fn every_key_that_debezium_stores_is_ours_to_the_byte() {
    let (world, connect) = World::new(Connect::start);
    world.sql(
        "CREATE TABLE signal (id varchar(42) PRIMARY KEY, type varchar(32) NOT NULL, data varchar(2048))",
    );
    for (name, value) in KEYS {
        // Java keeps one object for each number up to 127, and makes new ones beyond.
        world.sql(&format!(
            "CREATE TABLE key_{name} (k {name}, a int, PRIMARY KEY (k, a)); \
             INSERT INTO key_{name} SELECT {value}, g FROM generate_series(110, 140) g"
        ));
    }
    // Row by row, so that it takes about the two seconds after which a position is stored.
    let configuration = world.configuration(&json!({
        "signal.data.collection": "public.signal",
        "incremental.snapshot.chunk.size": "1",
        "snapshot.mode": "no_data",
    }));
    connect.run(NAME, &configuration).expect("Debezium runs");
    world.wait_streaming();
    // When it stores a position is chance: a few readings of each table will do, more of them where they are quick.
    for (name, _) in KEYS {
        let table = format!("public.key_{name}");
        let holds = |offset: &Value| collections(offset).contains(&table) && offset[INCREMENTAL[1]] != NULL;
        let begun = Instant::now();
        while begun.elapsed() < ENOUGH {
            read(&world, &table);
            if stored_snapshots(&world).iter().any(holds) {
                break;
            }
        }
    }
    let found = stored_snapshots(&world);
    let mut keys = BTreeSet::new();
    let file = world.folder.path().join("position.json");
    for offset in &found {
        as_our_file(&file, offset);
        let ours: Value = serde_json::from_str(&shown(&world, &file)).expect("JSON");
        for name in INCREMENTAL {
            assert_eq!(ours.get(name), offset.get(name), "{name} of {offset}");
        }
        keys.insert(offset[INCREMENTAL[1]].to_string());
    }
    assert!(keys.len() >= 3, "hardly a key was stored: {keys:?}");
}

fn collections(offset: &Value) -> &str {
    offset[INCREMENTAL[0]].as_str().unwrap_or_default()
}

/// Takes a snapshot of one table and waits for its end. Debezium passes a signal over that comes while it ends
/// the reading before: then it is sent again.
fn read(world: &World, table: &str) {
    let data = json!({ "data-collections": [table], "type": "incremental" }).to_string();
    let name = table.rsplit('.').next().unwrap_or_default();
    let rows: i64 = world.sql(&format!("SELECT count(*) FROM {table}")).parse().expect("a number");
    let read = world.records(name) + rows;
    let mut asked: Option<Instant> = None;
    eventually(LIMIT, &format!("{table} is read"), || {
        if asked.is_none_or(|asked| asked.elapsed() > ASK_AGAIN) {
            asked = Some(Instant::now());
            let signal = format!("VALUES (gen_random_uuid()::text, 'execute-snapshot', '{data}')");
            world.sql(&format!("INSERT INTO signal {signal}"));
        }
        (world.records(name) >= read).then_some(())
    });
}

fn stored_snapshots(world: &World) -> Vec<Value> {
    let mut found = world.stored();
    found.retain(|offset| offset.get(INCREMENTAL[0]).is_some());
    found
}

/// `offset show` of a file of ours.
fn shown(world: &World, file: &std::path::Path) -> String {
    let configuration = format!(
        "[source]\ndatabase = 'x'\nuser = 'x'\n[event]\ntopic_prefix = '{NAME}'\n[avro.registry]\nurl = ['http://x']\n\
         [sink.kafka]\nbrokers = 'x:1'\n[offset]\nconnector = '{NAME}'\npath = '{}'\n",
        file.display()
    );
    let path = world.folder.write("show.toml", &configuration).expect("a file");
    let output =
        Binary::Connector.output(&["offset", "show", "-c", &path.display().to_string()]).expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

const ROWS: i64 = 40_000;

/// Begun by Debezium, killed, gone on by us, stopped, gone on by Debezium: while the rows change.
#[test]
fn an_incremental_snapshot_goes_on_in_the_other() {
    let (world, mut connect) = World::new(Connect::start);
    world.sql(&format!(
        "CREATE TABLE signal (id varchar(42) PRIMARY KEY, type varchar(32) NOT NULL, data varchar(2048));
         CREATE TABLE item (id bigint PRIMARY KEY, n bigint NOT NULL);
         INSERT INTO item SELECT g, 0 FROM generate_series(1, {ROWS}) g"
    ));
    let configuration = world.configuration(&json!({
        "signal.data.collection": "public.signal",
        "incremental.snapshot.chunk.size": "1000",
        "snapshot.mode": "no_data",
    }));
    connect.run(NAME, &configuration).expect("Debezium runs");
    world.wait_streaming();
    let data = json!({ "data-collections": ["public.item"], "type": "incremental" });
    let change = |number: i64| format!("UPDATE item SET n = n + 1 WHERE id = {};", number * 7919 % ROWS + 1);
    load::with_writers(&world.postgres, change, || {
        world.sql(&format!("INSERT INTO signal VALUES ('ask', 'execute-snapshot', '{data}')"));
        eventually(LIMIT, "Debezium stores a key", || {
            let stored = stored_snapshots(&world);
            stored.iter().any(|offset| offset[INCREMENTAL[1]] != "aced000570").then_some(())
        });
        connect.kill().expect("kill -9");
        let by_debezium = reads(&world);
        assert!(by_debezium.len() < ROWS as usize / 2, "it was too quick");
        world.wait_slot_free();

        let mut launch = world.launch(&configuration);
        launch.set("signal.chunk_rows", 20);
        let enough = world.records("item") + 5_000;
        let mut ours = launch.start().expect("we start");
        eventually(LIMIT, "we go on", || (world.records("item") > enough).then_some(()));
        assert_eq!(ours.stop().expect("it stops"), 0);
        let by_us = reads(&world).split_off(by_debezium.len());
        assert!(by_us.len() < ROWS as usize - by_debezium.len(), "we were too quick");
        goes_on(&by_debezium, &by_us);

        connect.start_again().expect("the worker comes back");
        eventually(LIMIT, "all rows are read", || {
            let stored = world.stored().pop()?;
            stored.get(INCREMENTAL[0]).is_none().then_some(())
        });
        let by_debezium_again = reads(&world).split_off(by_debezium.len() + by_us.len());
        goes_on(&by_us, &by_debezium_again);
    });
    let rows: BTreeSet<i64> = reads(&world).into_iter().collect();
    assert_eq!(
        rows.len() as i64,
        ROWS - missing(&world, &rows),
        "each row is read, or was changed in its window"
    );
    eventually(LIMIT, "the topic is the table", || {
        let sum: i64 = world.sql("SELECT sum(n) FROM item").parse().expect("a number");
        (newest(&world).values().sum::<i64>() == sum).then_some(())
    });
}

/// Keys that the snapshot has read, in the topic's order.
fn reads(world: &World) -> Vec<i64> {
    let told = world.changes("item", ["id", "n"]);
    told.into_iter().filter(|(op, ..)| op == "r").map(|(_, id, _)| id).collect()
}

/// The second one begins behind the first one's first chunks, and leaves no gap.
fn goes_on(first: &[i64], second: &[i64]) {
    let (last, next) = (first.last().expect("rows"), second.first().expect("rows"));
    assert!(*next > 100, "it began anew, at {next}");
    // A row that was changed meanwhile is left out of a chunk.
    assert!(*next <= last + 50, "it goes on at {next}, and the other came to {last}");
}

/// Rows that were told as changes only.
fn missing(world: &World, read: &BTreeSet<i64>) -> i64 {
    let told: BTreeSet<i64> = newest(world).into_keys().collect();
    told.difference(read).count() as i64
}

fn newest(world: &World) -> BTreeMap<i64, i64> {
    world.changes("item", ["id", "n"]).into_iter().map(|(_, id, n)| (id, n)).collect()
}
