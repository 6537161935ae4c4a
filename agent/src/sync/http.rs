//! One POST to a store over HTTP, and what its status means.

use super::halves::Failure;
use reqwest::Client;
use shared::error::{Context, Error, Kind, OrKind, Result};
use shared::tls::TlsConfig;
use std::time::Duration;

/// A store's words, for the operator; whole pages are not kept.
const MAX_WORDS: usize = 500;

/// A client by these TLS settings.
pub fn client(tls: &TlsConfig, timeout: Duration) -> Result<Client> {
    Client::builder()
        .tls_backend_preconfigured(tls.client()?.as_ref().clone())
        .timeout(timeout)
        .no_proxy()
        .build()
        .or_kind(Kind::Config)
        .doing(|| "prepare the HTTP client")
}

/// Status and body of an answer.
///
/// # Errors
/// `Unreachable`: there was none.
pub async fn ask(request: reqwest::RequestBuilder) -> Result<(u16, String)> {
    let spare = request.try_clone();
    let sent = match (request.send().await, spare) {
        // A server may close a connection after an answer of its own trouble, and the next request runs
        // into that: once more on another one, as all our requests bear being sent twice.
        (Err(error), Some(spare)) if error.is_request() && !error.is_timeout() && !error.is_connect() => {
            spare.send().await
        }
        (sent, _) => sent,
    };
    let sent = sent.map_err(reqwest::Error::without_url).or_kind(Kind::Unreachable)?;
    let status = sent.status().as_u16();
    let body = sent.text().await.map_err(reqwest::Error::without_url).or_kind(Kind::Unreachable)?;
    Ok((status, body))
}

/// Why an answer is no success; `address` is the store's.
pub fn failure(address: &str, status: u16, body: &str) -> Failure {
    let words: String = body.trim().chars().take(MAX_WORDS).collect();
    let words = format!("HTTP {status}: {}", words.replace('\n', " "));
    let state = |kind, remedy: &'static str| {
        let error = Error::new(kind, words.clone()).doing(format!("sync to {address}"));
        Failure::State(if remedy.is_empty() { error } else { error.remedy(remedy) })
    };
    match status {
        401 | 403 => state(Kind::Denied, "check the token or key, and what it may do"),
        404 | 405 => state(Kind::Rejected, "check the address, and that the store knows the view"),
        408 | 429 | 502..=504 => state(Kind::Unreachable, ""),
        400..=499 => Failure::Rows(words),
        500 => {
            let error = Error::new(Kind::Unreachable, "HTTP 500").doing(format!("sync to {address}"));
            Failure::Unclear(error.remedy("its own log says why"), words)
        }
        _ => state(Kind::Unreachable, ""),
    }
}
