//! `/config…` and `/mode…`.

use super::{Parameters, Shared, call, flag};
use crate::registry::{Answer, Problem, Registry, Setting};
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// What newer registries can be told and this one cannot.
const NOT_OFFERED: [&str; 6] = [
    "alias",
    "compatibilityGroup",
    "defaultMetadata",
    "overrideMetadata",
    "defaultRuleSet",
    "overrideRuleSet",
];

fn shown(setting: Setting, level: &str) -> Value {
    let mut value = json!({ level: setting.level.to_string() });
    if let (Some(normalize), Some(object)) = (setting.normalize, value.as_object_mut()) {
        object.insert("normalize".to_owned(), normalize.into());
    }
    value
}

pub async fn global(State(registry): Shared) -> Response {
    call(registry, |registry| Ok(shown(registry.setting("", true)?, "compatibilityLevel"))).await
}

pub async fn of_subject(
    State(registry): Shared,
    Path(subject): Path<String>,
    Query(parameters): Parameters,
) -> Response {
    let or_global = flag(&parameters, "defaultToGlobal");
    call(registry, move |registry| Ok(shown(registry.setting(&subject, or_global)?, "compatibilityLevel")))
        .await
}

pub async fn set_global(State(registry): Shared, body: Bytes) -> Response {
    set(registry, String::new(), body).await
}

pub async fn set_of_subject(State(registry): Shared, Path(subject): Path<String>, body: Bytes) -> Response {
    set(registry, subject, body).await
}

async fn set(registry: Arc<Registry>, subject: String, body: Bytes) -> Response {
    call(registry, move |registry| {
        let wanted = object(&body)?;
        if let Some(key) = NOT_OFFERED.into_iter().find(|key| wanted.get(*key).is_some_and(|v| !v.is_null()))
        {
            return Err(Problem::NotPermitted(format!("{key} is not supported")));
        }
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let level = wanted.get("compatibility").filter(|value| !value.is_null()).map(text);
        let normalize = wanted.get("normalize").and_then(Value::as_bool);
        if level.is_none() && normalize.is_none() {
            return Err(Problem::InvalidLevel("null".to_owned()));
        }
        registry.set(&subject, level.as_deref(), normalize)?;
        Ok(shown(registry.setting(&subject, true)?, "compatibility"))
    })
    .await
}

pub async fn delete_global(State(registry): Shared) -> Response {
    call(registry, |registry| Ok(shown(registry.unset("")?, "compatibilityLevel"))).await
}

pub async fn delete_of_subject(State(registry): Shared, Path(subject): Path<String>) -> Response {
    call(registry, move |registry| Ok(shown(registry.unset(&subject)?, "compatibilityLevel"))).await
}

pub async fn mode(State(registry): Shared) -> Response {
    call(registry, |registry| Ok(json!({ "mode": registry.mode("", true)?.to_string() }))).await
}

pub async fn mode_of_subject(
    State(registry): Shared,
    Path(subject): Path<String>,
    Query(parameters): Parameters,
) -> Response {
    let or_global = flag(&parameters, "defaultToGlobal");
    call(registry, move |registry| Ok(json!({ "mode": registry.mode(&subject, or_global)?.to_string() })))
        .await
}

pub async fn set_mode(State(registry): Shared, body: Bytes) -> Response {
    put_mode(registry, String::new(), body).await
}

pub async fn set_mode_of_subject(
    State(registry): Shared,
    Path(subject): Path<String>,
    body: Bytes,
) -> Response {
    put_mode(registry, subject, body).await
}

async fn put_mode(registry: Arc<Registry>, subject: String, body: Bytes) -> Response {
    call(registry, move |registry| {
        let wanted = object(&body)?;
        let mode = wanted.get("mode").and_then(Value::as_str).unwrap_or_default();
        Ok(json!({ "mode": registry.set_mode(&subject, mode)?.to_string() }))
    })
    .await
}

pub async fn delete_mode_of_subject(State(registry): Shared, Path(subject): Path<String>) -> Response {
    call(registry, move |registry| Ok(json!({ "mode": registry.unset_mode(&subject)?.to_string() }))).await
}

fn object(body: &[u8]) -> Answer<Map<String, Value>> {
    serde_json::from_slice(body)
        .map_err(|e| Problem::Malformed(format!("the body is not the JSON that is asked for: {e}")))
}
