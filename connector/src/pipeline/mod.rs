//! Builds the rooms from the configuration, and starts and stops them in order.
//!
//! Start: registry client → Kafka (must answer) → offsets (must be readable) → database (must let
//! us in). Everything that can refuse does so before a slot is made or a record sent. Stop is the
//! other way round: read to the end of the running transaction, flush Kafka, store the position,
//! confirm it to the database.

mod check;
mod control;
mod gauges;
mod letters;
pub mod progress;
pub mod run;
mod way;

pub use check::check;

use crate::config::Config;
use crate::offset;
use crate::signal::Inbox;
use crate::sink::Kafka;
use crate::snapshot::mode;
use crate::source::Open;
use crate::source::postgres::{Postgres, WalGuard};
use progress::Progress;
use run::{Pipeline, Rooms};
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
    let sink = Kafka::new(&config.sink, config.transactional_id().as_deref(), runtime.clone())?;
    sink.check(kafka_limit(config))?;
    let guard = WalGuard::watch(&config.source, mode::steps(&config.snapshot).on_lost, runtime)?;
    let rooms = Rooms {
        config,
        clock: Clock::System,
        open: open_source(config, runtime.clone()),
        sink: Box::new(sink),
        offsets: offset::open(config, runtime.clone())?,
        registry,
        runtime: runtime.clone(),
        watch: Box::new(move || guard.check()),
        inbox: inbox.clone(),
    };
    Pipeline::start(rooms, progress, shutdown)
}

/// The registry, if any record is written as Avro.
fn registry(config: &Config) -> Result<Option<Registry>> {
    let given = config.avro.registry.clone().filter(|_| config.encode.uses_avro());
    given.map(Registry::new).transpose()
}

/// How the source is opened.
fn open_source(config: &Config, runtime: Handle) -> Open<'_> {
    Box::new(move |stored| {
        let mut source = Postgres::open(&config.source, &config.snapshot, &config.signal, runtime.clone())?;
        source.start(stored)?;
        Ok(Box::new(source))
    })
}
