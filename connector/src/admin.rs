//! What the admin server answers beside the four routes of every program: `POST /signal`.

use crate::signal::{Inbox, object};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use serde_json::Value;

/// `POST /signal` takes `{"id": …, "type": …, "data": …}`, as the file of signals does.
pub fn routes(inbox: Inbox) -> Router {
    Router::new().route("/signal", post(signal)).with_state(inbox)
}

async fn signal(State(inbox): State<Inbox>, axum::Json(body): axum::Json<Value>) -> (StatusCode, String) {
    match object(&body).map(|request| inbox.put(request)) {
        Ok(true) => (StatusCode::ACCEPTED, "taken\n".to_owned()),
        Ok(false) => (StatusCode::TOO_MANY_REQUESTS, "too many signals wait\n".to_owned()),
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error}; {}\n", error.hint())),
    }
}
