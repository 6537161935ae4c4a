//! Freshness as a contract: how many changes were readable in time, and how fast the budget of those that
//! may be late is used up.
//!
//! ```text
//! burn rate = part that was late / part that may be late      1: the budget lasts exactly its window
//! ```
//! Somebody is told when it is too high over five minutes *and* over an hour: the short one ends soon after
//! the trouble does, the long one keeps a hiccup from waking anybody.

mod account;
mod sample;

use crate::config::slo::{Place, SloConfig};
use crate::metrics;
use crate::model::feature::ViewId;
use account::Account;
pub use sample::Sample;
use sample::Samples;
use serde_json::{Value as Json, json};
use shared::config::nearest;
use shared::error::{Error, Kind, Result};
use std::sync::{Mutex, PoisonError};

const SHORT_S: i64 = 300;
const LONG_S: i64 = 3_600;

/// A view as a contract speaks of it.
#[derive(Clone, Debug)]
pub struct Subject {
    pub id: ViewId,
    pub name: String,
    pub topic: String,
}

/// All contracts.
#[derive(Debug, Default)]
pub struct Slos(Vec<Slo>);

#[derive(Debug)]
struct Slo {
    config: SloConfig,
    /// What its changes come by.
    topic: String,
    view: Option<ViewId>,
    within_us: i64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    account: Account,
    samples: Samples,
    burning: bool,
}

