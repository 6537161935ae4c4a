//! Free ports, and a second try when somebody else was quicker.

use crate::HOST;
use crate::error::{Doing, Result};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// How often a server is given another port before its failure is believed.
const TRIES: u32 = 3;

/// A port that nobody listens on at this moment.
pub fn free() -> Result<u16> {
    let listener = TcpListener::bind((HOST, 0)).doing(|| "find a free port".to_owned())?;
    Ok(listener.local_addr().doing(|| "find a free port".to_owned())?.port())
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
