//! `[….auth]` and `[….tls]` of a door.

use super::wrong;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use serde::Deserialize;
use shared::error::{Context, Kind, OrKind, Result};
use shared::secret::Secret;
use shared::tls;
use std::path::PathBuf;
use std::sync::Arc;

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

/// `[….tls]` of a door: who we are, and whom clients must be signed by. Without it the door speaks plainly.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerTlsConfig {
    /// PEM file with our certificate chain.
    pub cert_file: PathBuf,
    /// PEM file with the key of `cert_file`.
    pub key_file: PathBuf,
    /// PEM file with the authorities of clients' certificates: a client without one is refused.
    pub client_ca_file: Option<PathBuf>,
}

impl ServerTlsConfig {
    /// `table` names the door in messages.
    pub fn check(&self, table: &str) -> Result<()> {
        if [&self.cert_file, &self.key_file].into_iter().any(|path| path.as_os_str().is_empty()) {
            return Err(wrong(format!("{table}.tls.cert_file and {table}.tls.key_file belong together")));
        }
        Ok(())
    }

    /// Reads the files.
    ///
    /// # Errors
    /// `Config`, naming the file that is missing or unfit.
    pub fn server(&self) -> Result<ServerConfig> {
        tls::install_provider();
        let builder = match &self.client_ca_file {
            None => ServerConfig::builder().with_no_client_auth(),
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for cert in tls::certificates(path)? {
                    roots.add(cert).or_kind(Kind::Config).doing(|| format!("read {}", path.display()))?;
                }
                let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build();
                let verifier = verifier.or_kind(Kind::Config).doing(|| format!("use {}", path.display()))?;
                ServerConfig::builder().with_client_cert_verifier(verifier)
            }
        };
        let (cert, key) = (&self.cert_file, &self.key_file);
        builder
            .with_single_cert(tls::certificates(cert)?, tls::private_key(key)?)
            .or_kind(Kind::Config)
            .doing(|| format!("use {} with {}", cert.display(), key.display()))
            .map_err(|error| error.remedy("the key must belong to the first certificate of the file"))
    }
}
