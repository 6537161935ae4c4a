//! The agent between two crashes, as far as bringing records to the centre goes.

use super::super::batch::assembled;
use super::super::disk::{Disk, Image};
use super::centre::World;
use agent::buffer::{Append, Log, Outcome};
use agent::db::Db;
use agent::forward::progress::Kept;
use agent::forward::{Forward, Next};
use agent::pipeline::Agent;
use bytes::BytesMut;
use shared::kafka::batch::Head;
use shared::shutdown::Shutdown;
use shared::time::Clock;
use std::sync::Arc;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

/// The second one first.
pub const TOPICS: [&str; 2] = ["a", "b"];

/// What differs between runs.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub delivery: &'static str,
    pub partition: &'static str,
    pub partitions: i32,
    pub queue_bytes: u32,
}

pub struct Node {
    // In this order they go: the file's writer ends last.
    forward: Forward,
    pub log: Arc<Log>,
    pub db: Db,
    pub disk: Disk,
}

impl Node {
    /// Starts on what a disk holds.
    pub fn start(
        image: &Image,
        settings: &Settings,
        world: &World,
        clock: &Clock,
        runtime: &Runtime,
    ) -> Node {
        let disk = Disk::new(image);
        let file = disk.path().parent().expect("a folder").join("agent.toml");
        std::fs::write(&file, text(&disk, settings)).expect("written");
        let config = agent::config::load(&file).expect("a configuration");
        let agent = runtime.block_on(Agent::open_at(config, clock.clone())).expect("it opens");
        let (db, log) = (agent.db(), agent.log());
        for topic in TOPICS {
            runtime.block_on(log.topic_or_new(topic)).expect("stored").expect("a topic");
        }
        let forward = agent.forwarder(world.make(), &Shutdown::default()).expect("it is made");
        Node { forward: forward.expect("there is a centre"), log, db, disk }
    }

    /// Appends one batch; gives its first offset.
    pub fn append(
        &self,
        topic: &str,
        partition: i32,
        pairs: Vec<[Vec<u8>; 2]>,
        time_ms: i64,
        runtime: &Runtime,
    ) -> i64 {
        let bytes = assembled(0, (-1, -1, -1), pairs.into_iter(), time_ms);
        let topic = self.log.topic(topic).expect("is there");
        let partition = Arc::clone(topic.partition(partition).expect("is there"));
        let head = Head::read(&bytes).expect("sound");
        let appends = vec![Append { partition, head, range: 0..bytes.len() }];
        let memory = Arc::new(Semaphore::new(1)).try_acquire_owned().expect("free");
        let append = self.log.append(BytesMut::from(&bytes[..]), appends, memory);
        let answer = runtime.block_on(runtime.block_on(append).expect("queued")).expect("an answer");
        match answer.expect("stored").first() {
            Some(Outcome::Stored { base_offset }) => *base_offset,
            other => panic!("{other:?}"),
        }
    }

    /// One step of the thread; what fails is tried again later.
    pub fn turn(&mut self, clock: &Clock, runtime: &Runtime) -> Next {
        match self.forward.turn(runtime.handle()) {
            Ok(next) => next,
            Err(error) => {
                assert!(error.retryable(), "it gave up: {error}");
                self.forward.leave(&error);
                clock.sleep(std::time::Duration::from_secs(1));
                Next::More
            }
        }
    }

    /// Removes the oldest transaction's worth of what the centre has.
    pub fn trim(&self, topic: &str) {
        let reader = self.db.reader().expect("opens");
        for partition in self.log.partitions(topic) {
            let below = self.kept().below(topic, partition).expect("it goes to the centre");
            if let Some(oldest) = self.log.oldest(&reader, partition, below, i64::MAX).expect("reads") {
                self.log.trim(partition, oldest.up_to).expect("trimmed");
            }
        }
    }

    pub fn kept(&self) -> Kept {
        self.forward.kept()
    }

    /// The end of each partition.
    pub fn ends(&self, topic: &str) -> Vec<i64> {
        self.log.partitions(topic).into_iter().map(|partition| self.log.end_offset(partition)).collect()
    }
}

fn text(disk: &Disk, settings: &Settings) -> String {
    let Settings { delivery, partition, partitions, queue_bytes } = settings;
    format!(
        "[db]\npath = '{}'\npage_bytes = 4096\ncheckpoint_bytes = 65536\n\
         [buffer]\nmax_bytes = 1048576\nreserve_free_bytes = 0\npartitions = {partitions}\n\
         [forward]\ndelivery = '{delivery}'\npartition = '{partition}'\nqueue_bytes = {queue_bytes}\n\
         plain = ['.*']\npriority = ['{}']\n\
         [forward.kafka]\nbrokers = 'centre:9092'\n[forward.registry]\nurl = ['http://centre:8081']\n",
        disk.path().display(),
        TOPICS[1],
    )
}
