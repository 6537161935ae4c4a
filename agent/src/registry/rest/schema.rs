//! `/schemas…`: by id.

use super::answer::{self, reply};
use super::{Parameters, Shared, blocking, call, flag, listed, page, which};
use crate::registry::{Answer, Problem, Version, Which};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};
use shared::avro::wire::SchemaId;

/// A version as it is given out; references only if there are any.
pub fn whole(version: &Version) -> Value {
    let mut value = json!({
        "subject": version.subject, "version": version.version,
        "id": version.id.0, "schema": version.text,
    });
    if let (false, Some(object)) = (version.references.is_empty(), value.as_object_mut()) {
        object.insert("references".to_owned(), json!(version.references));
    }
    value
}

pub async fn all(State(registry): Shared, Query(parameters): Parameters) -> Response {
    call(registry, move |registry| {
        let prefix = parameters.get("subjectPrefix").map_or("", String::as_str);
        let which = if flag(&parameters, "deleted") { Which::All } else { Which::Live };
        let mut versions = registry.schemas(prefix, which)?;
        if flag(&parameters, "latestOnly") {
            versions.reverse();
            versions.dedup_by(|a, b| a.subject == b.subject);
            versions.reverse();
        }
        Ok(page(versions, &parameters).iter().map(whole).collect())
    })
    .await
}

pub async fn by_id(
    State(registry): Shared,
    Path(id): Path<String>,
    Query(parameters): Parameters,
) -> Response {
    call(registry, move |registry| {
        let id = schema_id(&id)?;
        registry_has(registry.uses_of(id, Which::All)?.len())?;
        let text = registry.schema(id)?.ok_or(Problem::SchemaNotFound)?;
        let mut value = json!({ "schema": &*text });
        let references = registry.references(id)?;
        if let Some(object) = value.as_object_mut() {
            if !references.is_empty() {
                object.insert("references".to_owned(), json!(references));
            }
            if flag(&parameters, "fetchMaxId") {
                object.insert("maxId".to_owned(), json!(registry.greatest_id()?));
            }
        }
        Ok(value)
    })
    .await
}

/// A schema whose last version was deleted permanently is kept for the records in the log alone.
fn registry_has(uses: usize) -> Answer<()> {
    if uses == 0 { Err(Problem::SchemaNotFound) } else { Ok(()) }
}

pub async fn text(State(registry): Shared, Path(id): Path<String>) -> Response {
    let text = blocking(registry, move |registry| {
        let id = schema_id(&id)?;
        registry_has(registry.uses_of(id, Which::All)?.len())?;
        registry.schema(id)?.ok_or(Problem::SchemaNotFound)
    });
    match text.await {
        Ok(text) => answer::body(StatusCode::OK, text.as_ref().to_owned()),
        Err(problem) => reply(Err(problem)),
    }
}

pub async fn subjects(
    State(registry): Shared,
    Path(id): Path<String>,
    Query(parameters): Parameters,
) -> Response {
    call(registry, move |registry| {
        let uses = registry.uses_of(schema_id(&id)?, which(&parameters))?;
        let mut subjects: Vec<String> = uses.into_iter().map(|(subject, _)| subject).collect();
        subjects.dedup();
        Ok(json!(page(subjects, &parameters)))
    })
    .await
}

pub async fn versions(
    State(registry): Shared,
    Path(id): Path<String>,
    Query(parameters): Parameters,
) -> Response {
    call(registry, move |registry| {
        let one = |(subject, version): (String, u32)| json!({ "subject": subject, "version": version });
        let uses = registry.uses_of(schema_id(&id)?, which(&parameters))?;
        Ok(listed(page(uses, &parameters).into_iter().map(one)))
    })
    .await
}

fn schema_id(text: &str) -> Answer<SchemaId> {
    text.parse().map(SchemaId).map_err(|_| Problem::SchemaNotFound)
}
