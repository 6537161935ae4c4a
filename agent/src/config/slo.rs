//! `[[slo]]`: how soon after its commit at the source a change must be readable, and for how many of them.

use super::wrong;
use serde::Deserialize;
use shared::error::Result;
use std::time::Duration;

const DEFAULT_OBJECTIVE: f64 = 0.99;
const DEFAULT_WINDOW: Duration = Duration::from_secs(30 * 86_400);
/// Two per cent of a month's budget in an hour: what is worth waking somebody.
const DEFAULT_BURN: f64 = 14.4;

/// Where a change must be readable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// At the agent's own feature server.
    #[default]
    Local,
    /// At the central store, which has acknowledged it.
    Central,
}

/// `[[slo]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SloConfig {
    /// For logs and metrics.
    pub name: String,
    #[serde(default)]
    pub topic: Option<String>,
    #[serde(default)]
    pub view: Option<String>,
    #[serde(default)]
    pub at: Place,
    /// From the commit at the source on.
    #[serde(with = "shared::time::duration")]
    pub within: Duration,
    /// Which part of the changes must be in time.
    #[serde(default = "default_objective")]
    pub objective: f64,
    /// What the budget is counted over.
    #[serde(default = "default_window", with = "shared::time::duration")]
    pub window: Duration,
    /// How many times faster than allowed the budget may be used up, over five minutes and over an hour.
    #[serde(default = "default_burn")]
    pub burn: f64,
}

fn default_objective() -> f64 {
    DEFAULT_OBJECTIVE
}

fn default_window() -> Duration {
    DEFAULT_WINDOW
}

fn default_burn() -> f64 {
    DEFAULT_BURN
}

impl SloConfig {
    pub fn check(&self) -> Result<()> {
        let name = &self.name;
        if name.is_empty() || self.topic.is_some() == self.view.is_some() {
            return Err(wrong(format!("slo {name:?} needs a name, and a topic or a view")));
        }
        if self.at == Place::Central && self.view.is_none() {
            return Err(wrong(format!(
                "slo {name:?}: at = \"central\" needs a view: only features are brought there"
            )));
        }
        if !(self.objective > 0.0 && self.objective < 1.0) {
            return Err(wrong(format!("slo {name:?}: objective must lie between 0 and 1, such as 0.99")));
        }
        if self.within.is_zero()
            || self.window < Duration::from_secs(3_600)
            || self.window.as_secs() > 366 * 86_400
        {
            return Err(wrong(format!("slo {name:?}: within must be more than 0, window from 1h to 366d")));
        }
        let most = 1.0 / (1.0 - self.objective);
        if !(self.burn > 0.0 && self.burn < most) {
            let what = format!(
                "slo {name:?}: burn = {} is never reached: if every change is late it is {most:.1}",
                self.burn
            );
            return Err(wrong(what).remedy("set burn lower, or objective higher"));
        }
        Ok(())
    }
}
