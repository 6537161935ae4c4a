//! A Feast feature server as the way to the central store: `POST /push`, as `feast serve` answers it.
//!
//! Which value wins is Feast's: its Redis store drops older ones (without a lock), its SQL stores take
//! whatever comes last. So does what of a value survives its trip through a data frame: see `column`.

use super::halves::{Failure, Halves};
use super::{Answer, Answering, Row, Target, http};
use crate::config::sync::FeastPushConfig;
use crate::model::feature::FeatureType;
use crate::model::value::Value;
use jiff::Timestamp;
use serde_json::{Map, Value as Json, json};
use shared::error::{Context, Error, Kind, Result};
use shared::time::Clock;

/// Feast answers so to a source that it does not know.
const NO_SUCH_SOURCE: &str = "PushSourceNotFoundException";

pub struct FeastPush {
    client: reqwest::Client,
    config: FeastPushConfig,
    clock: Clock,
}

impl Target for FeastPush {
    fn ping(&mut self) -> Answering<'_, ()> {
        Box::pin(async {
            let asked = http::ask(self.client.get(self.url("health"))).await;
            let (status, body) = asked.doing(|| format!("sync to {}", self.config.url))?;
            match (status, http::failure(&self.config.url, status, &body)) {
                (200, _) => Ok(()),
                (_, Failure::State(error) | Failure::Unclear(error, _)) => Err(error),
                (_, Failure::Rows(words)) => Err(Error::new(Kind::Rejected, words)),
            }
        })
    }

    fn send<'a>(&'a mut self, rows: &'a [Row]) -> Answering<'a, Vec<Answer>> {
        Box::pin(self.bring(rows))
    }
}

impl FeastPush {
    pub fn new(config: &FeastPushConfig) -> Result<FeastPush> {
        let client = http::client(&config.tls, config.timeout)?;
        Ok(FeastPush { client, config: config.clone(), clock: Clock::System })
    }

    fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.config.url.trim_end_matches('/'))
    }

    /// In the order of groups (see there): parts of them are one request each.
    async fn bring(&mut self, rows: &[Row]) -> Result<Vec<Answer>> {
        let places = groups(rows).concat();
        let mut halves = Halves::of(rows.len());
        while let Some(part) = halves.next_part() {
            let places = places.get(part.clone()).unwrap_or_default();
            let rows: Vec<&Row> = places.iter().filter_map(|at| rows.get(*at)).collect();
            halves.note(part, self.push_all(&rows).await)?;
        }
        let mut answers = vec![Answer::Again("not sent".to_owned()); rows.len()];
        for (place, answer) in places.into_iter().zip(halves.finish()?) {
            if let Some(slot) = answers.get_mut(place) {
                *slot = answer;
            }
        }
        Ok(answers)
    }

    async fn push_all(&self, rows: &[&Row]) -> std::result::Result<Vec<Answer>, Failure> {
        for rows in rows.chunk_by(|one, other| same_group(one, other)) {
            self.push(rows).await?;
        }
        Ok(vec![Answer::Stored; rows.len()])
    }

    async fn push(&self, rows: &[&Row]) -> std::result::Result<(), Failure> {
        let body = self.body(rows).map_err(Failure::Rows)?;
        let mut request = self.client.post(self.url("push")).header("Content-Type", "application/json");
        if !self.config.token.is_empty() {
            request = request.bearer_auth(self.config.token.expose());
        }
        let asked = http::ask(request.body(body)).await.doing(|| format!("sync to {}", self.config.url));
        let (status, body) = asked.map_err(Failure::State)?;
        match status {
            200..=299 => Ok(()),
            422 if body.contains(NO_SUCH_SOURCE) => {
                let error = Error::new(Kind::Rejected, body).doing(format!("sync to {}", self.config.url));
                Err(Failure::State(error.remedy("name the view's push source: source.VIEW = \"…\"")))
            }
            _ => Err(http::failure(&self.config.url, status, &body)),
        }
    }

    /// A data frame in columns.
    fn body(&self, rows: &[&Row]) -> std::result::Result<String, String> {
        let Some(first) = rows.first() else { return Ok(String::new()) };
        let (view, mut frame) = (&first.view.shape, Map::new());
        for (at, (name, _)) in view.entity.iter().enumerate() {
            frame.insert(name.clone(), column(name, rows.iter().map(|row| row.keys.get(at)))?);
        }
        for (at, name) in view.features.iter().enumerate() {
            frame.insert(name.clone(), column(name, rows.iter().map(|row| row.values.get(at)))?);
        }
        // Rounded up: values that follow each other within a microsecond keep their order.
        let time = |row: &&Row| text(row.as_of.0.div_euclid(1_000) + i64::from(row.as_of.0 % 1_000 != 0));
        let times: Vec<String> = rows.iter().map(time).collect::<std::result::Result<_, _>>()?;
        frame.insert(self.config.time_column.clone(), json!(times));
        if let Some(column) = &self.config.created_column {
            let now = text(self.clock.now().micros())?;
            frame.insert(column.clone(), json!(vec![now; rows.len()]));
        }
        let source = self.config.source.get(&view.name).unwrap_or(&view.name);
        let body = json!({
            "push_source_name": source, "df": frame, "to": self.config.to,
            "allow_registry_cache": true, "transform_on_write": true
        });
        Ok(body.to_string())
    }
}

