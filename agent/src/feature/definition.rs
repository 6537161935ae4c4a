//! Feature views as written → checked and compiled. Every mistake names its place and, where there
//! is one, the nearest known word.

use super::aggregate::Aggregate;
use super::expression::Expression;
use super::formula::Formula;
use super::lookup::definition::{Columns, Lookup};
use super::window::{Edge, Window};
use crate::config::feature::{FeatureConfig, Meaning, ViewConfig};
use crate::model::feature::{EntityType, FeatureType};
use shared::config::nearest;
use shared::error::{Context, Error, Kind, Result};
use std::collections::HashSet;

/// A longer window is a typing mistake more often than a wish.
const MAX_WINDOW_US: i64 = 3_660 * 86_400 * 1_000_000;
/// One call of the sync's script carries all features of a view.
const MAX_FEATURES: usize = 1_000;
const MAX_NAME_BYTES: usize = 200;
/// The longest list that `last_n` and its like give.
const MAX_N: usize = 1_000;

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
    pub meaning: Meaning,
    /// Other tables whose rows each row is joined with.
    pub lookups: Vec<Lookup>,
    pub filter: Option<Filter>,
    /// Columns kept per row: what features and filter read; a looked-up one as `LOOKUP.COLUMN`.
    pub columns: Vec<String>,
    /// What is kept up while rows come and go.
    pub aggregates: Vec<Aggregated>,
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

/// An aggregate of a column over a window.
#[derive(Clone, Debug)]
pub struct Aggregated {
    /// The feature's name, for messages.
    pub name: String,
    pub aggregate: Aggregate,
    /// The column's place among the view's; `None` counts rows.
    pub of: Option<usize>,
    pub window: Window,
}

/// A compiled feature.
#[derive(Clone, Debug)]
pub struct Feature {
    pub name: String,
    pub compute: Compute,
    pub kind: FeatureType,
}

/// What a feature's value is made from; places are among the view's aggregates or features.
#[derive(Clone, Debug)]
pub enum Compute {
    Aggregate(usize),
    Derived(Formula, Vec<usize>),
    Vector(Vec<usize>),
}

impl View {
    /// Whether rows of this topic change the view: its own, or one that is looked up.
    pub fn reads(&self, topic: &str) -> bool {
        self.topic == topic || self.lookups.iter().any(|lookup| lookup.topic == topic)
    }

    /// Its own topic and those that it looks up; some may be named twice.
    pub fn topics(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&*self.topic).chain(self.lookups.iter().map(|lookup| &*lookup.topic))
    }

    /// Every column that the view reads from its own topic; some may be named twice.
    pub fn own(&self) -> impl Iterator<Item = &str> {
        let entity = self.entity.iter().map(|(name, _)| name.as_str());
        let is_own = |name: &&str| self.lookups.iter().all(|lookup| lookup.column_of(name).is_none());
        let columns = self.columns.iter().map(String::as_str).filter(is_own);
        let joined = self.lookups.iter().flat_map(Lookup::ours);
        entity.chain(self.time.as_deref()).chain(columns).chain(joined)
    }

    /// Every column that the view reads from a topic; some may be named twice.
    pub fn needed<'v>(&'v self, topic: &'v str) -> impl Iterator<Item = &'v str> {
        let own = (self.topic == topic).then(|| self.own());
        let looked_up = self.lookups.iter().filter(move |lookup| lookup.topic == topic);
        own.into_iter().flatten().chain(looked_up.flat_map(Lookup::needed))
    }

    /// Rows older than this before now are in no window; `None` if a feature has no window.
    pub fn longest_window_us(&self) -> Option<i64> {
        let reaches = self.aggregates.iter().map(|a| a.window.reach_us());
        reaches.into_iter().try_fold(0, |longest, reach| reach.map(|reach| longest.max(reach)))
    }

    /// Which column of a topic one of the view's columns is; `None` if it is of another topic.
    pub fn column_in<'n>(&self, topic: &str, name: &'n str) -> Option<&'n str> {
        let looked_up = self.lookups.iter().find_map(|lookup| Some((lookup, lookup.column_of(name)?)));
        match looked_up {
            Some((lookup, column)) => (lookup.topic == topic).then_some(column),
            None => (self.topic == topic).then_some(name),
        }
    }

    /// The topics that it is made from, each with how far back (`None`: all rows since ever); its own first.
    pub fn needs(&self) -> impl Iterator<Item = (&str, Option<i64>)> {
        let looked_up = self.lookups.iter().map(|lookup| (&*lookup.topic, None));
        std::iter::once((&*self.topic, self.longest_window_us())).chain(looked_up)
    }

    /// The length of the shortest window; the longest possible if there is none.
    pub fn shortest_window_us(&self) -> i64 {
        let of = |w: &Window| [w.length_us, w.step_us, Some(w.offset_us).filter(|o| *o > 0)];
        let lengths = self.aggregates.iter().flat_map(|a| of(&a.window)).flatten();
        lengths.min().unwrap_or(MAX_WINDOW_US)
    }

    /// Each bound of its windows once, those that stand later in time first.
    pub fn edges(&self) -> Vec<Edge> {
        let bounds = self.aggregates.iter().flat_map(|a| [a.window.upper(), a.window.lower()]).flatten();
        let mut edges: Vec<Edge> = bounds.collect();
        edges.sort_unstable();
        edges.dedup();
        edges
    }
}

