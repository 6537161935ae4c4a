//! Whether definitions fit the rows that they are over, as far as the topic's schema is known.
//!
//! Said in the log, not refused: the next schema may have the column, and rows that do not fit are put aside
//! one by one, with the reason.

use crate::config::Config;
use crate::config::feature::ViewConfig;
use crate::db;
use crate::decode::{self, ColumnKind};
use crate::feature::{View, definition};
use crate::registry::{self, Registry};
use shared::config::nearest;
use shared::error::{Error, Kind, Result};
use std::collections::HashSet;

/// The views that were not looked at yet.
pub struct Fits {
    views: Vec<(ViewConfig, View)>,
    topics: HashSet<String>,
}

/// A mistake, and where it was written.
#[derive(Debug, PartialEq)]
struct Misfit {
    place: String,
    what: String,
    remedy: String,
}

impl Fits {
    pub fn new(configs: &[ViewConfig]) -> Result<Fits> {
        let views = definition::compile(configs)?;
        let topics = views.iter().map(|view| view.topic.clone()).collect();
        Ok(Fits { views: configs.iter().cloned().zip(views).collect(), topics })
    }

    /// Looks at the views of all topics whose schemas are known.
    pub fn look(&mut self, registry: &Registry) -> Result<()> {
        let mut unknown = HashSet::new();
        for topic in std::mem::take(&mut self.topics) {
            if !self.look_at(&topic, registry)? {
                unknown.insert(topic);
            }
        }
        self.topics = unknown;
        Ok(())
    }

    /// As rows of this topic came, its schema should be known; it is looked at once.
    pub fn arrived(&mut self, topic: &str, registry: &Registry) -> Result<()> {
        if self.topics.remove(topic) {
            self.look_at(topic, registry)?;
        }
        Ok(())
    }

    /// False if the schema is not known under the topic's name.
    fn look_at(&self, topic: &str, registry: &Registry) -> Result<bool> {
        let Some(version) = registry.latest(&format!("{topic}-value"))? else { return Ok(false) };
        let Some(text) = registry.whole_schema(version.id)? else { return Ok(false) };
        let Ok(columns) = decode::columns(&text) else { return Ok(true) };
        for (config, view) in self.views.iter().filter(|(config, _)| config.topic == topic) {
            for Misfit { place, what, remedy } in misfits(config, view, &columns) {
                tracing::warn!(
                    event = "view_does_not_fit",
                    view = view.name,
                    place,
                    topic,
                    error = what,
                    remedy,
                    "rows of the topic's present schema will be put aside"
                );
            }
        }
        Ok(true)
    }
}

/// Looks at all views whose topic's schema the agent's file knows, for `check`; gives how many those are.
///
/// # Errors
/// `Config`: the first column that does not fit, where it was written and the nearest name.
pub fn check(config: &Config) -> Result<String> {
    let views = definition::compile(&config.feature_view)?;
    if !config.db.path.exists() {
        return Ok("no schema is known before the first start".to_owned());
    }
    let reader = match db::beside(&config.db) {
        Err(error) if error.kind() == Kind::Unreachable => return Ok(format!("not looked at: {error}")),
        reader => reader?,
    };
    let mut known = 0;
    for (config, view) in config.feature_view.iter().zip(&views) {
        let text = registry::latest_schema(&reader, &format!("{}-value", view.topic))?;
        let Some(columns) = text.and_then(|text| decode::columns(&text).ok()) else { continue };
        known += 1;
        if let Some(Misfit { place, what, remedy }) = misfits(config, view, &columns).into_iter().next() {
            let what = format!("view {} ({place}): {what} in topic {}", view.name, view.topic);
            return Err(Error::new(Kind::Config, what).remedy(remedy));
        }
    }
    Ok(format!("{known} of {} are over topics whose schema is known", views.len()))
}

