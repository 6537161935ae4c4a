//! rustls settings from PEM files.

use crate::error::{Context, Error, Kind, OrKind, Result};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// `[….tls]`: how to trust a server, and who we are to it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsConfig {
    /// PEM file with the authorities to trust; the usual public ones when absent.
    pub ca_file: Option<PathBuf>,
    /// PEM file with our certificate chain, for mutual TLS.
    pub cert_file: Option<PathBuf>,
    /// PEM file with the key of `cert_file`.
    pub key_file: Option<PathBuf>,
}

/// Installs the process-wide cryptography provider; harmless when called again.
pub fn install_provider() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

impl TlsConfig {
    pub fn client(&self) -> Result<Arc<ClientConfig>> {
        install_provider();
        let mut roots = RootCertStore::empty();
        match &self.ca_file {
            Some(path) => {
                for cert in certificates(path)? {
                    roots.add(cert).or_kind(Kind::Config).doing(|| format!("read {}", path.display()))?;
                }
            }
            None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        }
        let builder = ClientConfig::builder().with_root_certificates(roots);
        let config = match (&self.cert_file, &self.key_file) {
            (Some(cert), Some(key)) => builder
                .with_client_auth_cert(certificates(cert)?, private_key(key)?)
                .or_kind(Kind::Config)
                .doing(|| format!("use {} with {}", cert.display(), key.display()))?,
            (None, None) => builder.with_no_client_auth(),
            _ => return Err(Error::new(Kind::Config, "tls.cert_file and tls.key_file belong together")),
        };
        Ok(Arc::new(config))
    }
}

/// The certificates of a PEM file.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let read = |path: &Path| -> std::io::Result<Vec<_>> {
        rustls_pemfile::certs(&mut std::io::BufReader::new(std::fs::File::open(path)?)).collect()
    };
    let found = read(path).or_kind(Kind::Config).doing(|| format!("read {}", path.display()))?;
    if found.is_empty() {
        return Err(Error::new(Kind::Config, format!("{} holds no certificate in PEM form", path.display())));
    }
    Ok(found)
}

/// The first private key of a PEM file.
pub fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>> {
    std::fs::File::open(path)
        .and_then(|file| rustls_pemfile::private_key(&mut std::io::BufReader::new(file)))
        .or_kind(Kind::Config)
        .doing(|| format!("read {}", path.display()))?
        .ok_or_else(|| {
            Error::new(Kind::Config, format!("{} holds no private key in PEM form", path.display()))
        })
}
