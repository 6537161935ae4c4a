//! The store against librdkafka's cluster in this process.

use super::*;
use crate::model::position::{Lsn, PostgresPosition};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

fn position(lsn: u64) -> Position {
    Position::Postgres(PostgresPosition {
        lsn: Lsn(lsn),
        commit_lsn: Some(Lsn(lsn)),
        transaction_id: Some(9),
        commit_time_us: 8,
        snapshot: None,
        progress: None,
        incremental: None,
    })
}

struct World {
    cluster: MockCluster<'static, DefaultProducerContext>,
    runtime: tokio::runtime::Runtime,
}

impl World {
    fn new() -> World {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build();
        World { cluster: MockCluster::new(1).expect("a cluster"), runtime: runtime.expect("a runtime") }
    }

    fn store(&self, server: &str) -> KafkaOffsets {
        let config =
            OffsetConfig { topic: "offsets".to_owned(), topic_partitions: 3, ..OffsetConfig::default() };
        let text = format!("brokers = {:?}", self.cluster.bootstrap_servers());
        let overrides = shared::config::Overrides { env_prefix: "NONE", set: &[] };
        let kafka = shared::config::parse(&text, &overrides).expect("valid");
        KafkaOffsets::new(&config, &kafka, server, self.runtime.handle().clone()).expect("a store")
    }
}

#[test]
fn the_newest_position_of_each_connector_comes_back() {
    let world = World::new();
    world.cluster.create_topic("offsets", 3, 1).expect("a topic");
    let (mut one, mut two) = (world.store("one"), world.store("two"));
    assert_eq!(one.load().expect("an empty topic"), None);
    for lsn in 1..=5 {
        one.save(&position(lsn)).expect("stored");
    }
    two.save(&position(77)).expect("stored");
    for (store, lsn) in [(&mut one, 5), (&mut two, 77)] {
        assert_eq!(store.load().expect("readable"), Some(position(lsn)));
    }
    assert_eq!(world.store("three").load().expect("nothing of ours"), None);
    // What another process stored is seen as well.
    world.store("one").save(&position(6)).expect("stored");
    assert_eq!(one.load().expect("readable"), Some(position(6)));
}

#[test]
fn no_cluster_is_said_by_topic() {
    let config = OffsetConfig { topic: "offsets".to_owned(), ..OffsetConfig::default() };
    let overrides = shared::config::Overrides { env_prefix: "NONE", set: &[] };
    let kafka = shared::config::parse(
        "brokers = \"127.0.0.1:1\"\n[properties]\n\"message.timeout.ms\" = \"500\"",
        &overrides,
    );
    let world = World::new();
    let store = KafkaOffsets::new(&config, &kafka.expect("valid"), "s", world.runtime.handle().clone());
    let error = store.expect("no cluster is needed yet").save(&position(1)).expect_err("nobody there");
    assert_eq!(error.kind(), Kind::Unreachable, "{error}");
    assert!(error.to_string().contains("topic offsets"), "{error}");
}
