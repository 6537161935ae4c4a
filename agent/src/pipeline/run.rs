//! The processing thread: one loop over what may happen. Verdicts, state, store, outbox and cursors of
//! a round move in one transaction, so that a crash at any instruction is as if it had not begun.

use super::cursor;
use super::fit::Fits;
use super::progress::Progress;
use super::reach;
use super::work::{self, Part, Topic, Work};
use crate::buffer::Log;
use crate::config::feature::FeaturesConfig;
use crate::db::Db;
use crate::feature::Engine;
use crate::gate::quarantine;
use crate::model::batch::{Batch, PartitionId};
use crate::model::feature::{FeatureRow, Served, ViewId, ViewShape};
use crate::model::row::{Op, Row};
use crate::registry::Registry;
use crate::slo::Slos;
use crate::{metrics, store, sync};
use rusqlite::{Connection, Transaction};
use shared::error::{Context, Error, Kind, Result};
use shared::retry::Backoff;
use shared::shutdown::Shutdown;
use shared::time::Clock;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::Instant;

/// Rows that may leave windows in one transaction, roughly.
const EXPIRE_ROWS: usize = 10_000;
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_CEILING: Duration = Duration::from_secs(5);

/// All that may happen to the thread.
enum Event {
    /// The log has new batches.
    News,
    /// Time to look for rows that left a window.
    Tick,
    Stop,
}

/// The thread's parts.
pub struct Processor {
    pub db: Db,
    pub log: Arc<Log>,
    pub registry: Arc<Registry>,
    pub(super) fits: Fits,
    pub reader: Connection,
    pub topics: Vec<Topic>,
    pub engine: Arc<Engine>,
    pub stale: Vec<ViewId>,
    /// What is served of views whose new versions are not complete.
    pub former: Vec<ViewShape>,
    pub served: Served,
    /// Views that lack rows, and until when: their values are not given out.
    pub short: HashMap<ViewId, i64>,
    pub cursors: HashMap<PartitionId, i64>,
    pub config: FeaturesConfig,
    pub max_quarantined: u64,
    pub clock: Clock,
    pub progress: Progress,
    pub slos: Arc<Slos>,
    /// Changes when the outbox got rows; without sync there is none.
    pub outbox: Option<watch::Sender<u64>>,
    pub shutdown: Shutdown,
}

/// What of a round goes into the transaction.
pub(super) struct Rules {
    pub engine: Arc<Engine>,
    pub now_us: i64,
    max_quarantined: u64,
    with_outbox: bool,
    /// Views whose values are not given out.
    pub withheld: Vec<ViewId>,
    /// Views of which a changed entity is wanted.
    sampled: Vec<ViewId>,
}

/// What a transaction gave to others.
#[derive(Default)]
pub(super) struct Published {
    /// Rows that went into the outbox.
    pub queued: usize,
    /// A changed entity of each view that is sampled.
    samples: Vec<(ViewId, Vec<u8>)>,
}

