//! An HTTP door: bound address, TLS, who may call, and how many. What is said behind it is the
//! business of the room that opens it.

mod auth;
mod certificate;
mod socket;
#[cfg(test)]
mod tests;

pub use auth::guard;
pub use certificate::Certificate;

use crate::config::web::{AuthConfig, ServerTlsConfig};
use axum::Router;
use shared::Result;
use shared::error::{Context, Kind, OrKind};
use shared::shutdown::Shutdown;
use socket::Listener;
use std::net::SocketAddr;

/// What a door is like.
pub struct Door<'a> {
    /// For the log.
    pub name: &'static str,
    pub listen: SocketAddr,
    pub auth: &'a AuthConfig,
    pub tls: Option<&'a ServerTlsConfig>,
}

/// Serves `router` until the program stops; returns the address it listens on.
///
/// # Errors
/// `Config`: the address is taken, or certificate and key cannot be used.
pub async fn serve(door: Door<'_>, router: Router, shutdown: Shutdown) -> Result<SocketAddr> {
    let Door { name, listen, auth, tls } = door;
    let doing = || format!("listen for the {name} on {listen}");
    let certificate = tls
        .map(|tls| Certificate::follow(name, tls, &[b"http/1.1"], shutdown.clone()))
        .transpose()
        .doing(doing)?;
    let bound = tokio::net::TcpListener::bind(listen).await.or_kind(Kind::Config).doing(doing)?;
    let address = bound.local_addr().or_kind(Kind::Bug)?;
    if !address.ip().is_loopback() && auth.is_open() && tls.is_none_or(|tls| tls.client_ca_file.is_none()) {
        tracing::warn!(
            event = "web_open", door = name, %address,
            remedy = "set auth.token or auth.username and auth.password, or tls.client_ca_file; or listen on 127.0.0.1",
            "anybody on the network may use this door"
        );
    }
    let router = auth::guard(router, auth);
    let listener = Listener::new(bound, certificate, address);
    tokio::spawn(async move {
        let stop = async move { shutdown.wait().await };
        if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stop).await {
            tracing::error!(event = "web_stopped", door = name, %error, "the listener ended");
        }
    });
    Ok(address)
}
