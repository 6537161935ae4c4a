//! A vector index over HTTP, as Pinecone describes it: `POST /vectors/upsert`, `/vectors/delete`,
//! `GET /vectors/fetch`. Held against what the vendor's own SDK sends and reads; not tried against the
//! vendor's service.
//!
//! One vector per view and entity: its id is the entity, its values the feature that is a vector, its
//! metadata the other features, the entity's columns and the time. The index takes whatever comes last, so
//! the stored time is looked at first (`check_newer`): that leaves a gap only while two agents write the
//! same entity at the same moment. An entity whose vector is null is taken out of the index, which leaves no
//! time behind: an older vector of another agent that comes later brings it back.

mod record;

use super::halves::{Failure, Halves};
use super::{Answer, Answering, Row, Target, View, http};
use crate::config::sync::VectorConfig;
use crate::model::feature::FeatureType;
use record::{Record, TIME};
use serde::Deserialize;
use serde_json::{Value as Json, json};
use shared::error::{Context, Error, Kind, OrKind, Result};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

const UPSERT: &str = "vectors/upsert";
const DELETE: &str = "vectors/delete";
/// The vendor's limits of one request, with room for what is around the vectors.
const MAX_VECTORS: usize = 1_000;
const MAX_BYTES: usize = 1_900_000;
/// Ids of one look at what is stored: they are part of an address, which servers bound.
const FETCHED: usize = 50;

pub struct Vector {
    client: reqwest::Client,
    config: VectorConfig,
    /// Which feature is the vector, by view.
    places: HashMap<String, usize>,
}

/// What `fetch` tells.
#[derive(Deserialize)]
struct Fetched {
    #[serde(default)]
    vectors: BTreeMap<String, Stored>,
}

#[derive(Deserialize)]
struct Stored {
    #[serde(default)]
    metadata: Option<Json>,
}

/// One request's rows: places in the batch.
struct Request {
    namespace: String,
    delete: bool,
    records: Vec<(usize, Record)>,
    bytes: usize,
}

impl Target for Vector {
    fn ping(&mut self) -> Answering<'_, ()> {
        Box::pin(async {
            match self.call("describe_index_stats", "{}".to_owned()).await {
                Ok(()) => Ok(()),
                Err(Failure::State(error) | Failure::Unclear(error, _)) => Err(error),
                Err(Failure::Rows(words)) => Err(Error::new(Kind::Rejected, words)),
            }
        })
    }

    fn send<'a>(&'a mut self, rows: &'a [Row]) -> Answering<'a, Vec<Answer>> {
        Box::pin(self.bring(rows))
    }
}

impl Vector {
    pub fn new(config: &VectorConfig, views: &[Arc<View>]) -> Result<Vector> {
        let mut places = HashMap::new();
        for view in views {
            let name = &view.shape.name;
            if let Some(place) = place(config, view).doing(|| format!("feature view {name:?}"))? {
                places.insert(name.clone(), place);
            }
        }
        if let Some(name) = config.feature.keys().find(|name| !places.contains_key(*name)) {
            return Err(Error::new(
                Kind::Config,
                format!("feature.{name}: no such view goes to this target"),
            ));
        }
        if places.is_empty() {
            return Err(Error::new(Kind::Config, "no feature view has a vector")
                .remedy("make one of other features: { name = \"embedding\", vector = [\"a\", \"b\"] }"));
        }
        Ok(Vector { client: http::client(&config.tls, config.timeout)?, config: config.clone(), places })
    }

    async fn bring(&mut self, rows: &[Row]) -> Result<Vec<Answer>> {
        let mut answers = vec![Answer::Again("not sent yet".to_owned()); rows.len()];
        let mut set = |at: usize, answer: Answer| {
            if let Some(slot) = answers.get_mut(at) {
                *slot = answer;
            }
        };
        let mut records = Vec::new();
        for (at, row) in rows.iter().enumerate() {
            // A view without a vector has no place in an index.
            let Some(vector) = self.places.get(&row.view.shape.name) else {
                set(at, Answer::Stored);
                continue;
            };
            match record::of(row, *vector) {
                Ok(record) => records.push((at, self.namespace(row), record)),
                Err(why) => set(at, Answer::Refused(why)),
            }
        }
        if self.config.check_newer {
            let newer = self.newer(&records).await?;
            records.retain(|(at, _, _)| !newer.contains(at));
            newer.into_iter().for_each(|at| set(at, Answer::Older));
        }
        for request in requests(records) {
            let mut halves = Halves::of(request.records.len());
            while let Some(part) = halves.next_part() {
                let count = part.len();
                let outcome = self.write(&request, part.clone()).await;
                halves.note(part, outcome.map(|()| vec![Answer::Stored; count]))?;
            }
            for ((at, _), answer) in request.records.iter().zip(halves.finish()?) {
                set(*at, answer);
            }
        }
        Ok(answers)
    }

    fn namespace(&self, row: &Row) -> String {
        self.config.namespace.clone().unwrap_or_else(|| row.view.shape.name.clone())
    }

