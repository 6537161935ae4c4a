//! Certificates for a test: an authority, and what it signs.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use std::path::{Path, PathBuf};

/// An authority with its files in a folder.
pub struct Authority {
    folder: PathBuf,
    name: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate's file and its key's.
pub struct Signed {
    pub cert: String,
    pub key: String,
}

impl Authority {
    pub fn new(folder: &Path, name: &str) -> Authority {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let cert = params.self_signed(&key).expect("a certificate");
        let authority =
            Authority { folder: folder.to_owned(), name: name.to_owned(), issuer: Issuer::new(params, key) };
        std::fs::write(authority.file(), cert.pem()).expect("written");
        authority
    }

    /// Its own certificate.
    pub fn file(&self) -> String {
        self.folder.join(format!("{}.pem", self.name)).display().to_string()
    }

    /// A certificate for this machine, valid for ever or not any more.
    pub fn sign(&self, name: &str, expired: bool) -> Signed {
        let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name.push(DnType::CommonName, name);
        if expired {
            params.not_after = rcgen::date_time_ymd(2001, 1, 1);
        }
        let key = KeyPair::generate().expect("a key");
        let cert = params.signed_by(&key, &self.issuer).expect("a certificate");
        let write = |kind: &str, text: String| {
            let path = self.folder.join(format!("{name}.{kind}"));
            std::fs::write(&path, text).expect("written");
            path.display().to_string()
        };
        Signed { cert: write("pem", cert.pem()), key: write("key", key.serialize_pem()) }
    }
}
