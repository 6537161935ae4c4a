//! A standalone worker keeps positions in a file of Java's: we go on from it, and it goes on from ours.

use crate::{LIMIT, NAME, World, load};
use serde_json::json;
use stack::Connect;
use std::time::Duration;

#[test]
fn a_standalone_worker_s_file() {
    let (world, mut connect) = World::new(Connect::standalone);
    load::prepare(&world);
    let configuration = world.configuration(&json!({}));
    connect.run(NAME, &configuration).expect("Debezium runs");
    world.wait_streaming();
    load::with_load(&world.postgres, || std::thread::sleep(Duration::from_secs(3)));
    load::check(&world);
    // It stores every two seconds, and at its end.
    connect.stop().expect("the worker stops");
    world.wait_slot_free();

    let launch = world.launch(&configuration);
    let shown = world.offset(&["show"]);
    assert!(shown.contains("lsn_commit"), "{shown}");
    let mut ours = launch.start().expect("we start");
    ours.wait_ready(LIMIT).expect("ready");
    load::with_load(&world.postgres, || std::thread::sleep(Duration::from_secs(2)));
    let repeats = load::check(&world);
    assert_eq!(ours.stop().expect("it stops"), 0);
    let written = std::fs::read(connect.offsets_file()).expect("the file");
    assert_eq!(written.get(..4), Some(&[0xac, 0xed, 0, 5][..]), "it is still Java's");

    // Into a file of our own, and from there into a new one for Java.
    let own = world.folder.path().join("own.json").display().to_string();
    let java = connect.offsets_file().display().to_string();
    let kept = format!("offset.path={own}");
    world.offset(&["import", "--from", &java, "--set", &kept]);
    std::fs::remove_file(connect.offsets_file()).expect("the file goes");
    let said = world.offset(&["export", "--to", &java, "--set", &kept]);
    assert!(said.contains(&own) && said.contains(&java), "{said}");

    connect.start_again().expect("the worker comes back");
    connect.run(NAME, &configuration).expect("Debezium goes on");
    world.wait_streaming();
    load::with_load(&world.postgres, || std::thread::sleep(Duration::from_secs(2)));
    assert_eq!(load::check(&world).changes, repeats.changes, "Debezium went on, and read nothing twice");
}
