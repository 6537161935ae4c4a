//! The admin server: `/livez`, `/readyz`, `/healthz`, `/metrics`, `/status`; programs add routes.

use crate::error::{Context, Error, Kind, OrKind, Result};
use crate::shutdown::Shutdown;
use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use std::net::SocketAddr;
use std::sync::Arc;

/// What a program tells the outside about itself.
pub trait Status: Send + Sync + 'static {
    /// `Err` says in a few words why the program is not ready.
    fn ready(&self) -> std::result::Result<(), String>;
    /// The status document.
    fn status(&self) -> serde_json::Value;
}

/// Binds `listen` and serves until shutdown. Returns the bound address, so that port 0 works.
pub async fn serve(
    listen: SocketAddr,
    status: Arc<dyn Status>,
    more: Router,
    shutdown: Shutdown,
) -> Result<SocketAddr> {
    let bind = || format!("listen for admin requests on {listen}");
    let listener = tokio::net::TcpListener::bind(listen).await.or_kind(Kind::Config).doing(bind)?;
    let bound = listener.local_addr().or_kind(Kind::Bug)?;
    let router = routes(status).merge(more);
    tokio::spawn(async move {
        let served =
            axum::serve(listener, router).with_graceful_shutdown(async move { shutdown.wait().await });
        if let Err(error) = served.await {
            tracing::error!(event = "admin_server_failed", %error, "the admin server ended");
        }
    });
    Ok(bound)
}

/// Asks a running program: the body of `path` at its admin address.
pub async fn ask(listen: SocketAddr, path: &str) -> Result<String> {
    let ask = async || reqwest::get(format!("http://{listen}{path}")).await?.text().await;
    ask()
        .await
        .map_err(reqwest::Error::without_url)
        .or_kind(Kind::Unreachable)
        .doing(|| format!("ask the program at {listen} (does it run?)"))
}

/// Tells a running program something: posts `body` to `path` at its admin address and gives its answer.
///
/// # Errors
/// `Unreachable`, if it does not run; `Rejected` with its words, if it does not take what it was told.
pub async fn tell(listen: SocketAddr, path: &str, body: &serde_json::Value) -> Result<String> {
    let tell = async || {
        let answer = reqwest::Client::new().post(format!("http://{listen}{path}")).json(body).send().await?;
        Ok((answer.status(), answer.text().await?))
    };
    let (status, text) = tell()
        .await
        .map_err(reqwest::Error::without_url)
        .or_kind(Kind::Unreachable)
        .doing(|| format!("tell the program at {listen} (does it run?)"))?;
    if status.is_success() { Ok(text) } else { Err(Error::new(Kind::Rejected, text.trim().to_owned())) }
}

fn routes(status: Arc<dyn Status>) -> Router {
    let ready = status.clone();
    let ready = move || async move {
        match ready.ready() {
            Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
            Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
        }
    };
    let document = move || async move { axum::Json(status.status()) };
    let metrics = || async {
        ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], crate::metrics::exposition()).into_response()
    };
    Router::new()
        .route("/livez", get(|| async { "alive\n" }))
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/status", get(document))
}
