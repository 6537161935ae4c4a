//! One client: a task that reads and checks requests, a bounded queue of answers in the requests'
//! order, and a task that writes them.
//!
//! ```text
//! socket ─> frame ─> decode, check ─> queue of ≤ 64 pending answers ─> await ─> socket
//!            │ waits for memory            │ waits when full
//! ```
//! The reader goes on while answers wait for their commit: that is what lets one client fill a
//! whole group. When memory is short, or this client has its share of it, the socket is not read, and the
//! client feels it.

use super::access::limit::Bucket;
use super::access::tls::{self, Incoming, Outgoing};
use super::answer::{Answer, Pending};
use super::door::Door;
use super::request::{self, Close, Session};
use crate::metrics;
use bytes::BytesMut;
use shared::error::OrKind;
use shared::{Error, Kind, Result};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader, BufWriter};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, timeout, timeout_at};

/// Answers that may wait, per connection; clients have five requests in flight.
const PENDING_ANSWERS: usize = 64;

/// Bytes of requests that may wait for their answers, per connection: as much as a commit is worth. Clients
/// that send whatever the socket takes would fill the door's memory without being a bit faster.
const CONNECTION_BYTES: usize = 3 << 20;

/// Small requests come in one read; larger ones bypass the buffer.
const READ_BUFFER_BYTES: usize = 8 * 1024;
const WRITE_BUFFER_BYTES: usize = 8 * 1024;

/// The largest request before a login: strangers do not take the memory of others.
const MAX_LOGIN_FRAME_BYTES: u32 = 64 * 1024;

/// API, version, correlation id.
const MIN_FRAME_BYTES: usize = 8;

/// Serves a client until it leaves, breaks the rules, or the program stops.
pub(super) async fn serve(door: Arc<Door>, socket: TcpStream, peer: SocketAddr) {
    metrics::DOOR_CONNECTIONS.inc();
    // Answers are small and waited for.
    let _ = socket.set_nodelay(true);
    if let Some((read, write)) = tls::accept(&door, socket, peer).await {
        converse(&door, read, write, peer).await;
    }
    metrics::DOOR_CONNECTIONS.dec();
}

async fn converse(door: &Arc<Door>, read: Incoming, write: Outgoing, peer: SocketAddr) {
    let (queue, pending) = mpsc::channel(PENDING_ANSWERS);
    let sent = Arc::<AtomicUsize>::default();
    let writer = Writer { sent: Arc::clone(&sent), limit: door.config.frame_timeout };
    let writer = tokio::spawn(writer.run(write, pending));
    let mut reader = Reader {
        door: Arc::clone(door),
        socket: BufReader::with_capacity(READ_BUFFER_BYTES, read),
        queue,
        share: Arc::new(Semaphore::new(CONNECTION_BYTES)),
        session: Session::new(peer.ip()),
        opened: Instant::now(),
        bucket: None,
        sent,
    };
    let close = match reader.run().await {
        Ok(()) => Close::Quietly,
        Err(close) => close,
    };
    drop(reader);
    // A writer that panicked has said so; else it is cut off because the program stops.
    let written = writer.await.unwrap_or(Ok(()));
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
}

struct Reader {
    door: Arc<Door>,
    socket: BufReader<Incoming>,
    queue: mpsc::Sender<(Pending, OwnedSemaphorePermit)>,
    share: Arc<Semaphore>,
    session: Session,
    opened: Instant,
    /// Of the client that the session says it is.
    bucket: Option<Arc<Bucket>>,
    /// Bytes of answers since they were last counted.
    sent: Arc<AtomicUsize>,
}

impl Reader {
    async fn run(&mut self) -> std::result::Result<(), Close> {
        let shutdown = self.door.shutdown.clone();
        let stop = shutdown.wait();
        tokio::pin!(stop);
        loop {
            let until = self.until();
            let length = tokio::select! {
                biased;
                () = &mut stop => return Ok(()),
                () = self.queue.closed() => return Ok(()),
                length = timeout_at(until, self.socket.read_u32()) => length,
            };
            let Ok(length) = length else { return Ok(()) };
            let length = length? as usize;
            let (frame, share, memory) = self.frame(length).await?;
            let pending = request::answer(&self.door, &mut self.session, frame, memory).await?;
            if self.queue.send((pending, share)).await.is_err() || self.session.is_over() {
                return Ok(());
            }
            let pause = self.pause(length);
            if !pause.is_zero() {
                tokio::select! {
                    () = &mut stop => return Ok(()),
                    () = self.queue.closed() => return Ok(()),
                    () = tokio::time::sleep(pause) => {}
                }
            }
        }
    }

