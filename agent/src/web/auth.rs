//! Who may call: a bearer token, or a user with a password, or anybody.

use crate::config::web::AuthConfig;
use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use shared::secret::Secret;
use std::sync::Arc;
use std::time::Duration;

/// A wrong password costs its sender this long.
const REFUSAL_DELAY: Duration = Duration::from_millis(300);

/// The router, behind whatever `auth` asks for.
pub fn guard(router: Router, auth: &AuthConfig) -> Router {
    if auth.is_open() {
        return router;
    }
    let auth = Arc::new(auth.clone());
    router.layer(middleware::from_fn(move |request: Request, next: Next| {
        let auth = Arc::clone(&auth);
        async move {
            if allowed(&auth, request.headers()) {
                return next.run(request).await;
            }
            tokio::time::sleep(REFUSAL_DELAY).await;
            refused()
        }
    }))
}

fn refused() -> Response {
    let headers =
        [(header::WWW_AUTHENTICATE, "Basic realm=\"tidegate\""), (header::CONTENT_TYPE, "application/json")];
    let body = r#"{"error_code":401,"message":"Unauthorized"}"#;
    (StatusCode::UNAUTHORIZED, headers, body).into_response()
}

pub(super) fn allowed(auth: &AuthConfig, headers: &HeaderMap) -> bool {
    let Some(given) = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let Some((scheme, given)) = given.split_once(' ') else { return false };
    let given = given.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return auth.token.as_ref().is_some_and(|token| same(token.expose().as_bytes(), given.as_bytes()));
    }
    let (Some(user), Some(password)) = (&auth.username, &auth.password) else { return false };
    let Ok(given) = STANDARD.decode(given) else { return false };
    let wanted = Secret::new(format!("{user}:{}", password.expose()));
    scheme.eq_ignore_ascii_case("basic") && same(wanted.expose().as_bytes(), &given)
}

/// Takes the same time wherever the difference is.
fn same(wanted: &[u8], given: &[u8]) -> bool {
    let pairs = wanted.iter().zip(given.iter().chain(std::iter::repeat(&0)));
    let different = pairs.fold(wanted.len() ^ given.len(), |found, (a, b)| found | usize::from(a ^ b));
    different == 0
}