impl Slos {
    /// # Errors
    /// `Config` for a view that is not there, or a central contract without a central store.
    pub fn new(configs: &[SloConfig], views: &[Subject], with_sync: bool) -> Result<Slos> {
        let mut slos: Vec<Slo> = Vec::with_capacity(configs.len());
        for config in configs {
            if slos.iter().any(|slo| slo.config.name == config.name) {
                return Err(Error::new(Kind::Config, format!("two slos are called {:?}", config.name)));
            }
            slos.push(Slo::new(config, views, with_sync)?);
        }
        Ok(Slos(slos))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Changes of a topic became readable here; each by when it was committed.
    pub fn local(&self, topic: &str, committed_us: &[i64], now_us: i64) {
        for slo in self.0.iter().filter(|slo| slo.config.at == Place::Local && slo.topic == topic) {
            let mut state = slo.state();
            for committed_us in committed_us {
                slo.count(&mut state, now_us.saturating_sub(*committed_us), now_us);
            }
        }
    }

    /// Views of which a sample is wanted whenever they change.
    pub fn sampled(&self) -> Vec<ViewId> {
        let central = self.0.iter().filter(|slo| slo.config.at == Place::Central);
        central.filter_map(|slo| slo.view).collect()
    }

    /// A changed entity waits to be brought to the centre. `committed_us` gives the oldest commit of a topic
    /// among what changed it.
    pub fn waits(
        &self,
        view: ViewId,
        entity: &[u8],
        committed_us: impl Fn(&str) -> Option<i64>,
        now_us: i64,
    ) {
        let wanted = |slo: &&Slo| slo.config.at == Place::Central && slo.view == Some(view);
        for slo in self.0.iter().filter(wanted) {
            let Some(committed_us) = committed_us(&slo.topic) else { continue };
            let mut state = slo.state();
            if state.samples.stalled() {
                slo.count(&mut state, i64::MAX, now_us);
            } else {
                state.samples.add(Sample { view, entity: entity.to_vec(), committed_us });
            }
        }
    }

    /// Everything that waits.
    pub fn waiting(&self) -> Vec<Sample> {
        let each = self.0.iter().map(|slo| slo.state().samples.all());
        let mut waiting: Vec<Sample> = each.flatten().collect();
        waiting.sort_unstable_by(|a, b| (a.view, &a.entity).cmp(&(b.view, &b.entity)));
        waiting.dedup_by(|a, b| (a.view, &a.entity) == (b.view, &b.entity));
        waiting
    }

    /// Of what waited, `still` waits; the rest has arrived.
    pub fn arrived(&self, asked: &[Sample], still: &[Sample], now_us: i64) {
        for slo in &self.0 {
            let mut state = slo.state();
            for late_us in state.samples.settle(asked, still, slo.within_us, now_us) {
                slo.count(&mut state, late_us, now_us);
            }
        }
    }

    /// Shows the burn rates, and says when a contract is being broken, and when it no longer is.
    pub fn look(&self, now_us: i64) {
        for slo in &self.0 {
            let mut state = slo.state();
            let (short, long) = slo.burn(&state, now_us);
            let name = slo.config.name.as_str();
            metrics::SLO_BURN_RATE.with_label_values(&[name, "5m"]).set(short);
            metrics::SLO_BURN_RATE.with_label_values(&[name, "1h"]).set(long);
            let limit = slo.config.burn;
            if !state.burning && short > limit && long > limit {
                state.burning = true;
                tracing::warn!(
                    event = "slo_burning",
                    slo = name,
                    burn_5m = rounded(short),
                    burn_1h = rounded(long),
                    limit,
                    remedy = "see status for what waits: the source, processing (lag), or the central store (sync)",
                    "changes are readable too late"
                );
            } else if state.burning && short <= limit {
                state.burning = false;
                tracing::info!(
                    event = "slo_holds",
                    slo = name,
                    burn_5m = rounded(short),
                    burn_1h = rounded(long),
                    "changes are readable in time again"
                );
            }
        }
    }

    /// For the status page.
    pub fn page(&self, now_us: i64) -> Json {
        let one = |slo: &Slo| {
            let state = slo.state();
            let (short, long) = slo.burn(&state, now_us);
            let (good, late) = state.account.over_window(now_us, slo.config.window);
            let used = account::burn((good, late), slo.config.objective);
            json!({
                "name": slo.config.name, "topic": slo.topic, "view": slo.config.view,
                "at": if slo.config.at == Place::Local { "local" } else { "central" },
                "within_ms": slo.config.within.as_millis() as u64, "objective": slo.config.objective,
                "in_time": good, "late": late, "burn_5m": rounded(short), "burn_1h": rounded(long),
                "burning": state.burning, "budget_left": rounded(1.0 - used)
            })
        };
        self.0.iter().map(one).collect()
    }
}

impl Slo {
    fn new(config: &SloConfig, views: &[Subject], with_sync: bool) -> Result<Slo> {
        let name = &config.name;
        if config.at == Place::Central && !with_sync {
            let what = format!("slo {name:?}: at = \"central\", but there is no [sync.NAME]");
            return Err(Error::new(Kind::Config, what).remedy("add [sync.NAME], or say at = \"local\""));
        }
        let view = match &config.view {
            None => None,
            Some(wanted) => {
                let found = views.iter().find(|view| view.name == *wanted);
                Some(found.ok_or_else(|| {
                    let error =
                        Error::new(Kind::Config, format!("slo {name:?}: unknown feature view `{wanted}`"));
                    match nearest(wanted, views.iter().map(|view| view.name.as_str())) {
                        Some(name) => error.remedy(format!("did you mean `{name}`?")),
                        None => error,
                    }
                })?)
            }
        };
        let topic = view.map(|view| view.topic.clone()).or_else(|| config.topic.clone()).unwrap_or_default();
        metrics::SLO_OBJECTIVE.with_label_values(&[name.as_str()]).set(config.objective);
        Ok(Slo {
            config: config.clone(),
            topic,
            view: view.map(|view| view.id),
            within_us: i64::try_from(config.within.as_micros()).unwrap_or(i64::MAX),
            state: Mutex::default(),
        })
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, state: &mut State, after_us: i64, now_us: i64) {
        let late = after_us > self.within_us;
        state.account.add(now_us, late);
        let name = self.config.name.as_str();
        metrics::SLO_CHANGES.with_label_values(&[name, if late { "late" } else { "in_time" }]).inc();
        if after_us < i64::MAX {
            metrics::SLO_FRESHNESS_SECONDS.with_label_values(&[name]).observe(after_us.max(0) as f64 / 1e6);
        }
    }

    fn burn(&self, state: &State, now_us: i64) -> (f64, f64) {
        let over = |seconds| account::burn(state.account.over(now_us, seconds), self.config.objective);
        (over(SHORT_S), over(LONG_S))
    }
}

fn rounded(rate: f64) -> f64 {
    (rate * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests;
