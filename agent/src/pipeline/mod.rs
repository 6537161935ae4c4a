//! The only place that knows all rooms: builds them, starts them, stops them.
//!
//! Start: file, log, registry, definitions; then the doors; then processing and sync. Stop: the doors
//! close, processing ends its transaction, sync its round.

mod build;
mod compact;
pub mod cursor;
pub mod fit;
mod freshness;
mod needed;
pub mod progress;
pub(crate) mod reach;
pub mod recover;
mod retention;
mod run;
mod thread;
pub mod upkeep;
pub(crate) mod work;

use crate::buffer::{self, Log};
use crate::config::Config;
use crate::config::file::FilesConfig;
use crate::db::{Db, Readers};
use crate::feature::definition::Compute;
use crate::feature::{Engine, Limits, Opened, View, definition};
use crate::forward::progress::Kept;
use crate::forward::{self, Forward};
use crate::ingest::consume::{self, Consumer};
use crate::ingest::door;
use crate::ingest::file::{Importer, watch::Watch};
use crate::ingest::push::{self, Push};
use crate::model::feature::{FeatureType, Served, ViewId, ViewShape};
use crate::registry::{self, Registry};
use crate::slo::{Slos, Subject};
use crate::store::{self, Known, Serving};
use crate::sync;
use freshness::Freshness;
use progress::Progress;
use retention::Retention;
pub use run::Processor;
use rusqlite::Transaction;
use shared::error::{Context, Kind, OrKind, Result};
use shared::shutdown::Shutdown;
use shared::time::Clock;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::watch;
use upkeep::Upkeep;
use work::Topic;

/// Values of an earlier layout that one transaction brings over.
const ADOPTED_ROWS: usize = 20_000;
/// Connections for local feature reads.
const SERVE_READERS: usize = 4;

/// The agent with its file open, before it works.
pub struct Agent {
    config: Config,
    opening: Opening,
    views: Arc<[ViewShape]>,
    known: Arc<Known>,
    slos: Arc<Slos>,
    clock: Clock,
    progress: Progress,
    syncing: sync::Hand,
    sync_views: sync::Views,
    consuming: consume::progress::Watch,
    forwarding: forward::progress::Watch,
    upkeep: upkeep::Watch,
}

/// What is open once the file is.
struct Opening {
    db: Db,
    log: Arc<Log>,
    registry: Arc<Registry>,
    engine: Arc<Engine>,
    opened: Opened,
    topics: Vec<Topic>,
}

impl Agent {
    /// Checks the definitions and opens the file.
    pub async fn open(config: Config) -> Result<Agent> {
        Self::open_at(config, Clock::System).await
    }

    /// As [`Agent::open`], by a clock that the caller may move.
    pub async fn open_at(config: Config, clock: Clock) -> Result<Agent> {
        let views = definition::compile(&config.feature_view)?;
        let types: HashMap<String, Vec<FeatureType>> = views.iter().map(types).collect();
        let (opening_config, opening_clock) = (config.clone(), clock.clone());
        // Opening waits for the file's writer, which async code must not.
        let open = move || open(&opening_config, views, &opening_clock);
        let opening = tokio::task::spawn_blocking(open).await.or_kind(Kind::Bug)??;
        let shapes = opening.engine.shapes();
        let sync_views = shapes.iter().map(|shape| sync_view(shape, &types)).collect();
        let served = Served::new(run::served(&opening.engine, &opening.opened.former));
        let known = Arc::new(Known::new(served, &shapes, &config.feature_service)?);
        let subject = |shape: &ViewShape| Subject {
            id: shape.id,
            name: shape.name.clone(),
            topic: opening
                .engine
                .needs(shape.id)
                .first()
                .map(|(topic, _)| (*topic).to_owned())
                .unwrap_or_default(),
        };
        let subjects: Vec<Subject> = shapes.iter().map(subject).collect();
        let slos = Arc::new(Slos::new(&config.slo, &subjects, !config.sync.is_empty())?);
        let (views, progress) = (shapes.into(), Progress::default());
        let syncing = sync::Hand::new(&opening.db, &config.sync);
        let consuming = consume::progress::Watch::default();
        let forwarding = forward::progress::Watch::default();
        let upkeep = upkeep::Watch::default();
        Ok(Agent {
            config,
            opening,
            views,
            known,
            slos,
            clock,
            progress,
            syncing,
            sync_views,
            consuming,
            forwarding,
            upkeep,
        })
    }

