//! A client of the Confluent Schema Registry REST API.
//!
//! Own calls on reqwest rather than `schema_registry_converter`: that crate's errors carry no
//! status code, and a refused schema (409: a person is needed) must be told from a registry that
//! is down (5xx: wait) and from a wrong password (401). The text sent is the text given: the
//! registry hands out ids by text.

pub mod reference;

use crate::avro::wire::SchemaId;
use crate::error::{Context, Error, Kind, OrKind, Result};
use crate::secret::Secret;
use crate::tls::TlsConfig;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Duration;

/// How to reach a registry.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistryConfig {
    /// Base addresses, with the path if there is one; tried in turn.
    pub url: Vec<String>,
    #[serde(default)]
    pub username: Option<String>,
    #[serde(default)]
    pub password: Option<Secret>,
    #[serde(default)]
    pub bearer_token: Option<Secret>,
    #[serde(default)]
    pub tls: TlsConfig,
    #[serde(default = "default_timeout_ms")]
    pub timeout_ms: u64,
}

/// Long enough for a registry behind a slow uplink, short enough to fail over to the next address.
fn default_timeout_ms() -> u64 {
    10_000
}

/// A type of another subject that a schema uses by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    pub name: String,
    pub subject: String,
    pub version: u32,
}

/// Where a schema stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registered {
    pub id: SchemaId,
    /// Of its subject.
    pub version: u32,
}

/// Registers, looks up and fetches schemas; no cache (who calls knows what may be kept).
#[derive(Clone, Debug)]
pub struct Registry {
    config: RegistryConfig,
    client: reqwest::Client,
}

#[derive(Deserialize)]
struct Id {
    id: u32,
}

/// A schema as registered.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Schema {
    #[serde(rename = "schema")]
    pub text: String,
    /// Types that it takes from other subjects.
    #[serde(default)]
    pub references: Vec<Reference>,
}

#[derive(Deserialize)]
struct Version {
    id: u32,
    schema: String,
}

#[derive(Deserialize)]
struct Number {
    version: u32,
}

#[derive(Deserialize)]
struct Refusal {
    error_code: i64,
    message: String,
}

impl Registry {
    pub fn new(config: RegistryConfig) -> Result<Self> {
        if config.url.is_empty() {
            return Err(Error::new(Kind::Config, "the schema registry has no url"));
        }
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(config.tls.client()?.as_ref().clone())
            .timeout(Duration::from_millis(config.timeout_ms))
            .no_proxy()
            .build()
            .or_kind(Kind::Config)
            .doing(|| "prepare the registry client")?;
        Ok(Registry { config, client })
    }

    /// The id of `schema` under `subject`, registering a new version if there is none.
    pub async fn register(&self, subject: &str, schema: &str, normalize: bool) -> Result<SchemaId> {
        self.register_as(subject, normalization(normalize), sent(schema, &[])).await
    }

    /// As [`Registry::register`], for a schema that uses types of other subjects; these must be there.
    pub async fn register_with(
        &self,
        subject: &str,
        schema: &str,
        references: &[Reference],
    ) -> Result<SchemaId> {
        self.register_as(subject, "", sent(schema, references)).await
    }

    async fn register_as(&self, subject: &str, query: &str, body: serde_json::Value) -> Result<SchemaId> {
        let path = format!("subjects/{}/versions{query}", escape(subject));
        let id: Id = self
            .call(&path, Some(body))
            .await
            .doing(|| format!("register a schema under subject {subject}"))?;
        Ok(SchemaId(id.id))
    }

    /// Which version of `subject` a registered schema is.
    pub async fn version_of(&self, subject: &str, schema: &str, references: &[Reference]) -> Result<u32> {
        let number: Number = self
            .call(&format!("subjects/{}", escape(subject)), Some(sent(schema, references)))
            .await
            .doing(|| format!("look up a schema under subject {subject}"))?;
        Ok(number.version)
    }

    /// The id of `schema` under `subject` if it is registered there already.
    pub async fn look_up(&self, subject: &str, schema: &str, normalize: bool) -> Result<SchemaId> {
        let path = format!("subjects/{}{}", escape(subject), normalization(normalize));
        let id: Id = self
            .call(&path, Some(json!({ "schema": schema })))
            .await
            .doing(|| format!("look up a schema under subject {subject}"))?;
        Ok(SchemaId(id.id))
    }

    pub async fn schema(&self, id: SchemaId) -> Result<Schema> {
        self.call(&format!("schemas/ids/{id}"), None).await.doing(|| format!("fetch schema {id}"))
    }

    /// A version of a subject; one deleted softly too, if the registry knows that of others that refer to it.
    pub async fn version(&self, subject: &str, version: u32) -> Result<Schema> {
        let path = format!("subjects/{}/versions/{version}?deleted=true", escape(subject));
        self.call(&path, None).await.doing(|| format!("fetch version {version} of subject {subject}"))
    }

