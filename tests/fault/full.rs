//! A full disk under the agent: producers wait, nothing acknowledged is lost, and it goes on by itself.

use crate::peers::{Agent, LIMIT, connector, database, records, same_content};
use support::eventually;
use support::small_disk::SmallDisk;

#[test]
fn a_full_disk_makes_producers_wait_and_loses_nothing() {
    let Some(disk) = SmallDisk::new(24).expect("a folder") else { return };
    let path = disk.path().join("agent.db").display().to_string();
    let mut agent = Agent::start(&[("db.path", &path), ("buffer.reserve_free_bytes", "0")]);
    agent.launch.allow(&[
        "buffer_full",
        "buffer_commit_failed",
        "db_group_undone",
        "db_checkpoint_failed",
        "retention_waits",
        "upkeep_waits",
        "pipeline_waits",
    ]);
    let postgres = database();
    let mut launch = connector(&postgres, &agent.brokers(), &agent.registry());
    launch.allow(&["librdkafka", "kafka_lost"]);
    let mut running = launch.start().expect("it starts");
    running.wait_ready(LIMIT).expect("ready");
    eventually(LIMIT, "the snapshot is written", || (records(&agent) == 10).then_some(()));

    disk.fill().expect("filled");
    let rows = "INSERT INTO t SELECT g, repeat(md5(g::text), 8) FROM generate_series(11, 4000) g";
    postgres.psql("postgres", rows).expect("rows");
    std::thread::sleep(std::time::Duration::from_secs(3));
    let stuck = records(&agent);
    assert!(stuck < 4_000, "the disk was not full: {stuck} records came through");
    assert!(!agent.program.ended() && !running.ended(), "neither program ended");

    disk.free().expect("space again");
    eventually(LIMIT, "all rows are there", || (records(&agent) == 4_000).then_some(()));
    assert_eq!(running.stop().expect("the connector stops"), 0);
    assert_eq!(agent.program.stop().expect("the agent stops"), 0);
}

#[test]
fn a_full_disk_under_the_stored_position_is_waited_for() {
    let Some(disk) = SmallDisk::new(1).expect("a folder") else { return };
    let agent = Agent::start(&[]);
    let postgres = database();
    let mut launch = connector(&postgres, &agent.brokers(), &agent.registry());
    launch.set("offset.path", disk.path().join("offsets.json").display());
    launch.allow(&["connection_lost"]);
    let mut running = launch.start().expect("it starts");
    running.wait_ready(LIMIT).expect("ready");
    eventually(LIMIT, "the snapshot is written", || (records(&agent) == 10).then_some(()));
    disk.fill().expect("filled");
    let slot = "SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = 'fault'";
    postgres.psql("postgres", "INSERT INTO t SELECT g, 'w' FROM generate_series(11, 500) g").expect("rows");
    let line = running.wait_event("connection_lost", LIMIT).expect("it says so");
    assert!(line.field("error").contains("offsets.json"), "{}", line.text());
    let before = postgres.psql("postgres", slot).expect("the slot");
    std::thread::sleep(std::time::Duration::from_secs(2));
    let confirmed = postgres.psql("postgres", slot).expect("the slot");
    assert_eq!(confirmed, before, "what is not stored is not confirmed");
    assert!(!running.ended(), "it waits");
    disk.free().expect("space again");
    eventually(LIMIT, "the position moves", || {
        (postgres.psql("postgres", slot).ok()? != confirmed).then_some(())
    });
    same_content(&postgres, &agent.brokers(), &agent.registry());
    assert_eq!(running.stop().expect("it stops"), 0);
}
