//! Opens a [`Wire`]: address, TLS, login.

use super::failure::ServerError;
use super::tls;
use super::wire::{Socket, Wire, protocol};
use crate::config::source::{SourceConfig, TlsMode};
use bytes::BytesMut;
use postgres_protocol::authentication::{md5_hash, sasl};
use postgres_protocol::message::frontend;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use shared::error::{Context, OrKind};
use shared::{Error, Kind, Result};
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::time::Duration;

pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// A connection whose peer vanished is noticed after about a minute and a half.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
pub const APPLICATION_NAME: &str = "tidegate-connector";

/// How every session prints values: what the decoders expect, whatever the server's defaults are.
pub const SESSION: [(&str, &str); 8] = [
    ("client_encoding", "UTF8"),
    ("DateStyle", "ISO"),
    ("IntervalStyle", "postgres"),
    ("TimeZone", "UTC"),
    ("extra_float_digits", "3"),
    ("bytea_output", "hex"),
    ("statement_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
];

/// What the connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Sql,
    Replication,
}

/// Where the server is, for messages.
pub fn address(config: &SourceConfig) -> String {
    match &config.socket_dir {
        Some(folder) => folder.join(format!(".s.PGSQL.{}", config.port)).display().to_string(),
        None => format!("{}:{}", config.host, config.port),
    }
}

pub fn connect(config: &SourceConfig, purpose: Purpose) -> Result<Wire> {
    let connect = || {
        let mut wire = Wire::new(open_socket(config)?);
        start_up(&mut wire, config, purpose)?;
        Ok(wire)
    };
    connect().doing(|| format!("connect to PostgreSQL at {}", address(config)))
}

fn open_socket(config: &SourceConfig) -> Result<Socket> {
    if config.socket_dir.is_some() {
        let socket = UnixStream::connect(address(config)).or_kind(Kind::Unreachable)?;
        socket.set_write_timeout(Some(WRITE_TIMEOUT)).or_kind(Kind::Unreachable)?;
        return Ok(Socket::Unix(socket));
    }
    let socket = open_tcp(config)?;
    match negotiate_tls(config, socket) {
        // libpq's `prefer`: when TLS fails, plain text is good enough.
        Err(error) if config.tls_mode == TlsMode::Prefer && error.kind() == Kind::Rejected => {
            tracing::debug!(event = "source_tls_declined", %error, "going on without tls");
            Ok(Socket::Tcp(open_tcp(config)?))
        }
        other => other,
    }
}

fn open_tcp(config: &SourceConfig) -> Result<TcpStream> {
    let addresses = (config.host.as_str(), config.port).to_socket_addrs().or_kind(Kind::Unreachable)?;
    let mut failure = Error::new(Kind::Unreachable, format!("{} has no address", config.host));
    for address in addresses {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(socket) => {
                tune(&socket).or_kind(Kind::Unreachable)?;
                return Ok(socket);
            }
            Err(error) => failure = Error::from_source(Kind::Unreachable, error),
        }
    }
    Err(failure)
}

fn tune(socket: &TcpStream) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    socket.set_write_timeout(Some(WRITE_TIMEOUT))?;
    let keepalive = socket2::TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL);
    socket2::SockRef::from(socket).set_tcp_keepalive(&keepalive)
}

/// Asks the server for TLS and shakes hands. `Kind::Rejected` when it has none or the handshake fails.
fn negotiate_tls(config: &SourceConfig, mut socket: TcpStream) -> Result<Socket> {
    let Some(client) = tls::client(config)? else { return Ok(Socket::Tcp(socket)) };
    let mut request = BytesMut::new();
    frontend::ssl_request(&mut request);
    let mut answer = [0];
    socket.set_read_timeout(Some(CONNECT_TIMEOUT)).or_kind(Kind::Unreachable)?;
    socket
        .write_all(&request)
        .and_then(|()| socket.read_exact(&mut answer))
        .or_kind(Kind::Unreachable)
        .doing(|| "ask for TLS")?;
    match (&answer, config.tls_mode) {
        (b"S", _) => {}
        // It waits on the same connection for what comes in plain text.
        (b"N", TlsMode::Prefer) => {
            tracing::debug!(event = "source_tls_declined", "the server offers no TLS, going on without");
            return Ok(Socket::Tcp(socket));
        }
        _ => {
            return Err(Error::new(Kind::Rejected, "the server offers no TLS")
                .remedy("set ssl = on at the server, or source.tls_mode = \"disable\""));
        }
    }
    let name = ServerName::try_from(config.host.clone()).or_kind(Kind::Config)?;
    let mut connection = ClientConnection::new(client, name).or_kind(Kind::Config)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut socket).or_kind(Kind::Rejected).doing(|| "shake hands by TLS").map_err(
            |e| e.remedy("check source.tls and the server's certificate, or choose another source.tls_mode"),
        )?;
    }
    Ok(Socket::Tls(Box::new(StreamOwned::new(connection, socket))))
}

