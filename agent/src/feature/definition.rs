//! Feature views as written → checked and compiled. Every mistake names its place and, where there
//! is one, the nearest known word.

use super::aggregate::Aggregate;
use super::expression::Expression;
use crate::config::feature::{FeatureConfig, ViewConfig};
use crate::model::feature::{EntityType, FeatureType};
use shared::config::nearest;
use shared::error::{Context, Error, Kind, Result};
use std::collections::HashSet;

/// A longer window is a typing mistake more often than a wish.
const MAX_WINDOW_US: i64 = 3_660 * 86_400 * 1_000_000;
/// One call of the sync's script carries all features of a view.
const MAX_FEATURES: usize = 1_000;
const MAX_NAME_BYTES: usize = 200;

const FEATURE_TYPES: [(&str, FeatureType); 5] = [
    ("int64", FeatureType::Int64),
    ("double", FeatureType::Double),
    ("string", FeatureType::Text),
    ("bool", FeatureType::Bool),
    ("timestamp", FeatureType::Timestamp),
];
const ENTITY_TYPES: [(&str, EntityType); 3] =
    [("int32", EntityType::Int32), ("int64", EntityType::Int64), ("string", EntityType::Text)];

/// A compiled feature view.
#[derive(Clone, Debug)]
pub struct View {
    pub name: String,
    pub topic: String,
    pub entity: Vec<(String, EntityType)>,
    /// Column of the event time; the commit's time when `None`.
    pub time: Option<String>,
    pub filter: Option<Filter>,
    /// Columns kept per row: what features and filter read.
    pub columns: Vec<String>,
    pub features: Vec<Feature>,
    pub ttl_us: Option<i64>,
    /// The definition as text: another text is another definition, and state must be rebuilt.
    pub definition: String,
}

/// A condition and where its columns are among the view's.
#[derive(Clone, Debug)]
pub struct Filter {
    pub expression: Expression,
    pub columns: Vec<usize>,
}

/// A compiled feature.
#[derive(Clone, Debug)]
pub struct Feature {
    pub name: String,
    pub aggregate: Aggregate,
    /// The column's place among the view's; `None` counts rows.
    pub of: Option<usize>,
    /// Length of the sliding window; all rows when `None`.
    pub window_us: Option<i64>,
    pub kind: FeatureType,
}

impl View {
    /// Every column that the view reads from its topic.
    pub fn needed(&self) -> impl Iterator<Item = &str> {
        let entity = self.entity.iter().map(|(name, _)| name.as_str());
        entity.chain(self.time.as_deref()).chain(self.columns.iter().map(String::as_str))
    }

    /// Rows older than this before now are in no window; `None` if a feature has no window.
    pub fn longest_window_us(&self) -> Option<i64> {
        self.features.iter().map(|f| f.window_us).try_fold(0, |longest, w| w.map(|w| longest.max(w)))
    }

    /// Each window once.
    pub fn windows_us(&self) -> Vec<i64> {
        let mut windows: Vec<i64> = self.features.iter().filter_map(|f| f.window_us).collect();
        windows.sort_unstable();
        windows.dedup();
        windows
    }
}

/// Compiles all views.
pub fn compile(configs: &[ViewConfig]) -> Result<Vec<View>> {
    let mut names = HashSet::new();
    let views = configs.iter().map(|config| {
        let named = || format!("feature view {:?} ({})", config.name, config.place);
        if !names.insert(config.name.as_str()) {
            return Err(wrong("the name is taken by another feature view")).doing(named);
        }
        view(config).doing(named)
    });
    views.collect()
}

