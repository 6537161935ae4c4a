//! TLS on a new connection, and what to say when it does not come about.

use super::super::door::Door;
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

pub(in super::super) type Incoming = Box<dyn AsyncRead + Send + Unpin>;
pub(in super::super) type Outgoing = Box<dyn AsyncWrite + Send + Unpin>;

/// Both directions of a connection, inside TLS if the door has a certificate. `None`: the client
/// does not want or may not have it, and the log says why.
pub(in super::super) async fn accept(
    door: &Door,
    socket: TcpStream,
    peer: SocketAddr,
) -> Option<(Incoming, Outgoing)> {
    let Some(certificate) = &door.tls else {
        let (read, write) = socket.into_split();
        return Some((Box::new(read), Box::new(write)));
    };
    let why = match timeout(door.config.frame_timeout, certificate.acceptor().accept(socket)).await {
        Ok(Ok(stream)) => {
            let (read, write) = tokio::io::split(stream);
            return Some((Box::new(read), Box::new(write)));
        }
        // Whoever only looks whether the port is open goes away without a word.
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => return None,
        Ok(Err(error)) => error.to_string(),
        Err(_) => "it was begun and not finished in time".to_owned(),
    };
    // Without the times that some of them name.
    let kind: String = why.chars().filter(|c| !c.is_ascii_digit()).collect();
    if door.is_new(format!("tls {} {kind}", peer.ip())) {
        tracing::warn!(
            event = "door_tls_failed", %peer, error = why, remedy = remedy(&why),
            "a client could not begin TLS"
        );
    }
    None
}

fn remedy(why: &str) -> &'static str {
    if why.contains("corrupt message") || why.contains("InvalidContentType") {
        "the client speaks without TLS: set its security.protocol to SSL or SASL_SSL"
    } else if why.contains("NoCertificatesPresented") || why.contains("no certificates") {
        "give the client a certificate that door.tls.client_ca_file signed"
    } else if why.contains("certificate") {
        "the client does not trust door.tls.cert_file, or its own certificate is not signed by \
         door.tls.client_ca_file or is out of date"
    } else {
        "compare the client's TLS settings with [door.tls]"
    }
}

#[cfg(test)]
mod tests {
    use super::remedy;

    #[test]
    fn remedies() {
        for (why, word) in [
            ("received corrupt message of type InvalidContentType", "SASL_SSL"),
            ("peer sent no certificates", "client_ca_file"),
            ("received fatal alert: UnknownCA", "compare"),
            ("invalid peer certificate: Expired", "out of date"),
        ] {
            assert!(remedy(why).contains(word), "{why}");
        }
    }
}
