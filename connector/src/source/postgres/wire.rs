//! A blocking connection of our own: what tokio-postgres lacks (replication) and what must not
//! cost a task or an allocation per row (the snapshot's `COPY`).

use super::cursor::{Cursor, Malformed};
use super::failure::ServerError;
use super::frame::{Frame, FrameBuffer};
use super::pace::Pace;
use bytes::BytesMut;
use postgres_protocol::message::frontend;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustls::{ClientConnection, StreamOwned};
use shared::{Error, Kind, Result};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// How long bytes gather between two reads in a flood. A Unix socket holds much less than TCP's
/// window, so its sender would stand still sooner.
const TCP_NAP: Duration = Duration::from_micros(1000);
const UNIX_NAP: Duration = Duration::from_micros(60);
/// An answer that is expected at once (login, a command) may take this long.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(90);

#[derive(Debug)]
pub enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Socket {
    fn set_read_timeout(&self, timeout: Duration) -> std::io::Result<()> {
        match self {
            Socket::Tcp(socket) => socket.set_read_timeout(Some(timeout)),
            Socket::Unix(socket) => socket.set_read_timeout(Some(timeout)),
            Socket::Tls(stream) => stream.sock.set_read_timeout(Some(timeout)),
        }
    }

    fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Socket::Tcp(socket) => socket.as_fd(),
            Socket::Unix(socket) => socket.as_fd(),
            Socket::Tls(stream) => stream.sock.as_fd(),
        }
    }

    fn nap(&self) -> Duration {
        match self {
            Socket::Unix(_) => UNIX_NAP,
            Socket::Tcp(_) | Socket::Tls(_) => TCP_NAP,
        }
    }

    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Socket::Tcp(socket) => socket.read(into),
            Socket::Unix(socket) => socket.read(into),
            Socket::Tls(stream) => stream.read(into),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match self {
            Socket::Tcp(socket) => socket.write_all(bytes),
            Socket::Unix(socket) => socket.write_all(bytes),
            Socket::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        }
    }
}

#[derive(Debug)]
pub struct Wire {
    socket: Socket,
    input: FrameBuffer,
    pace: Pace,
    timeout: Duration,
    /// The last read took all that there was room for: TLS may hold more.
    more: bool,
}

impl Wire {
    pub fn new(socket: Socket) -> Self {
        let pace = Pace::new(socket.nap(), Instant::now());
        Wire { socket, input: FrameBuffer::default(), pace, timeout: Duration::ZERO, more: false }
    }

    /// Reads once, waiting at most `wait`. Returns how many bytes came.
    pub fn read(&mut self, wait: Duration) -> Result<usize> {
        let nap = self.pace.nap(Instant::now());
        if !nap.is_zero() {
            std::thread::sleep(nap);
        }
        let wait = wait.max(Duration::from_millis(1));
        if wait != self.timeout {
            self.socket.set_read_timeout(wait).map_err(|e| broken(&e))?;
            self.timeout = wait;
        }
        let room = self.input.room();
        let all = room.len();
        let count = match self.socket.read(room) {
            Ok(0) => return Err(Error::new(Kind::Unreachable, "the server closed the connection")),
            Ok(count) => count,
            Err(e) => match e.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => 0,
                _ => return Err(broken(&e)),
            },
        };
        self.more = matches!(self.socket, Socket::Tls(_)) && count == all;
        self.input.filled(count);
        self.pace.read(count, Instant::now());
        Ok(count)
    }

    /// Whether a whole message was read and not taken yet.
    pub fn has_message(&self) -> Result<bool> {
        self.input.has_frame().map_err(protocol)
    }

    /// The next whole message that was read, if there is one.
    #[inline]
    pub fn next(&mut self) -> Result<Option<Frame<'_>>> {
        self.input.next().map_err(protocol)
    }

    /// Waits for the next message, as long as an answer may take.
    pub fn answer(&mut self) -> Result<Frame<'_>> {
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        while !self.input.has_frame().map_err(protocol)? {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Error::new(Kind::Unreachable, "the server did not answer in time"));
            }
            self.read(left)?;
        }
        self.input.next().map_err(protocol)?.ok_or_else(|| Error::new(Kind::Bug, "a whole message vanished"))
    }

    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.socket.write_all(bytes).map_err(|e| broken(&e))
    }

    /// Sends a command without waiting for its answer.
    pub fn send_query(&mut self, sql: &str) -> Result<()> {
        let mut out = BytesMut::new();
        frontend::query(sql, &mut out)
            .map_err(|_| Error::new(Kind::Config, "a name holds a zero byte"))
            .and_then(|()| self.send(&out))
    }

    /// Runs a command and gives its last result's rows as text.
    pub fn query(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>> {
        self.send_query(sql)?;
        let mut rows = Vec::new();
        let mut failure = None;
        loop {
            let frame = self.answer()?;
            match frame.tag {
                b'D' => rows.push(data_row(frame.body).map_err(protocol)?),
                b'T' => rows.clear(),
                b'E' => failure = Some(ServerError::parse(frame.body).map_err(protocol)?),
                b'Z' => return failure.map_or(Ok(rows), |e| Err(e.into_error())),
                _ => {}
            }
        }
    }

    /// Says good-bye; what the server makes of it does not matter any more.
    pub fn close(&mut self) {
        let mut out = BytesMut::new();
        frontend::terminate(&mut out);
        if let Err(error) = self.send(&out) {
            tracing::debug!(event = "source_close_failed", %error, "the connection was closed already");
        }
    }
}

/// Waits until one of the connections has something to read, at most `wait`; which have.
pub fn ready(wires: &[&Wire], wait: Duration) -> Result<Vec<bool>> {
    let mut polled: Vec<PollFd<'_>> =
        wires.iter().map(|wire| PollFd::from_borrowed_fd(wire.socket.fd(), PollFlags::IN)).collect();
    let wait = if wires.iter().any(|wire| wire.more) { Duration::ZERO } else { wait };
    let limit = Timespec {
        tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: wait.subsec_nanos().into(),
    };
    match poll(&mut polled, Some(&limit)) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => return Err(broken(&error.into())),
    }
    Ok(wires.iter().zip(&polled).map(|(wire, polled)| wire.more || !polled.revents().is_empty()).collect())
}

/// The cells of a row that a command gives.
pub fn data_row(body: &[u8]) -> std::result::Result<Vec<Option<String>>, Malformed> {
    let mut cursor = Cursor(body);
    let count = cursor.u16("data row")?;
    (0..count)
        .map(|_| match cursor.i32("data row")? {
            -1 => Ok(None),
            length => {
                let length = usize::try_from(length).map_err(|_| Malformed("data row"))?;
                let text = cursor.take(length, "data row")?;
                Ok(Some(String::from_utf8_lossy(text).into_owned()))
            }
        })
        .collect()
}

/// What the server sent does not follow the protocol.
pub fn protocol(error: Malformed) -> Error {
    Error::new(Kind::Data, format!("the server sent a {error}"))
}

fn broken(error: &std::io::Error) -> Error {
    Error::new(Kind::Unreachable, format!("connection to the server: {error}"))
}
