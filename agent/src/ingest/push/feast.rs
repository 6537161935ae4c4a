//! Feast's `df`: columns of values → rows. Pure, fuzzed.

use super::answer::No;
use super::request::{Part, Record, Request};
use crate::ingest::avro::moment_nanos;
use serde::Deserialize;
use serde_json::{Map, Value as Json};

/// Feast's name for a row's own time.
const TIME: &str = "event_timestamp";

#[derive(Deserialize)]
struct Body {
    df: Map<String, Json>,
    #[serde(default)]
    to: Option<String>,
}

/// The push source or feature view that a body names under `key`.
pub fn target(body: &[u8], key: &str) -> Result<String, No> {
    let missing = || {
        No::Feast(
            422,
            format!(r#"{{"detail":[{{"loc":["body","{key}"],"msg":"Field required","type":"missing"}}]}}"#),
        )
    };
    let body: Map<String, Json> = serde_json::from_slice(body)
        .map_err(|error| No::Malformed(format!("the body is not the JSON that is asked for: {error}")))?;
    body.get(key).and_then(Json::as_str).map(str::to_owned).ok_or_else(missing)
}

/// The rows of a body. All go to the log, whatever `to` says: it is durable, and features are made of it.
pub fn rows(body: &[u8], max_records: usize) -> Result<Request<'_>, No> {
    let Body { df, to } = serde_json::from_slice(body)
        .map_err(|error| No::Malformed(format!("the body is not the JSON that is asked for: {error}")))?;
    if let Some(to) = to.filter(|to| !matches!(to.as_str(), "online" | "offline" | "online_and_offline")) {
        let what = format!("{to:?} is not a supported push format: online, offline or online_and_offline");
        return Err(No::Feast(422, Json::String(what).to_string()));
    }
    let mut columns = Vec::with_capacity(df.len());
    for (name, values) in df {
        let Json::Array(values) = values else {
            return Err(No::Malformed(format!("df.{name} is no list")));
        };
        columns.push((name, values.into_iter()));
    }
    let count = columns.iter().map(|(_, values)| values.len()).max().unwrap_or(0);
    if columns.iter().any(|(_, values)| values.len() != count) {
        return Err(No::Malformed("the lists of df are not of one length".to_owned()));
    }
    if count == 0 || count > max_records {
        return Err(No::TooLarge(format!("df must hold from 1 to {max_records} rows (push.max_records)")));
    }
    let records = (0..count).map(|_| record(&mut columns)).collect();
    Ok(Request { records, ..Request::default() })
}

fn record<'a>(columns: &mut [(String, std::vec::IntoIter<Json>)]) -> Record<'a> {
    let row: Map<String, Json> = columns
        .iter_mut()
        .map(|(name, values)| (name.clone(), values.next().unwrap_or(Json::Null)))
        .collect();
    let time = row.get(TIME).and_then(Json::as_str).and_then(moment_nanos);
    Record {
        key: None,
        value: Some(Part::Json(Json::Object(row).to_string().into())),
        partition: None,
        time_ms: time.map(|nanos| nanos.div_euclid(1_000_000)),
    }
}
