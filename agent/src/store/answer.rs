//! Feast's request and answer shapes: columns of values, statuses and times. Pure.
//!
//! Honest where Feast's server is not: an entity that was never seen is `NOT_FOUND`, a value older than
//! the view's `ttl` is `OUTSIDE_MAX_AGE`, a feature that is null is `NULL_VALUE`.

use super::Latest;
use super::known::Service;
use crate::model::feature::{EntityType, ViewShape};
use crate::model::value::Value;
use base64::Engine as _;
use serde::ser::{Serialize, Serializer};
use serde::{Deserialize, Serialize as Derived};
use serde_json::{Map, Value as Json, json};

const EPOCH: &str = "1970-01-01T00:00:00Z";
/// Entities of one request.
const MAX_ENTITIES: usize = 10_000;

/// The body of `/get-online-features`.
#[derive(Debug, Deserialize)]
pub struct Request {
    #[serde(default)]
    pub features: Option<Vec<String>>,
    #[serde(default)]
    pub feature_service: Option<String>,
    pub entities: Map<String, Json>,
    #[serde(default)]
    pub full_feature_names: bool,
    /// Feast's number of each view's version is wanted: there is one of each here.
    #[serde(default)]
    pub include_feature_view_version_metadata: bool,
}

/// Why a request has no answer; each with the status and body that Feast's server gives.
#[derive(Debug, PartialEq)]
pub enum Refusal {
    UnknownView(String),
    UnknownService(String),
    UnknownFeature {
        view: String,
        feature: String,
    },
    MissingKey(String),
    /// Lists of entities that are not of one length.
    Unequal,
    Malformed(String),
}

/// One column asked for.
#[derive(Debug)]
pub struct Asked<'a> {
    pub view: &'a ViewShape,
    /// The feature's place in the view.
    pub place: usize,
    pub name: String,
}

/// Entity values by join key, all of the same length.
#[derive(Debug)]
pub struct Keys {
    pub columns: Vec<(String, Vec<Json>)>,
    pub count: usize,
}

impl Request {
    /// About how much there is to read: entities by features.
    pub fn lookups(&self) -> usize {
        let entities = self.entities.values().filter_map(Json::as_array).map(Vec::len).max().unwrap_or(1);
        let features = self.features.as_ref().map_or(usize::MAX, Vec::len);
        entities.saturating_mul(features.max(1))
    }

    pub fn keys(&self) -> Result<Keys, Refusal> {
        let mut columns = Vec::new();
        for (name, values) in &self.entities {
            // Feast's protobuf form of the same: {"val": [...]}.
            let list = values.as_array().or_else(|| values.get("val")?.as_array());
            let list = list.ok_or_else(|| Refusal::Malformed(format!("entities.{name} is no list")))?;
            columns.push((name.clone(), list.clone()));
        }
        let count = columns.first().map_or(0, |(_, values)| values.len());
        if columns.iter().any(|(_, values)| values.len() != count) {
            return Err(Refusal::Unequal);
        }
        if count > MAX_ENTITIES {
            return Err(Refusal::Malformed(format!("entities must be lists of at most {MAX_ENTITIES}")));
        }
        Ok(Keys { columns, count })
    }

    /// # Errors
    /// What is asked for and is not known.
    pub fn asked<'a>(&self, services: &[Service], views: &'a [ViewShape]) -> Result<Vec<Asked<'a>>, Refusal> {
        let features = match &self.feature_service {
            None => self.features.as_deref().unwrap_or_default(),
            Some(wanted) => {
                let found = services.iter().find(|(name, _)| name == wanted);
                let (_, features) = found.ok_or_else(|| Refusal::UnknownService(wanted.clone()))?;
                features
            }
        };
        features.iter().map(|text| asked(text, views, self.full_feature_names)).collect()
    }
}

fn asked<'a>(text: &str, views: &'a [ViewShape], full: bool) -> Result<Asked<'a>, Refusal> {
    let (view_name, feature) = text
        .split_once(':')
        .ok_or_else(|| Refusal::Malformed(format!("feature {text:?} must be written view:feature")))?;
    let view = views
        .iter()
        .find(|view| view.name == view_name)
        .ok_or_else(|| Refusal::UnknownView(view_name.to_owned()))?;
    let place = view
        .features
        .iter()
        .position(|name| name == feature)
        .ok_or_else(|| Refusal::UnknownFeature { view: view_name.to_owned(), feature: feature.to_owned() })?;
    let name = if full { format!("{view_name}__{feature}") } else { feature.to_owned() };
    Ok(Asked { view, place, name })
}

