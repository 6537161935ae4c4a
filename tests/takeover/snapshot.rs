//! Debezium is killed in its initial snapshot, and we begin it anew; and the other way round.

use crate::{LIMIT, NAME, World};
use serde_json::json;
use stack::Connect;
use std::collections::BTreeSet;
use support::eventually;

const ROWS: i64 = 300_000;

fn prepare(world: &World) {
    world.sql(&format!(
        "CREATE TABLE item (id bigint PRIMARY KEY, n bigint NOT NULL, note text);
         INSERT INTO item SELECT g, 0, repeat('x', 50) FROM generate_series(1, {ROWS}) g"
    ));
}

/// Waits until the row is told that was written last; what was told from the record `from` on are all rows.
fn all_are_told(world: &World, from: i64) -> Vec<(String, i64, i64)> {
    world.sql("INSERT INTO item VALUES (1000000, 5, 'streamed')");
    let mut told = eventually(LIMIT, "the last row comes", || {
        let told = world.changes("item", ["id", "n"]);
        told.iter().any(|(_, id, _)| *id == 1_000_000).then_some(told)
    });
    let told = told.split_off(usize::try_from(from).expect("a count"));
    let rows: BTreeSet<i64> = told.iter().map(|(_, id, _)| *id).collect();
    assert_eq!(rows.len() as i64, ROWS, "all rows but the deleted one, and the new one");
    told
}

#[test]
fn a_snapshot_that_debezium_did_not_finish() {
    let (world, mut connect) = World::new(Connect::start);
    prepare(&world);
    let configuration = world.configuration(&json!({}));
    connect.put(NAME, &configuration).expect("Debezium is asked");
    eventually(LIMIT, "Debezium reads", || (world.records("item") > 20_000).then_some(()));
    connect.kill().expect("kill -9");
    let read = world.records("item");
    assert!(read < ROWS, "it was too quick: {read}");
    world.wait_slot_free();
    world.sql("UPDATE item SET n = 1 WHERE id % 1000 = 0; DELETE FROM item WHERE id = 7");

    let launch = world.launch(&configuration);
    let mut ours = launch.start().expect("we start");
    ours.wait_ready(LIMIT).expect("ready");
    // Not before we read it all: Debezium's rows are there already.
    eventually(LIMIT, "we read it all", || (world.records("item") >= read + ROWS - 1).then_some(()));
    world.wait_streaming();
    let told = all_are_told(&world, read);
    assert!(told.iter().any(|(_, id, n)| (*id, *n) == (1_000, 1)), "what was changed meanwhile is read");
    assert_eq!(ours.stop().expect("it stops"), 0);
}

#[test]
fn a_snapshot_that_we_did_not_finish() {
    let (world, connect) = World::new(Connect::start);
    prepare(&world);
    let configuration = world.configuration(&json!({}));
    let launch = world.launch(&configuration);
    let mut ours = launch.start().expect("we start");
    eventually(LIMIT, "we read", || (world.records("item") > 0).then_some(()));
    ours.kill().expect("kill -9");
    let read = world.records("item");
    assert!(read < ROWS, "it was too quick: {read}");
    world.wait_slot_free();
    world.sql("DELETE FROM item WHERE id = 7");
    connect.run(NAME, &configuration).expect("Debezium runs");
    eventually(LIMIT, "Debezium reads it all", || (world.records("item") >= read + ROWS - 1).then_some(()));
    all_are_told(&world, read);
}
