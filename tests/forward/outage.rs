//! The centre away for long: the log takes everything, the source's slot moves on, and then all of it arrives.
//!
//! `RECORDS=10000000 cargo dev test forward outage` for the long form.

use crate::world::{self, LIMIT, Ports};
use stack::proxy::{Network, Proxy};
use stack::{Kafka, Postgres};
use std::time::Instant;
use support::{Binary, Launch, eventually};

/// Far above what the agent needs, far below what is waiting.
const MEMORY_BYTES: u64 = 160 << 20;

#[test]
fn a_long_outage_loses_nothing_and_memory_stays_bounded() {
    let records = world::setting("RECORDS", 1_000_000);
    let proxy = Proxy::start(stack::port::free().expect("a port")).expect("a proxy");
    let (_kafka, registry) = (Kafka::behind(&proxy, Default::default()).expect("Kafka"), world::registry());
    let ports = Ports::free();
    let mut launch = world::agent(&ports, &proxy.address(), &registry.url());
    // What waits is far older than what the log would keep without it.
    launch.set("buffer.keep", "1s");
    launch.set("forward.transaction_timeout", "10s").allow(&["forward_waits"]);
    let mut agent = world::started(&launch);
    let producer = world::producer(&ports.door());
    let cut_at = records / 10;
    for n in 0..records {
        if n == cut_at {
            // In the middle of a transaction.
            proxy.set(Network::Silent);
        }
        world::send(&producer, &world::made("t", n, 1_000));
    }
    world::flush(&producer);
    agent.wait_event("forward_waits", LIMIT).expect("it says so");
    slot_moves(&ports);
    let status = agent.status().expect("its status");
    println!("away: {}", status["forward"]);
    assert!(status["forward"]["records_to_go"].as_u64() > Some(records / 2), "{status}");
    proxy.reset();
    proxy.set(Network::Well);
    let start = Instant::now();
    let limit = LIMIT + std::time::Duration::from_millis(records / 10);
    eventually(limit, "all is at the centre", || {
        (agent.status().ok()?["forward"]["records_to_go"] == 0).then_some(())
    });
    println!("{records} records caught up in {:?}", start.elapsed());
    agent.wait_event("forward_works", LIMIT).expect("it says so");
    eventually(LIMIT, "the log is trimmed behind it", || {
        (agent.status().ok()?["buffer"]["used_bytes"].as_u64()? < 2 << 20).then_some(())
    });
    let (mut next, mut per_key) = (0, vec![0u64; 1_000]);
    world::each(&proxy.address(), "t", |record| {
        let wanted = world::made("t", next, 1_000);
        assert_eq!(world::Whole { partition: -1, ..record }, wanted);
        per_key[(next % 1_000) as usize] += 1;
        next += 1;
    });
    assert_eq!(next, records);
    let peak = agent.peak_memory_bytes().expect("its memory");
    println!("the agent's peak memory: {} MiB", peak >> 20);
    assert!(peak < MEMORY_BYTES, "{peak}");
    let waits = agent.log().iter().filter(|line| line.event() == "forward_waits").count();
    assert!(waits <= 2, "{waits} warnings");
    assert_eq!(agent.stop().expect("it stops"), 0);
}

/// The connector goes on writing to the agent while the centre is away.
fn slot_moves(ports: &Ports) {
    let postgres = Postgres::start(Default::default()).expect("PostgreSQL");
    postgres.psql("postgres", "CREATE TABLE s (id int PRIMARY KEY)").expect("a table");
    let file = "[source]\ndatabase = \"postgres\"\nuser = \"postgres\"\npassword = \"postgres\"\nslot = \"s\"\n\
                publication = \"s\"\n[event]\ntopic_prefix = \"source\"\n[offset]\nkind = \"file\"\n\
                path = \"offsets.json\"\n";
    let mut launch = Launch::new(Binary::Connector, file).expect("a launch");
    launch
        .set("source.port", postgres.port())
        .set("source.socket_dir", postgres.socket_dir().display())
        .set("avro.registry.url", format!("[\"{}\"]", ports.registry()))
        .set("sink.kafka.brokers", ports.door());
    let mut connector = launch.start().expect("it starts");
    connector.wait_ready(LIMIT).expect("ready");
    postgres.psql("postgres", "INSERT INTO s SELECT generate_series(1, 1000)").expect("rows");
    let end = postgres.psql("postgres", "SELECT pg_current_wal_lsn()").expect("an LSN");
    eventually(LIMIT, "the slot moves on", || {
        let sql =
            format!("SELECT confirmed_flush_lsn >= '{end}' FROM pg_replication_slots WHERE slot_name = 's'");
        (postgres.psql("postgres", &sql).ok()? == "t").then_some(())
    });
    assert_eq!(connector.stop().expect("it stops"), 0);
}