fn view(config: &ViewConfig) -> Result<View> {
    name(&config.name)?;
    if config.topic.is_empty() || config.entity.is_empty() || config.entity.len() > 8 {
        return Err(wrong("a feature view needs a topic and 1 to 8 entity columns"));
    }
    if config.feature.is_empty() || config.feature.len() > MAX_FEATURES {
        return Err(wrong(format!("a feature view needs 1 to {MAX_FEATURES} features")));
    }
    let mut columns = Vec::new();
    let filter = config.filter.as_ref().map(|text| filter(text, &mut columns)).transpose()?;
    let mut names = HashSet::new();
    let mut features = Vec::with_capacity(config.feature.len());
    for one in &config.feature {
        let named = || format!("feature {:?}", one.name);
        if !names.insert(one.name.as_str()) {
            return Err(wrong("the name is taken by another feature of this view")).doing(named);
        }
        features.push(feature(one, &mut columns).doing(named)?);
    }
    let ttl_us = config.ttl.as_ref().map(|text| duration("ttl", text)).transpose()?;
    let definition = serde_json::to_string(config)
        .map_err(|e| Error::new(Kind::Bug, format!("a definition cannot be written as JSON: {e}")))?;
    Ok(View {
        name: config.name.clone(),
        topic: config.topic.clone(),
        entity: entity(config)?,
        time: config.time.clone(),
        filter,
        columns,
        features,
        ttl_us,
        definition,
    })
}

fn entity(config: &ViewConfig) -> Result<Vec<(String, EntityType)>> {
    if !config.entity_type.is_empty() && config.entity_type.len() != config.entity.len() {
        return Err(wrong("entity_type must name one type for each entity column"));
    }
    let distinct: HashSet<&String> = config.entity.iter().collect();
    if distinct.len() != config.entity.len() {
        return Err(wrong("an entity column is named twice"));
    }
    let types = config.entity_type.iter().map(|text| known("entity_type", text, &ENTITY_TYPES));
    let types = types.collect::<Result<Vec<_>>>()?;
    let types = types.into_iter().chain(std::iter::repeat(EntityType::Natural));
    Ok(config.entity.iter().cloned().zip(types).collect())
}

fn filter(text: &str, columns: &mut Vec<String>) -> Result<Filter> {
    let expression = Expression::compile(text).map_err(|why| wrong(format!("where: {why}")))?;
    let places = expression.columns().iter().map(|name| place(columns, name)).collect();
    Ok(Filter { columns: places, expression })
}

fn feature(config: &FeatureConfig, columns: &mut Vec<String>) -> Result<Feature> {
    name(&config.name)?;
    let aggregate = known("aggregate", &config.aggregate, &Aggregate::NAMES)?;
    if config.of.is_none() && aggregate != Aggregate::Count {
        return Err(wrong(format!("{} needs a column: of = \"…\"", config.aggregate)));
    }
    let kind = match &config.kind {
        Some(text) => known("type", text, &FEATURE_TYPES)?,
        None => aggregate.natural_type(),
    };
    let possible = match aggregate {
        Aggregate::Count => kind == FeatureType::Int64,
        Aggregate::Sum => matches!(kind, FeatureType::Int64 | FeatureType::Double),
        Aggregate::Average => kind == FeatureType::Double,
        Aggregate::Min | Aggregate::Max | Aggregate::Last => true,
    };
    if !possible {
        let given = config.kind.as_deref().unwrap_or_default();
        return Err(wrong(format!("{} cannot give the type {given}", config.aggregate)));
    }
    let window_us = config.window.as_ref().map(|text| duration("window", text)).transpose()?;
    let of = config.of.as_ref().map(|column| place(columns, column));
    Ok(Feature { name: config.name.clone(), aggregate, of, window_us, kind })
}

/// The column's place, added if it is new.
fn place(columns: &mut Vec<String>, name: &str) -> usize {
    columns.iter().position(|column| column == name).unwrap_or_else(|| {
        columns.push(name.to_owned());
        columns.len() - 1
    })
}

fn name(name: &str) -> Result<()> {
    let fits = !name.is_empty() && name.len() <= MAX_NAME_BYTES && !name.contains(':');
    if fits { Ok(()) } else { Err(wrong("a name has 1 to 200 bytes and no colon")) }
}