/// A moment as RFC 3339, to the microsecond.
fn text(micros: i64) -> std::result::Result<String, String> {
    let moment = Timestamp::from_microsecond(micros).map_err(|_| "its time is out of range".to_owned())?;
    Ok(format!("{moment:.6}"))
}

/// A column of the frame.
fn column<'a>(
    name: &str,
    values: impl Iterator<Item = Option<&'a Value>>,
) -> std::result::Result<Json, String> {
    values.map(|value| cell(name, value.unwrap_or(&Value::Null))).collect()
}

fn cell(name: &str, value: &Value) -> std::result::Result<Json, String> {
    Ok(match value {
        Value::Null | Value::Opaque | Value::Unchanged | Value::Absent => Json::Null,
        Value::Bool(truth) => json!(truth),
        Value::Int(n) => json!(n),
        Value::Float(n) if n.is_finite() => json!(n),
        Value::Float(_) => return Err(format!("{name} is no finite number, which JSON cannot say")),
        Value::Decimal(n) => json!(n.to_f64()),
        Value::Text(text) => json!(text),
        // Feast takes the column for whole seconds, as it stores it.
        Value::Timestamp(micros) => json!(micros.div_euclid(1_000_000)),
        Value::Bytes(_) => return Err(format!("{name} is bytes, which Feast's /push has no form for")),
        Value::List(values) => {
            let cells = values.iter().map(|value| cell(name, value));
            Json::Array(cells.collect::<std::result::Result<_, _>>()?)
        }
    })
}

/// The rows' places: those that one request may hold together.
fn groups(rows: &[Row]) -> Vec<Vec<usize>> {
    let mut groups: Vec<(&Row, Vec<usize>)> = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        match groups.iter_mut().find(|(first, _)| same_group(first, row)) {
            Some((_, places)) => places.push(at),
            None => groups.push((row, vec![at])),
        }
    }
    groups.into_iter().map(|(_, places)| places).collect()
}

/// Of one view, with nulls in the same places where that matters: a data frame makes a column of integers
/// with a null in it one of floats, which loses digits, and which Feast takes for null where it expects times.
fn same_group(one: &Row, other: &Row) -> bool {
    let whole = |kind: &FeatureType| {
        matches!(kind, FeatureType::Int64 | FeatureType::Timestamp | FeatureType::Natural)
    };
    let alike = |((a, b), kind): ((&Value, &Value), &FeatureType)| a.is_null() == b.is_null() || !whole(kind);
    one.view.id() == other.view.id() && one.values.iter().zip(&other.values).zip(&one.view.types).all(alike)
}
