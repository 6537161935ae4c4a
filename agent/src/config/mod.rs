//! What the operator may set: one file per room, read from TOML, environment and `--set`.
//!
//! Feature views and gates may stand in further files, named by `include` relative to the main file.

pub mod admin;
pub mod buffer;
pub mod consume;
pub mod db;
pub mod door;
pub mod feature;
pub mod forward;
pub mod file;
pub mod gate;
pub mod push;
pub mod registry;
pub mod slo;
pub mod sync;
pub mod topic;
pub mod web;

use serde::Deserialize;
use shared::config::Overrides;
use shared::error::{Context, Error, Kind, OrKind, Result};
use shared::log::LogConfig;
use std::path::{Path, PathBuf};

/// Environment variables `TIDEGATE_AGENT__TABLE__KEY` set `table.key`.
pub const ENVIRONMENT_PREFIX: &str = "TIDEGATE_AGENT";

/// The whole configuration of the agent.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Further files with `[[feature_view]]`, `[[feature_service]]` and `[[gate]]`, relative to this one.
    pub include: Vec<PathBuf>,
    pub log: LogConfig,
    pub admin: admin::AdminConfig,
    pub db: db::DbConfig,
    pub buffer: buffer::BufferConfig,
    pub door: door::DoorConfig,
    pub consume: Option<consume::ConsumeConfig>,
    pub forward: Option<forward::ForwardConfig>,
    pub push: Option<push::PushConfig>,
    pub files: Vec<file::FilesConfig>,
    pub registry: registry::RegistryConfig,
    pub features: feature::FeaturesConfig,
    pub quarantine: gate::QuarantineConfig,
    #[serde(deserialize_with = "sync::targets")]
    pub sync: sync::Targets,
    pub slo: Vec<slo::SloConfig>,
    pub feature_view: Vec<feature::ViewConfig>,
    pub feature_service: Vec<feature::ServiceConfig>,
    pub gate: Vec<gate::GateConfig>,
    pub topic: Vec<topic::TopicConfig>,
}

/// What an included file may hold.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Included {
    feature_view: Vec<feature::ViewConfig>,
    feature_service: Vec<feature::ServiceConfig>,
    gate: Vec<gate::GateConfig>,
}

/// Reads the configuration without `--set`.
pub fn load(path: &Path) -> Result<Config> {
    load_with(path, &[])
}

/// Reads the file, what it includes, the environment, and `--set table.key=value`.
pub fn load_with(path: &Path, sets: &[String]) -> Result<Config> {
    let text = read(path)?;
    let overrides = Overrides { env_prefix: ENVIRONMENT_PREFIX, set: sets };
    let mut config: Config =
        shared::config::parse(&text, &overrides).doing(|| format!("read {}", path.display()))?;
    place(path, &text, &mut config.feature_view, &mut config.gate);
    let folder = path.parent().unwrap_or(Path::new("."));
    for name in std::mem::take(&mut config.include) {
        let path = folder.join(&name);
        let mut more = include(&path)?;
        config.feature_view.append(&mut more.feature_view);
        config.feature_service.append(&mut more.feature_service);
        config.gate.append(&mut more.gate);
        config.include.push(name);
    }
    config.check().doing(|| format!("check {}", path.display()))?;
    Ok(config)
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).or_kind(Kind::Config).doing(|| format!("read {}", path.display()))
}

fn include(path: &Path) -> Result<Included> {
    let text = read(path)?;
    // Overrides belong to the main file: an empty prefix could match any variable.
    let overrides = Overrides { env_prefix: "TIDEGATE_AGENT_INCLUDED", set: &[] };
    let mut included: Included =
        shared::config::parse(&text, &overrides).doing(|| format!("read {}", path.display()))?;
    place(path, &text, &mut included.feature_view, &mut included.gate);
    Ok(included)
}

/// Notes where each view and gate stands, for messages about what only a later check can see.
fn place(path: &Path, text: &str, views: &mut [feature::ViewConfig], gates: &mut [gate::GateConfig]) {
    let lines_of = |header: &str| -> Vec<usize> {
        let is_header = |line: &str| line.split('#').next().is_some_and(|l| l.trim() == header);
        text.lines().enumerate().filter(|(_, line)| is_header(line)).map(|(n, _)| n + 1).collect()
    };
    for (view, line) in views.iter_mut().zip(lines_of("[[feature_view]]")) {
        view.place = format!("{}, line {line}", path.display());
        let below = |name: &str| {
            let found = text.lines().enumerate().skip(line).find(|(_, text)| names(text, name));
            format!("{}, line {}", path.display(), found.map_or(line, |(n, _)| n + 1))
        };
        view.feature.iter_mut().for_each(|feature| feature.place = below(&feature.name));
        view.lookup.iter_mut().for_each(|lookup| lookup.place = below(&lookup.name));
    }
    for (gate, line) in gates.iter_mut().zip(lines_of("[[gate]]")) {
        gate.place = format!("{}, line {line}", path.display());
    }
}

/// Whether a line of TOML gives something this name.
fn names(line: &str, name: &str) -> bool {
    line.split("name").skip(1).any(|rest| {
        let value = rest.trim_start().strip_prefix('=').map(str::trim_start);
        value
            .and_then(|v| v.strip_prefix(['"', '\'']))
            .and_then(|v| v.strip_prefix(name))
            .is_some_and(|v| v.starts_with(['"', '\'']))
    })
}

impl Config {
    /// What one section alone can say about itself; definitions are checked where they are compiled.
    pub fn check(&self) -> Result<()> {
        self.db.check()?;
        self.buffer.check()?;
        self.door.check()?;
        if let Some(consume) = &self.consume {
            consume.check()?;
        }
        if let Some(forward) = &self.forward {
            forward.check()?;
        }
        if let Some(push) = &self.push {
            push.check()?;
        }
        self.files.iter().try_for_each(file::FilesConfig::check)?;
        self.topic.iter().try_for_each(topic::TopicConfig::check)?;
        self.registry.check()?;
        self.features.check()?;
        self.slo.iter().try_for_each(slo::SloConfig::check)?;
        self.gate.iter().try_for_each(|gate| gate.check().doing(|| format!("[[gate]] ({})", gate.place)))?;
        self.sync.iter().try_for_each(|(name, target)| target.check(name))
    }
}

/// An error that names the setting.
fn wrong(what: impl Into<String>) -> Error {
    Error::new(Kind::Config, what.into())
}

#[cfg(test)]
mod tests;