    /// The subject's latest version: its id and text.
    pub async fn latest(&self, subject: &str) -> Result<(SchemaId, String)> {
        let path = format!("subjects/{}/versions/latest", escape(subject));
        let version: Version =
            self.call(&path, None).await.doing(|| format!("fetch the latest schema of subject {subject}"))?;
        Ok((SchemaId(version.id), version.schema))
    }

    /// The names of all subjects that begin with `prefix`; a registry that knows no prefixes names all it has.
    pub async fn subjects(&self, prefix: &str) -> Result<Vec<String>> {
        let path = format!("subjects?subjectPrefix={}", escape(prefix));
        self.call(&path, None).await.doing(|| "list the subjects")
    }

    /// Asks what costs the registry least, to learn whether it answers and lets us in.
    pub async fn ping(&self) -> Result<()> {
        let _: serde_json::Value = self.call("schemas/types", None).await?;
        Ok(())
    }

    async fn call<T: for<'de> Deserialize<'de>>(
        &self,
        path: &str,
        body: Option<serde_json::Value>,
    ) -> Result<T> {
        let mut last = Error::new(Kind::Bug, "no registry address");
        for base in &self.config.url {
            let url = format!("{}/{path}", base.trim_end_matches('/'));
            match self.once(&url, body.as_ref()).await.doing(|| format!("schema registry {base}")) {
                Err(error) if error.retryable() => last = error,
                answer => return answer,
            }
        }
        Err(last)
    }

    async fn once<T: for<'de> Deserialize<'de>>(
        &self,
        url: &str,
        body: Option<&serde_json::Value>,
    ) -> Result<T> {
        let mut request = match body {
            Some(body) => self
                .client
                .post(url)
                .body(body.to_string())
                .header("Content-Type", "application/vnd.schemaregistry.v1+json"),
            None => self.client.get(url),
        };
        if let Some(token) = &self.config.bearer_token {
            request = request.bearer_auth(token.expose());
        } else if let Some(user) = &self.config.username {
            request = request.basic_auth(user, self.config.password.as_ref().map(Secret::expose));
        }
        let answer = request.send().await.map_err(reqwest::Error::without_url).or_kind(Kind::Unreachable)?;
        let status = answer.status();
        let text = answer.text().await.map_err(reqwest::Error::without_url).or_kind(Kind::Unreachable)?;
        if !status.is_success() {
            return Err(refused(status.as_u16(), &text));
        }
        serde_json::from_str(&text).or_kind(Kind::Unreachable).doing(|| "read the registry's answer")
    }
}

/// Without references the word is left out: older registries do not know it.
fn sent(schema: &str, references: &[Reference]) -> serde_json::Value {
    match references.is_empty() {
        true => json!({ "schema": schema }),
        false => json!({ "schema": schema, "references": references }),
    }
}

fn refused(status: u16, text: &str) -> Error {
    let words = serde_json::from_str::<Refusal>(text)
        .map(|r| format!("{} (code {})", r.message, r.error_code))
        .unwrap_or_else(|_| text.chars().take(300).collect());
    let (kind, remedy) = match status {
        401 | 403 => (Kind::Denied, "check the registry's user and password or token"),
        404 => (Kind::Rejected, "register it first, or let us register it (auto_register = true)"),
        409 => (Kind::Rejected, "undo the schema change, or set the subject's compatibility to allow it"),
        422 => (Kind::Rejected, "the registry holds the schema for invalid; its words say why"),
        _ => (Kind::Unreachable, "the registry answered with a failure of its own; see its log"),
    };
    Error::new(kind, format!("HTTP {status}: {words}")).remedy(remedy)
}

/// The registry compares schemas in its normal form if asked to.
fn normalization(wanted: bool) -> &'static str {
    if wanted { "?normalize=true" } else { "" }
}

/// Percent-encodes what may not stand in a path segment.
fn escape(segment: &str) -> String {
    use std::fmt::Write;
    segment.bytes().fold(String::with_capacity(segment.len()), |mut out, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(byte as char),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_schema_needs_a_person_and_a_failing_registry_does_not() {
        let conflict = refused(409, r#"{"error_code":409,"message":"incompatible"}"#);
        assert_eq!((conflict.exit_code(), conflict.retryable()), (3, false));
        assert!(conflict.to_string().contains("incompatible"));
        assert!(refused(503, "down").retryable());
        assert_eq!(refused(401, "").kind(), Kind::Denied);
    }

    #[test]
    fn subjects_are_escaped() {
        assert_eq!(escape("a/b c-value"), "a%2Fb%20c-value");
    }
}