impl Processor {
    /// Works until the program stops. An error is one that waiting does not cure.
    pub fn run(mut self, runtime: &Handle) -> Result<()> {
        self.fits.look(&self.registry)?;
        let mut news = self.log.news();
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_CEILING);
        let mut next_tick = Instant::now();
        let mut event = Event::News;
        loop {
            let done = match event {
                Event::Stop => return Ok(()),
                Event::News => self.build().and_then(|()| self.drain()),
                Event::Tick => self.tick(),
            };
            match done {
                Ok(()) => self.works(&mut backoff),
                Err(error) if error.retryable() => {
                    self.waits(&error);
                    let pause = backoff.delay();
                    let stopped = runtime
                        .block_on(async { tokio::time::timeout(pause, self.shutdown.wait()).await.is_ok() });
                    event = if stopped { Event::Stop } else { Event::News };
                    continue;
                }
                Err(error) => return Err(error),
            }
            if matches!(event, Event::Tick) {
                next_tick = Instant::now() + self.config.tick;
            }
            event = runtime.block_on(self.next(&mut news, next_tick));
        }
    }

    async fn next(&self, news: &mut watch::Receiver<u64>, next_tick: Instant) -> Event {
        tokio::select! {
            biased;
            () = self.shutdown.wait() => Event::Stop,
            () = tokio::time::sleep_until(next_tick) => Event::Tick,
            changed = news.changed() => if changed.is_ok() { Event::News } else { Event::Stop },
        }
    }

    /// Said once per outage, and once when it is over.
    fn waits(&self, error: &Error) {
        if self.progress.get().waiting.is_none() {
            tracing::warn!(
                event = "pipeline_waits", %error, remedy = error.hint(),
                "processing waits and tries again; nothing is lost"
            );
        }
        self.progress.update(|state| state.waiting = Some(error.to_string()));
    }

    fn works(&self, backoff: &mut Backoff) {
        backoff.reset();
        if self.progress.get().waiting.is_some() {
            tracing::info!(event = "pipeline_works", "processing goes on");
            self.progress.update(|state| state.waiting = None);
        }
    }

    /// Processes all that is there, looking at windows in between.
    fn drain(&mut self) -> Result<()> {
        // After a long time away much has left the windows: in steps, before rows need them to be at now.
        self.tick()?;
        let mut next_tick = Instant::now() + self.config.tick;
        while !self.shutdown.requested() && self.round()? {
            if Instant::now() >= next_tick {
                self.tick()?;
                next_tick = Instant::now() + self.config.tick;
            }
        }
        if !self.shutdown.requested() && !self.progress.get().caught_up {
            self.tick()?;
            self.progress.update(|state| state.caught_up = true);
        }
        Ok(())
    }

    /// One transaction's work over all partitions; false if there was none.
    pub fn round(&mut self) -> Result<bool> {
        let works =
            self.gather(|here, _, partition| (here.position(partition), here.log.end_offset(partition)))?;
        if works.is_empty() {
            return Ok(false);
        }
        self.commit(works)?;
        Ok(true)
    }

    /// What partitions have for one transaction; `span` gives where each goes on and ends.
    pub(super) fn gather(
        &mut self,
        span: impl Fn(&Processor, &str, PartitionId) -> (i64, i64),
    ) -> Result<Vec<Work>> {
        let mut works = Vec::new();
        let mut left_bytes = self.config.batch_bytes;
        for at in 0..self.topics.len() {
            let Some(name) = self.topics.get(at).map(|topic| topic.name.clone()) else { continue };
            let in_order = self.engine.in_order(&name);
            for partition in self.log.partitions(&name) {
                let (from, end) = span(self, &name, partition);
                // Where the order counts, each partition must say how far it is.
                let bytes = if in_order { self.config.batch_bytes / 4 } else { left_bytes };
                if bytes == 0 || from >= end {
                    continue;
                }
                let Some(mut batches) = self.read(partition, from, bytes)? else { continue };
                batches.retain(|batch| batch.base_offset < end);
                left_bytes = left_bytes.saturating_sub(batches.iter().map(|batch| batch.records.len()).sum());
                let registry = &self.registry;
                let Some(topic) = self.topics.get_mut(at) else { continue };
                self.fits.arrived(&topic.name, registry)?;
                let work = topic.judge(batches, from, &|id| registry.whole_schema(id))?;
                works.extend(work.map(|work| Part {
                    goes_on: work.next_offset < end,
                    in_order,
                    work: work.until(end),
                }));
            }
        }
        Ok(work::in_order(works))
    }

    /// `None` at a damaged batch: its partition waits there, the others go on. The log has said so.
    pub(super) fn read(
        &self,
        partition: PartitionId,
        from: i64,
        max_bytes: usize,
    ) -> Result<Option<Vec<Batch>>> {
        match self.log.read(&self.reader, partition, from, max_bytes) {
            Err(error) if error.kind() == Kind::Data => {
                self.progress.update(|state| state.damaged.insert(partition, error.to_string()));
                Ok(None)
            }
            read => {
                if self.progress.get_damaged(partition) {
                    self.progress.update(|state| state.damaged.remove(&partition));
                }
                read.map(Some)
            }
        }
    }

    /// Where to go on: the cursor, or the log's start if that was trimmed or never read.
    pub(super) fn position(&self, partition: PartitionId) -> i64 {
        let start = self.log.log_start(partition);
        self.cursors.get(&partition).copied().unwrap_or(start).max(start)
    }

    pub(super) fn commit(&mut self, works: Vec<Work>) -> Result<()> {
        let positions: Vec<_> = works.iter().map(|work| (work.partition, work.next_offset)).collect();
        let commits = |work: &Work| {
            let live = work.rows.iter().filter(|row| row.op != Op::Read);
            (work.topic.clone(), live.map(|row| row.committed_us).collect::<Vec<i64>>())
        };
        let committed: Vec<(String, Vec<i64>)> = works.iter().map(commits).collect();
        let rules = self.rules();
        let published = self.db.write(move |tx| apply(tx, &rules, &works)).doing(|| "process the log")?;
        self.cursors.extend(positions.iter().copied());
        self.progress.update(|state| state.cursors.extend(positions));
        self.announce(published.queued);
        self.account(&committed, &published.samples);
        Ok(())
    }

    /// Counts how long it took until these commits were readable here, and what waits for the centre.
    fn account(&self, committed: &[(String, Vec<i64>)], samples: &[(ViewId, Vec<u8>)]) {
        let now_us = self.clock.now().micros();
        for (topic, commits) in committed {
            for committed_us in commits {
                let seconds = now_us.saturating_sub(*committed_us) as f64 / 1e6;
                metrics::FEATURE_FRESHNESS_SECONDS.observe(seconds.max(0.0));
            }
            self.slos.local(topic, commits, now_us);
        }
        let oldest = |topic: &str| {
            let of_topic = committed.iter().filter(|(name, _)| name == topic);
            of_topic.flat_map(|(_, commits)| commits).min().copied()
        };
        for (view, entity) in samples {
            self.slos.waits(*view, entity, oldest, now_us);
        }
    }

    pub(super) fn rules(&self) -> Rules {
        Rules {
            engine: Arc::clone(&self.engine),
            now_us: self.clock.now().micros(),
            max_quarantined: self.max_quarantined,
            with_outbox: self.outbox.is_some(),
            withheld: self.short.keys().chain(&self.stale).copied().collect(),
            sampled: self.slos.sampled(),
        }
    }

    pub(super) fn announce(&self, queued: usize) {
        if let (Some(outbox), true) = (&self.outbox, queued > 0) {
            outbox.send_modify(|n| *n = n.wrapping_add(1));
        }
    }

    /// Computes what changed because rows left their windows.
    pub fn tick(&mut self) -> Result<()> {
        self.complete()?;
        while !self.shutdown.requested() && self.engine.due(&self.reader, self.clock.now().micros())? {
            let rules = self.rules();
            let expired = self.db.write(move |tx| {
                let (values, more) = rules.engine.expire(tx, rules.now_us, EXPIRE_ROWS)?;
                Ok((publish(tx, &rules, values)?.queued, more))
            });
            let (queued, more) = expired.doing(|| "expire windows")?;
            self.announce(queued);
            if !more {
                break;
            }
        }
        Ok(())
    }

    /// Readers get the new versions that are complete from now on; then the former ones' values go. In
    /// this order, no read finds nothing.
    pub(super) fn switch(&mut self) -> Result<()> {
        if self.former.is_empty() {
            return Ok(());
        }
        let shapes = self.engine.shapes();
        // A new version that lacks rows is not waited for: the former one's values stand still, and the longer
        // they do, the more of them are wrong.
        let waits = |former: &ViewShape| {
            shapes.iter().any(|shape| shape.name == former.name && self.stale.contains(&shape.id))
        };
        let (left, done): (Vec<ViewShape>, Vec<ViewShape>) = self.former.iter().cloned().partition(waits);
        if done.is_empty() {
            return Ok(());
        }
        self.served.set(served(&self.engine, &left));
        self.progress.update(|state| state.former.retain(|name, _| left.iter().any(|f| f.name == *name)));
        self.former = left;
        let (engine, ids): (_, Vec<ViewId>) = (Arc::clone(&self.engine), done.iter().map(|f| f.id).collect());
        let gone = self.db.write(move |tx| {
            for id in ids {
                store::clear(tx, id)?;
                engine.forget(tx, id)?;
            }
            Ok(())
        });
        gone.doing(|| "forget former versions of feature views")?;
        for former in done {
            tracing::info!(
                event = "view_version_switched",
                view = former.name,
                from = former.version,
                "readers get the view's new version"
            );
        }
        Ok(())
    }

    /// Gives out the values of views that lack rows no more.
    fn complete(&mut self) -> Result<()> {
        let now_us = self.clock.now().micros();
        let whole: Vec<ViewId> =
            self.short.iter().filter(|(_, until_us)| **until_us <= now_us).map(|(view, _)| *view).collect();
        for view in whole {
            let mut rules = self.rules();
            rules.withheld.retain(|withheld| *withheld != view);
            let done = self.db.write(move |tx| {
                reach::forget(tx, view)?;
                let values = rules.engine.everything(tx, view, rules.now_us)?;
                publish(tx, &rules, values).map(|published| published.queued)
            });
            let queued = done.doing(|| "give out a view's values")?;
            self.short.remove(&view);
            self.show_short();
            self.announce(queued);
            let name = self.engine.name(view);
            tracing::info!(
                event = "view_complete",
                view = name,
                "the rows that the view lacked have left it"
            );
        }
        Ok(())
    }

    pub(super) fn show_short(&self) {
        let name = |view: &ViewId| self.engine.name(*view).to_owned();
        let short = self.short.iter().map(|(view, until_us)| (name(view), *until_us)).collect();
        self.progress.update(|state| state.short = short);
    }
}

