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
use std::collections::{BTreeSet, HashSet};

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
        let topics = views.iter().flat_map(View::topics).map(str::to_owned).collect();
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
        let schema = |subject: &str| match registry.latest(subject)? {
            Some(version) => registry.whole_schema(version.id),
            None => Ok(None),
        };
        let Some(text) = schema(&format!("{topic}-value"))? else { return Ok(false) };
        let Ok(columns) = decode::columns(&text) else { return Ok(true) };
        let key = key(schema(&format!("{topic}-key"))?.as_deref());
        for (config, view) in self.views.iter().filter(|(_, view)| view.reads(topic)) {
            for Misfit { place, what, remedy } in misfits(config, view, topic, &columns, key.as_deref()) {
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
    let schema = |subject: &str| registry::latest_schema(&reader, subject);
    let mut known = 0;
    for (config, view) in config.feature_view.iter().zip(&views) {
        let mut topics: Vec<&str> = view.topics().collect();
        topics.dedup();
        for topic in topics {
            let text = schema(&format!("{topic}-value"))?;
            let Some(columns) = text.and_then(|text| decode::columns(&text).ok()) else { continue };
            known += usize::from(topic == view.topic);
            let key = key(schema(&format!("{topic}-key"))?.as_deref());
            let first = misfits(config, view, topic, &columns, key.as_deref()).into_iter().next();
            if let Some(Misfit { place, what, remedy }) = first {
                let what = format!("view {} ({place}): {what} in topic {topic}", view.name);
                return Err(Error::new(Kind::Config, what).remedy(remedy));
            }
        }
    }
    Ok(format!("{known} of {} are over topics whose schema is known", views.len()))
}

/// The columns of a topic's keys, if their schema is known and is one of columns.
fn key(schema: Option<&str>) -> Option<Vec<String>> {
    let columns = decode::columns(schema?).ok()?;
    Some(columns.into_iter().map(|(column, _)| column).collect())
}

/// The columns of a topic that a view reads: each with its place, and what is in front of its name where it is
/// written.
fn sought<'v>(config: &'v ViewConfig, view: &'v View, topic: &str) -> Vec<(&'v str, String, &'v str)> {
    // By the feature that reads it, else by the view.
    let reader = |name: &str| config.feature.iter().find(|f| f.of.as_deref() == Some(name));
    let place = |name: &str| reader(name).map_or(&*config.place, |feature| &feature.place);
    let mut all = Vec::new();
    if view.topic == topic {
        let joined = |name: &str| config.lookup.iter().find(|l| l.on.values().any(|ours| ours == name));
        let own = |name: &'v str| match (reader(name), joined(name)) {
            (None, Some(lookup)) => (&*lookup.place, String::new(), name),
            _ => (place(name), String::new(), name),
        };
        all.extend(view.own().map(own));
    }
    for (written, lookup) in config.lookup.iter().zip(&view.lookups).filter(|(_, l)| l.topic == topic) {
        let names = lookup.names().zip(&lookup.columns);
        all.extend(lookup.on.iter().map(|(theirs, _)| (&*written.place, String::new(), &**theirs)));
        all.extend(names.map(|(name, column)| (place(&name), format!("{}.", lookup.name), &**column)));
    }
    all
}

/// What of a view does not fit a topic's columns, and those of its key if they are known.
fn misfits(
    config: &ViewConfig,
    view: &View,
    topic: &str,
    columns: &[(String, ColumnKind)],
    key: Option<&[String]>,
) -> Vec<Misfit> {
    let kind = |name: &str| columns.iter().find(|(column, _)| column == name).map(|(_, kind)| *kind);
    let mut all = Vec::new();
    let mut say = |place: &str, what: String, remedy: String| {
        let misfit = Misfit { place: place.to_owned(), what, remedy };
        if !all.contains(&misfit) {
            all.push(misfit);
        }
    };
    for (place, prefix, name) in sought(config, view, topic) {
        if kind(name).is_some() {
            continue;
        }
        let remedy = match nearest(name, columns.iter().map(|(column, _)| column.as_str())) {
            Some(near) => format!("did you mean `{prefix}{near}`?"),
            None => "name a column of the table".to_owned(),
        };
        say(place, format!("unknown column `{prefix}{name}`"), remedy);
    }
    if let Some(name) = view.time.as_deref().and_then(|name| view.column_in(topic, name))
        && let Some(kind) = kind(name).filter(|kind| *kind != ColumnKind::Timestamp)
    {
        let what = format!("time: column `{name}` is a {}, not a timestamp", kind.name());
        say(&config.place, what, "name a column with a time, or leave it out for the commit's".to_owned());
    }
    for aggregated in &view.aggregates {
        let name = aggregated.of.and_then(|at| view.columns.get(at));
        let column = name.and_then(|name| view.column_in(topic, name)).and_then(kind);
        let Some((name, kind)) = name.zip(column) else { continue };
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
    for (written, lookup) in config.lookup.iter().zip(&view.lookups).filter(|(_, l)| l.topic == topic) {
        let on: BTreeSet<&str> = lookup.on.iter().map(|(theirs, _)| theirs.as_str()).collect();
        let Some(key) = key.filter(|key| on != key.iter().map(String::as_str).collect()) else { continue };
        let what = format!("look-up {}: `on` names other columns than the key has", lookup.name);
        say(&written.place, what, format!("the key's columns are: {}", key.join(", ")));
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
        misfits(&config, &view, "t", &columns, None)
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

    #[test]
    fn looked_up_columns_are_looked_at_in_their_own_topic() {
        let text = "name = 'v'\ntopic = 'own'\nentity = ['user_id']\nwhere = \"m.statsu = 'x'\"
            lookup = [{ name = 'm', topic = 't', on = { user_idd = 'a' } }]
            feature = [{ name = 'f', aggregate = 'sum', of = 'm.status' }, { name = 'g', of = 'm.amont' }]";
        let mut config: ViewConfig = toml::from_str(text).expect("of the right form");
        config.place = "line 1".to_owned();
        config.lookup[0].place = "line of m".to_owned();
        config.feature.iter_mut().for_each(|feature| feature.place = format!("line of {}", feature.name));
        let view = definition::compile(std::slice::from_ref(&config)).expect("valid").remove(0);
        let columns = decode::columns(SCHEMA).expect("of rows");
        let found = |topic: &str, key: &[String]| {
            let all = misfits(&config, &view, topic, &columns, Some(key)).into_iter();
            all.map(|m| format!("{}: {}: {}", m.place, m.what, m.remedy)).collect::<Vec<_>>()
        };
        let key = ["user_id".to_owned()];
        assert_eq!(
            found("t", &key),
            [
                "line of m: unknown column `user_idd`: did you mean `user_id`?",
                "line 1: unknown column `m.statsu`: did you mean `m.status`?",
                "line of g: unknown column `m.amont`: did you mean `m.amount`?",
                "line of f: sum cannot be made of column `m.status`, which is a text: name a column of numbers",
                "line of m: look-up m: `on` names other columns than the key has: the key's columns are: user_id",
            ]
        );
        assert_eq!(found("own", &key), ["line of m: unknown column `a`: name a column of the table"]);
    }
}
