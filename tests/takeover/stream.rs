//! Debezium streams under load, is stopped or killed, and we go on; and back again.

use crate::{LIMIT, NAME, World, load};
use serde_json::json;
use stack::Connect;
use std::time::Duration;
use support::{Launch, eventually};

const A_WHILE: Duration = Duration::from_secs(4);

#[test]
fn there_and_back_under_load() {
    let (world, mut connect) = World::new(Connect::start);
    load::prepare(&world);
    let configuration = world.configuration(&json!({}));
    connect.run(NAME, &configuration).expect("Debezium runs");
    world.wait_streaming();

    // Stopped in good order.
    load::with_load(&world.postgres, || {
        // So each table's schemas are Debezium's.
        eventually(LIMIT, "Debezium streams both tables", || {
            (world.records("journal") > 0 && world.records("account") > load::ACCOUNTS).then_some(())
        });
        std::thread::sleep(A_WHILE);
        connect.pause(NAME).expect("Debezium stops");
        world.wait_slot_free();
    });
    let versions = world.versions();
    assert!(!versions.is_empty());
    let launch = world.launch(&configuration);
    let mut ours = launch.start().expect("we start");
    ours.wait_ready(LIMIT).expect("ready");
    load::with_load(&world.postgres, || std::thread::sleep(A_WHILE));
    let repeats = load::check(&world);
    // Within a transaction Debezium stores the last row's place, and that transaction comes again.
    assert!(repeats.changes <= 6, "{} repeats: more than two transactions", repeats.changes);
    assert_eq!(world.versions(), versions, "no new version of a schema");
    assert_eq!(ours.stop().expect("it stops"), 0);

    // Back: what we stored is where Debezium goes on, with nothing twice.
    world.sql("UPDATE account SET n = n + 1");
    load::with_load(&world.postgres, || {
        connect.resume(NAME).expect("Debezium goes on");
        world.wait_streaming();
        std::thread::sleep(A_WHILE);
    });
    let back = load::check(&world);
    assert_eq!(back.changes, repeats.changes, "a position that we stored in good order repeats nothing");

    // Killed, in the middle of it.
    load::with_load(&world.postgres, || {
        std::thread::sleep(A_WHILE);
        connect.kill().expect("kill -9");
        world.wait_slot_free();
        let mut ours = launch.start().expect("we start");
        ours.wait_ready(LIMIT).expect("ready");
        std::thread::sleep(A_WHILE);
        ours.kill().expect("kill -9");
        world.wait_slot_free();
        connect.start_again().expect("the worker comes back");
        world.wait_streaming();
        std::thread::sleep(A_WHILE);
    });
    load::check(&world);
    assert_eq!(world.versions(), versions, "no new version of a schema");
    with_a_file_of_our_own(&world, &connect, launch);
}

/// Our position stands elsewhere than Debezium's: it is taken from Connect's topic and handed back to it.
fn with_a_file_of_our_own(world: &World, connect: &Connect, mut launch: Launch) {
    connect.pause(NAME).expect("Debezium stops");
    world.wait_slot_free();
    let own = world.folder.path().join("own.json").display().to_string();
    let (kind, path) = ("offset.kind=file", format!("offset.path={own}"));
    let said = world.offset(&["import", "--set", kind, "--set", &path]);
    assert!(said.contains("topic _connect-offsets") && said.contains(&own), "{said}");
    launch.set("offset.kind", "file").set("offset.path", &own);
    let mut ours = launch.start().expect("we start");
    ours.wait_ready(LIMIT).expect("ready");
    load::with_load(&world.postgres, || std::thread::sleep(A_WHILE));
    let repeats = load::check(world);
    assert_eq!(ours.stop().expect("it stops"), 0);

    let said = world.offset(&["export", "--set", kind, "--set", &path]);
    assert!(said.contains("it replaces the position"), "{said}");
    connect.resume(NAME).expect("Debezium goes on");
    world.wait_streaming();
    load::with_load(&world.postgres, || std::thread::sleep(A_WHILE));
    assert_eq!(load::check(world).changes, repeats.changes, "what was handed back repeats nothing");
    // Where it stands already, it is said so.
    connect.pause(NAME).expect("Debezium stops");
    let said = world.offset(&["export"]);
    assert!(said.contains("it was there already"), "{said}");
}
