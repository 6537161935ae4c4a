//! The only place that knows all rooms: builds them, starts them, stops them.
//!
//! Start: file, log, registry, definitions; then the doors; then processing and sync. Stop: the doors
//! close, processing ends its transaction, sync its round.

mod cursor;
pub mod progress;
mod run;
mod work;

use crate::admin::Page;
use crate::buffer::Log;
use crate::config::Config;
use crate::db::Db;
use crate::feature::{Engine, Opened, View, definition};
use crate::ingest::door;
use crate::model::feature::ViewShape;
use crate::registry::{self, Registry};
use crate::store::{self, Serving};
use crate::sync::{self, Sync};
use progress::Progress;
use rusqlite::Transaction;
use run::Processor;
use shared::error::{Context, Error, Kind, OrKind, Result};
use shared::shutdown::Shutdown;
use shared::time::Clock;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::watch;
use work::Topic;

/// Connections for local feature reads.
const SERVE_READERS: usize = 4;

/// What is open once the file is.
struct Opening {
    db: Db,
    log: Arc<Log>,
    registry: Arc<Registry>,
    engine: Arc<Engine>,
    opened: Opened,
    topics: Vec<Topic>,
}

/// Runs the agent until it is asked to stop.
pub async fn run(config: Config, shutdown: Shutdown) -> Result<()> {
    let clock = Clock::System;
    let views = definition::compile(&config.feature_view)?;
    let (opening_config, opening_clock) = (config.clone(), clock.clone());
    // Opening waits for the file's writer, which async code must not.
    let open = move || open(&opening_config, views, &opening_clock);
    let opening = tokio::task::spawn_blocking(open).await.or_kind(Kind::Bug)??;
    let shapes: Arc<[ViewShape]> = opening.engine.shapes().into();
    let progress = Progress::default();
    let sync_watch = sync::Watch::default();
    let (outbox, sync) = match &config.sync {
        Some(settings) => {
            let sync = Sync::new(&opening.db, Arc::clone(&shapes), settings, sync_watch.clone())?;
            let (news, changes) = watch::channel(0);
            (Some(news), Some((sync, changes)))
        }
        None => (None, None),
    };
    let page = Page {
        log: Arc::clone(&opening.log),
        engine: Arc::clone(&opening.engine),
        readers: opening.db.readers(1),
        topics: opening.topics.iter().map(|topic| topic.name.clone()).collect(),
        progress: progress.clone(),
        sync: config.sync.as_ref().map(|settings| (settings.address().to_owned(), sync_watch)),
    };
    let serving = Serving { views: shapes, readers: opening.db.readers(SERVE_READERS), clock: clock.clone() };
    doors(&config, &opening, serving, page, &shutdown).await?;
    let syncing = sync.map(|(sync, changes)| tokio::spawn(sync.run(changes, shutdown.clone())));
    let stop = shutdown.clone();
    let processor = processor(config, opening, clock, progress, outbox, shutdown)?;
    let outcome = process(processor).await;
    // Whether it ended by itself or was asked to: the others end too.
    stop.request();
    if let Some(task) = syncing {
        task.await.or_kind(Kind::Bug)?;
    }
    outcome
}

/// Opens the file and gives the views their place in it.
fn open(config: &Config, views: Vec<View>, clock: &Clock) -> Result<Opening> {
    let db = Db::open(&config.db)?;
    let log = Arc::new(Log::open(&db, &config.buffer)?);
    let registry = Arc::new(Registry::open(&db)?);
    let topics = work::topics(&views, &config.gate, config.features.unpacked_bytes);
    let columns: Vec<(String, Vec<String>)> =
        topics.iter().map(|topic| (topic.name.clone(), topic.columns().to_vec())).collect();
    let now_us = clock.now().micros();
    // The sync's target with the project: another one needs everything again.
    let target = config.sync.as_ref().map(|sync| format!("{} {}", sync.address(), sync.project));
    let opened = db.write(move |tx| {
        let of = |name: &str| columns.iter().find(|(topic, _)| topic == name).map_or(&[][..], |(_, c)| c);
        let (engine, opened) = Engine::open(tx, views, of, now_us)?;
        for view in opened.stale.iter().chain(&opened.gone) {
            store::clear(tx, *view)?;
            sync::outbox::clear(tx, *view)?;
        }
        refill(tx, &engine, target.as_deref())?;
        Ok((engine, opened))
    });
    let (engine, opened) = opened.doing(|| "open the feature views")?;
    Ok(Opening { db, log, registry, engine: Arc::new(engine), opened, topics })
}

/// A target that is new gets every stored value.
fn refill(tx: &Transaction<'_>, engine: &Engine, target: Option<&str>) -> Result<()> {
    if sync::outbox::retarget(tx, target)? {
        for shape in engine.shapes() {
            sync::outbox::put(tx, &store::all(tx, shape.id)?)?;
        }
    }
    Ok(())
}

async fn doors(
    config: &Config,
    opening: &Opening,
    serving: Serving,
    page: Page,
    shutdown: &Shutdown,
) -> Result<()> {
    let admin = shared::admin::serve(config.admin.listen, Arc::new(page), axum::Router::new(), shutdown.clone());
    let admin = admin.await?;
    let features = store::serve(config.features.listen, serving, shutdown.clone()).await?;
    let registry =
        registry::serve(&config.registry, Arc::clone(&opening.registry), shutdown.clone()).await?;
    let kafka = door::serve(&config.door, Arc::clone(&opening.log), shutdown.clone()).await?;
    tracing::info!(event = "agent_started", %admin, %kafka, %registry, %features, "the agent is open");
    Ok(())
}

fn processor(
    config: Config,
    opening: Opening,
    clock: Clock,
    progress: Progress,
    outbox: Option<watch::Sender<u64>>,
    shutdown: Shutdown,
) -> Result<Processor> {
    let reader = opening.db.reader()?;
    let cursors = cursor::load(&reader)?;
    let names = opening.engine.shapes().into_iter().filter(|shape| opening.opened.stale.contains(&shape.id));
    let hydrating: Vec<String> = names.map(|shape| shape.name).collect();
    progress.update(|state| {
        state.cursors.clone_from(&cursors);
        state.hydrating = hydrating;
    });
    Ok(Processor {
        db: opening.db,
        log: opening.log,
        registry: opening.registry,
        reader,
        topics: opening.topics,
        engine: opening.engine,
        stale: opening.opened.stale,
        cursors,
        config: config.features,
        max_quarantined: config.quarantine.max_records,
        clock,
        progress,
        outbox,
        shutdown,
    })
}

/// Runs the processing on a thread of its own, for it blocks on the file.
async fn process(processor: Processor) -> Result<()> {
    let runtime = Handle::current();
    let (done, outcome) = tokio::sync::oneshot::channel();
    let thread = std::thread::Builder::new()
        .name("pipeline".to_owned())
        .spawn(move || {
            // The receiver waits until this thread ends.
            let _ = done.send(processor.run(&runtime));
        })
        .or_kind(Kind::Bug)?;
    let outcome = outcome.await.unwrap_or_else(|_| Err(Error::new(Kind::Bug, "the processing thread panicked")));
    if thread.join().is_err() {
        tracing::error!(event = "pipeline_panicked", "the processing thread ended by a panic");
    }
    outcome
}
