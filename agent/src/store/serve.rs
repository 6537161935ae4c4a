//! `POST /get-online-features` and `GET /health`, as Feast's feature server answers them, so that the
//! Feast SDK's remote online store reads from the agent.

use super::answer::{self, Asked, Refusal, Request};
use super::{Latest, read};
use crate::db::Readers;
use crate::metrics;
use crate::model::feature::{Served, ViewId, ViewShape};
use crate::model::pack;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value as Json, json};
use shared::error::{Context, Kind, OrKind, Result};
use shared::shutdown::Shutdown;
use shared::time::Clock;
use std::collections::HashMap;
use std::net::SocketAddr;

/// What the door reads from.
#[derive(Clone)]
pub struct Serving {
    pub views: Served,
    pub readers: Readers,
    pub clock: Clock,
}

/// Serves until the program stops, `more` at the same address; returns the address it listens on.
pub async fn serve(
    listen: SocketAddr,
    serving: Serving,
    more: Router,
    shutdown: Shutdown,
) -> Result<SocketAddr> {
    let bound = tokio::net::TcpListener::bind(listen).await.or_kind(Kind::Config);
    let listener = bound.doing(|| format!("listen for feature reads on {listen}"))?;
    let address = listener.local_addr().or_kind(Kind::Bug)?;
    let router = routes(serving).merge(more);
    tokio::spawn(async move {
        let stop = async move { shutdown.wait().await };
        if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stop).await {
            tracing::error!(event = "store_server_failed", %error, "the feature server ended");
        }
    });
    tracing::info!(event = "store_listening", %address, "features can be read");
    Ok(address)
}

fn routes(serving: Serving) -> Router {
    Router::new()
        .route("/health", get(|| async { StatusCode::OK }))
        .route("/get-online-features", post(online_features))
        .with_state(serving)
}

async fn online_features(State(serving): State<Serving>, body: Bytes) -> Response {
    let timer = metrics::STORE_READ_SECONDS.start_timer();
    let request: Request = match serde_json::from_slice(&body) {
        Ok(request) => request,
        Err(error) => return refuse(&Refusal::Malformed(error.to_string())),
    };
    let readers = serving.readers.clone();
    let answered = readers
        .run(move |connection| {
            let now_us = serving.clock.now().micros();
            answer_one(connection, &serving.views.get(), &request, now_us)
        })
        .await;
    timer.observe_duration();
    match answered {
        Ok(Ok(answer)) => reply(StatusCode::OK, &answer),
        Ok(Err(refusal)) => refuse(&refusal),
        Err(error) => {
            tracing::error!(event = "store_read_failed", %error, remedy = error.hint(), "could not read features");
            reply(StatusCode::INTERNAL_SERVER_ERROR, &json!("the features could not be read"))
        }
    }
}

pub(super) fn answer_one(
    connection: &rusqlite::Connection,
    views: &[ViewShape],
    request: &Request,
    now_us: i64,
) -> Result<std::result::Result<Json, Refusal>> {
    let (keys, asked) = match request.keys().and_then(|keys| Ok((keys, request.asked(views)?))) {
        Ok(both) => both,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let mut found: HashMap<ViewId, Vec<Option<Latest>>> = HashMap::new();
    for Asked { view, .. } in &asked {
        if found.contains_key(&view.id) {
            continue;
        }
        let mut rows = Vec::with_capacity(keys.count);
        for at in 0..keys.count {
            rows.push(match keys.entity(view, at) {
                Ok(Some(values)) => read(connection, view.id, &pack::sortable(&values))?,
                Ok(None) => None,
                Err(refusal) => return Ok(Err(refusal)),
            });
        }
        found.insert(view.id, rows);
    }
    let columns = asked
        .iter()
        .map(|one| {
            let rows = found.get(&one.view.id).map(Vec::as_slice).unwrap_or_default();
            let cells = rows.iter().map(|row| answer::cell(row.as_ref(), one, now_us)).collect();
            (one.name.clone(), cells)
        })
        .collect();
    let versions = asked.iter().map(|one| (one.view.name.clone(), Json::from(one.view.version))).collect();
    let mut answer = answer::assemble(keys, columns);
    if let Some(metadata) = answer.get_mut("metadata").and_then(Json::as_object_mut) {
        metadata.insert("view_versions".to_owned(), Json::Object(versions));
    }
    Ok(Ok(answer))
}

fn refuse(refusal: &Refusal) -> Response {
    let (status, body) = refusal.answer();
    reply(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), &body)
}

fn reply(status: StatusCode, body: &Json) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}