impl Keys {
    /// The entity's key values in the view's order; `None` if one of them is null or no key.
    pub fn entity(&self, view: &ViewShape, at: usize) -> Result<Option<Vec<Value>>, Refusal> {
        let mut values = Vec::with_capacity(view.entity.len());
        for (name, kind) in &view.entity {
            let column = self.columns.iter().find(|(column, _)| column == name);
            let (_, column) = column.ok_or_else(|| Refusal::MissingKey(name.clone()))?;
            match key_value(column.get(at).unwrap_or(&Json::Null), *kind) {
                Some(value) => values.push(value),
                None => return Ok(None),
            }
        }
        Ok(Some(values))
    }
}

fn key_value(json: &Json, kind: EntityType) -> Option<Value> {
    // Feast's SDK wraps a value in its kind, e.g. {"int64_val": 7}.
    let json = match json {
        Json::Object(wrapped) if wrapped.len() == 1 => wrapped.values().next()?,
        other => other,
    };
    match (json, kind) {
        (Json::String(text), EntityType::Int64 | EntityType::Int32) => text.parse().ok().map(Value::Int),
        (Json::String(text), _) => Some(Value::Text(text.clone())),
        (Json::Number(number), EntityType::Text) => Some(Value::Text(number.to_string())),
        (Json::Number(number), _) => number.as_i64().map(Value::Int),
        _ => None,
    }
}

/// An entity's latest values of one view, as they are now.
pub struct Now {
    latest: Option<Latest>,
    stale: bool,
    /// When the values came to be true.
    since: String,
    age_ms: Option<i64>,
}

impl Now {
    pub fn new(latest: Option<Latest>, view: &ViewShape, now_us: i64) -> Now {
        let as_of_us = latest.as_ref().map(|latest| latest.as_of.0.div_euclid(1_000));
        Now {
            stale: latest.as_ref().is_some_and(|latest| latest.is_stale(view, now_us)),
            since: as_of_us.map_or_else(|| EPOCH.to_owned(), rfc3339),
            age_ms: as_of_us.map(|as_of_us| now_us.saturating_sub(as_of_us).div_euclid(1_000)),
            latest,
        }
    }

    fn cell(&self, place: usize) -> (&Value, &'static str) {
        let value = self.latest.as_ref().and_then(|latest| latest.values.get(place)).unwrap_or(&Value::Null);
        match (&self.latest, self.stale, value) {
            (None, ..) => (&Value::Null, "NOT_FOUND"),
            (_, true, _) => (&Value::Null, "OUTSIDE_MAX_AGE"),
            (_, _, Value::Null) => (value, "NULL_VALUE"),
            _ => (value, "PRESENT"),
        }
    }
}

/// The whole answer, join keys first.
#[derive(Derived)]
pub struct Answer<'a> {
    results: Vec<Column<'a>>,
    metadata: Metadata<'a>,
}

#[derive(Derived)]
struct Column<'a> {
    values: Cells<'a>,
    statuses: Vec<&'static str>,
    event_timestamps: Vec<&'a str>,
}

#[derive(Derived)]
#[serde(untagged)]
enum Cells<'a> {
    Keys(&'a [Json]),
    Features(Vec<Cell<'a>>),
}

struct Cell<'a>(&'a Value);

#[derive(Derived)]
struct Metadata<'a> {
    feature_names: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    feature_view_metadata: Vec<Json>,
    /// What Feast has no word for; its clients pass it over.
    tidegate: Freshness<'a>,
}

#[derive(Derived)]
struct Freshness<'a> {
    served_at: String,
    views: Vec<OneView<'a>>,
}

#[derive(Derived)]
struct OneView<'a> {
    name: &'a str,
    /// Counts the view's definitions.
    version: i64,
    /// Milliseconds since the values came to be true, an entity each; null for one that was never seen.
    ages_ms: Vec<Option<i64>>,
}

