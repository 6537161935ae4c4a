//! One client: a task that reads and checks requests, a bounded queue of answers in the requests'
//! order, and a task that writes them.
//!
//! ```text
//! socket ─> frame ─> decode, check ─> queue of ≤ 64 pending answers ─> await ─> socket
//!            │ waits for memory            │ waits when full
//! ```
//! The reader goes on while answers wait for their commit: that is what lets one client fill a
//! whole group. When memory is short the socket is not read, and the client feels it.

use super::answer::{Answer, Pending};
use super::door::Door;
use super::request::{self, Close, Session};
use crate::metrics;
use bytes::BytesMut;
use shared::error::OrKind;
use shared::{Error, Kind, Result};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader, BufWriter};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::timeout;

/// Answers that may wait, per connection; clients have five requests in flight.
const PENDING_ANSWERS: usize = 64;

/// Small requests come in one read; larger ones bypass the buffer.
const READ_BUFFER_BYTES: usize = 8 * 1024;
const WRITE_BUFFER_BYTES: usize = 8 * 1024;

/// API, version, correlation id.
const MIN_FRAME_BYTES: usize = 8;

/// Serves a client until it leaves, breaks the rules, or the program stops.
pub(super) async fn serve(door: Arc<Door>, socket: TcpStream, peer: SocketAddr) {
    metrics::DOOR_CONNECTIONS.inc();
    // Answers are small and waited for.
    let _ = socket.set_nodelay(true);
    let (read, write) = socket.into_split();
    let (queue, pending) = mpsc::channel(PENDING_ANSWERS);
    let writer = tokio::spawn(write_answers(write, pending, door.config.frame_timeout));
    let mut reader = Reader {
        door: Arc::clone(&door),
        socket: BufReader::with_capacity(READ_BUFFER_BYTES, read),
        queue,
        session: Session::default(),
    };
    let close = match reader.run().await {
        Ok(()) => Close::Quietly,
        Err(close) => close,
    };
    drop(reader);
    let written =
        writer.await.unwrap_or_else(|_| Err(Error::new(Kind::Bug, "a connection's writer panicked")));
    match (close, written) {
        (Close::Refused(why), _) => {
            metrics::DOOR_REFUSED_REQUESTS.inc();
            if door.is_new(format!("{} {why}", peer.ip())) {
                tracing::warn!(event = "door_refused", %peer, reason = why, "closed a connection");
            }
        }
        (Close::Failed(error), _) | (Close::Quietly, Err(error)) => {
            tracing::error!(event = "door_failed", %peer, %error, remedy = error.hint(), "could not answer");
        }
        (Close::Quietly, Ok(())) => {}
    }
    metrics::DOOR_CONNECTIONS.dec();
}

struct Reader {
    door: Arc<Door>,
    socket: BufReader<OwnedReadHalf>,
    queue: mpsc::Sender<Pending>,
    session: Session,
}

impl Reader {
    async fn run(&mut self) -> std::result::Result<(), Close> {
        let shutdown = self.door.shutdown.clone();
        let stop = shutdown.wait();
        tokio::pin!(stop);
        loop {
            let length = tokio::select! {
                biased;
                () = &mut stop => return Ok(()),
                () = self.queue.closed() => return Ok(()),
                length = timeout(self.door.config.idle_timeout, self.socket.read_u32()) => length,
            };
            let Ok(length) = length else { return Ok(()) };
            let (frame, memory) = self.frame(length? as usize).await?;
            let pending = self.handle(frame, memory).await?;
            if self.queue.send(pending).await.is_err() {
                return Ok(());
            }
        }
    }

    /// Reads a frame, when there is memory for it.
    async fn frame(&mut self, length: usize) -> std::result::Result<(BytesMut, OwnedSemaphorePermit), Close> {
        let limit = self.door.config.max_frame_bytes;
        let permits = u32::try_from(length).ok().filter(|length| *length <= limit);
        let Some(permits) = permits.filter(|_| length >= MIN_FRAME_BYTES) else {
            return Err(Close::Refused(format!(
                "frame of {length} bytes; from {MIN_FRAME_BYTES} to {limit} are taken (door.max_frame_bytes)"
            )));
        };
        let memory = Arc::clone(&self.door.memory).acquire_many_owned(permits).await;
        let memory = memory.map_err(|_| Close::Quietly)?;
        let mut frame = BytesMut::with_capacity(length);
        let fill = async {
            let mut rest = (&mut self.socket).take(length as u64);
            while frame.len() < length {
                if rest.read_buf(&mut frame).await? == 0 {
                    return Err(Close::Quietly);
                }
            }
            Ok(())
        };
        match timeout(self.door.config.frame_timeout, fill).await {
            Ok(filled) => filled.map(|()| (frame, memory)),
            Err(_) => Err(Close::Refused("a frame was begun and not finished in time".to_owned())),
        }
    }

    /// Decodes a request and begins to answer it.
    async fn handle(
        &mut self,
        frame: BytesMut,
        memory: OwnedSemaphorePermit,
    ) -> std::result::Result<Pending, Close> {
        request::answer(&self.door, &mut self.session, frame, memory).await
    }
}

/// Writes answers in order. What is written is flushed before anything is waited for, or a client
/// would wait for ever.
async fn write_answers(
    socket: OwnedWriteHalf,
    mut pending: mpsc::Receiver<Pending>,
    limit: Duration,
) -> Result<()> {
    let mut socket = BufWriter::with_capacity(WRITE_BUFFER_BYTES, socket);
    loop {
        let next = match pending.try_recv() {
            Ok(next) => Some(next),
            Err(_) => {
                if flush(&mut socket, limit).await.is_err() {
                    return Ok(());
                }
                pending.recv().await
            }
        };
        let Some(mut next) = next else { return Ok(()) };
        let answer = tokio::select! {
            biased;
            answer = &mut next => answer?,
            () = std::future::ready(()) => {
                if flush(&mut socket, limit).await.is_err() {
                    return Ok(());
                }
                next.await?
            }
        };
        if let Some(Answer { bytes, memory }) = answer {
            // A client that does not take its answers is gone for us.
            match timeout(limit, socket.write_all(&bytes)).await {
                Ok(Ok(())) => drop(memory),
                _ => return Ok(()),
            }
        }
    }
}

async fn flush(socket: &mut BufWriter<OwnedWriteHalf>, limit: Duration) -> Result<()> {
    match timeout(limit, socket.flush()).await {
        Ok(flushed) => flushed.or_kind(Kind::Unreachable),
        Err(_) => Err(Error::new(Kind::Unreachable, "the client does not take its answers")),
    }
}