fn duration(key: &str, text: &str) -> Result<i64> {
    let micros = shared::time::parse_duration(text).and_then(|d| i64::try_from(d.as_micros()).ok());
    match micros {
        Some(micros) if (1..=MAX_WINDOW_US).contains(&micros) => Ok(micros),
        Some(_) => Err(wrong(format!("{key} = {text:?}: must be more than zero and at most ten years"))),
        None => Err(wrong(format!("{key} = {text:?}: write 250ms, 30s, 10m, 2h or 7d"))),
    }
}

fn known<T: Copy>(key: &str, written: &str, all: &[(&'static str, T)]) -> Result<T> {
    if let Some((_, found)) = all.iter().find(|(name, _)| *name == written) {
        return Ok(*found);
    }
    let names = || all.iter().map(|(name, _)| *name);
    let remedy = match nearest(written, names()) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("known: {}", names().collect::<Vec<_>>().join(", ")),
    };
    Err(wrong(format!("unknown {key} `{written}`")).remedy(remedy))
}

fn wrong(what: impl Into<String>) -> Error {
    Error::new(Kind::Config, what.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<View>> {
        #[derive(serde::Deserialize)]
        struct File {
            feature_view: Vec<ViewConfig>,
        }
        let file: File = toml::from_str(text).expect("TOML of the right form");
        compile(&file.feature_view)
    }

    const HEAD: &str = "[[feature_view]]\nname = \"v\"\ntopic = \"t\"\nentity = [\"user_id\"]\n";

    #[test]
    fn compiles_columns_once_and_finds_the_longest_window() {
        let views = read(&format!(
            "{HEAD}time = \"at\"\nwhere = \"status = 'ok' AND amount > 0\"\n
             [[feature_view.feature]]\nname = \"n\"\naggregate = \"count\"\nwindow = \"10m\"\n
             [[feature_view.feature]]\nname = \"s\"\naggregate = \"sum\"\nof = \"amount\"\nwindow = \"1h\""
        ))
        .expect("valid");
        let view = views.first().expect("one");
        assert_eq!(view.columns, ["status", "amount"]);
        assert_eq!(view.needed().collect::<Vec<_>>(), ["user_id", "at", "status", "amount"]);
        assert_eq!(view.longest_window_us(), Some(3_600_000_000));
        assert_eq!(view.windows_us(), [600_000_000, 3_600_000_000]);
        assert_eq!(view.features.iter().map(|f| f.of).collect::<Vec<_>>(), [None, Some(1)]);
    }

    #[test]
    fn mistakes_are_named() {
        let one = "[[feature_view.feature]]\nname = \"s\"\naggregate = \"sum\"\nof = \"amount\"\n";
        for (text, says, remedy) in [
            (
                format!("{HEAD}{}", one.replace("\"sum\"", "\"sun\"")),
                "unknown aggregate `sun`",
                "did you mean `sum`?",
            ),
            (format!("{HEAD}{}", one.replace("of = \"amount\"", "")), "sum needs a column", ""),
            (format!("{HEAD}{one}window = \"10x\""), "window = \"10x\"", ""),
            (format!("{HEAD}{one}window = \"0s\""), "more than zero", ""),
            (format!("{HEAD}{one}type = \"string\""), "sum cannot give the type string", ""),
            (format!("{HEAD}{one}{one}"), "feature \"s\": the name is taken", ""),
            (format!("{HEAD}{one}{HEAD}{one}"), "feature view \"v\"", ""),
            (format!("{HEAD}where = \"a +\"\n{one}"), "where:", ""),
            (format!("{HEAD}entity_type = [\"int46\"]\n{one}"), "unknown entity_type `int46`", "`int64`"),
            (format!("{HEAD}feature = []"), "needs 1 to", ""),
        ] {
            let error = read(&text).expect_err(says);
            assert!(error.to_string().contains(says), "{error}");
            assert!(error.hint().contains(remedy), "{error:?}");
        }
    }
}