    /// The places of those records whose stored vectors are newer.
    async fn newer(&self, records: &[(usize, String, Record)]) -> Result<Vec<usize>> {
        let mut newer = Vec::new();
        let mut groups: BTreeMap<&str, Vec<&(usize, String, Record)>> = BTreeMap::new();
        for one in records {
            groups.entry(&one.1).or_default().push(one);
        }
        for (namespace, group) in groups {
            for part in group.chunks(FETCHED) {
                let ids = part.iter().map(|(_, _, record)| ("ids", record.id.as_str()));
                let query: Vec<(&str, &str)> = ids.chain([("namespace", namespace)]).collect();
                let url = reqwest::Url::parse_with_params(&self.url("vectors/fetch"), &query);
                let request = self.keyed(self.client.get(url.or_kind(Kind::Config)?));
                let asked = http::ask(request).await.doing(|| format!("sync to {}", self.config.url));
                let (status, body) = asked?;
                if status != 200 {
                    return Err(match http::failure(&self.config.url, status, &body) {
                        Failure::State(error) | Failure::Unclear(error, _) => error,
                        Failure::Rows(words) => Error::new(Kind::Rejected, words)
                            .doing(format!("look at what {} has", self.config.url)),
                    });
                }
                let fetched: Fetched = serde_json::from_str(&body)
                    .or_kind(Kind::Unreachable)
                    .doing(|| format!("read the answer of {}", self.config.url))?;
                newer.extend(part.iter().filter_map(|(at, _, record)| {
                    let stored = fetched.vectors.get(&record.id)?.metadata.as_ref()?[TIME].as_f64()?;
                    (stored > record.micros as f64).then_some(*at)
                }));
            }
        }
        Ok(newer)
    }

    async fn write(
        &self,
        request: &Request,
        part: std::ops::Range<usize>,
    ) -> std::result::Result<(), Failure> {
        let records = request.records.get(part).unwrap_or_default();
        let body = match request.delete {
            true => {
                let ids: Vec<&str> = records.iter().map(|(_, record)| record.id.as_str()).collect();
                json!({"ids": ids, "namespace": request.namespace}).to_string()
            }
            false => {
                let vectors: Vec<&str> = records.iter().map(|(_, record)| record.text.as_str()).collect();
                let (vectors, namespace) = (vectors.join(","), json!(request.namespace));
                format!("{{\"vectors\":[{vectors}],\"namespace\":{namespace}}}")
            }
        };
        self.call(if request.delete { DELETE } else { UPSERT }, body).await
    }

    async fn call(&self, path: &str, body: String) -> std::result::Result<(), Failure> {
        let request = self.client.post(self.url(path)).header("Content-Type", "application/json").body(body);
        let asked = http::ask(self.keyed(request)).await.doing(|| format!("sync to {}", self.config.url));
        let (status, body) = asked.map_err(Failure::State)?;
        match status {
            200 => Ok(()),
            // Its namespace is not there yet: then the vector is not either.
            404 if path == DELETE => Ok(()),
            _ => Err(http::failure(&self.config.url, status, &body)),
        }
    }

    fn keyed(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        request
            .header("Api-Key", self.config.api_key.expose())
            .header("X-Pinecone-API-Version", &self.config.api_version)
    }

    fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.config.url.trim_end_matches('/'))
    }
}

/// Which feature is the vector: the one that is named, or the only one that is made by `vector`.
fn place(config: &VectorConfig, view: &View) -> Result<Option<usize>> {
    if let Some(wanted) = config.feature.get(&view.shape.name) {
        let found = view.shape.features.iter().position(|name| name == wanted);
        let unknown = || Error::new(Kind::Config, format!("it has no feature {wanted:?}"));
        return found.map(Some).ok_or_else(unknown);
    }
    let is_vector = |(_, kind): &(usize, &FeatureType)| **kind == FeatureType::Vector;
    let mut vectors = view.types.iter().enumerate().filter(is_vector).map(|(at, _)| at);
    match (vectors.next(), vectors.next()) {
        (Some(_), Some(_)) => Err(Error::new(Kind::Config, "it has several vectors")
            .remedy("name the one for this target: feature.VIEW = \"…\"")),
        (first, _) => Ok(first),
    }
}

/// Requests within the vendor's limits, each of one namespace and one kind.
fn requests(records: Vec<(usize, String, Record)>) -> Vec<Request> {
    let mut requests: Vec<Request> = Vec::new();
    for (at, namespace, record) in records {
        let bytes = record.text.len() + 1;
        let fits = |request: &&mut Request| {
            request.namespace == namespace
                && request.delete == record.text.is_empty()
                && request.records.len() < MAX_VECTORS
                && request.bytes + bytes <= MAX_BYTES
        };
        match requests.iter_mut().rev().find(fits) {
            Some(request) => {
                request.bytes += bytes;
                request.records.push((at, record));
            }
            None => requests.push(Request {
                namespace,
                delete: record.text.is_empty(),
                records: vec![(at, record)],
                bytes,
            }),
        }
    }
    requests
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_stay_within_the_limits() {
        let record =
            |at: usize, text: String| (at, "n".to_owned(), Record { id: at.to_string(), text, micros: 0 });
        let many: Vec<_> = (0..2_500).map(|at| record(at, "{}".to_owned())).collect();
        let sizes = |requests: &[Request]| requests.iter().map(|r| r.records.len()).collect::<Vec<_>>();
        assert_eq!(sizes(&requests(many)), [1_000, 1_000, 500]);
        let large: Vec<_> = (0..5).map(|at| record(at, "x".repeat(900_000))).collect();
        assert_eq!(sizes(&requests(large)), [2, 2, 1]);
        let mixed = vec![record(0, String::new()), record(1, "{}".to_owned()), record(2, String::new())];
        let mixed = requests(mixed);
        assert_eq!((sizes(&mixed), mixed[0].delete, mixed[1].delete), (vec![2, 1], true, false));
    }
}
