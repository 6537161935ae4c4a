//! Who is let in; and a door behind TLS, as a client sees it.

use super::auth::allowed;
use crate::config::web::AuthConfig;
use axum::http::{HeaderMap, HeaderValue, header};
use shared::secret::Secret;

#[test]
fn who_is_let_in() {
    let auth = AuthConfig {
        token: Some(Secret::new("let me in")),
        username: Some("edge".to_owned()),
        password: Some(Secret::new("p:w")),
    };
    // edge:p:w, edge:p:x, edge
    for (given, want) in [
        (Some("Bearer let me in"), true),
        (Some("bearer let me in"), true),
        (Some("Bearer let me i"), false),
        (Some("Bearer let me in "), true),
        (Some("Bearer "), false),
        (Some("Basic ZWRnZTpwOnc="), true),
        (Some("Basic ZWRnZTpwOng="), false),
        (Some("Basic ZWRnZQ=="), false),
        (Some("Basic !"), false),
        (Some("ZWRnZTpwOnc="), false),
        (None, false),
    ] {
        let mut headers = HeaderMap::new();
        if let Some(given) = given {
            headers.insert(header::AUTHORIZATION, HeaderValue::from_static(given));
        }
        assert_eq!(allowed(&auth, &headers), want, "{given:?}");
    }
    assert!(AuthConfig::default().is_open() && !auth.is_open());
}
