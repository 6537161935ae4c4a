//! How brokers are reached: with TLS or without, with a login or without.

use super::wire::{self, Connection};
use kafka_protocol::messages::{SaslAuthenticateRequest, SaslHandshakeRequest};
use kafka_protocol::protocol::StrBytes;
use rustls::pki_types::ServerName;
use shared::error::{Error, Kind, OrKind, Result};
use shared::kafka::Security;
use shared::tls::TlsConfig;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

const LIMIT: Duration = Duration::from_secs(10);
/// The login that is spoken; librdkafka knows more.
const MECHANISM: &str = "PLAIN";

#[derive(Clone)]
pub struct Access {
    tls: Option<TlsConnector>,
    /// As SASL's PLAIN writes name and password.
    login: Option<Vec<u8>>,
}

impl Access {
    /// None if only librdkafka can do what the operator asked for.
    pub fn of(security: &Security) -> Option<Access> {
        let protocol = security.protocol.as_deref().unwrap_or("plaintext").to_ascii_lowercase();
        let (encrypted, logs_in) = match protocol.as_str() {
            "plaintext" => (false, false),
            "ssl" => (true, false),
            "sasl_plaintext" => (false, true),
            "sasl_ssl" => (true, true),
            _ => return None,
        };
        let login = match (logs_in, &security.username, &security.password) {
            (false, ..) => None,
            (true, Some(name), Some(password)) if security.sasl_mechanism.as_deref() == Some(MECHANISM) => {
                Some(format!("\0{name}\0{}", password.expose()).into_bytes())
            }
            (true, ..) => return None,
        };
        let Security { ca_file, cert_file, key_file, .. } = security.clone();
        // A key that rustls cannot read may be one that OpenSSL can.
        let tls = match encrypted {
            true => Some(TlsConfig { ca_file, cert_file, key_file }.client().ok()?.into()),
            false => None,
        };
        Some(Access { tls, login })
    }

    /// # Errors
    /// `Unreachable`; `Rejected` if the broker does not speak what is needed; `Denied`.
    pub async fn open(&self, address: &str) -> Result<Connection> {
        let connected = timeout(LIMIT, TcpStream::connect(address)).await;
        let stream = connected.or_kind(Kind::Unreachable)?.or_kind(Kind::Unreachable)?;
        stream.set_nodelay(true).or_kind(Kind::Unreachable)?;
        let mut connection = match &self.tls {
            None => Connection::over(Box::new(stream)),
            Some(tls) => {
                let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
                let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
                let name = ServerName::try_from(host).or_kind(Kind::Rejected)?;
                let encrypted = timeout(LIMIT, tls.connect(name, stream)).await;
                let encrypted = encrypted.or_kind(Kind::Unreachable)?.or_kind(Kind::Unreachable)?;
                Connection::over(Box::new(encrypted))
            }
        };
        connection.compare_versions().await?;
        if let Some(login) = &self.login {
            log_in(&mut connection, login).await?;
        }
        Ok(connection)
    }
}

async fn log_in(connection: &mut Connection, login: &[u8]) -> Result<()> {
    let asked = SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str(MECHANISM));
    let offer = connection.ask(&asked, wire::HANDSHAKE).await?;
    if offer.error_code != 0 {
        return Err(Error::new(Kind::Denied, format!("the broker has no login by {MECHANISM}")));
    }
    let given = SaslAuthenticateRequest::default().with_auth_bytes(login.to_vec().into());
    let answer = connection.ask(&given, wire::AUTHENTICATE).await?;
    match answer.error_code {
        0 => Ok(()),
        _ => Err(Error::new(Kind::Denied, "the broker does not take name and password")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ours_and_what_is_left_to_librdkafka() {
        for (text, ours) in [
            ("", true),
            ("protocol = 'PLAINTEXT'", true),
            ("protocol = 'ssl'", true),
            ("protocol = 'ssl'\nca_file = '/nowhere.pem'", false),
            ("protocol = 'sasl_plaintext'\nsasl_mechanism = 'PLAIN'\nusername = 'u'\npassword = 'p'", true),
            ("protocol = 'sasl_ssl'\nsasl_mechanism = 'PLAIN'\nusername = 'u'\npassword = 'p'", true),
            ("protocol = 'sasl_ssl'\nsasl_mechanism = 'PLAIN'", false),
            (
                "protocol = 'sasl_ssl'\nsasl_mechanism = 'SCRAM-SHA-256'\nusername = 'u'\npassword = 'p'",
                false,
            ),
            ("protocol = 'sasl_ssl'\nusername = 'u'\npassword = 'p'", false),
            ("protocol = 'unheard-of'", false),
        ] {
            let security: Security = toml::from_str(text).expect("valid");
            assert_eq!(Access::of(&security).is_some(), ours, "{text}");
        }
    }
}