    pub fn log(&self) -> Arc<Log> {
        Arc::clone(&self.opening.log)
    }

    pub fn db(&self) -> Db {
        self.opening.db.clone()
    }

    pub fn registry(&self) -> Arc<Registry> {
        Arc::clone(&self.opening.registry)
    }

    pub fn engine(&self) -> Arc<Engine> {
        Arc::clone(&self.opening.engine)
    }

    /// What readers of features can ask for.
    pub fn known(&self) -> Arc<Known> {
        Arc::clone(&self.known)
    }

    /// The contracts on freshness.
    pub fn slos(&self) -> Arc<Slos> {
        Arc::clone(&self.slos)
    }

    /// Connections for the status page.
    pub fn readers(&self) -> Readers {
        self.opening.db.readers(1)
    }

    /// Topics that gates or features read.
    pub fn topics(&self) -> Vec<String> {
        self.opening.topics.iter().map(|topic| topic.name.clone()).collect()
    }

    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }

    pub fn reserve_free_bytes(&self) -> u64 {
        self.config.buffer.reserve_free_bytes
    }

    pub fn upkeep_watch(&self) -> upkeep::Watch {
        self.upkeep.clone()
    }

    /// The targets of the sync, and where they stand.
    pub fn sync(&self) -> sync::Hand {
        self.syncing.clone()
    }

    /// The central brokers and where the reading of them stands.
    pub fn consume(&self) -> Option<(String, consume::progress::Watch)> {
        let settings = self.config.consume.as_ref()?;
        Some((settings.kafka.brokers.clone(), self.consuming.clone()))
    }

    /// The central brokers and where the bringing to them stands.
    pub fn forward(&self) -> Option<(String, forward::progress::Watch)> {
        let settings = self.config.forward.as_ref()?;
        Some((settings.kafka.brokers.clone(), self.forwarding.clone()))
    }

    /// Opens the doors and works until asked to stop.
    pub async fn run(self, shutdown: Shutdown) -> Result<()> {
        let outbox = self.syncing.news();
        let carriers = self.syncing.carriers(&self.config.sync, &self.sync_views, &self.clock)?;
        let consumer = self.consumer(&shutdown)?;
        let forward = self.forwarder(forward::kafka(), &shutdown)?;
        let importer = self.importer(&shutdown);
        let consumed = self.config.consume.as_ref().map_or_else(Vec::new, |consume| consume.topics.clone());
        let kept = forward.as_ref().map(Forward::kept);
        let needs = needed::before_deleting(self.topics(), kept, consumed, self.progress());
        self.opening.log.ask_before_deleting(needs);
        self.doors(&shutdown).await?;
        let carry = |carrier: sync::Carrier| tokio::spawn(carrier.run(shutdown.clone()));
        let mut beside: Vec<_> = carriers.into_iter().map(carry).collect();
        beside.extend(self.freshness().map(|freshness| tokio::spawn(freshness.run(shutdown.clone()))));
        let retention = self.retention(forward.as_ref().map(Forward::kept), &shutdown)?;
        let upkeep = self.upkeep(&shutdown)?;
        let stop = shutdown.clone();
        let processor = self.processor(outbox, shutdown)?;
        // Retention begins after the processor has said which views are built from the log.
        let mut others = vec![thread::start("retention", move |runtime| {
            retention.run(runtime);
            Ok(())
        })?];
        others.push(thread::start("upkeep", move |runtime| {
            upkeep.run(runtime);
            Ok(())
        })?);
        if let Some(consumer) = consumer {
            others.push(thread::start("consume", move |runtime| consumer.run(runtime))?);
        }
        if let Some(forward) = forward {
            others.push(thread::start("forward", move |runtime| forward.run(runtime))?);
        }
        if let Some((importer, files)) = importer {
            let stop = stop.clone();
            others.push(thread::start("files", move |runtime| {
                Watch { importer, files, shutdown: stop }.run(runtime)
            })?);
        }
        let mut outcome = thread::start("pipeline", move |runtime| processor.run(runtime))?.end().await;
        // Whether it ended by itself or was asked to: the others end too.
        stop.request();
        for other in others {
            outcome = outcome.and(other.end().await);
        }
        for task in beside {
            task.await.or_kind(Kind::Bug)?;
        }
        outcome
    }

    fn freshness(&self) -> Option<Freshness> {
        let (slos, readers) = (self.slos(), self.opening.db.readers(1));
        (!slos.is_empty()).then(|| Freshness { slos, readers, clock: self.clock.clone() })
    }

    fn consumer(&self, shutdown: &Shutdown) -> Result<Option<Consumer>> {
        let Some(settings) = &self.config.consume else { return Ok(None) };
        let (db, log) = (&self.opening.db, self.log());
        let registry = Arc::clone(&self.opening.registry);
        let adopt: consume::Adopt = Box::new(move |subject, schema| registry.adopt(subject, schema));
        let watch = self.consuming.clone();
        Consumer::new(settings, db, log, adopt, watch, shutdown.clone()).map(Some)
    }

    /// Brings the log to the centre that `make` reaches, if there is one.
    pub fn forwarder(&self, make: forward::Make, shutdown: &Shutdown) -> Result<Option<Forward>> {
        let Some(settings) = &self.config.forward else { return Ok(None) };
        let registry = Arc::clone(&self.opening.registry);
        let known: forward::Known = Box::new(move |asked| match asked {
            forward::Asked::Id(id) => {
                let Some(text) = registry.schema(id)? else { return Ok(None) };
                let (subjects, references) = (registry.subjects_of(id)?, registry.references(id)?);
                Ok(Some(forward::Schema { text, subjects, references }))
            }
            forward::Asked::Version(subject, version) => {
                let found = registry.referred(subject, version)?;
                Ok(found.map(|found| forward::Schema {
                    text: found.text.into(),
                    subjects: vec![found.subject],
                    references: found.references,
                }))
            }
        });
        let consumed = self.config.consume.as_ref().map_or(&[][..], |consume| &consume.topics);
        let (log, watch, shutdown) = (self.log(), self.forwarding.clone(), shutdown.clone());
        let (db, clock) = (&self.opening.db, &self.clock);
        let ground = forward::Ground { db, log, known, make, watch, clock, shutdown };
        Forward::new(settings, consumed, ground).map(Some)
    }

    fn retention(&self, forwarded: Option<Kept>, shutdown: &Shutdown) -> Result<Retention> {
        Ok(Retention {
            log: self.log(),
            reader: self.opening.db.reader()?,
            processed: self.topics(),
            forwarded,
            progress: self.progress(),
            buffer: self.config.buffer.clone(),
            topics: self.config.topic.clone(),
            unpacked_bytes: self.config.features.unpacked_bytes,
            shutdown: shutdown.clone(),
        })
    }

    fn importer(&self, shutdown: &Shutdown) -> Option<(Importer, Vec<FilesConfig>)> {
        let files = self.config.files.clone();
        let registry = Arc::clone(&self.opening.registry);
        let runtime = tokio::runtime::Handle::current();
        let importer = || Importer::new(&self.opening.db, self.log(), registry, runtime, shutdown.clone());
        (!files.is_empty()).then(|| (importer(), files))
    }

    fn push(&self) -> Option<Arc<Push>> {
        let settings = self.config.push.as_ref()?;
        let view = |view: &crate::config::feature::ViewConfig| push::View {
            name: view.name.clone(),
            topic: view.topic.clone(),
            key: view.entity.clone(),
        };
        let views = self.config.feature_view.iter().map(view).collect();
        let (db, registry) = (&self.opening.db, Arc::clone(&self.opening.registry));
        Some(Push::new(settings, db, self.log(), registry, views, self.clock.clone()))
    }

    fn upkeep(&self, shutdown: &Shutdown) -> Result<Upkeep> {
        let db = self.opening.db.clone();
        let (reader, shutdown) = (db.reader()?, shutdown.clone());
        Ok(Upkeep {
            db,
            log: self.log(),
            reader,
            watch: self.upkeep.clone(),
            clock: self.clock.clone(),
            shutdown,
        })
    }

    async fn doors(&self, shutdown: &Shutdown) -> Result<()> {
        let (config, opening) = (&self.config, &self.opening);
        let readers = opening.db.readers(SERVE_READERS);
        let serving = Serving { known: self.known(), readers, clock: self.clock.clone() };
        let push = self.push();
        let more = push.clone().map(push::guarded_feast_routes).unwrap_or_default();
        store::serve(config.features.listen, serving, more, shutdown.clone()).await?;
        if let Some(push) = push {
            push::serve(push, shutdown.clone()).await?;
        }
        registry::serve(&config.registry, Arc::clone(&opening.registry), shutdown.clone()).await?;
        door::serve(&config.door, Arc::clone(&opening.log), shutdown.clone()).await?;
        tracing::info!(
            event = "agent_started",
            views = self.views.len(),
            gates = config.gate.len(),
            "the agent is open"
        );
        Ok(())
    }

    /// What the processing thread does, for whoever does it step by step.
    pub fn processor(self, outbox: Option<watch::Sender<u64>>, shutdown: Shutdown) -> Result<Processor> {
        let Agent { config, opening, views, known, slos, clock, progress, .. } = self;
        let reader = opening.db.reader()?;
        let cursors = cursor::load(&reader)?;
        let (stale, former) = (opening.opened.stale, opening.opened.former);
        // A view whose former version is served is there for its readers.
        let hydrating = |view: &&ViewShape| {
            stale.contains(&view.id) && !former.iter().any(|former| former.name == view.name)
        };
        let hydrating: Vec<String> = views.iter().filter(hydrating).map(|view| view.name.clone()).collect();
        let short = reach::load(&reader)?;
        let named = |(view, until_us): (&ViewId, &i64)| (opening.engine.name(*view).to_owned(), *until_us);
        progress.update(|state| {
            state.cursors.clone_from(&cursors);
            state.hydrating = hydrating;
            state.former = former.iter().map(|shape| (shape.name.clone(), shape.version)).collect();
            state.short = short.iter().map(named).collect();
        });
        Ok(Processor {
            db: opening.db,
            log: opening.log,
            registry: opening.registry,
            fits: fit::Fits::new(&config.feature_view)?,
            reader,
            topics: opening.topics,
            engine: opening.engine,
            stale,
            former,
            served: known.views.clone(),
            short,
            cursors,
            config: config.features,
            max_quarantined: config.quarantine.max_records,
            clock,
            progress,
            slos,
            outbox,
            shutdown,
        })
    }
}