/// Which columns are among these, up to the last one.
pub fn wanted(columns: impl Iterator<Item = usize>) -> Vec<bool> {
    let mut wanted: Vec<bool> = Vec::new();
    for at in columns {
        wanted.resize(wanted.len().max(at + 1), false);
        wanted.iter_mut().skip(at).take(1).for_each(|wanted| *wanted = true);
    }
    wanted
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
    let mut columns = Columns::compile(config)?;
    let filter = config.filter.as_ref().map(|text| filter(text, &mut columns)).transpose()?;
    let (mut aggregates, mut features) = (Vec::new(), Vec::with_capacity(config.feature.len()));
    for one in &config.feature {
        let made = feature(one, &features, &mut columns, &mut aggregates);
        features.push(made.doing(|| match one.place.as_str() {
            "" => format!("feature {:?}", one.name),
            place => format!("feature {:?} ({place})", one.name),
        })?);
    }
    let ttl_us = config.ttl.as_ref().map(|text| duration("ttl", text)).transpose()?;
    let definition = serde_json::to_string(config)
        .map_err(|e| Error::new(Kind::Bug, format!("a definition cannot be written as JSON: {e}")))?;
    let (columns, lookups) = columns.finish(config)?;
    Ok(View {
        name: config.name.clone(),
        topic: config.topic.clone(),
        entity: entity(config)?,
        time: config.time.clone(),
        meaning: config.meaning,
        lookups,
        filter,
        columns,
        aggregates,
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

fn filter(text: &str, columns: &mut Columns) -> Result<Filter> {
    let expression = Expression::compile(text).map_err(|why| wrong(format!("where: {why}")))?;
    let places = expression.columns().iter().map(|name| columns.place(name));
    let places = places.collect::<Result<_>>().doing(|| "where".to_owned())?;
    Ok(Filter { columns: places, expression })
}

fn feature(
    config: &FeatureConfig,
    above: &[Feature],
    columns: &mut Columns,
    aggregates: &mut Vec<Aggregated>,
) -> Result<Feature> {
    name(&config.name)?;
    if above.iter().any(|feature| feature.name == config.name) {
        return Err(wrong("the name is taken by another feature of this view"));
    }
    let over_features = config.derived.is_some() || !config.vector.is_empty();
    let over_rows = config.aggregate.is_some() || config.of.is_some() || config.window.is_some();
    if over_features && over_rows || config.derived.is_some() && !config.vector.is_empty() {
        return Err(wrong("a feature is one of: an aggregate, a column (of), derived, vector"));
    }
    let (compute, natural) = if let Some(text) = &config.derived {
        let formula = Formula::compile(text).map_err(|why| wrong(format!("derived: {why}")))?;
        let places = formula.names().iter().map(|name| earlier(name, above)).collect::<Result<_>>()?;
        (Compute::Derived(formula, places), FeatureType::Natural)
    } else if !config.vector.is_empty() {
        let places = config.vector.iter().map(|name| earlier(name, above)).collect::<Result<_>>()?;
        (Compute::Vector(places), FeatureType::Double)
    } else {
        let aggregated = aggregated(config, columns)?;
        let natural = aggregated.aggregate.natural_type();
        aggregates.push(aggregated);
        (Compute::Aggregate(aggregates.len() - 1), natural)
    };
    let kind = config.kind.as_ref().map(|text| known("type", text, &FEATURE_TYPES)).transpose()?;
    let kind = kind.unwrap_or(natural);
    let possible = match &compute {
        Compute::Aggregate(at) => aggregates.get(*at).is_some_and(|a| a.aggregate.can_give(kind)),
        Compute::Derived(..) => true,
        Compute::Vector(_) => kind == FeatureType::Double,
    };
    if !possible {
        let what = config.aggregate.as_deref().unwrap_or("a vector");
        return Err(wrong(format!(
            "{what} cannot give the type {}",
            config.kind.as_deref().unwrap_or_default()
        )));
    }
    Ok(Feature { name: config.name.clone(), compute, kind })
}

fn aggregated(config: &FeatureConfig, columns: &mut Columns) -> Result<Aggregated> {
    let written = config.aggregate.as_deref();
    // A column alone: its value in the latest row.
    let aggregate =
        written.map_or(Ok(Aggregate::Last), |text| known("aggregate", text, &Aggregate::NAMES))?;
    let called = written.unwrap_or("a feature without aggregate");
    if config.of.is_none() && aggregate != Aggregate::Count {
        return Err(wrong(format!("{called} needs a column: of = \"…\"")));
    }
    let aggregate = match (aggregate.takes_n(), config.n) {
        (true, Some(n @ 1..=MAX_N)) => aggregate.with_n(n),
        (true, _) => return Err(wrong(format!("{called} needs n, from 1 to {MAX_N}"))),
        (false, Some(_)) => return Err(wrong(format!("{called} takes no n"))),
        (false, None) => aggregate,
    };
    let aggregate = match (aggregate.takes_p(), config.p) {
        (true, Some(p)) if (0.0..=1.0).contains(&p) => Aggregate::Percentile(p),
        (true, _) => return Err(wrong(format!("{called} needs p, from 0 to 1"))),
        (false, Some(_)) => return Err(wrong(format!("{called} takes no p"))),
        (false, None) => aggregate,
    };
    let of = config.of.as_ref().map(|column| columns.place(column)).transpose()?;
    Ok(Aggregated { name: config.name.clone(), aggregate, of, window: window(config)? })
}

fn window(config: &FeatureConfig) -> Result<Window> {
    let given = |key: &str, text: &Option<String>| text.as_ref().map(|text| duration(key, text)).transpose();
    let (length_us, step_us) = (given("window", &config.window)?, given("step", &config.step)?);
    let offset_us = given("offset", &config.offset)?.unwrap_or(0);
    if let (Some(length), Some(step)) = (length_us, step_us)
        && step > length
    {
        return Err(wrong("step is longer than the window: rows between two windows would be in none"));
    }
    let window = Window { length_us, step_us, offset_us };
    if window.reach_us().is_some_and(|reach| reach > MAX_WINDOW_US) {
        return Err(wrong("window, step and offset together must be at most ten years"));
    }
    Ok(window)
}

/// The place of a feature that stands above.
fn earlier(name: &str, above: &[Feature]) -> Result<usize> {
    above.iter().position(|feature| feature.name == name).ok_or_else(|| {
        let error = wrong(format!("unknown feature `{name}`: it must stand above in the same view"));
        match nearest(name, above.iter().map(|feature| feature.name.as_str())) {
            Some(name) => error.remedy(format!("did you mean `{name}`?")),
            None => error,
        }
    })
}

/// Fails unless it can name a view, a feature or a look-up.
pub(super) fn name(name: &str) -> Result<()> {
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

pub(super) fn wrong(what: impl Into<String>) -> Error {
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
        assert_eq!(view.needed("t").collect::<Vec<_>>(), ["user_id", "at", "status", "amount"]);
        assert_eq!(view.longest_window_us(), Some(3_600_000_000));
        assert_eq!((view.edges().len(), view.shortest_window_us()), (2, 600_000_000));
        assert_eq!(view.aggregates.iter().map(|a| a.of).collect::<Vec<_>>(), [None, Some(1)]);
    }

    #[test]
    fn mistakes_are_named() {
        const DERIVED: &str = "[[feature_view.feature]]\nname = \"d\"\nderived = ";
        let one = "[[feature_view.feature]]\nname = \"sum\"\naggregate = \"sum\"\nof = \"amount\"\n";
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
            (format!("{HEAD}{one}{one}"), "feature \"sum\": the name is taken", ""),
            (format!("{HEAD}{one}{HEAD}{one}"), "feature view \"v\"", ""),
            (format!("{HEAD}where = \"a +\"\n{one}"), "where:", ""),
            (format!("{HEAD}entity_type = [\"int46\"]\n{one}"), "unknown entity_type `int46`", "`int64`"),
            (format!("{HEAD}feature = []"), "needs 1 to", ""),
            (format!("{HEAD}{one}n = 3"), "sum takes no n", ""),
            (format!("{HEAD}{one}p = 0.5"), "sum takes no p", ""),
            (format!("{HEAD}{one}").replace("\"sum\"", "\"last_n\""), "last_n needs n, from 1", ""),
            (format!("{HEAD}{one}p = 2.0").replace("\"sum\"", "\"percentile\""), "needs p, from 0", ""),
            (format!("{HEAD}{one}window = \"1m\"\nstep = \"2m\""), "step is longer", ""),
            (format!("{HEAD}{one}derived = \"s\""), "a feature is one of", ""),
            (format!("{HEAD}{one}{DERIVED}\"sun + 1\""), "unknown feature `sun`", "did you mean `sum`?"),
            (format!("{HEAD}{one}{DERIVED}\"sum || 1\""), "operator || is not supported", ""),
            (format!("{HEAD}[[feature_view.feature]]\nname = \"s\""), "needs a column", ""),
            (
                format!("{HEAD}{}", one.replace("\"amount\"", "\"m.amount\"")),
                "unknown look-up `m`",
                "gives a name",
            ),
            (format!("{HEAD}where = \"m.a = 1\"\n{one}"), "where: `m.a`: unknown look-up `m`", ""),
        ] {
            let error = read(&text).expect_err(says);
            assert!(error.to_string().contains(says), "{error}");
            assert!(error.hint().contains(remedy), "{error:?}");
        }
    }

    #[test]
    fn mistakes_in_look_ups_are_named() {
        let with = |lookup: &str, of: &str| {
            let feature =
                format!("[[feature_view.feature]]\nname = \"sum\"\naggregate = \"sum\"\nof = \"{of}\"");
            format!("{HEAD}{lookup}\n{feature}")
        };
        let shop = "{ name = \"shop\", topic = \"s\", on = { id = \"shop_id\" } }";
        let good = read(&with(&format!("lookup = [{shop}]"), "shop.risk")).expect("valid");
        let view = good.first().expect("one");
        assert_eq!(view.needed("t").collect::<Vec<_>>(), ["user_id", "shop_id"]);
        assert_eq!(view.needed("s").collect::<Vec<_>>(), ["id", "risk"]);
        assert_eq!(view.needs().collect::<Vec<_>>(), [("t", None), ("s", None)]);
        assert_eq!(
            (view.column_in("s", "shop.risk"), view.column_in("t", "shop.risk")),
            (Some("risk"), None)
        );
        for (lookup, of, says, remedy) in [
            (shop.to_owned(), "shp.risk", "`shp.risk`: unknown look-up `shp`", "did you mean `shop`?"),
            (shop.to_owned(), "risk", "look-up \"shop\": nothing reads it", ""),
            (format!("{shop}, {shop}"), "shop.risk", "look-up \"shop\": the name is taken", ""),
            (shop.replace("id = \"shop_id\"", ""), "shop.risk", "needs on = ", "each column of its key"),
            (shop.replace("shop_id", "a.b"), "shop.risk", "on: `a.b` must be a column of the view's own", ""),
            (shop.replace("\"s\"", "\"\""), "shop.risk", "a look-up needs a topic", ""),
            (shop.replace("\"shop\"", "\"a.b\""), "shop.risk", "a look-up's name has no dot", ""),
        ] {
            let text = with(&format!("lookup = [{lookup}]"), of);
            let error = read(&text).expect_err(says);
            assert!(error.to_string().contains(says), "{error}");
            assert!(error.hint().contains(remedy), "{error:?}");
        }
        for text in [
            with(&format!("time = \"shop.at\"\nlookup = [{shop}]"), "shop.risk"),
            with(&format!("lookup = [{shop}]"), "shop.risk").replace("[\"user_id\"]", "[\"shop.owner\"]"),
        ] {
            let error = read(&text).expect_err("refused").to_string();
            assert!(error.contains("entity and time are columns of the view's own topic"), "{error}");
        }
    }
}
