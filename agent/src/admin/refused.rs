//! What central stores refused: `GET /sync/refused`, and to have it tried again: `POST /sync/retry`.

use crate::db::Readers;
use crate::feature::Engine;
use crate::model::pack;
use crate::model::value::Value;
use crate::sync::{self, Hand};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value as Document, json};
use shared::error::{Error, Kind};
use std::sync::Arc;

/// What one answer lists at most.
const LISTED: usize = 1_000;

#[derive(Clone)]
struct Door {
    hand: Hand,
    readers: Readers,
    engine: Arc<Engine>,
}

/// Which target; all when absent.
#[derive(Deserialize)]
struct Which {
    target: Option<String>,
}

pub fn routes(hand: Hand, readers: Readers, engine: Arc<Engine>) -> Router {
    Router::new().route("/sync/refused", get(list)).route("/sync/retry", post(retry)).with_state(Door {
        hand,
        readers,
        engine,
    })
}

async fn list(State(door): State<Door>, Query(which): Query<Which>) -> Response {
    let read = move |connection: &_| sync::refused::list(connection, which.target.as_deref(), LISTED);
    let refused = match door.readers.run(read).await {
        Ok(refused) => refused,
        Err(error) => return failed(&error),
    };
    let shapes = door.engine.shapes();
    let one = |refused: &sync::refused::Refused| {
        let shape = shapes.iter().find(|shape| shape.id == refused.view);
        let names = shape.map(|shape| shape.entity.as_slice()).unwrap_or_default();
        let keys = pack::from_sortable(&refused.entity).unwrap_or_default();
        let entity: serde_json::Map<String, Document> =
            names.iter().zip(&keys).map(|((name, _), key)| (name.clone(), shown(key))).collect();
        json!({
            "target": refused.target, "view": shape.map(|shape| &shape.name), "entity": entity,
            "event_ms": refused.as_of.0 / 1_000_000, "refused_ms": refused.refused_ms,
            "reason": refused.reason
        })
    };
    Json(refused.iter().map(one).collect::<Vec<_>>()).into_response()
}

async fn retry(State(door): State<Door>, Json(which): Json<Which>) -> Response {
    match door.hand.retry(which.target).await {
        Ok(rows) => Json(json!({"rows": rows})).into_response(),
        Err(error) => failed(&error),
    }
}

fn failed(error: &Error) -> Response {
    let status = match error.kind() {
        Kind::Rejected => StatusCode::NOT_FOUND,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    (status, format!("{error}\n")).into_response()
}

fn shown(key: &Value) -> Document {
    match key {
        Value::Int(n) => json!(n),
        Value::Text(text) => json!(text),
        Value::Bool(truth) => json!(truth),
        Value::Float(n) => json!(n),
        Value::Decimal(n) => json!(n.to_f64()),
        Value::Timestamp(micros) => json!(micros),
        Value::Bytes(bytes) => json!(bytes.iter().map(|b| format!("{b:02x}")).collect::<String>()),
        other => json!(other.kind()),
    }
}
