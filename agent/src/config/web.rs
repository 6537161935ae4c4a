//! `[….auth]` and `[….tls]` of a door that speaks HTTP.

use super::wrong;
use serde::Deserialize;
use shared::Result;
use shared::secret::Secret;
use std::path::PathBuf;

/// Who may call; without any of it, anybody who reaches the address.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuthConfig {
    /// `Authorization: Bearer …`
    pub token: Option<Secret>,
    /// `Authorization: Basic …`, with `password`.
    pub username: Option<String>,
    pub password: Option<Secret>,
}

impl AuthConfig {
    pub fn is_open(&self) -> bool {
        self.token.is_none() && self.username.is_none()
    }

    /// `table` names the door in messages.
    pub fn check(&self, table: &str) -> Result<()> {
        if self.username.is_some() != self.password.is_some() {
            return Err(wrong(format!("{table}.auth.username and {table}.auth.password belong together")));
        }
        if self.username.as_ref().is_some_and(|name| name.is_empty() || name.contains(':')) {
            return Err(wrong(format!("{table}.auth.username must be a name without a colon")));
        }
        if [&self.token, &self.password].into_iter().flatten().any(Secret::is_empty) {
            return Err(wrong(format!("{table}.auth.token and {table}.auth.password must not be empty")));
        }
        Ok(())
    }
}

/// The door's certificate, and whose clients it trusts.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerTlsConfig {
    /// PEM file with the certificate chain; without it the door speaks plainly.
    pub cert_file: Option<PathBuf>,
    /// PEM file with its key.
    pub key_file: Option<PathBuf>,
    /// PEM file with the authorities of client certificates; with it every client must show one.
    pub client_ca_file: Option<PathBuf>,
}

impl ServerTlsConfig {
    /// `table` names the door in messages.
    pub fn check(&self, table: &str) -> Result<()> {
        if self.cert_file.is_some() != self.key_file.is_some() {
            return Err(wrong(format!("{table}.tls.cert_file and {table}.tls.key_file belong together")));
        }
        if self.client_ca_file.is_some() && self.cert_file.is_none() {
            return Err(wrong(format!("{table}.tls.client_ca_file needs {table}.tls.cert_file")));
        }
        Ok(())
    }
}