fn start_up(wire: &mut Wire, config: &SourceConfig, purpose: Purpose) -> Result<()> {
    let mut parameters = vec![
        ("user", config.user.as_str()),
        ("database", &config.database),
        ("application_name", APPLICATION_NAME),
    ];
    if purpose == Purpose::Replication {
        parameters.push(("replication", "database"));
    }
    parameters.extend(SESSION);
    let mut out = BytesMut::new();
    frontend::startup_message(parameters, &mut out).or_kind(Kind::Config)?;
    wire.send(&out)?;
    let mut login = Login { config, scram: None };
    loop {
        let frame = wire.answer()?;
        match frame.tag {
            b'R' => {
                out.clear();
                login.answer(frame.body, &mut out)?;
                if !out.is_empty() {
                    wire.send(&out)?;
                }
            }
            b'E' => return Err(ServerError::parse(frame.body).map_err(protocol)?.into_error()),
            b'Z' => return Ok(()),
            _ => {}
        }
    }
}

/// The server's questions about who we are, answered one by one.
struct Login<'a> {
    config: &'a SourceConfig,
    scram: Option<sasl::ScramSha256>,
}

impl Login<'_> {
    fn answer(&mut self, body: &[u8], out: &mut BytesMut) -> Result<()> {
        let (code, rest) = body.split_first_chunk::<4>().ok_or_else(|| unknown(0))?;
        let code = u32::from_be_bytes(*code);
        if matches!(code, 3 | 5 | 10) && self.config.password.is_empty() {
            return Err(Error::new(Kind::Denied, "the server wants a password")
                .remedy("set source.password (it may stand in a file: \"${file:/path}\")"));
        }
        match code {
            0 => Ok(()),
            3 => frontend::password_message(self.config.password.expose().as_bytes(), out),
            5 => {
                let salt = <[u8; 4]>::try_from(rest).map_err(|_| unknown(code))?;
                let password = self.config.password.expose();
                let hash = md5_hash(self.config.user.as_bytes(), password.as_bytes(), salt);
                frontend::password_message(hash.as_bytes(), out)
            }
            10 => return self.begin_scram(rest, out),
            11 => {
                let scram = self.scram.as_mut().ok_or_else(|| unknown(code))?;
                scram.update(rest).and_then(|()| frontend::sasl_response(scram.message(), out))
            }
            12 => self.scram.as_mut().ok_or_else(|| unknown(code))?.finish(rest),
            _ => return Err(unknown(code)),
        }
        .or_kind(Kind::Denied)
        .doing(|| "log in")
    }

    fn begin_scram(&mut self, mechanisms: &[u8], out: &mut BytesMut) -> Result<()> {
        if !mechanisms.split(|byte| *byte == 0).any(|name| name == sasl::SCRAM_SHA_256.as_bytes()) {
            return Err(unknown(10));
        }
        let password = self.config.password.expose().as_bytes();
        let scram = self.scram.insert(sasl::ScramSha256::new(password, sasl::ChannelBinding::unsupported()));
        frontend::sasl_initial_response(sasl::SCRAM_SHA_256, scram.message(), out)
            .or_kind(Kind::Denied)
            .doing(|| "log in")
    }
}

fn unknown(code: u32) -> Error {
    Error::new(Kind::Denied, format!("the server asks for a login of kind {code}, which is not known here"))
        .remedy("use scram-sha-256, md5 or password in pg_hba.conf")
}
