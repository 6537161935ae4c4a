//! The agent between two crashes: its file, log and processing, each step when the run wants it.

use super::batch::{KEY, Schemas, VALUE};
use super::client::Sent;
use super::disk::{Disk, Image};
use super::transactor::{NAME, TIMEOUT_MS};
use agent::buffer::{Append, Denial, Incarnation, Log, Outcome};
use agent::db::{Db, Job};
use agent::pipeline::{Agent, Processor};
use bytes::BytesMut;
use shared::Result;
use shared::kafka::batch::Head;
use shared::shutdown::Shutdown;
use shared::time::Clock;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, oneshot};

pub const TOPIC: &str = "t";
pub const PARTITIONS: i32 = 2;

/// What differs between runs.
#[derive(Clone, Copy)]
pub struct Settings {
    pub checkpoint_bytes: u64,
    pub cache_bytes: u64,
    pub batch_bytes: usize,
    /// The machine went down before, or may, without every commit being synced.
    pub normal: bool,
}

type Granted = std::result::Result<(), Denial>;
type Answer = oneshot::Receiver<Result<Vec<Outcome>>>;

pub struct Process {
    // In this order they go: the file's writer ends last.
    pub processor: Processor,
    pub log: Arc<Log>,
    pub db: Db,
    pub disk: Disk,
    pub schemas: Schemas,
}

impl Process {
    /// Starts on what a disk holds.
    pub fn start(image: &Image, settings: Settings, clock: &Clock, runtime: &Runtime) -> Process {
        let disk = Disk::new(image);
        if settings.normal {
            disk.went_down();
        }
        let folder = disk.path().parent().expect("a folder").to_owned();
        let file = folder.join("agent.toml");
        std::fs::write(&file, text(&disk, settings)).expect("written");
        let config = agent::config::load(&file).expect("a configuration");
        let agent = runtime.block_on(Agent::open_at(config, clock.clone())).expect("it opens");
        let (db, log, registry) = (agent.db(), agent.log(), agent.registry());
        let register = |subject, text| registry.register(subject, text).expect("a schema");
        let schemas = Schemas { key: register("t-key", KEY), value: register("t-value", VALUE) };
        runtime.block_on(log.topic_or_new(TOPIC)).expect("stored").expect("a topic");
        // Ids are reserved in a commit of their own, now and then: not in the midst of another.
        runtime.block_on(log.producer_id()).expect("an id");
        let mut processor = agent.processor(None, Shutdown::default()).expect("a processor");
        processor.build().expect("built");
        Process { processor, log, db, disk, schemas }
    }

    /// Stops as it is asked to.
    pub fn stop(self) -> Image {
        let Process { processor, log, db, disk, .. } = self;
        drop((processor, log, db));
        disk.image()
    }

    /// Appends batches as one group, each a request of its own. `inside`: what is there before the
    /// commit, after some of them were written.
    pub fn append(
        &self,
        batches: &[&Sent],
        inside: Option<usize>,
        runtime: &Runtime,
    ) -> (Vec<Result<Outcome>>, Option<Image>) {
        let first = Hold::submit(&self.db, runtime);
        first.reached();
        let (mut second, mut answers) = (None, Vec::new());
        for (at, sent) in batches.iter().enumerate() {
            if inside == Some(at) {
                second = Some(Hold::submit(&self.db, runtime));
            }
            let topic = self.log.topic(TOPIC).expect("is there");
            let partition = Arc::clone(topic.partition(sent.partition).expect("is there"));
            let head = Head::read(&sent.bytes).expect("sound");
            let appends = vec![Append { partition, head, range: 0..sent.bytes.len() }];
            let memory = Arc::new(Semaphore::new(1)).try_acquire_owned().expect("free");
            let append = self.log.append(BytesMut::from(&sent.bytes[..]), appends, memory);
            answers.push(runtime.block_on(append).expect("queued"));
        }
        first.release();
        let image = second.map(|hold| {
            hold.reached();
            let image = self.disk.image();
            hold.release();
            image
        });
        let one = |answer: Answer| runtime.block_on(answer).expect("an answer").map(|outcomes| outcomes[0]);
        (answers.into_iter().map(one).collect(), image)
    }

    pub fn begin(&self, runtime: &Runtime) -> Incarnation {
        let asked = self.log.begin_incarnation(NAME, TIMEOUT_MS, None);
        runtime.block_on(asked).expect("stored").expect("granted")
    }

    pub fn open(&self, who: Option<Incarnation>, runtime: &Runtime) -> Granted {
        runtime.block_on(self.log.open_transaction(NAME, who.expect("has one"))).expect("stored")
    }

    pub fn end(&self, who: Option<Incarnation>, commit: bool, runtime: &Runtime) -> Granted {
        runtime.block_on(self.log.end_transaction(NAME, who.expect("has one"), commit)).expect("stored")
    }

    /// Removes the oldest of what is processed, one transaction's worth.
    pub fn trim(&self) {
        let reader = self.db.reader().expect("opens");
        for partition in self.log.partitions(TOPIC) {
            let below = self.processor.cursors.get(&partition).copied().unwrap_or(0);
            if let Some(oldest) = self.log.oldest(&reader, partition, below, i64::MAX).expect("reads") {
                self.log.trim(partition, oldest.up_to).expect("trimmed");
                return;
            }
        }
    }
}

fn text(disk: &Disk, settings: Settings) -> String {
    let Settings { checkpoint_bytes, cache_bytes, batch_bytes, normal } = settings;
    let synchronous = if normal { "normal" } else { "full" };
    format!(
        "[db]\npath = '{}'\npage_bytes = 4096\ncache_bytes = {cache_bytes}\ncheckpoint_bytes = {checkpoint_bytes}\nsynchronous = '{synchronous}'\n\
         [buffer]\nmax_bytes = 1048576\nreserve_free_bytes = 0\npartitions = {PARTITIONS}\n\
         [features]\nbatch_bytes = {batch_bytes}\n\
         [[feature_view]]\nname = 'v'\ntopic = '{TOPIC}'\nentity = ['owner']\nfeature = [\n\
         {{ name = 'owner', aggregate = 'max', of = 'owner' }},\n\
         {{ name = 'rows', aggregate = 'count' }},\n\
         {{ name = 'total', aggregate = 'sum', of = 'amount' }},\n\
         {{ name = 'recent', aggregate = 'count', window = '{}s' }},\n]\n",
        disk.path().display(),
        super::check::WINDOW_US / 1_000_000,
    )
}

/// A job that holds the writer, so that what comes after it is one group.
struct Held {
    reached: Sender<()>,
    release: Receiver<()>,
}

struct Hold {
    reached: Receiver<()>,
    release: Sender<()>,
}

impl Hold {
    fn submit(db: &Db, runtime: &Runtime) -> Hold {
        let ((reached, wait), (release, go)) = (channel(), channel());
        runtime.block_on(db.submit(Box::new(Held { reached, release: go }))).expect("queued");
        Hold { reached: wait, release }
    }

    fn reached(&self) {
        self.reached.recv().expect("the writer lives");
    }

    fn release(&self) {
        self.release.send(()).expect("the writer lives");
    }
}

impl Job for Held {
    fn run(&mut self, _: &rusqlite::Transaction<'_>) -> Result<()> {
        self.reached.send(()).expect("the run lives");
        self.release.recv().expect("the run lives");
        Ok(())
    }

    fn done(self: Box<Self>, outcome: Result<()>) {
        drop(outcome);
    }
}
