//! Connections, plain or in TLS: at most so many, and none that is silent for ever.
//!
//! ```text
//! accept ─> a place, or wait ─> handshake, in a task of its own ─> queue ─> HTTP
//! ```

use super::Certificate;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, Sleep};
use tokio_rustls::server::TlsStream;

/// Per door; each has a buffer of some kilobytes. Who comes later waits to be accepted.
const MAX_CONNECTIONS: usize = 256;
/// Who does not finish the handshake in this time is no client.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// Clients keep connections for a minute or so; a silent one holds a place.
const IDLE_LIMIT: Duration = Duration::from_secs(120);
/// After a failed accept: the process has no file descriptors left, or the like.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

pub struct Listener {
    ready: mpsc::Receiver<(Socket, SocketAddr)>,
    address: SocketAddr,
}

impl Listener {
    pub fn new(bound: TcpListener, tls: Option<Certificate>, address: SocketAddr) -> Listener {
        let (queue, ready) = mpsc::channel(1);
        tokio::spawn(accept(bound, tls, queue));
        Listener { ready, address }
    }
}

/// Ends when the listener is gone.
async fn accept(bound: TcpListener, tls: Option<Certificate>, queue: mpsc::Sender<(Socket, SocketAddr)>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let accepted = tokio::select! {
            () = queue.closed() => return,
            accepted = bound.accept() => accepted,
        };
        let Ok((stream, peer)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let (tls, queue) = (tls.as_ref().map(Certificate::acceptor), queue.clone());
        tokio::spawn(async move {
            let stream = match tls {
                None => Stream::Plain(stream),
                Some(tls) => match tokio::time::timeout(HANDSHAKE_LIMIT, tls.accept(stream)).await {
                    Ok(Ok(stream)) => Stream::Tls(Box::new(stream)),
                    Ok(Err(error)) => {
                        tracing::debug!(event = "web_handshake_failed", %peer, %error, "TLS was refused");
                        return;
                    }
                    Err(_) => return,
                },
            };
            let idle = Box::pin(tokio::time::sleep(IDLE_LIMIT));
            // If nobody takes it, the door is closed.
            let _ = queue.send((Socket { stream, idle, _place: place }, peer)).await;
        });
    }
}

impl axum::serve::Listener for Listener {
    type Io = Socket;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Socket, SocketAddr) {
        match self.ready.recv().await {
            Some(ready) => ready,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

pub struct Socket {
    stream: Stream,
    idle: Pin<Box<Sleep>>,
    _place: OwnedSemaphorePermit,
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let polled = match &mut this.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_read(context, buffer),
        };
        if polled.is_ready() {
            this.idle.as_mut().reset(Instant::now() + IDLE_LIMIT);
            return polled;
        }
        ready!(this.idle.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(context),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(context),
        }
    }
}
