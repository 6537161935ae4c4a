//! A Redis cluster of three nodes, one of which is killed and comes back; read by the real Feast SDK.

use crate::edge::{Edge, Features};
use crate::feast::{Reader, Repository};
use crate::story::{self, NAME, Store};
use stack::redis::Cluster;
use std::collections::BTreeMap;

struct Nodes {
    cluster: Cluster,
    reader: Option<Reader>,
    repository: Repository,
}

impl Store for Nodes {
    fn cut(&mut self, _: usize) {
        self.cluster.kill(1).expect("a node is killed");
    }

    fn mend(&mut self, _: usize) {
        self.cluster.start_again(1).expect("the node is back");
    }

    fn read(&mut self, users: &[i64]) -> BTreeMap<i64, Features> {
        // The reader's connections may be to the node that was killed.
        self.reader = Some(self.repository.reader());
        self.reader.as_mut().expect("a reader").features(users)
    }
}

#[test]
fn a_cluster_that_loses_a_node_for_a_while_gets_everything() {
    let cluster = Cluster::start(3, "secret").expect("a cluster");
    let nodes = cluster.addresses();
    let online = format!(
        "type: redis\nredis_type: redis_cluster\nconnection_string: \"{},password=secret\"",
        nodes.join(",")
    );
    let repository = Repository::new(&online, true);
    let urls: Vec<String> = nodes.iter().map(|node| format!("\"redis://{node}\"")).collect();
    let target = format!(
        "[sync.{NAME}]\nkind = \"redis\"\nproject = \"edge\"\ncluster = true\nurl = [{}]\npassword = \"secret\"\n
         retry_ceiling = \"300ms\"\n",
        urls.join(", ")
    );
    let mut edge = Edge::start(&target, true);
    let mut rng = fastrand::Rng::new();
    let users: Vec<i64> = (1..200).collect();
    edge.change(&mut rng, 1..200, 600);
    edge.settled(NAME);
    let mut store = Nodes { cluster, reader: None, repository };
    story::equal(&mut store, &[&edge], &users, "at first");
    let spread: Vec<i64> = store.cluster.keys().expect("counts");
    assert!(spread.iter().all(|keys| *keys > 20), "every node has keys: {spread:?}");

    store.cut(0);
    edge.change(&mut rng, 1..200, 2_000);
    edge.computed();
    support::eventually(crate::edge::LIMIT, "the loss is noticed", || {
        edge.target(NAME)["error"].is_string().then_some(())
    });
    edge.restart();
    edge.change(&mut rng, 1..200, 500);
    store.mend(0);
    edge.settled(NAME);
    story::equal(&mut store, &[&edge], &users, "after a node was away");
    assert_eq!(edge.target(NAME)["refused"], 0);
    assert_eq!(edge.program.stop().expect("the agent stops"), 0);
}