    /// Until when the next request must begin: who has to log in has less time.
    fn until(&self) -> Instant {
        match self.session.may_ask(&self.door) {
            true => Instant::now() + self.door.config.idle_timeout,
            false => self.opened + self.door.config.frame_timeout,
        }
    }

    /// How long not to read, after a request of `length` bytes.
    fn pause(&mut self, length: usize) -> Duration {
        let bytes = length + self.sent.swap(0, Ordering::AcqRel);
        if self.bucket.is_none() {
            // Before a login it is the address that counts.
            let bucket = self.session.bucket(&self.door);
            if !self.session.may_ask(&self.door) {
                return bucket.take(bytes, Instant::now().into());
            }
            self.bucket = Some(bucket);
        }
        let bucket = self.bucket.as_ref();
        let pause = bucket.map_or(Duration::ZERO, |bucket| bucket.take(bytes, Instant::now().into()));
        if !pause.is_zero() {
            metrics::DOOR_THROTTLED.inc();
        }
        pause
    }

    /// Reads a frame, when there is memory for it.
    async fn frame(
        &mut self,
        length: usize,
    ) -> std::result::Result<(BytesMut, OwnedSemaphorePermit, OwnedSemaphorePermit), Close> {
        let limit = self.door.config.max_frame_bytes;
        let limit = if self.session.may_ask(&self.door) { limit } else { limit.min(MAX_LOGIN_FRAME_BYTES) };
        let permits = u32::try_from(length).ok().filter(|length| *length <= limit);
        let Some(permits) = permits.filter(|_| length >= MIN_FRAME_BYTES || self.session.is_bare()) else {
            return Err(Close::Refused(format!(
                "frame of {length} bytes; from {MIN_FRAME_BYTES} to {limit} are taken (door.max_frame_bytes; less before a login)"
            )));
        };
        // A frame larger than the share comes alone.
        let share = Arc::clone(&self.share).acquire_many_owned(permits.min(CONNECTION_BYTES as u32)).await;
        let share = share.map_err(|_| Close::Quietly)?;
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
            Ok(filled) => filled.map(|()| (frame, share, memory)),
            Err(_) => Err(Close::Refused("a frame was begun and not finished in time".to_owned())),
        }
    }
}

struct Writer {
    sent: Arc<AtomicUsize>,
    /// How long a client may take for an answer.
    limit: Duration,
}

impl Writer {
    /// Writes answers in order. What is written is flushed before anything is waited for, or a client
    /// would wait for ever.
    async fn run(
        self,
        socket: Outgoing,
        mut pending: mpsc::Receiver<(Pending, OwnedSemaphorePermit)>,
    ) -> Result<()> {
        let mut socket = BufWriter::with_capacity(WRITE_BUFFER_BYTES, socket);
        loop {
            let next = match pending.try_recv() {
                Ok(next) => Some(next),
                Err(_) => {
                    if self.flush(&mut socket).await.is_err() {
                        return Ok(());
                    }
                    pending.recv().await
                }
            };
            let Some((mut next, _share)) = next else { break };
            let answer = tokio::select! {
                biased;
                answer = &mut next => answer?,
                () = std::future::ready(()) => {
                    if self.flush(&mut socket).await.is_err() {
                        return Ok(());
                    }
                    next.await?
                }
            };
            if let Some(Answer { bytes, memory }) = answer {
                self.sent.fetch_add(bytes.len(), Ordering::AcqRel);
                // A client that does not take its answers is gone for us.
                match timeout(self.limit, socket.write_all(&bytes)).await {
                    Ok(Ok(())) => drop(memory),
                    _ => return Ok(()),
                }
            }
        }
        // So that TLS says that this is the end, and no cut. Nobody may be listening any more.
        let _ = timeout(self.limit, socket.shutdown()).await;
        Ok(())
    }

    async fn flush(&self, socket: &mut BufWriter<Outgoing>) -> Result<()> {
        match timeout(self.limit, socket.flush()).await {
            Ok(flushed) => flushed.or_kind(Kind::Unreachable),
            Err(_) => Err(Error::new(Kind::Unreachable, "the client does not take its answers")),
        }
    }
}
