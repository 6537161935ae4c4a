//! `POST /get-online-features` and `GET /health`, as Feast's feature server answers them, so that the
//! Feast SDK's remote online store reads from the agent.

use super::answer::{self, Asked, Found, Now, Refusal, Request};
use super::known::Known;
use super::read;
use crate::db::Readers;
use crate::metrics;
use crate::model::pack;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::json;
use shared::error::{Context, Kind, OrKind, Result};
use shared::shutdown::Shutdown;
use shared::time::Clock;
use std::net::SocketAddr;
use std::sync::Arc;

/// So many look-ups (entities by features) are made by the thread that has the request.
const ON_THE_SPOT: usize = 64;

/// What the door reads from.
#[derive(Clone)]
pub struct Serving {
    pub known: Arc<Known>,
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
    let small = request.lookups() <= ON_THE_SPOT;
    let read = move |connection: &rusqlite::Connection| {
        let now_us = serving.clock.now().micros();
        answer_one(connection, &serving.known, &request, now_us)
    };
    // Handing a read of some microseconds to another thread would cost more than the read.
    let answered = if small { readers.run_now(read) } else { readers.run(read).await };
    timer.observe_duration();
    match answered {
        Ok(Ok(answer)) => reply(StatusCode::OK, answer),
        Ok(Err(refusal)) => refuse(&refusal),
        Err(error) => {
            tracing::error!(event = "store_read_failed", %error, remedy = error.hint(), "could not read features");
            reply(
                StatusCode::INTERNAL_SERVER_ERROR,
                json!("the features could not be read").to_string().into_bytes(),
            )
        }
    }
}

/// The answer's text, or why there is none.
pub(super) fn answer_one(
    connection: &rusqlite::Connection,
    known: &Known,
    request: &Request,
    now_us: i64,
) -> Result<std::result::Result<Vec<u8>, Refusal>> {
    let views = known.views.get();
    let asked = |keys| Ok((keys, request.asked(&known.services, &views)?));
    let (keys, asked) = match request.keys().and_then(asked) {
        Ok(both) => both,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let mut found: Vec<Found<'_>> = Vec::new();
    for Asked { view, .. } in &asked {
        if found.iter().any(|found| found.view.id == view.id) {
            continue;
        }
        let mut entities = Vec::with_capacity(keys.count);
        for at in 0..keys.count {
            let latest = match keys.entity(view, at) {
                Ok(Some(values)) => read(connection, view.id, &pack::sortable(&values))?,
                Ok(None) => None,
                Err(refusal) => return Ok(Err(refusal)),
            };
            entities.push(Now::new(latest, view, now_us));
        }
        found.push(Found { view, entities });
    }
    Ok(Ok(answer::assemble(request, &keys, &asked, &found, now_us)))
}

fn refuse(refusal: &Refusal) -> Response {
    let (status, body) = refusal.answer();
    reply(
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        body.to_string().into_bytes(),
    )
}

fn reply(status: StatusCode, body: Vec<u8>) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}
