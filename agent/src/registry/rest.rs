//! Confluent's REST API over the registry: paths, bodies and error codes as its clients expect.

use super::{Answer, Problem, Registry, Version};
use crate::config::registry::RegistryConfig;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};
use shared::avro::wire::SchemaId;
use shared::error::{Context, OrKind};
use shared::shutdown::Shutdown;
use shared::{Error, Kind, Result};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// A table of thousands of columns makes a schema of about 1 MiB.
const MAX_BODY_BYTES: usize = 4 * 1024 * 1024;

type Shared = State<Arc<Registry>>;
type Parameters = Query<HashMap<String, String>>;

/// Serves the registry until the program stops; returns the address it listens on.
pub async fn serve(
    config: &RegistryConfig,
    registry: Arc<Registry>,
    shutdown: Shutdown,
) -> Result<SocketAddr> {
    let bound = tokio::net::TcpListener::bind(config.listen).await.or_kind(Kind::Config);
    let listener = bound.doing(|| format!("listen for the schema registry on {}", config.listen))?;
    let address = listener.local_addr().or_kind(Kind::Bug)?;
    tokio::spawn(async move {
        let stop = async move { shutdown.wait().await };
        if let Err(error) = axum::serve(listener, rest(registry)).with_graceful_shutdown(stop).await {
            tracing::error!(event = "registry_stopped", %error, "the schema registry's listener ended");
        }
    });
    tracing::info!(event = "registry_listening", %address, "the schema registry is open");
    Ok(address)
}

/// The routes.
pub fn rest(registry: Arc<Registry>) -> Router {
    Router::new()
        .route("/", get(|| async { reply(Ok(json!({}))) }))
        .route("/subjects", get(subjects))
        .route("/subjects/{subject}", post(look_up))
        .route("/subjects/{subject}/versions", get(versions).post(register))
        .route("/subjects/{subject}/versions/{version}", get(version))
        .route("/subjects/{subject}/versions/{version}/schema", get(version_text))
        .route("/schemas/types", get(|| async { reply(Ok(json!(["AVRO"]))) }))
        .route("/schemas/ids/{id}", get(schema))
        .route("/schemas/ids/{id}/schema", get(schema_text))
        .route("/schemas/ids/{id}/subjects", get(schema_subjects))
        .route("/schemas/ids/{id}/versions", get(schema_versions))
        .route("/config", get(level).put(set_level))
        .route("/config/{subject}", get(subject_level).put(set_subject_level))
        .route("/mode", get(mode))
        .route("/mode/{subject}", get(mode))
        .route("/compatibility/subjects/{subject}/versions", post(test_all))
        .route("/compatibility/subjects/{subject}/versions/{version}", post(test))
        .fallback(|| async { failure(StatusCode::NOT_FOUND, 404, "HTTP 404 Not Found") })
        .method_not_allowed_fallback(|| async {
            failure(StatusCode::METHOD_NOT_ALLOWED, 405, "HTTP 405 Method Not Allowed")
        })
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(registry)
}

async fn mode() -> Response {
    reply(Ok(json!({ "mode": "READWRITE" })))
}

async fn subjects(State(registry): Shared) -> Response {
    call(registry, |registry| Ok(json!(registry.subjects()?))).await
}

async fn versions(State(registry): Shared, Path(subject): Path<String>) -> Response {
    call(registry, move |registry| Ok(json!(registry.versions(&subject)?))).await
}

async fn register(State(registry): Shared, Path(subject): Path<String>, body: Bytes) -> Response {
    call(registry, move |registry| {
        let id = registry.register(&subject, &sent_schema(&body)?)?;
        Ok(json!({ "id": id.0 }))
    })
    .await
}

async fn look_up(State(registry): Shared, Path(subject): Path<String>, body: Bytes) -> Response {
    call(registry, move |registry| Ok(whole(&registry.look_up(&subject, &sent_schema(&body)?)?))).await
}

async fn version(State(registry): Shared, Path((subject, version)): Path<(String, String)>) -> Response {
    call(registry, move |registry| Ok(whole(&registry.version(&subject, &version)?))).await
}