impl Serialize for Cell<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Bool(truth) => to.serialize_bool(*truth),
            Value::Int(n) => to.serialize_i64(*n),
            Value::Float(n) => to.serialize_f64(*n),
            Value::Text(text) => to.serialize_str(text),
            Value::Bytes(bytes) => to.serialize_str(&base64::engine::general_purpose::STANDARD.encode(bytes)),
            Value::Timestamp(micros) => to.serialize_i64(micros.div_euclid(1_000_000)),
            Value::Decimal(n) => to.serialize_f64(n.to_f64()),
            Value::List(values) => to.collect_seq(values.iter().map(Cell)),
            Value::Null | Value::Opaque | Value::Unchanged | Value::Absent => to.serialize_unit(),
        }
    }
}

/// As protobuf prints times: no fraction, or six digits.
fn rfc3339(micros: i64) -> String {
    match jiff::Timestamp::from_microsecond(micros) {
        Ok(time) if micros.rem_euclid(1_000_000) == 0 => time.to_string(),
        Ok(time) => format!("{time:.6}"),
        Err(_) => EPOCH.to_owned(),
    }
}

/// One view that was asked: its entities in the order of the request.
pub struct Found<'a> {
    pub view: &'a ViewShape,
    pub entities: Vec<Now>,
}

/// The answer's text.
pub fn assemble(
    request: &Request,
    keys: &Keys,
    asked: &[Asked<'_>],
    found: &[Found<'_>],
    now_us: i64,
) -> Vec<u8> {
    let mut feature_names: Vec<&str> = keys.columns.iter().map(|(name, _)| name.as_str()).collect();
    feature_names.extend(asked.iter().map(|one| one.name.as_str()));
    let mut results: Vec<Column<'_>> = keys.columns.iter().map(|(_, values)| key_column(values)).collect();
    for one in asked {
        let entities = found.iter().find(|found| found.view.id == one.view.id);
        let entities = entities.map(|found| found.entities.as_slice()).unwrap_or_default();
        let (values, statuses) =
            entities.iter().map(|now| now.cell(one.place)).map(|(v, s)| (Cell(v), s)).unzip();
        let event_timestamps = entities.iter().map(|now| now.since.as_str()).collect();
        results.push(Column { values: Cells::Features(values), statuses, event_timestamps });
    }
    let views = found.iter().map(|found| OneView {
        name: &found.view.name,
        version: found.view.version,
        ages_ms: found.entities.iter().map(|now| now.age_ms).collect(),
    });
    let tidegate = Freshness { served_at: rfc3339(now_us), views: views.collect() };
    let version = |found: &Found<'_>| json!({"name": found.view.name, "version": 0});
    let feature_view_metadata = match request.include_feature_view_version_metadata {
        true => found.iter().map(version).collect(),
        false => Vec::new(),
    };
    let answer = Answer { results, metadata: Metadata { feature_names, feature_view_metadata, tidegate } };
    // Nothing in it can fail to be JSON.
    serde_json::to_vec(&answer).unwrap_or_default()
}

fn key_column(values: &[Json]) -> Column<'_> {
    let statuses = vec!["PRESENT"; values.len()];
    Column { values: Cells::Keys(values), statuses, event_timestamps: vec![EPOCH; values.len()] }
}

impl Refusal {
    /// HTTP status and body.
    pub fn answer(&self) -> (u16, Json) {
        // Feast answers with a JSON text that holds JSON.
        let feast = |class: &str, message: String| {
            let detail = json!({"module": "feast.errors", "class": class, "message": message});
            Json::String(detail.to_string())
        };
        match self {
            Refusal::UnknownView(view) => {
                (404, feast("FeatureViewNotFoundException", format!("Feature view {view} does not exist")))
            }
            Refusal::UnknownService(service) => (
                404,
                feast("FeatureServiceNotFoundException", format!("Feature service {service} does not exist")),
            ),
            Refusal::UnknownFeature { view, feature } => {
                (500, json!(format!("Feature {feature} does not exist in feature view {view}")))
            }
            Refusal::MissingKey(name) => {
                (500, json!(format!("Missing join key values for keys: ['{name}']")))
            }
            Refusal::Unequal => (500, json!("All entity rows must have the same columns.")),
            Refusal::Malformed(why) => {
                (422, json!({"detail": [{"type": "value_error", "loc": ["body"], "msg": why}]}))
            }
        }
    }
}
