//! Feast's request and answer shapes: columns of values, statuses and times. Pure.
//!
//! Honest where Feast's server is not: an entity that was never seen is `NOT_FOUND`, a value older than
//! the view's `ttl` is `OUTSIDE_MAX_AGE`, a feature that is null is `NULL_VALUE`.

use super::Latest;
use crate::model::feature::{EntityType, ViewShape};
use crate::model::value::Value;
use base64::Engine as _;
use serde::Deserialize;
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
}

/// Why a request has no answer; each with the status and body that Feast's server gives.
#[derive(Debug, PartialEq)]
pub enum Refusal {
    UnknownView(String),
    UnknownService(String),
    UnknownFeature { view: String, feature: String },
    MissingKey(String),
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
    pub fn keys(&self) -> Result<Keys, Refusal> {
        let mut columns = Vec::new();
        for (name, values) in &self.entities {
            // Feast's protobuf form of the same: {"val": [...]}.
            let list = values.as_array().or_else(|| values.get("val")?.as_array());
            let list = list.ok_or_else(|| Refusal::Malformed(format!("entities.{name} is no list")))?;
            columns.push((name.clone(), list.clone()));
        }
        let count = columns.first().map_or(0, |(_, values)| values.len());
        if columns.iter().any(|(_, values)| values.len() != count) || count > MAX_ENTITIES {
            let what = format!("entities must be lists of one length, at most {MAX_ENTITIES}");
            return Err(Refusal::Malformed(what));
        }
        Ok(Keys { columns, count })
    }

    pub fn asked<'a>(&self, views: &'a [ViewShape]) -> Result<Vec<Asked<'a>>, Refusal> {
        if let Some(service) = &self.feature_service {
            return Err(Refusal::UnknownService(service.clone()));
        }
        let features = self.features.as_deref().unwrap_or_default();
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

/// One cell of the answer: value, status, time.
pub type Cell = (Json, &'static str, String);

/// What an entity's latest values say of the feature asked for.
pub fn cell(latest: Option<&Latest>, asked: &Asked<'_>, now_us: i64) -> Cell {
    let Some(latest) = latest else { return (Json::Null, "NOT_FOUND", EPOCH.to_owned()) };
    let as_of_us = latest.as_of.0.div_euclid(1_000);
    let value = latest.values.get(asked.place).unwrap_or(&Value::Null);
    let stale = latest.is_stale(asked.view, now_us);
    let status = match (stale, value) {
        (true, _) => "OUTSIDE_MAX_AGE",
        (false, Value::Null) => "NULL_VALUE",
        (false, _) => "PRESENT",
    };
    (if stale { Json::Null } else { to_json(value) }, status, rfc3339(as_of_us))
}

fn to_json(value: &Value) -> Json {
    match value {
        Value::Bool(truth) => json!(truth),
        Value::Int(n) => json!(n),
        Value::Float(n) => json!(n),
        Value::Text(text) => json!(text),
        Value::Bytes(bytes) => json!(base64::engine::general_purpose::STANDARD.encode(bytes)),
        Value::Timestamp(micros) => json!(micros.div_euclid(1_000_000)),
        Value::Decimal(n) => json!(n.to_f64()),
        Value::List(values) => values.iter().map(to_json).collect(),
        Value::Null | Value::Opaque | Value::Unchanged | Value::Absent => Json::Null,
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

/// The whole answer, join keys first.
pub fn assemble(keys: Keys, columns: Vec<(String, Vec<Cell>)>) -> Json {
    let mut names = Vec::new();
    let mut results = Vec::new();
    for (name, values) in keys.columns {
        names.push(name);
        let statuses = vec!["PRESENT"; values.len()];
        let times = vec![EPOCH; values.len()];
        results.push(json!({"values": values, "statuses": statuses, "event_timestamps": times}));
    }
    for (name, cells) in columns {
        names.push(name);
        let mut values = Vec::with_capacity(cells.len());
        let mut statuses = Vec::with_capacity(cells.len());
        let mut times = Vec::with_capacity(cells.len());
        for (value, status, time) in cells {
            values.push(value);
            statuses.push(status);
            times.push(time);
        }
        results.push(json!({"values": values, "statuses": statuses, "event_timestamps": times}));
    }
    json!({"results": results, "metadata": {"feature_names": names}})
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
            Refusal::Malformed(why) => {
                (422, json!({"detail": [{"type": "value_error", "loc": ["body"], "msg": why}]}))
            }
        }
    }
}
