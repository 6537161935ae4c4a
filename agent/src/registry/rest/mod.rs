//! Confluent's REST API over the registry: paths, bodies and error codes as its clients expect.

mod answer;
mod schema;
mod setting;
mod subject;

use super::{Answer, Problem, Registry, Which};
use crate::config::registry::RegistryConfig;
use crate::web;
use answer::{failure, reply};
use axum::Router;
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::StatusCode;
use axum::middleware;
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::{Value, json};
use shared::shutdown::Shutdown;
use shared::{Error, Kind, Result};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

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
    let door = web::Door {
        name: "schema registry",
        listen: config.listen,
        auth: &config.auth,
        tls: config.tls.as_ref(),
    };
    let address = web::serve(door, rest(registry), shutdown).await?;
    tracing::info!(event = "registry_listening", %address, "the schema registry is open");
    Ok(address)
}

/// The routes.
pub fn rest(registry: Arc<Registry>) -> Router {
    Router::new()
        .route("/", get(|| async { reply(Ok(json!({}))) }))
        .route("/contexts", get(|| async { reply(Ok(json!(["."]))) }))
        .route("/subjects", get(subject::all))
        .route("/subjects/{subject}", post(subject::look_up).delete(subject::delete))
        .route("/subjects/{subject}/versions", get(subject::versions).post(subject::register))
        .route(
            "/subjects/{subject}/versions/{version}",
            get(subject::version).delete(subject::delete_version),
        )
        .route("/subjects/{subject}/versions/{version}/schema", get(subject::version_text))
        .route("/subjects/{subject}/versions/{version}/referencedby", get(subject::referenced_by))
        .route("/schemas", get(schema::all))
        .route("/schemas/types", get(|| async { reply(Ok(json!(["AVRO"]))) }))
        .route("/schemas/ids/{id}", get(schema::by_id))
        .route("/schemas/ids/{id}/schema", get(schema::text))
        .route("/schemas/ids/{id}/subjects", get(schema::subjects))
        .route("/schemas/ids/{id}/versions", get(schema::versions))
        .route("/config", get(setting::global).put(setting::set_global).delete(setting::delete_global))
        .route(
            "/config/{subject}",
            get(setting::of_subject).put(setting::set_of_subject).delete(setting::delete_of_subject),
        )
        .route("/mode", get(setting::mode).put(setting::set_mode))
        .route(
            "/mode/{subject}",
            get(setting::mode_of_subject)
                .put(setting::set_mode_of_subject)
                .delete(setting::delete_mode_of_subject),
        )
        .route("/compatibility/subjects/{subject}/versions", post(subject::test_all))
        .route("/compatibility/subjects/{subject}/versions/{version}", post(subject::test))
        .fallback(|| async { failure(StatusCode::NOT_FOUND, 404, "HTTP 404 Not Found") })
        .method_not_allowed_fallback(|| async {
            failure(StatusCode::METHOD_NOT_ALLOWED, 405, "HTTP 405 Method Not Allowed")
        })
        .layer(middleware::from_fn(answer::typed))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(registry)
}

/// Whether `?name=true` was given.
fn flag(parameters: &HashMap<String, String>, name: &str) -> bool {
    parameters.get(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

fn which(parameters: &HashMap<String, String>) -> Which {
    match (flag(parameters, "deletedOnly"), flag(parameters, "deleted")) {
        (true, _) => Which::Deleted,
        (false, true) => Which::All,
        (false, false) => Which::Live,
    }
}

/// What `?offset=` and `?limit=` leave of a list.
fn page<T>(list: Vec<T>, parameters: &HashMap<String, String>) -> Vec<T> {
    let number = |name: &str| parameters.get(name).and_then(|text| text.parse::<usize>().ok());
    let limit = number("limit").unwrap_or(usize::MAX);
    list.into_iter().skip(number("offset").unwrap_or(0)).take(limit).collect()
}

fn listed(values: impl Iterator<Item = Value>) -> Value {
    values.collect()
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
