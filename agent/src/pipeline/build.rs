//! New and changed views are filled from the retained log before readers get them.

use super::reach;
use super::run::{Processor, publish};
use crate::model::batch::PartitionId;
use crate::model::feature::ViewId;
use crate::model::row::Row;
use shared::error::{Context, Error, Kind, Result};
use std::collections::HashMap;
use std::sync::Arc;

impl Processor {
    /// Fills new and changed views from the retained log, up to where the others are.
    pub fn build(&mut self) -> Result<()> {
        if self.stale.is_empty() {
            // Also after a crash between a view's completion and its former version's end.
            return self.switch();
        }
        let stale = self.stale.clone();
        self.lead(&stale)?;
        self.refill(&stale)?;
        if self.shutdown.requested() {
            // Half built is not built: the next start begins again.
            return Ok(());
        }
        self.reach(&stale)?;
        let mut rules = self.rules();
        rules.withheld.retain(|view| self.short.contains_key(view));
        let (views, short) = (stale.clone(), self.short.clone());
        let built = self.db.write(move |tx| {
            let mut queued = 0;
            for view in views {
                let values = rules.engine.everything(tx, view, rules.now_us)?;
                queued += publish(tx, &rules, values)?.queued;
                if let Some(until_us) = short.get(&view) {
                    reach::set(tx, view, *until_us)?;
                }
                rules.engine.built(tx, view)?;
            }
            Ok(queued)
        });
        let queued = built.doing(|| "build feature views")?;
        self.announce(queued);
        self.stale.clear();
        self.switch()?;
        // Said once it is so: who was told that a view lacks rows gets no value of its former version.
        self.show_short();
        self.progress.update(|state| state.hydrating.clear());
        tracing::info!(event = "pipeline_views_built", views = stale.len(), "new and changed views are live");
        Ok(())
    }

    /// Processes what nobody has read yet of topics that the views look up: their rows that are filled in from the
    /// log would find nothing there. Where the views' own topics are as new, all of it comes after.
    fn lead(&mut self, stale: &[ViewId]) -> Result<()> {
        let new = |here: &Processor, topic: &str| {
            here.log.partitions(topic).iter().all(|partition| !here.cursors.contains_key(partition))
        };
        let mut topics: Vec<String> = Vec::new();
        for view in stale {
            let needs = self.engine.needs(*view);
            let Some(((own, _), looked_up)) = needs.split_first() else { continue };
            if !new(self, own) {
                let looked_up = looked_up.iter().map(|(topic, _)| *topic).filter(|topic| new(self, topic));
                topics.extend(looked_up.map(str::to_owned));
            }
        }
        while !topics.is_empty() && !self.shutdown.requested() {
            let works = self.gather(|here, topic, partition| {
                let wanted = topics.iter().any(|name| name == topic);
                let end = if wanted { here.log.end_offset(partition) } else { 0 };
                (here.position(partition), end)
            })?;
            if works.is_empty() {
                break;
            }
            self.commit(works)?;
        }
        Ok(())
    }

    /// Takes the log once more, from its start to the cursors, for some views.
    fn refill(&mut self, stale: &[ViewId]) -> Result<()> {
        // What they were led by is of today: a change of then would be joined with it.
        let (engine, views) = (Arc::clone(&self.engine), stale.to_vec());
        self.db.write(move |tx| views.iter().try_for_each(|view| engine.begin(tx, *view)))?;
        let mut reached: HashMap<PartitionId, i64> = HashMap::new();
        while !self.shutdown.requested() {
            let works = self.gather(|here, _, partition| {
                let from = reached.get(&partition).copied();
                let end = here.cursors.get(&partition).copied().unwrap_or(0);
                (from.unwrap_or_else(|| here.log.log_start(partition)), end)
            })?;
            // Built without what is behind a damaged batch, a view would give out wrong values.
            if !self.progress.get().damaged.is_empty() {
                return Err(Error::new(Kind::Unreachable, "a batch that a view is built from is damaged")
                    .remedy("db.on_damage = \"set_aside\" moves it aside; else recover the file"));
            }
            if works.is_empty() {
                break;
            }
            reached.extend(works.iter().map(|work| (work.partition, work.next_offset)));
            let (engine, stale) = (Arc::clone(&self.engine), stale.to_vec());
            let now_us = self.clock.now().micros();
            self.db.write(move |tx| {
                let batches: Vec<(&str, &[Row])> =
                    works.iter().map(|work| (&*work.topic, &*work.rows)).collect();
                engine.apply_all(tx, &batches, now_us, Some(&stale)).map(drop)
            })?;
        }
        Ok(())
    }

    /// Finds those of the views that were just built for which the log no longer reached back.
    fn reach(&mut self, built: &[ViewId]) -> Result<()> {
        let now_us = self.clock.now().micros();
        for view in built {
            let (mut until_us, mut lacking) = (0, "");
            for (topic, window_us) in self.engine.needs(*view) {
                for partition in self.log.partitions(topic) {
                    let trimmed_ms = self.log.trimmed_ms(&self.reader, partition)?;
                    (until_us, lacking) =
                        (until_us, lacking).max((reach::whole_at_us(trimmed_ms, window_us), topic));
                }
            }
            if until_us > now_us {
                if self.short.insert(*view, until_us).is_some() {
                    continue;
                }
                tracing::warn!(
                    event = "view_lacks_rows",
                    view = self.engine.name(*view),
                    topic = lacking,
                    complete_in_s = (until_us != reach::NEVER).then(|| (until_us - now_us) / 1_000_000),
                    remedy = reach::remedy(until_us),
                    "the log no longer reaches back far enough: values are held back until none is wrong"
                );
            }
        }
        Ok(())
    }
}