fn misfits(config: &ViewConfig, view: &View, columns: &[(String, ColumnKind)]) -> Vec<Misfit> {
    let kind = |name: &str| columns.iter().find(|(column, _)| column == name).map(|(_, kind)| *kind);
    let mut all = Vec::new();
    let mut say = |place: &str, what: String, remedy: String| {
        let misfit = Misfit { place: place.to_owned(), what, remedy };
        if !all.contains(&misfit) {
            all.push(misfit);
        }
    };
    // By the feature that reads it, else by the view.
    let reader = |name: &str| config.feature.iter().find(|f| f.of.as_deref() == Some(name));
    for name in view.needed().filter(|name| kind(name).is_none()) {
        let place = reader(name).map_or(&config.place, |feature| &feature.place);
        let remedy = match nearest(name, columns.iter().map(|(column, _)| column.as_str())) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "name a column of the table".to_owned(),
        };
        say(place, format!("unknown column `{name}`"), remedy);
    }
    if let Some(name) = &view.time
        && let Some(kind) = kind(name).filter(|kind| *kind != ColumnKind::Timestamp)
    {
        let what = format!("time: column `{name}` is a {}, not a timestamp", kind.name());
        say(&config.place, what, "name a column with a time, or leave it out for the commit's".to_owned());
    }
    for aggregated in &view.aggregates {
        let name = aggregated.of.and_then(|at| view.columns.get(at));
        let Some((name, kind)) = name.and_then(|name| Some((name, kind(name)?))) else { continue };
        let fits = match kind {
            ColumnKind::Number => true,
            ColumnKind::Vector => aggregated.aggregate.takes_lists(),
            _ => !aggregated.aggregate.needs_numbers(),
        };
        if !fits {
            let feature = config.feature.iter().find(|feature| feature.name == aggregated.name);
            let place = feature.map_or(&config.place, |feature| &feature.place);
            let written = feature.and_then(|feature| feature.aggregate.as_deref()).unwrap_or_default();
            let what = format!("{written} cannot be made of column `{name}`, which is a {}", kind.name());
            say(place, what, "name a column of numbers".to_owned());
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = r#"{"type":"record","name":"E","fields":[{"name":"op","type":"string"},{"name":"after","type":["null",
        {"type":"record","name":"V","fields":[{"name":"user_id","type":"long"},{"name":"status","type":["null","string"]},
        {"name":"amount","type":["null",{"type":"bytes","scale":2,"connect.name":"org.apache.kafka.connect.data.Decimal","logicalType":"decimal"}]},
        {"name":"created_at","type":{"type":"long","connect.name":"io.debezium.time.MicroTimestamp"}},
        {"name":"embedding","type":["null",{"type":"array","items":["null","double"]}]}]}]}]}"#;

    fn found(features: &str) -> Vec<(String, String)> {
        let text = format!("name = 'v'\ntopic = 't'\nentity = ['user_id']\n{features}");
        let mut config: ViewConfig = toml::from_str(&text).expect("of the right form");
        config.place = "line 1".to_owned();
        config.feature.iter_mut().for_each(|feature| feature.place = format!("line of {}", feature.name));
        let view = definition::compile(std::slice::from_ref(&config)).expect("valid").remove(0);
        let columns = decode::columns(SCHEMA).expect("of rows");
        misfits(&config, &view, &columns)
            .into_iter()
            .map(|m| (m.place, format!("{}: {}", m.what, m.remedy)))
            .collect()
    }

    #[test]
    fn mistakes_have_their_place_and_the_nearest_name() {
        let sound = "time = 'created_at'\nfeature = [{ name = 'a', aggregate = 'sum', of = 'amount' }, { name = 'b', of = 'embedding' }]";
        assert_eq!(found(sound), []);
        for (features, place, says) in [
            (
                "feature = [{ name = 'a', aggregate = 'sum', of = 'amuont' }]",
                "line of a",
                "unknown column `amuont`: did you mean `amount`?",
            ),
            (
                "where = \"statsu = 'x'\"\nfeature = [{ name = 'a', aggregate = 'count' }]",
                "line 1",
                "unknown column `statsu`: did you mean `status`?",
            ),
            (
                "time = 'amount'\nfeature = [{ name = 'a', aggregate = 'count' }]",
                "line 1",
                "time: column `amount` is a number, not a timestamp: name a column with a time, or leave it out for the commit's",
            ),
            (
                "feature = [{ name = 'a', aggregate = 'avg', of = 'status' }]",
                "line of a",
                "avg cannot be made of column `status`, which is a text: name a column of numbers",
            ),
            (
                "feature = [{ name = 'a', aggregate = 'max', of = 'embedding' }]",
                "line of a",
                "max cannot be made of column `embedding`, which is a list: name a column of numbers",
            ),
        ] {
            assert_eq!(found(features), [(place.to_owned(), says.to_owned())], "{features}");
        }
    }
}
