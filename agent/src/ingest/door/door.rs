//! What all connections share: the log, the limits, and what was said in the logs already.

use super::access::limit::{Addresses, Buckets};
use super::access::users::Users;
use super::group::Groups;
use crate::buffer::Log;
use crate::config::door::DoorConfig;
use crate::web::Certificate;
use shared::Result;
use shared::error::Context;
use shared::shutdown::Shutdown;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;

/// Different refusals that are logged at WARN; a client that comes again each second is not.
const MAX_TOLD: usize = 256;

pub(super) struct Door {
    pub log: Arc<Log>,
    pub config: DoorConfig,
    pub advertised_host: String,
    pub advertised_port: u16,
    pub shutdown: Shutdown,
    /// Bytes of requests received and not yet answered.
    pub memory: Arc<Semaphore>,
    /// Bytes of fetches read and not yet written.
    pub answers: Arc<Semaphore>,
    pub connections: Arc<Semaphore>,
    pub addresses: Addresses,
    pub buckets: Buckets,
    pub users: Users,
    pub tls: Option<Certificate>,
    pub groups: Arc<Groups>,
    told: Mutex<HashSet<String>>,
}

impl Door {
    /// Reads the certificate and derives the users' keys.
    pub fn new(
        log: Arc<Log>,
        config: DoorConfig,
        address: std::net::SocketAddr,
        shutdown: Shutdown,
    ) -> Result<Self> {
        let memory = config.memory_bytes as usize;
        let certificate = |files| Certificate::follow("Kafka door", files, &[], shutdown.clone());
        let tls = config.tls.as_ref().map(certificate).transpose().doing(|| "open [door.tls]")?;
        let groups = Arc::new(Groups::new(&log, &config));
        Ok(Door {
            groups,
            log,
            advertised_host: config.advertised_host.clone().unwrap_or_else(|| address.ip().to_string()),
            advertised_port: config.advertised_port.unwrap_or(address.port()),
            shutdown,
            memory: Arc::new(Semaphore::new(memory)),
            answers: Arc::new(Semaphore::new(memory)),
            connections: Arc::new(Semaphore::new(config.max_connections as usize)),
            addresses: Addresses::default(),
            buckets: Buckets::default(),
            users: Users::new(&config),
            tls,
            told: Mutex::default(),
            config,
        })
    }

    /// Whether this is said for the first time.
    pub fn is_new(&self, refusal: String) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.len() < MAX_TOLD && told.insert(refusal)
    }
}
