//! Free ports, and a second try when somebody else was quicker.

use crate::HOST;
use crate::error::{Doing, Result};
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// How often a server is given another port before its failure is believed.
const TRIES: u32 = 3;

/// Where ports are looked for: below those from which systems take the near end of a connection, or one might
/// be taken between its choice and its use.
const FIRST: u32 = 10_000;
const COUNT: u32 = 22_000;
/// A step that meets every one of them, and is far from the last.
const STEP: u32 = 7_919;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A port that nobody listens on at this moment, and that this process was not given before.
pub fn free() -> Result<u16> {
    let process = std::process::id().wrapping_mul(2_654_435_761) % COUNT;
    let mut last = None;
    for _ in 0..COUNT {
        let number = NEXT.fetch_add(1, Ordering::Relaxed).wrapping_mul(STEP).wrapping_add(process) % COUNT;
        let Ok(port) = u16::try_from(FIRST + number) else { continue };
        match TcpListener::bind((HOST, port)) {
            Ok(_) => return Ok(port),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| ErrorKind::AddrInUse.into())).doing(|| "find a free port".to_owned())
}

/// Does something listen there?
pub fn answers(port: u16) -> bool {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    TcpStream::connect_timeout(&address, Duration::from_millis(500)).is_ok()
}

/// Runs `start`, again if it failed because a port was taken between choosing and binding it.
pub fn retry<T>(mut start: impl FnMut() -> Result<T>) -> Result<T> {
    let mut tries = 1;
    loop {
        match start() {
            Err(error) if tries < TRIES && is_clash(&error.to_string()) => tries += 1,
            result => return result,
        }
    }
}

/// As PostgreSQL, MariaDB, Redis and the Java servers say it in their logs.
fn is_clash(log: &str) -> bool {
    ["Address already in use", "already bound to", "Failed to bind"].iter().any(|words| log.contains(words))
}