/// Opens the file and gives the views their place in it.
fn open(config: &Config, views: Vec<View>, clock: &Clock) -> Result<Opening> {
    let db = Db::open(&config.db)?;
    if let Some(damaged) = db.aside() {
        recover::bring_over(damaged, &db)?;
    }
    let log = Arc::new(Log::open_at(&db, &config.buffer, clock.clone())?);
    let registry = Arc::new(Registry::open(&db)?);
    let topics = work::topics(&views, &config.gate, config.features.unpacked_bytes);
    let columns: Vec<(String, Vec<String>)> =
        topics.iter().map(|topic| (topic.name.clone(), topic.columns().to_vec())).collect();
    let now_us = clock.now().micros();
    let copied = log.is_copied();
    let trimmed_ms = clock.now().millis();
    let limits = Limits::with_cache(config.features.cache_bytes);
    let targets: Vec<(String, String)> =
        config.sync.iter().map(|(name, target)| (name.clone(), target.identity())).collect();
    while db.write(|tx| store::adopt(tx, ADOPTED_ROWS))? {}
    let opened = db.write(move |tx| {
        let of = |name: &str| columns.iter().find(|(topic, _)| topic == name).map_or(&[][..], |(_, c)| c);
        let (engine, opened) = Engine::open(tx, views, of, now_us, limits)?;
        for view in opened.stale.iter().chain(&opened.gone) {
            store::clear(tx, *view)?;
            sync::outbox::clear(tx, *view)?;
            reach::forget(tx, *view)?;
        }
        // The centre keeps what it has of a former version until the new one's values come.
        for former in &opened.former {
            sync::outbox::clear(tx, former.id)?;
            reach::forget(tx, former.id)?;
        }
        refill(tx, &engine, &targets)?;
        if copied {
            take_over(tx, &engine, trimmed_ms)?;
        }
        Ok((engine, opened))
    });
    let (engine, opened) = opened.doing(|| "open the feature views")?;
    Ok(Opening { db, log, registry, engine: Arc::new(engine), opened, topics })
}

