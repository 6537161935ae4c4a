//! TLS to the server, by PostgreSQL's own modes.
//!
//! `prefer` and `require` encrypt but believe any certificate, as libpq does; `require` with an
//! authority file verifies like `verify-ca`. `verify-ca` wants a certificate from that authority,
//! whatever name it carries; `verify-full` wants the right name as well.

use crate::config::source::{SourceConfig, TlsMode};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme,
};
use shared::error::{Context, OrKind};
use shared::{Error, Kind, Result};
use std::path::Path;
use std::sync::Arc;

/// The client settings for the configured mode; `None` when TLS is off.
pub fn client(config: &SourceConfig) -> Result<Option<Arc<ClientConfig>>> {
    let mode = match (config.tls_mode, &config.tls.ca_file) {
        (TlsMode::Disable, _) => return Ok(None),
        (TlsMode::Require, Some(_)) => TlsMode::VerifyCa,
        (mode, _) => mode,
    };
    let base = config.tls.client().doing(|| "read source.tls")?;
    let provider = base.crypto_provider().clone();
    let verifier: Arc<dyn ServerCertVerifier> = match mode {
        TlsMode::VerifyFull => return Ok(Some(base)),
        TlsMode::VerifyCa => {
            let path = config.tls.ca_file.as_deref().ok_or_else(|| {
                Error::new(Kind::Config, "source.tls_mode = \"verify-ca\" needs source.tls.ca_file")
            })?;
            Arc::new(AnyName(chain_verifier(path, provider)?))
        }
        TlsMode::Disable | TlsMode::Prefer | TlsMode::Require => Arc::new(AnyCertificate(provider)),
    };
    let mut client = (*base).clone();
    client.dangerous().set_certificate_verifier(verifier);
    Ok(Some(Arc::new(client)))
}

fn chain_verifier(path: &Path, provider: Arc<CryptoProvider>) -> Result<Arc<WebPkiServerVerifier>> {
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(path).or_kind(Kind::Config);
    for certificate in certificates.doing(|| format!("read {}", path.display()))? {
        certificate
            .or_kind(Kind::Config)
            .and_then(|certificate| roots.add(certificate).or_kind(Kind::Config))
            .doing(|| format!("read {}", path.display()))?;
    }
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .or_kind(Kind::Config)
        .doing(|| format!("use {}", path.display()))
}

/// Verifies the chain and forgives the name.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, TlsError> {
        match self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(TlsError::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, TlsError> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, TlsError> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// Believes any certificate, but still wants the server to hold its key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, TlsError> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, TlsError> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, TlsError> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
