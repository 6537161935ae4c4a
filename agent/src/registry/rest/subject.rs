//! `/subjects…` and `/compatibility…`: by subject and version.

use super::answer::{self, reply};
use super::schema::whole;
use super::{Parameters, Shared, blocking, call, flag, page, which};
use crate::registry::{Answer, Problem, Reference, Sent};
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;

pub async fn all(State(registry): Shared, Query(parameters): Parameters) -> Response {
    call(registry, move |registry| {
        let prefix = parameters.get("subjectPrefix").map_or("", String::as_str);
        Ok(json!(page(registry.subjects_with(prefix, which(&parameters))?, &parameters)))
    })
    .await
}

pub async fn delete(
    State(registry): Shared,
    Path(subject): Path<String>,
    Query(parameters): Parameters,
) -> Response {
    let permanent = flag(&parameters, "permanent");
    call(registry, move |registry| Ok(json!(registry.delete_subject(&subject, permanent)?))).await
}

pub async fn versions(
    State(registry): Shared,
    Path(subject): Path<String>,
    Query(parameters): Parameters,
) -> Response {
    call(registry, move |registry| {
        Ok(json!(page(registry.versions(&subject, which(&parameters))?, &parameters)))
    })
    .await
}

pub async fn register(
    State(registry): Shared,
    Path(subject): Path<String>,
    Query(parameters): Parameters,
    body: Bytes,
) -> Response {
    call(registry, move |registry| {
        let version = registry.register_sent(&subject, sent(&body, flag(&parameters, "normalize"))?)?;
        Ok(json!({ "id": version.id.0 }))
    })
    .await
}

pub async fn look_up(
    State(registry): Shared,
    Path(subject): Path<String>,
    Query(parameters): Parameters,
    body: Bytes,
) -> Response {
    call(registry, move |registry| {
        let sent = sent(&body, flag(&parameters, "normalize"))?;
        Ok(whole(&registry.look_up(&subject, sent, which(&parameters))?))
    })
    .await
}

pub async fn version(
    State(registry): Shared,
    Path((subject, version)): Path<(String, String)>,
    Query(parameters): Parameters,
) -> Response {
    call(registry, move |registry| Ok(whole(&registry.version(&subject, &version, which(&parameters))?)))
        .await
}

pub async fn version_text(
    State(registry): Shared,
    Path((subject, version)): Path<(String, String)>,
    Query(parameters): Parameters,
) -> Response {
    let text = blocking(registry, move |registry| {
        Ok(registry.version(&subject, &version, which(&parameters))?.text)
    });
    match text.await {
        Ok(text) => answer::body(StatusCode::OK, text),
        Err(problem) => reply(Err(problem)),
    }
}

pub async fn delete_version(
    State(registry): Shared,
    Path((subject, version)): Path<(String, String)>,
    Query(parameters): Parameters,
) -> Response {
    let permanent = flag(&parameters, "permanent");
    call(registry, move |registry| Ok(json!(registry.delete_version(&subject, &version, permanent)?))).await
}

pub async fn referenced_by(
    State(registry): Shared,
    Path((subject, version)): Path<(String, String)>,
) -> Response {
    call(registry, move |registry| Ok(json!(registry.referrers(&subject, &version)?))).await
}

pub async fn test_all(
    registry: Shared,
    Path(subject): Path<String>,
    parameters: Parameters,
    body: Bytes,
) -> Response {
    test_against(registry, subject, None, parameters, body).await
}

pub async fn test(
    registry: Shared,
    Path((subject, version)): Path<(String, String)>,
    parameters: Parameters,
    body: Bytes,
) -> Response {
    test_against(registry, subject, Some(version), parameters, body).await
}

async fn test_against(
    State(registry): Shared,
    subject: String,
    version: Option<String>,
    Query(parameters): Parameters,
    body: Bytes,
) -> Response {
    call(registry, move |registry| {
        let sent = sent(&body, flag(&parameters, "normalize"))?;
        let reasons = registry.test(&subject, version.as_deref(), sent)?;
        let mut answer = json!({ "is_compatible": reasons.is_empty() });
        if let (true, Some(answer)) = (flag(&parameters, "verbose"), answer.as_object_mut()) {
            answer.insert("messages".to_owned(), json!(reasons));
        }
        Ok(answer)
    })
    .await
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    schema: Option<String>,
    schema_type: Option<String>,
    references: Option<Vec<Reference>>,
    id: Option<i64>,
}

/// The schema in a request's body. Only Avro, and no id: ids are given out here.
fn sent(body: &[u8], normalize: bool) -> Answer<Sent> {
    let body: Body = serde_json::from_slice(body)
        .map_err(|e| Problem::Malformed(format!("the body is not the JSON that is asked for: {e}")))?;
    if let Some(other) = body.schema_type.filter(|kind| kind != "AVRO") {
        let what = format!("schema type {other} is not supported, only AVRO is");
        return Err(Problem::InvalidSchema(what));
    }
    if body.id.is_some_and(|id| id >= 0) {
        let what = "a schema cannot be registered with an id: import mode is not offered".to_owned();
        return Err(Problem::NotPermitted(what));
    }
    match body.schema {
        Some(text) if !text.trim().is_empty() => {
            Ok(Sent { text, references: body.references.unwrap_or_default(), normalize })
        }
        _ => Err(Problem::InvalidSchema("empty schema".to_owned())),
    }
}