/// What readers see: the former version of a view as long as there is one.
pub(super) fn served(engine: &Engine, former: &[ViewShape]) -> Vec<ViewShape> {
    let served = |shape: ViewShape| former.iter().find(|f| f.name == shape.name).cloned().unwrap_or(shape);
    engine.shapes().into_iter().map(served).collect()
}

/// Everything that a round does, in its transaction.
fn apply(tx: &Transaction<'_>, rules: &Rules, works: &[Work]) -> Result<Published> {
    let mut values = Vec::new();
    let batches: Vec<(&str, &[Row])> = works.iter().map(|work| (&*work.topic, &*work.rows)).collect();
    let effects = rules.engine.apply_all(tx, &batches, rules.now_us, None)?;
    for (work, effect) in works.iter().zip(effects) {
        values.extend(effect.values);
        let mut refused = work.refused.clone();
        refused.extend(effect.refused.into_iter().map(|(offset, reason)| work.refused_later(offset, reason)));
        for one in &refused {
            metrics::GATE_QUARANTINED.with_label_values(&[one.reason.label]).inc();
        }
        quarantine::put(tx, &refused, rules.now_us, rules.max_quarantined)?;
        cursor::set(tx, work.partition, work.next_offset)?;
    }
    publish(tx, rules, values)
}

pub(super) fn publish(tx: &Transaction<'_>, rules: &Rules, mut values: Vec<FeatureRow>) -> Result<Published> {
    values.retain(|row| !rules.withheld.contains(&row.view));
    let stored = store::write(tx, values, rules.now_us)?;
    metrics::FEATURE_WRITTEN.inc_by(stored.len() as u64);
    if !rules.with_outbox {
        return Ok(Published::default());
    }
    sync::outbox::put(tx, &stored)?;
    metrics::SYNC_QUEUED.inc_by(stored.len() as u64);
    let last = |view: &ViewId| stored.iter().rfind(|stored| stored.row.view == *view);
    let sample = |view: &ViewId| last(view).map(|stored| (*view, stored.row.entity.clone()));
    Ok(Published { queued: stored.len(), samples: rules.sampled.iter().filter_map(sample).collect() })
}
