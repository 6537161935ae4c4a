//! Builds the rooms from the configuration, and starts and stops them in order.
//!
//! Start: registry client → Kafka (must answer) → offsets (must be readable) → database (must let
//! us in). Everything that can refuse does so before a slot is made or a record sent. Stop is the
//! other way round: read to the end of the running transaction, flush Kafka, store the position,
//! confirm it to the database.

mod gauges;
mod control;
mod letters;
pub mod progress;
pub mod run;

use crate::config::Config;
use crate::encode::Encoder;
use crate::event::Events;
use crate::offset::{self, Tracker};
use crate::signal::{Inbox, Signals};
use crate::sink::{Kafka, Topics};
use crate::snapshot::mode;
use crate::source::postgres::{Postgres, WalGuard};
use crate::transform::Transforms;
use progress::Progress;
use run::Pipeline;
use shared::Result;
use shared::error::Context;
use shared::registry::Registry;
use shared::shutdown::Shutdown;
use shared::time::Clock;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// How long Kafka may take to answer at the start.
fn kafka_limit(config: &Config) -> Duration {
    Duration::from_millis(config.sink.start_timeout_ms.into())
}

/// Runs until shutdown is requested or something happens that needs a person.
///
/// Blocks the calling thread, which becomes the one that reads, encodes and produces.
pub fn run(
    config: &Config,
    runtime: &Handle,
    progress: &Arc<Progress>,
    inbox: &Inbox,
    shutdown: &Shutdown,
) -> Result<()> {
    build(config, runtime, progress, inbox, shutdown).doing(|| "could not start")?.run()
}

fn build<'c>(
    config: &'c Config,
    runtime: &Handle,
    progress: &Arc<Progress>,
    inbox: &Inbox,
    shutdown: &Shutdown,
) -> Result<Pipeline<'c>> {
    let registry = registry(config)?;
    if let Some(registry) = &registry {
        runtime.block_on(registry.ping())?;
    }
    let sink = Kafka::new(&config.sink)?;
    sink.check(kafka_limit(config))?;
    let mut offsets = offset::open(config, runtime.clone())?;
    let stored = offsets.load()?;
    let source = open_source(config, runtime, stored.as_ref())?;
    let guard = WalGuard::watch(&config.source, mode::steps(&config.snapshot).on_lost, runtime)?;
    progress.started(stored.as_ref());
    Ok(Pipeline {
        config,
        runtime: runtime.clone(),
        source,
        guard,
        events: Events::new(&config.event, Clock::System)?,
        transforms: Transforms::new(config)?,
        encoder: Encoder::new(config, registry, runtime.clone())?,
        sink,
        letters: letters::Letters::new(config),
        topics: Topics::new(&config.sink, runtime.clone())?,
        signals: Signals::new(config, inbox.clone())?,
        asked: Vec::new(),
        tracker: Tracker::default(),
        offsets,
        progress: progress.clone(),
        gauges: gauges::Gauges::at(stored.as_ref()),
        shutdown: shutdown.clone(),
        unit: run::Unit::default(),
        durable: stored,
        unsaved: None,
        saved_at: std::time::Instant::now(),
        beat_at: std::time::Instant::now(),
    })
}

/// The registry, if any record is written as Avro.
fn registry(config: &Config) -> Result<Option<Registry>> {
    let given = config.avro.registry.clone().filter(|_| config.encode.uses_avro());
    given.map(Registry::new).transpose()
}

/// Connects and positions the source; used at start and after every lost connection.
pub(crate) fn open_source(
    config: &Config,
    runtime: &Handle,
    stored: Option<&crate::model::position::Position>,
) -> Result<Postgres> {
    let mut source = Postgres::open(&config.source, &config.snapshot, &config.signal, runtime.clone())?;
    source.start(stored)?;
    Ok(source)
}

/// Does what start would do, without making a slot or sending a record.
pub fn check(config: &Config, runtime: &Handle) -> Vec<crate::model::finding::Finding> {
    use crate::model::finding::Finding;
    let mut findings = crate::source::postgres::check(&config.source, runtime);
    if let Some(registry) = registry(config).transpose() {
        let answered = registry.and_then(|registry| runtime.block_on(registry.ping()));
        findings.push(Finding::from_result("schema registry answers", answered));
    }
    let kafka = Kafka::new(&config.sink).and_then(|sink| sink.check(kafka_limit(config)));
    findings.push(Finding::from_result("kafka answers", kafka));
    let offsets = offset::open(config, runtime.clone()).and_then(|mut offsets| offsets.load());
    findings.push(Finding::from_result("stored position is readable", offsets.map(|_| ())));
    findings
}
