//! `kind = "postgres"` and `kind = "pgvector"`: PostgreSQL in the layout of Feast's online store.

use super::check_url;
use crate::config::wrong;
use serde::Deserialize;
use shared::error::Result;
use shared::secret::Secret;
use shared::tls::TlsConfig;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostgresConfig {
    /// `postgres://host:5432/database`; `?sslmode=require` for TLS.
    pub url: String,
    pub user: String,
    #[serde(default)]
    pub password: Secret,
    /// Feast's project: the beginning of every table's name.
    pub project: String,
    /// Feast's `db_schema`.
    #[serde(default = "default_schema")]
    pub schema: String,
    /// Make a view's table as `feast apply` would, if there is none.
    #[serde(default = "default_create_tables")]
    pub create_tables: bool,
    #[serde(default)]
    pub tls: TlsConfig,
    /// Feast's `vector_enabled`; set by the kind.
    #[serde(skip)]
    pub vector: bool,
}

fn default_schema() -> String {
    "public".to_owned()
}

const fn default_create_tables() -> bool {
    true
}

impl PostgresConfig {
    pub(super) fn check(&self) -> Result<()> {
        check_url("url", &self.url, &["postgres://", "postgresql://"])?;
        if self.user.is_empty() || self.project.is_empty() || self.schema.is_empty() {
            return Err(wrong("user, project and schema must not be empty"));
        }
        if self.is_tls() || self.tls.ca_file.is_none() && self.tls.cert_file.is_none() {
            return Ok(());
        }
        Err(wrong("tls is set, but the url does not ask for TLS").remedy("add ?sslmode=require to the url"))
    }

    /// Encrypted, with the server's certificate and name examined.
    pub fn is_tls(&self) -> bool {
        let asked = self.url.split_once('?').map(|(_, query)| query).unwrap_or_default();
        asked.split('&').any(|pair| matches!(pair, "sslmode=require" | "sslmode=verify-full"))
    }
}
