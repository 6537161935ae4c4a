//! rustls settings from PEM files, for clients and servers.

use crate::error::{Context, Error, Kind, OrKind, Result};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
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

/// `[….tls]` of a listener: who we are, and whom clients must be signed by.
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
    /// # Errors
    /// `Config`, naming the file that is missing or unfit.
    pub fn server(&self) -> Result<Arc<ServerConfig>> {
        install_provider();
        let builder = match &self.client_ca_file {
            None => ServerConfig::builder().with_no_client_auth(),
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for cert in certificates(path)? {
                    roots.add(cert).or_kind(Kind::Config).doing(|| format!("read {}", path.display()))?;
                }
                let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build();
                let verifier = verifier.or_kind(Kind::Config).doing(|| format!("use {}", path.display()))?;
                ServerConfig::builder().with_client_cert_verifier(verifier)
            }
        };
        let (cert, key) = (&self.cert_file, &self.key_file);
        let config = builder.with_single_cert(certificates(cert)?, private_key(key)?);
        let config = config
            .or_kind(Kind::Config)
            .doing(|| format!("use {} with {}", cert.display(), key.display()))?;
        Ok(Arc::new(config))
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let read = |path: &Path| -> std::io::Result<Vec<_>> {
        rustls_pemfile::certs(&mut std::io::BufReader::new(std::fs::File::open(path)?)).collect()
    };
    let found = read(path).or_kind(Kind::Config).doing(|| format!("read {}", path.display()))?;
    if found.is_empty() {
        return Err(Error::new(Kind::Config, format!("{} holds no certificate in PEM form", path.display())));
    }
    Ok(found)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>> {
    std::fs::File::open(path)
        .and_then(|file| rustls_pemfile::private_key(&mut std::io::BufReader::new(file)))
        .or_kind(Kind::Config)
        .doing(|| format!("read {}", path.display()))?
        .ok_or_else(|| {
            Error::new(Kind::Config, format!("{} holds no private key in PEM form", path.display()))
        })
}
