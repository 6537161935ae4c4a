//! PostgreSQL → connector → agent → Redis → Feast, with either program killed at random moments:
//! every feature of every user equals the SQL on PostgreSQL.

use crate::feast::Reader;
use crate::shop::{self, Answer};
use fastrand::Rng;
use stack::{Postgres, Redis};
use std::time::{Duration, Instant};
use support::{Binary, Launch, Program, eventually, until};

const CHANGES: u64 = 10_000;
const KILLS: usize = 5;
pub const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn features_in_redis_equal_the_sql_in_spite_of_kills() {
    let seed = std::env::var("SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("SEED={seed}");
    let postgres = Postgres::start(Default::default()).expect("PostgreSQL");
    let redis = Redis::start().expect("Redis");
    shop::open(&postgres);
    let mut reader = Reader::start(&redis);
    let ports = Ports::free();
    let agent_launch = agent(&redis, &ports);
    let connector_launch = connector(&postgres, &ports);
    let mut agent = agent_launch.start().expect("the agent starts");
    agent.wait_ready(LIMIT).expect("the agent is ready");
    let mut connector = connector_launch.start().expect("the connector starts");
    connector.wait_ready(LIMIT).expect("the connector is ready");

    let mut rng = Rng::with_seed(seed);
    std::thread::scope(|scope| {
        let load = scope.spawn(|| shop::load(&postgres, CHANGES, seed));
        for _ in 0..KILLS {
            std::thread::sleep(Duration::from_millis(rng.u64(100..1_500)));
            if rng.bool() {
                agent = restart(&mut agent, &agent_launch);
                agent.wait_ready(LIMIT).expect("the agent is ready again");
            } else {
                connector = restart(&mut connector, &connector_launch);
                // Without the agent it would not start: then it is the service manager that tries again.
                connector.wait_ready(LIMIT).expect("the connector is ready again");
            }
        }
        load.join().expect("the load ends");
    });
    connector.wait_ready(LIMIT).expect("the connector is ready");
    agent.wait_ready(LIMIT).expect("the agent is ready");
    caught_up(&postgres, &connector);
    equal_soon(&postgres, &mut reader);
    assert_eq!(connector.stop().expect("the connector stops"), 0);
    assert_eq!(agent.stop().expect("the agent stops"), 0);
}

/// Ports that outlive a restart.
pub struct Ports {
    pub door: u16,
    pub registry: u16,
    pub features: u16,
}

impl Ports {
    pub fn free() -> Ports {
        let free = || stack::port::free().expect("a free port");
        Ports { door: free(), registry: free(), features: free() }
    }
}

pub fn agent(redis: &Redis, ports: &Ports) -> Launch {
    let mut launch = Launch::new(Binary::Agent, include_str!("agent.toml")).expect("a launch");
    launch
        .set("door.listen", format!("127.0.0.1:{}", ports.door))
        .set("registry.listen", format!("127.0.0.1:{}", ports.registry))
        .set("features.listen", format!("127.0.0.1:{}", ports.features))
        .set("sync.central.url", redis.url());
    launch
}

pub fn connector(postgres: &Postgres, ports: &Ports) -> Launch {
    let mut launch = Launch::new(Binary::Connector, include_str!("connector.toml")).expect("a launch");
    launch
        .set("source.port", postgres.port())
        .set("source.socket_dir", postgres.socket_dir().display())
        .set("avro.registry.url", format!("[\"http://127.0.0.1:{}\"]", ports.registry))
        .set("sink.kafka.brokers", format!("127.0.0.1:{}", ports.door))
        // Its peer is killed on purpose.
        .allow(&["connection_lost", "librdkafka", "kafka_lost"]);
    launch
}

pub fn restart(program: &mut Program, launch: &Launch) -> Program {
    program.kill().expect("kill -9");
    launch.start().expect("it starts again")
}

/// Waits until the connector has confirmed the database's last change.
pub fn caught_up(postgres: &Postgres, connector: &Program) {
    let end = postgres.psql("shop", "SELECT pg_current_wal_lsn()").expect("an LSN");
    eventually(LIMIT, &format!("the slot is confirmed up to {end}"), || {
        let sql = format!(
            "SELECT confirmed_flush_lsn >= '{end}' FROM pg_replication_slots WHERE slot_name = 'shop'"
        );
        (postgres.psql("shop", &sql).ok()? == "t").then_some(())
    });
    println!("connector: {}", connector.status().expect("its status"));
}

/// The window moves with time, so the two are asked again until they agree, but not for long.
pub fn equal_soon(postgres: &Postgres, reader: &mut Reader) {
    let start = Instant::now();
    let users = until(Duration::from_secs(30), || {
        let (features, wanted) = (reader.ask(), shop::ask(postgres));
        let different = differences(&features, &wanted);
        if different.is_empty() { Ok(wanted.len()) } else { Err(different.join("\n")) }
    });
    println!("{users} users equal after {:?}", start.elapsed());
}

fn differences(features: &Answer, wanted: &Answer) -> Vec<String> {
    assert_eq!(features.len(), wanted.len());
    let mut found = Vec::new();
    for (n, (feature, wanted)) in features.iter().zip(wanted).enumerate() {
        // A user who never had a row in the view has no features at all; SQL counts zero rows.
        let absent = feature.iter().all(Option::is_none) && wanted[0] == Some(0.0);
        if feature != wanted && !absent {
            found.push(format!("user {}: feast {feature:?}, sql {wanted:?}", n + 1));
        }
    }
    found
}
