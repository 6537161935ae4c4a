//! A standby as the source, and a slot that outlives a failover.

use crate::{LIMIT, World};
use stack::Postgres;
use support::{Launch, Program, eventually};

/// What a standby cannot do is said with the SQL for the primary; after that it streams like a primary.
#[test]
fn a_standby_is_a_source() {
    let mut world = World::new(16);
    let standby = world.postgres.standby().expect("a standby");
    let mut launch = world.launch(&standby);
    launch.allow(&["stopped"]);
    let mut refused = launch.start().expect("it starts");
    assert_eq!(refused.exit_code(LIMIT).expect("it ends"), 2);
    let said = refused.log().pop().expect("it says why").text().to_owned();
    for words in ["standby", "publication versions", "on the primary", "CREATE PUBLICATION"] {
        assert!(said.contains(words), "{words} is not in {said}");
    }

    world.sql("CREATE PUBLICATION versions FOR TABLE t");
    let seen = || standby.psql("postgres", "SELECT count(*) FROM pg_publication").ok();
    eventually(LIMIT, "the standby has the publication", || (seen()? == "1").then_some(()));
    let mut running = started(&launch, &world);
    world.wait_records(20);
    world.sql("INSERT INTO t (name, price) VALUES ('on the primary', 2); DELETE FROM t WHERE id = 1");
    world.wait_records(23);
    assert_eq!(running.stop().expect("it stops"), 0);
    world.sql("UPDATE t SET price = 9 WHERE id = 2");
    let mut running = launch.start().expect("it starts again");
    running.wait_ready(LIMIT).expect("ready");
    world.wait_records(24);
    assert_eq!(running.stop().expect("it stops"), 0);
    assert_eq!(world.told(), world.table());
}

/// A standby makes a slot once the primary has told it which transactions run.
fn started(launch: &Launch, world: &World) -> Program {
    let mut running = launch.start().expect("it starts");
    eventually(LIMIT, "it is ready", || {
        world.sql("SELECT pg_log_standby_snapshot()");
        running.wait_ready(std::time::Duration::from_millis(300)).ok()
    });
    running
}

/// The primary is lost; its standby has the slot, so nothing is missing.
#[test]
fn a_failover_slot_goes_on_at_the_new_primary() {
    let mut world = World::new(17);
    let standby = world.postgres.standby().expect("a standby");
    standby
        .psql("postgres", "ALTER SYSTEM SET sync_replication_slots = on; SELECT pg_reload_conf()")
        .expect("set");
    world.sql("ALTER SYSTEM SET synchronized_standby_slots = 'standby'; SELECT pg_reload_conf()");
    let mut launch = world.launch(&world.postgres);
    launch.set("source.slot_failover", "true").allow(&["connection_lost", "stop_incomplete"]);
    let mut running = launch.start().expect("it starts");
    running.wait_ready(LIMIT).expect("ready");
    world.wait_records(20);
    let flag = "SELECT failover FROM pg_replication_slots WHERE slot_name = 'versions'";
    assert_eq!(world.sql(flag), "t");
    world.sql("INSERT INTO t (name, price) VALUES ('before', 1)");
    world.wait_records(21);
    let synced =
        "SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'versions' AND synced AND NOT temporary";
    eventually(LIMIT, "the standby has the slot", || {
        world.sql("UPDATE t SET ratio = ratio WHERE id = 1");
        (standby.psql("postgres", synced).ok()? == "1").then_some(())
    });
    caught_up(&world, &standby);
    assert_eq!(running.stop().expect("it stops"), 0);
    world.postgres.kill().expect("the primary dies");
    standby.psql("postgres", "SELECT pg_promote()").expect("promoted");
    standby.psql("postgres", "INSERT INTO t (name, price) VALUES ('after', 2)").expect("a row");
    world.postgres = standby;
    launch.set("source.port", world.postgres.port());
    let mut running = launch.start().expect("it starts again");
    running.wait_ready(LIMIT).expect("ready");
    eventually(LIMIT, "the topic is the table", || (world.told() == world.table()).then_some(()));
    assert_eq!(running.stop().expect("it stops"), 0);
}

/// The standby has the row and the slot stands where the primary's does.
fn caught_up(world: &World, standby: &Postgres) {
    let slot = "SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = 'versions'";
    eventually(LIMIT, "slot and rows are at the standby", || {
        let rows = standby.psql("postgres", "SELECT count(*) FROM t").ok()?;
        let same = standby.psql("postgres", slot).ok()? == world.sql(slot);
        (rows == "21" && same).then_some(())
    });
}
