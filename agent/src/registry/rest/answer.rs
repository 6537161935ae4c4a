//! Answers as Confluent's registry gives them: bodies, error codes, content types.

use crate::registry::{Answer, Problem};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// Confluent's own, its newer name, and plain JSON are the same here; who asks for one gets it.
const OTHER_TYPES: [&str; 2] = ["application/vnd.schemaregistry+json", "application/json"];

pub fn reply(answer: Answer<Value>) -> Response {
    match answer {
        Ok(value) => body(StatusCode::OK, value.to_string()),
        Err(problem) => explain(problem),
    }
}

pub fn failure(status: StatusCode, code: u32, message: &str) -> Response {
    body(status, json!({ "error_code": code, "message": message }).to_string())
}

pub fn body(status: StatusCode, text: String) -> Response {
    (status, [(header::CONTENT_TYPE, MEDIA_TYPE)], text).into_response()
}

/// Gives the answer the type that was asked for.
pub async fn typed(request: Request, next: Next) -> Response {
    let wanted = wanted(request.headers());
    let mut response = next.run(request).await;
    if let Some(wanted) = wanted {
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(wanted));
    }
    response
}

fn wanted(headers: &HeaderMap) -> Option<&'static str> {
    let accept = headers.get(header::ACCEPT)?.to_str().ok()?;
    if accept.contains(MEDIA_TYPE) {
        return None;
    }
    OTHER_TYPES.into_iter().find(|known| accept.contains(known))
}

fn explain(problem: Problem) -> Response {
    use StatusCode as Http;
    let (status, code) = code(&problem);
    let message = match problem {
        Problem::Failed(error) => {
            tracing::error!(event = "registry_failed", %error, remedy = error.hint(), "could not answer");
            return failure(Http::INTERNAL_SERVER_ERROR, 50001, "Error in the backend data store");
        }
        problem => message(problem),
    };
    failure(status, code, &message)
}

fn code(problem: &Problem) -> (StatusCode, u32) {
    use StatusCode as Http;
    match problem {
        Problem::SubjectNotFound(_) => (Http::NOT_FOUND, 40401),
        Problem::VersionNotFound(_) => (Http::NOT_FOUND, 40402),
        Problem::SchemaNotFound => (Http::NOT_FOUND, 40403),
        Problem::SubjectSoftDeleted(_) => (Http::NOT_FOUND, 40404),
        Problem::SubjectNotSoftDeleted(_) => (Http::NOT_FOUND, 40405),
        Problem::VersionSoftDeleted(..) => (Http::NOT_FOUND, 40406),
        Problem::VersionNotSoftDeleted(..) => (Http::NOT_FOUND, 40407),
        Problem::LevelNotFound(_) => (Http::NOT_FOUND, 40408),
        Problem::ModeNotFound(_) => (Http::NOT_FOUND, 40409),
        Problem::Incompatible { .. } => (Http::CONFLICT, 409),
        Problem::InvalidSchema(_) => (Http::UNPROCESSABLE_ENTITY, 42201),
        Problem::InvalidVersion(_) => (Http::UNPROCESSABLE_ENTITY, 42202),
        Problem::InvalidLevel(_) => (Http::UNPROCESSABLE_ENTITY, 42203),
        Problem::InvalidMode(_) => (Http::UNPROCESSABLE_ENTITY, 42204),
        Problem::NotPermitted(_) => (Http::UNPROCESSABLE_ENTITY, 42205),
        Problem::Referenced(..) => (Http::UNPROCESSABLE_ENTITY, 42206),
        Problem::Malformed(_) => (Http::BAD_REQUEST, 400),
        Problem::Failed(_) => (Http::INTERNAL_SERVER_ERROR, 50001),
    }
}

fn message(problem: Problem) -> String {
    match problem {
        Problem::SubjectNotFound(subject) => format!("Subject '{subject}' not found."),
        Problem::VersionNotFound(version) => format!("Version {version} not found."),
        Problem::SchemaNotFound => "Schema not found".to_owned(),
        Problem::SubjectSoftDeleted(subject) => {
            format!("Subject '{subject}' was soft deleted. Set permanent=true to delete permanently")
        }
        Problem::SubjectNotSoftDeleted(subject) => {
            format!("Subject '{subject}' was not deleted first before being permanently deleted")
        }
        Problem::VersionSoftDeleted(subject, version) => format!(
            "Subject '{subject}' Version {version} was soft deleted. Set permanent=true to delete permanently"
        ),
        Problem::VersionNotSoftDeleted(subject, version) => format!(
            "Subject '{subject}' Version {version} was not deleted first before being permanently deleted"
        ),
        Problem::Referenced(subject, version) => {
            format!("One or more references exist to the schema {{subject={subject},version={version}}}.")
        }
        Problem::LevelNotFound(subject) => {
            format!("Subject '{subject}' does not have subject-level compatibility configured")
        }
        Problem::ModeNotFound(subject) => {
            format!("Subject '{subject}' does not have subject-level mode configured")
        }
        Problem::Incompatible { subject, reasons } => format!(
            "Schema being registered is incompatible with an earlier schema for subject \"{subject}\", \
             details: [{}]",
            reasons.join(", ")
        ),
        Problem::InvalidSchema(why) => format!("Invalid schema, details: {why}"),
        Problem::InvalidVersion(version) => format!(
            "The specified version '{version}' is not a valid version id. Allowed values are between \
             [1, 2^31-1] and the string \"latest\""
        ),
        Problem::InvalidLevel(level) => format!("Invalid compatibility level: {level}"),
        Problem::InvalidMode(mode) => {
            format!("Invalid mode {mode}. Valid values are READWRITE, READONLY and READONLY_OVERRIDE")
        }
        Problem::NotPermitted(what) | Problem::Malformed(what) => what,
        Problem::Failed(error) => error.to_string(),
    }
}