async fn version_text(State(registry): Shared, Path((subject, version)): Path<(String, String)>) -> Response {
    call_text(registry, move |registry| Ok(registry.version(&subject, &version)?.text)).await
}

async fn schema(State(registry): Shared, Path(id): Path<String>) -> Response {
    call(registry, move |registry| Ok(json!({ "schema": known_text(registry, &id)? }))).await
}

async fn schema_text(State(registry): Shared, Path(id): Path<String>) -> Response {
    call_text(registry, move |registry| known_text(registry, &id)).await
}

async fn schema_subjects(State(registry): Shared, Path(id): Path<String>) -> Response {
    call(registry, move |registry| {
        let mut subjects: Vec<String> =
            registry.uses(schema_id(&id)?)?.into_iter().map(|(subject, _)| subject).collect();
        subjects.dedup();
        Ok(json!(subjects))
    })
    .await
}

async fn schema_versions(State(registry): Shared, Path(id): Path<String>) -> Response {
    call(registry, move |registry| {
        let one = |(subject, version): (String, u32)| json!({ "subject": subject, "version": version });
        Ok(registry.uses(schema_id(&id)?)?.into_iter().map(one).collect())
    })
    .await
}

async fn level(State(registry): Shared) -> Response {
    call(registry, |registry| Ok(json!({ "compatibilityLevel": registry.level("", true)?.to_string() })))
        .await
}

async fn subject_level(
    State(registry): Shared,
    Path(subject): Path<String>,
    Query(parameters): Parameters,
) -> Response {
    let or_global = parameters.get("defaultToGlobal").is_some_and(|value| value == "true");
    call(registry, move |registry| {
        Ok(json!({ "compatibilityLevel": registry.level(&subject, or_global)?.to_string() }))
    })
    .await
}

async fn set_level(State(registry): Shared, body: Bytes) -> Response {
    put_level(registry, String::new(), body).await
}

async fn set_subject_level(State(registry): Shared, Path(subject): Path<String>, body: Bytes) -> Response {
    put_level(registry, subject, body).await
}

async fn put_level(registry: Arc<Registry>, subject: String, body: Bytes) -> Response {
    #[derive(Deserialize)]
    struct Wanted {
        compatibility: String,
    }
    call(registry, move |registry| {
        let wanted: Wanted =
            serde_json::from_slice(&body).map_err(|e| Problem::InvalidLevel(e.to_string()))?;
        let level = registry.set_level(&subject, &wanted.compatibility)?;
        Ok(json!({ "compatibility": level.to_string() }))
    })
    .await
}

async fn test_all(
    registry: Shared,
    Path(subject): Path<String>,
    parameters: Parameters,
    body: Bytes,
) -> Response {
    test_against(registry, subject, None, parameters, body).await
}

async fn test(
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
    let verbose = parameters.get("verbose").is_some_and(|value| value == "true");
    call(registry, move |registry| {
        let reasons = registry.test(&subject, version.as_deref(), &sent_schema(&body)?)?;
        let mut answer = json!({ "is_compatible": reasons.is_empty() });
        if let (true, Some(answer)) = (verbose, answer.as_object_mut()) {
            answer.insert("messages".to_owned(), json!(reasons));
        }
        Ok(answer)
    })
    .await
}

fn whole(version: &Version) -> Value {
    json!({
        "subject": version.subject, "version": version.version,
        "id": version.id.0, "schema": version.text,
    })
}

fn schema_id(text: &str) -> Answer<SchemaId> {
    text.parse().map(SchemaId).map_err(|_| Problem::SchemaNotFound)
}

fn known_text(registry: &Registry, id: &str) -> Answer<String> {
    let text = registry.schema(schema_id(id)?)?;
    text.map(|text| text.as_ref().to_owned()).ok_or(Problem::SchemaNotFound)
}