/// The file is a copy: its views lack the rows that came after it was made, and other numbers than the
/// log's may have been given out since.
fn take_over(tx: &Transaction<'_>, engine: &Engine, now_ms: i64) -> Result<()> {
    for shape in engine.shapes() {
        let needs = engine.needs(shape.id).into_iter();
        let whole_us = needs.map(|(_, window_us)| reach::whole_at_us(now_ms, window_us)).max();
        reach::set(tx, shape.id, whole_us.unwrap_or(reach::NEVER))?;
    }
    registry::skip_ids(tx)?;
    door::forget_open_transactions(tx)?;
    buffer::copy_settled(tx)
}

/// A target that is new gets every stored value.
fn refill(tx: &Transaction<'_>, engine: &Engine, targets: &[(String, String)]) -> Result<()> {
    let new = sync::outbox::settle(tx, targets)?;
    if !new.is_empty() {
        for shape in engine.shapes() {
            sync::outbox::fill(tx, &store::all(tx, shape.id)?)?;
        }
    }
    for (name, identity) in new.into_iter().filter_map(|at| targets.get(at)) {
        sync::outbox::begin(tx, name, identity)?;
    }
    Ok(())
}

/// The types of a view's features, by its name.
fn types(view: &View) -> (String, Vec<FeatureType>) {
    let of = |feature: &definition::Feature| match feature.compute {
        Compute::Vector(_) => FeatureType::Vector,
        // The type that is declared is that of the list's elements.
        Compute::Aggregate(at) if view.aggregates.get(at).is_some_and(|a| a.aggregate.takes_n()) => {
            FeatureType::Natural
        }
        _ => feature.kind,
    };
    (view.name.clone(), view.features.iter().map(of).collect())
}

/// The views as targets see them, for whoever only looks: they have no numbers yet.
pub fn sync_views(views: &[View]) -> sync::Views {
    let all: HashMap<String, Vec<FeatureType>> = views.iter().map(types).collect();
    let shape = |view: &View| ViewShape {
        id: ViewId(0),
        version: 1,
        name: view.name.clone(),
        entity: view.entity.clone(),
        features: view.features.iter().map(|feature| feature.name.clone()).collect(),
        ttl_us: view.ttl_us,
    };
    views.iter().map(|view| sync_view(&shape(view), &all)).collect()
}

fn sync_view(shape: &ViewShape, types: &HashMap<String, Vec<FeatureType>>) -> Arc<sync::View> {
    let types = types.get(&shape.name).cloned().unwrap_or_default();
    Arc::new(sync::View { shape: shape.clone(), types })
}
#[cfg(test)]
mod tests;
