//! A TCP proxy that does to a connection what networks do: slow, choke, go silent, reset, refuse.

use crate::HOST;
use crate::error::{Doing, Result};
use socket2::SockRef;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often a quiet connection looks whether the network has changed.
const LOOK: Duration = Duration::from_millis(10);
const CHUNK_BYTES: usize = 16 * 1024;

/// What the network does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Network {
    Well,
    /// Each piece comes this much later.
    Slow(Duration),
    /// At most so many bytes a second in each direction.
    Narrow(u32),
    /// A pulled cable: nothing passes, nobody is told.
    Silent,
    /// What is sent arrives, no answer comes back.
    Unanswered,
    /// Nobody listens any more.
    Down,
}

/// Listens on a port of its own; ends when dropped.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    target: AtomicU16,
    network: Mutex<Network>,
    /// Connections of an earlier era are reset.
    era: AtomicU64,
}

impl Shared {
    fn network(&self) -> MutexGuard<'_, Network> {
        self.network.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Proxy {
    /// Passes on to `target` on this machine; [`Proxy::aim`] gives another.
    pub fn start(target: u16) -> Result<Proxy> {
        let listener = TcpListener::bind((HOST, 0)).doing(|| "listen as a proxy".to_owned())?;
        let port = listener.local_addr().doing(|| "listen as a proxy".to_owned())?.port();
        let shared = Arc::new(Shared {
            target: AtomicU16::new(target),
            network: Mutex::new(Network::Well),
            era: AtomicU64::new(0),
        });
        let accepting = shared.clone();
        std::thread::spawn(move || accept(&listener, &accepting));
        Ok(Proxy { port, shared })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn address(&self) -> String {
        format!("{HOST}:{}", self.port)
    }

    pub fn aim(&self, target: u16) {
        self.shared.target.store(target, Ordering::Release);
    }

    /// Changes the network. Open connections feel it; `Down` closes them.
    pub fn set(&self, network: Network) {
        *self.shared.network() = network;
        if network == Network::Down {
            self.reset();
        }
    }

    /// Resets every open connection (RST); new ones pass.
    pub fn reset(&self) {
        self.shared.era.fetch_add(1, Ordering::AcqRel);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.set(Network::Down);
        // A target of 0 tells the accepting thread to end; a last connection wakes it.
        self.aim(0);
        let _ = TcpStream::connect((HOST, self.port));
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming().flatten() {
        let target = shared.target.load(Ordering::Acquire);
        if target == 0 {
            return;
        }
        if *shared.network() == Network::Down {
            abort(&client);
            continue;
        }
        let address = SocketAddr::from(([127, 0, 0, 1], target));
        // Dropping the client closes it: as if nobody listened.
        let Ok(server) = TcpStream::connect_timeout(&address, Duration::from_secs(2)) else { continue };
        let era = shared.era.load(Ordering::Acquire);
        for (from, to, held) in [
            (&client, &server, &[Network::Silent][..]),
            (&server, &client, &[Network::Silent, Network::Unanswered]),
        ] {
            let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) else { continue };
            let shared = shared.clone();
            std::thread::spawn(move || pass(from, to, held, &shared, era));
        }
    }
}

/// One direction of a connection, until either side ends it or the network does. `held`: when nothing passes.
fn pass(mut from: TcpStream, mut to: TcpStream, held: &[Network], shared: &Shared, era: u64) {
    let _ = from.set_read_timeout(Some(LOOK));
    let _ = to.set_nodelay(true);
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        if shared.era.load(Ordering::Acquire) != era {
            abort(&from);
            abort(&to);
            return;
        }
        let network = *shared.network();
        if held.contains(&network) {
            std::thread::sleep(LOOK);
            continue;
        }
        let count = match from.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
            Err(_) => break,
        };
        match network {
            Network::Slow(delay) => std::thread::sleep(delay),
            Network::Narrow(bytes) => {
                std::thread::sleep(Duration::from_secs_f64(count as f64 / f64::from(bytes.max(1))));
            }
            Network::Well | Network::Silent | Network::Unanswered | Network::Down => {}
        }
        if chunk.get(..count).is_none_or(|bytes| to.write_all(bytes).is_err()) {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

/// Closes with a reset instead of an orderly end.
fn abort(stream: &TcpStream) {
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
    let _ = stream.shutdown(Shutdown::Both);
}