/// The schema in a request's body. Only Avro, and nothing that refers to other subjects.
fn sent_schema(body: &[u8]) -> Answer<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Sent {
        schema: Option<String>,
        schema_type: Option<String>,
        references: Option<Vec<Value>>,
    }
    let sent: Sent = serde_json::from_slice(body).map_err(|e| Problem::InvalidSchema(e.to_string()))?;
    if let Some(other) = sent.schema_type.filter(|kind| kind != "AVRO") {
        return Err(Problem::InvalidSchema(format!("schema type {other} is not supported, only AVRO is")));
    }
    if sent.references.is_some_and(|references| !references.is_empty()) {
        return Err(Problem::InvalidSchema("schema references are not supported".to_owned()));
    }
    match sent.schema {
        Some(schema) if !schema.trim().is_empty() => Ok(schema),
        _ => Err(Problem::InvalidSchema("empty schema".to_owned())),
    }
}

/// Runs a blocking call on a thread that may block.
async fn blocking<T: Send + 'static>(
    registry: Arc<Registry>,
    work: impl FnOnce(&Registry) -> Answer<T> + Send + 'static,
) -> Answer<T> {
    let task = tokio::task::spawn_blocking(move || work(&registry));
    task.await.unwrap_or_else(|_| Err(Problem::Failed(Error::new(Kind::Bug, "a registry call panicked"))))
}

async fn call(
    registry: Arc<Registry>,
    work: impl FnOnce(&Registry) -> Answer<Value> + Send + 'static,
) -> Response {
    reply(blocking(registry, work).await)
}

async fn call_text(
    registry: Arc<Registry>,
    work: impl FnOnce(&Registry) -> Answer<String> + Send + 'static,
) -> Response {
    match blocking(registry, work).await {
        Ok(text) => body(StatusCode::OK, text),
        Err(problem) => reply(Err(problem)),
    }
}

fn reply(answer: Answer<Value>) -> Response {
    match answer {
        Ok(value) => body(StatusCode::OK, value.to_string()),
        Err(problem) => explain(problem),
    }
}

fn explain(problem: Problem) -> Response {
    use StatusCode as Http;
    let (status, code, message) = match problem {
        Problem::SubjectNotFound(subject) => {
            (Http::NOT_FOUND, 40401, format!("Subject '{subject}' not found."))
        }
        Problem::VersionNotFound(version) => {
            (Http::NOT_FOUND, 40402, format!("Version {version} not found."))
        }
        Problem::SchemaNotFound => (Http::NOT_FOUND, 40403, "Schema not found".to_owned()),
        Problem::LevelNotFound(subject) => (
            Http::NOT_FOUND,
            40408,
            format!("Subject '{subject}' does not have subject-level compatibility configured"),
        ),
        Problem::Incompatible { subject, reasons } => (
            Http::CONFLICT,
            409,
            format!(
                "Schema being registered is incompatible with an earlier schema for subject \"{subject}\", \
                 details: [{}]",
                reasons.join("; ")
            ),
        ),
        Problem::InvalidSchema(why) => {
            (Http::UNPROCESSABLE_ENTITY, 42201, format!("Invalid schema, details: {why}"))
        }
        Problem::InvalidVersion(version) => (
            Http::UNPROCESSABLE_ENTITY,
            42202,
            format!(
                "The specified version '{version}' is not a valid version id. Allowed values are between [1, 2^31-1] and the string \"latest\""
            ),
        ),
        Problem::InvalidLevel(level) => {
            (Http::UNPROCESSABLE_ENTITY, 42203, format!("Invalid compatibility level: {level}"))
        }
        Problem::Failed(error) => {
            tracing::error!(event = "registry_failed", %error, remedy = error.hint(), "could not answer");
            (Http::INTERNAL_SERVER_ERROR, 50001, "Error in the backend data store".to_owned())
        }
    };
    failure(status, code, &message)
}

fn failure(status: StatusCode, code: u32, message: &str) -> Response {
    body(status, json!({ "error_code": code, "message": message }).to_string())
}

fn body(status: StatusCode, text: String) -> Response {
    (status, [(header::CONTENT_TYPE, MEDIA_TYPE)], text).into_response()
}
