//! Builds the rooms from the configuration, and starts and stops them in order.
//!
//! Start: registry, Kafka (must answer) and database (must let us in), all at once, as each takes a few
//! round trips → offsets (must be readable) → publication, slot, snapshot or stream. Everything that can
//! refuse does so before a slot is made or a record sent. Stop is the other way round: read to the end of
//! the running transaction, flush Kafka, store the position, confirm it to the database.

mod check;
mod control;
mod gauges;
mod letters;
pub mod progress;
pub mod run;
mod way;

pub use check::check;

use crate::config::Config;
use crate::encode::Encoder;
use crate::offset;
use crate::signal::Inbox;
use crate::sink::Kafka;
use crate::snapshot::mode;
use crate::source::Open;
use crate::source::postgres::{Postgres, WalGuard};
use progress::Progress;
use run::{Pipeline, Rooms};
use shared::error::{Context, Error, Kind, OrKind, Result};
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
    // It fetches the schemas that the registry has, while the rest goes on.
    let encoder = Encoder::new(config, registry.clone(), runtime.clone())?;
    let sink = Kafka::new(&config.sink, config.transactional_id().as_deref(), runtime.clone())?;
    let source = open_all(config, registry.as_ref(), &sink, runtime)?;
    let guard = WalGuard::watch(&config.source, mode::steps(&config.snapshot).on_lost, runtime)?;
    let rooms = Rooms {
        config,
        clock: Clock::System,
        open: open_source(config, runtime.clone(), source),
        sink: Box::new(sink),
        offsets: offset::open(config, runtime.clone())?,
        encoder,
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

/// How the source is opened: the first time it is connected already.
fn open_source(config: &Config, runtime: Handle, connected: Postgres) -> Open<'_> {
    let mut connected = Some(connected);
    Box::new(move |stored| {
        let mut source = match connected.take() {
            Some(source) => source,
            None => Postgres::open(&config.source, &config.snapshot, &config.signal, runtime.clone())?,
        };
        source.start(stored)?;
        Ok(Box::new(source))
    })
}

/// Asks the servers, and connects to the database, all at once. Nothing is made there yet. Of several
/// that refuse, the first one's error is told.
fn open_all(
    config: &Config,
    registry: Option<&Registry>,
    sink: &Kafka,
    runtime: &Handle,
) -> Result<Postgres> {
    let registry = registry.cloned();
    let registry = runtime.spawn(async move {
        match registry {
            Some(registry) => registry.ping().await,
            None => Ok(()),
        }
    });
    std::thread::scope(|scope| {
        let kafka = scope.spawn(|| sink.check(kafka_limit(config)));
        let source = Postgres::open(&config.source, &config.snapshot, &config.signal, runtime.clone());
        runtime.block_on(registry).or_kind(Kind::Bug).doing(|| "ask the registry")??;
        kafka.join().map_err(|_| Error::new(Kind::Bug, "a thread panicked")).doing(|| "ask Kafka")??;
        source
    })
}
